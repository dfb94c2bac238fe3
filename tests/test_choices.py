"""Choices: every candidate on record, the best allowed one chosen, one field each."""

from dataclasses import fields, replace

import pytest

from mnistlib import models, recipe_dict, steps
from mnistlib.errors import ResultError
from mnistlib.report import model_summary
from mnistlib.runs import train
from mnistlib.selection import candidates, search
from mnistlib.selection.candidates import Candidate


@pytest.mark.parametrize("name", candidates.CANDIDATES)
def test_a_candidate_replaces_at_most_one_field(name):
    step = steps.get(name)
    for candidate in candidates.CANDIDATES[name]:
        assert len(candidate.change) <= 1
        recipe = candidates.recipe(step, replace(candidate, under={}))
        before = steps.get(step.before).recipe if step.before else step.recipe
        assert {field.name for field in fields(recipe) if getattr(recipe, field.name) != getattr(before, field.name)} <= set(
            candidate.change
        )
    names = [candidate.name for candidate in candidates.CANDIDATES[name]]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_the_best_net_within_the_limit_is_chosen_and_all_are_on_record(tmp_path, monkeypatch, few):
    quick = replace(steps.SKELETON, epochs=1)
    monkeypatch.setitem(steps.STEPS, "00_skeleton", replace(steps.get("00_skeleton"), recipe=quick))
    considered = [Candidate(n, "An idea.", {"model": n}) for n in ("huge", "narrow")]
    monkeypatch.setitem(models.NETS, "huge", lambda dropout: models.skeleton(dropout, (8, 12, 40)))
    monkeypatch.setitem(candidates.CANDIDATES, "01_capacity", considered)
    monkeypatch.setattr(search, "SEEDS", (0, 1))
    trained = []

    def in_process(recipe, mnist, seeds, device, **options):
        assert options["use_cached"]
        trained.append((recipe.model, mnist.split, *seeds))
        return [replace(train(recipe, mnist, seeds[0]), key=f"{recipe.model}{seeds[0]}", provenance={"started": f"2026-0{9 - seeds[0]}"})]

    monkeypatch.setattr(search.seeds, "train_seeds", in_process)
    monkeypatch.setattr(search.data, "load", lambda split: replace(few, split=split))
    monkeypatch.setattr(search.files, "root", lambda: tmp_path)
    record = search.choose("01_capacity")
    assert record["chosen"] == "narrow"  # the other is over the limit, however well it does
    assert search.read("01_capacity") == record and record["provenance"]["started"] == "2026-08"  # the first to begin
    assert [row["name"] for row in record["candidates"]] == ["huge", "narrow"]
    assert all(len(row["final"]) == 2 and row["recipe"]["epochs"] == 1 for row in record["candidates"])
    assert record["splits"] == ["fold 1 of 7", "fold 2 of 7"]  # each seed its fold, for both candidates
    assert (record["n_eval"], record["n_train"]) == ([len(few.eval.labels)] * 2, [len(few.train.labels)] * 2)
    assert sorted(trained) == [(net, f"fold {seed + 1} of 7", seed) for net in ("huge", "narrow") for seed in (0, 1)]
    path = search.path("01_capacity")
    path.write_text(path.read_text().replace('"chosen": "narrow"', '"chosen": "huge"'))
    with pytest.raises(ResultError, match="changed"):
        search.read("01_capacity")


@pytest.mark.parametrize("name", candidates.CANDIDATES)
def test_the_committed_record_is_of_these_candidates(name):
    record, step = search.read(name), steps.get(name)
    assert record["rule"] == search.rule(record["candidates"]) and record["chosen"] == search.chosen(record["candidates"])
    for row, candidate in zip(record["candidates"], candidates.CANDIDATES[name], strict=True):
        assert (row["name"], row["idea"]) == (candidate.name, candidate.idea)
        assert recipe_dict.from_dict(row["recipe"]) == candidates.recipe(step, candidate)
        net = model_summary.of(models.build(row["recipe"]["model"]))
        assert (row["n_parameters"], row["n_macs"]) == (net.n_parameters, net.n_macs)
        assert row["mean"] == pytest.approx(sum(row["final"]) / len(search.SEEDS), abs=1e-12)
    won = next(candidate for candidate in candidates.CANDIDATES[name] if candidate.name == record["chosen"])
    assert candidates.recipe(step, replace(won, under={})) == step.recipe


def test_no_record_is_none():
    assert search.read("06_mine") is None


def row(name: str, mean: float, change: str = "model", **more) -> dict:
    """Return a line of a record: a net under every limit, unless told otherwise."""
    about = {"n_parameters": 7_000, "n_macs": 400_000}
    return about | {"name": name, "mean": mean, "change": [change] if change else []} | more


def test_the_most_accurate_allowed_candidate_wins_and_the_rule_says_so():
    rows = [row("yardstick", 0.999, ""), row("good", 0.991), row("best", 0.992), row("large", 0.995, n_parameters=8_000)]
    assert search.chosen(rows) == search.chosen([*rows, row("costly", 0.994, n_macs=500_001)]) == "best"
    assert "multiply-accumulates" in search.rule(rows) and "as it was" in search.rule(rows)
    assert not any(words in search.rule(rows[1:3]) for words in ("multiply-accumulates", "as it was"))  # neither says anything there
