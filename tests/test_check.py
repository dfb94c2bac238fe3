"""A net of one's own, checked without training: figures, findings with their lines, and what is refused."""

from __future__ import annotations

import json
import pkgutil
import socket
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from nbformat import v4, writes
from torch import nn

from cloud import packaging
from coursework import check, commands, receptive_field, sandbox, submission
from coursework.source import SubmissionError
from mnistlib import files, models, steps
from mnistlib.cli import main
from mnistlib.notebook import new_step
from mnistlib.published.repository import MODELS
from mnistlib.report import model_summary

STUDENTS = Path(__file__).parent / "student_nets"
AUTHORED = {  # the published models as their authors' classes
    "000-model-1": "session7.py:Net1",
    "000-model-2": "session7.py:Net2",
    "000-model-3": "session7.py:Net3",
    "000-model-4": "session7.py:Net4",
    "001-relu": "under_8k.py:NetReLU",
    "001-batchnorm": "under_8k.py:NetBatchNorm",
    "001-dropout": "under_8k.py:NetDropout",
    "001-gap": "under_8k.py:NetGAP",
    "002-model-1": "assignment_7.py:Model_1",
    "002-model-2": "assignment_7.py:Model_2",
    "002-model-3": "assignment_7.py:Model_3",
    "003-model-1": "cnn_aws.py:Model1",
    "003-model-2": "cnn_aws.py:Model2",
    "003-model-3": "cnn_aws.py:Model2",
    "004-part-1": "mnist_cnn.py:Part1",
    "004-part-2": "mnist_cnn.py:Part2",
    "004-part-3": "mnist_cnn.py:Part3",
}
WASTE = {  # words of the model summary, and the rule that finds the same
    "cancels its": "bias-before-norm",
    "only ever meet padding": "padding-only-weights",
    "never reads": "unread-map",
    "After the last weights": "logits",
}
HEAD = """
import torch
from torch import nn
import torch.nn.functional as F
"""
GOOD = (
    HEAD
    + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 5)
        self.conv3 = nn.Conv2d(16, 8, 5)
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.relu(self.conv2(F.relu(x)))
        x = F.relu(self.conv3(x))
        return self.out(x.mean((2, 3)))
"""
)


def published(name: str) -> model_summary.ModelSummary:
    return model_summary.of(models.build(MODELS[name].recipe.model, MODELS[name].recipe.dropout))


def write(folder: Path, source: str, name: str = "net.py") -> Path:
    (folder / name).write_text(source)
    return folder / name


def changed(**parts: str) -> str:
    """Return the good net with lines that begin with a key replaced by their values."""
    lines = GOOD.splitlines()
    for start, text in parts.items():
        (place,) = [n for n, line in enumerate(lines) if line.split("=")[0].strip().removeprefix("self.") == start or line.strip() == start]
        lines[place] = "\n".join(lines[place][: len(lines[place]) - len(lines[place].lstrip())] + part for part in text.split("\n"))
    return "\n".join(lines) + "\n"


def findings(document: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    return [finding for finding in document["findings"] if finding["rule"] == rule]


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return {place: check.report(f"{STUDENTS / place}") for place in set(AUTHORED.values())}


@pytest.mark.parametrize("name", AUTHORED)
def test_a_published_net_as_its_author_writes_it_has_the_known_figures_and_waste(name, documents):
    document, known = documents[AUTHORED[name]], published(name)
    assert document["parameters"] == known.n_parameters
    assert document["multiply_adds"] == known.n_macs
    assert document["receptive_field"] == known.receptive_field
    assert document["passes"] == (known.n_parameters < 8_000)
    found = Counter(finding["rule"] for finding in document["findings"])
    assert {rule: found[rule] for rule in WASTE.values()} == {
        rule: sum(words in text for text in known.wasted) for words, rule in WASTE.items()
    }
    assert sum(row["parameters"] for row in document["layers"]) == known.n_parameters
    assert sum(row["multiply_adds"] for row in document["layers"]) == known.n_macs


def test_the_other_advice_on_published_nets(documents):
    def advised(rule: str) -> set[str]:
        return {place.partition(":")[2] for place, document in documents.items() if findings(document, rule)}

    assert advised("parameters") == {"Net1", "Net3", "NetReLU", "NetBatchNorm", "NetDropout", "Model_1", "Model_2", "Part1"}
    assert advised("dense-layer") == {"Model_1", "Model_2", "Part1"}
    assert advised("small-receptive-field") == {"Net3", "Part2"}
    assert not advised("no-gradient") | advised("unused-module") | advised("softmax-output") | advised("hidden-state") | advised("fails")
    (dead,) = findings(documents["assignment_7.py:Model_3"], "padding-only-weights")
    assert "1,280" in dead["what"]
    (relu,) = [one for one in findings(documents["cnn_aws.py:Model2"], "logits") if "negative" in one["what"]]
    assert (STUDENTS / "cnn_aws.py").read_text().splitlines()[relu["line"] - 1].strip() == "nn.ReLU(),"


SERIES = {name: models.build(name, 0.1) for name in models.NETS} | {"recurrent": models.build("mnistlib.separable:recurrent")}
SERIES |= {name: models.build(model.recipe.model, model.recipe.dropout) for name, model in MODELS.items()}


@pytest.mark.parametrize("name", SERIES)
def test_the_measured_receptive_field_is_the_computed_one(name):
    assert receptive_field.measure(SERIES[name]) == model_summary.of(SERIES[name]).receptive_field


class Residual(nn.Module):
    """Two ways of different reach, weights that cancel at their start, an activation that is mostly zero, and maxima."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)
        nn.init.zeros_(self.second.weight)

    def forward(self, x):
        x = self.first(x)
        x = F_max(x + (self.second(x) - 100).relu() * (x > 0))
        return x.amax((2, 3)).repeat(1, 3)[:, :10]


