"""Numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistlib import formatting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.percent(0.9945), "99.45%"),
        (formatting.percent(0.5, 0), "50%"),
        (formatting.mean_sd(0.9945, 0.0004), "99.45% (seed sd 0.04)"),
        (formatting.mean_sd(0.9945, None), "99.45%"),
        (formatting.mean_sd(0.99396, 0.0004, 3), "99.396% (seed sd 0.040)"),
        (formatting.interval((0.99402, 0.99551), 3), "99.402 to 99.551%"),
        (formatting.interval((0.9931, 0.9958)), "99.31 to 99.58%"),
        (formatting.change(formatting.POINTS, 0.0006), "+0.06 points"),
        (formatting.change(formatting.IMAGES, -0.00003, 0.00107), "−0.3 to +10.7 images"),
        (formatting.change(formatting.IMAGES, 0.07704, -0.00086), "+770 to −9 images"),
        (formatting.change(formatting.IMAGES, -0.6632), "−6,632 images"),
        (formatting.against((0.993996, 0.99551), 0.994), "99.3996 to 99.5510%"),
        (formatting.against((0.9931, 0.9958), 0.994), "99.31 to 99.58%"),
        (formatting.change(formatting.LOSS, -0.00001), "0.0000"),
        (formatting.amount(formatting.IMAGES, 0.00052), "5.2 images"),
        (formatting.amount(formatting.LOSS, 0.01684), "0.0168"),
        (formatting.amount(formatting.POINTS, -0.0001), "−0.01 points"),
        (formatting.count(7546), "7,546"),
        (formatting.counted(1, "seed"), "1 seed"),
        (formatting.counted(3, "seed"), "3 seeds"),
        (formatting.listed(["a"]), "a"),
        (formatting.listed(["a", "b", "c"]), "a, b and c"),
        (formatting.shape([8, 12, 12]), "8 × 12 × 12"),
        (formatting.of(4, 5), "4 of 5"),
        (formatting.mean_count(1.44), "1.4"),
        (formatting.decimals(0.01234), "0.0123"),
        (formatting.number(0.05), "0.05"),
        (formatting.number(1e-6), "1e-06"),
        (formatting.number(8000), "8,000"),
        (formatting.number(None), "none"),
        (formatting.number(False), "no"),
        (formatting.number("cosine"), "cosine"),
        (formatting.seconds(0.42), "0.42 s"),
        (formatting.seconds(7.1), "7.1 s"),
        (formatting.seconds(59.6), "1 min 00 s"),
        (formatting.seconds(105), "1 min 45 s"),
        (formatting.seconds(3599.7), "1 h 00 min"),
        (formatting.seconds(7500), "2 h 05 min"),
        (formatting.change(formatting.Unit(1, 0, "s"), -31.2, 2), "−31 to +2 s"),
        (formatting.dollars(0.0121), "$0.012"),
        (formatting.dollars(1250), "$1,250.00"),
        (formatting.dollars(None), "cost not known"),
    ],
)
def test_a_number_is_written_as_a_reader_expects(text, expected):
    assert text == expected


@pytest.mark.parametrize(
    ("accuracy", "expected"), [(0.99398, "99.398%"), (0.99402, "99.402%"), (0.994, "99.40%"), (0.9941, "99.41%"), (0.993996, "99.3996%")]
)
def test_a_miss_never_looks_like_the_target(accuracy, expected):
    assert formatting.percent(accuracy, formatting.digits_against(accuracy, 0.994)) == expected


@settings(deadline=None)
@given(st.floats(-1, 1))
def test_a_difference_has_its_sign_or_is_zero(value):
    text = formatting.change(formatting.POINTS, value).removesuffix(" points")
    assert "-" not in text
    assert text == "0.00" or text[0] == ("+" if value > 0 else "−")
    assert abs(float(text.replace("−", "-")) - 100 * value) <= 0.005 + 1e-9
