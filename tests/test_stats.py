"""Intervals, comparisons, verdicts and misclassified images, against figures worked out by hand, plain loops and committed results."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mnistlib import files, formatting
from mnistlib.errors import ResultError
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.stats import bootstrap, comparison, intervals, misclassified
from mnistlib.stats.summary import Summary, summarise

RESULTS = sorted((files.root() / "reports").rglob("results/*.json"))


def table(n_images: int, *n_wrong: int) -> np.ndarray:
    """Return mistakes [n_seeds, n_images] in which seed i gets the first n_wrong[i] images wrong."""
    return np.arange(n_images) < np.array(n_wrong)[:, None]


def people(n_images: int, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return the writers of some images, so many in a row by each, and their groups."""
    writers = np.arange(n_images) // each
    return writers, np.where(writers % 5, 4, 0)


def summary(n_images: int, *n_wrong: int, epochs: int = 3) -> Summary:
    """Summarise seeds that end with so many errors and had them from the first epoch on."""
    wrong = table(n_images, *n_wrong)
    return summarise([[1 - float(row.mean())] * epochs for row in wrong], wrong, *people(n_images))


# Shares


@pytest.mark.parametrize(("n", "lower"), [(5, 0.549), (10, 0.741), (20, 0.861), (30, 0.905)])
def test_all_seeds_passing_bounds_the_pass_rate_from_below(n, lower):
    assert intervals.clopper_pearson(n, n, "greater")[0] == pytest.approx(lower, abs=5e-4)
    assert intervals.clopper_pearson(n, n) == pytest.approx((0.025 ** (1 / n), 1))


def test_showing_the_target_on_one_test_set_takes_at_most_47_errors():
    assert intervals.clopper_pearson(10_000 - 47, 10_000, "greater")[0] > MIN_ACCURACY
    assert intervals.clopper_pearson(10_000 - 48, 10_000, "greater")[0] < MIN_ACCURACY


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_committed_shares_are_found_again(path):
    made = json.loads(path.read_text())["summary"]
    assert intervals.clopper_pearson(made["n_pass"], made["n_seeds"]) == pytest.approx(tuple(made["pass_interval"]), abs=1e-9)
    assert intervals.clopper_pearson(made["n_pass"], made["n_seeds"], "greater")[0] == pytest.approx(made["pass_lower"], abs=1e-9)


# Means and standard deviations


@pytest.mark.filterwarnings("error")
def test_welchs_interval_follows_his_formula():
    a, b = [27.5, 21.0, 19.0, 23.6, 17.0], [27.1, 22.0, 20.8, 23.4]
    va, vb = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    half = stats.t.ppf(0.975, (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))) * np.sqrt(va + vb)
    mean, bounds = intervals.welch(a, b)
    assert mean == pytest.approx(np.mean(a) - np.mean(b)) and bounds == pytest.approx((mean - half, mean + half), abs=1e-9)
    assert intervals.welch([1.0], b)[1] is None
    assert intervals.welch([3.0, 3.0], [1.0, 1.0]) == (2.0, (2.0, 2.0))
    assert intervals.welch(a, [20.0, 20.0])[1][0] < intervals.welch(a, [20.0, 20.0])[1][1]