def F_max(x):
    return nn.functional.max_pool2d(x, 3, stride=2, padding=1)


class Squeezed(Residual):
    def forward(self, x):
        x = self.first(x)
        return (self.second(x) * x.mean((2, 3), keepdim=True)).mean((2, 3)).repeat(1, 3)[:, :10]


class Placed(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, 4, 28, 28))

    def forward(self, x):
        return self.second(self.first(x) + self.places).mean((2, 3)).repeat(1, 3)[:, :10]


@pytest.mark.parametrize(("net", "field"), [(Residual, 9), (Squeezed, 28), (Placed, 7)])
def test_nothing_hides_a_pixel_from_the_measurement(net, field):
    assert receptive_field.measure(net()) == field


def test_measuring_leaves_the_net_as_it_was():
    net = models.build("weighted").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    receptive_field.measure(net)
    assert net.training and all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_good_net_has_no_findings(tmp_path):
    document = check.report(str(write(tmp_path, GOOD)))
    assert (document["findings"], document["passes"], document["receptive_field"], document["name"]) == ([], True, 22, "Net")


RULE, ACCURACY, STYLE = "rule", "accuracy", "style"
FAULTS = {
    "parameters": (RULE, dict(out="self.out = nn.Linear(8, 10)\nself.more = nn.Parameter(torch.ones(8_000 - 6_722))")),
    "output-shape": (RULE, {"return self.out(x.mean((2, 3)))": "return self.out(x.mean((2, 3))).squeeze()"}),
    "fails": (RULE, {"x = F.relu(self.conv3(x))": "x = F.relu(self.conv1(x))  # here"}),
    "non-finite": (RULE, {"x = F.relu(self.conv3(x))": "x = F.relu(self.conv3(x)) / 0  # here"}),
    "batch-dependent": (
        RULE,
        dict(conv3="self.conv3 = nn.Sequential(nn.Conv2d(16, 8, 3),\nnn.BatchNorm2d(8, track_running_stats=False))  # here"),
    ),
    "random-evaluation": (RULE, {"x = F.relu(self.conv3(x))": "x = F.dropout(F.relu(self.conv3(x)), 0.1)  # here"}),
    "hidden-state": (
        RULE,
        dict(out="self.out = nn.Linear(8, 10)\nself.register_buffer('memory', torch.zeros(1))")
        | {"x = F.relu(self.conv3(x))": "x = F.relu(self.conv3(x)) + self.memory\nif self.training: self.memory += 1"},
    ),
    "hidden-constants": (
        RULE,
        dict(out="self.out = nn.Linear(8, 10)\nself.register_buffer('table', torch.randn(8, 8, 3, 9, 9))")
        | {"x = F.relu(self.conv3(x))": "x = F.relu(self.conv3(x)) + self.table.mean()"},
    ),
    "reads-files": (RULE, dict(out="self.out = nn.Linear(8, 10)\nself.out.weight.data += len(open(__file__ + '.txt').read())  # here")),
    "unregistered-weights": (
        ACCURACY,
        dict(out="self.out = nn.Linear(8, 10)\nself.list = [nn.Linear(8, 8)]")
        | {"return self.out(x.mean((2, 3)))": "return self.out(self.list[0](x.mean((2, 3))))  # here"},
    ),
    "bias-before-norm": (ACCURACY, dict(conv3="self.conv3 = nn.Sequential(\nnn.Conv2d(16, 8, 3),  # here\nnn.BatchNorm2d(8))")),
    "logits": (ACCURACY, {"return self.out(x.mean((2, 3)))": "return F.relu(self.out(x.mean((2, 3))))  # here"}),
    "softmax-output": (ACCURACY, {"return self.out(x.mean((2, 3)))": "return self.out(x.mean((2, 3))).softmax(1)  # here"}),
    "padding-only-weights": (
        ACCURACY,
        dict(conv3="self.conv3 = nn.Conv2d(16, 8, 5, padding=2)  # here")
        | {"x = F.relu(self.conv3(x))": "x = F.relu(self.conv3(x.mean((2, 3), keepdim=True)))"},
    ),
    "unread-map": (ACCURACY, {"x = F.relu(self.conv3(x))": "x = F.max_pool2d(F.relu(self.conv3(x)), 3)  # here"}),
    "no-gradient": (ACCURACY, {"return self.out(x.mean((2, 3)))": "return self.out(x.mean((2, 3)).detach())"}),
    "small-receptive-field": (ACCURACY, dict(conv3="self.conv3 = nn.Conv2d(16, 8, 3)")),
    "dense-layer": (
        ACCURACY,
        dict(
            out="self.out = nn.Linear(8 * 16, 10)  # here",
            conv2="self.conv2 = nn.Conv2d(8, 16, 5, groups=8)",
            conv3="self.conv3 = nn.Conv2d(16, 8, 5, groups=8)",
        )
        | {"return self.out(x.mean((2, 3)))": "return self.out(x.flatten(1))"},
    ),
    "unused-module": (STYLE, dict(out="self.out = nn.Linear(8, 10)\nself.drop = nn.Dropout(0.1)  # here")),
}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_fault_is_found_on_its_line(rule, tmp_path):
    severity, parts = FAULTS[rule]
    source = changed(**parts)
    write(tmp_path, "12", "net.py.txt")
    document = check.report(str(write(tmp_path, source)))
    found = findings(document, rule)
    assert found, [finding["what"] for finding in document["findings"]]
    assert document["passes"] == (severity != RULE)
    finding = found[0]
    assert finding["severity"] == severity and all(finding[part] for part in ("what", "why", "fix"))
    marked = [n for n, line in enumerate(source.splitlines(), 1) if "# here" in line]
    assert not marked or finding["line"] in marked
    others = {one["rule"] for one in document["findings"] if one["severity"] == RULE}
    assert others <= {rule}


