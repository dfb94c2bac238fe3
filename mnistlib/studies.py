"""What the published rows teach beside their figures: studies of stored trials, each an estimate with its own interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import anatomy, data, form, intervals, mistakes, models, outcome, published, results, train
from mnistlib.estimates import Found, Line, Study, mean_line
from mnistlib.published import FOLDED, ROWS, Row
from mnistlib.schema import Result

SCHEMA = 1


def macs(row: Row) -> int:
    """Return the multiply-accumulates of a row's net for one image."""
    return anatomy.of(models.build(row.recipe.model, row.recipe.dropout)).n_macs


def gather(found: Mapping[str, Result], place: Path, mnist: data.Mnist) -> Found:
    """Return results with the mistakes of their nets, which are run again; `place` holds the checkpoints."""
    told = {name: outcome.predictions(result, place, mnist) for name, result in found.items()}
    return Found(found, {name: mistakes.wrong(digits, mnist.test.labels) for name, digits in told.items()}, mnist)


def make(there: Found, folds: Sequence[Result], place: Path) -> dict[str, Any]:
    """Return the record of all studies that the results allow, as plain values."""
    made = [study(there) for study in (epoch, seed, augmentation, machine, logits, order, leak, optimizers)]
    made += [folded(there, folds), ensemble(there, place)]
    return {"schema": SCHEMA, "studies": [asdict(study) for study in made if study.lines], "kernels": kernels(there, place)}


def epoch(found: Found) -> Study:
    """Say how much of a claim is the choice of the epoch: best epoch minus last, seed by seed."""
    gains = {name: [max(run.test_accuracy) - run.test_accuracy[-1] for run in found.results[name].runs] for name in _rows(found)}
    lines = [mean_line(published.get(name).title, values, "gain", name) for name, values in gains.items()]
    every = [gain for values in gains.values() for gain in values]
    return Study("epoch", [mean_line("All rows", every, "gain"), *lines] if lines else [])


def seed(found: Found) -> Study:
    """Say how much of a claim is one seed: the standard deviation between seeds at the last epoch, and what the best of a few adds."""
    spreads, lines = [], []
    for name in _rows(found):
        last = np.array([run.test_accuracy[-1] for run in found.results[name].runs])
        spreads.append((len(last), float(last.var(ddof=1))))
        sd = float(last.std(ddof=1))
        lines.append(Line(published.get(name).title, "spread", sd, intervals.deviation(sd, len(last) - 1), found.seeds(name), name))
    if not lines:
        return Study("seed")
    freedom = sum(n - 1 for n, _ in spreads)
    pooled = math.sqrt(sum((n - 1) * variance for n, variance in spreads) / freedom)
    typical = Line("All rows, pooled", "spread", pooled, intervals.deviation(pooled, freedom), f"{form.count(freedom)} degrees of freedom")
    by_chance = math.sqrt(0.006 * 0.994 / len(found.mnist.test.labels))
    sampled = Line("For comparison: drawing other test images, at the target", "spread", by_chance, None, "binomial")
    apart = Line("Two seeds of one recipe differ on average by", "gain", pooled * 2 / math.sqrt(math.pi), None, "normal")
    return Study("seed", [typical, apart, sampled, *lines])


def augmentation(found: Found) -> Study:
    """Take the step from Model 2 to Model 3 of mnist-cnn-aws apart, which changed four things and credited one."""
    claimed = ROWS["003-model-3"].claims[0].best - ROWS["003-model-2"].claims[0].best
    lines = [
        *found.difference("All that changed: Model 3 against Model 2", "003-model-3", "003-model-2"),
        *found.difference("Augmentation alone, with Model 2's settings", "003-model-2-augmented", "003-model-2"),
        *found.difference("Augmentation alone, with Model 3's settings", "003-model-3", "003-model-3-unaugmented"),
        *found.difference("Learning rate, decay and schedule alone", "003-model-3-unaugmented", "003-model-2"),
    ]
    said = Line("As claimed: best epoch against best epoch, one seed each", "gain", claimed, None, "1 and 1 seeds")
    return Study("augmentation", [said, *lines] if lines else [])


def machine(found: Found) -> Study:
    """Ask whether two machines that ended apart, 001's open question, differ by more than two seeds on one machine do."""
    name = "001-gap"
    if not found.has(name):
        return Study("machine")
    apple, colab = published.MACHINES.values()
    bests = np.array([max(run.test_accuracy) for run in found.results[name].runs])
    apart, spread = abs(apple - colab), float(bests.std(ddof=1))
    pairs = [abs(a - b) for place, a in enumerate(bests) for b in bests[place + 1 :]]
    by_chance = math.erfc(apart / (2 * spread)) if spread else 0.0
    one, two = found.wrong[name][:2]
    paired = intervals.mcnemar(one, two)
    low, high = intervals.wilson(round(colab * published.N_TEST), published.N_TEST)
    return Study(
        "machine",
        [
            Line("What the author saw between two machines, best epochs", "gain", apart, None, "1 and 1 seeds"),
            Line("Between two seeds on one machine, best epochs, on average", "gain", float(np.mean(pairs)), None, found.seeds(name)),
            Line("Chance that two seeds differ by as much on one machine", "share", by_chance, None, "normal"),
            Line("The lower of the two figures, as a sample of all digits", "accuracy", colab, (low, high), "Wilson"),
            Line(
                "Images that only the first, or only the second seed misreads",
                "count",
                float(paired.only_a + paired.only_b),
                None,
                f"{form.count(paired.only_a)} and {form.count(paired.only_b)}, McNemar {form.p_value(paired.p)}",
            ),
            *found.difference("Dropout as in the committed source, half of the notebooks'", "001-gap-half-dropout", name),
        ],
    )


