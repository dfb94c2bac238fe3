"""How far single seeds lie apart: intervals of a standard deviation and of one more seed; values are taken as normally distributed."""

import math
from collections.abc import Sequence

import numpy as np
import scipy

from mnistlib.stats.intervals import LEVEL, Bounds


def sd_interval(sd: float, freedom: int) -> Bounds:
    """Return the interval of a standard deviation that was estimated with `freedom` degrees of freedom."""
    low, high = scipy.stats.chi2.interval(LEVEL, freedom)
    return sd * math.sqrt(freedom / high), sd * math.sqrt(freedom / low)


def prediction_interval(mean: float, sd: float, freedom: float, n: int) -> Bounds:
    """Return the interval of one more value, from the mean of `n` values and a standard deviation with `freedom` degrees of freedom."""
    low, high = scipy.stats.t.interval(LEVEL, freedom, loc=mean, scale=sd * math.sqrt(1 + 1 / n)) if sd else (mean, mean)
    return float(low), float(high)


def chance_of_difference(values: Sequence[float] | np.ndarray, difference: float) -> float:
    """Return the probability that two more values like these differ by `difference` or more."""
    sd = float(np.std(values, ddof=1)) * math.sqrt(2)
    return 2 * float(scipy.stats.t.sf(abs(difference) / sd, len(values) - 1)) if sd else float(difference == 0)


def moderated_variances(variances: Sequence[float], freedoms: Sequence[int]) -> list[tuple[float, float]]:
    """Return several variances, each moved towards what they have in common, with their degrees of freedom.

    This is limma's empirical Bayes moderation (Smyth 2004): the less the variances differ beyond chance, the more they are moved. An
    unknown variance (NaN, no degree of freedom) becomes the common one. Variances of zero do not enter the common one, which makes the
    result rather too wide than too narrow. With fewer than two variances to learn from, each stays as it is.
    """
    pairs = list(zip(variances, freedoms, strict=True))
    known = [(variance, freedom) for variance, freedom in pairs if freedom > 0 and variance > 0]
    if len(known) < 2:
        return [(variance, max(freedom, 1)) for variance, freedom in pairs]
    v, f = np.array(known).T
    logs = np.log(v) - scipy.special.digamma(f / 2) + np.log(f / 2)
    beyond = float(logs.var(ddof=1) - scipy.special.polygamma(1, f / 2).mean())  # variance of the logarithms beyond chance
    prior = 1e6
    if beyond > 0:  # the inverse of the trigamma function; its reciprocal is nearly a straight line
        prior = 2 * float(
            scipy.optimize.newton(lambda x: 1 / scipy.special.polygamma(1, x) - 1 / beyond, 0.5 + 1 / beyond, tol=1e-13, rtol=1e-13)
        )
    common = math.exp(float(logs.mean()) + float(scipy.special.digamma(prior / 2)) - math.log(prior / 2))
    return [
        ((prior * common + freedom * variance) / (prior + freedom), prior + freedom) if freedom > 0 else (common, prior)
        for variance, freedom in pairs
    ]
