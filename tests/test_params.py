"""Parameters of a notebook: what is allowed, what is refused in one sentence, and a misspelt name."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from mnistlib import files, steps
from mnistlib.errors import SettingError
from mnistlib.notebook import params
from mnistlib.runs import device

TAGGED = """seeds: list[int] = [0, 1, 2, 3, 4]  # one training run each
epochs: int | None = None  # None: the recipe's
results_dir: str = "build"  # where results go
"""


@pytest.fixture
def namespace(tmp_path: Path) -> dict:
    """Return what a notebook's `globals()` holds after its parameters cell."""
    return {"seeds": [0, 1], "epochs": None, "results_dir": str(tmp_path / "out")}


def refused(namespace: dict, **changed: object) -> str:
    """Return the sentence with which a parameter is refused."""
    with pytest.raises(SettingError) as caught:
        params.read(namespace | changed)
    assert "\n" not in str(caught.value) and "Params" not in str(caught.value)
    return str(caught.value)


def test_good_values_come_back_in_their_final_types(namespace, tmp_path):
    read = params.read(namespace | {"train_limit": 60_000, "split": "validation", "device": "cpu", "workers": 2, "use_cached": True})
    assert read.seeds == (0, 1) and read.epochs is None and read.train_limit == 60_000 and read.overrides is None
    assert read.split == "validation" and read.results_dir == tmp_path / "out" and read.results_dir.is_dir()
    assert (read.device, read.workers, read.use_cached) == ("cpu", 2, True)
    assert params.read({"results_dir": tmp_path}).seeds == (0, 1, 2, 3, 4)
    assert params.read(namespace | {"seeds": (2**32 - 1,)}).seeds == (2**32 - 1,)


def test_a_check_alone_touches_nothing(namespace, tmp_path):
    assert params.read(namespace, write=False).results_dir == tmp_path / "out"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingError, match="epochs"):
        params.read(namespace | {"epochs": 0}, write=False)


@pytest.mark.parametrize("epochs", [1, 15, 16, 100])
def test_epochs_beyond_the_exercise_may_be_run(namespace, epochs):
    assert params.read(namespace | {"epochs": epochs}).epochs == epochs


def test_overrides_and_epochs_make_the_recipe(namespace):
    own = steps.get("03_augment").recipe
    assert params.read(namespace).recipe(own) == own
    tried = params.read(namespace | {"overrides": {"optimizer.lr": 0.05, "epochs": 9}}).recipe(own)
    assert tried == replace(own, optimizer=replace(own.optimizer, lr=0.05), epochs=9)
    assert params.read(namespace | {"epochs": 3, "overrides": {"epochs": 9}}).recipe(own).epochs == 3


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"optimizer.lrr": 1}, ["lrr", "Did you mean 'lr'"]),
        ({"optimizer.lr": -1}, ["Optimizer.lr", "-1"]),
        ({"model": "narow"}, ["narow", "Did you mean 'narrow'"]),
        ({"model": "no_such_package:net"}, ["no_such_package:net"]),
        ({"augment": 3}, ["augment"]),
    ],
)
def test_a_field_that_the_recipe_does_not_have_is_named(namespace, overrides, words):
    with pytest.raises(SettingError) as caught:
        params.read(namespace | {"overrides": overrides}).recipe(steps.get("03_augment").recipe)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("overrides", value, "") for value in ("lr", ["lr"], {1: 2}, 3)]
    + [("epochs", value, "whole number from 1 to 100") for value in (0, -1, 101, 1.5, 1.0, "x", "3", True, [1])]
    + [("seeds", value, "different whole numbers") for value in ([], [0, 0], [-1], [0.0], [True], ["a"], 3, "0", None, {0})]
    + [("seeds", [2**32], "4,294,967,295")]
    + [("train_limit", value, "from 1 to 60,000") for value in (0, 60_001, 2.5, False, "all")]
    + [("workers", value, "") for value in (0, -2, 1.5, True, "two", 1025)]
    + [("use_cached", value, "True or False") for value in (1, "yes", None)]
    + [("results_dir", value, "folder") for value in (None, "", "  ", 3)]
    + [("split", value, "'test' or 'validation'") for value in (None, "fold 1 of 5", ["test"])]
    + [("device", value, "'cpu'") for value in (None, "tpu", 0)],
)
def test_values_out_of_range_say_what_is_allowed(namespace, name, value, allowed):
    sentence = refused(namespace, **{name: value})
    assert sentence.startswith(f"{name} is ") and allowed in sentence and "must be" in sentence, sentence