def test_intervals_hold_what_they_promise():
    draws = np.random.default_rng(0).normal(3, 0.5, (2_000, 6))
    sds = draws[:, :5].std(1, ddof=1)
    inside = [low <= 0.5 <= high for low, high in (intervals.sd_interval(sd, 4) for sd in sds)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    more = [intervals.prediction_interval(row[:5].mean(), sd, 4, 5) for row, sd in zip(draws, sds, strict=True)]
    assert np.mean([low <= row[5] <= high for row, (low, high) in zip(draws, more, strict=True)]) == pytest.approx(0.95, abs=0.02)
    assert intervals.prediction_interval(3.0, 0.0, 4, 5) == (3.0, 3.0)
    chance = intervals.chance_of_difference([2.5, 3.5, 3.0], 1.0)
    assert 0 < chance < 1 and chance == intervals.chance_of_difference([2.5, 3.5, 3.0], -1.0)


def test_moderated_variances_move_towards_each_other():
    unlike = intervals.moderated_variances([0.5, 1.0, 4.0, 0.2, float("nan")], [2, 4, 2, 2, 0])
    known = [(1.108424, 14.336799), (1.156362, 16.336799), (1.596678, 14.336799), (1.066573, 14.336799), (1.207059, 12.336799)]
    assert unlike == [pytest.approx(pair, abs=1e-5) for pair in known]
    (one, freedom), *_ = intervals.moderated_variances([1.0, 1.0, 1.0], [2, 2, 2])
    assert one == pytest.approx(np.exp(np.euler_gamma), rel=1e-5) and freedom == pytest.approx(1e6, rel=1e-5)
    assert intervals.moderated_variances([1.0, float("nan")], [2, 0])[0] == (1.0, 2)


# The bootstrap


def naive(tables, writers, groups, n=4_000):
    """Resample as the words say, one loop at a time, single images gathered for every writer drawn."""
    generator = np.random.default_rng(1)
    students = np.asarray(groups) == 4
    out = []
    for _ in range(n):
        drawn = []
        for stratum in (students, ~students):
            names = np.unique(writers[stratum])
            drawn += [np.flatnonzero(writers == name) for name in generator.choice(names, len(names))]
        images = np.concatenate(drawn)
        out.append([1 - rows[generator.integers(0, len(rows), len(rows))][:, images].mean() for rows in tables])
    return np.array(out)


def crowd(seed: int = 0):
    """Return 30 students with 5 to 15 images each and 8 census employees with 40, shuffled, and their groups (hsf)."""
    generator = np.random.default_rng(seed)
    n_images = np.concatenate([generator.integers(5, 16, 30), np.full(8, 40)])
    writers = np.repeat(np.concatenate([np.arange(30), np.arange(100, 108)]), n_images)
    generator.shuffle(writers)
    return writers, np.where(writers < 100, 4, writers % 4)


def hard_writers(writers, n_seeds, seed):
    """Return mistakes in which writers differ in how hard they are to read, and seeds in how good they are."""
    generator = np.random.default_rng(seed)
    hard = generator.beta(0.5, 6, 200)[writers]
    return generator.random((n_seeds, len(writers))) < hard * generator.uniform(0.6, 1.4, (n_seeds, 1))


def test_the_bootstrap_is_what_a_plain_loop_gives():
    writers, groups = crowd()
    tables = [hard_writers(writers, 5, 3), hard_writers(writers, 4, 4)]
    fast, slow = bootstrap.resample(tables, writers, groups), naive(tables, writers, groups)
    assert fast.shape == (10_000, 2)
    assert fast.mean(0) == pytest.approx(slow.mean(0), abs=0.0015)
    assert fast.std(0) == pytest.approx(slow.std(0), rel=0.06)
    assert np.corrcoef(fast.T)[0, 1] == pytest.approx(np.corrcoef(slow.T)[0, 1], abs=0.05)
    assert np.quantile(fast, [0.025, 0.975], axis=0) == pytest.approx(np.quantile(slow, [0.025, 0.975], axis=0), abs=0.005)


def test_the_numbers_drawn_stay_the_same():
    writers, groups = crowd()
    found = bootstrap.resample([hard_writers(writers, 5, 3), hard_writers(writers, 4, 4)], writers, groups)
    assert files.sha256(found.tobytes()) == "8d311b92b9e535aea4667ccc1d220e0d0a670893e50049bf0691d6700606983d"


def test_writers_are_drawn_within_their_group():
    writers = np.repeat(np.arange(20), 10)
    groups = np.where(writers < 10, 4, writers % 4)
    wrong = np.tile((groups == 4) & (np.arange(200) % 10 < 3), (2, 1))  # each student: 3 of 10; each census employee: none
    assert np.ptp(bootstrap.resample([wrong], writers, groups)) == 0
    assert np.ptp(bootstrap.resample([wrong], writers, np.zeros(200))) > 0.05


def test_images_of_one_writer_count_as_one():
    writers, group = np.repeat(np.arange(50), 16), np.zeros(800)
    alike = (np.arange(50) % 5 == 0)[writers][None]
    by_writer = np.std(bootstrap.resample([alike], writers, group))
    by_image = np.std(bootstrap.resample([alike], np.arange(800), group))
    assert by_writer / by_image == pytest.approx(4, rel=0.1)  # the square root of 16
    assert by_image == pytest.approx(np.sqrt(0.2 * 0.8 / 800), rel=0.05)


def test_a_percentile_interval_holds_the_middle():
    assert bootstrap.percentile_interval(np.linspace(0, 1, 1_001)) == pytest.approx((0.025, 0.975))
    low, high = bootstrap.cluster_interval([np.array([0.1, 0.1]), np.array([2.1])])
    assert (low, high) == pytest.approx((0.1, 2.1)) and bootstrap.cluster_interval([np.array([1.0, 1.0])]) == (1.0, 1.0)


def test_seeds_widen_the_interval():
    few, many = table(1_000, 20, 20), table(1_000, 0, 40)
    writers = np.arange(1_000) // 2, np.zeros(1_000)
    assert np.std(bootstrap.resample([many], *writers)) > 1.5 * np.std(bootstrap.resample([few], *writers))


def test_the_bootstrap_does_not_mind_the_order_of_images():
    writers, groups = crowd()
    wrong = hard_writers(writers, 3, 5)
    order = np.random.default_rng(2).permutation(len(writers))
    first = bootstrap.resample([wrong], writers, groups)
    assert (first == bootstrap.resample([wrong[:, order]], writers[order], groups[order])).all()


def test_ten_thousand_resamples_of_a_whole_test_set_take_under_two_seconds():
    generator = np.random.default_rng(0)
    writers = np.concatenate([np.arange(5_000) % 249, 249 + np.arange(5_000) % 48])
    wrong = generator.random((5, 10_000)) < 0.006
    start = time.process_time()
    comparison.difference(wrong, wrong[::-1], writers, np.where(writers < 249, 4, 0), "02")
    assert bootstrap.RESAMPLES == 10_000 and time.process_time() - start < 2


# Summaries and verdicts


def test_a_summary_states_every_figure():
    made = summary(10_000, 50, 55, 60, 61, 45)
    assert made.n_seeds == 5 and made.final_mean == 0.99458
    assert made.final_sd == pytest.approx(np.std([50, 55, 60, 61, 45], ddof=1) / 10_000)
    assert (made.final_min, made.final_max, made.n_pass, made.n_held) == (0.9939, 0.9955, 4, 4)
    assert made.pass_interval == pytest.approx((0.2836, 0.9949), abs=1e-4) and made.pass_lower == pytest.approx(0.3426, abs=1e-4)
    assert made.interval[0] < made.final_mean < made.interval[1] and made.interval_by == "seeds and writers"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exactly_the_target_reaches_it_and_one_error_more_misses_it(dtype):
    for n_wrong in ([60] * 3, [59, 60, 61], [57, 61, 62], [60]):
        wrong = table(10_000, *n_wrong)
        curves = [[dtype(1 - count / 10_000)] * 3 for count in n_wrong]  # what is added up or kept in 32 bits is not 0.994
        made = summarise(curves, wrong, *people(10_000))
        assert made.final_mean == MIN_ACCURACY and comparison.verdict(7_999, 15, made).accuracy == "at or above"
        assert made.n_pass == made.n_held == sum(count <= 60 for count in n_wrong)
    assert comparison.verdict(7_999, 15, summary(10_000, 60, 60, 61)).accuracy == "below"


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=7), st.sampled_from([500, 10_000, 9_983]))
def test_the_target_is_decided_in_whole_numbers(n_wrong, n_images):
    made = summary(n_images, *n_wrong)
    right = sum(n_images - count for count in n_wrong)
    assert (made.final_mean >= MIN_ACCURACY) == (1_000 * right >= 994 * n_images * len(n_wrong))
    assert made.n_pass == sum(1_000 * (n_images - count) >= 994 * n_images for count in n_wrong)


