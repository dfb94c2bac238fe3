"""A job: what makes it the same one, what it leaves, how it ends; and the grid of a sweep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from cloud import job
from cloud.sweep.ray_sweep import axis, combinations
from mnistlib import files, logs
from mnistlib.errors import ResultError, SettingError
from mnistlib.notebook import runner

STORY = """from pathlib import Path

print("working", n)
assert n >= 0, "n is below zero"
Path(results_dir, "n").write_text(str(n))"""


def write(path: Path, *cells: str, parameters: str = "n = 1\nresults_dir = 'build'\nworkers = None") -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    story = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A story"), tagged, *map(nbformat.v4.new_code_cell, cells)])
    story.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(story, path)
    return path


def test_a_jobs_key_says_what_runs_and_not_where(tmp_path):
    story = write(tmp_path / "a" / "story.ipynb", STORY)
    one = job.make(story, {"n": 2})
    assert one.name == f"story-{one.key[:10]}"
    same = [job.make(write(tmp_path / "b" / "story.ipynb", STORY), {"n": 2}), job.make(story, {"n": 2, "workers": 3})]
    same.append(job.make(write(tmp_path / "c" / "story.ipynb", STORY, parameters="n = 2\nresults_dir = ''\nworkers = 1"), {}))
    assert {other.key for other in same} == {one.key}, "the same run would be made twice"
    others = [job.make(story, {}), job.make(write(tmp_path / "d" / "story.ipynb", STORY + "\nn"), {"n": 2})]
    others.append(job.make(write(tmp_path / "tale.ipynb", STORY), {"n": 2}))
    assert len({one.key, *(other.key for other in others)}) == 4


def test_a_jobs_key_changes_with_the_library(tmp_path, monkeypatch):
    story = write(tmp_path / "story.ipynb", STORY)
    before = job.make(story, {}).key
    monkeypatch.setattr(job, "library", lambda: "another")
    assert job.make(story, {}).key != before


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"m": 1}, "There is no parameter 'm'"),
        ({"results_dir": "x"}, "folder of its own"),
        ({"n": {1, 2}}, "cannot be written as JSON"),
        ({"n": float("nan")}, "cannot be written as JSON"),
    ],
)
def test_a_job_that_cannot_be_is_refused_before_it_starts(tmp_path, given, match):
    with pytest.raises(SettingError, match=match):
        job.make(write(tmp_path / "story.ipynb", STORY), given)


def test_a_job_leaves_all_there_is_to_know_and_its_record_last(tmp_path):
    logs.to_stdout()
    one, folder = job.make(write(tmp_path / "story.ipynb", STORY), {"n": 2}), tmp_path / "out"
    assert not job.succeeded(one, folder)
    (folder / job.RUNS).mkdir(parents=True)
    job.run(one, folder)
    assert {path.name for path in folder.iterdir()} == {"story.ipynb", "story.html", "n", job.LOG, job.RECORD}
    record = job.read(folder)
    assert (record.status, record.key, record.parameters, record.reason) == ("succeeded", one.key, {"n": 2}, "") and record.seconds > 0
    assert job.succeeded(one, folder) and not job.succeeded(job.make(one.notebook, {"n": 3}), folder)
    log = (folder / job.LOG).read_text()
    assert "── A story" in log and "working 2" in log and "── A story" in (folder / "story.html").read_text()


def test_a_failed_job_says_why_and_counts_as_not_run(tmp_path):
    one, folder = job.make(write(tmp_path / "story.ipynb", STORY), {"n": -1}), tmp_path / "out"
    with pytest.raises(runner.RunError, match="n is below zero"):
        job.run(one, folder)
    record = job.read(folder)
    assert record.status == "failed" and "n is below zero" in record.reason and not job.succeeded(one, folder)
    assert record.reason in (folder / job.LOG).read_text() and (folder / "story.failed.ipynb").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_under_the_log_is_a_sentence_that_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "LOG", "/dev/full")
    with pytest.raises(files.DiskError, match=str(tmp_path / "out")):
        job.run(job.make(write(tmp_path / "story.ipynb", STORY), {}), tmp_path / "out")
    assert not list(tmp_path.rglob("story.html"))


def test_a_broken_record_is_named(tmp_path):
    with pytest.raises(ResultError, match="nothing ran to its end"):
        job.read(tmp_path)
    for text in ("", "[]", '{"schema": 99}', '{"schema": 1, "key": "x"}'):
        (tmp_path / job.RECORD).write_text(text)
        with pytest.raises(ResultError, match="cannot be read"):
            job.read(tmp_path)


@pytest.mark.slow
def test_a_job_ends_with_the_process_that_started_it_and_removes_its_scratch_folder(tmp_path):
    scratch, temp = tmp_path / "scratch", tmp_path / "temp"
    temp.mkdir()
    story = write(scratch / "story.ipynb", "import time\nprint('waiting', flush=True)\ntime.sleep(300)")
    command = [sys.executable, "-m", "cloud", "job", str(story), "--out", str(scratch / "out"), "--exit-with-parent"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([*command, "--scratch", str(scratch)], env=os.environ | {"TMPDIR": str(temp)}, **pipes) as process:
        assert any("waiting" in line for line in process.stdout)
        process.stdin.close()
        assert process.wait(timeout=60) == 143
    assert not scratch.exists() and not list(temp.iterdir())


def test_a_grid_is_every_combination_once_the_last_going_round_first(tmp_path):
    story = write(tmp_path / "story.ipynb", STORY, parameters="n = 1\nm = 1\nk = 0")
    made = combinations([story], {"n": [1, 2], "m": [3, 4, 3]}, {"k": 5})
    assert [dict(one.parameters) for one in made] == [{"k": 5, "n": n, "m": m} for n in (1, 2) for m in (3, 4)]
    assert [dict(one.parameters) for one in combinations([story], {}, {})] == [{}]


@pytest.mark.parametrize(
    ("grid", "fixed", "match"),
    [
        ({"n": []}, {}, "one or more values"),
        ({"n": 3}, {}, "one or more values"),
        ({"n": [1]}, {"n": 2}, "given both"),
        ({"nn": [1]}, {}, "Did you mean 'n'"),
        ({"n": list(range(200)), "m": list(range(200))}, {}, "at most 10,000"),
        ({name: list(range(1000)) for name in "abcdefgh"}, {}, "at most 10,000"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(tmp_path, grid, fixed, match):
    with pytest.raises(SettingError, match=match):
        combinations([write(tmp_path / "story.ipynb", STORY, parameters="n = 1\nm = 1")], grid, fixed)


def test_several_notebooks_are_swept_over_what_they_all_have(tmp_path):
    first, second = (write(tmp_path / f"{name}.ipynb", STORY, parameters=f"n = 1\n{name} = 0") for name in ("first", "second"))
    made = combinations([first, second, first], {"n": [1, 2]}, {})
    assert [(one.notebook.stem, one.parameters["n"]) for one in made] == [("first", 1), ("first", 2), ("second", 1), ("second", 2)]
    with pytest.raises(SettingError, match=r"second.ipynb: There is no parameter 'first'"):
        combinations([first, second], {"first": [1]}, {})
    with pytest.raises(SettingError, match="have the same name"):
        combinations([first, write(tmp_path / "other" / "first.ipynb", STORY)], {}, {})


def test_a_row_of_the_grid_is_a_name_and_a_list():
    assert axis("seeds=[[0], [1]]") == ("seeds", [[0], [1]]) and axis("split=[test]") == ("split", ["test"])
    for text in ("seeds", "seeds=1", "seeds=[", "seeds=[]"):
        with pytest.raises(SettingError, match="no row of the grid"):
            axis(text)