HIDDEN = {  # numbers beside the parameters, and what forward does with them
    "a tensor": ("self.table = torch.randn(10_000)", "self.table.mean()"),
    "an array": ("import numpy\nself.table = numpy.random.rand(10_000)", "torch.from_numpy(self.table).float().mean()"),
    "a list": ("self.table = torch.randn(5_000).tolist()", "torch.tensor(self.table).mean()"),
    "signs": ("self.register_buffer('table', torch.randn(10_000).sign())", "self.table.mean()"),
    "running statistics": ("self.register_buffer('running_mean', torch.randn(10_000))", "self.running_mean.mean()"),
    "random numbers that repeat": ("pass", "torch.randn(10_000, generator=torch.Generator().manual_seed(1)).mean()"),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_dodged_budget_is_found_wherever_it_is(tmp_path, where):
    made, used = HIDDEN[where]
    line = f"x = F.relu(self.conv3(x)) + {used}"
    source = changed(**{"out": f"self.out = nn.Linear(8, 10)\n{made}", "x = F.relu(self.conv3(x))": line})
    document = check.report(str(write(tmp_path, source)))
    (finding,) = findings(document, "hidden-constants")
    assert not document["passes"] and (finding["line"] == source.splitlines().index(f"        {line}") + 1)


HARMLESS = [
    "self.places = torch.stack(torch.meshgrid(torch.linspace(0, 1, 28), torch.linspace(0, 1, 28), indexing='ij'))",
    "self.register_buffer('mask', torch.ones(1, 8, 4, 4))\nself.register_buffer('mean', torch.tensor(0.1307))",
    "self.norm = nn.BatchNorm2d(1)\nself.conv1.register_forward_pre_hook(lambda module, x: (self.norm(x[0]),))",
    "self.seen = None",
    "self.criterion = nn.CrossEntropyLoss()",
]


@pytest.mark.parametrize("made", HARMLESS)
def test_what_is_harmless_is_no_finding(tmp_path, made):
    keeps = {"x = F.relu(self.conv3(x))": "x = self.seen = F.relu(self.conv3(x))"} if "seen" in made else {}
    assert check.report(str(write(tmp_path, changed(out=f"self.out = nn.Linear(8, 10)\n{made}", **keeps))))["findings"] == []


CONV3 = "x = F.relu(self.conv3(x))"


def test_what_is_learnt_in_a_list_is_found_and_running_statistics_of_ones_own_are_allowed(tmp_path):
    uses = f"{CONV3}\nif self.training:\n    self.seen.append(x.detach().mean())\nelif self.seen:\n    x = x + sum(self.seen)"
    document = check.report(str(write(tmp_path, changed(**{"out": "self.out = nn.Linear(8, 10)\nself.seen = []", CONV3: uses}))))
    assert findings(document, "hidden-state") and not document["passes"]
    made = "self.out = nn.Linear(8, 10)\nself.register_buffer('running_mean', torch.zeros(()))"
    uses = f"{CONV3}\nif self.training:\n    self.running_mean += x.detach().mean()\nx = x - self.running_mean"
    assert check.report(str(write(tmp_path, changed(**{"out": made, CONV3: uses}))))["findings"] == []


def test_adapting_in_evaluation_is_found(tmp_path):
    uses = f"{CONV3}\nNet.n = getattr(Net, 'n', 0) + 1\nx = x * Net.n"
    document = check.report(str(write(tmp_path, changed(**{CONV3: uses}))))
    assert findings(document, "random-evaluation") and not document["passes"]


def test_a_weight_file_is_found_by_the_line_that_reads_it(tmp_path):
    torch.save(torch.ones(10), tmp_path / "weights.pt")
    helper = "import torch\nfrom pathlib import Path\ndef bias():\n    return torch.load(Path(__file__).parent / 'weights.pt')\n"
    write(tmp_path, helper, "layers.py")
    source = "from layers import bias\n" + changed(out="self.out = nn.Linear(8, 10)\nself.out.bias.data = bias()")
    (finding,) = findings(check.report(str(write(tmp_path, source))), "reads-files")
    assert "weights.pt" in finding["what"] and "bias()" in source.splitlines()[finding["line"] - 1]


def test_fewer_than_8000_parameters_is_the_limit(tmp_path):
    for n, passes in ((7_999, True), (8_000, False)):
        source = changed(out=f"self.out = nn.Linear(8, 10)\nself.more = nn.Parameter(torch.ones({n} - 6_722))")
        source = source.replace("return self.out(", "return self.more.mean() + self.out(")
        document = check.report(str(write(tmp_path, source)))
        assert (document["parameters"], document["passes"]) == (n, passes)


def notebook(folder: Path, *cells: str) -> Path:
    return write(folder, writes(v4.new_notebook(cells=[v4.new_markdown_cell("# A net"), *map(v4.new_code_cell, cells)])), "net.ipynb")


def test_a_notebooks_training_is_not_run(tmp_path):
    mark = tmp_path / "ran"
    setup = "!pip install torchsummary\n%matplotlib inline\nfiles = !ls\nfrom torchsummary_that_is_missing import summary\nimport torch"
    training = f"model = Net()\nopen({str(mark)!r}, 'w')\nfor epoch in range(9):\n    open({str(mark)!r}, 'w')\nwhile True: pass"
    path = notebook(tmp_path, setup, "%%time\n" + GOOD.replace("8, 5)", "8, width)"), training, "width = 5", "%%bash\nls", "def (")
    document = check.report(f"{path}:Net")
    assert document["passes"] and document["parameters"] == 6_722 and not mark.exists()
    assert len(document["failed"]) == 2 and {"cell": 4, "line": 3} in document["not_executed"]
    document = check.report(
        str(
            notebook(
                tmp_path,
                setup,
                "\n" + GOOD.replace("return self.out(", "return F.relu(  # here\n self.out(").replace("(2, 3)))", "(2, 3))))"),
            )
        )
    )
    place = GOOD[: GOOD.index("return")].count("\n") + 2
    assert [(one["cell"], one["line"]) for one in findings(document, "logits")] == [(3, place)]


def test_a_scripts_training_is_not_run_but_its_constants_are(tmp_path):
    mark = tmp_path / "ran"
    source = f"from functools import partial\nwidth = 2 * 4\nlayer = partial(dict, a=1)\nRECIPE = dict(epochs=15)\n{GOOD}\n"
    touch = f"open({str(mark)!r}, 'w')"
    source += f"if __name__ == '__main__':\n    {touch}\nnet = Net().train()\n{touch}\nwith {touch} as f: pass\n"
    found = submission.load(str(write(tmp_path, source)))
    assert (found.recipe, found.module.width, found.name) == ({"epochs": 15}, 8, "Net") and not mark.exists()
    assert not hasattr(found.module, "net") and len(found.skipped) == 4


def test_a_step_of_ones_own_is_a_net_with_a_recipe(tmp_path):
    path = new_step.copy("04_mine", "03_augment", tmp_path)
    path.write_text(path.read_text().replace("degrees=9.0", "degrees=45.0"))
    found = submission.load(str(path))
    assert found.recipe == replace(steps.AUGMENT, augment=replace(steps.AUGMENT.augment, degrees=45.0))
    assert str(found.factory(None)) == str(models.build("weighted", steps.AUGMENT.dropout)) and found.recipe_line
    document = check.report(f"{path}:step")
    assert document["passes"] and document["parameters"] == 7_962 and not document["failed"]


@pytest.mark.parametrize(
    ("arguments", "given", "dropout"),
    [
        ("dropout=0.3", None, 0.3),
        ("dropout_value=0.3", 0.1, 0.1),
        ("dropout", None, 0.0),
        ("dropout, width=8", 0.2, 0.2),
        ("width=8", 0.2, 0.5),
    ],
)
def test_a_net_takes_the_dropout_under_several_names(tmp_path, arguments, given, dropout):
    name = arguments.split("=")[0].split(",")[0]
    source = GOOD.replace("def __init__(self)", f"def __init__(self, {arguments})")
    source = source.replace("self.out =", f"self.drop = nn.Dropout({name if name != 'width' else 0.5})\n        self.out =")
    assert submission.load(str(write(tmp_path, source))).factory(given).drop.p == dropout


PARTS = GOOD.replace("class Net", "class Block(nn.Module):\n    pass\n\n\nclass Net").replace(
    "self.conv1 =", "self.block = Block\n        self.conv1 ="
)


@pytest.mark.parametrize("source", [PARTS, GOOD + "\n\nclass Loss(nn.Module):\n    def forward(self, x, y):\n        return x\n"])
def test_the_one_net_of_a_file_is_found_among_its_parts(tmp_path, source):
    assert submission.load(str(write(tmp_path, source))).name == "Net"


@pytest.mark.parametrize(
    ("source", "name", "word"),
    [
        ("class Net(:\n", "", "line 1"),
        ("x = 1\n", "", "no class"),
        (GOOD, ":Nett", "'Net'"),
        (GOOD + "\n\n" + GOOD.replace("class Net", "class Other"), "", "net.py:Net"),
        (GOOD.replace("def __init__(self)", "def __init__(self, width)"), "", "'width'"),
        (GOOD + "\nnet = nn.Linear(2, 2)\n", ":net", "class"),
        ("raise_ = 1\nclass Net(Missing):\n    pass\n", ":Net", "Missing"),
    ],
)
def test_what_holds_no_net_or_several_is_refused(tmp_path, source, name, word):
    with pytest.raises(SubmissionError) as caught:
        submission.load(f"{write(tmp_path, source)}{name}")
    assert word in str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("spec", ["no_such_file.py", "no_such.module:Net", ":Net", "net.py:", "mnistlib.models:Nett", "json:dumps"])
def test_a_place_that_is_not_there_is_refused(spec):
    with pytest.raises(SubmissionError):
        check.report(spec)


def command(*words: object) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "coursework", "check", *map(str, words)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def test_the_command_prints_what_a_reader_needs(tmp_path):
    code, said, error = command(STUDENTS / "cnn_aws.py:Model1")
    assert (code, error) == (0, "") and "5,732" in said and "752,664" in said and "22 pixels" in said and "cnn_aws.py, line 30" in said


def test_the_command_prints_one_json_document(tmp_path):
    noisy = GOOD.replace("super().__init__()", "super().__init__()\n        print('{')").replace(
        "return self.out(", "return 1 / 0 + self.out("
    )
    code, said, _ = command(write(tmp_path, noisy), "--json")
    document = json.loads(said)
    assert (code, document["schema"], document["passes"], document["error"]) == (1, 1, False, None)
    assert [finding["rule"] for finding in document["findings"]] == ["fails"]
    code, said, error = command(write(tmp_path, noisy))
    assert (code, error) == (1, "") and "Parameters: " in said and "Multiply-adds" not in said and "division by zero." in said
    code, said, _ = command(tmp_path / "none.py", "--json")
    assert code == 2 and "none.py" in json.loads(said)["error"] and set(json.loads(said)) == set(document)


@pytest.mark.parametrize(
    ("line", "options", "word"),
    [
        ("while True: pass", ["--seconds", "3"], "3 s"),
        ("exit()", [], "exit()"),
        ("torch.zeros(10_000_000_000)", [], "4 GB"),
        ("kept = []; [kept.append(torch.ones(1 << 20)) for _ in iter(int, 1)]", [], "Does it loop"),
        ("import os; os._exit(0)", [], "exit code 0"),
        ("import os; os.kill(os.getpid(), 11)", [], "SIGSEGV"),
        ("import os, time; [os.fork() or time.sleep(60) for _ in range(100)]", [], "more processes and threads than the 64"),
    ],
)
def test_code_that_does_not_end_well_ends_in_one_sentence(tmp_path, line, options, word):
    code, said, error = command(write(tmp_path, GOOD.replace("super().__init__()", f"super().__init__()\n        {line}")), *options)
    assert (code, said) == (1, "") and word in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("open({outside!r}, 'w').write('mine')", "files"),
        ("import socket; socket.create_connection(('127.0.0.1', {port}), 5)", "network"),
        ("from mnistlib import data; data.load()", "files"),
    ],
)
def test_code_that_leaves_its_place_is_a_finding_and_does_not_get_there(tmp_path, line, name):
    outside = tmp_path / "outside"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        line = line.format(outside=str(outside), port=server.getsockname()[1])
        code, said, error = command(write(tmp_path, GOOD.replace("super().__init__()", f"super().__init__()\n        {line}")), "--json")
        if not sandbox.protections()[name]:
            assert sandbox.PROTECTIONS[name] in error
            return
        with pytest.raises(BlockingIOError):
            server.accept()
    (finding,) = findings(json.loads(said), "fails")
    assert (code, error, finding["line"]) == (1, "", 9) and not outside.exists()


