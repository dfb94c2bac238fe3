"""One notebook through papermill: whole or not at all, failures named, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import v4

from mnistlib import files
from mnistlib.errors import SettingError
from mnistlib.notebook import runner

TAGGED = "seeds: list[int] = [0]  # one run each\nepochs: int | None = None  # None: the recipe's"


def write(path: Path, *cells: str) -> Path:
    """Write a notebook of a parameters cell and then Markdown (starting with #) and code cells."""
    tagged = v4.new_code_cell(TAGGED, metadata={"tags": ["parameters"]})
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
    notebook = write(tmp_path / "a {folder} of mine" / "story.ipynb", "# Story", "print('epochs', epochs)", "import os\nos.getcwd()")
    outcome = runner.run(notebook, tmp_path / "out", {"epochs": 3, "seeds": [4]})
    assert outcome.executed == tmp_path / "out" / "story.ipynb" and outcome.page == tmp_path / "out" / "story.html"
    assert "epochs 3" in outcome.page.read_text() and outcome.result is None
    assert capsys.readouterr().out == "── Story\nepochs 3\n"
    story = nbformat.read(outcome.executed, 4)
    assert story.cells[-1].outputs[0].data["text/plain"] == repr(str(notebook.parent)), "not run in its own folder"
    assert str(tmp_path / "out") not in json.dumps(story.metadata), "the notebook holds an absolute path"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["story.html", "story.ipynb"]
    assert [path.name for path in notebook.parent.iterdir()] == ["story.ipynb"]


@pytest.mark.parametrize(
    ("code", "where", "reason"),
    [
        ("1 / 0", "cell In [3] under 'Training'", "ZeroDivisionError: division by zero."),
        (
            "from mnistlib.errors import DataError\nraise DataError('MNIST was not found; set data_dir.')",
            "cell In [3] under 'Training'",
            "DataError: MNIST was not found; set data_dir.",
        ),
        ("raise SystemExit(0)", "cell In [3] under 'Training'", "it ended the notebook early."),
        ("import os\nos._exit(1)", "a cell under 'Training'", "the kernel died, often for lack of memory."),
    ],
    ids=["an exception", "one of ours", "an early exit", "a dead kernel"],
)
def test_a_failing_cell_is_named_and_the_previous_page_stays(tmp_path, code, where, reason):
    (tmp_path / "story.html").write_text("the page of yesterday")
    (tmp_path / "story.ipynb").write_text("the notebook of yesterday")
    notebook = write(tmp_path / "in" / "story.ipynb", "x = 1", "# Training", code, "print('went on')")
    with pytest.raises(runner.RunError) as caught:
        runner.run(notebook, tmp_path)
    assert str(caught.value) == f"story.ipynb failed in {where}: {reason} The notebook up to there is {tmp_path / 'story.failed.ipynb'}."
    assert (tmp_path / "story.html").read_text() == "the page of yesterday"
    assert (tmp_path / "story.ipynb").read_text() == "the notebook of yesterday"
    assert nbformat.read(tmp_path / "story.failed.ipynb", 4).cells


def test_a_kernel_that_is_killed_in_the_last_cell_is_no_success(tmp_path):
    code = "import os, signal, time\nprint('at work', flush=True)\ntime.sleep(1)\nos.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(runner.RunError, match="failed in cell In .* under 'Training': the kernel died"):
        runner.run(write(tmp_path / "story.ipynb", "# Training", code), tmp_path / "out")
    assert not (tmp_path / "out" / "story.html").exists()


def test_the_failed_notebook_goes_when_the_run_succeeds(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "story.failed.ipynb").write_text("{}")
    runner.run(write(tmp_path / "story.ipynb", "# Story"), tmp_path / "out")
    assert not (tmp_path / "out" / "story.failed.ipynb").exists()


def test_a_misspelt_parameter_stops_before_anything_runs(tmp_path):
    notebook = write(tmp_path / "story.ipynb", "open('ran', 'w').close()")
    with pytest.raises(SettingError, match="There is no parameter 'epcohs'. Did you mean 'epochs'\\? The parameters are seeds, epochs."):
        runner.run(notebook, tmp_path / "out", {"epcohs": 1})
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


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
    outcome = runner.run(write(tmp_path / "story.ipynb", "import sys\nprint(sys.executable)"), tmp_path / "out")
    assert sys.executable in outcome.page.read_text()


WAITING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
import os
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "a request to end"])
def test_a_stopped_run_leaves_no_process_and_no_file(tmp_path, number, code):
    notebook = write(tmp_path / "in" / "story.ipynb", "# Training", WAITING)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "story.html").write_text("the page of yesterday")
    command = [sys.executable, "-m", "mnistlib", "report", str(notebook), "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        line = next(line for line in process.stdout if line.startswith("pids"))
        pids = [int(word) for word in line.split()[1:]]
        assert all(map(alive, pids))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.strip().splitlines()[-1] == "Stopped; the same command goes on where it stopped."
    until = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, pids))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["story.html"]
    assert (tmp_path / "out" / "story.html").read_text() == "the page of yesterday"


@pytest.mark.parametrize("notebook", sorted((files.root() / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_papermill_sees_every_parameter_of_a_step(notebook):
    """Papermill skips a line whose annotation holds a bar, and warns of that parameter when it is given; one in quotes it takes."""
    assert list(papermill.inspect_notebook(notebook)) == list(runner.parameters_of(notebook))
