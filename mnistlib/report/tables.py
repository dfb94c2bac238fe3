"""Values in, displayed tables and sentences out: all that a notebook shows beside its figures."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from mnistlib import files, formatting, models, recipe, steps, written
from mnistlib.report import display, model_summary, result_tables
from mnistlib.report import html as tables
from mnistlib.report.html import Shown
from mnistlib.stats.misclassified import group_name

RESULT_MIMETYPE = "application/vnd.mnistlib.result+json"  # hands a step's result from its notebook to the runner
# One place to look for everything that a notebook displays.
figure, live = display.figure, display.Live
limits, result, provenance, claims = result_tables.limits, result_tables.result, result_tables.provenance, result_tables.claims
curves_table, mistakes, confusion, changes, groups = (
    result_tables.curves_table,
    result_tables.mistakes,
    result_tables.confusion,
    result_tables.changes,
    result_tables.groups,
)


def notes(about: Any) -> Shown:
    """Return what every page must say of its data: a banner for the offline sample, the notes of a `data.Mnist` or a `schema.Result`."""
    kind, always = ("banner", [f"{tables.OFFLINE}."]) if about.dataset == "digits" else ("note", [])
    return tables.together(tables.sentence(text, kind) for text in about.notes or always)


def differences(now: Any, before: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, value before and value now of every field that differs between two recipes, those of their parts with a dot."""
    if now == before:
        return
    if is_dataclass(now) and type(before) is type(now):
        for field in fields(now):
            yield from differences(getattr(now, field.name), getattr(before, field.name), f"{name}.{field.name}".lstrip("."))
    elif is_dataclass(now) and before is None and (kept := _kept(now)):
        yield from ((f"{name}.{field}", "none", _text(value)) for field, value in kept.items())
    else:
        yield name, _text(before), _text(now)


def _kept(part: Any) -> dict[str, Any]:
    """Return the fields of a part that differ from their defaults: those that do anything."""
    return {field.name: getattr(part, field.name) for field in fields(part) if getattr(part, field.name) != field.default}


def _text(value: Any) -> str:
    """Return a field's value; a whole part by its kind, where it has one, and the fields of it that differ from their defaults."""
    if isinstance(value, tuple):
        return (", then " if any(map(is_dataclass, value)) else " to ").join(map(_text, value))
    if not is_dataclass(value):
        return formatting.number(value)
    inner = ", ".join(f"{name} {_text(one)}" for name, one in _kept(value).items()) or "defaults"
    return f"{kind} ({inner})" if (kind := written.kind(value)) else inner


def change(step: steps.Step, before: steps.Step | None = None) -> Shown:
    """Return what a step changes in the step before it: fields of the recipe, and layers; the first step's recipe whole."""
    before = before or (steps.get(step.before) if step.before else None)
    if before is None:
        rows = [[_code(name), text] for name, text in _whole(step.recipe)]
        return tables.table(f"The recipe that the series starts from, {step.name}", ["Field", "Value"], rows)
    rows = [[_code(name), old, new] for name, old, new in differences(step.recipe, before.recipe)]
    if not rows:
        return tables.sentence(f"The recipe is that of {before.name}; nothing changes.", "note")
    fields_table = tables.table(f"What changes from {before.name} to {step.name}", ["Field", "Before", "Now"], rows)
    return tables.together([fields_table, _layer_changes(step.recipe, before.recipe)])


def _code(text: str) -> Shown:
    """Return a name as code."""
    return tables.element("code", text)


