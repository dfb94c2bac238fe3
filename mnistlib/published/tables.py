"""What a published row's page shows beside a step's: who claimed what, the recipe in words, claim against measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mnistlib import formatting
from mnistlib.published import registry, replication
from mnistlib.published.registry import N_TEST, SILENT, Row
from mnistlib.published.schedulers import Cyclic, OneCycle, Plateau, Stepped
from mnistlib.published.transforms import Affine, CentreCrop, ResizedCrop, Rotation
from mnistlib.recipe import MIN_ACCURACY, Augment, Optimizer, Recipe, Schedule
from mnistlib.report import html
from mnistlib.report.html import Shown
from mnistlib.report.result import Result
from mnistlib.stats import summary as evidence
from mnistlib.stats.summary import Claim

NEVER = 100  # epochs: a schedule that waits longer is none


def claim(row: Row) -> Shown:
    """Return what an author reported of a row, and what has to be known of it."""
    if not row.claims:
        text = f"This is {row.of}, changed for a study; nobody claims anything of it."
        return html.together([html.sentence(text, "note"), *_notes(row)])
    rows = [[each.where, *(said(each, value) for value in (each.best, each.final))] for each in row.claims]
    wrong = "in an earlier version" if row.corrected else "as published"
    total = (
        f"{formatting.count(row.said)} {wrong}, {formatting.count(row.n_parameters)} in truth"
        if row.said
        else formatting.count(row.n_parameters)
    )
    caption = f"{row.title} of {row.system}, as its author reported it, of one run each; parameters: {total}"
    shown = html.table(caption, ["Machine", "Best epoch, chosen on the test set", "Last epoch"], rows)
    return html.together([shown, *_notes(row)])


def said(claim: registry.Claim, value: float | None) -> str:
    """Return an accuracy that an author reported, or that none was."""
    return SILENT if value is None else f"{'at least ' if claim.least else ''}{formatting.percent(value)}"


def _notes(row: Row) -> list[Shown]:
    """Return what a row's page must say."""
    return [html.sentence(text, "note") for text in row.notes]


def recipe(recipe: Recipe) -> Shown:
    """Return a recipe in a reader's words."""
    return html.table("The recipe", ["What", "How"], list(_lines(recipe)))


