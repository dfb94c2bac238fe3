"""The published models' index: the ladder first, then the table, accuracy against parameters, and the studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from mnistlib import files, formatting
from mnistlib.published import site_answers, site_cloud, site_kernels, site_ladder, tables
from mnistlib.published.other_repos import PEERS, Peer
from mnistlib.published.registry import ROWS, SILENT
from mnistlib.published.replication import Standing
from mnistlib.recipe import MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import index, overview
from mnistlib.report import page as pages
from mnistlib.report.overview import Badge
from mnistlib.report.result import Result

TITLE = "Every published model, measured"
IMAGE = "published.svg"
WORDS = {"better": "more accurate", "worse": "less accurate", "unclear": "not told apart"}
STYLE = """
.figures small.said { color: var(--bad) }
.figures td small { display: block; color: var(--soft) }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; margin: 0; padding: 0; list-style: none; font: .8125rem/1.5 var(--sans) }
.legend li { display: flex; align-items: center; gap: .35rem }
.legend svg { flex: none; width: 18px; height: 18px }
@media (max-width: 46rem) { :is(.ladder, .cloud) :is(.odd, .spare) { display: none } }
"""


@dataclass(frozen=True)
class Line:
    """One model's line of the table, every cell a text."""

    name: str
    title: str
    system: str
    marks: str
    parameters: str
    said: str  # the published total where it is wrong
    macs: str
    field: str
    claim: str
    best: str  # where the claimed best epoch lies
    best_range: str  # of one seed more
    claim_last: str
    last: str  # where the claimed last epoch lies
    last_range: str
    mean: str
    interval: str
    passing: str
    badges: tuple[Badge, ...]
    seconds: str


def build(place: Path, standings: Sequence[Standing], record: Mapping[str, Any], arms: Sequence[Result]) -> Path:
    """Write the index of `place`, the folder of the published rows, and return its path."""
    there = {path.stem for path in place.glob("*.html")}
    return files.write(place / "index.html", page(standings, record, index.load(place.parent), arms, there))


def build_readme(standings: Sequence[Standing], readme: Path, images: Path, place: str = "reports/published") -> Path:
    """Write the ladder into `images` and the table into README's block "published"; return README's path."""
    if standings:
        files.write(images / IMAGE, site_ladder.file(standings))
    text = index.replaced(readme.read_text(encoding="utf-8"), block(standings, images.name, place), readme.name, "published")
    return files.write(readme, text)


