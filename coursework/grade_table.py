"""The table of a class as HTML and CSV: places with ties, what breaks a rule, why a submission failed, and which are built alike."""

import csv
import functools
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from cloud import job
from cloud.sweep import page as sweeps
from coursework import grade, inspection, own_report, tables
from coursework.grade import Assignment, Entry
from coursework.inspection import Inspected
from mnistlib import data, files, formatting
from mnistlib.errors import MnistlibError
from mnistlib.report import page as pages
from mnistlib.report import result as results
from mnistlib.report.html import Shown, element, phrase, sentence, table, together
from mnistlib.report.result import Result
from mnistlib.stats import comparison, misclassified

PAGE, CSV, UNREAD = "index.html", "grades.csv", "unread"
# Nets of different authors share a fifth of their structure or less (tests/student_nets); a copy in which two numbers were changed, even
# of a net of three layers, keeps more than half.
ALIKE = 0.5
NAMED = 3  # submissions that a row names as alike
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would compute
HEAD = ("place", "name", "file", "accuracy", "interval_low", "interval_high", "seeds", "epochs", "parameters", "rules_broken", "advice")
HEAD += ("own_recipe", "seconds", "alike", "page", "reason")


@dataclass(frozen=True)
class Row:
    """A submission as the table shows it."""

    entry: Entry
    net: Inspected | None
    result: Result | None
    seconds: float | None  # from the start of its job to the end; None while it has not ended
    reason: str  # why it has no place; "" where it has one
    page: str  # from the table's folder; "" where there is none
    open: bool = False  # whether it is still to be graded, or to be tried again
    alike: tuple[str, ...] = ()
    place: int | None = None

    @property
    def broken(self) -> int | None:
        """Return how many findings break a rule."""
        return None if self.net is None else len(self.net.broken)

    @property
    def advice(self) -> int | None:
        """Return how many findings break none."""
        return None if self.net is None else len(self.net.answer.findings) - len(self.net.broken)


