"""What the page of a published model shows beside a step's: the claims, the recipe, and the claims beside the measurement."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from mnistlib import formatting
from mnistlib.published.repository import N_TEST, Claim, PublishedModel, Replication, comparable
from mnistlib.recipe import Recipe
from mnistlib.report import html, recipe_diff
from mnistlib.report.html import Shown
from mnistlib.report.result import Result


def claims(model: PublishedModel) -> Shown:
    """Return what the author reported of a model, and the notes on it."""
    notes = [html.sentence(text, "note") for text in model.notes]
    if not model.claims:
        text = f"This is an ablation of {model.before}, made for a study. Nobody claims an accuracy for it."
        return html.together([html.sentence(text, "note"), *notes])
    rows = [[claim.where, *(claimed(claim, value) for value in (claim.best, claim.final))] for claim in model.claims]
    caption = f"{model.title} of {model.repository}, as its author reported it, one run each; parameters: {parameters(model)}"
    table = html.table(caption, ["Machine", "Best epoch, chosen on the test set", "Last epoch"], rows)
    return html.together([html.element("p", source(model.repository)), table, *notes])


def source(repository: str) -> Shown:
    """Return a link to a repository on GitHub; its name may be followed by which part of it."""
    return Shown(f'<a href="{html.phrase(address(repository)).html}">{html.phrase(repository).html}</a>', repository)


def address(repository: str) -> str:
    """Return where a repository is, by its name on GitHub."""
    return f"https://github.com/{repository.split(',')[0]}"


def claimed(claim: Claim, value: float | None) -> str:
    """Return an accuracy as its author reported it, or that none was reported."""
    return "not stated" if value is None else f"{'at least ' if claim.at_least else ''}{formatting.percent(value)}"


def parameters(model: PublishedModel) -> str:
    """Return a model's parameters, and the published number where that is wrong."""
    count = formatting.count(model.n_parameters)
    if model.published_parameters is None:
        return count
    return f"{count} ({formatting.count(model.published_parameters)} {'in an earlier version' if model.corrected else 'as published'})"


def recipe(recipe: Recipe) -> Shown:
    """Return every field of a recipe with its value."""
    rows = [[html.element("code", field.name), recipe_diff.text(getattr(recipe, field.name)) or "none"] for field in fields(recipe)]
    return html.table("The recipe, with the names and arguments of torch and torchvision", ["Field", "Value"], rows)


def published_curves(model: PublishedModel) -> dict[str, list[float]]:
    """Return the accuracies per epoch that a model's author published, by machine."""
    return {claim.where: [n / N_TEST for n in claim.curve] for claim in model.claims if claim.curve}


def beside_claims(model: PublishedModel, result: Result) -> Shown:
    """Return every claim beside the measurement, like with like; a sentence where there is nothing to compare."""
    if not model.claims or not comparable(model, result):
        return html.sentence("There is no claim to compare this run with.", "note")
    made, rows = Replication(model, result), []
    for claim in model.claims:
        running = tuple(max(run.history.train_accuracy) for run in result.runs)
        figures = {
            "Best epoch, chosen on the test set": (claim.best, made.bests),
            "Last epoch": (claim.final, made.finals),
            "Best epoch of training, running": (claim.train, running),
        }
        for what, (value, seeds) in figures.items():
            if value is not None:
                rows.append([claim.where, what, claimed(claim, value) if what[0] == "L" else formatting.percent(value), *_spread(seeds)])
    n = formatting.counted(len(made.finals), "seed")
    head = ["Machine", "Measured at", "Claim", "Here", "Here, lowest to highest seed"]
    shown = html.table(f"Claims, one run each, beside {n} here (mean and standard deviation)", head, rows)
    if len(made.finals) < 2:
        return shown
    mean = np.mean(made.bests)
    by_epoch, by_seed = (formatting.change(formatting.POINTS, gain) for gain in (mean - np.mean(made.finals), max(made.bests) - mean))
    text = (
        f"The luckiest seed reaches {formatting.percent(max(made.bests))} in its best epoch and ends at "
        f"{formatting.percent(made.finals[made.luckiest])}; the mean of all seeds ends at {formatting.percent(made.mean)}. On average, "
        f"choosing the epoch adds {by_epoch}, and choosing the seed {by_seed} more."
    )
    return html.together([shown, html.sentence(text)])


def _spread(values: Sequence[float]) -> list[str]:
    mean = formatting.mean_sd(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)
    return [mean, f"{formatting.percent(min(values))} to {formatting.percent(max(values))}"]