def block(standings: Sequence[Standing], images: str = "images", place: str = "reports/published") -> str:
    """Return README's generated block without its marks: the figure, the table, what the columns mean."""
    if not standings:
        return "There are no results yet.\n"
    heads = ["Model", "Parameters", "Claim, chosen on the test set", "Here, luckiest seed, chosen so", "Here, last epoch", "Seeds passing"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for each in standings:
        told = line(each)
        name = f"[{each.row.long_title}]({place}/{told.name}.html)" + (f" ({told.marks})" if told.marks else "")
        said = told.claim if each.row.claim.best is not None else told.claim_last
        cells = [name, told.parameters, said, formatting.percent(each.best), told.mean, told.passing]
        lines.append(f"| {' | '.join(cells)} |")
    reading = (
        "Claim: the author's one run at its best epoch, of Model_3 of assignment-7 over the last ones. Luckiest seed: ours at its best "
        "epoch, epoch and seed chosen on the test set. "
        f"Last epoch: mean ± standard deviation over the seeds; passing: at or above {formatting.percent(MIN_ACCURACY)}."
    )
    missing = len(ROWS) - len(standings)
    reading += f" Yet to be trained: {formatting.of(missing, len(ROWS))} models." if missing else ""
    return "\n\n".join([f"![{site_ladder.alt(standings)}]({images}/{IMAGE})", "\n".join(lines), reading]) + "\n"


def page(standings: Sequence[Standing], record: Mapping[str, Any], steps: Sequence[Result], arms: Sequence[Result], there: set[str]) -> str:
    """Return the text of the index; `steps` and `arms` are the results of series and studies, `there` the pages that can be linked to."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pages.FOLDER / "template"), autoescape=True)
    text = environment.get_template("published.html.j2").render(
        home=pages.HOME,
        title=TITLE,
        style=pages.style() + site_ladder.STYLE + site_cloud.STYLE + site_kernels.STYLE + STYLE,
        sha256=files.sha256(files.canonical(record)),
        n_rows=formatting.count(len(ROWS)),
        n_measured=formatting.count(len(ROWS)) if len(standings) == len(ROWS) else formatting.of(len(standings), len(ROWS)),
        whole=len(standings) == len(ROWS),
        n_runs=formatting.count(sum(len(each.lasts) for each in standings)),
        target=formatting.percent(MIN_ACCURACY),
        max_parameters=formatting.count(MAX_PARAMETERS),
        max_epochs=formatting.count(MAX_EPOCHS),
        level=formatting.percent(overview.LEVEL, 0),
        ladder=site_ladder.inline(standings) if standings else "",
        ladder_legend=site_ladder.legend(),
        cloud_legend=site_cloud.legend(),
        cloud=site_cloud.inline(standings, steps) if standings else "",
        peers=[peer(each) for each in PEERS],
        lines=[line(each) for each in standings],
        machines=formatting.listed(sorted({machine(each.result) for each in standings})) if standings else "",
        pages=there,
        findings=site_answers.findings(standings),
        kernels=site_kernels.inline(record["kernels"]) if record["kernels"] else "",
        answers=site_answers.of(record["studies"]),
        arms=[arm(each) for each in arms],
        studies={study["name"]: [estimate(each) for each in study["lines"]] for study in record["studies"]},
        facts=["From the files in results/ and studies.json", pages.LICENCE],
    )
    return text.rstrip() + "\n"


def machine(result: Result) -> str:
    """Return the machine that a result was trained on: its processor and cores, or its GPU."""
    about = result.provenance
    return about["gpu"] or f"{about['cpu'] or 'an unnamed processor'} ({formatting.counted(about['cores'], 'core')})"


def line(each: Standing) -> Line:
    """Return a model's line."""
    row, result, summary = each.row, each.result, each.result.summary
    seconds = [sum(run.seconds) for run in result.runs]
    return Line(
        name=row.name,
        title=row.title,
        system=row.system,
        marks=marks(each),
        parameters=formatting.count(row.n_parameters),
        said=f"{formatting.count(row.said)} {'in an earlier version' if row.corrected else 'as published'}" if row.said else "",
        macs=formatting.millions(result.n_macs),
        field=f"{formatting.count(result.receptive_field)} px",
        claim=tables.said(row.claim, row.claim.best),
        best=each.place(),
        best_range=formatting.interval(each.one_more_best) if each.one_more_best else "",
        claim_last=tables.said(row.claim, row.claim.final),
        last=each.place(best=False),
        last_range=formatting.interval(each.one_more_last) if each.one_more_last else "",
        mean=formatting.mean_sd(summary.final_mean, summary.final_sd),
        interval=formatting.interval(summary.interval),
        passing=formatting.of(summary.n_pass, summary.n_seeds),
        badges=overview.badges(result.verdict),
        seconds=formatting.seconds(sum(seconds) / len(seconds)),
    )


def marks(each: Standing) -> str:
    """Return what has to be known of a model wherever its figures stand, "" where there is nothing."""
    said = ["steered by the test images"] if each.leaks else []
    return ", ".join(said + ["partly inferred"] if each.row.inferred else said)


def peer(each: Peer) -> dict[str, str]:
    """Return another repository's claim as texts."""
    final = SILENT if each.final is None else formatting.percent(each.final)
    counts, best = formatting.count(each.n_parameters), formatting.percent(each.best)
    return {"name": each.name, "parameters": counts, "best": best, "final": final, "protocol": each.protocol}


def arm(result: Result) -> dict[str, str]:
    """Return what a study's recipe came to as texts."""
    summary = result.summary
    mean, interval = formatting.mean_sd(summary.final_mean, summary.final_sd), formatting.interval(summary.interval)
    return {"name": result.step, "title": result.title, "mean": mean, "interval": interval, "seeds": formatting.count(summary.n_seeds)}


def estimate(line: Mapping[str, Any]) -> dict[str, str]:
    """Return a study's line as texts: what, figure, interval, what it rests on, and for a difference what it says."""
    value, bounds, kind = line["value"], line["interval"], line["kind"]
    if kind in ("difference", "gain"):
        figure, around = formatting.points(value), formatting.points_interval(bounds) if bounds else ""
    elif kind == "size":
        figure, around = f"{100 * value:.2f} points", ""
    elif kind == "spread":
        figure, around = _spread(value), f"{100 * bounds[0]:.3f} to {_spread(bounds[1])}" if bounds else ""
    elif kind == "count":
        figure, around = formatting.count(round(value)), ""
    else:
        digits = 2 if kind == "accuracy" else 0
        figure, around = formatting.percent(value, digits), formatting.interval(bounds, digits) if bounds else ""
    said = ""
    if kind == "difference" and bounds:
        said = WORDS["better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "unclear"]
    return {"what": line["what"], "figure": figure, "interval": around, "n": line["n"], "note": line["note"], "said": said}


def _spread(value: float) -> str:
    """Return a standard deviation in percentage points."""
    return f"{100 * value:.3f} points"
