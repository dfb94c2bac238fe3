"""Hostile programs and nets are really run: what the sandbox says is in force must be, and what is not in force must not be claimed."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coursework import judge, sandbox, source, submission
from coursework.sandbox import Limits
from mnistlib import data, models, steps
from mnistlib.errors import SettingError, TrainingError
from mnistlib.published.training import EarlyStopping, PublishedRecipe
from mnistlib.recipe import Optimizer
from mnistlib.report import result as results
from mnistlib.runs import train

ROOT = os.getuid() == 0
ORDINARY = 12_345  # a user that root's tests become
SYSTEMS = Path("/usr/bin/python3")  # in reach of all users, which the tests' own Python may not be
PYTHON = [str(SYSTEMS) if ROOT and SYSTEMS.exists() else sys.executable, "-I", "-S", "-c"]
ATTEMPTS = """
import ctypes, json, os, socket, sys
def attempt(action):
    try:
        return bool(action())
    except OSError:
        return False
port, secret, outside, labels, caller, own = json.loads(sys.argv[1])
print(json.dumps({
    "connects": attempt(lambda: socket.create_connection(("127.0.0.1", port), 5)),
    "reads": attempt(lambda: open(secret).read()),
    "reads labels": attempt(lambda: open(labels, "rb").read(1)),
    "writes": attempt(lambda: open(outside, "w").write("mine")),
    "signals": attempt(lambda: os.kill(caller, 0) is None),
    "leaves": attempt(lambda: ctypes.CDLL(None).unshare(0x10000000) == 0),
    "writes own": attempt(lambda: open("own", "w").write("mine")),
    "reads own": attempt(lambda: open(own).read()),
    "user": os.getuid(),
    "environment": dict(os.environ),
    "folder": os.getcwd(),
}))
"""
FORK_BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
DAEMON = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\n"
FAMILY = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1) * (100 << 20))
        time.sleep(60)
time.sleep(60)
"""


WORKING = set()  # the ways that have been tried and work


@pytest.fixture
def place():
    """Return a folder in reach of all users; pytest's are the caller's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name).resolve()


@pytest.fixture(params=[*sandbox.MODES, "ordinary"])
def way(request, monkeypatch, place):
    """Use each mode in turn, and as root also namespaces as an ordinary user; a mode that this machine lacks must not be claimed."""
    mode, user = request.param, sandbox.NOBODY if ROOT else None
    if mode == "ordinary":
        mode, user = "namespaces", None
        if ROOT:
            (place / "coursework").mkdir()
            monkeypatch.setattr(sandbox, "LAUNCHER", Path(shutil.copy(sandbox.LAUNCHER, place / "coursework")))
            monkeypatch.setattr(sandbox, "LIBRARY", place / "mnistlib")
            for name, value in (("executable", PYTHON[0]), ("prefix", "/usr"), ("base_prefix", "/usr")):
                monkeypatch.setattr(sys, name, value)
            popen = functools.partial(subprocess.Popen, user=ORDINARY, group=ORDINARY, extra_groups=[])
            monkeypatch.setattr(sandbox.subprocess, "Popen", popen)
    monkeypatch.setattr(sandbox, "best", lambda: (mode, user))
    if request.param in WORKING:
        return mode
    try:
        assert start("", place).reason == ""
    except sandbox.SandboxError:
        monkeypatch.undo()
        assert sandbox.best()[0] != mode
        pytest.skip("this machine lacks it, and the report does not claim it")
    WORKING.add(request.param)
    return mode


def start(code: str, folder: Path, *arguments: str, readable=(), stop=None, **limits) -> sandbox.Outcome:
    """Run some code in a new scratch folder."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    scratch.chmod(0o777)
    return sandbox.run([*PYTHON, code, *arguments], scratch, readable, Limits(**{"seconds": 60} | limits), stop=stop)