@dataclass
class Table:
    """Writes the table of a class again and again; what it has read or computed once it keeps."""

    assignment: Assignment
    trained: dict[str, tuple[Result, np.ndarray]] = field(default_factory=dict)  # by the job's key: which images each seed gets wrong
    apart: dict[tuple[str, str], bool] = field(default_factory=dict)  # by two keys: whether the second net is less accurate
    images: data.ImageSet | None = None
    told: set[tuple[Path, str]] = field(default_factory=set)  # pages of those without a place that were written, and their reasons

    @functools.cached_property
    def alike(self) -> list[tuple[str, ...]]:
        """Return what each submission is built like."""
        return [tuple(_alike(self.assignment.entries, place)) for place in range(len(self.assignment.entries))]

    def write(self) -> list[Row]:
        """Write the page and the CSV, and every submission's page that is missing; return the rows."""
        rows = self.rows()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([HEAD, *(map(_plain, cells(row)) for row in rows)])
        files.write_together({self.assignment.out / CSV: text.getvalue(), self.assignment.out / PAGE: self.page(rows)})
        return rows

    def rows(self) -> list[Row]:
        """Return the rows: those with a place in its order, then the others by name."""
        found = [replace(self.row(entry), alike=alike) for entry, alike in zip(self.assignment.entries, self.alike, strict=True)]
        ranked = sorted((row for row in found if row.result), key=lambda row: -row.result.summary.final_mean)
        taken = places([row.entry.job.key for row in ranked], self.behind)
        return [replace(row, place=place) for row, place in zip(ranked, taken, strict=True)] + [row for row in found if not row.result]

    def behind(self, first: str, other: str) -> bool:
        """Say whether the net of the job with the second key is less accurate than that of the first."""
        pair = first, other
        if pair not in self.apart:
            self.apart[pair] = separated(*(self.trained[key][1] for key in pair), self.images)
        return self.apart[pair]

    def row(self, entry: Entry) -> Row:
        """Return an entry's row, without its place."""
        record, net = self.assignment.record(entry), self.assignment.net(entry)
        if entry.problem:
            return Row(entry, None, None, None, entry.problem, self.unread_page(entry))
        if record is None:
            return Row(entry, net, None, None, "It is not graded yet.", "", open=True)
        if record.status == "succeeded":
            try:
                result = self.read(entry)
                return Row(entry, net, result, record.seconds, "", self.own_page(entry, result))
            except MnistlibError as error:
                reason = f"{error} Remove the folder {entry.job.name} to have it graded again."
                return Row(entry, net, None, record.seconds, reason, self.known_page(entry, net, reason), open=True)
        own = grade.own_reason(record)
        reason = own or f"It could not be graded and will be tried again: {inspection.printable(record.reason)}"
        page = (not own and self.machine_page(entry)) or self.known_page(entry, net, reason)
        return Row(entry, net, None, record.seconds, reason, page, open=not own)

    def read(self, entry: Entry) -> Result:
        """Return the result of a job that has succeeded."""
        key, folder = entry.job.key, self.assignment.out / entry.job.name
        if key not in self.trained:
            result = sweeps.result(entry.job, job.read(folder), self.assignment.out)
            if self.images is None:
                self.images = data.load(result.split).eval
            predictions, _ = results.read_predictions(result, folder)
            self.trained[key] = result, misclassified.wrong(predictions, self.images.labels)
        return self.trained[key][0]

    def own_page(self, entry: Entry, result: Result) -> str:
        """Return where the page of a net that was trained is, the one that `mnistlib judge` writes."""
        folder = self.assignment.out / entry.job.name
        path = folder / f"{_file_name(entry)}.html"
        if not path.is_file():
            heading = f"{entry.name} · {result.title}"
            pages.build(folder / f"{own_report.NOTEBOOK}.ipynb", path, result=result, heading=heading)
        return path.relative_to(self.assignment.out).as_posix()

    def known_page(self, entry: Entry, net: Inspected | None, reason: str) -> str:
        """Return where the page is of a net that was not trained to the end, with what the check found."""
        found = [tables.rules(net), tables.layers(net)] if net else []
        return self.tell(self.assignment.out / entry.job.name, entry, reason, found)

    def machine_page(self, entry: Entry) -> str:
        """Return where the page of the notebook is that failed where the machine did; "" where there is none."""
        path = self.assignment.out / entry.job.name / f"{own_report.NOTEBOOK}.failed.html"
        return path.relative_to(self.assignment.out).as_posix() if path.is_file() else ""

    def unread_page(self, entry: Entry) -> str:
        """Return where the page of a submission that cannot be read is; it shows the line where reading ended."""
        rows = []
        if entry.line:
            lines = entry.submission.text.splitlines()[entry.line - 1 : entry.line]
            rows = [[f"line {entry.line}", element("code", inspection.printable(one)[:200]) if one else ""] for one in lines or [""]]
        folder = self.assignment.out / UNREAD / files.sha256(entry.name.encode())[:10]
        return self.tell(folder, entry, entry.problem, [table("Where it cannot be read", ["Where", "What is there"], rows)] * bool(rows))

    def tell(self, folder: Path, entry: Entry, reason: str, found: Sequence[Shown]) -> str:
        """Write the page of a submission without a place, once for each table, and return where it is."""
        path = folder / f"{_file_name(entry)}.failed.html"
        if (path, reason) not in self.told or not path.is_file():
            facts = [f"From {entry.submission.file}"] * bool(entry.submission.file)
            own_report.write_failed(path, entry.name, reason, found, facts)
            self.told.add((path, reason))
        return path.relative_to(self.assignment.out).as_posix()

    def page(self, rows: Sequence[Row]) -> str:
        """Return the text of the table's page."""
        placed = [row for row in rows if row.place]
        others = [row for row in rows if not row.place]
        parts = [
            sentence(f"{formatting.of(len(placed), len(rows))} submissions have a place. The same for all: {self.same()}."),
            *(sentence(text, "note") for text in rules(self.assignment)),
        ]
        if placed:
            head = ["Submission", "Place", "Accuracy", "Interval", "Parameters", "Advice", "Recipe", "Time", "Built like"]
            parts.insert(1, table("The nets that were trained, by accuracy", head, map(_placed, placed)))
        if others:
            head = ["Submission", "Why it has no place", "Parameters", "Rules broken", "Advice", "Built like"]
            parts.insert(2 if placed else 1, table("Submissions without a place", head, map(_other, others)))
        if self.assignment.left_out:
            names = formatting.listed(list(self.assignment.left_out))
            parts.append(sentence(f"Neither .py nor .ipynb, and left out: {names}.", "note"))
        facts = [f"From the folders beside this page; {CSV} holds the same", pages.BYLINE]
        return own_report.render(f"Grades of {self.assignment.folder.name}", together(parts), facts)

    def same(self) -> str:
        """Return what is the same for all submissions."""
        given, options = self.assignment.parameters, self.assignment.parameters["options"]
        limit, count = given["train_limit"], formatting.count
        parts = [
            f"the seeds {formatting.listed(list(map(count, given['seeds'])))}",
            "the epochs of each recipe" if given["epochs"] is None else formatting.counted(given["epochs"], "epoch"),
            "all training images" if limit is None else f"{count(limit)} training images",
            f"the {given['split']} images to be judged on",
            "RECIPE of a file, if it has one" if options["own_recipe"] else "one recipe, whatever RECIPE says",
            f"at most {count(options['seconds'])} s of processor time a seed, and {options['memory']:g} GB of memory",
        ]
        return "; ".join(parts)


