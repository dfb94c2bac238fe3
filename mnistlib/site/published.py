"""The published models' index: the ladder first, then the table, accuracy against parameters, and the studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from mnistlib import files, form
from mnistlib.peers import PEERS, Peer
from mnistlib.published import ROWS, Row
from mnistlib.recipe import MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.schema import Result
from mnistlib.site import cloud, index, kernels, ladder, pages, rows
from mnistlib.site.rows import Badge
from mnistlib.standing import Standing

TITLE = "Every published model, measured"
IMAGE = "published.svg"
WORDS = {"better": "more accurate", "worse": "less accurate", "unclear": "not told apart"}
STYLE = """
.figures small.said { color: var(--bad) }
@media (max-width: 46rem) { .ladder .odd { display: none } }
"""


@dataclass(frozen=True)
class Line:
    """One model's line of the table, every cell a text."""

    name: str
    title: str
    system: str
    parameters: str
    said: str  # the published total where it is wrong
    macs: str
    field: str
    claim: str
    claim_last: str
    mean: str
    interval: str
    passing: str
    badges: tuple[Badge, ...]
    best: Badge | None  # where the claimed best epoch lies
    last: Badge | None  # and the claimed last one
    seconds: str


def title(row: Row) -> str:
    """Return what a row's page is called."""
    return f"{row.title} of {row.system.partition('/')[2]}"


def build(place: Path, standings: Sequence[Standing], record: Mapping[str, Any]) -> Path:
    """Write the index of `place`, the folder of the published rows, and return its path."""
    there = {path.stem for path in place.glob("*.html")}
    return files.write(place / "index.html", page(standings, record, index.load(place.parent), there))


def build_readme(standings: Sequence[Standing], readme: Path, images: Path, place: str = "reports/published") -> Path:
    """Write the ladder into `images` and the table into README's block "published"; return README's path."""
    if standings:
        files.write(images / IMAGE, ladder.file(standings))
    text = index.replaced(readme.read_text(encoding="utf-8"), block(standings, images.name, place), readme.name, "published")
    return files.write(readme, text)


