"""The commands: what they print, what they refuse, and with which exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat import v4
from PIL import Image

from mnistlib import __main__, data, models, steps, train
from mnistlib.cli import options, summaries
from mnistlib.errors import ResultError, SettingError
from mnistlib.notebook import build, new_step, runner
from mnistlib.published import schedulers, transforms
from mnistlib.recipe import Steering
from mnistlib.report import result as schema
from mnistlib.report import results, step_report
from mnistlib.runs import provenance, seeds, storage
from mnistlib.stats.summary import Verdict


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command and returns its exit code, what it printed, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mnistlib", *map(str, words)])
        code = __main__.main()
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
def trained() -> tuple[data.Mnist, list[storage.Trial]]:
    """Return the offline sample and a step's recipe trained on it for one epoch."""
    sample = data.load("digits", limit=300)
    recipe = replace(steps.get("03_augment").recipe, epochs=1)
    runs = [train.train(recipe, sample, seed, seeds.key(recipe, sample, seed)) for seed in (0, 1)]
    return sample, runs


@pytest.fixture
def saved(trained, repository) -> tuple[schema.Result, Path]:
    """Return a result of the offline sample saved in a repository, and its folder."""
    sample, runs = trained
    step = steps.get("03_augment")
    about = {"n_parameters": 7_546, "n_macs": 834_000, "receptive_field": 20, "provenance": provenance.collect(0, 1, "cpu")}
    result = results.make(step, sample, runs, recipe=replace(step.recipe, epochs=1), **about)
    results.save(result, runs, repository / "reports")
    return result, repository / "reports" / "digits"


def test_without_a_word_the_commands_are_listed(ask):
    code, said, _ = ask()
    assert code == 0 and all(name in said for name in __main__.commands.commands)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reprot"], "There is no command 'reprot'. Did you mean 'report'?"),
        (["report", "03_agument"], "There is no notebook '03_agument'. Did you mean '03_augment'?"),
        (["choose", "03_agument"], "There is no step '03_agument'; "),
        (["step", "04_mine", "--from", "03_agument"], "Did you mean '03_augment'?"),
        (["step", "Mine", "--from", "03_augment"], "it must be two digits"),
        (["step", "03_augment", "--from", "03_augment"], "There is a step '03_augment' already"),
        (["report", "03_augment", "-p", "epcohs", "1"], "There is no parameter 'epcohs'. Did you mean 'epochs'?"),
        (["report", "03_augment", "-y", "7"], "does not set parameters"),
        (["report", "03_augment", "-y", "a: ["], "does not set parameters"),
        (["report", "03_augment", "--colour"], "No such option"),
        (["report"], "Missing argument 'NAME'"),
        (["evaluate", "no.safetensors"], "There is no checkpoint 'no.safetensors'"),
        (["predict", "a.png"], "reports/checkpoints/"),
    ],
)
def test_what_cannot_be_met_is_one_line_and_exit_code_two(ask, repository, words, sentence):
    write(repository / "notebooks" / "03_augment.ipynb", "epochs = None", "1 / 0")
    code, said, error = ask(*words)
    assert (code, said) == (2, "")
    assert error.startswith("Error: ") and sentence in error and error.count("\n") == 1


def test_a_failing_notebook_is_one_line_and_exit_code_one(ask, repository):
    write(repository / "notebooks" / "03_augment.ipynb", "epochs = None", "1 / 0")
    code, _, error = ask("report", "03_augment")
    assert code == 1
    assert error.startswith("Error: 03_augment.ipynb failed in cell In [2] under '03_augment': ZeroDivisionError: division by zero.")
    assert error.count("\n") == 1 and sorted(path.name for path in (repository / "build").iterdir()) == [
        "03_augment.failed.html",
        "03_augment.failed.ipynb",
    ]


def test_a_report_goes_to_build_or_where_asked_with_the_parameters_given(ask, repository):
    write(
        repository / "notebooks" / "03_augment.ipynb",
        "seeds = [0]\nepochs = None\nresults_dir = 'build'",
        "print(seeds, epochs, results_dir)",
    )
    (repository / "more.yaml").write_text("epochs: 9\nseeds: [7]\n")
    code, said, _ = ask("report", "03_augment", "-f", "more.yaml", "-y", "seeds: [3, 4]", "-p", "epochs", "2")
    assert code == 0 and "[3, 4] 2 build\n" in said and "Page: build/03_augment.html\n" in said
    assert (repository / "build" / "03_augment.html").is_file()
    code, said, _ = ask("report", "03_augment", "--out", "mine")
    assert code == 0 and f"[0] None {repository / 'mine'}\n" in said and (repository / "mine" / "03_augment.html").is_file()


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
    n_right = round(result.runs[1].test_accuracy[-1] * result.n_test)
    assert code == 0 and f"{n_right} of {result.n_test} images, as the report states." in said


def test_evaluate_tells_of_another_accuracy(ask, saved, trained):
    result, place = saved
    wrong = replace(result.runs[0], test_accuracy=(result.runs[0].test_accuracy[-1] - 3 / result.n_test,))
    results.save(replace(result, runs=(wrong, result.runs[1])), trained[1], place.parent)
    code, said, error = ask("evaluate", place / wrong.checkpoint)
    assert (code, said) == (2, "") and "the report states" in error


