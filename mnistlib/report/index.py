"""The results of a series as index.html, and as README's table and image."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mnistlib import files, formatting, recipe
from mnistlib.errors import ResultError
from mnistlib.report import markup, page, plots, result, result_tables
from mnistlib.report.image_figures import SIDE
from mnistlib.report.result import Result

IMAGE = "steps.png"


def build(reports: Path) -> Path:
    """Write `reports`/index.html from the results in `reports`/results, linking to the pages that are there, and return its path."""
    pages = {path.stem for path in reports.glob("*.html")} | {path.parent.name for path in reports.glob("*/index.html")}
    return files.write(reports / "index.html", text(load(reports), pages))


def build_readme(reports: Path, readme: Path, images: Path) -> Path:
    """Write the image of the results into `images` and their table into README's generated block; return README's path."""
    results = load(reports)
    new = replaced(readme.read_text(encoding="utf-8"), block(results), readme.name)
    if results:
        files.write(images / IMAGE, plots.accuracies(results).png())
    return files.write(readme, new)


def load(reports: Path) -> list[Result]:
    """Return the results under a folder in the order of their names."""
    return [result.read(path) for path in sorted((reports / "results").glob("*.json"))]


def text(results: Sequence[Result], pages: Collection[str]) -> str:
    """Return the text of the index; `pages` names the pages that can be linked to."""
    figure = markup.image(plots.accuracies(results)) if results else ""
    facts = ["From the files in results/", page.LICENCE]
    return page.render("series.html.j2", rows=rows(results), pages=pages, figure=figure, side=SIDE, facts=facts)


def rows(results: Sequence[Result]) -> list[tuple[Result, dict]]:
    """Return every result with the cells of its row, its change from the result before among them."""
    return [(now, result_tables.row(now, before)) for now, before in zip(results, [None, *results], strict=False)]


def block(results: Sequence[Result]) -> str:
    """Return README's generated block without its marks: the answer, the image, the table, what the columns mean."""
    about = {"answer": answer(results), "image": IMAGE, "alt": plots.accuracies(results).alt} if results else {}
    return page.render("readme.md.j2", rows=rows(results), **about)


def answer(results: Sequence[Result]) -> str:
    """Return the result of the series in one sentence: the mean accuracies of all steps within the limit of parameters."""
    within, limit = [one for one in results if one.n_parameters < recipe.MAX_PARAMETERS], formatting.count(recipe.MAX_PARAMETERS)
    if not within:
        return f"No step has fewer than {limit} parameters."
    means = sorted(one.summary.final_mean for one in within)
    seeds = formatting.listed(sorted({formatting.count(one.summary.n_seeds) for one in within}))
    opening = f"The {formatting.counted(len(within), 'step')} with fewer than {limit} parameters end at a mean test accuracy of"
    target = formatting.percent(recipe.MIN_ACCURACY)
    return f"**{opening} {formatting.interval((means[0], means[-1]))} ({seeds} seeds each); the target is {target}.**"


def replaced(readme: str, content: str, name: str = "README.md", topic: str = "results") -> str:
    """Return a text with what stands between the two marks of a topic replaced; raise ResultError where it has not one of each."""
    begin, end = f"<!-- {topic}:begin -->", f"<!-- {topic}:end -->"
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
        raise ResultError(f"{name} must hold {begin!r} once and after it {end!r} once; the generated text goes between them.")
    before, _, rest = readme.partition(begin)
    return f"{before}{begin}\n{content}{end}{rest.partition(end)[2]}"
