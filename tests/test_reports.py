"""The committed reports: not stale, small, whole, each its own, and what they say follows from the stored predictions."""

import json
import re

import numpy as np
import pytest

from mnistlib import data, files, formatting, recipe_dict, steps
from mnistlib.report import markup, tables, test_set_log
from mnistlib.report import result as results
from mnistlib.runs import cache
from mnistlib.train import accuracy, evaluate
from selection.candidates import SEARCHES
from website import index

REPORTS = files.root() / "reports"
STEPS = list(steps.STEPS)


def committed(name: str) -> results.Result:
    return results.read(REPORTS / "results" / f"{name}.json")


def page(name: str) -> str:
    return (REPORTS / f"{name}.html").read_text()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_one_field_of_the_one_before(name):
    step = steps.get(name)
    if step.before is None:
        assert name == STEPS[0]
        return
    assert step.before == ("03_augment" if name == "05_fast" else STEPS[STEPS.index(name) - 1])  # the fast step is no sixth one
    now, before = vars(step.recipe), vars(steps.get(step.before).recipe)
    if name in SEARCHES:  # a search may change several fields at once
        assert recipe_dict.from_dict(tables.choice(name)["recipe"]) == step.recipe
    else:
        assert len([field for field in now if now[field] != before[field]]) == 1


@pytest.mark.parametrize("name", STEPS)
def test_a_page_is_not_stale(name):
    """It was made of this notebook and of this result: `make pages` mends it."""
    result = committed(name)
    assert result.keys["notebook"] == files.notebook_hash(name), f"{name} is stale: its notebook changed; run `make pages`"
    written = json.loads((REPORTS / "results" / f"{name}.json").read_text())["sha256"]
    assert f'content="{written}"' in page(name), f"{name}.html is stale: its result changed; run `make pages`"


@pytest.mark.parametrize("name", STEPS)
def test_runs_are_not_stale(name, mnist):
    """Recipe, layers and data are still those of the committed runs: `make series` trains what is missing."""
    result, step = committed(name), steps.get(name)
    assert result.headline and result.recipe == step.recipe and result.keys["data"] == mnist.sha256
    assert tuple(result.seeds) == step.reported
    for run in result.runs:
        assert run.key == cache.cache_key(step.recipe, mnist, run.seed), f"the runs of {name} are stale; run `make series`"


@pytest.mark.parametrize("name", STEPS)
def test_the_stated_accuracies_are_those_of_the_predictions(name, mnist: data.Mnist):
    result = committed(name)
    digits, confidences = results.read_predictions(result, REPORTS)
    assert [accuracy(each, mnist.eval) for each in digits] == pytest.approx([run.final for run in result.runs], abs=1e-12)
    assert ((confidences > 0.1) & (confidences <= 1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_the_predictions_are_those_of_the_checkpoints(name, mnist: data.Mnist):
    """A forward pass of the first seed; the others' are in the slow test."""
    compare(name, mnist, slice(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_the_predictions_of_all_seeds_are_those_of_the_checkpoints(name, mnist: data.Mnist):
    compare(name, mnist, slice(1, None))


def compare(name: str, mnist: data.Mnist, seeds: slice) -> None:
    result = committed(name)
    for run in results.read_runs(result, REPORTS)[seeds]:
        n = len(run.predictions) if run.seed in result.seeds[:3] else 2_000  # of later seeds some images, or it takes minutes
        _, digits, _ = evaluate(results.load_model(result.recipe, run.weights), mnist.eval.subset(np.arange(n)))
        assert np.count_nonzero(digits != run.predictions[:n]) <= 1  # another processor may round one image away


def test_every_headline_run_is_on_the_list_of_looks():
    seen = [(look["step"], look["recipe"], tuple(look["final"])) for look in test_set_log.read(test_set_log.path())]
    for name in STEPS:
        result = committed(name)
        assert (name, result.keys["recipe"], tuple(run.final for run in result.runs)) in seen


def test_no_two_reports_share_a_figure_of_their_own_results():
    figures: dict[str, str] = {}
    for name in STEPS:
        for tag in re.findall(r"<figure.*?</figure>", page(name), flags=re.DOTALL):
            image = re.search(r'src="([^"]+)"|(<svg.*</svg>)', tag, flags=re.DOTALL)[0]
            alt = re.search(r'(?:alt|aria-label)="([^"]+)"', tag)[1]
            if not alt.startswith(("Sample images", "Learning rate", "The layers")):  # of the data and the recipe, which steps share
                assert image not in figures, f"{name} and {figures[image]}: {alt}"
                figures[image] = name
    assert len(figures) >= 4 * len(STEPS)


def test_pages_are_whole_and_small():
    for path in REPORTS.rglob("*.html"):
        text = re.sub(r"<a [^>]*>", "", path.read_text())  # a link loads nothing
        assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import""", text), path.name
        assert "No description has been provided" not in text and markup.UNDESCRIBED not in text
        assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", text)), path.name
        assert len(text.encode()) < 800_000, path.name
    files_there = [path for folder in ("reports", "images") for path in (files.root() / folder).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files_there) < 24_000_000


def test_index_and_readme_follow_from_the_committed_results(tmp_path):
    there = (REPORTS / "index.html").read_text()
    readme = tmp_path / "README.md"
    readme.write_text((files.root() / "README.md").read_text())
    index.build_readme(REPORTS, readme, tmp_path / "images")
    assert readme.read_text() == (files.root() / "README.md").read_text()
    for image in (tmp_path / "images").iterdir():
        assert image.read_bytes() == (files.root() / "images" / image.name).read_bytes()
    for name in STEPS:
        assert formatting.percent(committed(name).summary.final_mean) in there and f'href="{name}.html"' in there
