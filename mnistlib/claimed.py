"""What a published row's page shows beside a step's: who claimed what, the recipe in words, claim against measurement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mnistlib import evidence, form, standing, tables
from mnistlib.evidence import Claim
from mnistlib.published import Row
from mnistlib.recipe import MIN_ACCURACY, Augment, Optimizer, Recipe, Schedule
from mnistlib.schedules import Cyclic, OneCycle, Plateau, Stepped
from mnistlib.schema import Result
from mnistlib.tables import Shown
from mnistlib.transforms import Affine, CentreCrop, ResizedCrop, Rotation

NEVER = 100  # epochs: a schedule that waits longer is none


def claim(row: Row) -> Shown:
    """Return what an author reported of a row, and what has to be known of it."""
    if not row.claims:
        text = f"This is {row.of} with one thing changed, for a study; nobody claims anything of it."
        return tables.together([tables.sentence(text, "note"), *_notes(row)])
    rows = [[each.where, *map(_said, (each.best, each.final))] for each in row.claims]
    said = f"{form.count(row.said)} as published, {form.count(row.n_parameters)} in truth" if row.said else form.count(row.n_parameters)
    caption = f"{row.title} of {row.system}, as its author reported it: one seed; parameters: {said}"
    shown = tables.table(caption, ["Machine", "Best epoch, chosen on the test set", "Last epoch"], rows)
    return tables.together([shown, *_notes(row)])


def _said(value: float | None) -> str:
    """Return an accuracy that an author reported, or that none was."""
    return "not said" if value is None else form.percent(value)


def _notes(row: Row) -> list[Shown]:
    """Return what a row's page must say."""
    return [tables.sentence(text, "note") for text in row.notes]


def recipe(recipe: Recipe) -> Shown:
    """Return a recipe in a reader's words."""
    return tables.table("The recipe", ["What", "How"], list(_lines(recipe)))


