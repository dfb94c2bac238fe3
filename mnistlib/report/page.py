"""An executed notebook as one HTML page that needs nothing beside it."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from mnistlib import files, formatting, recipe
from mnistlib.errors import ResultError
from mnistlib.report import markup, result_tables
from mnistlib.report import result as results
from mnistlib.report.result import Result

FOLDER = Path(__file__).parent
HOME = f"MNIST under {formatting.count(recipe.MAX_PARAMETERS)} parameters"
LICENCE = "MIT licence"


def build(notebook: Path, out: Path, *args: Any, **kwargs: Any) -> Path:
    """Write an executed notebook as one HTML page and return its path; the other arguments are those of `page`."""
    return files.write(out, page(notebook, out.stem, *args, **kwargs))


def page(
    notebook: Path,
    name: str,
    series: Mapping[str, str] | None = None,
    result: Result | None = None,
    heading: str = "",
    home: str = "",
    failed: str = "",
    log_tail: Sequence[str] = (),
) -> str:
    """Return the text of an executed notebook's page; raise ResultError for one that has not run to its end, or loads something.

    `series` maps the names of all pages of the series, in order, to their titles: the page then links to the index and to its
    neighbours. `result` is summarised below the title; `heading` replaces the title, and `home` the name of the index. `failed` is
    the error of a run that failed, whose notebook is then shown as far as it came. `log_tail` holds the last lines of the run's log.
    """
    story = nbformat.read(notebook, as_version=4) if failed else read(notebook)
    if failed:
        story.cells.insert(1, nbformat.v4.new_markdown_cell(f'<p class="banner">This run failed: {html.escape(failed)}</p>'))
    for cell in story.cells:
        if heading and cell.cell_type == "markdown":
            cell.source = re.sub(r"^# .*$", lambda _: f"# {heading}", cell.source, count=1, flags=re.MULTILINE)
    exporter = HTMLExporter(
        preprocessors=[CoalesceStreamsPreprocessor],  # what a cell prints is one log
        template_name="template",
        extra_template_basedirs=[str(FOLDER)],
        anchor_link_text="#",
        filters={function.__name__: function for function in (markup.picture, markup.first_line, markup.dress, markup.outline)},
    )
    prose = "\n\n".join(cell.source for cell in story.cells if cell.cell_type == "markdown")
    day = [f"Run on {result.provenance['started'][:10]}"] if result and result.provenance.get("started") else []
    chrome = {
        "home": home or HOME,
        "style": style(),
        "name": name if name in (series or {}) else "",
        "title": next(iter(headings(prose, 1)), result.title if result else name),
        "learned": result_tables.learned(result.claims, _hypothesis(prose)) if result else "",
        "facts": result_tables.strip(result) if result else {},
        "result": results.to_json(result)["sha256"] if result else "",  # so that a page can be compared with its result
        "foot": [f"From the notebook {notebook.name if heading else f'{name}.ipynb'}", LICENCE, *day],  # one may make pages of other names
        "log_tail": "\n".join(log_tail),
        "series": dict(series or {}),
    }
    text, _ = exporter.from_notebook_node(story, resources={"page": chrome})
    if elsewhere := markup.addresses(text):
        raise ResultError(f"The page of {notebook.name} would load {elsewhere[0]!r}; a page must hold all that it shows.")
    return text.rstrip() + "\n"


def render(template: str, folder: Path = FOLDER, **values: Any) -> str:
    """Return the text of what is no notebook's page; its template, in `folder`, finds the limits of the exercise and formats of numbers."""
    loader = jinja2.FileSystemLoader([folder, FOLDER / "template"])
    environment = jinja2.Environment(loader=loader, autoescape=jinja2.select_autoescape(["html.j2"]))
    known = {"home": HOME, "style": style(), "recipe": recipe, "formatting": formatting, "level": result_tables.LEVEL}
    return environment.get_template(template).render(known | values).rstrip() + "\n"


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
            section = [section, *headings(cell.source, 6)][-1]
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


def _hypothesis(markdown: str) -> str:
    """Return the paragraph that a notebook's Target begins with "**Hypothesis:**"; "" where there is none."""
    found = re.search(r"^\*\*Hypothesis:\*\* (.+?)(?:\n\n|\Z)", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"[`*]", "", found[1]).strip() if found else ""


def style() -> str:
    """Return the style sheet without its comments and indentation."""
    text = re.sub(r"/\*.*?\*/", "", (FOLDER / "style.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def headings(markdown: str, level: int = 6) -> list[str]:
    """Return the headings of a Markdown text down to a level, without what is in fenced code."""
    plain = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"[`*]", "", text).strip() for text in re.findall(rf"^#{{1,{level}}}\s+(.+)$", plain, flags=re.MULTILINE)]
