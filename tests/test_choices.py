"""Choices: every candidate on record, the best allowed one chosen, one field each."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from test_runs import members

from mnistlib import files, models, recipe_dict, steps
from mnistlib.cli.main import main
from mnistlib.errors import ResultError, SettingError
from mnistlib.report import model_summary, tables
from mnistlib.runs import train
from selection import candidates, search
from selection.__main__ import choose
from selection.candidates import Candidate


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


@pytest.fixture
def here(tmp_path, monkeypatch, few) -> list:
    """Search in a folder of its own, on a few images and in this process; return the runs that are trained."""
    trained = []

    def in_process(missing):
        for key, task in missing.items():
            trained.append((task[0].model, *task[1:3]))
            yield key, search.one(task)

    monkeypatch.setattr(search, "trained", in_process)
    monkeypatch.setattr(search, "SEEDS", (0, 1))
    for name in ("_load", "data.load"):
        monkeypatch.setattr(f"selection.search.{name}", lambda split="test": replace(few, split=split))
    monkeypatch.setattr(files, "root", lambda: tmp_path)
    return trained


def net(width: int):
    """Return a function that builds a small net."""
    return lambda dropout: models.skeleton(dropout, (4, 4, width))


@pytest.mark.slow
def test_the_best_net_within_the_limit_is_chosen_and_all_are_on_record(monkeypatch, few, here):
    quick = replace(steps.SKELETON, epochs=1)
    monkeypatch.setitem(steps.STEPS, "00_skeleton", replace(steps.get("00_skeleton"), recipe=quick))
    considered = [Candidate(n, "An idea.", {"model": n}) for n in ("huge", "narrow")]
    monkeypatch.setitem(models.NETS, "huge", lambda dropout: models.skeleton(dropout, (8, 12, 40)))
    monkeypatch.setitem(candidates.CANDIDATES, "01_capacity", considered)
    record = search.choose("01_capacity")
    assert record["chosen"] == "narrow"  # the other is over the limit, however well it does
    assert tables.choice("01_capacity") == record and record["provenance"]["device"] == "cpu"
    assert [row["name"] for row in record["candidates"]] == ["huge", "narrow"]
    assert all(len(row["final"]) == 2 and row["recipe"]["epochs"] == 1 for row in record["candidates"])
    assert record["splits"] == ["fold 1 of 7", "fold 2 of 7"]  # each seed its fold, for both candidates
    assert (record["n_eval"], record["n_train"]) == ([len(few.eval.labels)] * 2, [len(few.train.labels)] * 2)
    assert here == [(net, f"fold {seed + 1} of 7", seed) for seed in (0, 1) for net in ("huge", "narrow")]
    assert search.choose("01_capacity") == record and len(here) == 4  # all runs were on record
    path = tables.choice_path("01_capacity")
    path.write_text(path.read_text().replace('"chosen": "narrow"', '"chosen": "huge"'))
    with pytest.raises(ResultError, match="changed"):
        tables.choice("01_capacity")


ROUNDS = {
    "base": {"model": "small", "epochs": 2, "batch_size": 64, "optimizer": {"lr": 0.05}},
    "limit": 2_000,
    "rounds": [
        {"name": "recipe", "question": "?", "factors": {"batch_size": [64, 32], "optimizer.lr": [0.05, 90.0]}},
        {
            "name": "nets",
            "question": "?",
            "candidates": [
                {"name": name, "idea": "", "change": {"model": name}} for name in ("small", "large", "narrow", "nowhere", "broken")
            ],
            "epochs": 1,
            "keep": 2,
        },
        {"name": "again", "question": "?", "seeds": [2, 7]},
        {
            "name": "endings",
            "question": "?",
            "fork": 1,
            "candidates": [
                {"name": "as before", "idea": ""},
                {"name": "slow", "idea": "", "change": {"optimizer.lr": 0.001}},
                {"name": "dropout", "idea": "", "change": {"dropout": 0.1}},
            ],
        },
        {"name": "more", "question": "?", "factors": {"label_smoothing": [0.05, 0.0]}},
        {"name": "confirmation", "question": "?", "seeds": [4, 5]},
        {"name": "check", "question": "?", "last_fold": True},
    ],
}


def test_of_those_that_are_good_enough_the_quickest_is_kept_and_where_none_is_the_best():
    rows = [{"mean": 0.994, "seconds": 9}, {"mean": 0.993, "seconds": 3}, {"mean": 0.992, "seconds": 5}, {"mean": 0.9, "seconds": 1}]
    assert [row["seconds"] for row in search.by_time(rows, 0.992)] == [3, 5, 9]
    assert search.by_time(rows, 0.995) == rows == search.by_time(rows, None)


@pytest.mark.slow
def test_a_search_in_rounds_keeps_the_better_values_and_nets_and_goes_on_where_it_stopped(monkeypatch, here):
    for name, width in {"small": 4, "large": 8}.items():
        monkeypatch.setitem(models.NETS, name, net(width))
    monkeypatch.setitem(models.NETS, "broken", lambda dropout: models.skeleton(dropout, (4, 4, 4))[1:])
    monkeypatch.setitem(candidates.SEARCHES, "00_skeleton", candidates.search(ROUNDS))
    measured, stop = search.one, 5

    def interrupted(*task):
        if len(here) > stop:
            raise KeyboardInterrupt
        return measured(*task)

    monkeypatch.setattr(search, "one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search.choose("00_skeleton")
    kept = tables.choice("00_skeleton")["runs"]
    monkeypatch.setattr(search, "one", measured)
    record = search.choose("00_skeleton")
    assert len(kept) == 5 and kept.items() <= record["runs"].items() and len(here) == len(record["runs"]) + 1
    recipe, nets, again, endings, more, confirmation, check = record["rounds"]
    assert recipe["effects"] == [] and any("diverged" in row.get("failed", "") for row in recipe["candidates"])  # mixed, so the base stays
    assert len(recipe["candidates"]) == 4 and nets["base"] == recipe["base"]
    (smoothing,) = more["effects"]
    wanted = smoothing["values"][smoothing["value"] > 0]
    assert more["base"]["label_smoothing"] == 0.0 and record["recipe"]["label_smoothing"] == wanted  # also where the base had the other
    assert [row["name"] for row in confirmation["candidates"]] == ["chosen values"] and confirmation["splits"] == [
        "fold 5 of 7",
        "fold 6 of 7",
    ]
    failed = {row["name"]: row["failed"] for row in nets["candidates"] if "failed" in row}
    assert failed.keys() == {"narrow", "nowhere", "broken"} and "fewer than 2,000" in failed["narrow"]
    assert sorted(nets["kept"]) == ["large", "small"] and all(row["recipe"]["epochs"] == 1 for row in nets["candidates"] if "mean" in row)
    assert again["splits"] == ["fold 3 of 7", "fold 2 of 7"] and [row["recipe"]["epochs"] for row in again["candidates"]] == [2, 2]
    assert check["splits"] == ["fold 7 of 7"] * 2 and "kept" not in check
    assert [row["name"] for row in check["candidates"]] == confirmation["kept"] and record["recipe"]["model"] == again["kept"][0]
    before, slow, dropped = endings["candidates"]
    assert before["final"] != slow["final"] and "nothing else" in dropped["failed"] and "kept" not in endings
    assert more["base"] == endings["base"]  # an ending that wins is tried in full before it is kept
    monkeypatch.setattr(search.cache, "ENGINE", 99)
    with pytest.raises(ResultError, match="another engine"):
        search.choose("00_skeleton")


def test_endings_share_what_came_before_them(few, here, tmp_path):
    before = replace(steps.SKELETON, model="narrow", epochs=3)
    slow = replace(before, optimizer=replace(before.optimizer, lr=0.001))
    state = search.late_state(before, 2, few, 0)
    other = train(slow, few, 0, state=search.late_state(before, 2, few, 0))
    undisturbed = train(before, few, 0).history.train_loss
    assert state.history.train_loss == undisturbed[:2] == other.history.train_loss[:2] and other.history.train_loss[2] != undisturbed[2]
    assert other.history.learning_rate == [0.02, 0.02, 0.001]
    assert len(list((tmp_path / "build" / "forks").iterdir())) == 1  # the second ending found it there
    tasks = [(before, "test", 0, (before, 2)), (slow, "test", 0, (before, 2)), (slow, "test", 0, None)]
    assert len({search.key(task, few) for task in tasks}) == 3
    assert search.key(tasks[0], few) == search.key((before, "test", 0, None), few)  # without another ending it is the same run


@pytest.mark.slow
def test_runs_train_in_processes_of_their_own_and_one_that_diverges_says_so():
    recipe = replace(steps.FLOOR, epochs=1)
    wild = replace(steps.SKELETON, epochs=1, optimizer=replace(recipe.optimizer, lr=100.0))
    made = dict(search.trained({"calm": (recipe, "fold 1 of 7", 0, None), "wild": (wild, "fold 2 of 7", 1, None)}))
    assert 0.8 < made["calm"]["final"] < 0.95 and made["calm"]["seconds"] > 0 and made["calm"]["provenance"]["device"] == "cpu"
    assert "diverged" in made["wild"]["failed"]
    assert dict(search.trained({})) == {}


@pytest.mark.parametrize("n_factors", range(1, 9))
def test_a_factorial_plan_mixes_no_effect_with_another_or_with_that_of_a_pair(n_factors):
    signs = 2 * np.array(candidates.design(n_factors)) - 1
    assert len(np.unique(signs, axis=0)) == len(signs) <= 16 and not signs.sum(0).any()
    pairs = [signs[:, a] * signs[:, b] for a, b in itertools.combinations(range(n_factors), 2)]
    assert all(not signs.T.dot(pair).any() for pair in pairs) and not any(pair.sum() for pair in pairs)
    with pytest.raises(SettingError, match="1 to 8"):
        candidates.design(9)


def test_a_factors_effect_is_the_difference_of_its_two_halves_fold_by_fold():
    part = candidates.Round("", "", factors={"a": (0, 1), "b": (0, 1)})
    finals = [((a, b), [0.99 + 0.001 * a + fold * 0.003, 0.98 + 0.003 * a]) for a in (0, 1) for b in (0, 1) for fold in (0,)]
    first, second = search.effects(part, finals)
    assert (first["factor"], first["value"]) == ("a", pytest.approx(0.002)) and first["interval"][0] < 0.001
    assert second["value"] == pytest.approx(0) and second["values"] == [0, 1]


@pytest.mark.parametrize("name", candidates.CANDIDATES)
def test_the_committed_record_is_of_these_candidates(name):
    record, step = tables.choice(name), steps.get(name)
    assert record["rule"] == search.rule(record["candidates"]) and record["chosen"] == search.chosen(record["candidates"])
    for row, candidate in zip(record["candidates"], candidates.CANDIDATES[name], strict=True):
        assert (row["name"], row["idea"]) == (candidate.name, candidate.idea)
        assert recipe_dict.from_dict(row["recipe"]) == candidates.recipe(step, candidate)
        net = model_summary.of(models.build(row["recipe"]["model"]))
        assert (row["n_parameters"], row["n_macs"]) == (net.n_parameters, net.n_macs)
        assert row["mean"] == pytest.approx(sum(row["final"]) / len(search.SEEDS), abs=1e-12)
    won = next(candidate for candidate in candidates.CANDIDATES[name] if candidate.name == record["chosen"])
    assert candidates.recipe(step, replace(won, under={})) == step.recipe


def test_an_ending_that_cannot_be_is_refused():
    base, ending = steps.AUGMENT, Candidate("", "", {"optimizer.name": "adam"})
    (kind,) = candidates.arms(candidates.Round("", "", (ending,), fork=12), base, [], 8_000)
    (late,) = candidates.arms(candidates.Round("", "", (Candidate("", ""),), fork=15), base, [], 8_000)
    (long,) = candidates.arms(candidates.Round("", "", (Candidate("", "", {"epochs": 16}),)), base, [], 8_000)
    assert "kind of optimizer" in kind.failed and "from 1 to 14" in late.failed and "at most 15" in long.failed
    (own,) = candidates.arms(candidates.Round("", "", (Candidate("", "", {"epochs": 10}),)), base, [], 8_000)
    assert own.recipe.epochs == 10 and not own.failed


@pytest.mark.slow
def test_a_choice_names_what_failed_and_an_interrupted_one_leaves_the_record_readable(monkeypatch, here):
    wild = {"optimizer": {"lr": 100.0, "weight_decay": 1.0}}  # every step multiplies the weights by about minus a hundred
    monkeypatch.setitem(steps.STEPS, "00_skeleton", replace(steps.get("00_skeleton"), recipe=replace(steps.SKELETON, epochs=4)))
    monkeypatch.setitem(candidates.CANDIDATES, "00_skeleton", [Candidate("calm", "", {"dropout": 0.1}), Candidate("wild", "", wild)])
    record = search.choose("00_skeleton")
    assert record["chosen"] == "calm" and "diverged" in record["candidates"][1]["failed"]
    assert "Not trained to the end: wild" in repr(tables.candidates(record))
    files.write_signed(tables.choice_path("00_skeleton"), record | {"schema": 2})
    monkeypatch.setattr(search, "measure", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        search.choose("00_skeleton")
    search.Record("00_skeleton", search.data.load()).write()
    assert tables.choice("00_skeleton")["candidates"] == record["candidates"] and "calm (chosen)" in repr(
        tables.candidates(tables.choice("00_skeleton"))
    )
    monkeypatch.undo()


@pytest.mark.parametrize("name", candidates.SEARCHES)
def test_a_search_trains_all_of_its_arms_and_ends_on_the_fold_that_chose_nothing(name):
    planned = candidates.SEARCHES[name]
    kept = []
    for part in planned.rounds:
        made = candidates.arms(part, planned.base, kept, planned.limit)
        assert made and not [arm.failed for arm in made if arm.failed]
        kept = made[: part.keep]
    decisive = [part.last_fold for part in planned.rounds if part.decides]
    assert decisive == [False] * (len(decisive) - 1) + [True] and planned.rounds[: len(decisive)] == tuple(
        part for part in planned.rounds if part.decides
    )  # what decides nothing comes after
    fresh = {seed for part in planned.rounds if part.name == "confirmation" for seed in part.seeds}
    assert len(fresh) >= 12 and not fresh & set(search.SEEDS)


@pytest.mark.parametrize("name", candidates.SEARCHES)
def test_a_search_on_record_is_that_of_its_candidates_to_its_end(name, monkeypatch):
    def rounds(record):  # without effects, whose last digits differ between machines
        return [{key: value for key, value in part.items() if key != "effects"} for part in json.loads(json.dumps(record["rounds"]))]

    before = rounds(tables.choice(name))
    monkeypatch.setattr(search, "trained", lambda missing: pytest.fail(f"{len(missing)} runs are not on record") if missing else ())
    monkeypatch.setattr(search.Record, "write", lambda record: None)
    assert rounds(search.choose(name)) == before


SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down that Ctrl-C is ignored
from mnistlib import steps
from selection import search
if __name__ == "__main__":
    print("started", flush=True)
    list(search.trained({str(seed): (steps.AUGMENT, "fold 1 of 7", seed, None) for seed in range(4)}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_is_stopped_leaves_no_process_behind(tmp_path, how):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(files.root())}
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, text=True, env=environment, process_group=0
    )
    process.stdout.readline()
    limit = time.monotonic() + 60
    while len(members(process.pid)) < 3 and time.monotonic() < limit:
        time.sleep(0.1)
    time.sleep(5)  # the workers have begun
    process.send_signal(how)
    assert process.wait(20) != 0
    limit = time.monotonic() + 20
    while members(process.pid) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not members(process.pid)


def test_a_choice_that_is_not_known_is_named_with_the_nearest(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["selection", "04_frontir"])
    assert main(choose, "python -m selection") == 2
    assert "'04_frontier'" in capsys.readouterr().err


def test_no_record_is_none():
    assert tables.choice("06_mine") is None


def row(name: str, mean: float, change: str = "model", **more) -> dict:
    """Return a line of a record: a net under every limit, unless told otherwise."""
    about = {"n_parameters": 7_000, "n_macs": 400_000}
    return about | {"name": name, "mean": mean, "change": [change] if change else []} | more


def test_the_most_accurate_allowed_candidate_wins_and_the_rule_says_so():
    rows = [row("yardstick", 0.999, ""), row("good", 0.991), row("best", 0.992), row("large", 0.995, n_parameters=8_000)]
    assert search.chosen(rows) == search.chosen([*rows, row("costly", 0.994, n_macs=500_001)]) == "best"
    assert "multiply-accumulates" in search.rule(rows) and "as it was" in search.rule(rows)
    assert not any(words in search.rule(rows[1:3]) for words in ("multiply-accumulates", "as it was"))  # neither says anything there
