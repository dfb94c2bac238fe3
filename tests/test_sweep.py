"""Many jobs at once: on this machine, on two nodes of a real cluster, with one of them lost."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import psutil
import pytest
import ray
import torch
import yaml
from clouds import REGION, folder
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.cluster_utils import Cluster
from ray.scripts.scripts import cli
from test_job import write

from cloud import job
from cloud.sweep import page as site
from cloud.sweep import ray_sweep, worker
from mnistlib import files
from mnistlib.cli import main
from mnistlib.errors import SettingError
from mnistlib.notebook.signals import Stopped, Stopping
from mnistlib.report import markup
from mnistlib.report import result as results

pytest_plugins = ["clouds"]

# What a run tells a file outside its folder: that it began, on which node, and that it came to its end.
STORY = """
import os, time
from pathlib import Path

def tell(word):
    with open(diary, "a") as file:
        file.write(f"{word} {n} {os.environ['RAY_RAYLET_PID']} {Path(results_dir).parent}\\n")

tell("begin")
assert n < 3 or Path(diary).with_name("large").exists(), "n is too large"
time.sleep(wait)
tell("end")
Path(results_dir, "n").write_text(str(n))
"""
PARAMETERS = "n = 1\nwait = 0.0\ndiary = ''\nresults_dir = 'build'"
# A lost node is known as such after some five seconds, where a cluster at work gives it twenty and more.
WATCHED = {f"health_check_{name}": value for name, value in {"initial_delay_ms": 0, "period_ms": 500, "failure_threshold": 10}.items()}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a cluster of two nodes on this machine, one CPU each."""
    spare = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": WATCHED, **spare})
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def story(folder: Path) -> Path:
    return write(folder / "story.ipynb", STORY, parameters=PARAMETERS)


def diary(path: Path, word: str) -> list[tuple[int, str]]:
    lines = [line.split() for line in path.read_text().splitlines()] if path.is_file() else []
    return [(int(n), node) for begun, n, node, _ in lines if begun == word]


def interrupt(when: Callable[[], bool]) -> threading.Thread:
    """Press Ctrl-C, so to say, as soon as something is so."""

    def wait() -> None:
        until = time.monotonic() + 60
        while not when() and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def left(temp: Path) -> list[str]:
    """Return what is left in a temporary folder, torch's cache apart."""
    return [path.name for path in temp.iterdir() if not path.name.startswith("torchinductor")]


def gone(what: Callable[[], object]) -> bool:
    """Wait some seconds until nothing is left of something."""
    until = time.monotonic() + 20
    while what() and time.monotonic() < until:
        time.sleep(0.1)
    return not what()


