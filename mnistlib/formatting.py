"""The one place that turns a number into text."""

from collections.abc import Iterable, Sequence


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction as a percentage: 0.9945 gives "99.45%"."""
    return f"{100 * fraction:.{digits}f}%"


def digits_against(fraction: float, target: float) -> int:
    """Return how many digits, two to four, a percentage needs to differ from a target that it misses or beats."""
    return next((digits for digits in (2, 3, 4) if percent(fraction, digits) != percent(target, digits)), 2)


def mean_sd(mean: float, sd: float | None, digits: int = 2) -> str:
    """Return a mean and a standard deviation, both fractions: "99.45% (sd 0.04)"; without a standard deviation the mean alone."""
    return percent(mean, digits) if sd is None else f"{percent(mean, digits)} (sd {100 * sd:.{digits}f})"


def interval(bounds: Sequence[float], digits: int = 2) -> str:
    """Return two fractions as an interval of percentages: "99.31 to 99.58%"."""
    return f"{100 * bounds[0]:.{digits}f} to {percent(bounds[1], digits)}"


def points(difference: float) -> str:
    """Return a difference of fractions in signed percentage points: "+0.06 points"."""
    return f"{signed(difference)} points"


def points_interval(bounds: Sequence[float]) -> str:
    """Return an interval of differences in percentage points: "−0.01 to +0.13 points"."""
    return f"{signed(bounds[0])} to {points(bounds[1])}"


def signed(difference: float) -> str:
    """Return a difference of fractions in points with its sign (a true minus): "+0.06"."""
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


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


def seconds_interval(bounds: Sequence[float]) -> str:
    """Return an interval of differences of durations: "−31 to −24 s"."""
    low, high = (f"{bound:+.0f}".replace("-", "−") for bound in bounds)
    return f"{low} to {high} s"


def dollars(value: float | None) -> str:
    """Return a cost in US dollars, small ones to a tenth of a cent: "$0.012", "$1.25"; "cost not known" without one."""
    return "cost not known" if value is None else f"${value:.3f}" if value < 1 else f"${value:,.2f}"
