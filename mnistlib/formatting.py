"""The one place that turns a number into text."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Unit(NamedTuple):
    """How a measured quantity is written."""

    factor: int  # from the stored value
    digits: int  # after the point
    name: str


IMAGES, POINTS = Unit(10_000, 1, "images"), Unit(100, 2, "points")  # of fractions of the images; images count in 10,000
LOSS = Unit(1, 4, "")


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction as a percentage: 0.9945 gives "99.45%"."""
    return f"{100 * fraction:.{digits}f}%"


def digits_against(fraction: float, target: float) -> int:
    """Return how many digits, two to four, a percentage needs to differ from a target that it misses or beats."""
    return next((digits for digits in (2, 3, 4) if percent(fraction, digits) != percent(target, digits)), 2)


def mean_sd(mean: float, sd: float | None, digits: int = 2) -> str:
    """Return a mean and the standard deviation of seeds, both fractions: "99.45% (seed sd 0.04)"; for one seed the mean alone."""
    return percent(mean, digits) if sd is None else f"{percent(mean, digits)} (seed sd {100 * sd:.{digits}f})"


def interval(bounds: Sequence[float], digits: int = 2) -> str:
    """Return two fractions as an interval of percentages: "99.31 to 99.58%"."""
    return f"{100 * bounds[0]:.{digits}f} to {percent(bounds[1], digits)}"


def against(bounds: Sequence[float], target: float) -> str:
    """Return an interval of percentages with the digits it needs to differ from a target that it misses or beats."""
    return interval(bounds, max(digits_against(bound, target) for bound in bounds))


def amount(unit: Unit, value: float) -> str:
    """Return a quantity in a unit: "5.2 images"."""
    return change(unit, value).removeprefix("+")


def change(unit: Unit, *differences: float) -> str:
    """Return a difference, or the two ends of its interval, with true minus signs: "+0.06 points", "−0.3 to +10.7 images".

    Hundreds are written without decimals.
    """
    values = [unit.factor * difference for difference in differences]
    digits = 0 if max(map(abs, values)) >= 100 else unit.digits
    texts = [f"{value:+,.{digits}f}" for value in values]
    return f"{' to '.join(text.replace('-', '−') if text.strip('+-0.') else text[1:] for text in texts)} {unit.name}".strip()


def count(n: int) -> str:
    """Return a whole number with thousands separated: 7546 gives "7,546"."""
    return f"{n:,d}"


def of(k: int, n: int) -> str:
    """Return a part of a whole: "4 of 5"."""
    return f"{count(k)} of {count(n)}"


def counted(n: int, word: str) -> str:
    """Return a number of things: "1 seed", "3 seeds"."""
    return f"{count(n)} {word}{'s' * (n != 1)}"


def listed(texts: Sequence[str]) -> str:
    """Return texts as a list in a sentence: "a, b and c"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def mean_count(value: float) -> str:
    """Return a count averaged over seeds with one decimal: "1.4"."""
    return f"{value:.1f}"


def confusion(label: int, prediction: int) -> str:
    """Return a kind of error: "4 predicted as 9"."""
    return f"{label} predicted as {prediction}"


def decimals(value: float) -> str:
    """Return a loss, a learning rate or a small fraction with four decimals: "0.1307"."""
    return f"{value:.4f}"


def shape(sides: Iterable[int]) -> str:
    """Return a tensor's shape: "8 × 12 × 12"."""
    return " × ".join(count(side) for side in sides)


def number(value: float | int | str | bool | None) -> str:
    """Return a setting's value as a reader would write it: 0.05, 15, 1e-06, none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return count(value) if isinstance(value, int) else str(value)


def seconds(value: float) -> str:
    """Return a duration: "0.42 s", "7.1 s", "1 min 45 s", "2 h 05 min"."""
    if value < 10:
        return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
    minutes, whole = divmod(round(value), 60)
    if minutes == 0:
        return f"{whole} s"
    return f"{minutes} min {whole:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def dollars(value: float | None) -> str:
    """Return a cost in US dollars, small ones to a tenth of a cent: "$0.012", "$1.25"; "cost not known" without one."""
    return "cost not known" if value is None else f"${value:.3f}" if value < 1 else f"${value:,.2f}"