def test_an_interval_that_ends_at_the_target_is_not_above_it():
    reached = summary(10_000, 50, 50)
    for low, accuracy in ((MIN_ACCURACY, "at or above"), (np.nextafter(MIN_ACCURACY, 1), "significantly above")):
        changed = Summary(**{**vars(reached), "interval": (float(low), 0.999)})
        assert comparison.verdict(1, 1, changed).accuracy == accuracy


@pytest.mark.parametrize(("n_parameters", "epochs", "said"), [(7_999, 15, ("within", "within")), (8_000, 16, ("over", "over"))])
def test_the_limits(n_parameters, epochs, said):
    made = comparison.verdict(n_parameters, epochs, summary(10_000, 50, 70))
    assert (made.parameters, made.epochs) == said and made.held == 1


def test_held_takes_every_one_of_the_last_epochs():
    wrong = table(10_000, 50, 50, 50)
    curves = [[0.1, 0.9945, 0.994, 0.995], [0.9999, 0.9945, 0.9939, 0.995], [0.999, 0.9939, 0.999, 0.995]]
    made = summarise(curves, wrong, *people(10_000))
    assert (made.n_pass, made.n_held) == (3, 1)
    assert summary(10_000, 50, epochs=2).n_held == 0 and summary(10_000, 50, epochs=3).n_held == 1