def block(standings: Sequence[Standing], images: str = "images", place: str = "reports/published") -> str:
    """Return README's generated block without its marks: the figure, the table, what the columns mean."""
    if not standings:
        return "There are no results yet.\n"
    lines = ["| Model | Parameters | Claim, best epoch | Here, best of all seeds | Here, last epoch | Seeds passing |", f"|{' --- |' * 6}"]
    for each in standings:
        told = line(each)
        cells = [
            f"[{title(each.row)}]({place}/{told.name}.html)",
            told.parameters,
            told.claim,
            form.percent(each.best),
            told.mean,
            told.passing,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    reading = (
        "Claim: the author's one seed, its best epoch chosen on the test set. Best of all seeds: chosen so, and the seed with it. "
        f"Last epoch: mean ± standard deviation over the seeds; passing: at or above {form.percent(MIN_ACCURACY)}."
    )
    return "\n\n".join([f"![{ladder.alt(standings)}]({images}/{IMAGE})", "\n".join(lines), reading]) + "\n"


def page(standings: Sequence[Standing], record: Mapping[str, Any], steps: Sequence[Result], there: set[str]) -> str:
    """Return the text of the index; `steps` are the results of the series, `there` the pages that can be linked to."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pages.FOLDER / "template"), autoescape=True)
    text = environment.get_template("published.html.j2").render(
        home=pages.HOME,
        title=TITLE,
        style=pages.style() + ladder.STYLE + cloud.STYLE + kernels.STYLE + STYLE,
        sha256=files.sha256(files.canonical(record)),
        n_rows=form.count(len(ROWS)),
        n_measured=form.of(len(standings), len(ROWS)),
        whole=len(standings) == len(ROWS),
        n_runs=form.count(sum(len(each.lasts) for each in standings)),
        target=form.percent(MIN_ACCURACY),
        max_parameters=form.count(MAX_PARAMETERS),
        max_epochs=form.count(MAX_EPOCHS),
        level=form.percent(rows.LEVEL, 0),
        ladder=ladder.inline(standings) if standings else "",
        cloud=cloud.inline(standings, steps) if standings else "",
        peers=[peer(each) for each in PEERS],
        lines=[line(each) for each in standings],
        pages=there,
        findings=findings(standings),
        kernels=kernels.inline(record["kernels"]) if record["kernels"] else "",
        studies={study["name"]: [estimate(each) for each in study["lines"]] for study in record["studies"]},
        facts=["From the files in results/ and studies.json", pages.LICENCE],
    )
    return text.rstrip() + "\n"


def line(each: Standing) -> Line:
    """Return a model's line."""
    row, result, summary = each.row, each.result, each.result.summary
    seconds = [sum(run.seconds) for run in result.runs]
    claim = row.claim
    return Line(
        name=row.name,
        title=row.title,
        system=row.system,
        parameters=form.count(row.n_parameters),
        said=f"{form.count(row.said)} as published" if row.said else "",
        macs=form.millions(result.n_macs),
        field=f"{form.count(result.receptive_field)} px",
        claim=form.percent(claim.best),
        claim_last=form.percent(claim.final) if claim.final is not None else "not said",
        mean=form.mean_sd(summary.final_mean, summary.final_sd),
        interval=form.interval(summary.interval),
        passing=form.of(summary.n_pass, summary.n_seeds),
        badges=rows.badges(result.verdict),
        best=_badge(each.place()),
        last=_badge(each.place(best=False)),
        seconds=form.seconds(sum(seconds) / len(seconds)),
    )


def peer(each: Peer) -> dict[str, str]:
    """Return another repository's claim as texts."""
    final = "not said" if each.final is None else form.percent(each.final)
    return {"name": each.name, "parameters": form.count(each.n_parameters), "best": form.percent(each.best), "final": final}


def _badge(place: str) -> Badge | None:
    """Return where a claim lies as a coloured word."""
    kinds = {"inside": "kept", "above": "missed", "below": "reached"}
    return Badge(kinds[place], place) if place else None


def findings(standings: Sequence[Standing]) -> list[str]:
    """Return in sentences where measurement and claim differ."""
    found = []
    for place, words in (("above", "more than"), ("below", "less than")):
        names = [title(each.row) for each in standings if each.place() == place]
        if names:
            found.append(f"Claimed {words} one seed more of the same recipe would show at its best epoch: {_listed(names)}.")
    inside = sum(each.place() == "inside" for each in standings)
    found.append(f"{form.of(inside, len(standings))} claimed best epochs are what one seed more would show.")
    bold = [each for each in standings if each.row.claim.best >= MIN_ACCURACY]
    if bold:
        kept = [each for each in bold if each.mean >= MIN_ACCURACY]
        shown = [each for each in kept if each.result.verdict and each.result.verdict.accuracy == "shown"]
        names = f" ({_listed([title(each.row) for each in kept])})" if kept else ""
        found.append(
            f"{form.count(len(bold))} models claim the target; of these, {form.count(len(kept))} reach it{names} with the mean of their "
            f"seeds at the last epoch, and {form.count(len(shown))} with the whole interval."
        )
        held = sum(each.result.summary.n_held for each in bold)
        ends = sum(each.result.summary.n_pass for each in bold)
        n = sum(each.result.summary.n_seeds for each in bold)
        ended = f"{form.count(ends)} end at the target, and {form.count(held)} hold it over the last epochs"
        found.append(f"Of their {form.count(n)} runs here, {ended}.")
    over = [title(each.row) for each in standings if each.row.n_parameters >= MAX_PARAMETERS]
    if over:
        found.append(f"Not under {form.count(MAX_PARAMETERS)} parameters: {_listed(over)}.")
    wrong = [each.row for each in standings if each.row.said]
    if wrong:
        said = [f"{title(row)} ({form.count(row.said)} printed, {form.count(row.n_parameters)} true)" for row in wrong]
        found.append(f"Published with a wrong number of parameters: {_listed(said)}.")
    return found


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def estimate(line: Mapping[str, Any]) -> dict[str, str]:
    """Return a study's line as texts: what, figure, interval, what it rests on, and for a difference what it says."""
    value, bounds, kind = line["value"], line["interval"], line["kind"]
    if kind in ("difference", "gain"):
        figure, around = form.points(value), form.points_interval(bounds) if bounds else ""
    elif kind == "spread":
        figure, around = _spread(value), f"{_spread(bounds[0])} to {_spread(bounds[1])}" if bounds else ""
    elif kind == "count":
        figure, around = form.count(round(value)), ""
    else:
        digits = 2 if kind == "accuracy" else 0
        figure, around = form.percent(value, digits), form.interval(bounds, digits) if bounds else ""
    said = ""
    if kind == "difference" and bounds:
        said = WORDS["better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "unclear"]
    return {"what": line["what"], "figure": figure, "interval": around, "n": line["n"], "note": line["note"], "said": said}


def _spread(value: float) -> str:
    """Return a standard deviation in percentage points."""
    return f"{100 * value:.3f} points"
