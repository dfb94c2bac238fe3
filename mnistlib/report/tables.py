"""Tables and sentences about a step before it runs: its change, its candidates, its data and its net."""

import html
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from mnistlib import files, formatting, models, recipe, recipe_dict, steps
from mnistlib.data import ImageSet, Mnist
from mnistlib.recipe import Recipe
from mnistlib.report import model_summary, recipe_diff
from mnistlib.report.html import Shown, element, folded, sentence, table, together
from mnistlib.report.model_summary import Layer, ModelSummary
from mnistlib.stats import intervals
from mnistlib.stats.misclassified import GROUPS, group_names

RESULT_MIMETYPE = "application/vnd.mnistlib.result+json"  # hands a step's result from its notebook to the runner


def change(step: steps.Step, before: steps.Step | None = None) -> Shown:
    """Return what a step changes in the step before it, field by field and layer by layer; the whole recipe of a first step."""
    before = before or (steps.get(step.before) if step.before else None)
    if before is None:
        rows = [[element("code", name), recipe_diff.text(value)] for name, value in recipe_dict.flatten(step.recipe)]
        return table(f"The recipe of {step.name}, the first step", ["Field", "Value"], rows)
    text, changes = recipe_diff.text, recipe_diff.changes(step.recipe, before.recipe)
    rows = [[element("code", name), text(old), text(new)] for name, old, new in changes]
    if not rows:
        return sentence(f"The recipe is that of {before.name}; nothing changes.", "note")
    caption = f"What changes from {before.name} to {step.name}"
    return together([table(caption, ["Field", "Before", "Now"], rows), _layer_changes(step.recipe, before.recipe)])


def _layer_changes(now: Recipe, before: Recipe) -> Shown:
    nets = [model_summary.of(models.build(made.model, made.dropout)) for made in (before, now)]
    totals = [formatting.count(net.n_parameters) for net in nets]
    old, new = ([(one.kind, formatting.shape(one.output), formatting.count(one.n_parameters)) for one in net.layers] for net in nets)
    if old == new:
        return sentence(f"The layers stay the same, {totals[1]} parameters.")
    rows, blank = [], ("none", "", "")
    kinds = [[layer[0].split()[0] for layer in side] for side in (old, new)]  # convolutions stand beside convolutions
    for _, i, j, k, m in SequenceMatcher(None, *kinds, autojunk=False).get_opcodes():
        for place in range(max(j - i, m - k)):
            a, b = old[i + place] if i + place < j else blank, new[k + place] if k + place < m else blank
            word = "" if a == b else "new" if a == blank else "removed" if b == blank else "changed"
            rows.append([a[0], a[2], b[0], b[1], b[2], word])
    head = ["Before", "Parameters", "Now", "Output", "Parameters", "Change"]
    return table("Layers before and now", head, rows, ["Total", totals[0], "", "", totals[1], ""])


def choice_path(name: str) -> Path:
    """Return where the record of a step's choice is kept; `python -m selection` writes it."""
    return files.root() / "reports" / "choices" / f"{name}.json"


def choice(name: str) -> dict[str, Any] | None:
    """Return the record of a step's choice, or None where there is none; a record that was changed raises ResultError."""
    return files.read_signed(choice_path(name)) if choice_path(name).is_file() else None


