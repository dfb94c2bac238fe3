"""The commands: what they print, what they refuse, and their exit codes."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat import v4
from PIL import Image

import mnistlib
from mnistlib import data, files, predict, steps
from mnistlib.cli import main, options, summaries
from mnistlib.data import Mnist
from mnistlib.errors import SettingError
from mnistlib.notebook import new_step, runner
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.runs import Run, cache, provenance, train
from mnistlib.stats.comparison import Verdict

ONE_EPOCH = replace(steps.AUGMENT, epochs=1)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command and returns its exit code, what it printed, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mnistlib", *map(str, words)])
        code = main.main()
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty repository, the working directory of the test."""
    (tmp_path / "mnistlib").mkdir()
    (tmp_path / "mnistlib" / "__init__.py").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells, the first tagged as the parameters."""
    made = [v4.new_code_cell(text) for text in cells]
    made[0].metadata["tags"] = ["parameters"]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(nbformat.writes(v4.new_notebook(cells=[v4.new_markdown_cell("# 03_augment"), *made], metadata=about)))
    return path


@pytest.fixture(scope="module")
def trained(few: Mnist) -> list[Run]:
    """Return two seeds of a step's recipe, trained for one epoch on a few images."""
    about = provenance.collect(0, 1, "cpu")
    runs = [train(ONE_EPOCH, few, seed) for seed in (0, 1)]
    return [replace(run, key=cache.cache_key(ONE_EPOCH, few, run.seed), provenance=about) for run in runs]


@pytest.fixture
def saved(few: Mnist, trained: list[Run], repository: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Result, Path]:
    """Return a result saved in a repository, and its folder."""
    monkeypatch.setattr(data, "load", lambda *_: few)
    result = results.make(steps.get("03_augment"), ONE_EPOCH, few, trained, trained[0].provenance)
    results.save(result, repository / "reports")
    return result, repository / "reports"


def test_without_a_command_the_commands_are_listed(ask):
    names = ["report", "train", "evaluate", "predict", "new-step"]
    code, said, _ = ask()
    assert code == 0 and all(f"  {name} " in said for name in names)
    added = {entry.name for entry in entry_points(group="mnistlib.commands")}  # of coursework and cloud, where they are installed
    assert set(main.commands.commands) - added == set(names)


def test_the_version_is_told(ask):
    assert ask("--version") == (0, f"mnistlib {mnistlib.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["reprot"], "'report'"),
        (["report", "03_agument"], "'03_augment'"),
        (["train", "03_agument"], "'03_augment'"),
        (["new-step", "04_mine", "--from", "03_agument"], "'03_augment'"),
        (["new-step", "Mine", "--from", "03_augment"], "two digits"),
        (["new-step", "03_augment", "--from", "03_augment"], "already"),
        (["report", "03_augment", "-p", "epcohs", "1"], "'epochs'"),
        (["report", "03_augment", "-y", "7"], "does not set parameters"),
        (["report", "03_augment", "-y", "a: ["], "does not set parameters"),
        (["report", "03_augment", "--colour"], "No such option"),
        (["report"], "NOTEBOOK"),
        (["evaluate", "no.safetensors"], "no.safetensors"),
        (["predict", "a.png"], "reports/checkpoints/"),
    ],
)
def test_a_bad_request_is_one_line_and_exit_code_two(ask, repository, words, word):
    write(repository / "notebooks" / "03_augment.ipynb", "epochs = None", "1 / 0")
    code, said, error = ask(*words)
    assert (code, said) == (2, "")
    assert error.startswith("Error: ") and word in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["03_augment", "-p", "epochs", "0"], "epochs"),
        (["03_augment", "-y", "overrides: {optimizer.lrr: 1}"], "lrr"),
        (["03_augment", "-y", "overrides: {model: narow}"], "'narrow'"),
        (["published", "-p", "model", "003-modle-3"], "'003-model-3'"),
        (["published", "-p", "model", "7"], "model"),
    ],
)
def test_a_bad_value_is_refused_before_a_kernel_starts(ask, tmp_path, monkeypatch, words, word):
    monkeypatch.setattr(runner, "_execute", lambda *_: pytest.fail("a kernel was started"))
    code, said, error = ask("report", *words, "--out", tmp_path)
    assert (code, said) == (2, "") and word in error and error.count("\n") == 1


