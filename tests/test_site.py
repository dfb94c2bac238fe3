"""The pages: whole notebooks only, each file on its own, the same bytes each time; the index and README from the same results."""

from __future__ import annotations

import base64
import contextlib
import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import v4

from mnistlib import files, formatting, recipe, steps
from mnistlib.errors import ResultError
from mnistlib.published import schedulers, transforms
from mnistlib.report import dots, index, markup, overview
from mnistlib.report import page as pages
from mnistlib.report import result as schema
from mnistlib.stats import summary as evidence

SERIES = {name: f"Step {name}" for name in steps.STEPS}
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
    (
        "code",
        'tile = \'<figure><img alt="a five" src="data:image/png;base64,PNG"><figcaption>five, read as six</figcaption></figure>\'\n'
        "HTML('<div class=\"gallery\">' + tile * 20 + '</div>')",
    ),
    ("code", ""),
    ("code", "6 * 7"),
]

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def png(width: int = 640, height: int = 360) -> bytes:
    """Return a small picture: a slope on white."""
    lines = [b"\0" + bytes(90 if abs(x * height - (height - y) * width) < 3 * width else 255 for x in range(width)) for y in range(height)]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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


def executed(path: Path, cells: list[tuple[str, str]], **parameters: object) -> Path:
    """Execute a notebook through papermill, errors and all, and return the path of the outcome."""
    out = path.with_name("executed.ipynb")
    with contextlib.suppress(papermill.PapermillExecutionError):
        papermill.execute_notebook(written(path, cells), out, parameters, progress_bar=False, kernel_name="python3")
    return out


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """An executed notebook with all that a page has to show."""
    return executed(tmp_path_factory.mktemp("story") / "03_augment.ipynb", CELLS, epochs=2)


@pytest.fixture(scope="module")
def text(story) -> str:
    """The page of the executed notebook as one of a series, with its result."""
    return pages.page(story, "03_augment", SERIES, result("03_augment", [0.9951, 0.9947, 0.9938]))


def result(step: str, final: list[float], **changed: object) -> schema.Result:
    """Return a result with seeds that end at the given accuracies."""
    runs = [
        schema.Run(seed, "a1", "finished", (0.4, 0.1), (0.9, 0.98), 0.99, (0.2, 0.05), (0.97, end), (0.1, 0.0), (3.1, 3.0), "c", "b2")
        for seed, end in enumerate(final)
    ]
    mean = sum(final) / len(final)
    n_pass = sum(end >= recipe.MIN_ACCURACY for end in final)
    bounds = (mean - 0.0015, mean + 0.0013)
    summary = evidence.Summary(
        len(final), mean, 0.0004, min(final), max(final), n_pass, (0.3, 1.0), 0.4, n_pass, bounds, "seeds and writers"
    )
    about = steps.get(step)
    made = schema.Result(
        step=step, title=about.title, dataset="mnist", split="test", limit=None, n_train=60_000, n_test=10_000, model=about.recipe.model,
        n_parameters=7546, n_macs=652_000, receptive_field=25, epochs=15, recipe=about.recipe, claim=None, notes=(), runs=tuple(runs),
        summary=summary, difference=None, verdict=evidence.Verdict("kept", "kept", "reached", n_pass), claims=(),
        provenance={"started": "2026-03-04T05:06:07Z"}, keys={"data": "c3"},
    )  # fmt: skip
    return replace(made, **changed)


@pytest.fixture
def reports(tmp_path) -> Path:
    """A folder of results, three steps of the series."""
    folder = tmp_path / "reports"
    for step, final in (("00_skeleton", [0.9891, 0.9902]), ("01_capacity", [0.9931, 0.9931]), ("03_augment", [0.9946, 0.9952])):
        files.write_json(folder / "results" / f"{step}.json", schema.to_json(result(step, final)))
    (folder / "03_augment.html").write_text("a page")
    return folder


