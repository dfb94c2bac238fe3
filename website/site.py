"""What every page of the site leads to: the other pages, the glossary, the repository's address."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mnistlib import files
from mnistlib.report.page import Site

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
FOLDER = Path(__file__).parent


def of(series: Mapping[str, str], here: str = "", downloads: Mapping[str, str] | None = None) -> Site:
    """Return the site around the pages of a series; `here` is the page in the head that they are, or belong to."""
    return Site(series, "../" * here.count("/"), here, PAGES, terms(), downloads or {}, address())


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