def test_a_failing_notebook_is_one_line_and_exit_code_one(ask, repository):
    write(repository / "notebooks" / "03_augment.ipynb", "epochs = None", "1 / 0")
    code, _, error = ask("report", "03_augment")
    assert code == 1 and "In [2]" in error and "ZeroDivisionError" in error and error.count("\n") == 1
    assert sorted(path.name for path in (repository / "build").iterdir()) == ["03_augment.failed.html", "03_augment.failed.ipynb"]


def test_a_report_goes_to_build_or_where_asked_with_the_parameters_given(ask, repository):
    path = write(
        repository / "notebooks" / "03_augment.ipynb",
        "seeds = [0]\nepochs = None\nresults_dir = 'build'",
        "print(seeds, epochs, results_dir)",
    )
    (repository / "more.yaml").write_text("epochs: 9\nseeds: [7]\n")
    code, said, _ = ask("report", "03_augment", "-f", "more.yaml", "-y", "seeds: [3, 4]", "-p", "epochs", "2")
    assert code == 0 and "[3, 4] 2 build\n" in said and "Page: build/03_augment.html\n" in said
    assert (repository / "build" / "03_augment.html").is_file()
    (repository / "elsewhere").mkdir()
    place = repository / "elsewhere" / "mine"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(repository / "elsewhere")
        code, said, _ = ask("report", path, "--out", "mine")
    assert code == 0 and f"[0] None {place}\n" in said and (place / "03_augment.html").is_file()


def test_the_process_that_waits_for_a_notebook_loads_nothing_that_draws_or_reads_photographs():
    code = "import sys; from mnistlib.cli import summaries; from mnistlib.notebook import runner"
    found = f"{code}; sys.exit(bool({{'matplotlib', 'scipy.ndimage'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", found]).returncode == 0


def test_relative_folders_on_the_command_line_count_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options.folder("mine") == tmp_path / "mine"
    assert options.parameters((("results_dir", "mine"),), (), ()) == {"results_dir": str(tmp_path / "mine")}


def test_outside_a_repository_the_installed_notebooks_are_run_and_results_go_to_build(ask, tmp_path, monkeypatch):
    installed = tmp_path / "site-packages" / "mnistlib" / "_notebooks"
    installed.mkdir(parents=True)
    write(installed / "03_augment.ipynb", "results_dir = 'build'")
    for name, value in (("INSTALLED", installed), ("root", lambda: tmp_path)):
        monkeypatch.setattr(files, name, value)
    monkeypatch.chdir(tmp_path)
    given = []
    done = runner.Done(tmp_path / "a.ipynb", tmp_path / "build" / "03_augment.html", None, 1.0)
    monkeypatch.setattr(runner, "run", lambda *about: given.append(about) or done)
    assert ask("report", "03_augment")[0] == 0
    assert given == [(installed / "03_augment.ipynb", tmp_path / "build", {"results_dir": str(tmp_path / "build")})]


def test_a_terminal_of_eight_bits_shows_what_it_can(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "argv", ["mnistlib", "--version"])
    assert main.main() == 0
    print("── Training", file=screen)
    assert screen.buffer.getvalue().decode("latin-1").endswith("?? Training\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("1.5", 1.5),
        ("None", None),
        ("True", True),
        ("[0, 1]", [0, 1]),
        ("validation", "validation"),
        ("~/data", "~/data"),
        ("x y", "x y"),
    ],
)
def test_values_on_the_command_line_are_pythons_or_text(text, value):
    assert options.literal(text) == value and type(options.literal(text)) is type(value)


