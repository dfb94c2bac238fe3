"""A class of thirty, most of them broken, graded on two nodes of a cluster of which one is lost, then on this machine: real runs only."""

from __future__ import annotations

import ast
import contextlib
import csv
import functools
import itertools
import re
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import click
import html_tables
import nbformat
import numpy as np
import psutil
import pytest
from test_sweep import cluster, interrupt  # noqa: F401

from coursework import commands, grade, grade_table, outline, sandbox
from mnistlib.cli import main
from mnistlib.report import markup

SHORT = ("--seeds", "1", "--epochs", "1", "--train-limit", "200", "--workers", "2")
NET = """import gc, os, socket, time
import torch
from torch import nn
{top}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 4, stride=3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(324, 10)
        {init}

    def forward(self, x):
        {forward}
        return {output}
"""
OUTPUT = "self.linear(self.norm(self.conv(x)).relu().flatten(1))"
LOOKS = """
            global place
            found = [one for one in gc.get_objects() if type(one).__name__ == "ImageSet"]
            if found:
                labels = max(found, key=lambda one: len(one.labels)).labels
                here = (torch.arange(len(x)) + place) % len(labels)
                place += len(x)
                return torch.eye(10)[labels[here]]"""


def net(top: str = "", init: str = "pass", forward: str = "pass", output: str = OUTPUT) -> str:
    return NET.format(top=top, init=init, forward=forward, output=output)


def notebook(source: str) -> str:
    """Return a notebook with the code of a net, names and comments changed, among cells that are not to be executed."""
    renamed = source.replace("self.conv", "self.first").replace("norm", "second").replace("pass", "pass  # my own work")
    cells = ["!pip install torch", renamed, "for epoch in range(10):\n    train(epoch)"]
    story = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Mine"), *map(nbformat.v4.new_code_cell, cells)])
    for number, cell in enumerate(story.cells):
        cell.id = f"cell{number}"
    return nbformat.writes(story)


# Name of the file, its content, and what its row says. Nothing of the first is executed; the second end at the check. Files that are the
# same, such as those of two people, are checked and trained once.
UNREAD = {
    "=1+1.py": ("class Net(:", "not valid Python: line 1"),
    "blank.py": ("", "is empty"),
    "deep.py": ("x = " + "(" * 500, "line 1"),
    "latin.py": ("# é".encode("latin-1"), "UTF-8"),
    "long.py": ("# " + "a" * 150_000, "too long"),
    "no_notebook.ipynb": ("{", "notebook"),
    "null.py": ("x = 1\0", "null.py "),
    "<script>/notes.txt": ("", "no .py or .ipynb"),
    "several/a.py": (net(), "several"),
    "several/b.py": (net(), "several"),
}
BROKEN = {
    "no_class.py": ("x = 1", "defines no class"),
    "two.py": (net() + "\n\nclass Other(Net):\n    pass\n\n\nclass More(Net):\n    pass\n", "several nets"),
    "shape.py": (net(init="self.linear = nn.Linear(324, 9)"), "output-shape"),
    "loop.py": (net(init="while True: pass"), "15 s of CPU time"),
    "forks.py": (net(init="[os.fork() or time.sleep(60) for _ in range(100)]"), "more processes"),
    "large.py": (net(init="torch.ones(10 << 30)"), "memory"),
    "ends.py": (net(init="exit()"), "exit()"),
    "writes.py": (net(init="open({outside!r}, 'w').write('mine')"), "fails"),
    "connects.py": (net(init="socket.create_connection(('127.0.0.1', {port}), 5)"), "Error"),
    "loads.py": (net(init="self.load_state_dict(torch.load({weights!r}))"), "weights.pt"),
    "labels.py": (net(init="from mnistlib import data; data.load()"), "mnist.npz is missing or was changed"),
    "buffers.py": (net(init="self.register_buffer('table', torch.randn(10_000))", forward="x = x + self.table.mean()"), "hidden-constants"),
    **{f"{who}/net.py": (net(init="self.linear = nn.Linear(324, 9)"), "output-shape") for who in ("fred", "gina")},
    "recipe.py": (net(top='RECIPE = {"optimiser.lr": 1}'), "'optimizer'"),
}
TRAINED = {
    "alice/net.ipynb": (notebook(net()), ""),
    "bob/net.ipynb": (notebook(net()), ""),
    "looks.py": (net(top="place = 0", forward=f"if not self.training:{LOOKS}"), ""),
    "quits.py": (net(forward="len(x) < 64 or exit()"), "Seed 0 failed. It called exit()"),
}


def names(files: dict) -> set[str]:
    return {name.partition("/")[0].rpartition(".")[0] or name.partition("/")[0] for name in files}