class Outline(HTMLParser):
    """Counts elements, and checks that every one that opens also closes, and that no id comes twice."""

    EMPTY = {"meta", "link", "img", "br", "hr", "input", "circle", "line", "rect"}

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


def test_a_page_needs_nothing_else(text):
    assert markup.addresses(text) == []
    loading = re.findall(r"""(?:\bsrc(?:set)?|<link[^>]*\bhref)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?https?:|@import""", text)
    assert loading == [] and "<script" not in text and "cdn" not in text.lower()
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
        "<script src='https://example.org/a.js'></script>",
    ],
)
def test_a_notebook_that_shows_something_from_elsewhere_is_refused(tmp_path, loaded):
    cell = v4.new_code_cell("show()", execution_count=1, outputs=[v4.new_output("display_data", {"text/html": loaded})])
    nbformat.write(v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    with pytest.raises(ResultError, match="a page holds all that it shows"):
        pages.build(tmp_path / "a.ipynb", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_figures_carry_the_alt_text_of_their_output_and_half_their_pixels(text):
    images = Outline(text).all("img")
    first, second = (attrs for attrs in images if "width" in attrs)
    assert first["alt"] == 'Two curves that "cross" & part.' and (first["width"], first["height"]) == ("320", "180")
    assert second["alt"] == markup.UNDESCRIBED and (second["width"], second["height"]) == ("640", "360")
    assert all(attrs.get("alt") for attrs in images) and "No description has been provided" not in text


def test_code_parameters_and_progress_are_folded(text):
    page = Outline(text)
    assert all("open" not in attrs for attrs in page.all("details"))
    assert "<summary>Parameters <code>seeds: list[int] = [0, 1]" in text
    assert "<summary>Parameters given to this run <code>epochs = 2</code></summary>" in text
    n_code = sum(kind != "md" and source != "" for kind, source in CELLS) + 1
    assert len(re.findall(r'<details class="code">', text)) == n_code == len(re.findall(r'<div class=" ?highlight', text))
    assert '<span class="kn">import</span>' in text, "code is not highlighted"
    assert text.count('<details class="log">') == 1 and "Progress of the run <small>6 lines</small>" in text
    assert "epoch 2  loss &lt;low&gt;" in text and "papermill" not in text


def test_what_a_cell_printed_is_one_log_without_overwritten_lines():
    def stream(name: str, text: str) -> nbformat.NotebookNode:
        return v4.new_output("stream", name=name, text=text)

    shown = v4.new_output("display_data", {"text/plain": "a"})
    merged = pages.merged([stream("stdout", "1 of 2\r"), shown, stream("stderr", "warned\n"), stream("stdout", "2 of 2\ndone\r\n")])
    assert [output.get("text", "shown") for output in merged] == ["2 of 2\ndone\r\n", "shown", "warned\n"]


def test_tables_scroll_in_a_box_of_their_own(text):
    assert text.count("<table") == 2 == len(re.findall(r'<div [^>]*class="scroll"[^>]*><table', text))
    assert 'aria-label="Per epoch"' in text and "<caption><span>Per epoch</span></caption>" in text
    assert '<th scope="row">one</th>' in text and '<th scope="col">epoch</th>' in text


def test_the_chrome_leads_through_the_series(text, story):
    links = [(attrs.get("rel"), attrs["href"]) for attrs in Outline(text).all("a")]
    assert (None, "index.html") in links and ("prev", "02_regularise.html") in links and ("next", "04_speed.html") in links
    contents = text[text.index('class="contents"') : text.index("<main")]
    assert [re.sub("<.*?>", "", item) for item in re.findall(r"<li>(.*?)</li>", contents)] == [
        "Target", "Training", "Curves &amp; more", "Mistakes",
    ]  # fmt: skip
    alone = pages.page(story, "04_mine", SERIES)
    assert "index.html" not in alone and 'rel="prev"' not in alone and "<dl" not in alone


def test_the_strip_says_what_the_result_says(text):
    shown = result("03_augment", [0.9951, 0.9947, 0.9938])
    strip = text[text.index('class="strip"') : text.index("</dl>")]
    assert (
        formatting.mean_sd(shown.summary.final_mean, shown.summary.final_sd) in strip
        and formatting.interval(shown.summary.interval) in strip
    )
    assert "2 of 3" in strip and "7,546" in strip and '<span class="verdict reached">reached</span>' in strip
    assert text.index("<h1") < text.index('class="strip"') < text.index('<h2 id="Target">')
    foot = text[text.index("<footer") :]
    assert "03_augment.ipynb" in foot and "MIT" in foot and "2026-03-04" in foot


def test_a_page_is_written_under_its_own_name(story, tmp_path, text):
    out = pages.build(story, tmp_path / "new" / "03_augment.html", SERIES, result("03_augment", [0.9951, 0.9947, 0.9938]))
    assert out.read_text() == text and [path.name for path in out.parent.iterdir()] == ["03_augment.html"]


def test_the_same_notebook_gives_the_same_bytes(story, tmp_path, text):
    again = nbformat.read(story, 4)
    for number, cell in enumerate(again.cells):  # what differs between two executions of the same
        cell.id = f"other-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    again.metadata.pop("papermill", None)
    nbformat.write(again, tmp_path / "again.ipynb")
    assert pages.page(tmp_path / "again.ipynb", "03_augment", SERIES, result("03_augment", [0.9951, 0.9947, 0.9938])) == text


def test_a_failed_notebook_is_refused_and_the_old_page_stays(tmp_path):
    out = tmp_path / "page.html"
    out.write_text("the page before")
    cells = [("md", "# A"), ("parameters", "n = 1"), ("md", "## Training"), ("code", "1 / 0"), ("code", "2")]
    failed = executed(tmp_path / "a.ipynb", cells)
    with pytest.raises(ResultError, match=r"executed.ipynb stopped in cell .*'Training', with ZeroDivisionError: division by zero"):
        pages.build(failed, out)
    assert out.read_text() == "the page before" and sorted(path.name for path in tmp_path.glob(".*")) == []


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
    page = Outline(text)
    assert page.wrong == [] and len(page.all("h1")) == 1 and markup.addresses(text) == []
    assert [attrs["href"] for attrs in page.all("a")] == ["#main", "03_augment.html"]
    table = re.findall(r"<tr>.*?</tr>", text[text.index("<tbody>") : text.index("</tbody>")], re.DOTALL)
    assert len(table) == 3
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", table[2])]
    assert cells[1:7] == ["99.49 ± 0.04%", "99.34 to 99.62%", "99.46%", "2 of 2", "2 of 2", "reached"]
    assert cells[7:] == ["7,546", "0.65 M", "25 px", "6.1 s"]
    assert len(page.all("circle")) == 6 and index.build(reports).read_text() == text


def test_the_templates_hold_no_digit_of_their_own():
    for path in (pages.FOLDER / "template").glob("*.j2"):
        words = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|&\w+;", " ", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\d", words), f"{path.name} types a number"


def test_an_offline_sample_says_so_and_no_results_are_no_failure(reports):
    sample = result("00_skeleton", [0.93], dataset="digits", verdict=None, notes=("An offline sample, not MNIST.",))
    files.write_json(reports / "results" / "00_skeleton.json", schema.to_json(sample))
    assert '<p class="banner">An offline sample, not MNIST.</p>' in index.build(reports).read_text()
    assert "An offline sample, not MNIST." in index.block(index.load(reports)) and "| none |" in index.block(index.load(reports))
    by_image = replace(sample, summary=replace(sample.summary, interval_by="seeds and images"))
    for text in (index.page([by_image], ()), index.block([by_image])):
        assert "seeds and images" in text and "writers are drawn" not in text and "seeds and writers" not in text
    assert "from resampling seeds and writers" in index.page([sample], ()) and "writers are drawn" in index.page([sample], ())
    assert "no results yet" in index.page([], ()) and "no results yet" in index.block([])


def test_the_figure_places_every_seed_on_one_scale(reports):
    found = index.load(reports)
    drawing = ElementTree.fromstring(dots.file(found))
    name = "{http://www.w3.org/2000/svg}"
    circles = [float(circle.get("cx")) for circle in drawing.iter(f"{name}circle")]
    values = [run.test_accuracy[-1] for entry in found for run in sorted(entry.runs, key=lambda run: run.test_accuracy[-1])]
    target = next(float(line.get("x1")) for line in drawing.iter(f"{name}line") if line.get("class") == "target")
    scale = (circles[-1] - circles[0]) / (values[-1] - values[0])
    assert scale > 0 and target == pytest.approx(circles[0] + scale * (recipe.MIN_ACCURACY - values[0]), abs=0.3)
    assert circles == pytest.approx([circles[0] + scale * (value - values[0]) for value in values], abs=0.3)
    assert drawing.get("aria-label") == dots.alt(found) and "03_augment 99.49 ± 0.04%" in dots.alt(found)
    heights = [float(circle.get("cy")) for circle in drawing.iter(f"{name}circle")]
    assert heights[2] != heights[3], "two seeds at one accuracy hide each other"


def test_readme_gets_its_table_and_image_between_the_marks(reports, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    index.build_readme(reports, readme, tmp_path / "images")
    text = readme.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n![Accuracy") and text.endswith(f"{END}\n\nThe end.\n") and "old" not in text
    assert "| [03_augment](reports/03_augment.html) | " in text and "(images/steps.svg)" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    ElementTree.parse(tmp_path / "images" / index.IMAGE)
    index.build_readme(reports, readme, tmp_path / "images")
    assert readme.read_text() == text
    for broken in ("no marks", f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}"):
        readme.write_text(broken)
        with pytest.raises(ResultError, match="needs one"):
            index.build_readme(reports, readme, tmp_path / "images")


def test_changes_are_read_off_the_recipes():
    skeleton = recipe.Recipe(model="skeleton")
    warped = replace(skeleton, augment=recipe.Augment(rotate=7.0, shift=1.0))
    assert overview.change(skeleton, None) == "the starting point" and overview.change(skeleton, skeleton) == "nothing"
    assert overview.change(replace(skeleton, label_smoothing=0.05), skeleton) == "label smoothing 0.05 (was 0)"
    assert overview.change(warped, skeleton) == "augment: rotate 7, shift 1" and overview.change(skeleton, warped) == "no augment"
    assert overview.change(replace(warped, augment=recipe.Augment(rotate=9.0, shift=1.0)), warped) == "augment: rotate 9"
    cycled = replace(skeleton, schedule=schedulers.OneCycle(rise=0.2))
    assert overview.change(cycled, skeleton) == "schedule: one cycle, rise 0.2"
    assert overview.change(skeleton, cycled) == "schedule: defaults"
    assert overview.change(replace(cycled, schedule=schedulers.OneCycle(rise=0.4)), cycled) == "schedule: rise 0.4"
    turned = replace(skeleton, augment=(transforms.Rotation(degrees=7), transforms.ResizedCrop()))
    assert overview.change(turned, skeleton) == "augment: rotation, then resized crop" and overview.change(skeleton, turned) == "no augment"
    assert overview.change(warped, turned) == "augment: rotate 7, shift 1"
    steered = replace(skeleton, steering=recipe.Steering(by="validation", stop_at=0.99))
    assert overview.change(steered, skeleton) == "steering: by validation, stop at 0.99"
    assert overview.change(skeleton, steered) == "no steering"
    assert overview.badges(None) == ()
    broken = overview.badges(evidence.Verdict("broken", "kept", "missed", 0))
    assert [badge.text for badge in broken] == ["missed", "parameters broken"]


def test_passing_and_held_are_counts_of_their_own():
    made = result("03_augment", [0.9951, 0.9947, 0.9938])
    row = overview.row(replace(made, summary=replace(made.summary, n_held=1)))
    assert (row.passing, row.held) == ("2 of 3", "1 of 3")
