"""Training without a notebook: the same trials, the same result, a log; and many rows at once, resumed where they stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnistlib import data, files
from mnistlib.cli import summaries, training
from mnistlib.errors import SettingError
from mnistlib.published import registry
from mnistlib.report import results
from mnistlib.runs import seeds as trials


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep trials in a folder of the test's own."""
    monkeypatch.setattr(trials, "FOLDER", str(tmp_path / "trials"))
    return tmp_path


def given(folder: Path, **more: object) -> dict[str, object]:
    return {"dataset": "digits", "limit": 400, "epochs": 1, "results_dir": str(folder), "device": "cpu", "workers": 1} | more


@pytest.mark.slow
@pytest.mark.parametrize("name", ["003-model-3", "05_short", "002-model-3-by-validation"])
def test_a_row_or_a_step_trains_to_the_same_result_as_its_notebook(name, scratch):
    lines: list[str] = []
    done = training.run(name, given(scratch, seeds=[1]), lines.append)
    assert done.path == scratch / "digits" / "results" / f"{name}.json" and results.read(done.path) == done.result
    log = done.log.read_text().splitlines()
    assert log == [line for line in lines if line in log] and log[0].startswith(f"{name}: ")
    assert any(line.startswith("seed 1  epoch  1/1") for line in log) and any("not MNIST" in line for line in log)
    assert done.result.seeds == [1] and (done.result.claim is not None) == (name == "003-model-3")
    said = summaries.training(done)
    assert any(line.startswith("No verdict") for line in said) and said[-2].startswith("Result: ") and said[-1].startswith("Log: ")
    weights = results.weights(done.result.runs[0], scratch / "digits")
    (again,) = trials.fit(done.result.recipe, data.load("digits", limit=400), [1], "cpu", 1, True, lambda line: None)
    assert all((again.weights[key] == value).all() for key, value in weights.items())


def test_a_row_trains_with_its_own_seeds_unless_told_otherwise(scratch, monkeypatch):
    asked = []
    monkeypatch.setattr(training.trials, "fit", lambda recipe, mnist, seeds, **more: asked.append(seeds) or (_ for _ in ()).throw(KeyError))
    for name in ("001-gap", "001-relu", "03_augment"):
        with pytest.raises(KeyError):
            training.run(name, given(scratch), lambda line: None)
    assert [len(seeds) for seeds in asked] == [5, 3, 5]


def test_an_unknown_name_or_parameter_stops_before_anything_is_read(scratch):
    with pytest.raises(SettingError, match="There is no step or row '03_augmet'. Did you mean '03_augment'\\? The steps are 00_skeleton, "):
        training.run("03_augmet", given(scratch))
    with pytest.raises(SettingError, match="several rows 'Model 1': 000-model-1, 002-model-1, 003-model-1"):
        training.run("Model 1", given(scratch))
    with pytest.raises(SettingError, match="There is no parameter 'epcohs'. Did you mean 'epochs'"):
        training.run("Model_3", given(scratch, epcohs=3))
    with pytest.raises(SettingError, match="device is 'gpu'"):
        training.run("Model_3", given(scratch, device="gpu"))
    assert training.find("Model_3").name == "002-model-3" and not list(scratch.rglob("*.log"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "a request to end"])
def test_a_stopped_training_says_so_and_goes_on_from_its_last_epoch(tmp_path, number, code):
    mnist = data.load("digits", limit=401 if number == signal.SIGINT else 402)
    recipe = replace(registry.get("003-model-1").recipe, epochs=60)
    unfinished = files.root() / trials.FOLDER / f"{trials.key(recipe, mnist, 0)}.state"
    command = [sys.executable, "-m", "mnistlib", "train", "003-model-1", "--device", "cpu", "--seed", "0", "-p", "dataset", "digits"]
    command += ["-p", "limit", str(len(mnist.train.labels)), "-p", "epochs", "60", "-p", "results_dir", str(tmp_path)]
    try:
        for start in ("epoch  1/60", "goes on after epoch"):
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
                assert any(start in line for line in process.stdout), process.communicate()[1]
                process.send_signal(number)
                _, said = process.communicate(timeout=60)
            assert process.returncode == code
            assert said.strip().splitlines() == ["Stopped; the same command goes on where it stopped."]
            assert unfinished.is_file() and not (tmp_path / "digits" / "results").exists()
    finally:
        unfinished.unlink(missing_ok=True)