def _lines(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield what a recipe says, line by line."""
    yield "Optimizer", optimizer(recipe.optimizer)
    yield "Learning rate", schedule(recipe.schedule, recipe.optimizer.lr)
    yield "Batches", f"{formatting.count(recipe.batch_size)} images"
    yield "Epochs", formatting.count(recipe.epochs)
    yield "Augmentation", ", then ".join(map(transform, recipe.augment)) if isinstance(recipe.augment, tuple) else _own(recipe.augment)
    yield "Dropout", formatting.number(recipe.dropout) if recipe.dropout else "none"
    if recipe.steering is not None:
        by = (
            "the images that it is judged on, a leak"
            if recipe.steering.by == "judged"
            else "the images of writers set aside from the training images"
        )
        yield "Steered by", f"{by}; keeps the {recipe.steering.keep} epoch"


def optimizer(used: Optimizer) -> str:
    """Return an optimizer in words."""
    words = ["Adam"] if used.kind == "adam" else ["SGD", f"momentum {formatting.number(used.momentum)}"]
    words += ["Nesterov"] if used.kind == "sgd" and used.nesterov else []
    words += [f"weight decay {formatting.number(used.weight_decay)}"] if used.weight_decay else []
    return ", ".join(words)


def schedule(used: Any, lr: float) -> str:
    """Return how a learning rate goes, in words."""
    peak = formatting.number(lr)
    if isinstance(used, Stepped):
        if used.every > NEVER:
            return f"{peak} throughout"
        return f"{peak}, times {formatting.number(used.factor)} after every {formatting.count(used.every)} epochs"
    if isinstance(used, OneCycle):
        return f"one cycle up to {peak} and down to next to nothing; momentum down and up"
    if isinstance(used, Cyclic):
        return f"in triangles up to {peak}, {formatting.count(used.up)} steps each way"
    if isinstance(used, Plateau):
        return f"{peak}, times {formatting.number(used.factor)} after more than {formatting.count(used.patience)} epochs without a new best"
    assert isinstance(used, Schedule)
    return f"warm-up to {peak} over {formatting.percent(used.warmup, 0)} of the steps, then {used.anneal} to zero"


def transform(used: Any) -> str:
    """Return a random transform in words."""
    if isinstance(used, Rotation):
        return f"rotation ±{formatting.number(used.degrees)}°"
    if isinstance(used, Affine):
        words = [f"rotation ±{formatting.number(used.degrees)}°"] if used.degrees else []
        words += [f"shear ±{formatting.number(used.shear)}°"] if used.shear else []
        words += [f"translation ±{formatting.percent(used.translate, 0)}"] if used.translate else []
        words += [f"scale {formatting.number(used.scale[0])} to {formatting.number(used.scale[1])}"] if used.scale != (1.0, 1.0) else []
        return f"affine map ({', '.join(words)})"
    if isinstance(used, ResizedCrop):
        return f"resized crop of {formatting.percent(used.scale[0], 0)} to {formatting.percent(used.scale[1], 0)} of the area"
    assert isinstance(used, CentreCrop)
    return f"centre crop to {formatting.count(used.size)} pixels and back, for {formatting.percent(used.p, 0)} of the images"


def _own(augment: Augment | None) -> str:
    """Return the series' own kind of augmentation in words."""
    return "none" if augment is None else ", ".join(f"{name} {formatting.number(value)}" for name, value in vars(augment).items() if value)


def against(row: Row, result: Result) -> Shown:
    """Return every claim beside the measurement, like with like; a sentence for an arm, or a run of another kind than the claim's."""
    if row.claim is None or not replication.comparable(row, result):
        return html.sentence("There is no claim that this run could be held against.", "note")
    beside = replication.of(row, result)
    rows = []
    for claim in row.claims:
        pairs = (("Best epoch, chosen on the test set", claim.best, beside.bests), ("Last epoch", claim.final, beside.lasts))
        rows += [[claim.where, what, said(claim, value), *_measured(seeds)] for what, value, seeds in pairs if value is not None]
        if claim.train is not None:
            running = [max(run.train_accuracy) for run in result.runs]
            rows.append([claim.where, "Best epoch of training, running", formatting.percent(claim.train), *_measured(running)])
    caption = f"Claims, of one run each, beside {formatting.counted(len(beside.lasts), 'seed')} here"
    shown = html.table(caption, ["Machine", "Measured at", "Claim", "Here, mean ± sd", "Here, lowest to highest seed"], rows)
    if len(beside.lasts) < 2:
        return shown
    text = (
        f"The luckiest seed's best epoch is {formatting.percent(beside.best)}; that seed ends at {formatting.percent(beside.its_last)}, "
        f"and the mean of all seeds at {formatting.percent(beside.mean)}. Choosing the epoch adds {formatting.points(beside.by_epoch)} to a seed on "
        f"average, choosing the seed {formatting.points(beside.by_seed)} more."
    )
    return html.together([shown, html.sentence(text)])


def _measured(values: Sequence[float]) -> list[str]:
    """Return mean, standard deviation and range of a figure over the seeds."""
    mean = formatting.mean_sd(sum(values) / len(values), evidence.sd(values))
    return [mean, f"{formatting.percent(min(values))} to {formatting.percent(max(values))}"]


def claims(row: Row, result: Result) -> list[Claim]:
    """Return what can be said of a row and held against its figures."""
    summary, target = result.summary, MIN_ACCURACY
    mean = formatting.mean_sd_against(summary.final_mean, summary.final_sd, target)
    found = [
        Claim("Its mean is at or above the target at the last epoch.", summary.final_mean >= target, mean),
        evidence.claim_held(summary),
    ]
    if row.claim is None or not replication.comparable(row, result) or len(result.runs) < 2:
        return found
    headline, lowest, highest = row.claim.headline, *_ends(row, result)
    figures = f"{said(row.claim, headline)} beside {formatting.percent(lowest)} to {formatting.percent(highest)}"
    if row.claim.least:
        return [*found, Claim("A seed here reaches what its author claims at least.", headline <= highest, figures)]
    between = Claim("What its author claims lies between the lowest and the highest seed here.", lowest <= headline <= highest, figures)
    return [*found, between]


def _ends(row: Row, result: Result) -> tuple[float, float]:
    """Return the lowest and the highest seed at what the author claims, the best epoch or the last."""
    beside = replication.of(row, result)
    values = beside.lasts if row.claim is None or row.claim.best is None else beside.bests
    return min(values), max(values)


def curves(row: Row) -> dict[str, list[float]]:
    """Return the accuracies per epoch that a row's author published, by machine."""
    return {claim.where: [n / N_TEST for n in claim.curve] for claim in row.claims if claim.curve}
