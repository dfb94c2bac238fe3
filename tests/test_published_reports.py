"""The committed results of the published rows: whole, not stale, told as they are, recomputed from their checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mnistlib import data, files
from mnistlib.cli import summaries
from mnistlib.published import build as building
from mnistlib.published import folds, registry, replication, studies
from mnistlib.published import site_index as site
from mnistlib.report import index, results, step_report, test_set_log
from mnistlib.runs import seeds

PLACE = files.root() / building.PLACE
BOTH = registry.ROWS | registry.ARMS
ROWS = list(registry.ROWS)
FOLDS = [f"{registry.FOLDED}-fold-{fold}" for fold in range(1, registry.FOLDS + 1)]


def committed(name: str) -> results.Result:
    return results.read(PLACE / "results" / f"{name}.json")


def record() -> dict:
    return json.loads((PLACE / "studies.json").read_text())


def test_every_model_and_every_study_has_a_committed_result():
    assert {path.stem for path in (PLACE / "results").glob("*.json")} == {*BOTH, *FOLDS}
    assert {path.stem for path in PLACE.glob("*.html")} == {"index", *ROWS}
    assert len({study["name"] for study in record()["studies"]}) == 11 and all(study["lines"] for study in record()["studies"])
    told = {line["what"] for study in record()["studies"] for line in study["lines"]}
    assert {"Augmentation alone, both together", "Normalization before ReLU, against after it"} <= told


@pytest.mark.parametrize("name", BOTH)
def test_a_result_is_that_of_the_present_recipe(name, mnist: data.Mnist):
    result, row = committed(name), registry.get(name)
    assert result.headline and result.recipe == row.recipe and result.seeds == row.seeds and result.n_parameters == row.n_parameters
    assert result.claim == replication.claim_of(row) and result.keys["notebook"] == files.story("published")
    for run in result.runs:
        assert run.key == seeds.key(row.recipe, mnist, run.seed), f"the trials of {name} are stale; run `make published`"
    seen = [(look["step"], look["recipe"], tuple(look["final"])) for look in test_set_log.read(test_set_log.path())]
    assert (name, result.keys["recipe"], tuple(run.final for run in result.runs)) in seen


@pytest.mark.parametrize("name", ROWS)
def test_a_page_is_that_of_its_result_and_light(name):
    page = (PLACE / f"{name}.html").read_text()
    written = json.loads((PLACE / "results" / f"{name}.json").read_text())["sha256"]
    assert f'content="{written}"' in page, f"{name}.html is stale: its result changed; run `make published`"
    assert len(page.encode()) < 400_000
    assert registry.get(name).long_title in page


def test_trained_arithmetic_still_repeats(mnist: data.Mnist):
    """One row of each kind of optimizer, schedule and transform: another loss after a short run means stale trials."""
    for name in ("000-model-4", "001-gap", "002-model-3-by-validation", "003-model-3", "004-part-3"):
        repeated, stored = step_report.reference(committed(name).recipe, mnist), committed(name).keys["reference"]
        assert repeated == pytest.approx(stored, rel=1e-3), f"the trials of {name} are stale"


@pytest.mark.slow
def test_the_studies_and_every_stated_accuracy_follow_from_the_checkpoints(mnist: data.Mnist):
    found = {name: committed(name) for name in BOTH}
    there, told = studies.gather(found, PLACE, mnist), record()
    for name, wrong in there.wrong.items():  # another machine may round one image away
        assert [run.final for run in found[name].runs] == pytest.approx(list(1 - wrong.mean(1)), abs=1.5e-4), name
    parts = [folds.load("mnist", committed(name).split) for name in FOLDS]
    again = studies.make(there, [committed(name) for name in FOLDS], parts, PLACE)
    assert again["kernels"] == told["kernels"]
    assert [study["name"] for study in again["studies"]] == [study["name"] for study in told["studies"]]
    for study, stored in zip(again["studies"], told["studies"], strict=True):
        for line, other in zip(study["lines"], stored["lines"], strict=True):
            assert {**line, "value": None, "interval": None, "n": None} == {**other, "value": None, "interval": None, "n": None}
            assert line["value"] == pytest.approx(other["value"], abs=1.01 if line["kind"] == "count" else 2e-4), line["what"]


@pytest.mark.parametrize("name", FOLDS)
def test_a_folds_accuracy_is_that_of_its_checkpoint(name, mnist: data.Mnist):
    result = committed(name)
    fold = folds.load("mnist", result.split)
    assert not set(np.unique(fold.train.writers)) & set(np.unique(fold.test.writers))
    for run, digits in zip(result.runs, step_report.predictions(result, PLACE, fold), strict=True):
        assert (digits == fold.test.labels.numpy()).mean() == pytest.approx(run.final, abs=2e-4)


def test_index_and_readme_tell_the_committed_results(tmp_path):
    standings = replication.beside([replication.of(registry.get(name), committed(name)) for name in ROWS])
    arms = [committed(name) for name in registry.ARMS]
    there = {path.stem for path in PLACE.glob("*.html")}
    assert (PLACE / "index.html").read_text() == site.page(standings, record(), index.load(files.root() / "reports"), arms, there)
    readme = tmp_path / "README.md"
    readme.write_text((files.root() / "README.md").read_text())
    site.build_readme(standings, readme, tmp_path / "images")
    assert readme.read_text() == (files.root() / "README.md").read_text()
    assert (tmp_path / "images" / site.IMAGE).read_text() == (files.root() / "images" / site.IMAGE).read_text()


def test_a_run_of_a_row_is_held_against_the_committed_one():
    for name in ("002-model-3", "002-model-3-sgd", "03_augment"):
        place = PLACE if name in BOTH else PLACE.parent
        sentence = summaries.against(results.read(place / "results" / f"{name}.json"), PLACE.parent)
        assert sentence.startswith("Committed: ") and "differs by 0.00 points" in sentence


def test_a_damaged_fold_is_left_out_and_said_to_be(mnist: data.Mnist, tmp_path):
    for path in [*PLACE.glob("results/*-fold-*.json"), *PLACE.glob("checkpoints/*-fold-*")]:
        copied = tmp_path / path.relative_to(PLACE)
        copied.parent.mkdir(exist_ok=True)
        copied.write_bytes(path.read_bytes())
    (tmp_path / "results" / f"{FOLDS[1]}.json").write_text("{")
    lines: list[str] = []
    judged, parts = building._folds(mnist, tmp_path, lines.append)
    assert [result.step for result in judged] == [name for name in FOLDS if name != FOLDS[1]]
    assert [result.split for result in judged] == [part.split for part in parts]
    assert len(lines) == 1 and lines[0].startswith(f"{FOLDS[1]} is left out.")
