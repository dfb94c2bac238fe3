"""The page to draw on, in a real browser: the nets' arithmetic, drawing by mouse, finger and keyboard, and what must not disturb it."""

import json
from pathlib import Path

import browser
import numpy as np
import pytest
import torch
from screenshots import RECORD, SEVEN, draw
from torch import nn

from mnistlib import data, files, models, steps
from mnistlib.train import logits
from website.drawing import export, page

PAGE = files.root() / "reports" / "draw.html"
PEN = """strokes => {
    const paper = document.getElementById("paper"), box = paper.getBoundingClientRect();
    const send = (kind, [x, y]) => paper.dispatchEvent(new PointerEvent(kind, {
        pointerId: 7, pointerType: "pen", pressure: 0.4, bubbles: true, cancelable: true,
        clientX: box.left + box.width * x, clientY: box.top + box.height * y,
    }));
    for (const stroke of strokes) stroke.forEach((point, k) => {
        send(k ? "pointermove" : "pointerdown", point);
        if (k === stroke.length - 1) send("pointerup", point);
    });
}"""


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    """Return a running browser."""
    with browser.opened(browser.chromium(tmp_path_factory.getbasetemp().parent)) as started:
        yield started


@pytest.fixture
def tab(chrome):
    """Return the page in a tab that can be touched, which does nothing that it should not."""
    context = chrome.new_context(viewport={"width": 1_000, "height": 900}, has_touch=True)
    made = context.new_page()
    wrong = browser.watched(made)
    made.goto(PAGE.as_uri())
    yield made
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def committed() -> dict[str, tuple]:
    """Return result and net of every step on the page."""
    return {name: page.load(files.root() / "reports", name) for name in page.NETS}


def in_browser(tab, nets: list[nn.Module], images: np.ndarray, tmp_path: Path) -> np.ndarray:
    """Return the logits that a page with the program of the committed one computes, float64 [n_nets, n_images, 10]."""
    check = tmp_path / "check.html"
    check.write_text(f"<!doctype html><title>Check</title><script>{page.read('net.js')}</script>")
    tab.goto(check.as_uri())
    given = {"nets": [export.net(net) for net in nets], "images": export.pixels(images), "mean": data.MEAN, "sd": data.SD}
    program = """given => {
        const images = decode(given.images);
        return given.nets.map(each => {
            const net = load(each, given.mean, given.sd);
            return Array.from({length: images.length / 784}, (_, k) => run(net, images.subarray(784 * k, 784 * (k + 1))).logits);
        });
    }"""
    return np.array(tab.evaluate(program, given))


def test_logits_are_those_of_torch(tab, committed, mnist, tmp_path):
    torch.manual_seed(0)
    recurrent = models.build("mnistlib.separable:recurrent")
    for _ in range(3):  # batch normalization has statistics that are not the first ones
        recurrent(torch.randn(64, 1, 28, 28))
    tiny = models.build("selection.nets:tiny")
    nets = [recurrent.eval(), tiny.eval(), models.build("selection.nets:strided").eval(), *(net for _, net in committed.values())]
    part = mnist.eval.subset(np.arange(1_000))
    made = in_browser(tab, nets, part.images.numpy(), tmp_path)
    for net, ours in zip(nets, made, strict=True):
        assert np.abs(ours - logits(net, part).numpy()).max() < 1e-4


@pytest.mark.slow
@pytest.mark.long
def test_the_accuracy_of_each_net_is_that_of_its_report(tab, committed, mnist, tmp_path):
    made = in_browser(tab, [net for _, net in committed.values()], mnist.eval.images.numpy(), tmp_path)
    for (found, _), ours in zip(committed.values(), made, strict=True):
        run = next(run for run in found.runs if run.seed == page.SEED)
        assert (ours.argmax(1) == mnist.eval.labels.numpy()).mean() == pytest.approx(run.final, abs=1e-12)


def test_a_layer_that_the_browser_does_not_have_is_refused():
    strange = [nn.GELU(), nn.Conv2d(1, 1, 3, dilation=2), nn.Conv2d(1, 1, (3, 1)), nn.MaxPool2d(3, 2), nn.Linear(4, 4, bias=False)]
    for layer in strange:
        with pytest.raises(ValueError, match=f"no layer for {type(layer).__name__}"):
            export.net(nn.Sequential(layer))