def _lines(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield what a recipe says, line by line."""
    yield "Optimizer", optimizer(recipe.optimizer)
    yield "Learning rate", schedule(recipe.schedule, recipe.optimizer.lr)
    yield "Batches", f"{form.count(recipe.batch_size)} images"
    yield "Epochs", form.count(recipe.epochs)
    yield "Augmentation", ", then ".join(map(transform, recipe.augment)) if isinstance(recipe.augment, tuple) else _own(recipe.augment)
    yield "Dropout", form.number(recipe.dropout) if recipe.dropout else "none"
    if recipe.steering is not None:
        by = "the test images, a leak" if recipe.steering.by == "judged" else "the images of writers set aside from the training images"
        yield "Steered by", f"{by}; keeps the {recipe.steering.keep} epoch"


def optimizer(used: Optimizer) -> str:
    """Return an optimizer in words."""
    words = ["Adam"] if used.kind == "adam" else ["SGD", f"momentum {form.number(used.momentum)}"]
    words += ["Nesterov"] if used.kind == "sgd" and used.nesterov else []
    words += [f"weight decay {form.number(used.weight_decay)}"] if used.weight_decay else []
    return ", ".join(words)


def schedule(used: Any, lr: float) -> str:
    """Return how a learning rate goes, in words."""
    peak = form.number(lr)
    if isinstance(used, Stepped):
        if used.every > NEVER:
            return f"{peak} throughout"
        return f"{peak}, times {form.number(used.factor)} after every {form.count(used.every)} epochs"
    if isinstance(used, OneCycle):
        return f"one cycle up to {peak} and down to next to nothing; momentum down and up"
    if isinstance(used, Cyclic):
        return f"in triangles up to {peak}, {form.count(used.up)} steps each way"
    if isinstance(used, Plateau):
        return f"{peak}, times {form.number(used.factor)} after more than {form.count(used.patience)} epochs without a new best"
    assert isinstance(used, Schedule)
    return f"warm-up to {peak} over {form.percent(used.warmup, 0)} of the steps, then {used.anneal} to zero"


def transform(used: Any) -> str:
    """Return a random transform in words."""
    if isinstance(used, Rotation):
        return f"rotation ±{form.number(used.degrees)}°"
    if isinstance(used, Affine):
        words = [f"rotation ±{form.number(used.degrees)}°"] if used.degrees else []
        words += [f"shear ±{form.number(used.shear)}°"] if used.shear else []
        words += [f"translation ±{form.percent(used.translate, 0)}"] if used.translate else []
        words += [f"scale {form.number(used.scale[0])} to {form.number(used.scale[1])}"] if used.scale != (1.0, 1.0) else []
        return f"affine map ({', '.join(words)})"
    if isinstance(used, ResizedCrop):
        return f"resized crop of {form.percent(used.scale[0], 0)} to {form.percent(used.scale[1], 0)} of the area"
    assert isinstance(used, CentreCrop)
    return f"centre crop to {form.count(used.size)} pixels and back, for {form.percent(used.p, 0)} of the images"


def _own(augment: Augment | None) -> str:
    """Return the series' own kind of augmentation in words."""
    return "none" if augment is None else ", ".join(f"{name} {form.number(value)}" for name, value in vars(augment).items() if value)


def against(row: Row, result: Result) -> Shown:
    """Return claim and measurement side by side, like with like: nothing for an arm, or a run that is not judged on the test images."""
    if row.claim is None or not result.headline:
        return tables.sentence("There is no claim that this run could be held against.", "note")
    beside = standing.of(row, result)
    rows = [
        _line("Best epoch, chosen on the test set", row.claim.best, beside.bests, beside.one_more_best, beside.place()),
        _line("Last epoch", row.claim.final, beside.lasts, beside.one_more_last, beside.place(best=False)),
    ]
    seeds = form.count(len(beside.lasts))
    caption = f"Claim, of one seed, against {seeds} seeds here; the range is where one seed more would lie, 95%"
    head = ["Measured at", "Claim", "Here, mean ± sd", "One seed more", "Claim lies"]
    shown = tables.table(caption, head, rows)
    text = (
        f"The luckiest seed's best epoch is {form.percent(beside.best)}; that seed ends at {form.percent(beside.its_last)}, "
        f"and the mean of all seeds at {form.percent(beside.mean)}. Choosing the epoch adds {form.points(beside.by_epoch)} to a seed on "
        f"average, choosing the seed {form.points(beside.by_seed)} more."
    )
    return tables.together([shown, tables.sentence(text)])


def _line(what: str, claim: float | None, values: tuple[float, ...], bounds: Any, place: str) -> list[str]:
    """Return a line of the comparison."""
    sd = evidence.sd(values)
    mean = sum(values) / len(values)
    return [what, _said(claim), form.mean_sd(mean, sd), form.interval(bounds) if bounds else "", place]


def claims(row: Row, result: Result) -> list[Claim]:
    """Return what can be said of a row and held against its figures."""
    summary = result.summary
    found = [
        Claim(
            "Its mean is at or above the target at the last epoch.",
            summary.final_mean >= MIN_ACCURACY,
            form.mean_sd_against(summary.final_mean, summary.final_sd, MIN_ACCURACY),
        ),
        evidence.claim_held(summary),
    ]
    if row.claim is None or not result.headline:
        return found
    beside = standing.of(row, result)
    if row.claim.best is not None and beside.one_more_best is not None:
        figures = f"{form.percent(row.claim.best)} against {form.interval(beside.one_more_best)}"
        found.append(Claim("The claimed best epoch is what one seed more would show.", beside.place() == "inside", figures))
    if row.claim.final is not None and beside.one_more_last is not None:
        figures = f"{form.percent(row.claim.final)} against {form.interval(beside.one_more_last)}"
        found.append(Claim("The claimed last epoch is what one seed more would show.", beside.place(best=False) == "inside", figures))
    return found