def running(token: str) -> bool:
    """Say whether a process whose command holds the token is alive."""
    return token in subprocess.run(["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True).stdout


def ends(token: str) -> bool:
    """Say whether such processes end within seconds: where their launcher was stopped, the system kills them a moment later."""
    deadline = time.monotonic() + 10
    while running(token) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not running(token)


def test_what_is_said_to_be_in_force_is_and_nothing_more(way, place, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    (place / "own.txt").write_text("own")
    (place / "secret.txt").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        about = [server.getsockname()[1], *(str(place / name) for name in ("secret.txt", "outside.txt"))]
        about += [str(data.FILE), os.getpid(), str(place / "own.txt")]
        outcome = start(ATTEMPTS, place, json.dumps(about), readable=[place / "own.txt"])
    assert outcome.reason == "", outcome.log
    found = json.loads(outcome.log)
    in_force = set(outcome.protections)
    assert {name: found[name] for name in ("reads own", "writes own")} == {"reads own": True, "writes own": True}
    assert [found["reads"], found["reads labels"], found["writes"]] == ["files" not in in_force] * 3
    assert (place / "outside.txt").exists() == ("files" not in in_force)
    assert found["connects"] == ("network" not in in_force)
    assert found["signals"] == in_force.isdisjoint({"processes", "user"})
    assert found["leaves"] == ("calls" not in in_force)
    assert (found["user"] == sandbox.NOBODY) == ("user" in in_force)
    assert "SECRET_TOKEN" not in found["environment"] and "environment" in in_force
    assert found["folder"] == found["environment"]["HOME"] == found["environment"]["TMPDIR"] != os.getcwd()


def test_the_strongest_way_gives_all_that_it_can():
    mode, user = sandbox.best()
    given = {name for name, there in sandbox.protections().items() if there}
    expected = {"namespaces": {"files", "network", "processes", "end"}, "landlock": {"files", "end"}, "limits": set()}[mode]
    assert expected | {"limits", "environment"} <= given
    assert ("user" in given) == (user is not None)


@pytest.mark.parametrize(
    "code, limits, reason",
    [
        ("while True: pass", {"seconds": 1}, "It ran for more than 1 s."),
        ("while True: pass", {"cpu_seconds": 1}, "It used more than 1 s of CPU time."),
        (FORK_BOMB, {"processes": 20}, "It started more processes and threads than the 20 allowed."),
        (FAMILY, {"memory": 256 << 20}, "It needed more memory than the 256 MB allowed."),
        ("x = bytearray(40 << 30)", {}, "It ended early with the exit code 1."),
        ("open('x', 'wb').write(bytes(2 << 20))", {"file_bytes": 1 << 20}, "It ended early with the exit code 1."),
        (
            "for i in range(20): open(str(i), 'wb').write(bytes(1 << 20))",
            {"folder_bytes": 10 << 20},
            "It wrote more files than allowed, which is 10 MB in all.",
        ),
        ("import sys; sys.exit(3)", {}, "It ended early with the exit code 3."),
        ("import os; os.kill(os.getpid(), 11)", {}, "It was ended by the signal SIGSEGV."),
        ("print('well')", {}, ""),
    ],
    ids=["loop", "cpu", "fork bomb", "memory of all", "allocation", "large file", "many files", "exit code", "signal", "well"],
)
def test_a_program_that_exceeds_a_limit_is_ended_with_a_reason(code, limits, reason, way, place):
    token = f"token{time.time_ns()}"
    outcome = start(code, place, token, **limits)
    assert outcome.reason == reason, outcome.log
    assert outcome.seconds < 60
    assert not running(token)


def test_a_daemon_does_not_outlive_its_program(way, place):
    token = f"token{time.time_ns()}"
    outcome = start(DAEMON, place, token)
    assert outcome.reason == "" and "end" in outcome.protections and not running(token)


def test_a_stopped_call_leaves_no_process(way, place):
    token, stop = f"token{time.time_ns()}", threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(sandbox.SandboxError, match="stopped"):
        start(DAEMON + "time.sleep(600)", place, token, stop=stop)
    assert ends(token)


def test_a_caller_that_is_killed_leaves_no_process(tmp_path):
    token = f"token{time.time_ns()}"
    program = (
        f"from pathlib import Path; from coursework import sandbox; sandbox.run({[*PYTHON, DAEMON + 'time.sleep(600)', token]}, Path('.'))"
    )
    environment = os.environ | {"PYTHONPATH": str(sandbox.LIBRARY.parent)}
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment) as caller:
        while not (tmp_path / "log").exists() and caller.poll() is None:
            time.sleep(0.1)
        caller.kill()
    assert ends(token)


NET = """
import atexit, os, time
import numpy as np
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n=10):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, stride=3)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(256, 10)
        {init}

    def forward(self, x):
        {forward}
        return self.linear(self.norm(self.conv(x)).relu().flatten(1))
"""
NETS = {
    "error": ("pass", "1 / 0", "ZeroDivisionError: division by zero (error.py, line 16)."),
    "exit": ("pass", "exit()", "It called exit() before it was done."),
    "silent": ("pass", "os._exit(0)", "It ended before the training was done."),
    "shape": ("self.linear = nn.Linear(256, 11)", "pass", "The logits after epoch 1 have the shape (200, 11); it must be (200, 10)."),
    "nan": ("pass", "x = x if self.training else x * float('nan')", "Seed 0 diverged in epoch 1: the loss is not finite."),
    "weights": ("self.register_buffer('own', torch.tensor(float('inf')))", "pass", "The weights 'own' are not all finite."),
    "memory": ("pass", "torch.ones(10 << 30)", "It needed more memory than the 4 GB allowed."),
    "file": ("pass", "open('x', 'wb').write(bytes(65 << 20))", "It wrote a file larger than the 64 MB allowed."),
    "forks": ("pass", "[os.fork() or time.sleep(60) for _ in range(100)]", "It started more processes and threads than the 64 allowed."),
    "labels": ("from mnistlib import data; data.load()", "pass", "mnist.npz is missing or was changed"),
    "forged": (
        "atexit.register(lambda: np.save('eval.npy', np.full((200, 10), np.nan, 'f')))",
        "pass",
        "The logits at the end are not all",
    ),
}


def write_net(folder: Path, name: str = "net", init: str = "pass", forward: str = "pass") -> str:
    """Write a net and return what names it."""
    (folder / f"{name}.py").write_text(NET.format(init=init, forward=forward))
    return f"{folder / name}.py:Net"


@pytest.mark.parametrize("name", NETS)
def test_a_net_that_fails_gets_one_sentence(name, few, tmp_path):
    if name == "labels" and not sandbox.protections()["files"]:
        return  # the report says that the file is within reach
    *parts, reason = NETS[name]
    with pytest.raises(TrainingError) as error:
        judge.train_submission(write_net(tmp_path, name, *parts), replace(steps.SKELETON, epochs=1), few, [0], results_dir=tmp_path)
    assert str(error.value).startswith(f"Seed 0 failed. {reason}")


@pytest.fixture(scope="module")
def finished(few, tmp_path_factory):
    """Return two seeds of a net, trained in the sandbox: its name, recipe, runs and results folder."""
    folder = tmp_path_factory.mktemp("finished")
    spec, recipe = write_net(folder), replace(steps.FRONTIER, epochs=2)
    return spec, recipe, judge.train_submission(spec, recipe, few, [3, 1], results_dir=folder), folder


def same(run, other) -> bool:
    """Compare all but times of two runs, to the last bit."""
    histories = [{name: values for name, values in vars(one.history).items() if name != "seconds"} for one in (run, other)]
    assert histories[0] == histories[1]
    assert [len(one.history.seconds) for one in (run, other)] == [len(run.history.eval_loss)] * 2
    for name in ("seed", "n_train", "train_accuracy_clean", "kept_epoch", "final"):
        assert getattr(run, name) == getattr(other, name), name
    for name in ("predictions", "confidences"):
        mine, its = getattr(run, name), getattr(other, name)
        assert mine.dtype == its.dtype and np.array_equal(mine, its), name
    assert run.weights.keys() == other.weights.keys()
    return all(torch.equal(value, other.weights[name]) for name, value in run.weights.items())


def test_training_in_the_sandbox_equals_the_librarys(finished, few, monkeypatch):
    spec, recipe, runs, _ = finished
    monkeypatch.setitem(models.NETS, "submission", lambda dropout: submission.load(spec).factory(None))
    assert [run.seed for run in runs] == [3, 1]
    for run in runs:
        assert same(run, train(replace(recipe, model="submission"), few, run.seed))
        assert run.provenance["protections"] == [name for name, there in sandbox.protections().items() if there]


def test_the_runs_make_a_result_without_building_the_net_here(finished, few, tmp_path, monkeypatch):
    spec, recipe, runs, _ = finished
    monkeypatch.setattr(submission, "load", lambda spec: 1 / 0)
    step = steps.Step("submission", "A submission", replace(recipe, model="net.py:Net"))
    made = judge.result(step, recipe, replace(few, train_limit=None), runs, n_parameters=2_682, n_macs=900, receptive_field=5)
    assert (made.model, made.n_parameters, made.recipe.model, made.verdict.parameters) == ("net.py:Net", 2_682, "net.py:Net", "within")
    assert judge.result(step, recipe, replace(few, train_limit=None), runs, 8_000, 1, 1).verdict.parameters == "over"
    read = results.read(results.save(made, tmp_path))
    assert read.summary.final_mean == pytest.approx(np.mean([run.final for run in runs])) and read.n_parameters == 2_682
    assert read.provenance["protections"] == runs[0].provenance["protections"]


def test_early_stopping_keeps_the_same_weights(few, tmp_path, monkeypatch):
    early = EarlyStopping("validation", restore_best=True)
    recipe = PublishedRecipe(model="submission", optimizer=Optimizer(lr=1.0), schedule=None, epochs=3, early_stopping=early)
    spec = write_net(tmp_path)
    (run,) = judge.train_submission(spec, recipe, few, [1], results_dir=tmp_path)
    assert run.kept_epoch < recipe.epochs
    monkeypatch.setitem(models.NETS, "submission", lambda dropout: submission.load(spec).factory(None))
    assert same(run, train(recipe, few, 1))
    leak = replace(recipe, early_stopping=EarlyStopping("eval"))
    with pytest.raises(SettingError, match="labels"):
        judge.train_submission(spec, leak, few, [0], results_dir=tmp_path)


def test_only_what_is_new_or_changed_is_trained(finished, few, monkeypatch):
    spec, recipe, runs, folder = finished
    trained = []
    monkeypatch.setattr(judge, "train_seed", lambda code, recipe, mnist, seed, *rest: trained.append(seed) or 1 / 0)

    def again(recipe=recipe, mnist=few, seeds=(1,)) -> list[int]:
        trained.clear()
        with pytest.raises(ZeroDivisionError):
            judge.train_submission(spec, recipe, mnist, seeds, workers=1, results_dir=folder)
        return trained

    (run,) = judge.train_submission(spec, recipe, few, [1], results_dir=folder)
    assert same(run, runs[1]) and not trained
    assert again(seeds=[1, 2]) == [2]
    assert again(replace(recipe, epochs=1)) == [1]
    relabelled = replace(few.eval, labels=few.eval.labels.flip(0))
    assert again(mnist=replace(few, eval=relabelled)) == [1]
    Path(spec.partition(":")[0]).write_text(NET.format(init="pass", forward="x = x * 1"))
    assert again() == [1]


def test_the_inputs_hold_no_label_of_the_evaluation_images(few, tmp_path):
    judge.write_inputs(tmp_path, steps.SKELETON, few)
    with np.load(tmp_path / "images.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays}
    assert shapes == {"images": (300, 28, 28), "eval_images": (200, 28, 28)} | dict.fromkeys(("labels", "ids", "writers", "groups"), (300,))
    assert {path.name for path in tmp_path.iterdir()} == {"images.npz", "task.json"}
    assert set(json.loads((tmp_path / "task.json").read_text())) == {"recipe", "split", "train_limit"}


GOOD = np.zeros((5, 10), np.float32)


@pytest.mark.parametrize(
    "array, reason",
    [
        (GOOD[:, :9], "shape"),
        (GOOD[:4], "shape"),
        (GOOD.astype(np.float64)[:4], "shape"),
        (GOOD.view(np.int32), "int32"),
        (GOOD * np.nan, "finite"),
        (GOOD + np.inf, "finite"),
        (np.array([{}]), "cannot be read"),
        (np.zeros((1000, 10), np.float32), "more than 5 rows"),
    ],
)
def test_forged_logits_are_refused(array, reason, tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    assert torch.equal(judge.read_logits(tmp_path / "x.npy", 5, "here"), torch.zeros(5, 10))
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=reason):
        judge.read_logits(tmp_path / "x.npy", 5, "here")


def test_only_regular_files_are_read(tmp_path):
    np.save(tmp_path / "real.npy", GOOD)
    (tmp_path / "link.npy").symlink_to(tmp_path / "real.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    np.savez(tmp_path / "zip.npz", GOOD)
    (tmp_path / "huge.npy").write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 10), }\n"
    )
    for name in ("link.npy", "pipe.npy", "missing.npy", "zip.npz", "huge.npy"):
        with pytest.raises(ValueError):
            judge.read_logits(tmp_path / name, 5, "here")


def test_forged_weights_and_histories_are_refused(tmp_path):
    save_file({"w": torch.tensor([float("nan")])}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="not all finite"):
        judge.read_weights(tmp_path, 1 << 20)
    torch.save({"w": torch.ones(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="cannot be read"):
        judge.read_weights(tmp_path, 1 << 20)
    names = ("train_loss", "train_accuracy", "eval_loss", "eval_accuracy", "learning_rate", "seconds", "monitor_accuracy")
    for values, kept in (([0.5, 1], 3), ([1, 2, 3], None), ([], None), ([float("nan")], None), (["x"], None), ([-1], None), (7, None)):
        (tmp_path / "history.json").write_text(json.dumps({"history": dict.fromkeys(names, values), "kept_epoch": kept}))
        with pytest.raises(ValueError, match="history.json"):
            judge.read_history(tmp_path, replace(steps.SKELETON, epochs=2), 1 << 20)


def test_a_submission_that_is_not_there_is_named():
    with pytest.raises(SettingError, match="There is no file"):
        source.find("not_there.py:Net")
    with pytest.raises(SettingError, match="There is no module"):
        source.find("not_there:Net")
    assert source.find("mnistlib.models:narrow").sha256 == source.find("mnistlib.models:weighted").sha256


def test_a_file_goes_with_what_it_imports_from_its_folder_and_with_nothing_else(tmp_path):
    texts = {
        "net.py": "import os, layers as own\nfrom parts.block import Block\nfrom mnistlib import models\n",
        "layers.py": "if True:\n    import deeper\n",
        "deeper.py": "import net\n",
        "parts/__init__.py": "",
        "parts/block.py": "",
        "others.py": "import layers\n",
        "mnistlib.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = source.find(f"{tmp_path / 'net.py'}:Net")
    names = [path.relative_to(tmp_path).as_posix() for path in found.paths]
    assert names[0] == "net.py" and set(names) == set(texts) - {"others.py", "mnistlib.py"} and len(names) == 5
    (tmp_path / "deeper.py").write_text("import net  # changed\n")
    assert source.find(f"{tmp_path / 'net.py'}:Net").sha256 != found.sha256


def test_the_file_that_is_hidden_is_the_one_with_the_labels():
    assert sandbox.LABELS == data.FILE
