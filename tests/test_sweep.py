"""Many units at once: on this machine, on two nodes of a real cluster, with one of them lost."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from test_unit import write

from mnistlib import __main__, work
from mnistlib.errors import SettingError
from mnistlib.run import sweep, unit
from mnistlib.site import sweep as site

# What a run tells a file outside its folder: that it began, on which node, and that it came to its end.
STORY = """
import os, time
from pathlib import Path

def tell(word):
    with open(diary, "a") as file:
        file.write(f"{word} {n} {os.environ['RAY_RAYLET_PID']}\\n")

tell("begin")
assert n != bad, "n is bad"
time.sleep(wait)
tell("end")
Path(results_dir, "n").write_text(str(n))
"""
PARAMETERS = "n = 1\nbad = -1\nwait = 0.0\ndiary = ''\nresults_dir = 'build'"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Start a cluster of two nodes on this machine, one CPU each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def story(folder: Path) -> Path:
    return write(folder / "story.ipynb", STORY, parameters=PARAMETERS)


def diary(path: Path, word: str) -> list[tuple[int, str]]:
    lines = [line.split() for line in path.read_text().splitlines()] if path.is_file() else []
    return [(int(n), node) for begun, n, node in lines if begun == word]


@pytest.mark.slow
def test_runs_spread_over_a_cluster_and_only_what_is_missing_runs_again(cluster, tmp_path, capsys):
    written = tmp_path / "diary"
    units = sweep.combinations(story(tmp_path), {"n": [1, 2, 3, 4]}, {"diary": str(written), "bad": 3, "wait": 1.0})
    lines: list[str] = []
    swept = sweep.run(units, tmp_path / "out", sweep.Options(cluster.address), lines.append)
    assert swept.succeeded == 3 and [dict(one.parameters)["n"] for one, _ in swept.failed] == [3]
    assert "n is bad" in swept.failed[0][1].reason
    assert len({node for _, node in diary(written, "begin")}) == 2, "one of the nodes had nothing to do"
    assert {(tmp_path / "out" / one.name / "n").read_text() for one in units if dict(one.parameters)["n"] != 3} == {"1", "2", "4"}
    assert any("2 machines, 2 CPUs" in line for line in lines) and any("4 of 4, 1 failed" in line for line in lines)
    page = site.build(swept).read_text()
    assert "Failed: 1." in page and "n is bad" in page and f'href="{units[0].name}/story.html"' in page

    again = sweep.run(units, tmp_path / "out", sweep.Options(cluster.address), lines.append)
    assert again.succeeded == 3 and [n for n, _ in diary(written, "begin")].count(3) == 2
    assert sorted(n for n, _ in diary(written, "end")) == [1, 2, 4], "what had succeeded was run again"


@pytest.mark.slow
def test_a_lost_nodes_runs_are_begun_again_elsewhere(cluster, tmp_path):
    written = tmp_path / "diary"
    units = sweep.combinations(story(tmp_path), {"n": [1, 2, 3, 4]}, {"diary": str(written), "wait": 4.0})

    def lose() -> None:
        while len({node for _, node in diary(written, "begin")}) < 2:
            time.sleep(0.1)
        cluster.remove_node(cluster.second, allow_graceful=False)

    threading.Thread(target=lose, daemon=True).start()
    swept = sweep.run(units, tmp_path / "out", sweep.Options(cluster.address), lambda line: None)
    assert swept.succeeded == 4 and not swept.failed
    begun, ended = ([n for n, _ in diary(written, word)] for word in ("begin", "end"))
    assert sorted(ended) == [1, 2, 3, 4], "a run was lost, or came to its end twice"
    assert len(begun) > 4, "no run was lost with the node, so nothing was tested"


@pytest.mark.slow
def test_the_command_lists_failures_and_ends_with_one(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    command = ["sweep", str(story(tmp_path)), "--grid", "n=[1, 2]", "-p", "bad", "2", "-p", "diary", str(tmp_path / "diary")]
    monkeypatch.setattr("sys.argv", ["mnistlib", *command, "--out", str(tmp_path / "out"), "--cpus", "0.5"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert "Failed: story-" in said.err and "n 2" in said.err and "n is bad" in said.err
    assert f"Summary: {tmp_path / 'out' / 'index.html'}" in said.out and "1 machine, " in said.out
    assert sum(path.is_dir() for path in (tmp_path / "out").iterdir()) == 2
    log = next((tmp_path / "out").glob(f"*/{work.LOG}")).read_text()
    assert "── A story" in log


def test_without_ray_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'mnistlib\[sweep\]'"):
        sweep.run([unit.of(story(tmp_path), {})], tmp_path / "out")


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"127.0.0.1:1' cannot be reached"):
        sweep.run([unit.of(story(tmp_path), {})], tmp_path / "out", sweep.Options("127.0.0.1:1"), lambda line: None)


def test_what_a_run_may_take_has_bounds():
    with pytest.raises(SettingError, match="cpus is -1"):
        sweep.Options(cpus=-1)