def test_the_committed_page_is_what_the_command_writes():
    assert page.text(files.root() / "reports") == PAGE.read_text(encoding="utf-8")


def test_the_page_is_light_and_soon_ready(tab):
    assert PAGE.stat().st_size < 300_000 and int(tab.evaluate("document.documentElement.dataset.ready")) < 1_000


def test_a_pen_draws_too_and_the_arrow_keys_choose_the_net(tab):
    tab.evaluate(PEN, SEVEN)
    assert seen(tab) == ["7"] * 3
    tab.locator("input[name=net]:checked").focus()
    tab.keyboard.press("ArrowUp")
    assert tab.locator("#inside").text_content() == steps.get(page.NETS[-2]).title


def test_its_weight_and_the_time_until_it_is_ready_are_on_record():
    record = json.loads((files.root() / "images" / RECORD).read_text(encoding="utf-8"))
    assert abs(record["bytes"] - PAGE.stat().st_size) < 2_000 and 0 < record["ready_milliseconds"] < 1_000 and record["cpu"]


def seen(tab) -> list[str]:
    """Return the digit that each net sees."""
    settle(tab)
    return tab.locator(".nets .digit").all_text_contents()


def settle(tab) -> None:
    """Wait until the page has shown what it knows."""
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_seven_is_recognised_taken_back_and_cleared(tab):
    assert "Draw a digit" in tab.locator("#said").text_content() and seen(tab) == ["–"] * 3
    draw(tab, SEVEN)
    assert seen(tab) == ["7"] * 3
    tab.locator("#said", has_text="All nets see a 7.").wait_for()
    seven = np.array(tab.evaluate("Array.from(pixelsNow())"), float).reshape(28, 28)
    rows, columns = (np.flatnonzero(seven.sum(side) > 60) for side in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)  # the box
    assert all(abs((seven.sum(side) @ np.arange(28)) / seven.sum() - 14) < 0.5 for side in (0, 1))  # the centre of mass
    assert tab.locator("#bar-7").get_attribute("class") == "best"
    tab.locator("#places-note", has_text="falls by").or_(tab.locator("#places-note", has_text="decides")).wait_for()
    draw(tab, [[(0.4, 0.55), (0.7, 0.55)]])
    tab.click("#undo")
    assert seen(tab) == ["7"] * 3
    tab.click("#clear")
    assert seen(tab) == ["–"] * 3


def test_the_inside_is_that_of_the_net_that_was_chosen(tab):
    draw(tab, SEVEN)
    settle(tab)
    captions = tab.locator("#maps figcaption")
    assert captions.all_text_contents()[0] == "Layer 1: 16 maps of 12×12" and captions.count() == 3
    tab.check("input[name=net][value='0']")
    settle(tab)
    assert captions.count() == 0 and tab.locator("#no-maps").is_visible() and tab.locator("#inside").text_content() == "Softmax regression"


