"""What the commands print at their end, as lines of text."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnistlib import data, files, formatting, train
from mnistlib.errors import DataError, ResultError
from mnistlib.recipe import HELD_EPOCHS, MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import result as results
from mnistlib.report.result import Result

DEFAULT = "reports/checkpoints/04_frontier-seed0.safetensors"  # the first seed, not the best


def of(result: Result, reports: Path | None = None) -> list[str]:
    """Return a result's accuracy, its verdict, and how it compares with the committed one."""
    return ["", accuracy(result), *verdict(result), against(result, reports or files.root() / "reports")]


def accuracy(result: Result) -> str:
    """Return the accuracy of a result in one sentence."""
    summary = result.summary
    end = "at the epoch that was kept" if any(run.kept_epoch for run in result.runs) else "after the last epoch"
    mean = formatting.mean_sd(summary.final_mean, summary.final_sd)
    seeds = formatting.counted(summary.n_seeds, "seed")
    return (
        f"{result.step}: {mean} of {formatting.count(result.n_eval)} {result.split} images {end}; {seeds}, "
        f"{formatting.counted(result.epochs, 'epoch')} (95% interval {formatting.against(summary.interval, MIN_ACCURACY)})."
    )


def verdict(result: Result) -> list[str]:
    """Return the verdict's lines, or the sentence that says why there is none."""
    said, summary = result.verdict, result.summary
    if said is None:
        return ["No verdict: so short a run cannot support one."]
    end, held = (formatting.of(n, summary.n_seeds) for n in (summary.n_pass, summary.n_held))
    n_parameters, limit = formatting.count(result.n_parameters), formatting.count(MAX_PARAMETERS)
    return [
        f"Verdict: accuracy {said.accuracy} the target of {formatting.percent(MIN_ACCURACY)}. "
        f"Seeds that reach it at the end: {end}; in each of the last {HELD_EPOCHS} epochs: {held} (the mean: {said.held}).",
        f"Limits: parameters {said.parameters} the limit ({n_parameters}; fewer than {limit} allowed), "
        f"epochs {said.epochs} the limit ({result.epochs}; at most {MAX_EPOCHS} allowed).",
    ]


def against(result: Result, reports: Path) -> str:
    """Return one sentence on how a result compares with the committed one of the same step."""
    paths = [place / "results" / f"{result.step}.json" for place in (reports, reports / "published")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return f"There is no committed result of {result.step} to compare with."
    try:
        committed = results.read(path)
        results.check_comparable(results.conditions(result), result.keys["data"], committed)
    except ResultError as error:
        return str(error).replace(f"comparison with {result.step}", "comparison with the committed result")
    mean = formatting.mean_sd(committed.summary.final_mean, committed.summary.final_sd)
    difference = formatting.change(formatting.POINTS, result.summary.final_mean - committed.summary.final_mean)
    theirs = {run.seed: run.final for run in committed.runs}
    same = sum(theirs.get(run.seed) == run.final for run in result.runs)
    return (
        f"Committed{'' if committed.recipe == result.recipe else ' with another recipe'}: {mean}, "
        f"{formatting.counted(len(committed.runs), 'seed')}; this run differs by {difference}, "
        f"and {formatting.of(same, len(result.runs))} of its seeds have the same accuracy."
    )


def evaluation(checkpoint: Path) -> list[str]:
    """Return the accuracy of a checkpoint, computed anew; raise ResultError where its report states another."""
    result, run, weights = results.of_checkpoint(_existing(checkpoint))
    model = results.load_model(result.recipe, weights)
    mnist = data.load(result.split, result.train_limit)
    results.check_comparable(results.conditions(result), mnist.sha256, result)
    _, predictions, _ = train.evaluate(model, mnist.eval)
    n, n_correct = len(predictions), int((predictions == mnist.eval.labels.numpy()).sum())
    stated = round(run.final * n)
    line = f"{checkpoint.name}: {formatting.percent(n_correct / n)}, {formatting.of(n_correct, n)} images"
    if n_correct != stated:
        raise ResultError(f"{line}; its report states {formatting.percent(stated / n)}, {formatting.of(stated, n)}.")
    return [f"{line}, as its report states."]


def classified(images: Sequence[Path], checkpoint: Path | None = None) -> Iterator[str]:
    """Yield the digit that a checkpoint's net sees in each image file; at the end raise DataError for files that cannot be used."""
    from mnistlib import predict  # and SciPy's image processing with it, which no other command needs

    result, _, weights = results.of_checkpoint(_existing(checkpoint or files.root() / DEFAULT))
    model, errors = results.load_model(result.recipe, weights), []
    for path in images:
        try:
            digit, probability = predict.classify(model, [predict.prepare_file(path)])[0]
        except DataError as error:
            errors.append(str(error))
        else:
            yield f"{path}: {digit} (probability {formatting.percent(probability, 1)})"
    if errors:
        raise DataError("\n".join(errors))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ResultError(f"There is no checkpoint {str(path)!r}; the committed ones are in reports/checkpoints/ of a clone.")
    return path.resolve()


def short(path: Path) -> str:
    """Return a path as it is shortest to type: relative to the working directory if it lies below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