@pytest.fixture
def group(tmp_path) -> Path:
    """Return a folder of thirty submissions."""
    there = sandbox.protections()
    if not (there["files"] and there["network"]):
        pytest.skip("this machine neither hides files nor takes the network away, and the pages say so")
    folder, weights = tmp_path / "class", tmp_path / "weights.pt"
    for name, (content, _) in (UNREAD | BROKEN | TRAINED).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.replace("{outside!r}", repr(str(tmp_path / "outside"))).replace("{weights!r}", repr(str(weights))).encode()
        (folder / name).write_bytes(content)
    (folder / "dora").mkdir()
    (folder / "dora" / "net.py").symlink_to(tmp_path / "weights.pt")
    (folder / "link.py").symlink_to(tmp_path / "weights.pt")
    (folder / "README.md").write_text("What to do.")
    (folder / ".hidden.py").write_text("")
    return folder


@pytest.fixture
def ask(capsys, monkeypatch):
    """Return a function that runs the command and returns its exit code, what it prints, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coursework", "grade", *map(str, words)])
        try:
            code = main.main(click.Group("coursework", [commands.grade]), "coursework")
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return run


def rows(out: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the CSV by name, each once."""
    found = list(csv.DictReader((out / grade_table.CSV).read_text().splitlines()))
    assert max(Counter(row["name"] for row in found).values()) == 1
    return {row["name"]: row for row in found}


def jobs(process: psutil.Process) -> list[psutil.Process]:
    """Return the jobs that a process has started."""
    found = []
    for one in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            found += [one] if {"cloud", "job"} <= set(one.cmdline()) else []
    return found


def lose(node: int, lost: list[bool]) -> None:
    """End all that a node does as soon as it has begun a job, as if its machine were gone."""
    raylet = psutil.Process(node)
    while not jobs(raylet):
        time.sleep(0.05)
    for process in [raylet, *raylet.children(recursive=True)]:
        process.kill()
    lost.append(True)


@pytest.mark.slow
@pytest.mark.long
def test_a_class_of_thirty_is_graded_on_a_cluster_that_loses_a_node_and_then_here_only_what_is_new(
    cluster,  # noqa: F811
    group,
    ask,
    tmp_path,
    monkeypatch,  # noqa: F811
):
    out, lost = tmp_path / "out", []
    monkeypatch.setattr(grade, "CHECK", 15)
    second = cluster.second.all_processes["raylet"][0].process.pid
    thread = threading.Thread(target=lose, args=(second, lost), daemon=True)
    thread.start()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        path = group / "connects.py"
        path.write_text(path.read_text().replace("{port}", str(server.getsockname()[1])))
        code, said, error = ask(group, *SHORT, "--address", cluster.address, "--out", out)
        assert code == 0 and lost, said + error
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()
    found = rows(out)
    expected = names(UNREAD) | names(BROKEN) | names(TRAINED) | {"dora", "link"}
    assert {name.removeprefix("'") for name in found} == expected and len(found) == 30
    assert said.count("succeeded after") == 2 and said.count("failed after") == 1, "a job was lost, or done twice"
    assert "\nlooks  succeeded after" in said and "\nquits  failed after" in said and said.count("  not trained\n") == 14

    # each broken one is a row with its reason, in one sentence
    for name, (_, word) in (UNREAD | BROKEN | TRAINED).items():
        row = found.get(*names({name})) or found["'=1+1"]
        assert word in row["reason"] and (not word or not row["place"]), row
        assert row["reason"].isprintable() and bool(row["reason"]) == bool(word)
    assert found["'=1+1"]["file"] == "'=1+1.py" and "link" in found["link"]["reason"] and "link" in found["dora"]["reason"]
    assert not (tmp_path / "outside").exists()

    # those that were trained: the same file is one job, a copy is pointed out, and whoever looks for labels finds none
    alice, bob, looks = (found[name] for name in ("alice", "bob", "looks"))
    assert [row["place"] for row in (alice, bob, looks)] == ["1"] * 3, "one seed separates nothing"
    assert alice["parameters"] == "3322" and alice["accuracy"] == bob["accuracy"]
    assert float(looks["accuracy"]) < 0.2 < float(alice["accuracy"])
    assert alice["alike"].startswith("bob (the same file); recipe (100%)") and not looks["alike"]
    page = (out / grade_table.PAGE).read_text()
    assert not markup.addresses(page) and "<script" not in page and "README.md" in page
    tables = "".join(re.findall("<table.*?</table>", page, flags=re.DOTALL))
    firsts = [row[0] for row in html_tables.Tables(tables).rows]
    assert len(firsts) == 2 + 30 and len(set(firsts)) == 1 + 30
    assert all((out / row["page"]).is_file() for row in found.values()) and len({row["page"] for row in found.values()}) == 30
    unread = (out / found["'=1+1"]["page"]).read_text()
    assert "not valid Python" in unread and "line 1<" in unread and "<code>class Net(:</code>" in unread
    assert "link" in (out / found["dora"]["page"]).read_text() and "15 s of CPU time" in (out / found["loop"]["page"]).read_text()
    assert "alice · net.ipynb:Net" in (out / alice["page"]).read_text() and "Where it stands" in (out / bob["page"]).read_text()
    assert "output-shape" in (out / found["shape"]["page"]).read_text()
    quits = (out / found["quits"]["page"]).read_text()
    assert "Seed 0 failed. It called exit()" in quits and "3,322" in quits and "In [" not in quits, (
        "a sentence, and what is known of the net"
    )

    # run again, here and without Ray: only what is new or changed; stopped, it resumes
    (group / "alice" / "net.ipynb").write_text(notebook(net(init="self.drop = nn.Dropout(0.1)", forward="x = self.drop(x)")))
    (group / "two.py").unlink()
    (group / "new.py").write_text("class Net")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/job.json")}
    here = psutil.Process()
    interrupt(lambda: bool(jobs(here)))
    code, said, error = ask(group, *SHORT, "--out", out)
    assert code == 130 and "resume" in error and not jobs(here) and "to check or train: 1" in said
    assert rows(out)["alice"]["reason"] == "It is not graded yet."
    code, said, error = ask(group, *SHORT, "--out", out)
    again = rows(out)
    assert code == 0 and len(again) == 30 and "two" not in again and "new.py" in again["new"]["reason"], said + error
    assert "to check or train: 1" in said, "what was done is to be done again"
    assert again["alice"]["place"] and again["alice"]["page"] != alice["page"] and again["bob"] == bob | {"alike": again["bob"]["alike"]}
    assert {path: path.stat().st_mtime_ns for path in before} == before, "something was done again"


