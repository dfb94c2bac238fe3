"""A net of one's own from its file to its page: checked, trained in the sandbox, placed among the others, taken away."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import click
import nbformat
import numpy as np
import papermill
import psutil
import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file

from cloud import job
from coursework import commands, inspection, judge, own_report, recipes, standing, submission, tables
from mnistlib import data, files, steps
from mnistlib.cli import main
from mnistlib.errors import SettingError
from mnistlib.recipe import Optimizer, Recipe
from mnistlib.report import result as results
from mnistlib.report import test_set_log as looks
from mnistlib.train import logits

NOTEBOOK = files.root() / "notebooks" / "your_own.ipynb"
SHORT = ("--seeds", "2", "--epochs", "1", "--train-limit", "200", "--workers", "2")
NET = """
import torch
from torch import nn
{recipe}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, stride=3, bias={bias})
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(256, {outputs})

    def forward(self, x):
        {forward}
        return self.linear(self.norm(self.conv(x)).relu().view(-1, 256))  # as in most tutorials
"""


def write(folder: Path, name: str = "net", recipe: str = "", bias: bool = False, outputs: int = 10, forward: str = "pass") -> Path:
    path = folder / f"{name}.py"
    path.write_text(NET.format(recipe=recipe, bias=bias, outputs=outputs, forward=forward))
    return path


@pytest.fixture
def ask(capsys, monkeypatch):
    """Return a function that runs the command and returns its exit code, what it prints, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coursework", "judge", *map(str, words)])
        try:
            code = main.main(click.Group("coursework", [commands.judge]), "coursework")
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> tuple[Path, str]:
    """Return the results folder of a net with a recipe and a flaw, and what was printed; trained once, each worker has a copy."""
    mine = tmp_path_factory.mktemp("judged")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with FileLock(f"{folder}.lock"):
        if not (folder / "said").exists():
            folder.mkdir(exist_ok=True)
            path = write(folder, recipe='RECIPE = {"optimizer": {"lr": 0.05}, "batch_size": 32}', bias=True)
            words = [sys.executable, "-m", "coursework", "judge", path.name, *SHORT, "--out", str(folder / "out")]
            environment = {"PYTHONPATH": str(files.root()), "PWD": str(folder)}
            done = subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "said").write_text(done.stdout)
    shutil.copytree(folder, mine, dirs_exist_ok=True)
    return mine / "out", (mine / "said").read_text()


def text(notebook: Path) -> str:
    """Return all that a notebook shows, as text."""
    outputs = [one for cell in nbformat.read(notebook, 4).cells for one in cell.get("outputs", ())]
    return "\n".join(one.get("data", {}).get("text/plain", one.get("text", "")) for one in outputs)


def test_a_net_gets_a_page_with_all_that_it_should_hold(judged):
    out, said = judged
    page, shown = (out / "net-Net.html").read_text(), text(out / "your_own.ipynb")
    assert "seed 0  epoch  1/1  accuracy" in said and "seed 1  epoch  1/1  accuracy" in said
    assert "net-Net.html" in said and "bias-before-norm" in said and "2 seeds of 5, 1 epoch of 15 and 200 training images" in said
    for heading in ("Rules", "Recipe", "Curves", "Result", "Where it stands", "Mistakes", "Take away", "Provenance"):
        assert f">{heading}<" in page
    assert "No verdict" in said and "This is a short run: 2 seeds of 5" in page.partition('id="Rules"')[0] and "not held" not in page
    for word in ("bias-before-norm", "net.py, line 9", "at least 99.40%", "Confusion matrix", "04_frontier", "001-batchnorm", "in force"):
        assert word in shown
    assert page.count('class="plot"') == 4 and page.count("download=") == 2
    assert "optimizer.lr" in shown and "0.05" in shown and "No look at the test images" in shown