def test_the_command_takes_what_a_file_imports_from_its_folder_and_says_the_same_as_the_library(tmp_path):
    write(tmp_path, "def relu(x):\n    return x.relu()\n", "layers.py")
    path = write(tmp_path, "from layers import relu\n" + changed(conv3="self.conv3 = nn.Conv2d(16, 8, 3)").replace("F.relu", "relu"))
    code, said, error = command(path, "--json", "--fewer-than", 5_000, "--require", "dropout")
    document = json.loads(said)
    call = f"import json\nfrom coursework import check\nprint(json.dumps(check.report({str(path)!r}, 5_000, 'dropout')))"
    library = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True, cwd=files.root()).stdout
    assert (code, error, document) == (1, "", json.loads(library))
    assert {one["rule"] for one in document["findings"]} >= {"small-receptive-field", "asked-for"} and document["file"] == str(path)


def test_where_no_kind_of_sandbox_works_the_command_says_so_and_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sandbox, "LAUNCHER", write(tmp_path, 'print(\'{"error": "the kernel refuses"}\')', "launcher.py"))
    monkeypatch.setattr(sys, "argv", ["coursework", "check", str(write(tmp_path, GOOD))])
    sandbox.best.cache_clear()
    try:
        assert main.main(click.Group("coursework", [commands.check]), "coursework") == 2
    finally:
        sandbox.best.cache_clear()
    said, error = capsys.readouterr()
    assert said == "" and "No kind of sandbox works" in error and "the kernel refuses" in error and error.count("\n") == 1


def test_both_packages_add_their_commands_and_are_in_the_wheel():
    project = tomllib.loads((files.root() / "pyproject.toml").read_text())
    added = {name: pkgutil.resolve_name(place) for name, place in project["project"]["entry-points"]["mnistlib.commands"].items()}
    assert {name: command.name for name, command in added.items()} == {name: name for name in added}
    assert {"check", "grade", "judge", "ec2", "job", "sagemaker", "sweep"} <= set(added)
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix("*") for name in include} <= set(packaging.SOURCES)


def test_the_command_starts_without_torch():
    code = "import sys, coursework.commands, coursework.inspection, coursework.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