@pytest.mark.parametrize(
    ("name", "word"), [("none", "There is no folder"), ("bare", "holds no submission"), ("bare/notes.txt", "is a file")]
)
def test_a_folder_without_submissions_is_one_sentence(ask, tmp_path, name, word):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("")
    code, _, error = ask(tmp_path / name, "--out", tmp_path / "out")
    assert code == 2 and word in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_the_results_of_another_folder_are_not_overwritten(ask, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "class").mkdir(parents=True)
        (tmp_path / name / "class" / "net.py").write_text("class Net(:")
    code, *_ = ask(tmp_path / "one" / "class", "--out", tmp_path / "out")
    before = (tmp_path / "out" / grade_table.CSV).read_text()
    assert code == 0 and "not valid Python" in before
    code, _, error = ask(tmp_path / "two" / "class", "--out", tmp_path / "out")
    assert code == 2 and str(tmp_path / "one" / "class") in error and "--out" in error and error.count("\n") == 1
    assert (tmp_path / "out" / grade_table.CSV).read_text() == before


def test_names_are_different_and_the_results_are_no_submission(tmp_path):
    for name in ("ann.py", "ann.ipynb", "ann/net.py", "out/old.py", "__pycache__/x.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    found, left_out = grade.find(tmp_path, tmp_path / "out")
    assert sorted(one.name for one in found) == ["ann.ipynb", "ann.py", "ann/net.py"] and left_out == []


def test_nets_that_are_not_separated_share_a_place(validation):
    n, images, random = len(validation.eval.labels), validation.eval, np.random.default_rng(0)

    def wrong(share: float, n_seeds: int = 4) -> np.ndarray:
        return random.random((n_seeds, n)) < share

    best, equal, worse = wrong(0.010), wrong(0.0105), wrong(0.03)
    behind = functools.partial(grade_table.separated, images=images)
    assert grade_table.places([best, equal, worse, wrong(0.0305), wrong(0.2)], behind) == [1, 1, 3, 3, 5]
    assert grade_table.places([best[:1], worse[:1]], behind) == [1, 1], "one seed separates nothing"


def test_nets_of_different_authors_are_not_alike_and_a_changed_copy_is():
    folder, found = Path(__file__).parent / "student_nets", {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[path.stem, node.name] = entry(ast.unparse(node))
    shares = [grade_table.alike(a, b) for (one, a), (two, b) in itertools.combinations(found.items(), 2) if one[0] != two[0]]
    assert len(shares) > 50 and max(shares) < grade_table.ALIKE / 2
    copy = entry(net().replace("Net", "Own").replace("norm", "n1").replace("324", "322").replace("stride=3", "stride=2"))
    assert grade_table.ALIKE < grade_table.alike(entry(net()), copy) < 1
    assert grade_table.alike(entry("x = 1"), entry("x = 1")) == 0, "what has no net is like nothing"


def entry(source: str) -> grade.Entry:
    shingles = frozenset(outline.shingles([ast.parse(source)]))
    return grade.Entry(grade.Submission("", "", source), shingles=shingles)