def test_its_result_is_one_like_the_others(judged):
    out, _ = judged
    found = results.read(out / "results" / "net-Net.json")
    assert (found.split, found.epochs, found.n_train, found.seeds, found.n_parameters) == ("validation", 1, 200, [0, 1], 2682)
    assert (found.recipe.optimizer.lr, found.recipe.batch_size, found.model) == (0.05, 32, "net.py:Net")
    assert (
        found.recipe.augment == steps.AUGMENT.augment
        and [one.outcome for one in found.claims] == ["inconclusive"]
        and found.provenance["protections"]
    )
    predictions, _ = results.read_predictions(found, out)
    assert predictions.shape == (2, found.n_eval)


def test_the_weights_and_the_onnx_file_are_the_same_net(judged, validation):
    out, _ = judged
    net = submission.load(f"{out.parent / 'net.py'}:Net").factory(None)
    net.load_state_dict(load_file(out / "checkpoints" / "net-Net-seed0.safetensors"))
    few = validation.eval.subset(np.arange(50))
    mine = logits(net, few)
    predictions, _ = results.read_predictions(results.read(out / "results" / "net-Net.json"), out)
    assert np.array_equal(mine.argmax(1).numpy(), predictions[0, :50])
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(out / "checkpoints" / "net-Net-seed0.onnx"), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["logits"], {"pixels": few.images[:, None].float().numpy()})
    assert torch.allclose(torch.from_numpy(theirs), mine, atol=1e-4)


def test_papermill_runs_the_notebook_and_finished_seeds_are_not_trained_again(judged, tmp_path, monkeypatch):
    out, _ = judged
    trained = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    given = {"model": "net.py", "seeds": [0, 1], "epochs": 1, "train_limit": 200, "results_dir": str(out)}
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", given, cwd=out.parent, progress_bar=False, kernel_name="python3")
    assert "04_frontier" in text(tmp_path / "out.ipynb")
    assert trained == {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()} and len(trained) == 2


def test_a_net_that_breaks_a_rule_is_not_trained(ask, tmp_path):
    path = write(tmp_path, outputs=40, forward="x = x.mean(0, keepdim=True).expand_as(x)")
    code, said, error = ask(path, *SHORT, "--out", tmp_path / "out")
    assert code == 1 and "output-shape" in said and "not trained" in error and not (tmp_path / "out" / "runs").exists()
    page = (tmp_path / "out" / "net-Net.failed.html").read_text()
    assert "output-shape" in page and "net.py, line 13" in page and "short run" not in said


def test_a_net_that_breaks_a_rule_can_be_trained_anyway_and_a_failure_has_its_reason(ask, tmp_path):
    noisy = "x = x + torch.rand_like(x) if not self.training or len(x) < 64 else x * float('nan')"
    code, said, error = ask(write(tmp_path, forward=noisy), *SHORT, "--seeds", "1", "--anyway", "--out", tmp_path / "out")
    assert code == 1 and "random-evaluation" in said and "Seed" in error and "diverged" in error and error.count("\n") == 1
    page = (tmp_path / "out" / "net-Net.failed.html").read_text()
    assert "net-Net.failed.html" in said and "diverged" in page and "random-evaluation" in page, "the page says why, and what is known"
    assert (
        "Traceback" not in page
        and "In [" not in page
        and [path.name for path in (tmp_path / "out").glob("*.html")] == ["net-Net.failed.html"]
    )


def test_a_net_that_breaks_keeps_its_page_and_one_that_is_mended_has_no_failed_page_any_more(judged, ask):
    out, _ = judged
    pages, good = [out / f"net-Net{kind}.html" for kind in (".failed", "")], (out.parent / "net.py").read_text()
    path = write(out.parent, forward="x = x * float('nan')")
    assert ask(path, *SHORT, "--out", out)[0] == 1 and [page.exists() for page in pages] == [True, True]
    path.write_text(good)
    assert ask(path, *SHORT, "--out", out)[0] == 0 and [page.exists() for page in pages] == [False, True]