def _whole(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value of every field of a recipe, those of its parts with a dot."""
    for field in fields(value):
        inner = getattr(value, field.name)
        yield from _whole(inner, f"{name}{field.name}.") if is_dataclass(inner) else [(f"{name}{field.name}", formatting.number(inner))]


def _layer_changes(now: recipe.Recipe, before: recipe.Recipe) -> Shown:
    """Return the layer lists of two recipes side by side, or a sentence where they are the same."""
    old, new = (model_summary.of(models.build(made.model, made.dropout)) for made in (before, now))
    lines = [
        [(layer.kind, formatting.shape(layer.output), formatting.count(layer.n_parameters)) for layer in net.layers] for net in (old, new)
    ]
    if lines[0] == lines[1]:
        return tables.sentence(f"The layers stay the same, {formatting.count(new.n_parameters)} parameters.")
    rows, blank = [], ("", "", "")
    kinds = [[line[0].split()[0] for line in net] for net in lines]  # convolutions stand beside convolutions, changed or not
    for _, i, j, k, m in SequenceMatcher(None, *kinds, autojunk=False).get_opcodes():
        left, right = lines[0][i:j], lines[1][k:m]
        for place in range(max(len(left), len(right))):
            a, b = (side[place] if place < len(side) else blank for side in (left, right))
            word = "" if a == b else "new" if a == blank else "gone" if b == blank else "changed"
            rows.append([a[0], a[2], b[0], b[1], b[2], word])
    foot = ["Total", formatting.count(old.n_parameters), "", "", formatting.count(new.n_parameters), ""]
    return tables.table("Layers before and now", ["Before", "Parameters", "Now", "Output", "Parameters", "Change"], rows, foot)


def candidates(record: Mapping[str, Any] | None) -> Shown:
    """Return every candidate of a step's choice (reports/choices/<step>.json) with its validation accuracy, best first."""
    if record is None:
        return tables.sentence("No choice is on record for this step.", "note")
    rows = []
    for row in sorted(record["candidates"], key=lambda row: -row["mean"]):
        change = ", ".join(_setting(name, row, record["candidates"]) for name in row["change"]) or "nothing"
        chosen = row["name"] == record["chosen"]
        name = tables.element("strong", row["name"]) if chosen else row["name"]
        over = "" if row["n_parameters"] < recipe.MAX_PARAMETERS else " (over the limit)"
        accuracy = formatting.mean_sd(row["mean"], row["sd"])
        rows.append([name, row["idea"], change, formatting.count(row["n_parameters"]) + over, accuracy, "chosen" if chosen else ""])
    n_seeds, images = len(record["seeds"]), formatting.count(record["n_judged"])
    caption = (
        f"What was considered: mean ± standard deviation of {formatting.count(n_seeds)} seeds each on {images} {record['split']} images"
    )
    shown = tables.table(caption, ["Candidate", "Idea", "Change", "Parameters", "Accuracy", "Choice"], rows)
    return tables.together([shown, tables.sentence(f"The rule of choice: {record['rule']}.", "note")])


def _setting(name: str, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a field of a candidate's recipe; of a part, the fields in which it differs from any other candidate's."""
    value = row["recipe"][name]
    if not isinstance(value, Mapping):
        return f"{name} {formatting.number(value)}"
    none = asdict(recipe.Augment())  # what a recipe without augmentation does
    inner = {key: one for key, one in value.items() if any((other["recipe"][name] or none)[key] != one for other in rows)}
    return ", ".join(f"{name}.{key} {formatting.number(one)}" for key, one in inner.items()) or name


def statistics(mnist: Any) -> Shown:
    """Return how many images, writers and digits each part of a `data.Mnist` has, and its pixels' mean and standard deviation."""
    parts = [_statistics(part) for part in (mnist.train, mnist.test)]
    rows = [[name, *(part[name] for part in parts)] for name in parts[0]]
    caption = f"The data, {mnist.origin}; pixels as fractions of white"
    return tables.table(caption, ["Quantity", "Training", mnist.split.capitalize()], rows, dataset=mnist.dataset)


def _statistics(part: Any) -> dict[str, str]:
    """Return the counts of one part as text."""
    labels = np.asarray(part.labels)
    counts = {"Images": formatting.count(len(labels))}
    if part.writers is not None:
        counts["Writers"] = formatting.count(len(np.unique(part.writers)))
    if part.groups is not None:
        names = np.array([group_name(group) for group in part.groups])
        counts |= {f"Images by {name}": formatting.count(int((names == name).sum())) for name in ("students", "census employees")}
    counts |= {f"Images of {formatting.count(digit)}": formatting.count(int((labels == digit).sum())) for digit in range(10)}
    levels = sum(np.bincount(np.asarray(images).reshape(-1), minlength=256) for images in part.images.split(1_000))
    values = np.arange(256) / 255
    mean = (levels * values).sum() / levels.sum()
    sd = ((levels * (values - mean) ** 2).sum() / levels.sum()) ** 0.5
    return counts | {"Mean of the pixels": formatting.fraction(mean), "Standard deviation": formatting.fraction(sd)}


def layers(net: model_summary.Anatomy) -> Shown:
    """Return a net's layers with shapes, parameters, multiply-accumulates and receptive fields, and what of it is wasted."""
    rows = [[layer.kind, formatting.shape(layer.output), *_costs(layer)] for layer in net.layers]
    foot = ["Total", "", *_costs(net)]
    head = ["Layer", "Output", "Parameters", "MACs", "Receptive field"]
    shown = tables.table("Layers in their order; the total's receptive field is that before global pooling", head, rows, foot)
    return tables.together([shown, *(tables.sentence(waste.sentence, "note") for waste in net.wasted)])


def _costs(part: model_summary.Layer | model_summary.Anatomy) -> list[str]:
    """Return parameters, multiply-accumulates and receptive field as text."""
    return [formatting.count(part.n_parameters), formatting.count(part.n_macs), f"{formatting.count(part.receptive_field)} px"]


def budget(net: model_summary.Anatomy) -> Shown:
    """Return how much of the exercise's parameters a net takes, as a sentence and a bar."""
    n, most = net.n_parameters, recipe.MAX_PARAMETERS
    spare = f"{formatting.count(most - 1 - n)} to spare" if n < most else f"{formatting.count(n - most + 1)} too many"
    text = f"{formatting.count(n)} parameters where fewer than {formatting.count(most)} are allowed: {spare}."
    bar = f'<meter min="0" max="{max(n, most)}" high="{most - 1}" optimum="0" value="{n}">{html.escape(text)}</meter>'
    return tables.sentence(Shown(f"{html.escape(text)}<br>{bar}", text))


def source(function: Callable[..., Any]) -> Shown:
    """Return a function's source as highlighted code."""
    text = inspect.getsource(function)
    return Shown(highlight(text, PythonLexer(), HtmlFormatter()), text)


def saved(path: Path) -> Shown:
    """Return where a result was saved; the runner reads its path, relative to the results folder, from the notebook's outputs."""
    path, root = Path(path).resolve(), files.root().resolve()
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    data = {RESULT_MIMETYPE: {"result": f"{path.parent.name}/{path.name}"}}
    return tables.sentence(Shown(f"Saved as <code>{html.escape(shown)}</code>.", f"Saved as {shown}.", data))
