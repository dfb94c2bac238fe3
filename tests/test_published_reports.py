"""The committed results of the published models: whole, of the present recipes, and pages that follow from them."""

from __future__ import annotations

import numpy as np
import pytest

from mnistlib import data, files, steps
from mnistlib.published import repository
from mnistlib.report import result as results
from mnistlib.report import test_set_log
from mnistlib.runs import cache
from replication import build, figures, overview, studies
from replication import results as collected
from website import index

REPORTS = files.root() / build.REPORTS
NAMES = [*repository.MODELS, *repository.ABLATIONS]
FOLDS = [studies.fold_name(fold) for fold in range(1, repository.N_FOLDS + 1)]


@pytest.fixture(scope="module")
def found() -> dict[str, results.Result]:
    return collected.load(REPORTS)


@pytest.fixture(scope="module")
def record() -> dict:
    return files.read_signed(REPORTS / "studies.json")


def test_every_model_and_every_study_has_a_committed_result(found, record):
    assert list(found) == NAMES
    assert {path.stem for path in (REPORTS / "results").glob("*.json")} == {*NAMES, *FOLDS}
    assert {path.stem for path in REPORTS.glob("*.html")} == {"index", "studies", *repository.MODELS}
    assert list(record["studies"]) == list(studies.STUDIES) and record["inputs"] == studies.inputs(found)
    assert record["kernels"]["moved"][0][0] == 0 < record["kernels"]["moved"][1][1]


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_that_of_the_present_recipe(name, found, mnist: data.Mnist):
    result, step = found[name], steps.get(name)
    assert result.headline and result.recipe == step.recipe and tuple(result.seeds) == step.seeds and result.claim == step.claim
    assert result.n_parameters == repository.get(name).n_parameters and result.title == step.title
    for run in result.runs:
        assert run.key == cache.cache_key(step.recipe, mnist, run.seed), f"the runs of {name} are stale; run `make published`"
    seen = [(look["step"], look["recipe"], tuple(look["final"])) for look in test_set_log.read(test_set_log.path())]
    assert (name, result.keys["recipe"], tuple(run.final for run in result.runs)) in seen


@pytest.mark.parametrize("name", repository.MODELS)
def test_a_page_is_that_of_its_result_and_small(name, found):
    page = (REPORTS / f"{name}.html").read_text()
    signed = files.sha256(files.canonical({key: value for key, value in results.to_json(found[name]).items() if key != "sha256"}))
    assert f'content="{signed}"' in page, f"{name}.html is stale: its result changed; run `make published`"
    assert len(page.encode()) < 400_000 and repository.get(name).long_title in page
    assert found[name].keys["notebook"] == files.notebook_hash("published")


def test_accuracies_follow_from_the_stored_predictions(found):
    evidence = studies.Evidence(found, REPORTS)
    for name, wrong in evidence.wrong.items():
        assert evidence.finals(name) == pytest.approx(list(1 - wrong.mean(1)), abs=1e-12), name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in studies.STUDIES if name != "ensemble"])
def test_a_study_follows_from_the_results(name, found, record):
    made = studies.study(studies.Evidence(found, REPORTS), name)
    assert len(made) == len(record["studies"][name])
    for estimate, stored in zip(made, record["studies"][name], strict=True):
        assert (estimate.what, estimate.n) == (stored["what"], stored["n"])
        assert [estimate.value, *(estimate.interval or ())] == pytest.approx([stored["value"], *(stored["interval"] or ())], abs=1e-9)


@pytest.mark.slow
def test_what_needs_nets_follows_from_the_checkpoints(found, record):
    """Another processor may round one image differently."""
    evidence = studies.Evidence({"003-model-3": found["003-model-3"], "002-model-3": found["002-model-3"]}, REPORTS)
    stored = {line["what"]: line["value"] for line in record["studies"]["ensemble"]}
    together, *_ = (line for line in studies.ensemble(evidence) if "mnist-cnn-aws" in line.what)
    assert together.value == pytest.approx(stored[together.what], abs=1.5e-4)
    assert np.allclose(studies.kernels(evidence)["first"], record["kernels"]["first"])


@pytest.mark.parametrize("name", FOLDS)
def test_a_fold_has_writers_of_its_own(name):
    result = results.read(REPORTS / "results" / f"{name}.json")
    fold = data.load(result.split)
    assert not set(fold.train.writers) & set(fold.eval.writers) and result.recipe == repository.get(repository.BY_VALIDATION).recipe
    wrong = results.read_predictions(result, REPORTS)[0] != fold.eval.labels.numpy()
    assert [run.final for run in result.runs] == pytest.approx(list(1 - wrong.mean(1)), abs=1e-12)


def test_the_markdown_table_and_its_figure_follow_from_the_results(found):
    made = collected.replications(found)
    ladder, document = figures.ladder(made), (files.root() / "docs" / "replication.md").read_text()
    block = overview.markdown_block(made, f"../images/{build.IMAGE}", ladder.alt)
    assert index.replaced(document, block, topic="published") == document
    assert (files.root() / "images" / build.IMAGE).is_file()


def test_the_findings_of_the_committed_results(found):
    text = overview.findings(collected.replications(found)).text
    assert "15 of 16" in text and "11 of 11" in text and "14 of 29" in text and "relu of mnist_under_8k (below" in text


def test_the_page_about_all_models_leads_with_its_headline(found):
    said = overview.headline(collected.replications(found))
    assert said.text.startswith("26 of 27 claims of 5 public repositories")
    page = (REPORTS / "index.html").read_text(encoding="utf-8")
    assert said.html in page, "published/index.html is stale; run `make pages`"
    assert page.index(said.html) < page.index('<div class="prose">\n<p>')