def test_where_the_machine_fails_the_page_of_the_notebook_is_told(ask, tmp_path):
    def is_training(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return any("ipykernel" in word for word in process.cmdline()) and bool(process.children())
        return False

    def kill() -> None:
        while not (kernels := [one for one in psutil.Process().children() if is_training(one)]):
            time.sleep(0.05)
        kernels[0].kill()

    (thread := threading.Thread(target=kill)).start()
    code, said, error = ask(write(tmp_path), *SHORT, "--out", tmp_path / "out")
    thread.join()
    page = tmp_path / "out" / "your_own.failed.html"
    assert code == 1 and page.is_file() and page.name in said and page.with_suffix(".ipynb").name in error
    assert not list((tmp_path / "out").glob("net-Net*"))


def test_every_epoch_is_told_as_soon_as_its_logits_are_there(tmp_path, validation, caplog):
    labels, recipe = validation.eval.labels, replace(steps.AUGMENT, epochs=3)
    right = torch.nn.functional.one_hot(labels, 10).float().numpy()
    caplog.set_level("INFO", "mnistlib")

    def told(n: int) -> list[str]:
        end = time.monotonic() + 20
        while len(caplog.messages) < n and time.monotonic() < end:
            time.sleep(0.05)
        return caplog.messages

    with judge.progress(tmp_path, recipe, validation, 7):
        np.save(tmp_path / "epoch1.npy", np.roll(right, 1, axis=1))
        assert len(told(1)) == 1 and "seed 7  epoch  1/3  accuracy 0.00%" in told(1)[0]
        whole = io.BytesIO()
        np.save(whole, right)
        (tmp_path / "epoch2.npy").write_bytes(whole.getvalue()[:-4])
        time.sleep(3 * judge.LOOK)
        assert len(caplog.messages) == 1, "a file that is not wholly written is not read"
        (tmp_path / "epoch2.npy").write_bytes(whole.getvalue())
        assert "epoch  2/3  accuracy 100.00%" in told(2)[1]
        np.save(tmp_path / "epoch3.npy", right)
    assert "epoch  3/3" in caplog.messages[-1], "what is left at the very end is told too"


@pytest.mark.parametrize(
    ("recipe", "name", "word"),
    [
        ("", "other.py:Net", "There is no file"),
        ("", "net.py:Nte", "Did you mean 'Net'?"),
        ("RECIPE = nothing_there", "net.py:Net", "RECIPE in line 4 has no value"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_two(ask, tmp_path, recipe, name, word):
    write(tmp_path, recipe=recipe)
    code, said, error = ask(tmp_path / name, "--out", tmp_path / "out")
    assert code == 2 and word in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_recipe_changes_the_series_or_replaces_it():
    own = Recipe(model="mine", optimizer=Optimizer(lr=0.3), schedule=None, epochs=7)
    assert recipes.changed(recipes.plain(own)) == replace(own, model="softmax")
    some = recipes.plain({"optimizer": {"lr": 0.3}, "augment": None, "schedule.peak": 2.0})
    series = replace(steps.AUGMENT, model="softmax", augment=None)
    expected = replace(series, optimizer=replace(series.optimizer, lr=0.3), schedule=replace(series.schedule, peak=2.0))
    assert recipes.changed(some) == expected
    assert recipes.changed(None, {"batch_size": 32}, 3) == replace(steps.AUGMENT, model="softmax", batch_size=32, epochs=3)


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        (7, "RECIPE is of the type int"),
        (None, "RECIPE is of the type NoneType"),
        ({"augment": object()}, "not JSON"),
        ({"epochs": float("nan")}, "Recipe.epochs"),
        ({"optimizer": {"lr": -1.0}}, "Optimizer.lr is -1.0"),
        ({"epochs": 101}, "from 1 to 100"),
        ({"class": "os:getcwd"}, "no field 'class'"),
        ({"epochs.x": 1}, "epochs has no fields"),
    ],
)
def test_a_recipe_that_is_none_is_refused_in_one_sentence(recipe, word):
    with pytest.raises(SettingError, match=word) as error:
        recipes.changed(recipes.plain(recipe))
    assert "\n" not in str(error.value)


def test_like_is_compared_with_like(judged):
    out, _ = judged
    found = results.read(out / "results" / "net-Net.json")
    held_out, test = standing.panels(found).values()
    assert [row.name for row in held_out if row.own] == [standing.OWN]
    assert {row.name for row in held_out if not row.own} <= {"softmax", *steps.STEPS}
    assert [row.measured for row in test if row.own] == [False]
    assert {row.name for row in standing.panels(replace(found, split="test"))["On the test images"]} >= {"softmax", *steps.STEPS}
    for row in standing.on_folds():
        assert row.interval[0] < row.mean < row.interval[1]
    ratios = standing.ratios(standing.on_folds(), standing.on_test())
    assert len(ratios) >= 5 and all(0.5 < ratio < 1 for ratio in ratios.values())
    low, high = standing.expected(found, ratios).interval
    assert found.summary.interval[0] < low < high and found.summary.final_mean < high
    assert "trained 1 epoch" in standing.comparable(found).text and "200 images" in standing.comparable(found).text


def test_a_full_run_claims_what_a_step_claims_and_a_short_one_leaves_it_open(judged, validation, tmp_path):
    out, _ = judged
    found = results.read(out / "results" / "net-Net.json")
    (run, *_), net = results.read_runs(found, out), inspection.read(str(out.parent / "net.py"), results_dir=tmp_path)
    net = replace(net, answer=replace(net.answer, recipe={"epochs": 1}))  # as RECIPE = {"epochs": 1} would have it
    for mnist, n_seeds, n_claims in ((validation, 5, 2), (validation, 4, 1), (data.load("validation", 200), 5, 1)):
        runs = [replace(run, seed=seed) for seed in range(n_seeds)]
        report = own_report.make(net, net.recipe(), mnist, runs, tmp_path)
        claims = own_report.claims(net, report)
        assert len(claims) == n_claims and (report.result.verdict is None) == (n_claims == 1)


def test_a_step_trained_on_the_same_images_is_compared_image_by_image(judged, validation, tmp_path, monkeypatch):
    out, _ = judged
    found = results.read(out / "results" / "net-Net.json")
    runs, mnist = results.read_runs(found, out), data.load("validation", 200)
    report = own_report.StepReport(None, found, tmp_path / "results" / "net-Net.json", mnist, runs, None, None, "")
    assert standing.differences(report) == {} and "mnistlib report 03_augment" in standing.paired(report).text
    results.save(replace(found, step="03_augment", runs=tuple(runs)), tmp_path)
    (name, difference), *_ = standing.differences(report).items()
    assert name == "03_augment" and difference.effect.value == 0


def test_a_look_at_the_test_images_is_recorded(judged, tmp_path):
    out, _ = judged
    found = replace(results.read(out / "results" / "net-Net.json"), split="test")
    tables.look(found, tmp_path)
    assert "records: 1, of this net 1" in tables.look(found, tmp_path).text
    assert [look["step"] for look in looks.read(tmp_path / "test_looks.json")] == ["net-Net"]


def test_the_text_of_a_file_can_go_with_the_notebook(ask, tmp_path, monkeypatch):
    path = write(tmp_path)
    code, said, _ = ask(f"{path}:Net", "--seeds", "3", "--parameters", tmp_path / "net.yaml")
    given = yaml.safe_load((tmp_path / "net.yaml").read_text())
    assert code == 0 and given["model"] == "net.py:Net" and given["seeds"] == [0, 1, 2] and given["source"] == path.read_text()
    job.make(NOTEBOOK, {name: value for name, value in given.items() if name != "results_dir"})
    path.unlink()
    where = inspection.place(given["model"], given["source"], tmp_path / "out")
    assert Path(where.rpartition(":")[0]).read_text() == given["source"]
    with pytest.raises(SettingError, match="`source`"):
        inspection.place(given["model"], None, tmp_path)
    with pytest.raises(SettingError, match="module"):
        inspection.parameters("mnistlib.models:weighted", {})
    (tmp_path / "layers.py").write_text("")
    with pytest.raises(SettingError, match=r"imports layers.py from its folder"):
        inspection.parameters(str(write(tmp_path, recipe="import layers")), {})


def test_the_command_and_the_notebook_have_the_same_defaults():
    cells = nbformat.read(NOTEBOOK, 4).cells
    (settings,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ()))
    assert f"epochs: int = {own_report.EPOCHS} " in settings
    assert f"seeds: list = {json.dumps(list(range(own_report.SEEDS)))} " in settings