def test_a_finger_draws(tab):
    box = tab.locator("#paper").bounding_box()
    points = [(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * y) for y in np.linspace(0.2, 0.8, 9)]
    session = tab.context.new_cdp_session(tab)
    for place, (x, y) in enumerate(points):
        session.send("Input.dispatchTouchEvent", {"type": "touchMove" if place else "touchStart", "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert seen(tab)[-1] == "1"


def test_the_keyboard_alone_draws_and_chooses(tab):
    tab.locator("#paper").focus()
    for key in [*["ArrowUp"] * 8, " ", *["ArrowDown"] * 16]:
        tab.keyboard.press(key)
    assert seen(tab)[-1] == "1"
    tab.keyboard.press("Delete")
    assert seen(tab) == ["–"] * 3
    for _ in range(3):  # past both buttons
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
    while tab.evaluate("document.activeElement.getAttribute('role')") != "option":
        tab.keyboard.press("Tab")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert seen(tab)[-1] == "2"
    tab.locator("#said", has_text="Its label says 2.").wait_for()
    tab.keyboard.press("End")
    label = json.loads(tab.locator("#data").text_content())["samples"]["labels"][-1]
    tab.locator("#said", has_text=f"Its label says {label}.").wait_for()


@pytest.mark.parametrize(
    "strokes",
    [
        pytest.param([[(0.5, 0.5), (0.502, 0.501)]], id="a dot"),
        pytest.param([[(0.02, y), (0.98, y)] for y in np.linspace(0.02, 0.98, 15)], id="everything blackened"),
        pytest.param([[(0.5, 0.5), (3.0, -2.0), (-2.0, 3.0)]], id="strokes that leave the paper"),
    ],
)
def test_strange_drawings_leave_the_page_calm(tab, strokes):
    draw(tab, strokes, steps=2)
    assert all(digit.isdigit() for digit in seen(tab))
    tab.click("#clear")
    draw(tab, SEVEN)
    assert seen(tab) == ["7"] * 3


def test_a_dot_stays_a_dot_however_the_finger_trembles(tab):
    draw(tab, [[(0.5, 0.5), (0.505, 0.51), (0.498, 0.502)]])
    settle(tab)
    inked = tab.evaluate("Array.from(pixelsNow()).filter(value => value > 0).length")
    assert 4 <= inked <= 24


def test_very_fast_strokes_are_lines_not_dots(tab):
    draw(tab, SEVEN, steps=1)
    assert seen(tab) == ["7"] * 3


def test_a_window_that_is_resized_in_mid_stroke_loses_nothing(tab):
    box = tab.locator("#paper").bounding_box()
    tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    tab.mouse.down()
    tab.set_viewport_size({"width": 360, "height": 700})
    box = tab.locator("#paper").bounding_box()
    tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    tab.mouse.up()
    assert seen(tab)[-1] == "1" and tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_javascript_the_page_says_what_to_do(chrome):
    context = chrome.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(PAGE.as_uri())
    assert "JavaScript switched off" in plain.locator("noscript").inner_text() and not plain.locator("#tool").is_visible()
    context.close()


def skeleton(image: np.ndarray) -> np.ndarray:
    """Return the lines, one pixel wide, in the middle of a digit's strokes: bool like the image (Zhang and Suen 1984)."""
    on = np.pad(image > 110, 1)
    while True:
        before = on.copy()
        for turn in (0, 1):
            n = [np.roll(on, shift, (0, 1)) for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))]
            count = sum(each.astype(int) for each in n)
            changes = sum((~a & b).astype(int) for a, b in zip(n, [*n[1:], n[0]], strict=True))
            first, second = (n[0] & n[2] & n[4], n[2] & n[4] & n[6]) if turn == 0 else (n[0] & n[2] & n[6], n[0] & n[4] & n[6])
            on = on & ~((count >= 2) & (count <= 6) & (changes == 1) & ~first & ~second)
        if (on == before).all():
            return on[1:-1, 1:-1]


def traced(image: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return a digit as strokes along its middle lines, points as fractions of the paper's sides."""
    ys, xs = np.nonzero(skeleton(image))
    points = {(int(x), int(y)) for x, y in zip(xs, ys, strict=True)}
    near = ((1, 0), (0, 1), (1, 1), (1, -1))
    left = {frozenset([(x, y), (x + dx, y + dy)]) for x, y in points for dx, dy in near if (x + dx, y + dy) in points}
    strokes = []
    while left:
        at = min(min(pair) for pair in left)
        stroke = [at]
        while following := sorted(pair for pair in map(tuple, map(sorted, left)) if at in pair):
            pair = following[0]
            left.remove(frozenset(pair))
            at = pair[1] if pair[0] == at else pair[0]
            stroke.append(at)
        strokes.append([((x + 0.5) / 28, (y + 0.5) / 28) for x, y in [*stroke[:-1:2], stroke[-1]]])
    return strokes


@pytest.mark.slow
def test_strokes_taken_from_test_images_are_recognised(tab, mnist):
    tab.check("input[name=net][value='0']")  # whose inside is soon drawn; what counts is the last net's answer
    right = 0
    for number in range(100):
        tab.evaluate(PEN, traced(mnist.eval.images[number].numpy()))  # every movement of a mouse would be a message to the browser
        right += seen(tab)[-1] == str(int(mnist.eval.labels[number]))
        tab.click("#clear")
    assert right >= 95
