"""The notebooks' sources: stripped, of one shape, and each step's runs."""

import re
from dataclasses import replace

import nbformat
import numpy as np
import pytest

from mnistlib import data, files, runs, steps
from mnistlib.notebook import params, runner
from mnistlib.report import result as results

FOLDER = files.root() / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
HEADINGS = [
    "Target",
    "Change",
    "Data",
    "Model",
    "Training",
    "Curves",
    "Result",
    "Mistakes",
    "Analysis",
    "Take-away",
    "Exercise",
    "Provenance",
]


def story(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in story(name).cells if cell.cell_type == "code"]


def parameters(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in code(name) if "parameters" in cell.metadata.get("tags", ())]


def test_every_step_has_its_notebook():
    assert set(steps.STEPS) <= set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stripped_and_small(name):
    assert not any(cell.outputs or cell.execution_count for cell in code(name))
    assert len(code(name)) <= 15 + len(parameters(name))
    assert all(len(cell.source.splitlines()) <= 10 for cell in code(name))
    assert not any(re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE) for cell in code(name)), "cells call, modules define"
    assert story(name).metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", steps.STEPS)
def test_a_step_has_one_parameters_cell_with_the_defaults_and_a_comment_each(name):
    [cell] = parameters(name)
    assert cell.source == code(name)[0].source
    known = {field: getattr(params.Params(), field) for field in params.Params.__dataclass_fields__}
    known |= {"seeds": list(known["seeds"]), "results_dir": str(known["results_dir"])}
    assert params.assigned(cell.source) == known
    assert all("  # " in line for line in cell.source.splitlines())


@pytest.mark.parametrize("name", steps.STEPS)
def test_a_step_has_its_headings_in_order_and_no_number_that_a_run_produced(name):
    text = "\n".join(cell.source for cell in story(name).cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (.+)$", text, flags=re.M) == HEADINGS
    assert len(re.findall(r"^# ", text, flags=re.M)) == 1
    assert not re.search(r"\b\d", re.sub(r"^# .*$|`[^`]*`|\]\([^)]*\)", "", text, flags=re.M)), "prose holds a digit"


def test_steps_share_their_code_but_for_what_is_their_own():
    """A copy of a cell may not drift: name, imports, change, images, net, claims and what stands beside it alone may differ."""
    for name in set(steps.STEPS) - {"01_capacity"}:
        shared = {cell.source for cell in code("01_capacity")}
        differing = [cell.source for cell in code(name) if cell.source not in shared]
        begins = (
            "import importlib",
            "from mnistlib import",
            "step = ",
            "display(tables.change",
            "from torch",
            "net = model_summary",
            "result_tables.claims",
            "found = [report.",
            "display(result_tables.ablations",
        )
        assert len(differing) <= 6 and all(source.startswith(begins) for source in differing), name


def train_seeds(recipe, mnist, seeds, *_, **__):
    """Train in this process: a worker's start takes longer than its training."""
    return [replace(runs.train(recipe, mnist, seed), key=f"{seed:024x}", provenance={"started": "2026-03-04"}) for seed in seeds]


SHORT = {"seeds": [0], "epochs": 1, "train_limit": 200, "workers": 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", steps.STEPS)
def test_the_cells_of_a_step_run(name, tmp_path, monkeypatch):
    load, shown = data.load, []
    few = np.arange(500)  # of the images that are evaluated
    monkeypatch.setattr(data, "load", lambda *args: replace(mnist := load(*args), eval=mnist.eval.subset(few)))
    monkeypatch.setattr(runs, "train_seeds", train_seeds)
    namespace = {"display": lambda *objects: shown.extend(objects)}
    for cell in code(name):
        exec(cell.source, namespace)  # noqa: S102 without a kernel, whose start takes longer than the cells
        namespace |= SHORT | {"results_dir": str(tmp_path)} if cell.source == parameters(name)[0].source else {}
    assert all(hasattr(one, "_repr_mimebundle_") for one in shown) and len(shown) >= 14
    found = results.read(tmp_path / "results" / f"{name}.json")
    assert found.verdict is None and found.n_train == 200 and found.epochs == 1


@pytest.mark.smoke
def test_a_short_run_makes_a_page(tmp_path):
    done = runner.run(FOLDER / "03_augment.ipynb", tmp_path, SHORT | {"results_dir": str(tmp_path / "results")})
    page = done.page.read_text()
    assert done.result.step == "03_augment" and done.result.verdict is None
    assert all(f">{heading}<" in page for heading in HEADINGS)