def test_evaluate_repeats_the_stated_accuracy(ask, saved):
    result, place = saved
    code, said, _ = ask("evaluate", place / result.runs[1].checkpoint)
    assert code == 0 and f"{round(result.runs[1].final * result.n_eval)} of {result.n_eval} images" in said


def resigned(saved: tuple[Result, Path], **changes: object) -> Path:
    """Change a stored result, sign it again, and return its first checkpoint."""
    result, place = saved
    value = files.read_signed(place / "results" / f"{result.step}.json")
    files.write_signed(place / "results" / f"{result.step}.json", value | changes)
    return place / result.runs[0].checkpoint


@pytest.mark.parametrize("changes", [{"runs": 7}, {"recipe": {"model": "narrow", "colour": 1}}, {"summary": {}}, {"schema": 99}])
def test_a_bad_result_that_was_signed_again_is_a_sentence(ask, saved, changes):
    code, said, error = ask("evaluate", resigned(saved, **changes))
    assert (code, said) == (2, "") and error.startswith("Error: ") and "03_augment.json" in error


def test_evaluate_tells_of_another_accuracy(ask, saved):
    result, place = saved
    runs = files.read_signed(place / "results" / f"{result.step}.json")["runs"]
    runs[0]["history"]["eval_accuracy"] = [result.runs[0].final - 3 / result.n_eval]
    code, said, error = ask("evaluate", resigned(saved, runs=runs))
    assert (code, said) == (2, "") and "its report states" in error


@pytest.mark.parametrize("words", [("evaluate",), ("predict", "digit.png", "--checkpoint")])
def test_a_checkpoint_of_a_net_that_was_changed_since_is_a_sentence(ask, saved, words):
    Image.fromarray(np.zeros((28, 28), dtype=np.uint8)).save("digit.png")
    recipe = files.read_signed(saved[1] / "results" / "03_augment.json")["recipe"] | {"model": "skeleton"}
    code, said, error = ask(*words, resigned(saved, recipe=recipe))
    assert (code, said) == (2, "") and "'skeleton'" in error and error.count("\n") == 1


def test_predict_names_the_digit_and_says_of_every_other_file_once_what_is_wrong(ask, saved, few):
    result, place = saved
    Image.fromarray(np.kron(255 - few.eval.images[0].numpy(), np.ones((5, 5), dtype=np.uint8))).save("digit.png")
    Path("text.png").write_text("no image")
    Image.fromarray(np.full((30, 30), np.nan, dtype=np.float32)).save("wild.tiff")
    Image.fromarray(np.zeros((30, 30), dtype=np.uint8)).save("blank.png")
    wrong = ("text.png", "wild.tiff", "blank.png", "absent.png")
    code, said, error = ask("predict", *wrong, "digit.png", "--checkpoint", place / result.runs[0].checkpoint)
    net = results.load_model(result.recipe, result.runs[0].weights)
    digit, _ = predict.classify(net, [predict.prepare_file("digit.png")])[0]
    assert code == 2 and said.startswith(f"digit.png: {digit} (")
    assert all(error.count(name) == 1 for name in wrong) and error.count("\n") == len(wrong)


@pytest.mark.parametrize("accuracy", ["significantly above", "at or above", "below"])
def test_the_verdict_is_told_in_words(saved, accuracy):
    told = " ".join(summaries.verdict(replace(saved[0], train_limit=None, verdict=Verdict("within", "over", accuracy, 4))))
    assert f"accuracy {accuracy} the target of 99.40%" in told and "epochs over" in told and "parameters within" in told


def test_without_a_verdict_the_reason_is_told(saved):
    assert "No verdict: so short a run" in " ".join(summaries.verdict(saved[0]))


