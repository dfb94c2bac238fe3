"""One notebook through papermill: its outputs and page, named failures, and nothing left behind by a stopped run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import v4

from mnistlib import files, logs
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.notebook.signals import Stopped, Stopping
from mnistlib.report import page, result
from mnistlib.report.tables import RESULT_MIMETYPE
from mnistlib.runs import seeds

TAGGED = "seeds: list[int] = [0]  # one run each\nepochs: int | None = None  # None: the recipe's"


def write(path: Path, *cells: str, parameters: str = TAGGED) -> Path:
    """Write a notebook of a parameters cell and then Markdown (starting with #) and code cells."""
    tagged = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    rest = [v4.new_markdown_cell(text) if text.startswith("# ") else v4.new_code_cell(text) for text in cells]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(v4.new_notebook(cells=[tagged, *rest], metadata=about)))
    return path


def alive(pid: int) -> bool:
    """Say whether a process is still running; one that has ended and waits to be collected is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_good_notebook_becomes_a_notebook_and_a_page(tmp_path, capsys):
    logs.to_stdout()
    notebook = write(tmp_path / "a {folder} of mine" / "story.ipynb", "# Story", "print('epochs', epochs)", "import os\nos.getcwd()")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "story.failed.ipynb").write_text("{}")  # of an earlier run; it goes when a run succeeds
    done = runner.run(notebook, tmp_path / "out", {"epochs": 3, "seeds": [4]})
    assert done.executed == tmp_path / "out" / "story.ipynb" and done.page == tmp_path / "out" / "story.html"
    assert "epochs 3" in done.page.read_text() and done.result is None
    assert capsys.readouterr().out == "── Story\nepochs 3\n"
    story = nbformat.read(done.executed, 4)
    assert story.cells[-1].outputs[0].data["text/plain"] == repr(str(notebook.parent)), "not run in its own folder"
    assert str(tmp_path / "out") not in json.dumps(story.metadata), "the notebook holds an absolute path"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["story.html", "story.ipynb"]
    assert [path.name for path in notebook.parent.iterdir()] == ["story.ipynb"]


def executed(path: Path, *outputs: dict) -> nbformat.NotebookNode:
    """Return a notebook as papermill leaves it, with one cell that displayed something."""
    cell = v4.new_code_cell("1", execution_count=1, outputs=[v4.new_output("display_data", data=data) for data in outputs])
    story = v4.new_notebook(cells=[v4.new_markdown_cell("# Story"), cell])
    path.write_text(nbformat.writes(story))
    return story


def hand_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let every notebook hand over a result, and return where that is."""
    place = tmp_path / "results" / "mine.json"
    data = {RESULT_MIMETYPE: {"result": "results/mine.json"}, "text/plain": "Saved."}
    monkeypatch.setattr(runner, "_execute", lambda notebook, draft, *_: executed(draft, {"text/plain": "1"}, data))
    return place


class Read:
    """Stands for a result that was read."""

    def __init__(self, path: Path) -> None:
        self.path, self.runs = path, [type("Run", (), {"key": "a" * 24})]


def test_a_notebook_hands_its_result_over_by_mimetype(tmp_path, monkeypatch):
    place = hand_over(monkeypatch, tmp_path)
    monkeypatch.setattr(result, "read", Read)
    monkeypatch.setattr(page, "build", lambda *_, **about: about["result"])
    notebook = write(tmp_path / "story.ipynb", parameters=f"results_dir = {str(tmp_path)!r}")
    assert runner.run(notebook, tmp_path / "out").result.path == place


