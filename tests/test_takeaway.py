"""The nets to take away: in ONNX Runtime and PyTorch as in their reports, and a model card whose numbers and snippets hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import numpy_helper
from safetensors import safe_open
from safetensors.numpy import load

from mnistlib import data, files
from mnistlib.errors import ResultError
from mnistlib.train import logits
from website.drawing import page
from website.takeaway import card, weights

ROOT = files.root()
REPORTS = ROOT / "reports"
FOLDER = REPORTS / "weights"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
FILES = {f"{name}.{kind}" for name in page.NETS for kind in ("safetensors", "onnx")} | {"README.md"}


def session(name: str) -> onnxruntime.InferenceSession:
    """Return a committed ONNX file, ready to run on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(FOLDER / f"{name}.onnx", options, providers=["CPUExecutionProvider"])


def ran(name: str, images: data.ImageSet) -> np.ndarray:
    """Return the logits of images in ONNX Runtime."""
    return session(name).run(["logits"], {"pixels": images.images.numpy()[:, None].astype(np.float32)})[0]


def stored(name: str) -> dict:
    """Return the JSON of a result."""
    return json.loads((REPORTS / "results" / f"{name}.json").read_text(encoding="utf-8"))


def accuracy(name: str) -> float:
    """Return the accuracy that a report gives for the seed whose weights these are."""
    (run,) = (run for run in stored(name)["runs"] if run["seed"] == page.SEED)
    assert run["kept_epoch"] is None  # so the last epoch's weights
    return run["history"]["eval_accuracy"][-1]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Return a folder with what the nets are made from, and nothing else."""
    folder = tmp_path / "reports"
    for part in [f"results/{name}.json" for name in page.NETS] + [f"checkpoints/{name}-seed{page.SEED}.safetensors" for name in page.NETS]:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPORTS / part, folder / part)
    return folder


@pytest.mark.parametrize("name", page.NETS)
def test_onnx_has_the_accuracy_of_the_report(name, mnist):
    assert (ran(name, mnist.eval).argmax(1) == mnist.eval.labels.numpy()).mean() == accuracy(name)


@pytest.mark.parametrize("name", page.NETS)
def test_onnx_has_the_logits_of_pytorch_for_one_image_and_for_many(name, mnist):
    some = mnist.eval.subset(np.arange(500))
    many = ran(name, some)
    expected = logits(page.load(REPORTS, name)[1], some).numpy()
    assert many.dtype == np.float32 and np.abs(many - expected).max() < 1e-4
    for place in (0, 247):
        one = ran(name, mnist.eval.subset(np.array([place])))
        assert one.shape == (1, 10) and np.abs(one - expected[place]).max() < 1e-4


@pytest.mark.parametrize("name", page.NETS)
def test_input_and_output_are_those_of_the_card(name):
    net = session(name)
    ends = [(end.name, end.type, end.shape) for end in (*net.get_inputs(), *net.get_outputs())]
    assert ends == [("pixels", "tensor(float)", ["n", 1, 28, 28]), ("logits", "tensor(float)", ["n", 10])]
    assert "| `pixels` | `float32 [n, 1, 28, 28]` |" in CARD and "| `logits` | `float32 [n, 10]` |" in CARD


@pytest.mark.parametrize("name", page.NETS)
def test_both_formats_hold_the_weights_of_the_checkpoint(name):
    checkpoint = load((REPORTS / "checkpoints" / f"{name}-seed{page.SEED}.safetensors").read_bytes())
    taken = load((FOLDER / f"{name}.safetensors").read_bytes())
    assert taken.keys() == checkpoint.keys() and all((taken[key] == checkpoint[key]).all() for key in checkpoint)
    initialisers = {each.name: numpy_helper.to_array(each) for each in onnx.load(FOLDER / f"{name}.onnx").graph.initializer}
    read = checkpoint.keys() - {key for key in checkpoint if key.endswith("num_batches_tracked")}  # which only training needs
    assert initialisers.keys() == read and all((initialisers[key] == checkpoint[key]).all() for key in read)


@pytest.mark.parametrize("name", page.NETS)
def test_both_formats_say_what_they_are(name):
    result = stored(name)
    said = session(name).get_modelmeta().custom_metadata_map
    with safe_open(FOLDER / f"{name}.safetensors", "np") as taken:
        assert taken.metadata() == said
    assert int.from_bytes((FOLDER / f"{name}.safetensors").read_bytes()[:8], "little") % 8 == 0  # the weights are aligned
    facts = {"format": "pt", "step": name, "seed": "0", "model": result["model"], "licence": "MIT"}
    assert said == facts | {"parameters": str(result["n_parameters"]), "accuracy": repr(accuracy(name))}


def test_the_committed_files_are_what_the_command_writes_without_a_warning(reports, monkeypatch):
    monkeypatch.setattr(weights.files, "root", lambda: reports.parent)
    shutil.copy(ROOT / "CITATION.cff", reports.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights.build(reports)
    assert {path.name for path in (reports / "weights").iterdir()} == FILES
    assert {path.name for path in FOLDER.iterdir()} == FILES | {"index.html"}  # the card as a page, which is made of the text
    for name in sorted(FILES):
        assert (reports / "weights" / name).read_bytes() == (FOLDER / name).read_bytes(), name


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("checkpoints/{}-seed0.safetensors", "The checkpoint {}-seed0.safetensors is missing beside its result"),
        ("results/{}.json", "There is no result of {} in reports/results; run `make series` first."),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(reports, gone, sentence):
    last = page.NETS[-1]
    (reports / gone.format(last)).unlink()
    with pytest.raises(ResultError, match=re.escape(sentence.format(last))):
        weights.build(reports)
    assert not (reports / "weights").exists()


def snippets() -> dict[str, str]:
    """Return the Python code of the card by its heading."""
    return dict(re.findall(r"^### (.+?)$.*?```python\n(.*?)```", CARD, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(("heading", "printed"), [("PyTorch", "labels"), ("ONNX Runtime", "[1]")])
def test_the_snippets_run_as_written(heading, printed, mnist, tmp_path):
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if heading == "PyTorch" else "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", snippets()[heading]], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.strip() == (str(mnist.eval.labels[:5].tolist()) if printed == "labels" else printed)


def test_onnx_needs_nothing_of_this_repository():
    assert not re.search("mnistlib|torch", snippets()["ONNX Runtime"])


def test_the_front_matter_gives_the_accuracies_of_the_results():
    _, front, _ = CARD.split("---\n", 2)
    value = yaml.safe_load(front)
    assert (value["license"], value["library_name"], value["metrics"]) == ("mit", "pytorch", ["accuracy"])
    assert value["datasets"] == ["ylecun/mnist"] and {"onnx", "safetensors"} <= set(value["tags"])
    given = {}
    for model in value["model-index"]:
        (result,) = model["results"]
        metric, mean = result["metrics"]
        assert (result["task"]["type"], result["dataset"]["type"], result["dataset"]["split"]) == (
            "image-classification",
            "ylecun/mnist",
            "test",
        )
        assert metric["type"] == "accuracy"
        given[model["name"]] = metric["value"]
        assert mean["name"].startswith("Accuracy, mean of") and mean["value"] == stored(model["name"])["summary"]["final_mean"]
    assert given == {name: accuracy(name) for name in page.NETS}


def percentages(text: str) -> list[str]:
    """Return the numbers in a cell of percentages: all have two decimals or more."""
    return re.findall(r"\d+\.\d{2,}", text)


def test_the_table_gives_the_numbers_of_the_results():
    lines = CARD.split("## Evaluation\n")[1].splitlines()
    rows = [[cell.strip("` ") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    assert [name for name, *_ in rows] == list(page.NETS)
    for name, parameters, macs, epochs, of_seed, mean, interval, seeds in rows:
        result = stored(name)
        assert [parameters, macs, epochs] == [f"{result[field]:,}" for field in ("n_parameters", "n_macs", "epochs")]
        assert seeds == str(len(result["runs"]))
        summary = result["summary"]
        for cell, values in ((of_seed, [accuracy(name)]), (mean, [summary["final_mean"]]), (interval, summary["accuracy"]["interval"])):
            shown = percentages(cell)
            assert shown == [f"{100 * value:.{len(text.partition('.')[2])}f}" for text, value in zip(shown, values, strict=True)]


def test_the_writers_are_counted(mnist):
    for part, images in (("Training data", mnist.train), ("Limits and bias", mnist.eval)):
        text = " ".join(CARD.split(f"## {part}\n")[1].split("\n## ")[0].split())
        for word, among in (("students", images.groups == data.STUDENTS), ("employees", images.groups != data.STUDENTS)):
            assert f" {among.sum():,} by {len(set(images.writers[among].tolist())):,} {word}" in text
    assert not set(mnist.train.writers.tolist()) & set(mnist.eval.writers.tolist())  # "others of them"


def test_no_number_of_the_card_is_typed():
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", (card.FOLDER / "card.md.j2").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"\d+", re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text)) == []


def test_the_links_of_the_card_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", CARD) if not link.startswith("https://")]
    assert len(links) >= 2 * len(page.NETS) and all((FOLDER / link).is_file() for link in links)
