"""Many seeds: side by side as alone, stored under their keys, resumed where a run was stopped."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import torch as safetensors
from test_train import same

from mnistlib import files, models
from mnistlib.augment import Augment
from mnistlib.errors import ResultError, SettingError, TrainingError
from mnistlib.recipe import Optimizer, Recipe
from mnistlib.runs import Run, cache, device, provenance, run, seeds, train_seeds
from mnistlib.train import evaluate

TINY = Recipe("selection.nets:strided_pool", epochs=2, batch_size=64, augment=Augment(degrees=5))
LONG = replace(TINY, epochs=12)


@pytest.fixture
def in_process(monkeypatch) -> list[int]:
    """Train in this process, where workers are not what is tested, and return the list of seeds that were trained."""
    trained: list[int] = []

    def one_by_one(recipe, mnist, keys, workers, report, folder):
        for seed, key in keys.items():
            trained.append(seed)
            seeds._one(recipe, mnist, seed, key, "cpu", workers, folder, report)

    monkeypatch.setattr(seeds, "_side_by_side", one_by_one)
    return trained


def suffixes(folder: Path) -> list[str]:
    """Return the kinds of files in a cache."""
    return sorted(path.suffix for path in (folder / "runs").iterdir())


@pytest.mark.slow
def test_side_by_side_equals_alone_and_each_epoch_is_logged(few, tmp_path, caplog, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    caplog.set_level(logging.INFO, "mnistlib")
    called: list[int] = []
    done = train_seeds(TINY, few, [1, 0], "cpu", 2, results_dir=tmp_path, on_epoch=lambda so_far: called.append(len(so_far)))
    assert [one.seed for one in done] == [1, 0] and called == [1, 2, 3, 4]
    for one in done:
        assert same(one, run.train(TINY, few, one.seed))
        assert one.key == cache.cache_key(TINY, few, one.seed)
        assert (one.provenance["workers"], one.provenance["threads"], one.provenance["device"]) == (2, 1, "cpu")
    assert len(caplog.messages) == 4
    for word in ("seed 0", "epoch  2/2", "loss", "accuracy", "lr", " s", "left"):
        assert any(word in line for line in caplog.messages), word
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert sorted((line["seed"], line["epoch"]) for line in lines) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    last = next(line for line in lines if (line["seed"], line["epoch"]) == (1, 2))
    assert last["eval_accuracy"] == done[0].final and last["train_loss"] == done[0].history.train_loss[-1]
    assert list(temporary.glob("pymp-*")) == []


def test_what_is_reported_of_an_epoch_stays_as_it_was(few, tmp_path):
    seen = []  # by reference, as in a queue that has not pickled them yet
    seeds._one(replace(TINY, epochs=3), few, 0, "0" * 24, "cpu", 1, tmp_path, lambda seed, history: seen.append(history))
    assert [len(history["seconds"]) for history in seen] == [1, 2, 3]


@pytest.mark.slow
def test_more_seeds_than_workers_take_turns_and_equal_those_that_train_alone(few, tmp_path, caplog):
    caplog.set_level(logging.INFO, "mnistlib")
    recipe = replace(TINY, epochs=4)
    done = train_seeds(recipe, few, [0, 1, 2], "cpu", 2, results_dir=tmp_path)
    assert all(same(one, run.train(recipe, few, one.seed)) for one in done)
    order = [(line["seed"], line["epoch"]) for line in map(json.loads, (tmp_path / "epochs.jsonl").read_text().splitlines())]
    assert len(order) == len(set(order)) == 12
    assert order.index((2, 1)) < min(order.index((seed, 4)) for seed in (0, 1)), "the third seed waited for another to finish"
    assert not any("resumes" in line for line in caplog.messages)
    assert suffixes(tmp_path) == [".run"] * 3 + [".unfinished"] * 3
    for one in done:
        assert one.provenance["seconds"] == pytest.approx(sum(one.history.seconds), abs=0.1)


def test_runs_of_different_machines_have_a_provenance_that_names_them_all():
    first = {"started": "2026-11-25T05:00:00Z", "cpu": "A", "instructions": "AVX512", "commit": "aa", "changed": False, "cores": 2}
    second = first | {"started": "2026-11-27T05:00:00Z", "instructions": "AVX2", "commit": "bb", "gpu": None}
    both = provenance.combine([second, first], 61.26)
    assert both == first | {"instructions": "AVX512, AVX2", "commit": "aa, bb", "seconds": 61.3}
    assert provenance.combine([second, both], 1)["instructions"] == "AVX512, AVX2"  # of a result that was read back
    assert provenance.combine([first, second | {"changed": True}], 1)["changed"]
    assert provenance.combine([first | {"changed": None}] * 2, 1)["changed"] is None  # not known outside git


def test_a_reported_run_is_trained_anew_unless_cached_runs_are_wanted(few, tmp_path, in_process):
    (first,) = train_seeds(TINY, few, [0], "cpu", results_dir=tmp_path)
    seeds.reported(tmp_path, [first.key])
    both = train_seeds(TINY, few, [0, 1], "cpu", use_cached=True, results_dir=tmp_path)
    assert in_process == [0, 1] and same(first, both[0])
    assert both[0].history.seconds == first.history.seconds  # the very same run
    seeds.reported(tmp_path, [one.key for one in both])
    train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path)
    assert in_process == [0, 1, 0, 1]


def test_a_call_that_was_stopped_before_its_report_takes_the_finished_runs(few, tmp_path, in_process):
    first = train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path)
    again = train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path)
    assert in_process == [0, 1]
    assert [one.history.seconds for one in again] == [one.history.seconds for one in first]
    seeds.reported(tmp_path, [one.key for one in first])
    seeds.unreported(tmp_path, [one.key for one in first])  # the report failed after all
    train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path)
    assert in_process == [0, 1]


def test_taking_a_cached_run_does_not_leave_it_unreported(few, tmp_path, in_process):
    (first,) = train_seeds(TINY, few, [0], "cpu", results_dir=tmp_path)
    seeds.reported(tmp_path, [first.key])
    train_seeds(TINY, few, [0], "cpu", use_cached=True, results_dir=tmp_path)
    assert suffixes(tmp_path) == [".run"]


def test_other_seeds_of_the_same_recipe_delete_nothing(few, tmp_path, in_process):
    first = train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path)
    train_seeds(TINY, few, [2], "cpu", results_dir=tmp_path)
    seeds.reported(tmp_path, [cache.cache_key(TINY, few, 2)])
    again = train_seeds(TINY, few, [1, 0], "cpu", results_dir=tmp_path)
    assert in_process == [0, 1, 2] and same(again[0], first[1]) and same(again[1], first[0])


def test_an_interrupted_seed_resumes_after_its_last_epoch(few, tmp_path, in_process, caplog):
    caplog.set_level(logging.INFO, "mnistlib")

    def stop(so_far):
        if len(so_far) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path, on_epoch=stop)
    assert suffixes(tmp_path) == [".run", ".state", ".unfinished", ".unfinished"]
    journal = tmp_path / "epochs.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))  # stopped after the state, before the line
    both = train_seeds(TINY, few, [0, 1], "cpu", results_dir=tmp_path)
    epochs = [(line["seed"], line["epoch"]) for line in map(json.loads, journal.read_text().splitlines())]
    assert epochs == [(0, 1), (0, 2), (1, 1), (1, 2)], "an epoch has no line, or two"
    assert in_process == [0, 1, 1] and any("resumes after epoch 1/2" in line for line in caplog.messages)
    assert all(same(one, run.train(TINY, few, one.seed)) for one in both)
    assert suffixes(tmp_path) == [".run", ".run", ".unfinished", ".unfinished"]


@pytest.mark.parametrize("what", ["run", "state"])
def test_a_damaged_file_is_trained_again(few, tmp_path, in_process, what):
    key, kept = cache.cache_key(TINY, few, 0), []
    first = replace(run.train(TINY, few, 0, after_epoch=kept.append), key=key)
    path = (cache.run_path if what == "run" else cache.state_path)(seeds.cache_dir(tmp_path), key)
    cache.save_run(path, first) if what == "run" else cache.save_state(path, key, kept[0])
    assert (cache.load_run if what == "run" else cache.load_state)(path, key) is not None
    for damage in ("flipped", "short", "empty", "text"):
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes({"flipped": bytes(body), "short": bytes(body[:-9]), "empty": b"", "text": b"x" * 200}[damage])
        seeds.unreported(tmp_path, [key])
        assert same(train_seeds(TINY, few, [0], "cpu", results_dir=tmp_path)[0], first)
        path.write_bytes(body)
    assert in_process[0] == 0


def test_a_run_comes_back_from_disk_as_it_was_and_only_under_its_key(few, tmp_path):
    kept = []
    done = replace(run.train(replace(TINY, ema_decay=0.9), few, 0, after_epoch=kept.append), key="k", provenance={"started": "now"})
    cache.save_run(tmp_path / "a.run", done)
    again = cache.load_run(tmp_path / "a.run", "k")
    assert same(again, done) and vars(again.history) == vars(done.history) and again.provenance == done.provenance
    assert cache.load_run(tmp_path / "a.run", "another") is None
    cache.save_state(tmp_path / "a.state", "k", kept[-1])
    state = cache.load_state(tmp_path / "a.state", "k")
    assert state.optimizer.keys() == kept[-1].optimizer.keys() and state.ema.keys() == kept[-1].ema.keys()
    assert same(run.train(replace(TINY, ema_decay=0.9), few, 0, state=state), done)


def test_weights_that_are_used_several_times_come_back_from_disk(few, tmp_path):
    recipe, kept = replace(TINY, model="selection.nets:recurrent_separable"), []
    made = run.train(recipe, few, 0, after_epoch=kept.append)
    cache.save_state(tmp_path / "a.state", "k", kept[-1])
    state = cache.load_state(tmp_path / "a.state", "k")
    assert state.weights.keys() == kept[-1].weights.keys()
    assert all(torch.equal(value, kept[-1].weights[name]) for name, value in state.weights.items())
    net = models.build(recipe.model)
    net.load_state_dict(safetensors.load(cache.pack(made.weights)))
    assert (evaluate(net, few.eval)[1] == made.predictions).all()


def test_a_checkpoint_is_trusted_by_its_sha256_alone(few, tmp_path):
    weights = run.train(TINY, few, 0).weights
    body = cache.pack(weights)
    assert body == cache.pack(dict(reversed(weights.items())))
    path = files.write(tmp_path / "a.safetensors", body)
    assert cache.read_checkpoint(path, files.sha256(body)).keys() == weights.keys()
    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(ResultError, match="sha256"):
        cache.read_checkpoint(path, files.sha256(body))
    path.unlink()
    with pytest.raises(ResultError, match="missing"):
        cache.read_checkpoint(path, files.sha256(body))
    path.mkdir()
    with pytest.raises(ResultError, match="cannot be read"):
        cache.read_checkpoint(path, files.sha256(body))


def test_the_key_names_all_that_decides_a_run(few):
    keys = [cache.cache_key(TINY, few, 0), cache.cache_key(TINY, few, 1)]
    changes = ({"dropout": 0.1}, {"model": "narrow"}, {"epochs": 3}, {"augment": None}, {"optimizer": Optimizer(lr=0.2)})
    keys += [cache.cache_key(replace(TINY, **change), few, 0) for change in changes]
    keys += [cache.cache_key(TINY, replace(few, **change), 0) for change in ({"train_limit": None}, {"sha256": "0"}, {"split": "x"})]
    assert len(set(keys)) == len(keys)
    assert cache.cache_key(TINY, few, 0) == keys[0]


def test_an_absent_device_is_named_with_those_there_are():
    with pytest.raises(SettingError, match="'tpu'.*'cpu'"):
        device.choose("tpu")
    assert device.choose("cpu") == "cpu" and device.choose() in ("cpu", "cuda") and device.n_cores() >= 1


@pytest.mark.slow
def test_a_failing_seed_stops_all_with_its_sentence(few, tmp_path):
    with pytest.raises(TrainingError, match="diverged"):
        wild = replace(LONG, optimizer=Optimizer(lr=100.0, momentum=0.99), batch_size=20, augment=None)
        train_seeds(wild, few, [0, 1], "cpu", 2, results_dir=tmp_path)


SCRIPT = """
import signal, sys, time
from dataclasses import replace
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down that Ctrl-C is ignored
import numpy as np
from mnistlib import data, logs, runs
from mnistlib.runs import cache
from test_runs import LONG
save = cache.save_state
cache.save_state = lambda *state: (save(*state), time.sleep(0.3))  # workers run this too: none ends before it is stopped
if __name__ == "__main__":
    logs.to_stdout()
    few = data.load(train_limit=300)
    runs.train_seeds(LONG, replace(few, eval=few.eval.subset(np.arange(200))), [0, 1], "cpu", 2, results_dir=Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def undisturbed(few) -> list[Run]:
    """Return the runs of two seeds that nobody stopped."""
    return [run.train(LONG, few, seed) for seed in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_resumes_and_ends_bit_equal(few, tmp_path, how, in_process, undisturbed, caplog):
    """Stop a run of two seeds in the middle, look at what it left, and finish it in this process."""
    caplog.set_level(logging.INFO, "mnistlib")
    script, results_dir, temporary = tmp_path / "script.py", tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    script.write_text(SCRIPT)
    paths = os.pathsep.join((str(files.root()), str(Path(__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, str(script), str(results_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)},
        process_group=0,
    )
    for line in process.stdout:
        if "epoch  3/" in line:
            break
    process.send_signal(how)
    assert process.wait(30) != 0
    deadline = time.monotonic() + 30
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not members(process.pid), "worker processes outlived the run"
    assert list(temporary.iterdir()) == []
    left = suffixes(results_dir)
    assert ".state" in left and ".run" not in left
    if how != signal.SIGKILL:
        assert ".part" not in left
    done = train_seeds(LONG, few, [0, 1], "cpu", results_dir=results_dir)
    assert any("resumes after epoch" in line for line in caplog.messages) and len(caplog.messages) < 24
    assert all(same(one, other) for one, other in zip(done, undisturbed, strict=True))
    assert [suffix for suffix in suffixes(results_dir) if suffix in (".state", ".run")] == [".run", ".run"]


def members(group: int) -> list[int]:
    """Return the living processes of a process group."""
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, pgid, stat in rows if int(pgid) == group and not stat.startswith("Z")]


@pytest.mark.slow
def test_a_script_without_its_guard_is_told_so_instead_of_waiting_for_ever(tmp_path):
    """Each worker of such a script runs it anew and ends at once, before it reads the images."""
    script = tmp_path / "mine.py"
    script.write_text(
        "from mnistlib import data, recipe, runs\n"
        "net = recipe.Recipe('selection.nets:strided_pool', epochs=1)\n"
        f"runs.train_seeds(net, data.load(train_limit=300), [0, 1], 'cpu', 2, results_dir={str(tmp_path)!r})\n"
    )
    environment = os.environ | {"PYTHONPATH": str(files.root())}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 1 and "__main__" in done.stderr.splitlines()[-1]
