"""Intervals, differences, verdicts and mistakes, against hand-computed figures and plain loops."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mnistlib.errors import ResultError
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.stats import intervals, misclassified
from mnistlib.stats import summary as evidence


def table(n_images: int, *n_wrong: int) -> np.ndarray:
    """Return mistakes [n_seeds, n_images] in which seed i gets the first n_wrong[i] images wrong."""
    return np.arange(n_images) < np.array(n_wrong)[:, None]


def summary(n_images: int, *n_wrong: int, epochs: int = 3) -> evidence.Summary:
    """Summarise seeds that end with so many errors and had them from the first epoch on."""
    wrong = table(n_images, *n_wrong)
    return evidence.summarise([[1 - float(row.mean())] * epochs for row in wrong], wrong)


# Shares


@pytest.mark.parametrize(("n", "lower"), [(5, 0.549), (10, 0.741), (20, 0.861), (30, 0.905)])
def test_all_seeds_passing_bounds_the_pass_rate_from_below(n, lower):
    assert intervals.clopper_pearson_lower(n, n) == pytest.approx(lower, abs=5e-4)
    assert intervals.clopper_pearson(n, n) == pytest.approx((0.025 ** (1 / n), 1))


def test_showing_the_target_on_one_test_set_takes_at_most_47_errors():
    assert intervals.clopper_pearson_lower(10_000 - 47, 10_000) > MIN_ACCURACY
    assert intervals.clopper_pearson_lower(10_000 - 48, 10_000) < MIN_ACCURACY


def test_welch_is_scipys():
    a, b = [27.5, 21.0, 19.0, 23.6, 17.0], [27.1, 22.0, 20.8, 23.4]
    known = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    mean, bounds = intervals.welch(a, b)
    assert mean == pytest.approx(np.mean(a) - np.mean(b)) and bounds == pytest.approx((known.low, known.high))
    assert intervals.welch([1.0], b)[1] is None
    assert intervals.welch([3.0, 3.0], [1.0, 1.0]) == (2.0, (2.0, 2.0))


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


def people(seed: int = 0):
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
    writers, groups = people()
    tables = [hard_writers(writers, 5, 3), hard_writers(writers, 4, 4)]
    fast, slow = intervals.resample(tables, writers, groups), naive(tables, writers, groups)
    assert fast.shape == (10_000, 2)
    assert fast.mean(0) == pytest.approx(slow.mean(0), abs=0.0015)
    assert fast.std(0) == pytest.approx(slow.std(0), rel=0.06)
    assert np.corrcoef(fast.T)[0, 1] == pytest.approx(np.corrcoef(slow.T)[0, 1], abs=0.05)
    assert np.quantile(fast, [0.025, 0.975], axis=0) == pytest.approx(np.quantile(slow, [0.025, 0.975], axis=0), abs=0.005)


def test_writers_are_drawn_within_their_group():
    writers = np.repeat(np.arange(20), 10)
    groups = np.where(writers < 10, 4, writers % 4)
    wrong = np.tile((groups == 4) & (np.arange(200) % 10 < 3), (2, 1))  # each student: 3 of 10; each census employee: none
    assert np.ptp(intervals.resample([wrong], writers, groups)) == 0
    assert np.ptp(intervals.resample([wrong], writers, None)) > 0.05


def test_images_of_one_writer_count_as_one():
    writers = np.repeat(np.arange(100), 25)
    alike = (np.arange(100) % 5 == 0)[writers][None]
    by_writer = np.std(intervals.resample([alike], writers, None))
    by_image = np.std(intervals.resample([alike], None, None))
    assert by_writer / by_image == pytest.approx(5, rel=0.1)  # the square root of 25
    assert by_image == pytest.approx(np.sqrt(0.2 * 0.8 / 2_500), rel=0.05)


def test_one_seed_over_images_agrees_with_wilson():
    assert intervals.middle(np.linspace(0, 1, 1_001)) == pytest.approx((0.025, 0.975))
    low, high = intervals.middle(intervals.resample([table(10_000, 400)], None, None)[:, 0])
    assert (low, high) == pytest.approx(tuple(stats.binomtest(9_600, 10_000).proportion_ci(0.95, "wilson")), abs=2e-4)


def test_seeds_widen_the_interval():
    few, many = table(1_000, 20, 20), table(1_000, 0, 40)
    assert np.std(intervals.resample([many], None, None)) > 1.5 * np.std(intervals.resample([few], None, None))


def test_the_bootstrap_repeats_and_does_not_mind_the_order_of_images():
    writers, groups = people()
    wrong = hard_writers(writers, 3, 5)
    order = np.random.default_rng(2).permutation(len(writers))
    first = intervals.resample([wrong], writers, groups)
    assert (first == intervals.resample([wrong], writers, groups)).all()
    assert (first == intervals.resample([wrong[:, order]], writers[order], groups[order])).all()
    assert (intervals.resample([wrong], None, None) == intervals.resample([wrong[:, order]], None, None)).all()


def test_ten_thousand_resamples_of_a_whole_test_set_take_under_two_seconds():
    generator = np.random.default_rng(0)
    writers = np.concatenate([np.arange(5_000) % 249, 249 + np.arange(5_000) % 48])
    wrong = generator.random((5, 10_000)) < 0.006
    start = time.process_time()
    evidence.difference(wrong, wrong[::-1], writers, np.where(writers < 249, 4, 0), "02")
    assert intervals.RESAMPLES == 10_000 and time.process_time() - start < 2


# Summaries and verdicts


def test_a_summary_states_every_figure():
    made = summary(10_000, 50, 55, 60, 61, 45)
    assert made.n_seeds == 5 and made.final_mean == 0.99458
    assert made.final_sd == pytest.approx(np.std([50, 55, 60, 61, 45], ddof=1) / 10_000)
    assert (made.final_min, made.final_max, made.n_pass, made.n_held) == (0.9939, 0.9955, 4, 4)
    assert made.pass_interval == pytest.approx((0.2836, 0.9949), abs=1e-4) and made.pass_lower == pytest.approx(0.3426, abs=1e-4)
    assert made.interval[0] < made.final_mean < made.interval[1] and made.interval_by == "seeds and images"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exactly_the_target_reaches_it_and_one_error_more_misses_it(dtype):
    for n_wrong in ([60] * 3, [59, 60, 61], [57, 61, 62], [60]):
        wrong = table(10_000, *n_wrong)
        curves = [[dtype(1 - count / 10_000)] * 3 for count in n_wrong]  # what is added up or kept in 32 bits is not 0.994
        made = evidence.summarise(curves, wrong)
        assert made.final_mean == MIN_ACCURACY and evidence.verdict(7_999, 15, made).accuracy == "reached"
        assert made.n_pass == made.n_held == sum(count <= 60 for count in n_wrong)
    assert evidence.verdict(7_999, 15, summary(10_000, 60, 60, 61)).accuracy == "missed"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=7), st.sampled_from([500, 10_000, 9_983]))
def test_reached_is_decided_in_whole_numbers(n_wrong, n_images):
    made = summary(n_images, *n_wrong)
    right = sum(n_images - count for count in n_wrong)
    assert (made.final_mean >= MIN_ACCURACY) == (1_000 * right >= 994 * n_images * len(n_wrong))
    assert made.n_pass == sum(1_000 * (n_images - count) >= 994 * n_images for count in n_wrong)


def test_an_interval_that_ends_at_the_target_does_not_show_it():
    reached = summary(10_000, 50, 50)
    for low, accuracy in ((MIN_ACCURACY, "reached"), (np.nextafter(MIN_ACCURACY, 1), "shown")):
        changed = evidence.Summary(**{**vars(reached), "interval": (float(low), 0.999)})
        assert evidence.verdict(1, 1, changed).accuracy == accuracy
    assert evidence.verdict(1, 1, summary(10_000, 10, 12)).accuracy == "shown"


@pytest.mark.parametrize(("n_parameters", "epochs", "said"), [(7_999, 15, ("kept", "kept")), (8_000, 16, ("broken", "broken"))])
def test_the_limits(n_parameters, epochs, said):
    judged = evidence.verdict(n_parameters, epochs, summary(10_000, 50, 70))
    assert (judged.parameters, judged.epochs) == said and judged.held == 1


def test_held_takes_every_one_of_the_last_epochs():
    wrong = table(10_000, 50, 50, 50)
    curves = [[0.1, 0.9945, 0.994, 0.995], [0.9999, 0.9945, 0.9939, 0.995], [0.999, 0.9939, 0.999, 0.995]]
    made = evidence.summarise(curves, wrong)
    assert (made.n_pass, made.n_held) == (3, 1)
    assert summary(10_000, 50, epochs=2).n_held == 0 and summary(10_000, 50, epochs=3).n_held == 1


def test_one_seed_is_resampled_by_writers_alone():
    writers, groups = people()
    wrong = hard_writers(writers, 1, 6)
    made = evidence.summarise([[1 - float(wrong.mean())]], wrong, writers, groups)
    assert made.final_sd is None and made.interval_by == "writers" and made.interval[0] < made.interval[1]
    assert summary(500, 3).interval_by == "images"


def test_figures_that_do_not_belong_together_are_refused():
    wrong = table(10_000, 50, 60)
    for curves, word in (
        ([[0.995]], "one curve per seed"),
        ([[0.995], [0.9934]], "last epoch"),
        ([[0.995], [0.99405]], "whole number"),
        ([[0.995], [float("nan")]], "finite"),
        ([[0.995], []], "at least one epoch"),
    ):
        with pytest.raises(ResultError, match=word):
            evidence.summarise(curves, wrong)
    evidence.summarise([[0.995], [0.9941]], wrong)  # one image of ten thousand tips on another machine
    with pytest.raises(ResultError, match="same images"):
        evidence.difference(wrong, wrong[:, :-1], None, None, "02")


# Differences


def test_a_difference_counts_from_the_step_before():
    better, worse = table(10_000, 40, 42, 44), table(10_000, 90, 92, 94)
    made = evidence.difference(better, worse, None, None, "01_capacity")
    assert made.from_ == "01_capacity" and made.mean == pytest.approx(0.005) and made.direction == "better"
    assert evidence.difference(worse, better, None, None, "x").direction == "worse"
    same = evidence.difference(better, better, None, None, "x")
    assert same.mean == 0 and same.interval[0] < 0 < same.interval[1] and same.direction == "unclear"


def test_writers_are_drawn_jointly_for_both_recipes():
    writers = np.repeat(np.arange(50), 20)
    hard = (writers % 7 == 0)[None]
    other = hard.copy()
    other[0, :5] = ~other[0, :5]
    joint = evidence.difference(hard, other, writers, None, "x").interval
    assert joint[1] - joint[0] < 0.1 * np.ptp(intervals.middle(intervals.resample([hard], writers, None)[:, 0]))


def test_seeds_are_drawn_separately():
    spread = table(10_000, 20, 100)  # equal seeds of two recipes share nothing, even where they err alike
    low, high = evidence.difference(spread, spread, None, None, "x").interval
    assert low == pytest.approx(-0.008, abs=0.003) and high == pytest.approx(0.008, abs=0.003)


# Claims


def test_claims_follow_their_figures():
    helps = evidence.Difference("02_regularise", 0.0012, (0.0001, 0.0023))
    assert evidence.claim_better(helps) == evidence.Claim(
        "It is more accurate than 02_regularise.", True, "+0.12 points (+0.01 to +0.23 points)"
    )
    assert not evidence.claim_better(evidence.Difference("x", 0.001, (-0.0001, 0.002))).supported
    assert evidence.claim_held(summary(10_000, 50, 60)).supported
    assert evidence.claim_held(summary(10_000, 50, 61)) == evidence.Claim(
        "Every seed keeps the target over the last epochs.", False, "1 of 2 seeds"
    )


def test_a_narrower_gap_needs_more_than_a_smaller_mean():
    gap = evidence.gaps([0.9990, 0.9991, 0.9989], [0.9950, 0.9951, 0.9949])
    assert gap == pytest.approx([0.004] * 3)
    wide, noisy = np.array([0.006, 0.0061, 0.0059]), np.array([0.001, 0.004, 0.008])
    assert evidence.claim_narrower(gap, wide, "x").supported
    assert not evidence.claim_narrower(wide, gap, "x").supported
    assert not evidence.claim_narrower(gap, noisy, "x").supported
    alone = evidence.claim_narrower(gap[:1], wide, "x")
    assert not alone.supported and "one seed" in alone.figures


# Mistakes


PART = SimpleNamespace(
    labels=np.array([7, 2, 1, 0, 4]),
    ids=np.array([946, 947, 948, 9, 2130]),
    writers=np.array([5, 5, 6, 7, 7]),
    groups=np.array([4, 4, 1, 0, 0]),
)
READ = np.array([[7, 3, 1, 6, 9], [7, 3, 2, 6, 4], [7, 8, 1, 0, 4]], np.uint8)


def test_the_most_mistaken_images_come_first():
    found = misclassified.most_mistaken(READ, PART, misclassified.known("mnist", "test"))
    assert [(image.id, image.votes, image.prediction) for image in found] == [(947, 3, 3), (9, 2, 6), (948, 1, 2), (2130, 1, 9)]
    assert [image.known for image in found] == ["majority", None, None, "split"]
    assert [(image.writer, image.group) for image in found[:2]] == [(5, "students"), (7, "census employees")]
    assert found[0].index == 1 and found[0].label == 2 and found[0].n_seeds == 3
    assert len(misclassified.most_mistaken(READ, PART, {}, least=2)) == 2
    bare = SimpleNamespace(labels=PART.labels, ids=PART.ids, writers=None, groups=None)
    assert misclassified.most_mistaken(READ, bare, {})[0] == misclassified.Mistake(1, 947, 2, 3, 3, 3, None, None, None)


def test_known_wrong_labels_are_those_of_the_test_set():
    kinds = list(misclassified.WRONG_LABELS.values())
    assert [kinds.count(kind) for kind in ("majority", "split", "neither")] == [10, 2, 3]
    assert misclassified.known("mnist", "validation") == misclassified.known("digits", "test") == {}


def test_wrong_confusion_and_groups():
    assert misclassified.wrong(list(READ), PART.labels).sum(1).tolist() == [3, 3, 1]
    counts = misclassified.confusion(READ, PART.labels)
    assert counts.sum() == pytest.approx(5) and counts[2, 3] == pytest.approx(2 / 3) and counts[7, 7] == 1
    by_group = misclassified.by_group(misclassified.wrong(READ, PART.labels), PART.groups)
    assert by_group == pytest.approx({"students": 0.5, "census employees": 5 / 9})
    assert misclassified.by_group(misclassified.wrong(READ, PART.labels), None) == {}


def test_kinds_of_error_that_went_and_came():
    before = np.tile(PART.labels, (2, 1))
    before[:, 0] = 9
    found = misclassified.changes(READ, before, PART.labels)
    assert found[0] == misclassified.Change(7, 9, 1.0, 0.0)
    assert (found[-1].before, found[-1].after) == (0.0, pytest.approx(2 / 3))
    assert misclassified.changes(READ, READ, PART.labels) == []
