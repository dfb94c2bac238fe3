"""Many units at once: on this machine, on two nodes of a real cluster, with one of them lost."""

from __future__ import annotations

import importlib.util
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster
from test_job import write

from mnistlib import __main__
from mnistlib.errors import SettingError
from mnistlib.notebook import params
from mnistlib.notebook.signals import Stopped, Stopping
from mnistlib.report import markup
from mnistlib.sweep import job, ray_sweep, worker
from mnistlib.sweep import page as site

# What a run tells a file outside its folder: that it began, on which node, and that it came to its end.
STORY = """
import os, time
from pathlib import Path

def tell(word):
    with open(diary, "a") as file:
        file.write(f"{word} {n} {os.environ['RAY_RAYLET_PID']}\\n")

tell("begin")
assert n < 3 or Path(diary).with_name("large").exists(), "n is too large"
time.sleep(wait)
tell("end")
Path(results_dir, "n").write_text(str(n))
"""
PARAMETERS = "n = 1\nwait = 0.0\ndiary = ''\nresults_dir = 'build'"
# A lost node is known as such after a second or two, where a cluster at work gives it some twenty.
WATCHED = {f"health_check_{name}": value for name, value in {"initial_delay_ms": 0, "period_ms": 500, "failure_threshold": 3}.items()}


@pytest.fixture
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
    return [(int(n), node) for begun, n, node in lines if begun == word]


@pytest.mark.slow
def test_a_sweep_spreads_over_a_cluster_survives_a_lost_node_and_runs_only_what_is_missing(cluster, tmp_path):
    path, written, out, lines = story(tmp_path), tmp_path / "diary", tmp_path / "out", []
    second, options = cluster.second.all_processes["raylet"][0].process.pid, ray_sweep.Options(cluster.address)
    given = {"diary": str(written), "wait": 1.0}

    units = ray_sweep.combinations([path], {"n": [1, 2, 3]}, given)
    swept = ray_sweep.run(units, out, options, lines.append)
    assert swept.succeeded == 2 and [one.parameters["n"] for one, _ in swept.failed] == [3]
    assert len({node for _, node in diary(written, "begin")}) == 2, "one of the nodes had nothing to do"
    assert [(out / one.name / "n").read_text() for one in units[:2]] == ["1", "2"]
    assert any("2 machines, 2 CPUs" in line for line in lines) and any("3 of 3, 1 failed" in line for line in lines)
    failed = out / swept.failed[0][0].name
    assert "n is too large" in swept.failed[0][1].reason
    assert "n is too large" in (failed / job.LOG).read_text() and (failed / "story.failed.ipynb").is_file()

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
    units = ray_sweep.combinations([path], {"n": [1, 2, 3, 4]}, given)
    swept = ray_sweep.run(units, out, options, lines.append)
    assert swept.succeeded == 4 and not swept.failed and any("2 of 4 runs have succeeded already, left: 2" in line for line in lines)
    assert sorted(n for n, _ in diary(written, "end")) == [1, 2, 3, 4], "a run was lost, or came to its end twice"
    again = diary(written, "begin")[before:]
    assert len(again) == 3 and {n for n, _ in again} == {3, 4}, "no run was lost with the node, so nothing was tested"


