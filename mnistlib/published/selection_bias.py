"""How much of a claim is luck, the choice of the epoch and the seed; and whether a recipe is the one that was published."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from mnistlib import formatting
from mnistlib.published import registry, replication
from mnistlib.published.estimates import Found, Line, Study
from mnistlib.published.registry import ROWS
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.stats import intervals

NEAR = 0.99  # of accuracy: rows from here on are near the target


def epoch(found: Found) -> Study:
    """Say how much of a claim is the choice of the epoch: best epoch minus last, seed by seed."""
    gains = {name: np.array([max(run.test_accuracy) - run.final for run in found.results[name].runs]) for name in found.rows()}
    if not gains:
        return Study("epoch")
    claims = [claim for name in gains for claim in ROWS[name].claims if claim.best is not None and claim.final is not None]
    said = [claim.best - claim.final for claim in claims]
    mean = float(np.mean([each.mean() for each in gains.values()]))
    n = formatting.counted(len(gains), "model")
    lines = [Line("All models", "gain", mean, intervals.clustered(list(gains.values())), n, role="measured")]
    if said:
        what, n = "As the authors report it, best epoch minus last", formatting.counted(len(said), "run")
        lines.append(Line(what, "gain", float(np.mean(said)), None, n, role="reported"))
    for name, each in gains.items():
        text = formatting.points_interval((each.min(), each.max()))
        lines.append(Line(registry.get(name).title, "gain", float(each.mean()), None, found.seeds(name), f"{name}: seeds {text}"))
    return Study("epoch", lines)


def seed(found: Found) -> Study:
    """Say how much of a claim is one seed: the standard deviation between seeds at the last epoch, pooled for rows near the target."""
    last = {name: np.array([run.final for run in found.results[name].runs]) for name in found.rows() if len(found.results[name].runs) > 1}
    near = {name: values for name, values in last.items() if values.mean() >= NEAR}
    lines = []
    if near:
        freedom = sum(len(values) - 1 for values in near.values())
        pooled = math.sqrt(sum((len(values) - 1) * values.var(ddof=1) for values in near.values()) / freedom)
        pairs = [abs(a - b) for values in near.values() for a, b in combinations(values, 2)]
        what = f"Models that end at {formatting.percent(NEAR, 0)} or more, pooled"
        n = formatting.counted(len(near), "model")
        lines.append(Line(what, "spread", pooled, intervals.deviation(pooled, freedom), n, role="pooled"))
        n = formatting.counted(len(pairs), "pair")
        lines.append(Line("Two seeds of one of these differ on average by", "size", float(np.mean(pairs)), None, n))
        thumb, why = replication.sampling(MIN_ACCURACY, len(found.mnist.test.labels)), "the square root of error over twice the images"
        lines.append(Line("For comparison: a rule of thumb at the target", "spread", thumb, None, "", why))
    for name, values in last.items():
        sd = float(values.std(ddof=1))
        lines.append(Line(registry.get(name).title, "spread", sd, intervals.deviation(sd, len(values) - 1), found.seeds(name), name))
    return Study("seed", lines)


def rebuilt(found: Found) -> Study:
    """Hold running training accuracy against the published: of six times as many images, it tells best whether a recipe is the same."""
    lines = []
    for name in found.rows():
        claim = next((claim for claim in ROWS[name].claims if claim.train is not None), None)
        if claim is not None:
            bests = [max(run.train_accuracy) for run in found.results[name].runs]
            note = f"{name}: here {formatting.percent(float(np.mean(bests)))}, published {formatting.percent(claim.train)}"
            mean, around = float(np.mean(bests)), None
            if len(bests) > 1:
                low, high = intervals.one_more(mean, float(np.std(bests, ddof=1)), len(bests) - 1, len(bests))
                around = (low - claim.train, high - claim.train)
            lines.append(Line(ROWS[name].title, "gain", mean - claim.train, around, found.seeds(name), note, role="row"))
    return Study("rebuilt", lines)