@pytest.mark.parametrize(
    ("name", "value", "guess"), [("split", "validate", "validation"), ("device", "cdua", "cuda"), ("split", "Test", "test")]
)
def test_unknown_words_name_the_nearest(namespace, name, value, guess):
    assert f"Did you mean {guess!r}" in refused(namespace, **{name: value})


def test_a_device_that_is_not_there_says_which_are(namespace):
    absent = sorted({"cuda", "mps"} - set(device.available()))
    assert "'cpu'" in refused(namespace, device=absent[0])


def test_a_results_folder_that_cannot_be_written(namespace, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file" / "below") in refused(namespace, results_dir=str(tmp_path / "file" / "below"))


def test_a_relative_results_folder_counts_from_the_root(namespace, tmp_path, monkeypatch):
    for folder in ("mnistlib", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mnistlib" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert params.read(namespace | {"results_dir": "mine"}).results_dir == files.root() / "mine" == tmp_path / "mine"


def test_names_of_parameters_are_checked():
    params.check_names(["epochs"], ["seeds", "epochs"])
    with pytest.raises(SettingError, match="'epcohs'.*Did you mean 'epochs'"):
        params.check_names(["seeds", "epcohs"], ["seeds", "epochs"])


def test_what_a_cell_assigns():
    assert params.assigned(TAGGED + "a.b = 1\nc = f()\nd, e = 1, 2") == {
        "seeds": [0, 1, 2, 3, 4], "epochs": None, "results_dir": "build", "c": None
    }  # fmt: skip
    assert params.assigned("%matplotlib inline") == {}


@pytest.mark.parametrize("between", [[], ["mine = 1"]], ids=["at once", "after a cell of the user's"])
def test_a_misspelt_parameter_is_named_with_its_nearest(namespace, between):
    history = ["", TAGGED, *between, "# Parameters\nepcohs = 1\n", "from mnistlib.notebook import params\nparams.read(globals())"]
    sentence = refused(namespace, In=history)
    assert "'epcohs'" in sentence and "Did you mean 'epochs'" in sentence and "seeds, epochs, results_dir" in sentence


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(["", TAGGED, "# Parameters\nepochs = 1\nseeds = [0]\n", "mine = 3"], id="known names"),
        pytest.param(["", "mine = 1", TAGGED, "epcohs = 5", "params.read(globals())"], id="a user's own variable"),
        pytest.param(["", TAGGED + "mine: int = 1\n", "# Parameters\nmine = 2\n"], id="a parameter that the user added"),
        pytest.param(["", "mine = 1", "# Parameters\n" + TAGGED], id="the tagged cell, commented like papermill's"),
        pytest.param(
            ["", "# Parameters\n" + TAGGED, "# Parameters\n" + TAGGED + "mine: int = 1\n"], id="such a cell, added to and run again"
        ),
        pytest.param(["", TAGGED, "# Parameters\nimport math\nmine = 2\n"], id="a user's own cell, commented like papermill's"),
        pytest.param(["", TAGGED, '# Parameters\nPAPERMILL_INPUT_PATH = "a.ipynb"\n'], id="papermill's own names"),
        pytest.param(["", TAGGED, "# Parameters\nepcohs = 1\n", TAGGED, "# Parameters\nepochs = 1\n"], id="put right and run again"),
        pytest.param(["", "%matplotlib inline", "# Parameters\nmine = 2\n"], id="a notebook without these parameters"),
    ],
)
def test_names_that_do_not_count_as_misspelt(namespace, history):
    assert params.read(namespace | {"In": history}).epochs is None


@pytest.mark.slow
def test_papermill_called_directly_stops_with_one_sentence(tmp_path):
    tagged = v4.new_code_cell(TAGGED, metadata={"tags": ["parameters"]})
    setup = v4.new_code_cell("from mnistlib.notebook import params\nchosen = params.read(globals())\nprint('went' + ' on')")
    notebook = v4.new_notebook(
        cells=[tagged, setup], metadata={"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    )
    (tmp_path / "in.ipynb").write_text(nbformat.writes(notebook))
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "epcohs", "1", "--log-output"]
    environment = os.environ | {"PYTHONPATH": str(files.root())}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "'epcohs'" in done.stderr and "'epochs'" in done.stderr
    executed = (tmp_path / "out.ipynb").read_text()
    assert "went on" not in done.stderr + executed and "params.py" not in executed, "a traceback was shown"
