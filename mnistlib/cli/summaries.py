"""What the commands say at their end, as lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from mnistlib import files, formatting, models, predict
from mnistlib.cli.training import Trained
from mnistlib.errors import DataError, ResultError
from mnistlib.notebook.runner import Done
from mnistlib.published import folds
from mnistlib.recipe import HELD_EPOCHS, MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import results, step_report
from mnistlib.report.result import Result, Run

DEFAULT = "reports/checkpoints/03_augment-seed0.safetensors"  # the first seed, not the best


def report(done: Done, reports: Path | None = None) -> list[str]:
    """Return the verdict of a run, its page, and how it compares with the committed result."""
    lines = [""]
    if done.result is not None:
        lines += [figures(done.result), *verdict(done.result), against(done.result, reports or files.root() / "reports")]
    return [*lines, f"Page: {short(done.page)}", f"Done in {formatting.seconds(done.seconds)}."]


def training(done: Trained, reports: Path | None = None) -> list[str]:
    """Return the verdict of a run without a page, how it compares with the committed result, and where result and log are."""
    lines = ["", figures(done.result), *verdict(done.result), against(done.result, reports or files.root() / "reports")]
    return [*lines, f"Result: {short(done.path)}", f"Log: {short(done.log)}"]


def figures(result: Result) -> str:
    """Return the accuracy of a result in one sentence."""
    summary = result.summary
    judged = "test" if result.split == "test" else "validation"
    seeds = formatting.counted(summary.n_seeds, "seed")
    end = "the epoch that the recipe keeps," if any(run.kept for run in result.runs) else "the last"
    accuracy = formatting.mean_sd(summary.final_mean, summary.final_sd)
    return (
        f"{result.step}: {accuracy} of {formatting.count(result.n_test)} {judged} images right at {end} of {formatting.count(result.epochs)} epochs,"
        f" {seeds} (95% interval {formatting.interval(summary.interval)})."
    )


def verdict(result: Result) -> list[str]:
    """Return the verdict's lines, or the sentence that says why there is none."""
    if result.verdict is None:
        why = "only part of the training images was used" if result.dataset == "mnist" else "this is the offline sample, not MNIST"
        return [f"No verdict: {why}."]
    said, summary, target = result.verdict, result.summary, formatting.percent(MIN_ACCURACY)
    accuracy = {
        "shown": f"shown (the whole interval is above {target})",
        "reached": f"reached (the mean is at or above {target})",
        "missed": f"missed (the mean is below {target})",
    }[said.accuracy]
    return [
        f"Verdict: accuracy {accuracy}; {formatting.of(summary.n_pass, summary.n_seeds)} seeds end there,"
        f" {formatting.of(said.held, summary.n_seeds)} held it over the last {HELD_EPOCHS} epochs.",
        f"Limits: parameters {said.parameters} ({formatting.count(result.n_parameters)}; fewer than {formatting.count(MAX_PARAMETERS)} allowed),"
        f" epochs {said.epochs} ({formatting.count(result.epochs)}; at most {MAX_EPOCHS} allowed).",
    ]


def against(result: Result, reports: Path) -> str:
    """Return one sentence on how a result compares with the committed one of the same step or published row."""
    places = (results.base(reports, result.dataset), results.base(reports / "published", result.dataset))
    path = next((path for place in places if (path := place / "results" / f"{result.step}.json").exists()), None)
    if path is None:
        return f"There is no committed result of {result.step} to compare with."
    try:
        committed = results.read(path)
    except ResultError as error:
        return str(error)
    sentence = results.obstacle(result.conditions, committed)
    if sentence:
        return sentence.replace(f"comparison with {result.step}", "comparison with the committed result")
    accuracy = formatting.mean_sd(committed.summary.final_mean, committed.summary.final_sd)
    difference = result.summary.final_mean - committed.summary.final_mean
    theirs = {run.seed: run.final for run in committed.runs}
    of = "" if committed.recipe == result.recipe else ", of another recipe"
    same = sum(theirs.get(run.seed) == run.final for run in result.runs)
    return (
        f"Committed{of}: {accuracy} over {formatting.of(len(result.runs), len(committed.runs))} seeds;"
        f" this run differs by {formatting.points(difference)}, and {formatting.of(same, len(result.runs))} of its seeds end at the very same accuracy."
    )


def evaluation(checkpoint: Path, data_dir: str | None = None) -> list[str]:
    """Return the accuracy of a checkpoint, computed anew; raise ResultError where its report states another."""
    result, run, weights = _checkpoint(checkpoint)
    mnist = folds.load(result.dataset, result.split, result.limit, data_dir)
    sentence = results.obstacle(results.conditions(mnist, result.epochs), result)
    if sentence:
        raise ResultError(sentence)
    digits, _ = step_report.judge(result.recipe, weights, mnist.test)
    n, n_right = len(digits), int((digits == mnist.test.labels.numpy()).sum())
    stated = round(run.final * n)
    line = f"{checkpoint.name}: {formatting.percent(n_right / n)}, {formatting.of(n_right, n)} images"
    if n_right != stated:
        raise ResultError(f"{line}; the report states {formatting.percent(stated / n)}, {formatting.of(stated, n)}.")
    return [f"{line}, as the report states."]


def readings(images: Sequence[Path], checkpoint: Path | None = None) -> Iterator[str]:
    """Yield the digit that a checkpoint's net sees in each image file; at the end raise DataError for those that cannot be read."""
    result, _, weights = _checkpoint(checkpoint or files.root() / DEFAULT)
    net = models.build(result.recipe.model, result.recipe.dropout)
    net.load_state_dict(weights)
    errors = []
    for path in images:
        try:
            digit, probability = predict.classify(net, [predict.prepare(predict.read(path))])[0]
        except DataError as error:
            errors.append(f"{path}: {error}")
        else:
            yield f"{path}: {digit} ({formatting.percent(probability, 1)} sure)"
    if errors:
        raise DataError("\n".join(errors))


def _checkpoint(path: Path) -> tuple[Result, Run, dict[str, Tensor]]:
    """Return the result and the run that a checkpoint file belongs to, and its weights."""
    if not path.is_file():
        raise ResultError(f"There is no checkpoint {str(path)!r}; the committed ones are in reports/checkpoints/.")
    return results.of_checkpoint(path.resolve())


def short(path: Path) -> str:
    """Return a path as it is shortest to type: below the working directory without it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
