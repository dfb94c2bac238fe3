"""Building reports/published/: what is missing is trained, what is there is taken, what is damaged is said to be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnistlib import files, runs
from mnistlib.published import repository
from mnistlib.report import result as results
from mnistlib.runs import cache, seeds
from replication import build, studies

STEP = replace(repository.get("002-model-1-by-validation").step(), seeds=(0, 1), before=None)
STEP = replace(STEP, recipe=replace(STEP.recipe, epochs=1))


@pytest.fixture
def trained(tmp_path, monkeypatch) -> list[int]:
    """Keep all files in a folder of the test's own, train in this process, and return the seeds that were trained."""
    trained: list[int] = []

    def train_seeds(recipe, mnist, wanted, device, use_cached, results_dir):
        for seed in wanted:
            key = cache.cache_key(recipe, mnist, seed)
            path = cache.run_path(seeds.cache_dir(results_dir), key)
            if cache.load_run(path, key) is None:
                trained.append(seed)
                cache.save_run(
                    path, replace(runs.train(recipe, mnist, seed), key=key, provenance={"started": "2026-03-04", "commit": None})
                )

    monkeypatch.setattr(build, "train_seeds", train_seeds)
    monkeypatch.setattr(build, "REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(build, "WORK", str(tmp_path / "work"))
    monkeypatch.setattr(build.test_set_log, "path", lambda: tmp_path / "test_looks.json")
    return trained


def test_what_is_missing_is_trained_and_published(few, trained, tmp_path, caplog):
    build._build(replace(STEP, seeds=(0,)), few, train=True)
    with caplog.at_level("WARNING", logger="mnistlib"):
        build._build(STEP, few, train=False)
    assert trained == [0] and "1 of 2" in caplog.text
    assert results.read(tmp_path / "reports" / "results" / f"{STEP.name}.json").seeds == [0]  # left as it was
    build._build(STEP, few, train=True)
    assert trained == [0, 1]
    found = results.read(tmp_path / "reports" / "results" / f"{STEP.name}.json")
    assert found.seeds == [0, 1] and len(results.read_runs(found, tmp_path / "reports")) == 2
    for path in seeds.cache_dir(tmp_path / "work").glob("*"):
        path.unlink()
    build._build(STEP, few, train=True)
    assert trained == [0, 1]  # taken from the committed checkpoints


def test_damaged_checkpoints_are_trained_anew(few, trained, tmp_path, caplog):
    build._build(replace(STEP, seeds=(0,)), few, train=True)
    next((tmp_path / "reports" / "checkpoints").glob("*")).write_bytes(b"")
    for path in seeds.cache_dir(tmp_path / "work").glob("*"):
        path.unlink()
    with caplog.at_level("WARNING", logger="mnistlib"):
        build._build(replace(STEP, seeds=(0,)), few, train=True)
    assert trained == [0, 0] and "trained anew" in caplog.text


def test_studies_are_made_again_only_for_other_results(trained, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(studies, "make", lambda found, place: made.append(found) or {"inputs": studies.inputs(found)})
    for _ in range(2):
        build.update_studies({})
    assert made == [{}] and files.read_signed(tmp_path / "reports" / "studies.json")["inputs"] == studies.inputs({})
    (tmp_path / "reports" / "studies.json").write_text("{")
    build.update_studies({})
    assert len(made) == 2
