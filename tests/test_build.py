"""The committed series is rebuilt from runs that are all there, or not at all."""

from dataclasses import replace

import pytest

from mnistlib import files, steps
from mnistlib.errors import ResultError
from mnistlib.recipe import Recipe
from mnistlib.runs import cache, run, seeds
from website import build

TINY = steps.Step("tiny", "Tiny", Recipe("selection.nets:strided_pool", epochs=1), reported=(0, 1))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return the root of a project without reports."""
    monkeypatch.setattr(files, "root", lambda: tmp_path)
    return tmp_path


def test_without_training_a_missing_run_stops_before_anything_is_written(project):
    with pytest.raises(ResultError, match="softmax.*0, 1, 2, 3, 4"):
        build.build_site(train=False)
    assert list(project.iterdir()) == []


def test_the_seeds_that_lack_a_run_are_named(project, few):
    folder = seeds.cache_dir(project / "build" / "series")
    for seed, missing in ((0, "1"), (1, None)):
        key = cache.cache_key(TINY.recipe, few, seed)
        cache.save_run(cache.run_path(folder, key), replace(run.train(TINY.recipe, few, seed), key=key))
        if missing:
            with pytest.raises(ResultError, match=f"seeds? {missing};"):
                build.check_trained(TINY, few)
    build.check_trained(TINY, few)
    with pytest.raises(ResultError, match="0, 1"):
        build.check_trained(replace(TINY, recipe=replace(TINY.recipe, dropout=0.1)), few)