def rules(assignment: Assignment) -> Iterator[str]:
    """Yield the sentences that say how to read the table."""
    yield (
        "Rows are ordered by mean accuracy. A net opens a new place where it is less accurate than the first net of the place before, with "
        "a 95% interval of the difference, for other seeds and other writers, that does not contain zero; otherwise it shares that place. "
        "As many places as nets share one are left out after it. One seed alone separates nothing."
    )
    yield "The best of many nets is partly lucky: its accuracy here overestimates what it would reach on other images."
    yield (
        f"Built like: the share of the code's structure that two submissions have in common, from {formatting.percent(ALIKE, 0)}; names, "
        "comments and formatting do not count. It says nothing about who wrote what: a skeleton that the class was given, or a net from a "
        "textbook, makes all alike."
    )


def places(nets: Sequence[Any], behind: Callable[[Any, Any], bool]) -> list[int]:
    """Return the places of nets that are ordered by accuracy; `behind` says whether the second of two is less accurate than the first."""
    found, first = [], 0
    for place, net in enumerate(nets):
        first = place if place and behind(nets[first], net) else first
        found.append(first + 1)
    return found


def separated(wrong: np.ndarray, other: np.ndarray, images: data.ImageSet) -> bool:
    """Say whether a net is more accurate than another, for other seeds and other writers; one seed alone separates nothing.

    The tables say which images each seed gets wrong, bool [n_seeds, n_images].
    """
    effect = comparison.difference(wrong, other, images.writers, images.groups, "").effect
    return effect.n_seeds > 1 and effect.interval[0] > 0


def alike(one: Entry, other: Entry) -> float:
    """Return which share of the structure of two submissions is common to both (Jaccard); nothing is common to what has none."""
    both = one.shingles | other.shingles
    return len(one.shingles & other.shingles) / len(both) if both else 0.0


def _alike(entries: Sequence[Entry], place: int) -> Iterator[str]:
    """Yield the submissions that one is built like, the most similar first."""
    one = entries[place]
    found = sorted(((alike(one, other), other) for other in entries if other is not one), key=lambda pair: -pair[0])
    near = [(share, other) for share, other in found if share >= ALIKE]
    for share, other in near[:NAMED]:
        same = other.submission.text == one.submission.text
        yield f"{other.name} ({'the same file' if same else formatting.percent(share, 0)})"
    if len(near) > NAMED:
        yield f"{formatting.count(len(near) - NAMED)} more"


def cells(row: Row) -> list[Any]:
    """Return a row of the CSV; what is not known is empty."""
    result, net = row.result, row.net
    about = [result.summary.final_mean, *result.summary.interval, len(result.seeds), result.epochs] if result else [""] * 5
    known = [net.answer.parameters, row.broken, row.advice, net.answer.recipe is not None] if net else [""] * 4
    end = [row.seconds, "; ".join(row.alike), row.page, row.reason]
    return [row.place, row.entry.name, row.entry.submission.file, *about, *known, *end]


def _plain(value: Any) -> Any:
    """Return a cell of a CSV that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _placed(row: Row) -> list[Shown | str]:
    result = row.result
    mean = formatting.mean_sd(result.summary.final_mean, result.summary.final_sd)
    recipe = "its own" if row.net and row.net.answer.recipe else "the series'"
    about = [formatting.count(result.n_parameters), _number(row.advice), recipe, formatting.seconds(row.seconds)]
    return [_name(row), formatting.count(row.place), mean, formatting.interval(result.summary.interval), *about, ", ".join(row.alike)]


def _other(row: Row) -> list[Shown | str]:
    numbers = [_number(row.net.answer.parameters if row.net else None), _number(row.broken), _number(row.advice)]
    return [_name(row), row.reason, *numbers, ", ".join(row.alike)]


def _number(n: int | None) -> str:
    return "" if n is None else formatting.count(n)


def _name(row: Row) -> Shown:
    name = phrase(row.entry.name)
    link = f'<a href="{html.escape(quote(row.page))}">{name.html}</a>' if row.page else name.html
    return Shown(f"{link}{element('small', row.entry.submission.file).html}", name.text)


def _file_name(entry: Entry) -> str:
    return re.sub(r"[^\w.-]+", "_", entry.name)
