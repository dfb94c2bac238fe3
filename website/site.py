"""What every page of the site leads to: the other pages, the glossary, the repository's address."""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from mnistlib import files, steps
from mnistlib.report.page import BYLINE, Site
from mnistlib.runs import provenance
from selection import points

PAGES = {  # in the head of every page
    "index": "Overview",
    "luck": "Luck",
    "published/index": "Replication",
    "inside": "Inside",
    "draw": "Draw",
    "benchmarks": "Speed",
    "glossary": "Glossary",
    "references": "References",
}
EPOCHS = {"every epoch of every seed (CSV)": "epochs.csv"}
SMALLER = {f"result of {name} (JSON)": f"results/{name}.json" for name in points.POINTS}
SMALLER |= {f"weights of {name} (seed 0)": f"checkpoints/{name}-seed0.safetensors" for name in points.POINTS}
DATA = {  # to take away from the pages of these notebooks, beside the result of a step
    **dict.fromkeys((*steps.STEPS, "luck"), EPOCHS),
    "benchmarks": {"result (JSON)": "benchmarks.json"},
    **dict.fromkeys(points.PAGES, SMALLER),
    "published_studies": {"result (JSON)": "studies.json"},
}
FOLDER = Path(__file__).parent
_WRITTEN = {'<div class="prose">': True, '<div class="output">': False}
_CLOSED = {"a", "code", "pre", "svg", "summary", "button", "figcaption", "table", "nav", "section", "footer"}  # where no term is linked
PREVIEW = "preview.png"  # what is shown where a page is linked to


def downloads(notebook: str, step: str = "", root: str = "") -> dict[str, str]:
    """Return what a reader of a page can take away: its notebook, the result of a step with the first seed's weights, other data."""
    of_step = {"result (JSON)": f"results/{step}.json", "weights (seed 0)": f"checkpoints/{step}-seed0.safetensors"} if step else {}
    return {"notebook": f"{root}notebooks/{notebook}.ipynb"} | of_step | DATA.get(notebook, {})


def copy_notebook(name: str, reports: Path) -> None:
    """Copy a notebook to where the downloads of its page lead."""
    files.write(reports / "notebooks" / f"{name}.ipynb", files.notebook(name).read_text(encoding="utf-8"))


def of(series: Mapping[str, str], here: str = "", downloads: Mapping[str, str] | None = None) -> Site:
    """Return the site around the pages of a series; `here` is the page in the head that they are, or belong to."""
    root = "../" * here.count("/")
    return Site(series, root, here, PAGES, downloads or {}, address(), partial(finish, root=root, here=here))


def finish(page: str, root: str, here: str = "") -> str:
    """Date a page that is of no single run; link its result, the terms of its prose, and its listings; name the picture of previews."""
    page = page if here == "benchmarks" else dated(page)  # what it shows was not measured by the runs; it says when it was
    page = re.sub(r"Saved as <code>[^<]*?(results/[\w-]+\.json)</code>", r'Saved as <a href="\1">\1</a>', page)  # not where it was built
    if url := citation().get("url", "").rstrip("/"):
        shown = f'<meta property="og:image" content="{url}/{PREVIEW}">\n<meta name="twitter:card" content="summary_large_image">\n'
        page = page.replace('<meta property="og:type"', f'{shown}<meta property="og:type"', 1)
    tree = address() and f"{address()}/blob/{provenance.revision(files.root())[0] or 'main'}"  # listings show the code that makes the page
    return link_sources(link_terms(page, terms(), f"{root}glossary.html"), tree)


def dated(page: str) -> str:
    """Return a page with the day of the newest committed run in its foot, unless it is of one run and says its own."""
    if "<span>Run on " in page:
        return page
    results = [json.loads(path.read_text(encoding="utf-8")) for path in (files.root() / "reports").rglob("results/*.json")]
    days = [result["provenance"]["started"][:10] for result in results if result["provenance"].get("started")]
    shown = f" <span>Newest run: {max(days)}</span>" if days else ""
    return page.replace(f"<span>{BYLINE}</span>", f"<span>{BYLINE}</span>{shown}", 1)


def glossary() -> list[dict[str, Any]]:
    """Return the entries of the glossary by their terms, each with its anchor."""
    entries = yaml.safe_load((FOLDER / "glossary.yaml").read_text(encoding="utf-8"))
    found = [{"anchor": re.sub(r"\W+", "-", entry["term"].lower()).strip("-")} | entry for entry in entries]
    return sorted(found, key=lambda entry: entry["term"].lower())


def terms() -> dict[str, str]:
    """Return the phrases that the glossary explains, in lower case, with the anchor of each."""
    return {form: entry["anchor"] for entry in glossary() for form in entry["forms"]}


def citation() -> dict[str, Any]:
    """Return what CITATION.cff says; a maintainer sets the addresses of repository and site there, and nowhere else."""
    return yaml.safe_load((files.root() / "CITATION.cff").read_text(encoding="utf-8"))


def address() -> str:
    """Return the repository's address; "" where none is set."""
    return citation().get("repository-code", "")


def write_address() -> None:
    """Write the repository's address into the notebooks that install the package from there."""
    for path in sorted((files.root() / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        new = re.sub(r'(?<="SOURCE = \\")[^"\\]*(?=\\")', address().replace("\\", ""), text)
        if new != text:
            files.write(path, new)


def published() -> str:
    """Return the sentence in README that says where the pages are published; "" where no address is set."""
    url = citation().get("url", "")
    return f"The pages are published at <{url}>.\n" if url else ""


def link_terms(page: str, terms: Mapping[str, str], glossary: str) -> str:
    """Link the first use of each term in a page's prose to its anchor in the glossary; `terms` maps phrases to anchors.

    Of a notebook's page only what its author wrote is prose. Headings, links and code stay as they are.
    """
    parts, written, closed, prose, linked = re.split(r"(<[^>]*>)", page), 'class="prose"' not in page, 0, False, set()
    for place, part in enumerate(parts):
        if part.startswith("<"):
            name = part.strip("</>").split()[0] if part.strip("</>") else ""
            if name in ("p", "li"):
                prose = not part.startswith("</")
            elif name in _CLOSED:
                closed += -1 if part.startswith("</") else 1
            if part in _WRITTEN:
                written = _WRITTEN[part]
        elif prose and written and not closed:
            parts[place] = _linked(part, terms, linked, glossary)
    return "".join(parts)


def _linked(text: str, terms: Mapping[str, str], linked: set[str], glossary: str) -> str:
    def link(match: re.Match[str]) -> str:
        anchor = terms[match[0].lower()]
        if anchor in linked:
            return match[0]
        linked.add(anchor)
        return f'<a class="term" href="{glossary}#{anchor}">{match[0]}</a>'

    phrases = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))  # the longest counts
    return re.sub(rf"(?<![\w-])({phrases})(?![\w-])", link, text, flags=re.IGNORECASE) if terms else text


def link_sources(page: str, tree: str) -> str:
    """Link every listing to the lines of its file in a published repository; "" leaves them as they are."""
    link = rf'<a href="{tree}/\1#\2">\1</a>' if tree else r"\1"
    return re.sub(r'<span data-source="([^"#]*)#([^"]*)">[^<]*</span>', link, page)
