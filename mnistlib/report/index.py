"""The results of a series as index.html, and as README's table and image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import jinja2

from mnistlib import files, formatting, recipe
from mnistlib.errors import ResultError
from mnistlib.report import dots, overview, results
from mnistlib.report import page as pages
from mnistlib.report.result import Result

IMAGE = "steps.svg"
SIDE = 28  # pixels across an image


def build(reports: Path) -> Path:
    """Write `reports`/index.html from the results in `reports`/results, linking to the pages that are there, and return its path."""
    return files.write(reports / "index.html", page(load(reports), linked(reports)))


def linked(reports: Path) -> set[str]:
    """Return the names of the pages that the index can link to; a folder's index goes by the folder's name."""
    return {path.stem for path in reports.glob("*.html")} | {path.parent.name for path in reports.glob("*/index.html")}


def build_readme(reports: Path, readme: Path, images: Path) -> Path:
    """Write the image of the results into `images` and their table into README's generated block; return README's path."""
    found = load(reports)
    text = replaced(readme.read_text(encoding="utf-8"), block(found, images.name, reports.name), readme.name)
    if found:
        files.write(images / IMAGE, dots.file(found))
    return files.write(readme, text)


def load(reports: Path) -> list[Result]:
    """Return the results under a folder in the order of their names."""
    return [results.read(path) for path in sorted((reports / "results").glob("*.json"))]


def page(found: Sequence[Result], there: Collection[str]) -> str:
    """Return the text of the index; `there` names the pages that can be linked to."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pages.FOLDER / "template"), autoescape=True)
    judged = "validation" if any(result.split == "validation" for result in found) else "test"
    text = environment.get_template("series.html.j2").render(
        home=pages.HOME,
        style=pages.style() + dots.STYLE,
        rows=overview.rows(found),
        columns=overview.COLUMNS,
        pages=there,
        notes=list(dict.fromkeys(note for result in found for note in result.notes)),
        figure=dots.inline(found) if found else "",
        judged=judged,
        target=formatting.percent(recipe.MIN_ACCURACY),
        level=formatting.percent(overview.LEVEL, 0),
        resampled=resampled(found),
        max_parameters=formatting.count(recipe.MAX_PARAMETERS),
        max_epochs=formatting.count(recipe.MAX_EPOCHS),
        held_epochs=formatting.count(recipe.HELD_EPOCHS),
        side=formatting.count(SIDE),
        facts=["From the files in results/", pages.LICENCE],
    )
    return text.rstrip() + "\n"


def block(found: Sequence[Result], images: str = "images", reports: str = "reports") -> str:
    """Return README's generated block without its marks: the image, the table, what the columns mean."""
    if not found:
        return "There are no results yet.\n"
    heads = ["Step", *overview.COLUMNS.values()]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in overview.rows(list(found)):
        cells = [f"[{row.step}]({reports}/{row.step}.html)", *(getattr(row, name) for name in overview.COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    notes = list(dict.fromkeys(note for result in found for note in result.notes))
    reading = (
        "Accuracy at the last epoch, mean ± standard deviation over the seeds; interval: "
        f"{formatting.percent(overview.LEVEL, 0)}, from resampling {resampled(found)}; passing: at or above {formatting.percent(recipe.MIN_ACCURACY)}; "
        f"held: so over the last {formatting.count(recipe.HELD_EPOCHS)} epochs."
    )
    return "\n\n".join([f"![{dots.alt(found)}]({images}/{IMAGE})", "\n".join(lines), reading, *notes]) + "\n"


def resampled(found: Sequence[Result]) -> str:
    """Return what was resampled for the intervals: "seeds and writers"."""
    return "; or ".join(dict.fromkeys(result.summary.interval_by for result in found))


def replaced(readme: str, content: str, name: str = "README.md", topic: str = "results") -> str:
    """Return a text with what stands between the two marks of a topic replaced; raise ResultError where it has not one of each."""
    begin, end = f"<!-- {topic}:begin -->", f"<!-- {topic}:end -->"
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
        raise ResultError(f"{name} needs one {begin!r} and after it one {end!r}; the table of results goes between them.")
    before, _, rest = readme.partition(begin)
    return f"{before}{begin}\n{content}{end}{rest.partition(end)[2]}"