def candidates(record: Mapping[str, Any] | None) -> Shown:
    """Return every candidate of a choice, or of a round of a search, with what the rule looks at, best first (reports/choices/)."""
    if record is None or "candidates" not in record:
        return sentence("There is no record of a choice for this step.", "note")
    before = recipe_dict.from_dict(record["base"]) if "base" in record else steps.get(record["before"] or record["step"]).recipe
    ranked, rows = sorted((row for row in record["candidates"] if "mean" in row), key=lambda row: -row["mean"]), []
    kept = [record["chosen"]] if "chosen" in record else record.get("kept", [])
    best, timed = next((row for row in ranked if row["name"] in kept or not kept), None), all("seconds" in row for row in ranked)
    sizes = dict(zip(record["splits"], record["n_eval"], strict=True))
    unit = "fold" if len(sizes) == len(record["splits"]) else "seed"
    spread = "the folds" if unit == "fold" else formatting.counted(len(record["splits"]), "seed")
    for row in ranked:
        word = "chosen" if "chosen" in record else "kept"
        name = element("strong", f"{row['name']} ({word})") if row["name"] in kept else row["name"]
        over = "" if row["n_parameters"] < recipe.MAX_PARAMETERS else " (over the limit)"
        cells = [name, row["idea"], formatting.mean_sd(row["mean"], row["sd"]).replace("seed", unit)]
        cells += ["" if row is best else _difference(row["final"], best["final"], record["splits"]), formatting.decimals(row["loss"])]
        cells += [formatting.count(row["n_parameters"]) + over, f"{row['n_macs'] / 1e6:.2f} M"]
        cells += [formatting.seconds(row["seconds"])] if timed else []
        rows.append([*cells, recipe_diff.summary(recipe_dict.from_dict(row["recipe"]), before)])
    images, folds = formatting.count(sum(sizes.values())), formatting.counted(len(sizes), "fold")
    caption = f"The candidates: accuracy on {images} images in {folds} of writers held out, mean and standard deviation of {spread}"
    against = "Against the chosen one" if "chosen" in record else f"Against the {'best that was kept' if kept else 'most accurate'}"
    head = ["Candidate", "Idea", "Accuracy", f"{against}, of 10,000", "Loss", "Parameters", "MACs", *["Time per seed"][:timed], "Change"]
    shown = table(caption, head, rows)
    rule = [f"The rule of choice: {record['rule']}."] if "rule" in record else []
    failed = [f"Not trained to the end: {row['name']}. {row['failed']}" for row in record["candidates"] if "failed" in row]
    return together([shown, *(sentence(text, "note") for text in rule + failed)])


def rounds(record: Mapping[str, Any] | None) -> Shown:
    """Return every round of a search: its question, its candidates, and what the values of its factors are worth."""
    if record is None or not record.get("rounds"):
        return candidates(None)
    parts = []
    for part in record["rounds"]:
        parts += [sentence(f"{part['name'].capitalize()}: {part['question']}"), candidates(part)]
        if "effects" in part:
            change, image = formatting.change, formatting.IMAGES
            rows = [
                [
                    element("code", one["factor"]),
                    *(
                        ", ".join(f"{k} {v}" for k, v in each.items()) if isinstance(each, dict) else recipe_diff.text(each)
                        for each in one["values"]
                    ),
                    f"{change(image, one['value'])} ({change(image, *one['interval'])})",
                ]
                for one in part["effects"]
            ]
            caption = f"What the second value of each factor wins, over all arms; {formatting.percent(intervals.LEVEL, 0)} intervals"
            parts.append(table(caption, ["Factor", "First value", "Second value", "Images of 10,000"], rows))
    return together(parts)


def _difference(one: Sequence[float], other: Sequence[float], splits: Sequence[str]) -> str:
    """Return the mean difference between two candidates on the same folds with its 95% interval; on one fold, seeds count."""
    by_fold: dict[str, list[float]] = {}
    for split, a, b in zip(splits, one, other, strict=True):
        by_fold.setdefault(split, []).append(a - b)
    parts = [sum(values) / len(values) for values in by_fold.values()] if len(by_fold) > 1 else [*by_fold.values()][0]
    effect = intervals.welch(parts)
    return f"{formatting.change(formatting.IMAGES, effect.value)} ({formatting.change(formatting.IMAGES, *effect.interval)})"


def statistics(mnist: Mnist) -> Shown:
    """Return how many images, writers and digits the two sets have, and their pixels' mean and standard deviation."""
    columns = [_statistics(image_set) for image_set in (mnist.train, mnist.eval)]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return folded("The images in numbers", table("Pixels as fractions of white", ["Quantity", "Training", mnist.split.capitalize()], rows))


