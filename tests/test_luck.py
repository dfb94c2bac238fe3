"""The page on luck: what it says follows from the seeds that it is given."""

import copy
import html

import numpy as np
import pytest
from example_results import result
from html_tables import rows

from mnistlib import files
from mnistlib.published import repository
from replication.results import load, replications
from website import figures, luck

WORSE, BETTER = result("02b_anneal", (7, 6, 5, 6, 7, 5)), result("03_augment", (5, 4, 6, 4, 3, 5))

CLAIMS = {name: model.claim for name, model in repository.MODELS.items()}  # each author's headline


def test_a_single_seed_may_have_reported_anything_between_the_extremes():
    shown = rows(luck.one_seed([WORSE, BETTER], [BETTER]))
    assert shown["02b_anneal"] == ["99.40%", "99.30%", "99.50%", "4 of 6"]


def test_the_ruler_is_what_two_runs_of_one_recipe_rarely_exceed():
    sds = [one.summary.final_sd for one in (WORSE, BETTER)]
    pooled = np.sqrt(np.mean(np.square(sds)))
    assert figures.ruler([WORSE, BETTER]) == pytest.approx(2.2281 * np.sqrt(2) * pooled, rel=1e-3)  # t with 10 degrees of freedom


def test_a_duel_counts_all_pairs():
    said = luck.duel(WORSE, BETTER).text
    a, b = luck.finals(WORSE), luck.finals(BETTER)
    ahead = np.mean([x > y for x in a for y in b])
    assert f"In {100 * ahead:.0f}% of the 36 pairs" in said and said.startswith("03_augment has the higher mean")


def test_more_seeds_find_less_varying_differences():
    narrow, wide = (luck.samples(WORSE, BETTER, size)[0].std() for size in (5, 1))
    assert narrow < wide / 2
    found, significant = luck.samples(WORSE, BETTER, 6)  # with replacement, so that they vary as other seeds would
    spread = np.sqrt((luck.finals(WORSE).var() + luck.finals(BETTER).var()) / 6)
    assert found.mean() == pytest.approx(luck.finals(BETTER).mean() - luck.finals(WORSE).mean(), abs=spread / 20)
    assert found.std() == pytest.approx(spread, rel=0.05) and 0 < significant < 1
    same = result("03_augment", (5, 5, 5))
    assert luck.samples(same, result("04_frontier", (4, 4, 4)), 3)[1] == 0, "without any spread nothing is significant"


def test_the_best_epoch_is_worth_what_it_exceeds_the_last_by():
    one = copy.deepcopy(BETTER)
    one.runs[0].history.eval_accuracy[1] = 0.999  # before the last epoch, which has 99.5%
    shown = rows(luck.best_epoch([one]))["03_augment"]
    assert shown == ["99.55%", f"+{40 / 6:.1f}", "+15.0", "+35.0"]


def test_other_people_s_claims_are_counted_and_what_the_choice_of_the_epoch_adds():
    place = files.root() / "reports" / "published"
    found = load(place)
    shown = luck.claims(replications(found), files.read_signed(place / "studies.json")["studies"]["epoch"])
    gains = [np.mean([max(run.history.eval_accuracy) - run.final for run in found[name].runs]) for name in repository.MODELS]
    assert f"Choosing the epoch adds +{100 * np.mean(gains):.2f} points (" in shown.text
    means = [(max(claim.best or 0, claim.final or 0), luck.finals(found[name]).mean()) for name, claim in CLAIMS.items()]
    assert f"{sum(claim > mean for claim, mean in means)} of {len(means)} headline claims" in shown.text
    n = sum(value is not None for claim in CLAIMS.values() for value in (claim.best, claim.final))
    inside = [made.place(best) for made in replications(found) for best in (True, False)].count("inside")
    assert shown.text.startswith(f"{inside} of {n} claims of 5 public repositories")
    page = (files.root() / "reports" / "luck.html").read_text(encoding="utf-8")
    assert html.unescape(shown.html) in html.unescape(page), "luck.html is stale; run `make pages`"


def test_the_figure_names_both_recipes(monkeypatch):
    monkeypatch.setattr(luck, "SIZES", (1, 3))
    figure = luck.draw(WORSE, BETTER)
    assert "02b_anneal and 03_augment" in figure.caption and figure.svg().count("<title>") == 12


def test_recipes_that_were_trained_twice_show_both_counts():
    look = {"step": "01_capacity", "recipe": "ab" * 32, "seeds": [0, 1], "final": [0.9941, 0.9951]}
    looks = [
        look,
        look | {"final": [0.9940, 0.9939]},
        look | {"recipe": "cd" * 32},
        look | {"step": "another", "final": [0.9]},
        look | {"step": "another"},
    ]
    said = repr(luck.repeated(looks))
    assert "An earlier 01_capacity  2 of 2, then 1 of 2" in said and said.count("earlier") == 1 and "another" not in said
