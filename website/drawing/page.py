"""The page on which a digit can be drawn, with the nets of the reports in it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mnistlib import data, files, formatting, models, predict, steps
from mnistlib.errors import ResultError
from mnistlib.report import page, result
from mnistlib.runs import cache
from website import site
from website.drawing import export

FOLDER = Path(__file__).parent
NETS = ("softmax", "00_skeleton", "04_frontier")  # whose nets the reader can switch between
SEED = 0  # of each
FIRST, HARD = 20, 40  # test images to choose from


def build(reports: Path) -> Path:
    """Write the page into `reports` from the checkpoints there and return its path; a missing result raises ResultError."""
    return files.write(reports / "draw.html", text(reports))


def text(reports: Path) -> str:
    """Return the page's text."""
    loaded = {name: load(reports, name) for name in NETS}
    facts = {name: about(steps.get(name), found) for name, (found, _) in loaded.items()}
    values = {
        "nets": list(facts.values()),
        "data": json.dumps(contents({name: net for name, (_, net) in loaded.items()}, facts, reports)).replace("<", "\\u003c"),
        "site": site.of({"draw": "Draw a digit"}, "draw"),
        "program": read("net.js") + read("draw.js"),
        "own_style": read("draw.css"),
        "facts": [f"Nets of seed {SEED}, from checkpoints/", page.BYLINE],
        "side": formatting.shape((predict.SIDE, predict.SIDE)),
        "box": formatting.shape((predict.BOX, predict.BOX)),
        "seed": SEED,
        "n_first": FIRST,
        "n_hard": HARD,
    }
    return site.finish(page.render("page.html.j2", FOLDER, **values), "")


def read(name: str) -> str:
    """Return the text of a file of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def load(reports: Path, name: str) -> tuple[result.Result, nn.Module]:
    """Return a step's result and the net of its first seed."""
    path = reports / "results" / f"{name}.json"
    if not path.is_file():
        raise ResultError(f"There is no result of {name} in {reports.name}/results; run `make series` first.")
    found = result.read(path)
    run = next(run for run in found.runs if run.seed == SEED)
    net = models.build(found.recipe.model, found.recipe.dropout)
    net.load_state_dict(cache.read_checkpoint(reports / run.checkpoint, run.sha256))
    return found, net.eval()


def about(step: steps.Step, found: result.Result) -> dict[str, Any]:
    """Return a row of the table of nets."""
    run = next(run for run in found.runs if run.seed == SEED)
    return {
        "title": step.title,
        "report": step.beside or step.name,
        "parameters": formatting.count(found.n_parameters),
        "accuracy": formatting.percent(run.final),
    }


def contents(nets: dict[str, nn.Module], facts: dict[str, dict[str, Any]], reports: Path) -> dict[str, Any]:
    """Return what the page's program reads: the nets, and test images with their labels and numbers."""
    images = data.load().eval
    predictions = np.stack([result.read_predictions(result.read(reports / "results" / f"{name}.json"), reports)[0][SEED] for name in nets])
    wrong = (predictions != images.labels.numpy()).sum(0)
    later = np.arange(FIRST, len(wrong))
    all_wrong, one_wrong = (later[wrong[later] == n] for n in (len(nets), 1))
    hard = np.sort(np.concatenate([all_wrong[: HARD // 4], one_wrong[: HARD - HARD // 4]]))
    numbers = [*range(FIRST), *hard.tolist()]
    samples = {
        "numbers": numbers,
        "labels": [int(images.labels[number]) for number in numbers],
        "pixels": export.pixels(images.images[numbers].numpy()),
    }
    exported = [{"title": facts[name]["title"], **export.net(net)} for name, net in nets.items()]
    return {"mean": data.MEAN, "sd": data.SD, "nets": exported, "samples": samples}
