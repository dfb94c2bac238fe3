"""The site around the reports: glossary, references, addresses, the notebooks that install the package."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from cloud import packaging
from mnistlib import files, steps
from mnistlib.published import repository
from mnistlib.report import tables
from replication import build as replication
from website import build, index, pages, site

ROOT = files.root()
REPORTS = ROOT / "reports"
INSTALLING = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if "SOURCE = " in path.read_text()]


def test_a_term_has_one_entry_and_its_sources_are_there():
    entries, references = site.glossary(), pages.references()
    forms = [form for entry in entries for form in entry["forms"]]
    assert len(forms) == len(set(forms)) and all(form == form.lower() for form in forms)
    assert len({entry["anchor"] for entry in entries}) == len(entries) >= 40
    assert {key for entry in entries for key in entry["see"]} <= set(references)
    assert all(one["url"].startswith("https://") and one["authors"] and one["title"] and one["about"] for one in references.values())
    assert len({one["url"] for one in references.values()}) == len(references)


@pytest.mark.parametrize("name", pages.ABOUT)
def test_the_committed_page_is_what_the_command_writes(name):
    assert (REPORTS / f"{name}.html").read_text(encoding="utf-8") == pages.text(name)


def test_the_pages_explain_every_term_and_name_every_source():
    glossary, references = pages.text("glossary"), pages.text("references")
    assert all(f'<dt id="{entry["anchor"]}">' in glossary for entry in site.glossary())
    assert all(f'<dt id="{key}">' in references and f'href="{one["url"]}"' in references for key, one in pages.references().items())
    assert f"version = {{{site.citation()['version']}}}" in re.sub(r" +", " ", references)


def test_terms_are_linked_once_in_prose_and_nowhere_else():
    terms = {"learning rate": "learning-rate", "rate": "rate", "learning rates": "learning-rate"}
    page = "<h2>Rate</h2><p><a href='#a'>rate</a> <code>rate</code> The Learning rate and rates. A rate.</p><p>The learning rate.</p>"
    assert site.link_terms(page, terms, "../glossary.html") == page.replace(
        "Learning rate", '<a class="term" href="../glossary.html#learning-rate">Learning rate</a>', 1
    ).replace(" A rate.", ' A <a class="term" href="../glossary.html#rate">rate</a>.')
    assert site.link_terms(page, {}, "glossary.html") == page


def test_listings_lead_to_their_lines_where_the_repository_is_published():
    listing = tables.source("skeleton")
    assert "mnistlib/models.py" in listing.html and "def skeleton" in listing.text
    linked = site.link_sources(listing.html, "https://example.org/blob/abc")
    first, last = map(int, re.search(r'href="https://example.org/blob/abc/mnistlib/models.py#L(\d+)-L(\d+)"', linked).groups())
    lines = (files.root() / "mnistlib" / "models.py").read_text().splitlines()[first - 1 : last]
    assert lines[0].startswith("def skeleton") and "head(" in lines[-2]
    assert "<a " not in site.link_sources(listing.html, "") and "data-source" not in site.link_sources(listing.html, "")


def test_a_page_leads_to_its_result_and_does_not_say_where_it_was_built():
    saved = "<p>Saved as <code>build/series/results/03_augment.json</code>.</p>"
    assert site.finish(saved, "") == '<p>Saved as <a href="results/03_augment.json">results/03_augment.json</a>.</p>'
    for path in (path for path in REPORTS.rglob("*.html") if "Saved as" in path.read_text(encoding="utf-8")):
        (place,) = re.findall(r'Saved as <a href="([^"]+)">', path.read_text(encoding="utf-8"))
        assert (path.parent / place).is_file()


def test_every_page_of_the_site_explains_its_terms():
    prose = '<div class="prose"><p>The learning rate.</p></div>'
    for here, root in (("index", ""), ("published/index", "../")):
        linked = site.of({}, here).finish(prose)
        assert f'<a class="term" href="{root}glossary.html#' in linked and linked.count("<a ") == 1
    for name in (*steps.STEPS, "index", "luck", "inside"):
        terms = re.findall(r'class="term" href="glossary.html#([^"]*)"', (REPORTS / f"{name}.html").read_text(encoding="utf-8"))
        assert 3 <= len(terms) == len(set(terms)), name


PUBLISHED = [replication.NOTEBOOK, *(f"{replication.NOTEBOOK}_{name}" for name in replication.PAGES)]


@pytest.mark.parametrize("name", [*steps.STEPS, *build.OTHERS, *PUBLISHED])
def test_the_notebook_to_take_away_is_that_of_the_page(name):
    path = f"notebooks/{name}.ipynb"
    assert (REPORTS / path).read_text(encoding="utf-8") == (ROOT / path).read_text(encoding="utf-8"), "run `make pages`"


def test_a_page_of_several_runs_says_when_the_newest_was_and_one_that_names_its_own_day_does_not():
    foot = f"<span>{site.BYLINE}</span>"
    feet = {"index": foot, "luck": foot, "03_augment": f"{foot} <span>Run on a day</span>", "benchmarks": foot}
    for of in (
        lambda name: (REPORTS / f"{name}.html").read_text(encoding="utf-8"),
        lambda name: site.of({}, name).finish(feet[name]),
    ):
        newest = {name: "Newest run: " in of(name) for name in feet}
        assert newest == {"index": True, "luck": True, "03_augment": False, "benchmarks": False}


def test_downloads_lead_to_files_that_are_there():
    made = [site.downloads(name) for name in build.OTHERS] + [site.downloads("inside", "03_augment")]
    below = [site.downloads(PUBLISHED[0], name, "../") for name in repository.MODELS] + [site.downloads(PUBLISHED[2], root="../")]
    for folder, links in [(REPORTS, links) for links in made] + [(REPORTS / "published", links) for links in below]:
        assert "notebook" in links and all((folder / place).is_file() for place in links.values()), links
    assert list(made[0]) == ["notebook", "every epoch of every seed (CSV)"]
    assert list(site.downloads("benchmarks"))[1] == "result (JSON)" == list(below[-1])[1]
    assert "weights of under_1000 (seed 0)" in site.downloads("smaller")
    assert list(made[-1]) == list(below[0]) == ["notebook", "result (JSON)", "weights (seed 0)"]
    for path in REPORTS.rglob("*.html"):
        for place in re.findall(r'href="([^"]*)" download', path.read_text(encoding="utf-8")):
            assert (path.parent / place).is_file(), f"{path.name} leads to {place}"


@pytest.mark.parametrize("name", pages.MARKDOWN)
def test_a_page_from_markdown_has_one_title_and_contents_and_linked_terms(name):
    text = pages.text(name)
    assert text.count("<h1") == 1 and len(re.findall(r"<h2 id=", text)) == len(re.findall(r'<li><a href="#', text)) >= 4
    assert text.count("<table") == text.count('<div class="scroll') >= 1
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids)) and len(re.findall(r'class="term" href="(?:../)?glossary.html#', text)) >= 3
    assert not re.search(r'href="(?!https)[^"]*\.md\b', text)


def test_links_of_markdown_lead_to_pages_or_to_the_repository(monkeypatch):
    monkeypatch.setattr(site, "address", lambda: "")
    inside = {"#a": "#a", "https://a.org/b": "https://a.org/b", "../reports/03_augment.html#x": "03_augment.html#x"}
    inside |= {"protocol.md#claims": "protocol.html#claims", "../docs/protocol.md": "protocol.html"}
    inside |= {"../reports/weights/README.md": "weights/index.html", "../reports/test_looks.json": "test_looks.json"}
    assert {link: pages.address(link, "lesson") for link in inside} == inside
    assert pages.address("../../docs/teaching.md", "weights/index") == "../lesson.html"
    assert pages.address("softmax.onnx", "weights/index") == "softmax.onnx"
    outside = {"../README.md#report": "README.md#report", "../reports/choices": "reports/choices", "cloud.md": "docs/cloud.md"}
    assert not any(pages.address(link, "lesson") for link in outside)
    assert "see [LICENSE](../../LICENSE)" in (ROOT / pages.MARKDOWN["weights/index"]).read_text(encoding="utf-8")
    assert "see LICENSE." in pages.text("weights/index")
    monkeypatch.setattr(site, "address", lambda: "https://example.org/me/mnist")
    assert all(pages.address(link, "lesson") == f"https://example.org/me/mnist/blob/main/{there}" for link, there in outside.items())
    assert 'see <a href="https://example.org/me/mnist/blob/main/LICENSE">LICENSE</a>.' in pages.text("weights/index")


def test_markdown_cannot_bring_a_program():
    bad = """---
