"""What the published rows teach beside their figures: studies of stored trials, each of estimates with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import data, formatting, train
from mnistlib.published import registry, selection_bias
from mnistlib.published.estimates import Found, Line, Study
from mnistlib.published.registry import FOLDED, ROWS
from mnistlib.report import results, step_report
from mnistlib.report.result import Result
from mnistlib.stats import intervals, misclassified

SCHEMA = 1


def gather(found: Mapping[str, Result], place: Path, mnist: data.Mnist) -> Found:
    """Return results with the mistakes of their nets, which are run again; `place` holds the checkpoints."""
    told = {name: step_report.predictions(result, place, mnist) for name, result in found.items()}
    return Found(found, {name: misclassified.wrong(digits, mnist.test.labels) for name, digits in told.items()}, mnist)


def make(there: Found, folds: Sequence[Result], parts: Sequence[data.Mnist], place: Path) -> dict[str, Any]:
    """Return the record of all studies that the results allow, as plain values; `parts` are the data of the folds."""
    made = [
        study(there)
        for study in (selection_bias.epoch, selection_bias.seed, selection_bias.rebuilt, augmentation, machine, logits, order, leak, future)
    ]
    made += [folded(there, folds, parts, place), ensemble(there, place)]
    return {"schema": SCHEMA, "studies": [asdict(study) for study in made if study.lines], "kernels": kernels(there, place)}


def augmentation(found: Found) -> Study:
    """Take the step from Model 2 to Model 3 of mnist-cnn-aws apart, which changed four things and credited one."""
    second, third, more, less = "003-model-2", "003-model-3", "003-model-2-augmented", "003-model-3-unaugmented"
    if not found.has(second, third):
        return Study("augmentation")
    bests = {name: [max(run.test_accuracy) for run in found.results[name].runs] for name in (second, third)}
    gain, bounds = intervals.welch(bests[third], bests[second])
    return Study(
        "augmentation",
        [
            Line(
                "As claimed, best epochs",
                "gain",
                ROWS[third].claim.headline - ROWS[second].claim.headline,
                None,
                "one run each",
                role="claimed",
            ),
            Line("The same here, best epochs", "gain", gain, bounds, found.seeds(third, second)),
            *found.difference("All that changed, last epochs: Model 3 against Model 2", third, second),
            *found.difference("Augmentation alone, with Model 2's settings", more, second),
            *found.difference("Augmentation alone, with Model 3's settings", third, less),
            *found.effect("Augmentation alone, both together", [more, third], [second, less], role="alone"),
            *found.difference("Learning rate, decay and schedule alone", less, second),
        ],
    )


def machine(found: Found) -> Study:
    """Ask whether two machines that ended apart, 001's open question, differ by more than two seeds on one machine do."""
    name, half = "001-gap", "001-gap-half-dropout"
    if not found.has(name) or len(found.results[name].runs) < 2:
        return Study("machine")
    bests = np.array([max(run.test_accuracy) for run in found.results[name].runs])
    first, other = registry.README_FIGURES
    colab, _, apple = (claim.headline for claim in ROWS[name].claims)
    pairs = list(combinations(range(len(bests)), 2))
    apart = [abs(bests[a] - bests[b]) for a, b in pairs]
    odd = [int((found.wrong[name][a] != found.wrong[name][b]).sum()) for a, b in pairs]
    n = f"{formatting.of(sum(each >= first - other - 1e-9 for each in apart), len(pairs))} pairs here do"
    chance = intervals.apart(bests, first - other)
    return Study(
        "machine",
        [
            Line("What the README says: its final figure above Colab's", "size", first - other, None, "one run each", role="size"),
            Line(
                "What the logs say: Colab above the Apple GPU", "gain", colab - apple, None, "one run each", "with half the dropout there"
            ),
            Line(
                "Two seeds on one machine, best epochs, on average",
                "size",
                float(np.mean(apart)),
                None,
                formatting.counted(len(pairs), "pair"),
            ),
            Line("Chance that two seeds differ as those figures do, or more", "share", chance, None, n, found.seeds(name), role="chance"),
            Line("Images that one of two seeds misreads and the other does not", "count", float(np.mean(odd)), None, "mean over the pairs"),
            *found.difference("Half the dropout, against the notebooks' dropout", half, name),
        ],
    )


def logits(found: Found) -> Study:
    """Say what plain logits are worth against ReLU and normalization on them, and against each of the two."""
    third = "003-model-3"
    return Study(
        "logits",
        [
            *found.difference("gap: plain, against ReLU, normalization and dropout", "001-gap-plain-logits", "001-gap"),
            *found.difference("Model 3: plain, against normalization and ReLU", f"{third}-plain-logits", third),
            *found.difference("Model 3: plain, against ReLU alone", f"{third}-plain-logits", f"{third}-relu-logits"),
            *found.difference("Model 3: plain, against normalization alone", f"{third}-plain-logits", f"{third}-norm-logits"),
            *found.difference("Part 2: plain, against normalization and ReLU before the average", "004-part-2-plain-logits", "004-part-2"),
        ],
    )


