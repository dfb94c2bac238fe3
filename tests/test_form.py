"""Numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistlib import form


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (form.percent(0.9945), "99.45%"),
        (form.percent(0.5, 0), "50%"),
        (form.mean_sd(0.9945, 0.0004), "99.45 ± 0.04%"),
        (form.mean_sd(0.9945, None), "99.45%"),
        (form.mean_sd_against(0.99396, 0.0004, 0.994), "99.396 ± 0.040%"),
        (form.mean_sd_against(0.9945, None, 0.994), "99.45%"),
        (form.interval_against((0.99402, 0.99551), 0.994), "99.402 to 99.551%"),
        (form.interval_against((0.9931, 0.99551), 0.994), "99.31 to 99.55%"),
        (form.interval((0.9931, 0.9958)), "99.31 to 99.58%"),
        (form.points(0.0006), "+0.06 points"),
        (form.points_interval((-0.0001, 0.0013)), "−0.01 to +0.13 points"),
        (form.signed(-0.00001), "0.00"),
        (form.signed(0.0), "0.00"),
        (form.count(7546), "7,546"),
        (form.identifier(9729), "9729"),
        (form.fraction(0.1307), "0.1307"),
        (form.shape([8, 12, 12]), "8 × 12 × 12"),
        (form.of(4, 5), "4 of 5"),
        (form.mean_count(1.44), "1.4"),
        (form.confusion(4, 9), "4 read as 9"),
        (form.millions(834_000), "0.83 M"),
        (form.loss(0.01234), "0.0123"),
        (form.number(0.05), "0.05"),
        (form.number(1e-6), "1e-06"),
        (form.number(8000), "8,000"),
        (form.number(None), "none"),
        (form.number(False), "no"),
        (form.number("cosine"), "cosine"),
        (form.seconds(0.42), "0.42 s"),
        (form.seconds(7.1), "7.1 s"),
        (form.seconds(59.6), "1 min 00 s"),
        (form.seconds(105), "1 min 45 s"),
        (form.seconds(3599.7), "1 h 00 min"),
        (form.seconds(7500), "2 h 05 min"),
    ],
)
def test_a_number_is_written_as_a_reader_expects(text, said):
    assert text == said


@pytest.mark.parametrize(
    ("accuracy", "said"), [(0.99398, "99.398%"), (0.99402, "99.402%"), (0.994, "99.40%"), (0.9941, "99.41%"), (0.993996, "99.3996%")]
)
def test_a_miss_never_looks_like_the_target(accuracy, said):
    assert form.percent_against(accuracy, 0.994) == said


@settings(deadline=None)
@given(st.floats(-1, 1))
def test_a_difference_has_its_sign_or_is_zero(value):
    text = form.signed(value)
    assert "-" not in text
    assert text == "0.00" or text[0] == ("+" if value > 0 else "−")
    assert abs(float(text.replace("−", "-")) - 100 * value) <= 0.005 + 1e-9