def test_a_run_is_compared_with_the_committed_result_of_its_like(saved):
    result, place = saved
    told = summaries.against(result, place)
    assert "differs by 0.00" in told and "2 of 2 of its seeds" in told
    assert "no comparison with the committed result" in summaries.against(replace(result, epochs=2), place)
    assert "no committed result" in summaries.against(replace(result, step="02_regularise"), place)


def test_a_report_ends_with_result_page_and_time(ask, saved, tmp_path, monkeypatch):
    write(tmp_path / "notebooks" / "03_augment.ipynb", "seeds = [0]")
    monkeypatch.setattr(runner, "run", lambda *_: runner.Done(tmp_path / "a.ipynb", tmp_path / "a.html", saved[0], 61))
    lines = ask("report", "03_augment")[1].splitlines()
    assert lines[1].startswith("03_augment: ") and "2 seeds" in lines[1] and lines[-2:] == ["Page: a.html", "Done in 1 min 01 s."]


def test_a_copied_step_is_the_old_one_with_its_change_spelt_out(ask, repository):
    write(
        repository / "notebooks" / "03_augment.ipynb",
        "seeds = [0]",
        'from mnistlib import steps\n\nstep = steps.get("03_augment")',
        "step.title",
    )
    code, said, _ = ask("new-step", "04_mine", "--from", "03_augment")
    assert code == 0 and "report notebooks/04_mine.ipynb -p split validation" in said
    story = nbformat.read(repository / "notebooks" / "04_mine.ipynb", 4)
    assert story.cells[0].source == "# 04 · Mine" and story.cells[3].source == "step.title"
    scope: dict = {}
    exec(story.cells[2].source, scope)  # noqa: S102
    original = steps.get("03_augment")
    assert scope["step"] == steps.Step("04_mine", "Mine", original.recipe, "03_augment")
    assert "replace(steps.AUGMENT, augment=replace(steps.AUGMENT.augment, " in story.cells[2].source
    assert ask("new-step", "04_mine", "--from", "03_augment")[0] == 2, "a step was overwritten"


@pytest.mark.parametrize("name", steps.STEPS)
def test_every_step_can_be_copied(name, tmp_path):
    story = nbformat.read(new_step.copy("09_mine", name, tmp_path), 4)
    setup = next(cell.source for cell in story.cells if "steps.Step(" in cell.source)
    line = next(line for line in setup.splitlines() if "steps.Step(" in line)
    assert len(setup.splitlines()) <= 12 and len(line) <= 140
    step = eval(line.removeprefix("step = "), {"steps": steps, "replace": replace})  # noqa: S307
    assert step == steps.Step("09_mine", "Mine", steps.get(name).recipe, name)
    assert story.cells[0].source.startswith("# 09 · Mine\n")


@pytest.mark.parametrize("change", [{"augment": None}, {"schedule": None}, {"label_smoothing": 0.1}])
def test_a_step_of_ones_own_can_be_copied_whatever_it_changes(change, repository, monkeypatch):
    mine = steps.Step("06_mine", "Mine", replace(steps.AUGMENT, **change), "03_augment")
    monkeypatch.setitem(steps.STEPS, mine.name, mine)
    monkeypatch.setattr(steps, "MINE", mine.recipe, raising=False)
    write(repository / "notebooks" / "06_mine.ipynb", "seeds = [0]", 'from mnistlib import steps\n\nstep = steps.get("06_mine")')
    story = nbformat.read(new_step.copy("07_next", "06_mine"), 4)
    scope: dict = {}
    exec(next(cell.source for cell in story.cells if "steps.Step(" in cell.source), scope)  # noqa: S102
    assert scope["step"] == steps.Step("07_next", "Next", mine.recipe, "06_mine")


def test_a_notebook_without_its_step_cannot_be_copied(repository):
    write(repository / "notebooks" / "03_augment.ipynb", "seeds = [0]", "step = None")
    with pytest.raises(SettingError, match="has no line"):
        new_step.copy("04_mine", "03_augment")
