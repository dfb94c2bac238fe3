"""The pages: whole notebooks only, each file on its own, the same bytes each time; the index and README from the same results."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import papermill
import pytest
from example_results import result
from nbformat import v4
from PIL import Image

from cloud.job import Job, Record
from cloud.sweep import page as sweep_page
from cloud.sweep.ray_sweep import Sweep
from mnistlib import files, formatting, steps
from mnistlib.errors import ResultError
from mnistlib.report import markup
from mnistlib.report import page as pages
from mnistlib.report import result as results
from mnistlib.stats import comparison, intervals
from website import figures, index

SITE = pages.Site(
    {name: f"Step {name}" for name in steps.STEPS},
    pages={"index": "Overview", "glossary": "Glossary"},
    downloads={"result (JSON)": "results/03_augment.json"},
    address="https://example.org/repository",
)
CELLS = [
    ("md", "# Augmentation\n\nEvery epoch sees **other** digits."),
    ("parameters", "seeds: list[int] = [0, 1]  # one run each\nepochs: int | None = None  # None: the recipe's"),
    ("code", "import base64\nfrom IPython.display import HTML, Image, Markdown, display"),
    ("md", "## Target\n\nSee the [paper](https://example.org/paper).\n\n```\n# not a heading\n```"),
    ("code", "display(Markdown('| step | accuracy |\\n| --- | --- |\\n| `00_skeleton` | low |'))"),
    ("md", "## Training"),
    ("code", "for seed in seeds:\n    for epoch in range(3):\n        print(f'seed {seed}  epoch {epoch}  loss <low>', flush=True)"),
    ("md", "## Curves & more\n\n### A detail"),
    ("code", "picture = base64.b64decode('PNG')\nImage(picture, format='png', alt='Two curves that \"cross\" & part.', width=320)"),
    ("code", "display(Image(picture, format='png'))"),
    (
        "code",
        'HTML(\'<details class="data"><summary>The data as a table</summary><table class="figures"><caption>Per epoch</caption>\'\n'
        "     '<thead><tr><th>epoch</th>' + '<th>accuracy of a seed</th>' * 12 + '</tr></thead><tbody><tr><th>one</th>'\n"
        "     + '<td>99.41%</td>' * 12 + '</tr></tbody></table></details>')",
    ),
    ("md", "## Mistakes"),
    ("code", ""),
    ("code", "6 * 7"),
]

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def png(width: int = 640, height: int = 360) -> bytes:
    """Return a small picture."""
    content = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).save(content, "PNG")
    return content.getvalue()


def written(path: Path, cells: list[tuple[str, str]]) -> Path:
    """Write a notebook that has not been executed."""
    picture = base64.b64encode(png()).decode()
    made = []
    for kind, source in cells:
        source = source.replace("PNG'", f"{picture}'").replace('PNG"', f'{picture}"')
        tags = {"tags": ["parameters"]} if kind == "parameters" else {}
        made.append(v4.new_markdown_cell(source) if kind == "md" else v4.new_code_cell(source, metadata=tags))
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(v4.new_notebook(cells=made, metadata=about), path)
    return path


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """An executed notebook with all that a page has to show."""
    path = tmp_path_factory.mktemp("story") / "03_augment.ipynb"
    papermill.execute_notebook(written(path, CELLS), path, {"epochs": 2}, progress_bar=False, kernel_name="python3")
    return path


@pytest.fixture(scope="module")
def text(story) -> str:
    """The page of the executed notebook as one of a series, with its result."""
    return pages.page(story, "03_augment", SITE, result(), log_tail=["epoch 2 <done>", "page"])


@pytest.fixture
def reports(tmp_path) -> Path:
    """A folder of results, three steps of the series."""
    folder = tmp_path / "reports"
    for step, n_wrong in (("00_skeleton", (9, 8)), ("01_capacity", (7, 7)), ("03_augment", (5, 4))):
        files.write(folder / "results" / f"{step}.json", files.to_text(results.to_json(result(step, n_wrong))))
    (folder / "03_augment.html").write_text("a page")
    return folder


class Outline(HTMLParser):
    """Counts elements, and checks that every one that opens also closes, and that no id comes twice."""

    EMPTY = {"meta", "link", "img", "br", "hr", "input"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.wrong = [], [], [], []
        self.feed(page)
        self.wrong += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_a_page_is_well_formed_and_accessible(text):
    page = Outline(text)
    assert page.wrong == [] and len(page.ids) == len(set(page.ids))
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1 and len(page.all("main")) == 1
    assert page.all("a")[0] == {"class": "skip", "href": "#main"} and "main" in page.ids
    assert all("scope" in attrs for attrs in page.all("th")) and all("aria-label" in attrs for attrs in page.all("nav"))
    inside = [attrs["href"][1:] for attrs in page.all("a") if attrs["href"].startswith("#")]
    assert inside and set(inside) <= set(page.ids), "a link within the page leads nowhere"
    assert "<title>Augmentation</title>" in text
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_a_page_needs_nothing_else(text):
    assert markup.addresses(text) == ["<script>"], "the page's own program, and no other"
    loading = re.findall(r"""(?:\bsrc(?:set)?|<link[^>]*\bhref)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?https?:|@import""", text)
    assert loading == [] and re.findall(r"<script>.*?</script>", text, re.DOTALL) == [f"<script>{pages.SCRIPT}</script>"]
    assert text.count("<script") == 1 and "cdn" not in text.lower()
    policy = re.search(r"script-src '(sha256-[^']+)'", text)[1]
    assert policy == "sha256-" + base64.b64encode(hashlib.sha256(pages.SCRIPT.encode()).digest()).decode()
    assert 'href="https://example.org/paper"' in text, "a link to a named source stays"
    assert len(text) < 100_000 and len(pages.style()) < 16_000


@pytest.mark.parametrize(
    "loaded",
    [
        "<img src='https://example.org/a.png' alt='a'>",
        "<img src='a.png' alt='beside the page'>",
        "<img alt='a' src='data:,' srcset='//example.org/a.png 2x'>",
        "<style>@import 'https://example.org/a.css'</style>",
        "<p style='background: url(https://example.org/a.png)'>a</p>",
        "<link rel='stylesheet' href='https://example.org/a.css'>",
        "<svg><use href='https://example.org/a.svg#b'/></svg>",
        "<script>document.location = 'https://example.org'</script>",
        '<meta http-equiv="refresh" content="0; url=https://example.org">',
        '<META HTTP-EQUIV="Refresh" CONTENT="0">',
        '<base href="https://example.org/">',
        "<iframe srcdoc='a'></iframe>",
    ],
)
def test_what_loads_something_or_leaves_the_page_is_refused_in_outputs_and_in_markdown(tmp_path, loaded):
    shown = v4.new_code_cell("show()", execution_count=1, outputs=[v4.new_output("display_data", {"text/html": loaded})])
    for cell in (shown, v4.new_markdown_cell(f"# A\n\n{loaded}")):
        nbformat.write(v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
        with pytest.raises(ResultError, match="would load"):
            pages.build(tmp_path / "a.ipynb", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_figures_carry_the_alt_text_of_their_output_and_half_their_pixels(text):
    images = Outline(text).all("img")
    first, second = (attrs for attrs in images if "width" in attrs)
    assert first["alt"] == 'Two curves that "cross" & part.' and (first["width"], first["height"]) == ("320", "180")
    assert second["alt"] == markup.UNDESCRIBED and (second["width"], second["height"]) == ("640", "360")
    assert all(attrs.get("alt") for attrs in images) and "No description has been provided" not in text


def test_what_was_learned_stands_above_all_else(story, tmp_path):
    claims = (
        comparison.Claim("It is <more> accurate.", "supported", "+9.3 images (other writers: +2.2 to +16.5; other seeds: +6.6 to +12.1)"),
        comparison.Claim(
            "The gap is smaller.", "inconclusive", "0.1 points (difference −0.1 to +0.1 points) and 0.2 points in 00_skeleton"
        ),
    )
    notebook = nbformat.read(story, 4)
    target = next(cell for cell in notebook.cells if cell.source.startswith("## Target"))
    target.source += "\n\n**Hypothesis:** warps help, *always*.\nOr not.\n\nMore."
    nbformat.write(notebook, tmp_path / story.name)
    shown = pages.page(tmp_path / story.name, "03_augment", SITE, replace(result(), claims=claims))
    box = shown.split('<section class="learned">')[1].split("</section>")[0]
    assert shown.index("<h1") < shown.index('class="learned"') < shown.index('class="strip"')
    assert "warps help, always.\nOr not.</p>" in box and "It is &lt;more&gt; accurate." in box and box.count("<li>") == 2
    assert "(other writers: +2.2 to +16.5)</span>" in box and "(difference −0.1 to +0.1 points)</span>" in box
    assert 'class="learned"' not in pages.page(story, "03_augment", SITE, replace(result(), claims=()))


def test_code_parameters_and_progress_are_folded(text):
    page = Outline(text)
    assert all("open" not in attrs for attrs in page.all("details"))
    assert "<summary>Settings <code>seeds: list[int] = [0, 1]" in text
    assert "<summary>Settings given to this run <code>epochs = 2</code></summary>" in text
    n_code = sum(kind != "md" and source != "" for kind, source in CELLS) + 1
    assert len(re.findall(r'<details class="code">', text)) == n_code == len(re.findall(r'<div class=" ?highlight', text))
    assert '<span class="kn">import</span>' in text, "code is not highlighted"
    made = text.index("How this page was made")
    assert text.index('<h2 id="Mistakes">') < made < text.index("<summary>Settings <code>") < text.index("import base64")
    assert text.count('<details class="log">') == 2 and "Progress of the run <small>6 lines</small>" in text
    assert "epoch 2  loss &lt;low&gt;" in text and "papermill" not in text


def test_the_end_of_the_log_stands_at_the_end_escaped(text, story):
    log = text[text.rindex('<details class="log">') : text.index("</main>")]
    assert '<pre tabindex="0">epoch 2 &lt;done&gt;\npage</pre>' in log and log.count("<details") == 1
    assert pages.page(story, "03_augment").count('<details class="log">') == 1


def test_what_a_cell_printed_is_one_log_without_overwritten_lines(tmp_path):
    printed = [v4.new_output("stream", name="stdout", text=text) for text in ("1 of 2\r", "2 of 2\ndone\r\n")]
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("n", execution_count=1, outputs=printed)]), tmp_path / "a.ipynb")
    text = pages.page(tmp_path / "a.ipynb", "a")
    assert text.count("<pre tabindex") == 1 and "2 of 2\ndone" in text and "1 of 2" not in text


def test_tables_scroll_in_a_box_of_their_own(text):
    assert text.count("<table") == 2 == len(re.findall(r'<div [^>]*class="scroll(?: wide)?"[^>]*><table', text))
    assert 'aria-label="Per epoch"' in text and "<caption><span>Per epoch</span></caption>" in text
    assert '<th scope="row">one</th>' in text and '<th scope="col">epoch</th>' in text


def test_two_tables_of_one_caption_are_two_regions():
    table = "<table><caption>Layers</caption><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>"
    assert re.findall('aria-label="([^"]*)"', markup.dress(f"<h1>A</h1>{table}{table}")) == ["Layers", "Layers, 2"]


def test_the_chrome_leads_through_the_series(text, story, tmp_path):
    links = [(attrs.get("rel"), attrs["href"]) for attrs in Outline(text).all("a")]
    assert (None, "index.html") in links and ("prev", "02b_anneal.html") in links
    contents = text[text.index('class="contents"') : text.index("<main")]
    assert [re.sub("<.*?>", "", item) for item in re.findall(r"<li>(.*?)</li>", contents)] == [
        "Target", "Training", "Curves &amp; more", "Mistakes",
    ]  # fmt: skip
    assert (None, "glossary.html") in links and [attrs["href"] for attrs in Outline(text).all("a") if "download" in attrs] == [
        "results/03_augment.json"
    ]
    about = [attrs["content"] for attrs in Outline(text).all("meta") if attrs.get("property") == "og:description"]
    assert about == ["Every epoch sees other digits."]
    notebook = nbformat.read(story, 4)
    notebook.cells[0].source += "\n\nSee [luck](luck.html) and [a paper](https://example.org/a.html)."
    nbformat.write(notebook, tmp_path / story.name)
    assert '<a href="luck.html">luck</a>' in pages.page(tmp_path / story.name, "03_augment", SITE)
    alone = pages.page(tmp_path / story.name, "04_mine", SITE)
    assert "See luck and" in alone and '<a href="https://example.org/a.html">a paper</a>' in alone
    assert all(words not in alone for words in ("index.html", "glossary.html", 'rel="prev"', "<dl", "download="))


def test_the_strip_says_what_the_result_says(text):
    shown = result()
    strip = text[text.index('class="strip"') : text.index("</dl>")]
    assert (
        formatting.mean_sd(shown.summary.final_mean, shown.summary.final_sd) in strip
        and formatting.interval(shown.summary.interval) in strip
    )
    assert "2 of 3" in strip and "7,706" in strip and '<span class="verdict fair">at or above</span>' in strip
    assert '<span class="verdict bad">not held</span>' in strip and strip.count('<span class="verdict good">within</span>') == 2
    assert text.index("<h1") < text.index('class="strip"') < text.index('<h2 id="Target">')
    foot = text[text.index("<footer") :]
    assert "03_augment.ipynb" in foot and "MIT" in foot and "2026-03-04" in foot


def test_a_page_is_written_under_its_own_name(story, tmp_path, text):
    out = pages.build(story, tmp_path / "new" / "03_augment.html", SITE, result(), log_tail=["epoch 2 <done>", "page"])
    assert out.read_text() == text and [path.name for path in out.parent.iterdir()] == ["03_augment.html"]


def test_the_same_notebook_gives_the_same_bytes(story, tmp_path, text):
    again = nbformat.read(story, 4)
    for number, cell in enumerate(again.cells):  # what differs between two executions of the same
        cell.id = f"other-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    again.metadata.pop("papermill", None)
    nbformat.write(again, tmp_path / "again.ipynb")
    assert pages.page(tmp_path / "again.ipynb", "03_augment", SITE, result(), log_tail=["epoch 2 <done>", "page"]) == text


def test_a_failed_notebook_is_refused_and_the_old_page_stays(tmp_path):
    out = tmp_path / "page.html"
    out.write_text("the page before")
    error = v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])
    cells = [v4.new_markdown_cell("# A\n\n## Training"), v4.new_code_cell("1 / 0", execution_count=1, outputs=[error])]
    failed = tmp_path / "failed.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), failed)
    with pytest.raises(ResultError, match=r"failed.ipynb.*'Training'.*ZeroDivisionError: division by zero"):
        pages.build(failed, out)
    assert out.read_text() == "the page before" and sorted(path.name for path in tmp_path.glob(".*")) == []
    shown = pages.page(failed, "failed", failed="It broke <off>.")
    assert '<p class="banner">This run failed: It broke &lt;off&gt;.</p>' in shown and markup.addresses(shown) == ["<script>"]


def test_a_notebook_that_is_not_whole_is_refused(tmp_path, story):
    def refused(reason: str, change) -> None:
        made = nbformat.read(story, 4)
        change(made, [cell for cell in made.cells if cell.cell_type == "code" and cell.source])
        nbformat.write(made, tmp_path / "a.ipynb")
        with pytest.raises(ResultError, match=reason):
            pages.read(tmp_path / "a.ipynb")

    refused("not wholly executed.*'Mistakes'", lambda made, code: code[-1].update(execution_count=None))
    refused("not wholly executed", lambda made, code: code[-1].metadata.papermill.update(status="running"))
    refused("not executed in order", lambda made, code: code[-1].update(execution_count=1))
    with pytest.raises(ResultError, match="not wholly executed"):
        pages.read(written(tmp_path / "raw.ipynb", CELLS))
    (tmp_path / "broken.ipynb").write_text('{"cells": [')
    for name in ("broken.ipynb", "missing.ipynb"):
        with pytest.raises(ResultError, match=name):
            pages.read(tmp_path / name)


def test_a_page_without_a_title_takes_its_name_and_one_with_two_keeps_the_first(tmp_path):
    def of(*markdown: str) -> str:
        nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell(text) for text in markdown]), tmp_path / "a.ipynb")
        return pages.page(tmp_path / "a.ipynb", "my_notebook")

    assert "<h1>my_notebook</h1>" in of("Words.") and "<title>my_notebook</title>" in of("Words.")
    two = of("```\n# no heading\n```\n\n# One", "# Two")
    assert re.findall(r"<(h\d)", two) == ["h1", "h2"] and "<title>One</title>" in two


def test_the_index_shows_every_result_and_links_to_the_pages_there_are(reports):
    text = index.build(reports).read_text()
    head, *lines = [line.split(",") for line in (reports / "epochs.csv").read_text().splitlines()]
    assert {len(line) for line in lines} == {len(head)} and {line[0] for line in lines} == {"00_skeleton", "01_capacity", "03_augment"}
    last = [float(line[head.index("eval_accuracy")]) for line in lines if line[0] == "03_augment" and line[head.index("epoch")] == "3"]
    finals = [run.final for run in results.read(reports / "results" / "03_augment.json").runs]
    assert last == pytest.approx(finals) and len(lines) == 3 * 2 * 3
    page = Outline(text)
    assert page.wrong == [] and len(page.all("h1")) == 1 and markup.addresses(text) == ["<script>"]
    to_results = [attrs["href"] for attrs in page.all("a") if attrs["href"] in ("00_skeleton.html", "03_augment.html", "epochs.csv")]
    assert to_results == ["03_augment.html", "epochs.csv", "03_augment.html"]
    table = re.findall(r"<tr>.*?</tr>", text[text.index("<tbody>") : text.index("</tbody>")], re.DOTALL)
    assert len(table) == 3
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", table[2])]
    assert [cells[1], cells[2], *cells[4:7]] == ["", "99.55% (seed sd 0.07)", "2 of 2", "0 of 2", "at or above not held"]
    assert cells[7:] == ["7,706", "0.43 M", "3.8 s"]
    alt = figures.steps(index.load(reports), index.near_target(index.load(reports))).alt
    assert [drawn["aria-label"] for drawn in page.all("svg")] == [alt] and "01_capacity 99.30%" in alt
    assert index.build(reports).read_text() == text
    assert "no results" in index.text([], ()) and "no results" in index.block([])
    assert "| none |" in index.block([result(verdict=False)])


def test_the_templates_hold_no_digit_of_their_own():
    for path in (pages.FOLDER / "template").glob("*.j2"):
        words = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|&\w+;", " ", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\d", words), f"{path.name} types a number"


ANSWER = "<!-- answer:begin -->\nold\n<!-- answer:end -->\n<!-- address:begin --><!-- address:end -->"


def test_readme_gets_its_first_paragraph_table_and_image_between_the_marks(reports, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{ANSWER}\n\n{BEGIN}\nstale\n{END}\n\nThe end.\n")
    index.build_readme(reports, readme, tmp_path / "images")
    text = readme.read_text()
    assert text.startswith("# Title\n\n<!-- answer:begin -->\nThere are no results of the whole series yet.\n<!-- answer:end -->\n")
    assert f"\n{BEGIN}\n![Accuracy" in text and text.endswith(f"{END}\n\nThe end.\n") and "stale" not in text
    assert "| [03_augment](reports/03_augment.html) | " in text and "(images/steps.png)" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert Image.open(tmp_path / "images" / index.IMAGE).width == 1280
    index.build_readme(reports, readme, tmp_path / "images")
    assert readme.read_text() == text
    for broken in ("no marks", f"{ANSWER}{END}{BEGIN}", f"{ANSWER}{BEGIN}{END}{BEGIN}", f"{BEGIN}{END}"):
        readme.write_text(broken)
        with pytest.raises(ResultError, match="must hold"):
            index.build_readme(reports, readme, tmp_path / "images")


def test_the_answer_counts_from_the_floor_to_the_finished_recipe(reports, monkeypatch):
    monkeypatch.setitem(steps.ABLATIONS, "no_norm", replace(steps.ABLATIONS["softmax"], name="no_norm"))
    floor, skeleton, top = result("softmax", (70, 74)), result("00_skeleton", (20, 18)), result(index.HEADLINE, (5, 7))
    said = " ".join(index.answer([floor, skeleton, top]))
    assert all(words in said for words in ("92.80%", "99.40%", "12 times fewer errors", "mean of 2 seeds"))
    effect = intervals.Effect(0.001, (0.0004, 0.002), 0.001, 5, 1e-7)
    outcomes = ((skeleton, "supported"), (top, "inconclusive"))
    judged = [
        replace(one, claims=(comparison.Claim("It is more accurate than softmax.", outcome, "", effect),)) for one, outcome in outcomes
    ]
    worked, open_ = (index.WORDS[one.step] for one in (skeleton, top))
    assert index.answer([floor, *judged])[1].endswith(f"What worked: {worked}. Inconclusive: {open_}.")
    assert set(index.WORDS) <= set(steps.STEPS)
    low = replace(top, verdict=replace(top.verdict, accuracy="below"))
    assert "is below that" in index.answer([floor, skeleton, low])[1] and "it is not certain" in said
    held, left = (replace(top, verdict=replace(top.verdict, held=word)) for word in ("held", "not held"))
    assert "but not" not in index.answer([floor, held])[1] and "but not in each of them" in index.answer([floor, left])[1]
    assert index.answer([floor]) == index.answer([]) == ("There are no results of the whole series yet.", "")
    files.write(reports / "results" / "softmax.json", files.to_text(results.to_json(floor)))
    files.write(reports / "results" / "no_norm.json", files.to_text(results.to_json(result("no_norm"))))
    assert [one.step for one in index.load(reports)][0] == "softmax" and "no_norm" not in [one.step for one in index.load(reports)]
    assert '<a href="00_skeleton.html">' in index.text([floor], {"00_skeleton"})  # an ablation is in the report that it stands beside


def test_the_picture_of_the_differences_says_what_it_leaves_out_and_what_is_compared_with_the_same_step():
    made = [result("softmax", (70, 74)), *(result(name, (20, 18)) for name in ("00_skeleton", "03_augment", "04_frontier", "05_fast"))]
    apart = comparison.Difference("03_augment", intervals.Effect(0.001, (0.0004, 0.002), 0.001, 5, 1e-7), None)
    assert index.beside_the_picture(made[:3]) == "Skeleton is not drawn: its difference from softmax regression is +530 images."
    pair = [replace(one, difference=apart) for one in made[3:]]
    assert index.beside_the_picture([*made[:3], *pair]).endswith(" Frontier and Fast are compared with Augmentation.")
    assert "compared" not in index.beside_the_picture([*made[:3], pair[0]]) and index.beside_the_picture([]) == ""


def test_a_row_says_what_the_step_won_and_how_sure_that_is():
    effect = intervals.Effect(0.00123, (0.0004, 0.002), 0.001, 5, 1e-7)
    won = replace(result("01_capacity"), claims=(comparison.Claim("It is more accurate.", "supported", "", effect),))
    ((_, cells),) = index.rows([won])
    assert cells["Won, images of 10,000"].text == "+12.3 (+4.0 to +20.0) supported"
    assert index.rows([result("01_capacity")])[0][1]["Won, images of 10,000"].text == ""


def test_a_sweep_shows_every_job_and_draws_those_that_have_a_result(tmp_path):
    parameters = [{"overrides": {"optimizer.lr": lr}, "seeds": [0, 1, 2]} for lr in (0.05, 0.1, 0.2)]
    jobs = tuple(Job(tmp_path / "03_augment.ipynb", given, f"{k}" * 20) for k, given in enumerate(parameters))
    files.write(tmp_path / jobs[0].name / "results" / "03_augment.json", files.to_text(results.to_json(result())))
    files.write(tmp_path / jobs[0].name / "03_augment.html", "a page")
    ended = [Record(job.key, job.notebook.name, {}, status, reason, 75.0) for job, status, reason in zip(
        jobs, ("succeeded", "failed"), ("", "It broke <off>."), strict=False
    )]  # fmt: skip
    text = sweep_page.build(Sweep(tmp_path, jobs, (*ended, None))).read_text()
    page = Outline(text)
    assert page.wrong == [] and markup.addresses(text) == [] and f"{jobs[0].name}/03_augment.html" in text
    table = re.findall(r"<tr>.*?</tr>", text[text.index("<tbody>") : text.index("</tbody>")], re.DOTALL)
    cells = [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row)] for row in table]
    assert cells[0] == [
        "0.05",
        "99.43% (seed sd 0.21)",
        formatting.interval(result().summary.interval),
        "2 of 3",
        "1 min 15 s",
        "succeeded",
    ]
    assert cells[1:] == [["0.1", "", "", "", "1 min 15 s", "failed"], ["0.2", "", "", "", "", "not run"]]
    [figure] = page.all("svg")
    assert "row per job" in figure["aria-label"] and "optimizer.lr 0.05 99.43% (seed sd 0.21)" in figure["aria-label"]
    assert "It broke &lt;off&gt;." in text and "seeds 0, 1, 2" in text and "1 of 3" in text