def logits(found: Found) -> Study:
    """Say what ReLU and normalization on the logits cost: plain logits against both, and against each of them."""
    return Study(
        "logits",
        [
            *found.difference("gap, whose logits pass ReLU, normalization and dropout", "001-gap-plain-logits", "001-gap"),
            *found.difference("Model 3 of mnist-cnn-aws, normalization and ReLU", "003-model-3-plain-logits", "003-model-3"),
            *found.difference("The same against ReLU alone", "003-model-3-plain-logits", "003-model-3-relu-logits"),
            *found.difference("The same against normalization alone", "003-model-3-plain-logits", "003-model-3-norm-logits"),
            *found.difference("Part 2, normalization and ReLU before the average", "004-part-2-plain-logits", "004-part-2"),
        ],
    )


def order(found: Found) -> Study:
    """Compare orders and kinds of normalization in Model 4 of session7mnist_ec2."""
    return Study(
        "order",
        [
            *found.difference("Normalization before ReLU, against after it", "000-model-4-norm-first", "000-model-4"),
            *found.difference("Group normalization, against batch normalization", "000-model-4-group-norm", "000-model-4"),
        ],
    )


def leak(found: Found) -> Study:
    """Say what steering by the test images was worth: reported under the leak, against the honest run's kept net."""
    lines = []
    for name in ("002-model-1", "002-model-2", "002-model-3"):
        twin = f"{name}-by-validation"
        if not found.has(name, twin):
            continue
        title = published.get(name).title
        best = [max(run.test_accuracy) for run in found.results[name].runs]
        kept = [run.final for run in found.results[twin].runs]
        mean, bounds = intervals.welch(best, kept)
        lines.append(
            Line(
                f"{title}: best epoch under the leak, against what the honest run keeps",
                "difference",
                mean,
                bounds,
                found.seeds(name, twin),
            )
        )
        lines += found.difference(f"{title}: last epoch under the leak, against the same", name, twin, "it trains on more images, too")
    return Study("leak", lines)


def optimizers(found: Found) -> Study:
    """Do what 002 left for later: augmentation, and other optimizers, all steered by validation."""
    return Study(
        "future",
        [
            *found.accuracy("Model_3, steered by validation", FOLDED),
            *found.difference("With augmentation (rotation)", "002-model-3-augmented", FOLDED),
            *found.difference("With SGD and Nesterov momentum instead of Adam", "002-model-3-sgd", FOLDED),
            *found.difference("With Adam at a tenth of the learning rate", "002-model-3-slow-adam", FOLDED),
        ],
    )


def folded(found: Found, folds: Sequence[Result]) -> Study:
    """Cross-validate by writer: every training image judged once, by a net that never saw its writer."""
    values = [run.final for result in folds for run in result.runs]
    if len(values) < published.FOLDS:
        return Study("folds")
    lines = [mean_line("Model_3 over all folds", values, "accuracy", "images of the training set")]
    lines += [
        Line(result.split.capitalize(), "accuracy", run.final, None, f"{form.count(result.n_test)} images")
        for result in folds
        for run in result.runs
    ]
    return Study("folds", [*lines, *found.accuracy("For comparison: on the test images", FOLDED)])


def ensemble(found: Found, place: Path) -> Study:
    """Average the probabilities of a row's seeds: what the seeds' nets know together, against their mean alone."""
    lines, test = [], found.mnist.test
    for name in _rows(found):
        result = found.results[name]
        if len(result.runs) < published.HEADLINE_SEEDS:
            continue
        chances = [outcome.probabilities(result.recipe, weights, test) for _, weights in results.stored(result, place)]
        together = (np.mean(chances, 0).argmax(1) != test.labels.numpy())[None]
        samples = intervals.resample([together], test.writers, test.groups)[:, 0]
        accuracy = 1 - float(together.mean())
        title = f"{published.get(name).title} of {ROWS[name].system.partition('/')[2]}"
        lines.append(Line(f"{title}, together", "accuracy", accuracy, intervals.middle(samples), found.seeds(name)))
        gain = intervals.resample([together, found.wrong[name]], test.writers, test.groups)
        told = intervals.middle(gain[:, 0] - gain[:, 1])
        lines.append(
            Line("against the mean of the seeds alone", "difference", accuracy - result.summary.final_mean, told, found.seeds(name))
        )
    return Study("ensemble", lines)


def kernels(found: Found, place: Path) -> dict[str, Any] | None:
    """Return the first kernels of 002's Model_3, first seed, and how far each tap of its last convolution moved, on average."""
    name = "002-model-3"
    if not found.has(name):
        return None
    result = found.results[name]
    about, after = results.stored(result, place)[0]
    before = train.fresh(result.recipe, about["seed"]).state_dict()
    first, *_, last = [layer for layer, value in after.items() if value.ndim == 4]
    moved = (after[last] - before[last]).abs().mean((0, 1))
    return {"first": _rounded(after[first][:, 0]), "moved": _rounded(moved)}


def _rounded(values: Any) -> list[Any]:
    """Return a tensor as nested lists of four decimals; what is not zero stays so."""
    return [_rounded(each) if each.ndim else round(float(each), 4) or float(each) for each in values]


def _rows(found: Found) -> list[str]:
    """Return the published rows that there are results of, in their order."""
    return [name for name in ROWS if name in found.results]