front: matter
---
# A <script>alert(1)</script> title

<script>alert(2)</script>

A <img src=x onerror=alert(3)> [link](javascript:alert(4)) [other](<x"onclick="alert(5)>) <b onclick="alert(6)">bold</b>

```mermaid
</pre><script>alert(7)</script>
```

```"><script>
</code></pre><script>alert(8)</script>
```

| <script>alert(9)</script> | b |
| --- | --- |
| <iframe src="https://a.org"></iframe> | $<script>alert(10)</script>$ |
"""
    made = pages.article(bad, "lesson")
    assert "front" not in made and "alert(9)" in made and made.count("<h1") == 1
    tags = re.findall(r"<(?!/)[^>]*>", made)
    assert not {tag.strip("<>").split()[0] for tag in tags} & {"script", "img", "iframe", "b"}
    assert not any("javascript:" in tag or re.search(r"""["'\s]on\w+=""", re.sub(r'"[^"]*"', '""', tag)) for tag in tags)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Return a project whose addresses are set."""
    citation = (ROOT / "CITATION.cff").read_text() + 'repository-code: https://example.org/me/mnist\nurl: "https://me.example.org/mnist"\n'
    (tmp_path / "CITATION.cff").write_text(citation)
    (tmp_path / "notebooks").mkdir()
    for path in INSTALLING:
        (tmp_path / "notebooks" / path.name).write_text(path.read_text())
    monkeypatch.setattr(files, "root", lambda: tmp_path)
    return tmp_path


def test_an_address_is_set_in_one_place(published):
    site.write_address()
    for path in INSTALLING:
        old, new = (json.loads((folder / "notebooks" / path.name).read_text()) for folder in (ROOT, published))
        changed = [cell for cell, before in zip(new["cells"], old["cells"], strict=True) if cell != before]
        assert len(changed) == 1 and 'SOURCE = "https://example.org/me/mnist"  #' in "".join(changed[0]["source"]), path.name
    assert site.of({}).address == "https://example.org/me/mnist" and "<https://me.example.org/mnist>" in site.published()
    assert 'href="https://me.example.org/mnist"' in pages.text("references")
    assert 'href="https://example.org/me/mnist"' in index.text([], ())
    shown = site.finish('<meta property="og:type" content="article">', "")
    assert f'<meta property="og:image" content="https://me.example.org/mnist/{site.PREVIEW}">' in shown


def test_without_an_address_nothing_is_named(monkeypatch):
    monkeypatch.setattr(
        site,
        "citation",
        lambda: {
            key: value
            for key, value in yaml.safe_load((ROOT / "CITATION.cff").read_text()).items()
            if key not in ("url", "repository-code")
        },
    )
    assert site.address() == site.published() == "" and ">Repository<" not in index.text([], ())


@pytest.mark.slow
def test_a_notebook_that_stands_alone_installs_the_package(tmp_path):
    """In a fresh environment without the library, from a Git repository; its dependencies, which every test needs, are left out."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    cell = next(cell for cell in json.loads(INSTALLING[0].read_text())["cells"] if "SOURCE = " in "".join(cell["source"]))
    code = "".join(cell["source"])
    alone = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 1 and alone.stderr.strip().startswith("This kernel has no mnistlib")
    clone = tmp_path / "clone"  # with what is not committed yet
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "notebooks", *packaging.SOURCES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in tracked:
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            files.write(clone / name, (ROOT / name).read_bytes())
    (clone / "mnistlib" / "_notebooks").symlink_to("../notebooks")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=clone, check=True)
    code = re.sub(r'SOURCE = "[^"]*"', f'SOURCE = "file://{clone}"', code) + "\nimport mnistlib\nprint(mnistlib.__version__)"
    done = subprocess.run(
        [python, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "PIP_NO_DEPS": "1", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0 and done.stdout.strip() == site.citation()["version"], done.stderr
