"""The pages that explain the others: the glossary, and the references with how to cite."""

from pathlib import Path
from typing import Any

import yaml

from mnistlib import files
from mnistlib.report import page
from website import site

ABOUT = {
    "glossary": "The terms of these reports, each in a few plain sentences.",
    "references": "The papers and data that these reports build on, and how to cite them.",
}


def build(reports: Path) -> None:
    """Write glossary.html and references.html into `reports`."""
    for name in ABOUT:
        files.write(reports / f"{name}.html", text(name))


def text(name: str) -> str:
    """Return the text of one of the pages."""
    title = site.PAGES[name]
    values = {"name": name, "title": title, "about": ABOUT[name], "site": site.of({name: title}, name), "facts": [page.BYLINE]}
    values |= {"glossary": site.glossary(), "references": references(), "citation": site.citation()}
    return page.render(f"{name}.html.j2", site.FOLDER, **values)


def references() -> dict[str, dict[str, Any]]:
    """Return what the reports build on, by a key of author and year."""
    return yaml.safe_load((site.FOLDER / "references.yaml").read_text(encoding="utf-8"))