def test_one_seed_is_resampled_by_writers_alone():
    writers, groups = crowd()
    wrong = hard_writers(writers, 1, 6)
    made = summarise([[1 - float(wrong.mean())]], wrong, writers, groups)
    assert made.final_sd is None and made.interval_by == "writers" and made.interval[0] < made.interval[1]


def test_figures_that_do_not_belong_together_are_refused():
    wrong = table(10_000, 50, 60)
    for curves, word in (
        ([[0.995]], "one curve per seed"),
        ([[0.995], [0.9934]], "final epoch"),
        ([[0.995], [0.99405]], "whole number"),
        ([[0.995], [float("nan")]], "finite"),
        ([[0.995], []], "at least one epoch"),
    ):
        with pytest.raises(ResultError, match=word):
            summarise(curves, wrong, *people(10_000))
    summarise([[0.995], [0.9941]], wrong, *people(10_000))  # rounding on another processor changes one image of ten thousand
    with pytest.raises(ResultError, match="same images"):
        comparison.difference(wrong, wrong[:, :-1], *people(10_000), "02")


# Differences


def test_a_difference_counts_from_the_step_before():
    better, worse = table(10_000, 40, 42, 44), table(10_000, 90, 92, 94)
    made = comparison.difference(better[:, ::-1], worse[:, ::-1], *people(10_000, 50), "01_capacity")
    assert made.from_ == "01_capacity" and made.mean == pytest.approx(0.005)
    assert comparison.Difference("x", 0.005, (0.001, 0.009)).direction == "better"
    assert comparison.Difference("x", -0.005, (-0.009, -0.001)).direction == "worse"
    same = comparison.difference(better, better, *people(10_000, 50), "x")
    assert same.mean == 0 and same.interval[0] < 0 < same.interval[1] and same.direction == "inconclusive"