def _statistics(image_set: ImageSet) -> dict[str, str]:
    labels, names = np.asarray(image_set.labels), group_names(image_set.groups)
    pixels = np.asarray(image_set.images).reshape(-1)
    levels, values = np.bincount(pixels, minlength=256), np.arange(256) / 255
    mean = float(np.average(values, weights=levels))
    sd = float(np.average((values - mean) ** 2, weights=levels)) ** 0.5
    return {
        "Images": formatting.count(len(labels)),
        "Writers": formatting.count(len(np.unique(image_set.writers))),
        **{f"Images by {name}": formatting.count(int((names == name).sum())) for name in GROUPS},
        **{f"Images of {digit}": formatting.count(int((labels == digit).sum())) for digit in range(10)},
        "Mean of the pixels": formatting.decimals(mean),
        "Standard deviation of the pixels": formatting.decimals(sd),
    }


def layers(net: ModelSummary) -> Shown:
    """Return the layers of a net with shapes, parameters, multiply-accumulates and receptive fields, and its warnings."""
    rows = [[layer.kind, formatting.shape(layer.output), *_costs(layer)] for layer in net.layers]
    caption = "The layers in order. Padding counts in the receptive field, which may exceed the image; the total is that of the last map"
    head = ["Layer", "Output", "Parameters", "MACs", "Receptive field"]
    shown = table(caption, head, rows, ["Total", "", *_costs(net)])
    return together([shown, *(sentence(text, "note") for text in net.wasted)])


def _costs(part: Layer | ModelSummary) -> list[str]:
    return [formatting.count(part.n_parameters), formatting.count(part.n_macs), f"{formatting.count(part.receptive_field)} px"]


def budget(net: ModelSummary) -> Shown:
    """Return how much of the exercise's parameters a net takes, as a sentence and a bar with a mark at the limit."""
    n, most = net.n_parameters, recipe.MAX_PARAMETERS
    spare = f"{formatting.count(most - 1 - n)} to spare" if n < most else f"{formatting.count(n - most + 1)} too many"
    text = f"{formatting.count(n)} parameters where fewer than {formatting.count(most)} are allowed: {spare}."
    whole, colour = max(n, 1.25 * most), "" if n < most else ' class="over"'
    bars = f'<i{colour} style="width: {n / whole:.1%}"></i><b style="left: {most / whole:.1%}"></b>'
    return sentence(Shown(f"{html.escape(text)}<span class='budget' aria-hidden='true'>{bars}</span>", text))


def source(*shown: Callable[..., Any] | str) -> Shown:
    """Return the source of functions, classes, or a recipe's model by its name, as highlighted code with its place."""
    return together(_listing(each) for each in shown)


def _listing(net: Callable[..., Any] | str) -> Shown:
    found = net if callable(net) else pkgutil.resolve_name(net) if ":" in net else models.NETS[net]
    found = getattr(found, "func", found)  # what a functools.partial calls
    lines, first = inspect.getsourcelines(found)
    text, path = textwrap.dedent("".join(lines)), f"{found.__module__.replace('.', '/')}.py"
    place = f'<span data-source="{path}#L{first}-L{first + len(lines) - 1}">{path}</span>'
    return Shown(f'<div class="listing"><p>{place}</p>{highlight(text, PythonLexer(), HtmlFormatter())}</div>', text)


def saved(path: Path) -> Shown:
    """Return where a result was saved; the runner reads its path, relative to the results folder, from the notebook's outputs."""
    path, root = Path(path).resolve(), files.root().resolve()
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    data = {RESULT_MIMETYPE: {"result": f"{path.parent.name}/{path.name}"}}
    return sentence(Shown(f"Saved as <code>{html.escape(shown)}</code>.", f"Saved as {shown}.", data))
