"""Training without a notebook: the result, the log, and a stopped run that resumes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mnistlib import data
from mnistlib.cli import main, training
from mnistlib.errors import SettingError
from mnistlib.report import result as results
from mnistlib.runs import seeds


@pytest.fixture
def given(few: data.Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return parameters for a short run on a few images, which trains in this process."""
    monkeypatch.setattr(data, "load", lambda *_: few)

    def here(recipe: object, mnist: data.Mnist, keys: dict[int, str], workers: int, report: object, folder: Path) -> None:
        for seed, key in keys.items():
            seeds._one(recipe, mnist, seed, key, "cpu", 1, folder, report)

    monkeypatch.setattr(seeds, "_side_by_side", here)
    return {"train_limit": 300, "epochs": 1, "results_dir": str(tmp_path), "device": "cpu"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["003-model-3", "00_skeleton"])
def test_a_model_or_a_step_trains_to_a_result_and_a_log(name, given, tmp_path):
    made, path = training.run(name, given | {"seeds": [1]})
    assert made.path == tmp_path / "results" / f"{name}.json" and results.read(made.path).seeds == [1]
    log = path.read_text().splitlines()
    assert log[0].startswith(f"{name}: ") and any(line.startswith("seed 1  epoch  1/1") for line in log)
    assert (made.result.claim is not None) == (name == "003-model-3")
    assert not list(tmp_path.glob("runs/*.unfinished")), "the next run would not train anew"


def test_a_model_trains_with_its_own_seeds_unless_told_otherwise(given, monkeypatch):
    asked = []
    monkeypatch.setattr(seeds, "train_seeds", lambda recipe, mnist, seeds, *more: asked.append(seeds) or (_ for _ in ()).throw(KeyError))
    for name in ("001-gap", "001-relu", "03_augment"):
        with pytest.raises(KeyError):
            training.run(name, given)
    assert [len(seeds) for seeds in asked] == [5, 3, 5]


@pytest.mark.parametrize(
    ("name", "more", "word"),
    [
        ("03_augmet", {}, "'03_augment'"),
        ("Model 1", {}, "000-model-1, 002-model-1, 003-model-1"),
        ("Model_3", {"epcohs": 3}, "'epochs'"),
        ("Model_3", {"device": "gpu"}, "'cpu'"),
    ],
)
def test_an_unknown_name_or_parameter_stops_before_anything_is_trained(name, more, word, given, tmp_path):
    with pytest.raises(SettingError, match=word):
        training.run(name, given | more)
    assert training.find("Model_3").name == "002-model-3" and not list(tmp_path.rglob("*.log"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_training_says_so_and_resumes_after_its_last_epoch(number, code, given, tmp_path, monkeypatch, capsys):
    journal, n_epochs = tmp_path / "epochs.jsonl", 30
    command = ["train", "00_skeleton", "--seed", "0", "-p", "epochs", str(n_epochs), "-p", "results_dir", str(tmp_path), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["mnistlib", *command])

    def stop() -> None:
        until = time.monotonic() + 60
        while not (journal.is_file() and len(journal.read_text().splitlines()) >= 2) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    assert main.main() == code
    assert "resume" in capsys.readouterr().err and not (tmp_path / "results").exists()
    assert main.main() == 0
    said = capsys.readouterr().out
    assert "resumes after epoch" in said and "No verdict" in said and "Result: " in said and "Log: " in said
    assert [json.loads(line)["epoch"] for line in journal.read_text().splitlines()] == list(range(1, n_epochs + 1))
