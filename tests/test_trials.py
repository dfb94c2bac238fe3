"""Many seeds: side by side as alone, stored under their key, resumed where a run was stopped."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_train import same

from mnistlib import data, files, train
from mnistlib.errors import SettingError, TrainingError
from mnistlib.recipe import Augment, Optimizer, Recipe
from mnistlib.runs import device, progress, seeds, storage

TINY = Recipe("early", epochs=2, batch_size=64, augment=Augment(rotate=5))
QUIET = {"device": "cpu", "show": lambda line: None}


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    return data.load("digits", limit=300)


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    """Keep trials in a folder of the test's own."""
    monkeypatch.setattr(seeds, "FOLDER", str(tmp_path))
    return tmp_path


def test_side_by_side_equals_alone_and_lines_tell_each_epoch(few, scratch):
    lines: list[str] = []
    runs = seeds.fit(TINY, few, [1, 0], device="cpu", workers=2, show=lines.append)
    assert [run.seed for run in runs] == [1, 0]
    for run in runs:
        assert same(run, train.train(TINY, few, run.seed))
        assert run.key == seeds.key(TINY, few, run.seed)
        assert run.provenance["workers"] == 2 and run.provenance["threads"] == 1
    assert len(lines) == 4
    for words in ("seed 0", "epoch  2/2", "loss", "accuracy", "lr", " s", "left"):
        assert any(words in line for line in lines), words


@pytest.mark.slow
def test_reuse_trains_only_what_is_missing_and_without_it_all_are_trained(few, scratch):
    first = seeds.fit(TINY, few, [0], workers=1, **QUIET)
    lines: list[str] = []
    both = seeds.fit(TINY, few, [0, 1], workers=1, device="cpu", reuse=True, show=lines.append)
    assert same(first[0], both[0]) and {line.split()[1] for line in lines if "left" in line} == {"1"}
    again: list[str] = []
    seeds.fit(TINY, few, [0, 1], workers=1, device="cpu", show=again.append)
    assert {line.split()[1] for line in again} == {"0", "1"}


def test_the_time_left_is_that_of_the_busiest_worker():
    assert progress.longest([15] * 5, 2) == 45
    assert progress.longest([14], 2) == 14  # a last seed alone leaves the other worker idle
    assert progress.longest([3, 4, 15], 2) == 18
    assert progress.longest([0, 0], 1) == 0


@pytest.mark.slow
def test_a_damaged_trial_is_trained_again(few, scratch):
    first = seeds.fit(TINY, few, [0], workers=1, **QUIET)
    path = seeds.path(first[0].key)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    assert same(first[0], seeds.fit(TINY, few, [0], workers=1, reuse=True, **QUIET)[0])
    assert storage.load_trial(path, first[0].key) is not None


def test_the_key_names_all_that_decides_a_trial(few):
    keys = [seeds.key(TINY, few, 0), seeds.key(TINY, few, 1)]
    keys += [
        seeds.key(replace(TINY, **change), few, 0) for change in ({"dropout": 0.1}, {"model": "deep"}, {"epochs": 3}, {"augment": None})
    ]
    keys += [
        seeds.key(TINY, replace(few, limit=None), 0),
        seeds.key(TINY, replace(few, sha256="0"), 0),
        seeds.key(TINY, replace(few, split="x"), 0),
    ]
    assert len(set(keys)) == len(keys)
    assert seeds.key(TINY, few, 0) == keys[0]


def test_a_failing_seed_stops_all_with_its_sentence(few, scratch):
    with pytest.raises(TrainingError, match="diverged"):
        seeds.fit(replace(TINY, optimizer=Optimizer(lr=100.0, momentum=0.99), batch_size=20), few, [0, 1], workers=2, **QUIET)


def test_an_absent_device_is_named_with_those_there_are():
    with pytest.raises(SettingError, match="no device 'tpu' here; allowed are 'auto', .*'cpu'"):
        device.device("tpu")


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down that Ctrl-C is ignored
from mnistlib import data, trials
from test_trials import LONG
if __name__ == "__main__":
    trials.FOLDER = sys.argv[1]
    trials.fit(LONG, data.load("digits", limit=300), [0, 1], device="cpu", workers=2)
"""
LONG = replace(TINY, epochs=25)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_and_ends_bit_equal(few, scratch, how):
    """Stop a run of two seeds in the middle, look at what it left, and finish it in this process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(files.root()), str(Path(__file__).parent))), "PYTHONUNBUFFERED": "1"}
    script = scratch / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(scratch)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        process_group=0,
    )
    for line in process.stdout:
        if "epoch  3/" in line:
            break
    process.send_signal(how)
    assert process.wait(30) != 0
    deadline = time.monotonic() + 30
    while _members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _members(process.pid), "worker processes outlived the run"
    left = sorted(path.suffix for path in scratch.iterdir() if path != script and not path.name.startswith("unfinished"))
    assert ".state" in left and ".trial" not in left
    if how != signal.SIGKILL:
        assert ".part" not in left
    lines: list[str] = []
    runs = seeds.fit(LONG, few, [0, 1], device="cpu", workers=2, show=lines.append)
    assert any("goes on after epoch" in line for line in lines)
    assert len(lines) < 50
    for run in runs:
        assert same(run, train.train(LONG, few, run.seed))
    assert sorted(path.suffix for path in scratch.iterdir() if path.suffix in (".state", ".trial")) == [".trial", ".trial"]


def _members(group: int) -> list[int]:
    """Return the living processes of a process group."""
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, pgid, stat in rows if int(pgid) == group and not stat.startswith("Z")]


@pytest.mark.slow
def test_a_script_without_its_guard_is_told_so_instead_of_waiting_for_ever(tmp_path):
    """Each worker of such a script runs it anew and ends at once, before it reads the images."""
    script = tmp_path / "mine.py"
    script.write_text(
        "from dataclasses import replace\n"
        "from mnistlib import data, steps, trials\n"
        f"trials.FOLDER = {str(tmp_path / 'trials')!r}\n"
        "trials.fit(replace(steps.SPEED, epochs=1), data.load('digits'), [0, 1], 'cpu', 2)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "without `if __name__ == '__main__':` before it. Start again" in done.stderr
