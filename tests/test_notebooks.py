"""The notebooks' sources: stripped, of one shape, and each runs."""

import re

import nbformat
import pytest

from mnistlib import files, steps
from mnistlib.notebook import params, runner
from mnistlib.published import originals

FOLDER = files.root() / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
TRAINING = [name for name in NOTEBOOKS if name != "benchmarks"]  # a report of what was measured before
HEADINGS = ["Target", "Change", "Data", "Model", "Training", "Curves", "Result", "Mistakes", "Analysis", "Provenance"]
PUBLISHED = ["Claim", "Model", "Recipe", "Training", "Curves", "Result", "Analysis", "Provenance"]


def story(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in story(name).cells if cell.cell_type == "code"]


def test_every_step_has_its_notebook():
    assert {*steps.STEPS, "published"} <= set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stripped_and_small(name):
    assert not any(cell.outputs or cell.execution_count for cell in code(name))
    assert len(code(name)) <= 15
    tagged = [cell for cell in code(name) if "parameters" in cell.metadata.get("tags", ())]  # a line for each parameter
    assert all(len(cell.source.splitlines()) <= 10 for cell in code(name) if cell not in tagged)
    assert story(name).metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", TRAINING)
def test_a_notebook_has_one_parameters_cell_of_literals_that_settings_knows(name):
    tagged = [cell for cell in code(name) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] is code(name)[0] or tagged[0].source == code(name)[0].source
    defaults = params.assigned(tagged[0].source)
    known = {field: getattr(params.Settings(), field) for field in params.Settings.__dataclass_fields__}
    if name == "published":
        assert defaults.pop("row") in originals.ROWS and list(defaults)[0] == "seeds"
        assert defaults.pop("seeds") is None and known.pop("seeds")  # as many as the row asks for
    assert list(defaults) == list(known)
    for field, value in defaults.items():
        assert value == (list(known[field]) if field == "seeds" else str(known[field]) if field == "results_dir" else known[field])
    assert all("  # " in line for line in tagged[0].source.splitlines())


@pytest.mark.parametrize("name", steps.STEPS)
def test_a_step_has_its_headings_in_order(name):
    text = "\n".join(cell.source for cell in story(name).cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (.+)$", text, flags=re.M) == HEADINGS
    assert len(re.findall(r"^# ", text, flags=re.M)) == 1


def test_the_published_models_notebook_has_its_headings_in_order():
    text = "\n".join(cell.source for cell in story("published").cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (.+)$", text, flags=re.M) == PUBLISHED and len(re.findall(r"^# ", text, flags=re.M)) == 1


def test_steps_share_their_code_but_for_what_is_their_own():
    """A copy of a cell may not drift: all cells of a step stand in 03 or 04 too, but for the step's name and its imports."""
    shared = {re.sub(r"steps.get\(.*\)", "", cell.source) for name in ("03_augment", "04_speed") for cell in code(name)}
    for name in ("01_capacity", "02_regularise", "05_short"):
        own = [re.sub(r"steps.get\(.*\)", "", cell.source) for cell in code(name)]
        assert len([source for source in own if source not in shared]) <= 1, name  # the imports
    differing = [cell for cell in code("04_speed") if cell.source not in {cell.source for cell in code("03_augment")}]
    assert len(differing) == 2  # set-up and claims


@pytest.mark.smoke
@pytest.mark.parametrize("name", TRAINING)
def test_a_short_run_makes_a_page_without_a_verdict(name, tmp_path):
    short = {"seeds": [0], "epochs": 1, "limit": 500, "dataset": "digits", "results_dir": str(tmp_path / "results"), "workers": 1}
    done = runner.run(FOLDER / f"{name}.ipynb", tmp_path, short, show=lambda line: None)
    assert done.result.verdict is None and done.result.dataset == "digits"
    saved = "000-model-4" if name == "published" else name
    assert (tmp_path / "results" / "digits" / "results" / f"{saved}.json").is_file()
    page = done.page.read_text()
    assert "not MNIST" in page and all(f">{heading}<" in page for heading in (PUBLISHED if name == "published" else HEADINGS))


@pytest.mark.slow
def test_an_unknown_row_stops_with_the_list_and_the_nearest(tmp_path):
    with pytest.raises(runner.RunError, match="There is no row '003-modle-3'. Did you mean '003-model-3'\\? The rows are 000-model-1, "):
        runner.run(FOLDER / "published.ipynb", tmp_path, {"row": "003-modle-3"}, show=lambda line: None)
