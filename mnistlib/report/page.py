"""An executed notebook as one HTML page that needs nothing beside it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from mnistlib import files, formatting, recipe
from mnistlib.errors import ResultError
from mnistlib.report import markup, overview
from mnistlib.report import result as schema
from mnistlib.report.result import Result

FOLDER = Path(__file__).parent
HOME = f"MNIST under {formatting.count(recipe.MAX_PARAMETERS)} parameters"
LICENCE = "MIT licence"


def build(
    notebook: Path,
    out: Path,
    series: Mapping[str, str] | None = None,
    result: Result | None = None,
    heading: str = "",
    home: str = "",
    failed: str = "",
) -> Path:
    """Write an executed notebook as one HTML page and return its path.

    `series` maps the names of all pages of the series, in order, to their titles: the page then links to the index and to its
    neighbours. `result` is shown in a strip below the title; `heading` takes the title's place, and `home` is what the
    index is called. `failed` is the sentence of a run that failed, whose notebook is then shown as far as it came.
    Raises ResultError, and leaves the previous page as it was, for a
    notebook that was not wholly executed, that holds an error, or that shows something from another file or address.
    """
    return files.write(out, page(notebook, out.stem, series, result, heading, home, failed))


def page(
    notebook: Path,
    name: str,
    series: Mapping[str, str] | None = None,
    result: Result | None = None,
    heading: str = "",
    home: str = "",
    failed: str = "",
) -> str:
    """Return the text of an executed notebook's page; see `build`."""
    story = nbformat.read(notebook, as_version=4) if failed else read(notebook)
    if failed:
        story.cells.insert(1, nbformat.v4.new_markdown_cell(f'<p class="banner">This run failed: {html.escape(failed)}</p>'))
    for cell in story.cells:
        if heading and cell.cell_type == "markdown":
            cell.source = re.sub(r"^# .*$", f"# {heading}", cell.source, count=1, flags=re.MULTILINE)
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)
    exporter = HTMLExporter(
        template_name="template",
        extra_template_basedirs=[str(FOLDER)],
        anchor_link_text="#",
        filters={function.__name__: function for function in (markup.picture, markup.first_line, markup.summary, markup.lines)}
        | {"dress": markup.dress, "outline": markup.outline},
    )
    chrome = {
        "home": home or HOME,
        "style": style(),
        "name": name if name in (series or {}) else "",
        "title": title(story) or (result.title if result else name),
        "facts": facts(result) if result else [],
        "result": schema.to_json(result)["sha256"] if result else "",  # so that a page can be held against its result
        "badges": overview.badges(result.verdict) if result else (),
        "foot": foot(notebook.name if heading else f"{name}.ipynb", result),  # one notebook may make pages of other names
        **neighbours(name, series or {}),
    }
    text, _ = exporter.from_notebook_node(story, resources={"page": chrome})
    elsewhere = markup.addresses(text)
    if elsewhere:
        raise ResultError(f"The page of {notebook.name} would load {elsewhere[0]!r}; a page holds all that it shows.")
    return text.rstrip() + "\n"


def read(path: Path) -> nbformat.NotebookNode:
    """Return an executed notebook, or raise ResultError naming the first cell that failed or has not run."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ResultError(f"There is no notebook {path.name}; execute it first.") from None
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ResultError(f"{path.name} cannot be read as a notebook ({type(error).__name__}); execute it again.") from None
    last, section = 0, "its beginning"
    for place, cell in enumerate(notebook.cells, 1):
        where = f"cell {place}, under {section!r}"
        if cell.cell_type == "markdown":
            section = [section, *_headings(cell.source, 6)][-1]
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                reason = next(iter(str(output.evalue).splitlines()), "")
                raise ResultError(f"{path.name} stopped in {where}, with {output.ename}: {reason}")
        if cell.execution_count is None or cell.metadata.get("papermill", {}).get("status", "completed") != "completed":
            raise ResultError(f"{path.name} was not wholly executed: {where}, has not run to its end. Execute the whole notebook.")
        if cell.execution_count <= last:
            raise ResultError(f"{path.name} was not executed in order: {where}, ran before a cell above it. Run all in a fresh kernel.")
        last = cell.execution_count
    return notebook


def merged(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return a cell's outputs with all it printed joined where it first printed, and of an overwritten line what was left."""
    printed: dict[str, nbformat.NotebookNode] = {}
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name in printed:
                printed[output.name].text += output.text
                continue
            printed[output.name] = output
        kept.append(output)
    for output in printed.values():
        output.text = re.sub(r".*\r(?=[^\n])", "", output.text)
    return kept


def title(notebook: nbformat.NotebookNode) -> str:
    """Return the text of a notebook's first heading of the first level, "" when it has none."""
    found = [heading for cell in notebook.cells if cell.cell_type == "markdown" for heading in _headings(cell.source, 1)]
    return found[0] if found else ""


def facts(result: Result) -> list[dict[str, str]]:
    """Return what the strip below a title says of a result."""
    row = overview.row(result)
    return [
        {"label": "Accuracy", "text": row.mean},
        {"label": f"{formatting.percent(overview.LEVEL, 0)} interval", "text": row.interval},
        {"label": "Seeds passing", "text": row.passing},
        {"label": "Parameters", "text": row.parameters},
        {"label": "Epochs", "text": formatting.count(result.epochs)},
    ]


def neighbours(name: str, series: Mapping[str, str]) -> dict[str, dict[str, str] | None]:
    """Return the links to the page before and after one of a series."""
    names = list(series)
    place = names.index(name) if name in names else None
    links = {"before": None if not place else place - 1, "after": None if place in (None, len(names) - 1) else place + 1}
    return {
        way: None if at is None else {"href": f"{names[at]}.html", "name": names[at].replace("_", " "), "title": series[names[at]]}
        for way, at in links.items()
    }


def foot(source: str, result: Result | None = None) -> list[str]:
    """Return what a page's foot says: where it comes from, its licence, and the day that the run recorded."""
    day = str((result.provenance if result else {}).get("started", ""))[:10]
    return [f"From the notebook {source}", LICENCE, *([f"Run on {day}"] if day else [])]


def style() -> str:
    """Return the one style sheet without its comments and indentation."""
    text = re.sub(r"/\*.*?\*/", "", (FOLDER / "style.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _headings(markdown: str, level: int) -> list[str]:
    """Return the headings down to a level of a Markdown text, fenced code left out."""
    plain = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"[`*]", "", text).strip() for text in re.findall(rf"^#{{1,{level}}}\s+(.+)$", plain, flags=re.MULTILINE)]