@pytest.mark.slow
def test_the_command_runs_a_step_lists_failures_and_sums_it_all_up(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    absent = next(name for name in ("mps", "cuda") if name not in params.devices())
    (tmp_path / "grid.yaml").write_text(f"device: [cpu, {absent}]")
    command = ["sweep", "05_short", "--grid-file", str(tmp_path / "grid.yaml"), "-p", "dataset", "digits", "-p", "epochs", "1"]
    command += ["-y", "seeds: [0]", "-p", "limit", "100", "--out", str(tmp_path / "out"), "--cpus", "0.5"]
    monkeypatch.setattr("sys.argv", ["mnistlib", *command])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert "Failed: 05_short-" in said.err and f"device {absent}" in said.err and f"device is '{absent}', which" in said.err
    assert f"Summary: {tmp_path / 'out' / 'index.html'}" in said.out and "1 machine, " in said.out
    folders = sorted((path for path in (tmp_path / "out").iterdir() if path.is_dir()), key=lambda path: job.read(path).status)
    assert [job.read(path).status for path in folders] == ["failed", "succeeded"]
    assert {"05_short.html", job.EPOCHS, job.LOG} <= {path.name for path in folders[1].iterdir()}
    told = site.result(folders[1])
    page = (tmp_path / "out" / site.NAME).read_text()
    assert told.epochs == 1 and f'href="{folders[1].name}/05_short.html"' in page and "Failed: 1." in page
    assert f"{100 * told.summary.final_mean:.2f}" in page and "<img" in page and "which this machine does not offer" in page
    assert not markup.addresses(page) and "<script" not in page


def test_a_run_whose_process_dies_is_a_failed_one_with_a_log(tmp_path):
    path = write(tmp_path / "story.ipynb", "1")
    one = job.make(path, {})
    shipped = {"notebooks/story.ipynb": path.read_bytes()}
    contents, reason = worker.run("story.ipynb", b"{nowhere: 1}", shipped)
    record = worker.keep(one, contents, reason, tmp_path / "out")
    assert record.status == "failed" and "ended with code 2: Error: There is no parameter 'nowhere'" in record.reason
    assert record.key == one.key and "no parameter 'nowhere'" in (tmp_path / "out" / job.LOG).read_text()


def test_what_ran_as_another_unit_has_failed(tmp_path):
    one, other = (job.make(write(tmp_path / "story.ipynb", cell), {}) for cell in ("1", "2"))
    record = worker.keep(one, {job.RECORD: job.record_text(other, "succeeded", "", 1.0)}, "", tmp_path / "out")
    assert (record.status, record.key) == ("failed", one.key) and "something else was run" in record.reason


def test_the_summary_names_what_differs_and_what_does_not(tmp_path):
    paths = [write(tmp_path / f"{name}.ipynb", "1", parameters="n_hidden = 1\nseeds = [0]\nfields = None") for name in ("first", "second")]
    units = ray_sweep.combinations(paths, {"n_hidden": [1, None], "seeds": [[0, 1]]}, {"fields": {"optimizer.lr": 0.5}})
    record = worker.keep(units[1], {}, "It broke <off>.", tmp_path / "out" / units[1].name)
    page = site.page(ray_sweep.Sweep(tmp_path / "out", tuple(units), (None, record, None, None)))
    assert "Sweep of first and second" in page and "The same for all: seeds 0, 1, optimizer.lr 0.5." in page and "Failed: 1." in page
    assert '<th scope="col">N hidden</th>' in page and ">Seeds</th>" not in page and page.count("not run") == 3
    assert "<strong>first · n hidden none</strong>: It broke &lt;off&gt;." in page
    assert "<figure" not in page and not markup.addresses(page) and "<script" not in page


def test_a_wait_that_ray_ends_in_its_own_way_is_stopped_all_the_same():
    with pytest.raises(Stopped, match="the same command goes on") as stopped, Stopping():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            raise KeyboardInterrupt from None
    assert stopped.value.code == 128 + signal.SIGTERM


def test_without_ray_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'mnistlib\[sweep\]'"):
        ray_sweep.run([job.make(story(tmp_path), {})], tmp_path / "out")


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"127.0.0.1:1' cannot be reached"):
        ray_sweep.run([job.make(story(tmp_path), {})], tmp_path / "out", ray_sweep.Options("127.0.0.1:1"), lambda line: None)


def test_what_a_run_may_take_has_bounds():
    for name, value in (("cpus", -1), ("cpus", 0), ("cpus", float("nan")), ("gpus", -1), ("gpus", 1.5)):
        with pytest.raises(SettingError, match=f"{name} is {value}"):
            ray_sweep.Options(**{name: value})
    assert ray_sweep.Options(gpus=0.5).gpus == 0.5
