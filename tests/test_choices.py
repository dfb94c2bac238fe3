"""Choices: every candidate on record, the best allowed one chosen, one field each."""

from dataclasses import fields, replace

import pytest

from mnistlib import candidates, choices, data, steps, trials
from mnistlib.candidates import Candidate


@pytest.mark.parametrize("name", steps.STEPS)
def test_a_candidate_replaces_at_most_one_field(name):
    step = steps.get(name)
    for candidate in candidates.CANDIDATES[name]:
        assert len(candidate.change) <= 1
        recipe = candidates.recipe(step, replace(candidate, under=None))
        before = steps.get(step.before).recipe if step.before else step.recipe
        assert {field.name for field in fields(recipe) if getattr(recipe, field.name) != getattr(before, field.name)} <= set(
            candidate.change
        )
    names = [candidate.name for candidate in candidates.CANDIDATES[name]]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_the_best_net_within_the_limit_is_chosen_and_all_are_on_record(tmp_path, monkeypatch):
    few = data.load("digits", "validation", limit=200)
    quick = replace(steps.SKELETON, epochs=1)
    monkeypatch.setitem(steps.STEPS, "00_skeleton", replace(steps.get("00_skeleton"), recipe=quick))
    monkeypatch.setitem(candidates.CANDIDATES, "01_capacity", [Candidate(n, "An idea.", {"model": n}) for n in ("skeleton", "early")])
    monkeypatch.setattr(choices, "SEEDS", (0, 1))
    monkeypatch.setattr(trials, "FOLDER", str(tmp_path / "trials"))
    lines: list[str] = []
    record = choices.choose("01_capacity", lines.append, tmp_path, few)
    assert record["chosen"] == "early"  # the skeleton is over the limit, however well it does
    assert record == choices.read("01_capacity", tmp_path)
    assert [row["name"] for row in record["candidates"]] == ["skeleton", "early"]
    assert all(len(row["final"]) == 2 and row["recipe"]["epochs"] == 1 for row in record["candidates"])
    assert (record["split"], record["n_judged"], record["n_train"]) == ("validation", len(few.test.labels), 200)
    assert len(lines) == 4


def test_no_record_is_none(tmp_path):
    assert choices.read("00_skeleton", tmp_path) is None