def test_predict_names_the_digit_and_every_file_that_is_none(ask, saved, trained, tmp_path):
    result, place = saved
    image = trained[0].test.images[0].numpy()
    Image.fromarray(np.kron(255 - image, np.ones((5, 5), dtype=np.uint8))).save(tmp_path / "digit.png")
    (tmp_path / "text.png").write_text("no image")
    code, said, error = ask("predict", tmp_path / "text.png", tmp_path / "digit.png", "--checkpoint", place / result.runs[0].checkpoint)
    net = models.build(result.recipe.model)
    net.load_state_dict(trained[1][0].weights)
    from mnistlib import predict

    digit, _ = predict.classify(net, [predict.prepare(predict.read(tmp_path / "digit.png"))])[0]
    assert code == 2 and said.startswith(f"{tmp_path / 'digit.png'}: {digit} (") and "text.png" in error


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        ("shown", "the whole interval is above 99.40%"),
        ("reached", "the mean is at or above 99.40%"),
        ("missed", "the mean is below 99.40%"),
    ],
)
def test_the_verdict_is_told_in_words(saved, accuracy, words):
    told = " ".join(summaries.verdict(replace(saved[0], dataset="mnist", limit=None, verdict=Verdict("kept", "broken", accuracy, 4))))
    assert f"Verdict: accuracy {accuracy} ({words})" in told and "epochs broken" in told and "parameters kept" in told


def test_without_a_verdict_the_reason_is_told(saved):
    assert summaries.verdict(saved[0]) == ["No verdict: this is the offline sample, not MNIST."]
    assert summaries.verdict(replace(saved[0], dataset="mnist")) == ["No verdict: only part of the training images was used."]


def test_a_run_is_compared_with_the_committed_result_of_its_like(saved):
    result, place = saved
    told = summaries.against(result, place.parent)
    assert "differs by 0.00 points" in told and "2 of 2 of its seeds end at the very same accuracy" in told
    assert "There is no comparison with the committed result" in summaries.against(replace(result, epochs=2), place.parent)
    assert (
        summaries.against(replace(result, step="02_regularise"), place.parent)
        == "There is no committed result of 02_regularise to compare with."
    )


def test_a_report_ends_with_result_page_and_time(saved, tmp_path):
    lines = summaries.report(runner.Done(tmp_path / "a.ipynb", tmp_path / "a.html", saved[0], 61), tmp_path / "reports")
    assert lines[1].startswith("03_augment: ") and "2 seeds" in lines[1] and lines[-2:] == ["Page: a.html", "Done in 1 min 01 s."]


def test_a_copied_step_is_the_old_one_with_its_change_spelt_out(ask, repository):
    write(
        repository / "notebooks" / "03_augment.ipynb",
        "seeds = [0]",
        'from mnistlib import steps\n\nstep = steps.get("03_augment")',
        "step.title",
    )
    code, said, _ = ask("step", "04_mine", "--from", "03_augment")
    assert code == 0 and "report notebooks/04_mine.ipynb -p split validation" in said
    story = nbformat.read(repository / "notebooks" / "04_mine.ipynb", 4)
    assert story.cells[0].source == "# 04 · Mine" and story.cells[3].source == "step.title"
    scope: dict = {}
    exec(story.cells[2].source, scope)  # noqa: S102
    original = steps.get("03_augment")
    assert scope["step"] == steps.Step("04_mine", "Mine", original.recipe, "03_augment")
    assert "replace(steps.AUGMENT, augment=replace(steps.AUGMENT.augment, " in story.cells[2].source
    assert ask("step", "04_mine", "--from", "03_augment")[0] == 2, "a step was overwritten"


@pytest.mark.parametrize("name", steps.STEPS)
def test_every_step_can_be_copied(name, tmp_path):
    story = nbformat.read(new_step.copy("09_mine", name, tmp_path), 4)
    setup = next(cell.source for cell in story.cells if "steps.Step(" in cell.source)
    line = next(line for line in setup.splitlines() if "steps.Step(" in line)
    assert len(setup.splitlines()) <= 10 and len(line) <= 140
    step = eval(line.removeprefix("step = "), {"steps": steps, "replace": replace})  # noqa: S307
    assert step == steps.Step("09_mine", "Mine", steps.get(name).recipe, name)
    assert story.cells[0].source.startswith("# 09 · Mine\n")


@pytest.mark.parametrize(
    "change",
    [
        {"augment": (transforms.Rotation(degrees=7), transforms.ResizedCrop())},
        {"schedule": schedulers.OneCycle(rise=0.2)},
        {"steering": Steering(by="validation")},
    ],
)
def test_a_step_of_ones_own_can_be_copied_whatever_it_changes(change, repository, monkeypatch):
    mine = steps.Step("06_mine", "Mine", replace(steps.SHORT, **change), "05_short")
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


def test_pages_refuse_to_train(trained, repository):
    sample, runs = trained
    write(repository / "notebooks" / "03_augment.ipynb", "seeds: list[int] = [0, 1]")
    recipe = steps.get("03_augment").recipe
    with pytest.raises(ResultError, match="seeds 0, 1; `make series`"):
        build.check_trained("03_augment", sample)
    for run in runs:
        key = seeds.key(recipe, sample, run.seed)
        storage.save_trial(seeds.path(key), replace(run, key=key))
        if run.seed == 0:
            with pytest.raises(ResultError, match="seeds 1;"):
                build.check_trained("03_augment", sample)
    build.check_trained("03_augment", sample)


def test_outcome_judges_as_training_did(trained):
    sample, runs = trained
    recipe = replace(steps.get("03_augment").recipe, epochs=1)
    digits, _ = step_report.judge(recipe, runs[0].weights, sample.test)
    assert torch.equal(torch.from_numpy(digits), torch.from_numpy(runs[0].predictions))
