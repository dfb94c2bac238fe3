"""Tables and sentences of a net's own page: what the check found, its layers, its recipe, and the protections that were in force."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from coursework.inspection import Finding, Inspected, printable
from coursework.recipes import SERIES
from coursework.report import SEVERITIES
from coursework.sandbox import PROTECTIONS
from mnistlib import formatting, steps
from mnistlib.recipe import MAX_EPOCHS, MAX_PARAMETERS, Recipe
from mnistlib.report import recipe_diff, result_tables, test_set_log
from mnistlib.report.html import Cell, Shown, badge, element, phrase, sentence, table, together
from mnistlib.report.result import Result
from mnistlib.runs import Run

FULL_SEEDS = (0, 1, 2, 3, 4)  # of a run that is not shortened


def rules(net: Inspected) -> Shown:
    """Return whether a net keeps the rules of the exercise, and every finding with its line, why it matters and how to fix it."""
    found, broken = net.answer.findings, net.broken
    word = badge("over", "breaks a rule") if broken else badge("within", "keeps the rules")
    head = Shown(f"<p>{element('strong', net.title).html} {word.html}</p>", f"{net.title} {word.text}.")
    advice = formatting.counted(len(found) - len(broken), "piece")
    told = sentence(f"Rules broken: {formatting.count(len(broken))}. Beside them: {advice} of advice.")
    parts = [head, told]
    if found:
        rows = [[_place(net, each), _lines(_severity(each), each.what), _lines(each.why, each.fix)] for each in found]
        parts.append(table("What the check found", ["Where", "What", "Why, and how to fix it"], rows))
    parts += [sentence(text, "note") for text in net.answer.failed]
    return together(parts)


def terminal(net: Inspected) -> Iterator[str]:
    """Yield what the check found as lines for a terminal."""
    parameters = _known(net.answer.parameters) or "not known"
    yield f"{net.title}: {parameters} parameters; fewer than {formatting.count(MAX_PARAMETERS)} are allowed."
    for each in net.answer.findings:
        yield printable(f"{_place(net, each)}: {each.rule}, {SEVERITIES[each.severity]}. {each.what} {each.fix}")


def _place(net: Inspected, finding: Finding) -> str:
    cell = f"cell {finding.cell}, " if finding.cell else ""
    return f"{net.file}, {cell}line {finding.line}" if finding.line else net.file


def _lines(first: Cell, second: Cell) -> Shown:
    parts = [phrase(first), phrase(second)]
    return Shown("<br>".join(part.html for part in parts), " ".join(part.text for part in parts))


def _severity(finding: Finding) -> Cell:
    colours = {"rule": "over", "accuracy": "at or above", "style": ""}
    return badge(colours[finding.severity], f"{finding.rule}: {SEVERITIES[finding.severity]}")


def layers(net: Inspected) -> Shown:
    """Return the layers of a net, and its figures beside the limit."""
    answer = net.answer
    rows = [
        [
            each.name,
            each.kind,
            formatting.shape(each.output),
            formatting.count(each.parameters),
            formatting.count(each.multiply_adds),
            _known(each.receptive_field, " px"),
        ]
        for each in answer.layers
    ]
    foot = ["Net", "", "", _known(answer.parameters), _known(answer.multiply_adds), _known(answer.receptive_field, " px")]
    head = ["Layer", "Kind", "Output", "Parameters", "Multiply-adds", "Receptive field"]
    limit = f"The layers of {net.title}; the exercise allows fewer than {formatting.count(MAX_PARAMETERS)} parameters"
    return table(limit, head, rows, foot)


def _known(n: int | None, unit: str = "") -> str:
    return "" if n is None else f"{formatting.count(n)}{unit}"


def recipe(net: Inspected, made: Recipe) -> Shown:
    """Return what a recipe changes in the series', and where it is from."""
    series = steps.get(SERIES).recipe
    text, changes = recipe_diff.text, recipe_diff.changes(replace(made, model=series.model), series)
    rows = [[element("code", name), text(old), text(new)] for name, old, new in changes]
    whose = f"RECIPE in {net.file} changes" if net.answer.recipe else f"{net.file} has no RECIPE; it gets"
    opening = sentence(f"{whose} the recipe of {SERIES}.")
    if not rows:
        return together([opening, sentence("Nothing in it is changed.", "note")])
    return together([opening, table(f"What differs from the recipe of {SERIES}", ["Field", SERIES, "Here"], rows)])


def shortened(made: Recipe, seeds: Sequence[int], own_epochs: int, train_limit: int | None) -> str:
    """Return the sentence that says by what a run is shorter than a full one; "" for a full one."""
    parts = [f"{formatting.counted(len(seeds), 'seed')} of {len(FULL_SEEDS)}"] if len(seeds) < len(FULL_SEEDS) else []
    parts += [f"{formatting.counted(made.epochs, 'epoch')} of {own_epochs}"] if made.epochs < own_epochs else []
    parts += [f"{formatting.count(train_limit)} training images"] if train_limit else []
    if not parts:
        return ""
    return f"This is a short run: {formatting.listed(parts)}. mnistlib judge --full trains {len(FULL_SEEDS)} seeds and all epochs."


def short_run(net: Inspected, made: Recipe, seeds: Sequence[int], train_limit: int | None) -> Shown:
    """Return what is shorter in this run, as a note."""
    text = shortened(made, seeds, net.recipe().epochs, train_limit)
    over = "" if made.epochs <= MAX_EPOCHS else f"The exercise allows at most {MAX_EPOCHS} epochs."
    return together(sentence(each, "note") for each in (text or "This is a full run.", over) if each)


def provenance(result: Result, runs: Sequence[Run]) -> Shown:
    """Return where a result comes from, and the protections that were in force while each of its seeds trained."""
    facts = {name: value for name, value in result.provenance.items() if name != "protections"}
    in_force = [name for name in PROTECTIONS if all(name in run.provenance.get("protections", ()) for run in runs)]
    rows = [
        [words, badge("held", "in force") if name in in_force else badge("missed", "not in force")] for name, words in PROTECTIONS.items()
    ]
    protections = table("What kept the net's code in its place while it trained", ["Protection", "On this machine"], rows)
    return together([result_tables.provenance(replace(result, provenance=facts)), protections])


def look(result: Result, results_dir: Path) -> Shown:
    """Record an evaluation on the test images beside the results, and return how many there have been; a validation run is none.

    Every one counts, that of a shortened run too.
    """
    path = results_dir / "test_looks.json"
    if result.split == "test":
        test_set_log.record(replace(result, train_limit=None), path)
    looks = test_set_log.read(path)
    if not looks:
        return sentence("No look at the test images is recorded beside these results.", "note")
    own = formatting.count(sum(each["step"] == result.step for each in looks))
    said = f"Looks at the test images that {path.name} beside the results records: {formatting.count(len(looks))}, of this net {own}."
    return sentence(f"{said} Whoever chooses among nets by such looks overestimates the chosen one.", "note")
