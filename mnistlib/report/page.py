"""An executed notebook as one HTML page that needs nothing beside it."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from mnistlib import __version__, files, formatting, recipe
from mnistlib.errors import ResultError
from mnistlib.report import markup, result_tables
from mnistlib.report import result as results
from mnistlib.report.result import Result

FOLDER = Path(__file__).parent
HOME = f"MNIST under {formatting.count(recipe.MAX_PARAMETERS)} parameters"
BYLINE = f"By the mnistlib authors, version {__version__}, MIT licence"
FILTERS = (markup.script_hash, markup.picture, markup.vector, markup.first_line, markup.dress, markup.outline)
SCRIPT = (FOLDER / "page.js").read_text(encoding="utf-8")  # the one program of a page: copying, saving, marking the section in view


@dataclass(frozen=True)
class Site:
    """What a page that stands among others leads to; a page of one's own, below build/, has none of it."""

    series: Mapping[str, str]  # the pages that follow each other, in order, and their titles
    root: str = ""  # from the page to the folder of all pages, such as "../"
    here: str = ""  # which of the site's pages it is, or belongs to
    pages: Mapping[str, str] = field(default_factory=dict)  # those of the site by their names, with a word for each
    downloads: Mapping[str, str] = field(default_factory=dict)  # what can be taken away, and where it is, from the page
    address: str = ""  # of the repository; "" where it is not published
    finish: Callable[[str], str] = lambda page: page  # what is done to the text of a page before it is written


def build(notebook: Path, out: Path, *args: Any, **kwargs: Any) -> Path:
    """Write an executed notebook as one HTML page and return its path; the other arguments are those of `page`."""
    return files.write(out, page(notebook, out.stem, *args, **kwargs))


def page(
    notebook: Path,
    name: str,
    site: Site | None = None,
    result: Result | None = None,
    heading: str = "",
    failed: str = "",
    log_tail: Sequence[str] = (),
) -> str:
    """Return the text of an executed notebook's page; raise ResultError for one that has not run to its end, or loads something.

    A page whose `name` is in the site's series links to the index and to its neighbours. `result` is summarised below the title;
    `heading` replaces the title. `failed` is the error of a run that failed, whose notebook is then shown as far as it came.
    `log_tail` holds the last lines of the run's log.
    """
    story = nbformat.read(notebook, as_version=4) if failed else read(notebook)
    if failed:
        story.cells.insert(1, nbformat.v4.new_markdown_cell(f'<p class="banner">This run failed: {html.escape(failed)}</p>'))
    for cell in story.cells:
        if heading and cell.cell_type == "markdown":
            cell.source = re.sub(r"^# .*$", lambda _: f"# {heading}", cell.source, count=1, flags=re.MULTILINE)
    site = site if site is not None and name in site.series else Site({})
    if not failed:
        story.cells = _plumbing_last(story.cells)
    exporter = HTMLExporter(
        preprocessors=[CoalesceStreamsPreprocessor],  # what a cell prints is one log
        template_name="template",
        extra_template_basedirs=[str(FOLDER)],
        anchor_link_text="#",
        filters={function.__name__: function for function in FILTERS},
    )
    prose = "\n\n".join(cell.source for cell in story.cells if cell.cell_type == "markdown")
    day = [f"Run on {result.provenance['started'][:10]}"] if result and result.provenance.get("started") else []
    chrome = {
        "home": HOME,
        "site": site,
        "style": style(),
        "script": SCRIPT,
        "name": name if site.series else "",
        "about": " ".join(re.sub(r"[`*]", "", found[1]).split()) if (found := re.search(r"^# .+\n+([^#\n].+(?:\n.+)*)", prose)) else "",
        "title": next(iter(headings(prose, 1)), result.title if result else name),
        "learned": result_tables.learned(result.claims, _hypothesis(prose)) if result else "",
        "facts": result_tables.strip(result) if result else {},
        "result": results.to_json(result)["sha256"] if result else "",  # so that a page can be compared with its result
        "foot": [f"From the notebook {notebook.name if heading else f'{name}.ipynb'}", BYLINE, *day],  # one may make pages of other names
        "log_tail": "\n".join(log_tail),
    }
    text, _ = exporter.from_notebook_node(story, resources={"page": chrome})
    text = site.finish(text) if site.series else markup.alone(text)
    if elsewhere := markup.addresses(text.replace(f"<script>{SCRIPT}</script>", "", 1)):
        raise ResultError(f"The page of {notebook.name} would load {elsewhere[0]!r}; a page must hold all that it shows.")
    return text.rstrip() + "\n"


def render(template: str, folder: Path = FOLDER, **values: Any) -> str:
    """Return the text of what is no notebook's page; its template, in `folder`, finds the limits of the exercise and formats of numbers."""
    loader = jinja2.FileSystemLoader([folder, FOLDER / "template"])
    environment = jinja2.Environment(loader=loader, autoescape=jinja2.select_autoescape(["html.j2"]))
    environment.filters["script_hash"] = markup.script_hash
    known = {"home": HOME, "style": style(), "script": SCRIPT, "recipe": recipe, "formatting": formatting, "level": result_tables.LEVEL}
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


def _plumbing_last(cells: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the cells of a notebook with the code above its first section, which sets it up, at the end."""
    first = next((place for place, cell in enumerate(cells) if cell.cell_type == "markdown" and cell.source.startswith("## ")), 0)
    setup = [cell for cell in cells[:first] if cell.cell_type == "code" and not cell.outputs]
    note = [nbformat.v4.new_markdown_cell("### How this page was made")] if setup else []
    return [cell for cell in cells if cell not in setup] + note + setup


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
