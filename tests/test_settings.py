"""Parameters of a step notebook: what is allowed, what is said, and a misspelt name."""

from __future__ import annotations

import ast
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
from mnistlib.recipe import Augment

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
    return str(caught.value)


def test_good_values_come_back_in_their_final_types(namespace, tmp_path):
    read = params.read(namespace | {"limit": 60_000, "split": "validation", "device": "cpu", "workers": 2, "reuse": True})
    assert read.seeds == (0, 1) and read.epochs is None and read.limit == 60_000
    assert read.split == "validation" and read.dataset == "auto" and read.data_dir is None
    assert read.results_dir == tmp_path / "out" and read.results_dir.is_dir()
    assert (read.device, read.workers, read.reuse) == ("cpu", 2, True)


@pytest.mark.parametrize("epochs", [1, 15, 16, 100])
def test_epochs_beyond_the_exercise_may_be_run(namespace, epochs):
    assert params.read(namespace | {"epochs": epochs}).epochs == epochs


def test_fields_of_the_recipe_are_replaced_one_by_one(namespace):
    own = steps.get("03_augment").recipe
    assert params.read(namespace).recipe(own) == own
    tried = params.read(namespace | {"fields": {"optimizer.lr": 0.05, "augment.rotate": 5, "dropout": 0.1}}).recipe(own)
    assert tried == replace(own, optimizer=replace(own.optimizer, lr=0.05), augment=replace(own.augment, rotate=5), dropout=0.1)
    plain = params.read(namespace | {"epochs": 3, "fields": {"augment.shift": 1.0, "epochs": 9}}).recipe(steps.get("00_skeleton").recipe)
    assert plain.augment == Augment(shift=1.0) and plain.epochs == 3


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"optimizer.lrr": 1}, "Optimizer has no field 'lrr'.* Did you mean 'lr'"),
        ({"optimizer.lr": -1}, "Optimizer.lr is -1; it must be"),
        ({"lr": 1}, "Recipe has no field 'lr'"),
        ({"epochs.many": 1}, "epochs has no fields of its own"),
        ({"augment": 3}, "augment"),
    ],
)
def test_a_field_that_the_recipe_does_not_have_is_named(namespace, fields, match):
    with pytest.raises(SettingError, match=match):
        params.read(namespace | {"fields": fields}).recipe(steps.get("03_augment").recipe)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("fields", value, "None or fields of the recipe") for value in ("lr", ["lr"], {1: 2}, 3)]
    + [("epochs", value, "a whole number from 1 to 100") for value in (0, -1, 101, 1.5, 1.0, "x", "3", True, [1])]
    + [
        ("seeds", value, "a list of one or more different whole numbers")
        for value in ([], [0, 0], [-1], [0.0], [True], ["a"], 3, "0", None, {0})
    ]
    + [("seeds", [2**32], "from 0 to 4,294,967,295")]
    + [("limit", value, "from 1 to 60,000") for value in (0, 60_001, 2.5, False, "all")]
    + [("workers", value, "a whole number from 1") for value in (0, -2, 1.5, True, "two")]
    + [("reuse", value, "True or False") for value in (1, "yes", None)]
    + [("results_dir", value, "a folder's path") for value in (None, "", "  ", 3)]
    + [("data_dir", value, "None or a folder's path") for value in ("", 3, True)],
)
def test_values_out_of_range_say_what_is_allowed(namespace, name, value, allowed):
    sentence = refused(namespace, **{name: value})
    assert sentence.startswith(f"{name} is ") and allowed in sentence and "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "value", "guess"),
    [("split", "validate", "validation"), ("dataset", "mnsit", "mnist"), ("device", "cdua", "cuda"), ("split", "Test", "test")],
)
def test_unknown_words_name_the_nearest(namespace, name, value, guess):
    assert refused(namespace, **{name: value}).endswith(f"Did you mean {guess!r}?")


def test_a_device_that_is_not_there_says_which_are(namespace):
    absent = sorted({"cuda", "mps"} - set(params.devices()))
    sentence = refused(namespace, device=absent[0])
    assert "does not offer" in sentence and "'cpu'" in sentence


def test_a_results_folder_that_cannot_be_written(namespace, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused(namespace, results_dir=str(tmp_path / "file" / "below"))


def test_a_relative_results_folder_counts_from_the_root(namespace, tmp_path, monkeypatch):
    for folder in ("mnistlib", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mnistlib" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert params.read(namespace | {"results_dir": "mine"}).results_dir == files.root() / "mine" == tmp_path / "mine"


@pytest.mark.parametrize("between", [[], ["mine = 1"]], ids=["at once", "after a cell of the user's"])
def test_a_misspelt_parameter_is_named_with_its_nearest(namespace, between):
    history = ["", TAGGED, *between, "# Parameters\nepcohs = 1\n", "from mnistlib import settings\nsettings.read(globals())"]
    assert refused(namespace, In=history) == (
        "There is no parameter 'epcohs'. Did you mean 'epochs'? The parameters are seeds, epochs, results_dir."
    )


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(["", TAGGED, "# Parameters\nepochs = 1\nseeds = [0]\n", "mine = 3"], id="known names"),
        pytest.param(["", "mine = 1", TAGGED, "epcohs = 5", "settings.read(globals())"], id="a user's own variable"),
        pytest.param(["", TAGGED + "mine: int = 1\n", "# Parameters\nmine = 2\n"], id="a parameter that the user added"),
        pytest.param(["", "mine = 1", "# Parameters\n" + TAGGED], id="the tagged cell, commented like papermill's"),
        pytest.param(
            ["", "# Parameters\n" + TAGGED, "# Parameters\n" + TAGGED + "mine: int = 1\n"], id="such a cell, added to and run again"
        ),
        pytest.param(["", TAGGED, '# Parameters\nPAPERMILL_INPUT_PATH = "a.ipynb"\n'], id="papermill's own names"),
        pytest.param(["", TAGGED, "# Parameters\nepcohs = 1\n", TAGGED, "# Parameters\nepochs = 1\n"], id="put right and run again"),
        pytest.param(["", "%matplotlib inline", "# Parameters\nmine = 2\n"], id="a notebook without these parameters"),
    ],
)
def test_names_that_do_not_count_as_misspelt(namespace, history):
    assert params.read(namespace | {"In": history}).epochs is None


def test_papermill_called_directly_stops_with_one_sentence(tmp_path):
    tagged = v4.new_code_cell(TAGGED, metadata={"tags": ["parameters"]})
    setup = v4.new_code_cell("from mnistlib import settings\nchosen = settings.read(globals())\nprint('went on')")
    notebook = v4.new_notebook(
        cells=[tagged, setup], metadata={"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    )
    (tmp_path / "in.ipynb").write_text(nbformat.writes(notebook))
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "epcohs", "1", "--log-output"]
    environment = os.environ | {"PYTHONPATH": str(files.root())}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "SettingError: There is no parameter 'epcohs'. Did you mean 'epochs'?" in done.stderr
    assert "went on" not in done.stderr + (tmp_path / "out.ipynb").read_text().replace("print('went on')", "")
    assert "settings.py" not in (tmp_path / "out.ipynb").read_text(), "a traceback was shown"


def test_torch_is_not_imported_for_reading_parameters():
    tree = ast.parse(Path(params.__file__).read_text())
    assert not any(alias.name == "torch" for node in tree.body if isinstance(node, ast.Import) for alias in node.names)