def test_a_run_whose_page_fails_is_not_trained_again(tmp_path, monkeypatch):
    hand_over(monkeypatch, tmp_path)
    monkeypatch.setattr(result, "read", Read)
    monkeypatch.setattr(page, "build", lambda *_, **about: 1 / 0)
    marked = []
    monkeypatch.setattr(seeds, "unreported", lambda folder, keys: marked.append((folder, list(keys))))
    with pytest.raises(ZeroDivisionError):
        runner.run(write(tmp_path / "story.ipynb", parameters=f"results_dir = {str(tmp_path)!r}"), tmp_path / "out")
    assert marked == [(tmp_path, ["a" * 24])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "where", "reason"),
    [
        (
            "from mnistlib.errors import DataError\nraise DataError('No images; restore them.')",
            "cell In [3] under 'Training'",
            "DataError: No images; restore them.",
        ),
        ("raise SystemExit(0)", "cell In [3] under 'Training'", "it ended the notebook early."),
        ("import os\nos._exit(1)", "under 'Training'", "the kernel died"),
        ("import os, signal, time\nprint(1, flush=True)\ntime.sleep(1)\nos.kill(os.getpid(), 9)", "under 'Training'", "the kernel died"),
    ],
    ids=["an exception", "an early exit", "a dead kernel", "a killed kernel that has printed"],
)
def test_a_failing_cell_is_named_and_the_previous_page_stays(tmp_path, code, where, reason):
    (tmp_path / "story.html").write_text("the page of yesterday")
    (tmp_path / "story.ipynb").write_text("the notebook of yesterday")
    notebook = write(tmp_path / "in" / "story.ipynb", "x = 1", "# Training", code, "# Result", "print('went on')")
    with pytest.raises(runner.RunError) as caught:
        runner.run(notebook, tmp_path)
    assert where in str(caught.value) and reason in str(caught.value) and str(tmp_path / "story.failed.ipynb") in str(caught.value)
    assert (tmp_path / "story.html").read_text() == "the page of yesterday"
    assert (tmp_path / "story.ipynb").read_text() == "the notebook of yesterday"
    assert nbformat.read(tmp_path / "story.failed.ipynb", 4).cells


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a kernel would be started."""
    monkeypatch.setattr(runner, "_execute", lambda *_: pytest.fail("a kernel was started"))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"epcohs": 1}, "'epochs'"),
        ({"epochs": 0}, "epochs"),
        ({"overrides": {"optimizer.lrr": 1.0}}, "lrr"),
        ({"overrides": {"model": "narow"}}, "'narrow'"),
        ({"device": "gpu"}, "'cpu'"),
    ],
)
@pytest.mark.usefixtures("no_kernel")
def test_a_bad_parameter_is_refused_before_a_kernel_starts(tmp_path, given, word):
    with pytest.raises(SettingError, match=word):
        runner.run(runner.find("03_augment"), tmp_path / "out", {"results_dir": str(tmp_path)} | given)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_kernel")
def test_a_full_temporary_folder_and_a_full_out_are_a_sentence_and_the_page_stays(tmp_path, monkeypatch):
    (tmp_path / "story.html").write_text("the page of yesterday")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    notebook = write(tmp_path / "in" / "story.ipynb")
    monkeypatch.setattr(runner, "_execute", full)
    with pytest.raises(files.DiskError, match=f"{tempfile.gettempdir()}.*TMPDIR"):
        runner.run(notebook, tmp_path)
    monkeypatch.setattr(runner, "_execute", lambda notebook, draft, *_: executed(draft))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.DiskError, match=str(tmp_path)) as caught:
        runner.run(notebook, tmp_path)
    assert caught.value.code == 1 and (tmp_path / "story.html").read_text() == "the page of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "story.html"]


def test_what_is_no_notebook_is_said_in_a_sentence(tmp_path):
    (tmp_path / "story.ipynb").write_text("no JSON")
    with pytest.raises(runner.RunError, match="story.ipynb cannot be read as a notebook"):
        runner.run(tmp_path / "story.ipynb", tmp_path)


def test_an_unknown_notebook_names_the_nearest(tmp_path, monkeypatch):
    (tmp_path / "mnistlib").mkdir()
    (tmp_path / "mnistlib" / "__init__.py").touch()
    known = write(tmp_path / "notebooks" / "03_augment.ipynb")
    monkeypatch.chdir(tmp_path)
    assert runner.find("03_augment") == runner.find("03_augment.ipynb") == runner.find("notebooks/03_augment.ipynb") == known
    with pytest.raises(SettingError, match="Did you mean '03_augment'"):
        runner.find("03_agument")


def test_another_environments_kernel_is_never_taken(tmp_path, monkeypatch):
    spec = {"argv": ["/no/such/python", "-f", "{connection_file}"], "display_name": "Other", "language": "python"}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    done = runner.run(write(tmp_path / "story.ipynb", "import sys\nprint(sys.executable)"), tmp_path / "out")
    assert sys.executable in done.page.read_text()


WAITING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
import os
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_run_leaves_no_process_and_no_file(tmp_path, number, code):
    notebook = write(tmp_path / "in" / "story.ipynb", "# Training", WAITING)
    for folder in ("out", "temp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "out" / "story.html").write_text("the page of yesterday")
    command = [sys.executable, "-m", "mnistlib", "report", str(notebook), "--out", str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path / "temp")}, **pipes) as process:
        line = next(line for line in process.stdout if line.startswith("pids"))
        pids = [int(word) for word in line.split()[1:]]
        assert all(map(alive, pids))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "resume" in said.strip().splitlines()[-1]
    until = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, pids))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["story.html"]
    assert (tmp_path / "out" / "story.html").read_text() == "the page of yesterday"
    assert not list((tmp_path / "temp").iterdir())


def test_a_signal_that_arrives_in_a_weakref_callback_stops_the_run_all_the_same():
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    begun = time.monotonic()
    with pytest.raises(Stopped) as stopped, Stopping():
        del thing
        assert reference() is None
        time.sleep(10)
    assert stopped.value.code == 128 + signal.SIGTERM and time.monotonic() - begun < 5


def test_a_stop_that_is_lost_altogether_is_raised_at_the_end():
    with pytest.raises(Stopped), Stopping(), contextlib.suppress(BaseException):  # as a careless library would
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("notebook", sorted((files.root() / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_papermill_sees_every_parameter_of_a_step(notebook):
    """Papermill skips a line whose annotation holds a bar, and warns of that parameter when it is given; one in quotes it takes."""
    assert list(papermill.inspect_notebook(notebook)) == list(runner.parameters_of(notebook))