def order(found: Found) -> Study:
    """Compare orders and kinds of normalization in Model 4 of session7mnist_ec2."""
    return Study(
        "order",
        [
            *found.difference("Normalization before ReLU, against after it", "000-model-4-norm-first", "000-model-4"),
            *found.difference("Group normalization in two groups, against batch normalization", "000-model-4-group-norm", "000-model-4"),
        ],
    )


def leak(found: Found) -> Study:
    """Say what steering by the test images was worth: reported under the leak, against the honest run's kept net."""
    lines = []
    for name in ("002-model-1", "002-model-2", "002-model-3"):
        twin = f"{name}-by-validation"
        if not found.has(name, twin):
            continue
        title, honest = registry.get(name).title, found.results[twin].runs
        inflated, bounds = intervals.welch([max(run.test_accuracy) for run in found.results[name].runs], [run.final for run in honest])
        what = f"{title}: reported under the leak, against what is honest"
        lines.append(Line(what, "gain", inflated, bounds, found.seeds(name, twin), role=title))
        chosen = [max(run.test_accuracy) - run.final for run in honest]
        note = "best epoch by the test images, above the one kept by validation"
        lines.append(
            Line(
                "For comparison: the choice of the epoch, in the honest runs", "gain", float(np.mean(chosen)), None, found.seeds(twin), note
            )
        )
        lines += found.difference("Last epoch, steered by the test images and on all, against honest", name, twin)
    return Study("leak", lines)


def future(found: Found) -> Study:
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


def folded(found: Found, folds: Sequence[Result], parts: Sequence[data.Mnist], place: Path) -> Study:
    """Cross-validate by writer: every training image judged once, by a net that never saw its writer."""
    if len(folds) < registry.FOLDS:
        return Study("folds")
    judged = [step_report.predictions(result, place, part)[0] for result, part in zip(folds, parts, strict=True)]
    wrong = np.concatenate([misclassified.wrong(digits, part.test.labels) for digits, part in zip(judged, parts, strict=True)])
    writers, groups = (np.concatenate([getattr(part.test, name) for part in parts]) for name in ("writers", "groups"))
    bounds = intervals.middle(intervals.resample([wrong[None]], writers, groups)[:, 0])
    n = f"{formatting.count(len(wrong))} images"
    lines = [Line("Model_3, every training image", "accuracy", 1 - float(wrong.mean()), bounds, n, "writers drawn, the nets given")]
    for result in folds:
        lines.append(Line(result.split.capitalize(), "accuracy", result.runs[0].final, None, f"{formatting.count(result.n_test)} images"))
    return Study("folds", [*lines, *found.accuracy("For comparison: test images, which other writers wrote", FOLDED)])


def ensemble(found: Found, place: Path) -> Study:
    """Average the probabilities of a row's seeds: what these very nets know together, against their mean alone."""
    lines, test = [], found.mnist.test
    for name in found.rows():
        result = found.results[name]
        if len(result.runs) < registry.HEADLINE_SEEDS:
            continue
        chances = [step_report.probabilities(result.recipe, weights, test) for _, weights in results.stored(result, place)]
        together = np.mean(chances, 0).argmax(1) != test.labels.numpy()
        alone = [wrong[None] for wrong in found.wrong[name]]  # a table each: the nets are given, only writers are drawn
        drawn = intervals.resample([together[None], *alone], test.writers, test.groups)
        n, more = found.seeds(name), 1 - float(together.mean()) - result.summary.final_mean
        title = f"{ROWS[name].long_title}, together"
        lines.append(Line(title, "accuracy", 1 - float(together.mean()), intervals.middle(drawn[:, 0]), n))
        lines.append(Line("above the mean of the same nets alone", "gain", more, intervals.middle(drawn[:, 0] - drawn[:, 1:].mean(1)), n))
    return Study("ensemble", lines)


def kernels(found: Found, place: Path) -> dict[str, Any] | None:
    """Return the first kernels of 002's Model_3, first seed, and how far each tap of its last convolution moved, on average."""
    name = "002-model-3"
    if not found.has(name):
        return None
    about, after = results.stored(found.results[name], place)[0]
    before = train.fresh(found.results[name].recipe, about["seed"]).state_dict()
    layers = [layer for layer, value in before.items() if value.ndim == 4]  # in the order in which they work
    moved = (after[layers[-1]] - before[layers[-1]]).abs().mean((0, 1))
    return {"first": _rounded(after[layers[0]][:, 0]), "moved": _rounded(moved)}


def _rounded(values: Any) -> list[Any]:
    """Return a tensor as nested lists of four decimals; what is not zero stays so."""
    return [_rounded(each) if each.ndim else round(float(each), 4) or float(each) for each in values]