def test_writers_are_drawn_jointly_for_both_recipes_and_seeds_separately():
    writers, group = np.repeat(np.arange(50), 20), np.zeros(1_000)
    hard = (writers % 7 == 0)[None]
    other = hard.copy()
    other[0, :5] = ~other[0, :5]
    joint = comparison.difference(hard, other, writers, group, "x").interval
    assert joint[1] - joint[0] < 0.1 * np.ptp(bootstrap.percentile_interval(bootstrap.resample([hard], writers, group)[:, 0]))
    spread = np.tile(np.arange(100) < np.array([[2], [10]]), 20)  # equal seeds of two recipes share nothing, even where they err alike
    low, high = comparison.difference(spread, spread, np.arange(2_000) // 100, np.zeros(2_000), "x").interval
    assert low == pytest.approx(-0.08, abs=0.03) and high == pytest.approx(0.08, abs=0.03)


# Claims


def test_claims_follow_their_figures():
    assert comparison.claim_held(summary(10_000, 50, 60)).supported
    held = comparison.claim_held(summary(10_000, 50, 61))
    assert not held.supported and held.figures == "1 of 2 seeds"


def test_a_smaller_gap_needs_more_than_a_smaller_mean():
    gap, wide, noisy = np.array([0.004, 0.004, 0.004]), np.array([0.006, 0.0061, 0.0059]), np.array([0.001, 0.004, 0.008])

    def lower(a: np.ndarray, b: np.ndarray) -> comparison.Claim:
        return comparison.claim_lower("The gap is smaller.", a, b, formatting.points, formatting.points_interval)

    assert lower(gap, wide).supported and not lower(wide, gap).supported and not lower(gap, noisy).supported
    alone = lower(gap[:1], wide)
    assert not alone.supported and "single seed" in alone.figures


# Misclassified images


IMAGES = SimpleNamespace(
    labels=np.array([7, 2, 1, 0, 4]),
    ids=np.array([946, 947, 948, 9, 2130]),
    writers=np.array([5, 5, 6, 7, 7]),
    groups=np.array([4, 4, 1, 0, 0]),
)
PREDICTIONS = np.array([[7, 3, 1, 6, 9], [7, 3, 2, 6, 4], [7, 8, 1, 0, 4]], np.uint8)


def test_the_most_misclassified_images_come_first():
    found = misclassified.most_misclassified(PREDICTIONS, IMAGES, misclassified.label_errors("test"))
    assert [(image.id, image.votes, image.prediction) for image in found] == [(947, 3, 3), (9, 2, 6), (948, 1, 2), (2130, 1, 9)]
    assert [image.label_error for image in found] == ["majority", None, None, "split"]
    assert [(image.writer, image.group) for image in found[:2]] == [(5, "students"), (7, "census employees")]
    assert found[0].index == 1 and found[0].label == 2 and found[0].n_seeds == 3


def test_label_errors_are_known_for_the_test_set():
    kinds = list(misclassified.label_errors("test").values())
    assert [kinds.count(kind) for kind in ("majority", "split", "neither")] == [10, 2, 3]
    assert misclassified.label_errors("validation") == {}


def test_wrong_confusion_and_groups():
    assert misclassified.wrong(list(PREDICTIONS), IMAGES.labels).sum(1).tolist() == [3, 3, 1]
    counts = misclassified.confusion_matrix(PREDICTIONS, IMAGES.labels)
    assert counts.sum() == pytest.approx(5) and counts[2, 3] == pytest.approx(2 / 3) and counts[7, 7] == 1
    by_group = misclassified.accuracy_by_group(misclassified.wrong(PREDICTIONS, IMAGES.labels), IMAGES.groups)
    assert by_group == pytest.approx({"students": 0.5, "census employees": 5 / 9})


def test_confusions_that_became_rarer_and_more_common():
    before = np.tile(IMAGES.labels, (2, 1))
    before[:, 0] = 9
    found = misclassified.confusion_changes(PREDICTIONS, before, IMAGES.labels)
    assert found[0] == misclassified.ConfusionChange(7, 9, 1.0, 0.0)
    assert (found[-1].before, found[-1].after) == (0.0, pytest.approx(2 / 3))
    assert misclassified.confusion_changes(PREDICTIONS, PREDICTIONS, IMAGES.labels) == []