@pytest.mark.slow
@pytest.mark.long
def test_a_sweep_on_a_cluster_is_stopped_spreads_survives_a_lost_node_and_runs_only_what_is_missing(cluster, cloud, tmp_path, caplog):
    caplog.set_level("INFO", "mnistlib")
    path, written, out = story(tmp_path), tmp_path / "diary", tmp_path / "out"
    second, options = cluster.second.all_processes["raylet"][0].process.pid, ray_sweep.Options(cluster.address)

    jobs = ray_sweep.combinations([path], {"n": [1]}, {"diary": str(written), "wait": 300.0})
    interrupt(lambda: bool(diary(written, "begin")))
    with pytest.raises(Stopped), Stopping():
        ray_sweep.run(jobs, out, options)
    (scratch,) = (Path(line.split()[3]) for line in written.read_text().splitlines())
    assert gone(scratch.exists) and not list(out.iterdir()), "a stopped job left its scratch folder"
    written.unlink()

    given = {"diary": str(written), "wait": 1.0}
    jobs = ray_sweep.combinations([path], {"n": [1, 2, 3]}, given)
    swept = ray_sweep.run(jobs, out, options)
    assert swept.succeeded == 2 and [one.parameters["n"] for one, _ in swept.failed] == [3]
    assert len({node for _, node in diary(written, "begin")}) == 2, "one of the nodes had nothing to do"
    assert [(out / one.name / "n").read_text() for one in jobs[:2]] == ["1", "2"]
    assert "machines: 2, CPUs: 2" in caplog.text and "3 of 3, 1 failed" in caplog.text
    ((failed, record),) = swept.failed
    assert "n is too large" in record.reason and str(out / failed.name / "story.failed.ipynb") in record.reason
    assert "n is too large" in (out / failed.name / job.LOG).read_text() and (out / failed.name / "story.failed.ipynb").is_file()

    (tmp_path / "large").touch()
    before = len(diary(written, "begin"))

    def lose() -> None:
        """End all that the second node does as soon as it does anything, as if its machine were gone."""
        while str(second) not in {node for _, node in diary(written, "begin")[before:]}:
            time.sleep(0.05)
        raylet = psutil.Process(second)
        for process in [raylet, *raylet.children(recursive=True)]:
            process.kill()

    threading.Thread(target=lose, daemon=True).start()
    jobs = ray_sweep.combinations([path], {"n": [1, 2, 3, 4]}, given)
    swept = ray_sweep.run(jobs, out, options)
    assert swept.succeeded == 4 and not swept.failed and "2 of 4 jobs have succeeded already, left: 2" in caplog.text
    assert sorted(n for n, _ in diary(written, "end")) == [1, 2, 3, 4], "a job was lost, or came to its end twice"
    again = diary(written, "begin")[before:]
    assert len(again) == 3 and {n for n, _ in again} == {3, 4}, "no job was lost with the node, so nothing was tested"

    # To S3, with a runtime environment: the nodes know nothing of this cloud
    cloud.client("s3").create_bucket(Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    remote, settings = folder("s3://a-bucket/sweep"), {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    to_s3 = replace(options, remote=remote, runtime_env={"env_vars": settings})
    (one,) = jobs = ray_sweep.combinations([path], {"n": [5]}, given)
    assert ray_sweep.run(jobs, tmp_path / "here", to_s3).succeeded == 1
    assert (remote / one.name).get("n") == b"5" == (tmp_path / "here" / one.name / "n").read_bytes()
    before = len(diary(written, "begin"))
    assert ray_sweep.run(jobs, tmp_path / "there", to_s3).succeeded == 1 and (tmp_path / "there" / one.name / "story.html").is_file()
    assert len(diary(written, "begin")) == before, "what had succeeded in S3 was run again"


@pytest.mark.slow
@pytest.mark.long
def test_a_stopped_sweep_on_this_machine_resumes_lists_failures_and_is_summarised(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    out, temp = tmp_path / "out", tmp_path / "t"
    temp.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # where its sockets have short names
    monkeypatch.setenv("TMPDIR", str(temp))
    absent = "mps" if torch.cuda.is_available() else "cuda"
    (tmp_path / "grid.yaml").write_text(f"device: [cpu, {absent}]")
    command = ["sweep", "00_skeleton", "--grid-file", str(tmp_path / "grid.yaml"), "-y", "{seeds: [0], epochs: 4, train_limit: 100}"]
    monkeypatch.setattr("sys.argv", ["mnistlib", *command, "--out", str(out), "--cpus", "0.5"])

    real, trouble = ray.init, iter([Exception("The current node timed out during startup.")])

    def init(**about: object) -> object:
        """Fail once, as Ray does on a machine that is busy."""
        for error in trouble:
            raise error
        return real(**about)

    monkeypatch.setattr(ray, "init", init)

    def epochs() -> list[int]:
        return [json.loads(line)["epoch"] for path in out.glob(f"*/{job.EPOCHS}") for line in path.read_text().splitlines()]

    interrupt(lambda: len(epochs()) >= 2)
    assert main.main() == 130
    assert "resume" in capsys.readouterr().err
    assert gone(lambda: left(temp))

    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert epochs() == [1, 2, 3, 4], "the job did not resume after its last epoch"
    assert "Failed: 00_skeleton-" in said.err and f"device {absent}" in said.err
    assert f"Summary: {out / 'index.html'}" in said.out and "machines: 1, " in said.out
    folders = sorted((path for path in out.iterdir() if path.is_dir()), key=lambda path: job.read(path).status)
    assert [job.read(path).status for path in folders] == ["failed", "succeeded"]
    assert {"00_skeleton.html", job.EPOCHS, job.LOG} <= {path.name for path in folders[1].iterdir()}
    made = results.read(next((folders[1] / "results").glob("*.json")))
    page = (out / site.NAME).read_text()
    assert made.epochs == 4 and f'href="{folders[1].name}/00_skeleton.html"' in page and "Failed: 1." in page
    assert f"{100 * made.summary.final_mean:.2f}" in page and not markup.addresses(page) and "<script" not in page
    assert gone(lambda: left(temp))


@pytest.mark.slow
def test_a_job_whose_process_dies_is_a_failed_one_with_a_log(tmp_path):
    path = write(tmp_path / "story.ipynb", "1")
    one = job.make(path, {})
    left = worker.run_there("story.ipynb", "{nowhere: 1}", str(tmp_path / "out"), {"notebooks/story.ipynb": path.read_bytes()}, job.RUNS)
    record = ray_sweep.keep(one, *left, tmp_path / "out")
    assert record.status == "failed" and "code 2" in record.reason and "'nowhere'" in record.reason
    assert record.key == one.key and "'nowhere'" in (tmp_path / "out" / job.LOG).read_text()


def test_what_ran_as_another_unit_has_failed(tmp_path):
    one, other = (job.make(write(tmp_path / "story.ipynb", cell), {}) for cell in ("1", "2"))
    record = ray_sweep.keep(one, {job.RECORD: job.record_text(other, "succeeded", "", 1.0)}, 0, "", tmp_path / "out")
    assert (record.status, record.key) == ("failed", one.key) and "changed" in record.reason


def test_the_summary_names_what_differs_and_what_does_not(tmp_path):
    paths = [
        write(tmp_path / f"{name}.ipynb", "1", parameters="n_hidden = 1\nseeds = [0]\noverrides = None") for name in ("first", "second")
    ]
    jobs = ray_sweep.combinations(paths, {"n_hidden": [1, None], "seeds": [[0, 1]]}, {"overrides": {"optimizer.lr": 0.5}})
    record = ray_sweep.keep(jobs[1], {}, 1, "It broke <off>.", tmp_path / "out" / jobs[1].name)
    page = site.build(ray_sweep.Sweep(tmp_path / "out", tuple(jobs), (None, record, None, None))).read_text()
    assert "Sweep of first and second" in page and "The same for all: seeds 0, 1, optimizer.lr 0.5." in page and "Failed: 1." in page
    assert '<th scope="col">N hidden</th>' in page and ">Seeds</th>" not in page and page.count("not run") == 3
    assert "first · n hidden none" in page and "It broke &lt;off&gt;." in page
    assert "<figure" not in page and not markup.addresses(page) and "<script" not in page


def test_a_wait_that_ray_ends_in_its_own_way_is_stopped_all_the_same():
    with pytest.raises(Stopped, match="resume") as stopped, Stopping():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            raise KeyboardInterrupt from None
    assert stopped.value.code == 128 + signal.SIGTERM


def test_without_ray_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install -e '\.\[sweep\]'"):
        ray_sweep.run([job.make(story(tmp_path), {})], tmp_path / "out")


def test_a_runtime_environment_is_for_a_cluster(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = tmp_path / "env.yaml"
    file.write_text("pip: requirements.txt")
    options = ray_sweep.Options(runtime_env=ray_sweep.read_runtime_env(str(file)))
    assert options.runtime_env == {"pip": "requirements.txt"}
    with pytest.raises(SettingError, match="--address"):
        ray_sweep.run([job.make(story(tmp_path), {})], tmp_path / "out", options)


def test_ray_takes_the_file_of_a_cluster_in_aws():
    path = files.root() / "cloud" / "ray_aws.yaml"
    config = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(config)
    nodes = config["available_node_types"]
    assert config["head_node_type"] in nodes and nodes["head"]["resources"]["CPU"] == 0, "jobs on the head end with it"
    known = boto3.client("ec2", region_name=REGION).meta.service_model.shape_for("InstanceType").enum
    assert {node["node_config"]["InstanceType"] for node in nodes.values()} <= set(known)
    assert not config["provider"]["cache_stopped_nodes"]
    with pytest.raises(ValidationError):
        validate_config(config | {"idle_timeout_minute": 5})
    commands = re.findall(
        r"^(ray (?:up|attach|down)) (.*?)(?:  +#.*)?$", (files.root() / "docs" / "sweep.md").read_text(), flags=re.MULTILINE
    )
    assert [words for words, _ in commands] == ["ray up", "ray attach", "ray down"]
    for words, rest in commands:
        command = cli.commands[words.split()[1]]
        context = command.make_context(words, rest.split())
        assert Path(context.params["cluster_config_file"]) == path.relative_to(files.root())


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"127.0.0.1:1' cannot be reached"):
        ray_sweep.run([job.make(story(tmp_path), {})], tmp_path / "out", ray_sweep.Options("127.0.0.1:1"))


def test_a_ray_that_does_not_start_here_is_an_error_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("a folder whose name is too long for a socket " * 3).strip()))
    with pytest.raises(SettingError, match="does not start on this machine"):
        ray_sweep.run([job.make(story(tmp_path), {})], tmp_path / "out", ray_sweep.Options())
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob(job.RECORD))


def test_what_a_run_may_take_has_bounds():
    for name, value in (("cpus", -1), ("cpus", 0), ("cpus", float("nan")), ("gpus", -1), ("gpus", 1.5)):
        with pytest.raises(SettingError, match=f"{name} is {value}"):
            ray_sweep.Options(**{name: value})
    assert ray_sweep.Options(gpus=0.5).gpus == 0.5
