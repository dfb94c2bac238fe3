"""Choices: every candidate on record, the best allowed one chosen, one field each."""

from dataclasses import fields, replace

import pytest
import torch

from mnistlib import data, steps
from mnistlib.runs import seeds
from mnistlib.selection import candidates, search
from mnistlib.selection.candidates import Candidate


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
    monkeypatch.setattr(search, "SEEDS", (0, 1))
    monkeypatch.setattr(seeds, "FOLDER", str(tmp_path / "trials"))
    lines: list[str] = []
    record = search.choose("01_capacity", lines.append, tmp_path, few)
    assert record["chosen"] == "early"  # the skeleton is over the limit, however well it does
    assert record == search.read("01_capacity", tmp_path)
    assert [row["name"] for row in record["candidates"]] == ["skeleton", "early"]
    assert all(len(row["final"]) == 2 and row["recipe"]["epochs"] == 1 for row in record["candidates"])
    assert (record["split"], record["n_judged"], record["n_train"]) == ("validation", len(few.test.labels), 200)
    assert len(lines) == 4


def test_no_record_is_none(tmp_path):
    assert search.read("00_skeleton", tmp_path) is None


def row(name: str, mean: float, change: str = "model", **more) -> dict:
    """Return a line of a record: a net under every limit, unless told otherwise."""
    about = {"n_parameters": 7_000, "n_macs": 400_000, "finalist": False, "seconds": 60.0}
    return about | {"name": name, "mean": mean, "change": [change] if change else []} | more


def test_the_most_accurate_wins_where_accuracy_is_sought():
    rows = [row("yardstick", 0.999, ""), row("good", 0.991), row("best", 0.992), row("large", 0.995, n_parameters=8_000)]
    assert search.chosen("01_capacity", rows) == "best" and search.chosen("00_skeleton", rows) == "large"
    assert search.chosen("01_capacity", [*rows, row("costly", 0.994, n_macs=500_001)]) == "best"
    assert search.chosen("01_capacity", [*rows, row("finalist", 0.990, finalist=True)]) == "finalist"


def test_the_quickest_of_those_as_accurate_wins_where_time_is_sought():
    rows = [row("yardstick", 0.9920, ""), row("slow", 0.9930, seconds=50.0), row("quick", 0.9916, seconds=30.0)]
    assert search.chosen("04_speed", rows) == search.chosen("05_short", rows) == "quick"
    assert (
        search.chosen("04_speed", [*rows, row("rash", 0.9914, seconds=9.0), row("large", 0.993, seconds=1.0, n_parameters=8_000)])
        == "quick"
    )
    assert search.chosen("04_speed", [rows[0], row("rash", 0.9914, seconds=9.0)]) == "yardstick"


def test_times_are_those_of_the_whole_run_and_longer_for_more_epochs(monkeypatch):
    few = data.load("digits", "validation", limit=400)
    monkeypatch.setattr(search, "TIMED", 200)
    try:
        short, long = search._times([replace(steps.SPEED, epochs=2), replace(steps.SPEED, epochs=8)], few)
    finally:
        torch.set_flush_denormal(False)  # it tunes its process for training, and this one goes on to other tests
    assert 0 < short < long and 2 < long / short < 8
