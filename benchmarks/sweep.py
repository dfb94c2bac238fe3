"""A sweep of equal runs on a cluster of nodes with one CPU each; the process prints its seconds."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}  # inherited by the nodes

from ray.cluster_utils import Cluster  # noqa: E402

from cloud.sweep import ray_sweep  # noqa: E402
from mnistlib.notebook import runner  # noqa: E402


def main() -> None:
    """Start the nodes, run the sweep, and print its seconds without the start of the nodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--train-limit", type=int, required=True)
    given = parser.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(given.nodes - 1):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    fixed = {"epochs": 1, "train_limit": given.train_limit}
    jobs = ray_sweep.combinations([runner.find(given.step)], {"seeds": [[seed] for seed in range(given.runs)]}, fixed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        swept = ray_sweep.run(jobs, Path(folder), ray_sweep.Options(cluster.address))
        seconds = time.time() - began
    cluster.shutdown()
    if swept.succeeded < len(jobs):
        raise SystemExit("\n".join(record.reason for _, record in swept.failed) or "Some runs did not end.")
    print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
