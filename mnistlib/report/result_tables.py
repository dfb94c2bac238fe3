"""Tables of what a run found: curves, result, misclassified images, claims and provenance."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mnistlib import formatting, steps
from mnistlib.recipe import HELD_EPOCHS, MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import recipe_diff
from mnistlib.report.html import Cell, Shown, badge, element, folded, phrase, sentence, table, together
from mnistlib.report.result import Result
from mnistlib.report.step_report import StepReport
from mnistlib.stats import comparison, intervals
from mnistlib.stats.comparison import Claim, Verdict
from mnistlib.stats.misclassified import DIGITS, MANY, Misclassified
from mnistlib.stats.summary import per_epoch

LEVEL = formatting.percent(intervals.LEVEL, 0)  # of the intervals
FOLDED = "The data as a table"
_LABEL_ERRORS = {None: "", "majority": "wrong, by majority", "split": "opinions split", "neither": "neither digit"}
_CLAIMS = (StepReport.reached, StepReport.better, StepReport.no_worse)
_FACTS = {
    "torch": "PyTorch", "numpy": "NumPy", "cpu": "CPU", "gpu": "GPU", "seconds": "Training time, all seeds", "id": "Instance",
    "changed": "Uncommitted changes", "instructions": "CPU instructions", "machine_seconds": "Machine time",
    "commit": "Commit, or those of its runs",
}  # fmt: skip


def limits() -> Shown:
    """Return what the exercise asks for."""
    return table("What the exercise asks for", ["Measure", "Target"], list(_targets("test", "after the last epoch").values()))


def _targets(split: str, end: str) -> dict[str, tuple[str, str]]:
    return {
        "accuracy": (f"Accuracy on the {split} images {end}, mean of the seeds", f"at least {formatting.percent(MIN_ACCURACY)}"),
        "parameters": ("Parameters", f"fewer than {formatting.count(MAX_PARAMETERS)}"),
        "epochs": ("Epochs", f"at most {formatting.count(MAX_EPOCHS)}"),
        "held": (f"Lowest mean in the last {formatting.count(HELD_EPOCHS)} epochs", f"at least {formatting.percent(MIN_ACCURACY)}"),
    }


def goals(result: Result, goal: tuple[float, ...], minimum: tuple[float, ...]) -> Shown:
    """Return whether a result reaches its goals and, below them, a minimum: accuracies of the mean and, if given, of every seed."""
    achieved, rows = {"Mean of the seeds": result.summary.final_mean, "Lowest seed": result.summary.final_min}, []
    for kind, wanted in {"goal": goal, "minimum": minimum}.items():
        for (name, value), least in zip(achieved.items(), wanted, strict=False):
            texts = [f"at least {formatting.percent(least)}", formatting.percent(value, formatting.digits_against(value, least))]
            rows.append([f"{name}: the {kind}", *texts, badge("reached" if value >= least else "missed")])
    return table("The goals set beforehand, and what was achieved", ["Measure", "Target", "Achieved", "Verdict"], rows)


def curves_table(runs: Sequence[Any], split: str) -> Shown:
    """Return the values behind the curves, folded: means over the seeds, and the evaluated accuracy of each of a few seeds."""
    accuracies, many, name = per_epoch(runs, "eval_accuracy"), len(runs) > 1, split.capitalize()
    sds = accuracies.std(0, ddof=1) if many else [None] * accuracies.shape[1]
    columns = {
        "Epoch": map(formatting.count, range(1, len(sds) + 1)),
        "Learning rate": _cells(formatting.decimals, per_epoch(runs, "learning_rate").mean(0)),
        "Training loss": _cells(formatting.decimals, per_epoch(runs, "train_loss").mean(0)),
        f"{name} loss": _cells(formatting.decimals, per_epoch(runs, "eval_loss").mean(0)),
        "Training accuracy": _cells(formatting.percent, per_epoch(runs, "train_accuracy").mean(0)),
        f"{name} accuracy": _cells(formatting.mean_sd, accuracies.mean(0), sds),
    }
    each = {f"Seed {run.seed}": _cells(formatting.percent, row) for run, row in zip(runs, accuracies, strict=True)}
    columns |= each if 1 < len(runs) <= DIGITS else {}  # more columns than that nobody reads
    over = f"means of {formatting.count(len(runs))} seeds" if many else "one seed"
    caption = f"Loss and accuracy per epoch, {over}; training values are measured while training, the learning rate in the last step"
    return folded(FOLDED, table(caption, list(columns), zip(*columns.values(), strict=True)))


def _cells(text: Callable[..., str], *values: Sequence[Any]) -> list[str]:
    return [text(*cell) if np.isfinite(cell[0]) else "" for cell in zip(*values, strict=True)]


def result(result: Result, remark: str = "") -> Shown:
    """Return target and achieved value with the verdict where there is one; `remark` says why there is no comparison."""
    summary, verdict, split = result.summary, result.verdict, result.split
    digits, lowest, by_seed = partial(formatting.digits_against, target=MIN_ACCURACY), summary.lowest_mean, summary.seed_interval
    end = "at the epoch that was kept" if any(run.kept_epoch for run in result.runs) else "after the last epoch"
    interval = formatting.against(summary.interval, MIN_ACCURACY)
    over_seeds = formatting.against(by_seed, MIN_ACCURACY) if by_seed else "none: a single seed"
    best = [max(run.history.eval_accuracy) for run in result.runs]
    cost = formatting.dollars(result.provenance.get("cost", result.provenance.get("cost_at_most")))
    achieved = {
        "accuracy": formatting.mean_sd(summary.final_mean, summary.final_sd, digits(summary.final_mean)),
        "parameters": formatting.count(result.n_parameters),
        "epochs": formatting.count(result.epochs),
        "held": "fewer epochs" if lowest is None else formatting.percent(lowest, digits(lowest)),
    }
    badges = {name: badge(word) for name, word in vars(verdict).items()} if verdict else {}
    rows: list[list[Cell]] = [[*target, achieved[name], badges.get(name, "")] for name, target in _targets(split, end).items()]
    extremes = [formatting.percent(value, digits(value)) for value in (summary.final_min, summary.final_max)]
    last = f"the last {formatting.count(HELD_EPOCHS)} epochs"
    more = {
        f"{LEVEL} interval of the mean: {'other seeds and ' if by_seed else ''}other writers": interval,
        f"{LEVEL} interval of the mean: the same {split} images, other seeds": over_seeds,
        f"Seeds at or above the target {end}": comparison.share(summary.n_pass, summary.n_seeds),
        f"Seeds at or above the target in each of {last}": comparison.share(summary.n_held, summary.n_seeds),
        f"Lowest and highest seed {end}": " and ".join(extremes),
        f"Accuracy on the clean training images {end}": formatting.percent(np.mean([run.train_accuracy_clean for run in result.runs])),
        f"Gap: that minus the accuracy on the {split} images": formatting.change(formatting.POINTS, np.mean(result.gaps)),
        f"{split.capitalize()} loss (cross-entropy) {end}": formatting.decimals(np.mean(summary.losses)),
        f"Expected calibration error {end}": formatting.percent(np.mean(summary.calibration_errors)),
        "Time of the quickest seed": f"{formatting.seconds(min(result.seconds))}; others may have shared cores; energy not known; {cost}",
        f"Each seed at its best epoch, chosen on the {split} images": " on average, at most ".join(
            map(formatting.percent, (np.mean(best), max(best)))
        ),
    }
    more |= {f"Difference from {each.from_}": comparison.figures(each) for each in (result.difference, result.since_first) if each}
    images = f"{formatting.count(result.n_train)} training images, {formatting.count(result.n_eval)} {split} images"
    columns = 4 if verdict else 3  # without a verdict there is no column for it
    caption = f"Target and achieved value: {formatting.counted(summary.n_seeds, 'seed')}; {images}"
    shown = table(caption, ["Measure", "Target", "Achieved", "Verdict"][:columns], [row[:columns] for row in rows])
    limited = "There is no verdict, because so short a run cannot support one."
    remarks = ("" if verdict else limited, "" if result.difference else remark)
    figures = table("What else was measured", ["Measure", "Value"], [[name, text] for name, text in more.items()])
    return together([shown, *(sentence(text, "note") for text in remarks if text), figures])


def row(result: Result, before: Result | None = None) -> dict[str, Shown]:
    """Return the cells of a result in a table of results, by column; `before` is the result of the step that it changes."""
    summary = result.summary
    texts = {
        "Change": recipe_diff.summary(result.recipe, before.recipe) if before else "the floor",
        "Accuracy": formatting.mean_sd(summary.final_mean, summary.final_sd, formatting.digits_against(summary.final_mean, MIN_ACCURACY)),
        "Interval": formatting.against(summary.interval, MIN_ACCURACY),
        "Seeds passing": formatting.of(summary.n_pass, summary.n_seeds),
        "Seeds holding": formatting.of(summary.n_held, summary.n_seeds),
        "Verdict": verdict_words(result.verdict),
        "Parameters": formatting.count(result.n_parameters),
        "MACs": f"{result.n_macs / 1e6:.2f} M",
        "Quickest seed": formatting.seconds(min(result.seconds)),
    }
    return {column: phrase(text) for column, text in texts.items()}


def strip(result: Result) -> dict[str, str]:
    """Return the few figures of a result that stand below a page's title, every target judged, as HTML by their label."""
    summary, verdict, cells = result.summary, result.verdict, row(result)
    lowest = "fewer epochs" if summary.lowest_mean is None else formatting.percent(summary.lowest_mean)
    shown = {
        "accuracy": ("Accuracy, last epoch", cells["Accuracy"]),
        "held": (f"Lowest mean, last {formatting.count(HELD_EPOCHS)} epochs", phrase(lowest)),
        "parameters": ("Parameters", cells["Parameters"]),
        "epochs": ("Epochs", phrase(formatting.count(result.epochs))),
    }
    judged = {label: f"{cell.html} {badge(getattr(verdict, name)).html if verdict else ''}" for name, (label, cell) in shown.items()}
    return judged | {f"{LEVEL} interval": cells["Interval"].html, "Seeds passing": cells["Seeds passing"].html}


def verdict_words(verdict: Verdict | None) -> Shown:
    """Return the words of a verdict: the accuracy's, whether it is held, every limit that is exceeded; "none" without a verdict."""
    if verdict is None:
        return phrase("none")
    over = [badge("over", f"{limit} over") for limit in ("parameters", "epochs") if getattr(verdict, limit) == "over"]
    words = [badge(verdict.accuracy), badge(verdict.held), *over]
    return Shown(" ".join(word.html for word in words), ", ".join(word.text for word in words))


def misclassified(found: Sequence[Misclassified], split: str) -> Shown:
    """Return the images that most seeds misclassify, those of the gallery, as a folded table."""
    rows = [
        [
            str(one.id),
            formatting.confusion(one.label, one.prediction),
            formatting.of(one.votes, one.n_seeds),
            one.group,
            str(one.writer),
            _LABEL_ERRORS[one.label_error],
        ]
        for one in list(found)[:MANY]
    ]
    caption = f"The {formatting.count(len(rows))} images that most seeds misclassify, of {formatting.count(len(found))} {split} images"
    head = ["Image", "Most frequent error", "Seeds", "Writer's group", "Writer", "Label, by human vote"]
    return folded(FOLDED, table(f"{caption} that any seed misclassifies, by index in the file", head, rows))


def confusion(matrix: np.ndarray, split: str) -> Shown:
    """Return the confusion matrix as a folded table; correct predictions are left out."""
    digits = [str(digit) for digit in range(DIGITS)]
    errors = np.array(matrix, float)
    np.fill_diagonal(errors, 0)
    rows = [
        [digit, *(formatting.mean_count(value) if value else "" for value in row), formatting.mean_count(row.sum())]
        for digit, row in zip(digits, errors, strict=True)
    ]
    foot = ["All", *(formatting.mean_count(value) for value in errors.sum(0)), formatting.mean_count(errors.sum())]
    caption = f"{split.capitalize()} images of each digit (row) predicted as another (column), mean per seed"
    return folded(FOLDED, table(caption, ["Digit", *digits, "All"], rows, foot))


def groups(accuracies: Mapping[str, float], split: str) -> Shown:
    """Return the accuracy on each group of writers."""
    rows = [[name, formatting.percent(accuracy)] for name, accuracy in accuracies.items()]
    return table(f"Accuracy on the {split} images of each group of writers, mean of the seeds", ["Writers", "Accuracy"], rows)


def claims(claims: Sequence[Claim]) -> Shown:
    """Return the claims of an analysis, each with its outcome and the numbers that decide it."""
    rows = [[claim.claim, badge(claim.outcome), claim.figures] for claim in claims]
    return table(f"The claims and the numbers that decide them, with {LEVEL} intervals", ["Claim", "Outcome", "Numbers"], rows)


def learned(claims: Sequence[Claim], hypothesis: str = "") -> str:
    """Return what stands above all else on a page, as HTML: the hypothesis, and each claim with its outcome and its figures in short."""
    items = [
        f"<li>{badge(one.outcome).html} {html.escape(one.claim)} <span>{html.escape(_short(one.figures))}</span></li>" for one in claims
    ]
    said = f"<p><strong>Hypothesis:</strong> {html.escape(hypothesis)}</p>" if hypothesis else ""
    heading = '<h2 class="label">What we learned</h2>'
    return f'<section class="learned">{heading}{said}<ul>{"".join(items)}</ul></section>' if items else ""


def _short(figures: str) -> str:
    """Return the figures of a claim up to the second interval, measure, or step to compare with."""
    first = figures.split("; ")[0].split(") and ")[0]
    return f"{first})" if first.count("(") > first.count(")") else first


def first_five(report: StepReport, n: int = 5) -> Shown:
    """Return what the first five seeds alone would have shown beside all seeds; nothing where there are no more."""
    if len(report.runs) <= n:
        return phrase("")
    both, against = [report.first_seeds(n), report], formatting.against
    summaries = [each.result.summary for each in both]
    rows: list[list[Cell]] = [
        ["Mean", *(formatting.mean_sd(each.final_mean, each.final_sd) for each in summaries)],
        ["Interval: other seeds and other writers", *(against(each.interval, MIN_ACCURACY) for each in summaries)],
        ["Interval: the same images, other seeds", *(against(one.seed_interval, MIN_ACCURACY) for one in summaries if one.seed_interval)],
    ]
    if report.result.difference:
        differences, name = [each.result.difference for each in both], report.result.difference.from_
        rows.append([f"Difference from {name}", *map(comparison.figures, differences)])
        smallest = [formatting.amount(formatting.IMAGES, each.effect.smallest) for each in differences]
        rows.append([f"Smallest difference from {name} that it could have detected (power 80%), of 10,000", *smallest])
    found = [[claim(each) for each in both] for claim in _CLAIMS]
    rows += [[now.claim, badge(then.outcome), badge(now.outcome)] for then, now in found if now.outcome != "no comparison"]
    caption = f"What the first {formatting.count(n)} seeds alone would have shown; {LEVEL} intervals"
    return table(caption, ["Figure", f"First {formatting.count(n)} seeds", f"All {formatting.count(len(report.runs))} seeds"], rows)


def ablations(report: StepReport) -> Shown:
    """Return the ablations beside a step: what each changes in the step's recipe, and how much more accurate the step is."""
    rows = []
    for ablation in (step for step in steps.ABLATIONS.values() if step.beside == report.step.name):
        difference, sentence_ = report.beside(ablation.name)
        won = comparison.figures(difference) if difference else sentence_
        n_seeds = formatting.count(difference.effect.n_seeds) if difference else ""
        rows.append([f"{ablation.title} ({ablation.name})", recipe_diff.summary(ablation.recipe, report.step.recipe), n_seeds, won])
    if not rows:
        return phrase("")
    caption = f"{report.step.name} minus each ablation: the accuracy on the same images, with {LEVEL} intervals"
    return table(caption, ["Ablation", "What it changes", "Seeds, the smaller number", "Images that the step wins"], rows)


def provenance(result: Result) -> Shown:
    """Return where a result comes from."""
    known = {name: value for name, value in result.provenance.items() if value is not None or name.startswith("cost")}
    rows = [[_FACTS.get(name, name.replace("_", " ").capitalize()), _value(name, value)] for name, value in known.items()]
    hashes = {f"{name.capitalize()} sha256": result.keys.get(name) for name in ("data", "recipe")}
    rows += [[name, element("code", value)] for name, value in hashes.items() if value]
    return table(f"Where the result of {result.step} comes from", ["Fact", "Value"], rows)


def _value(name: str, value: Any) -> Cell:
    if name.startswith("cost"):
        return formatting.dollars(value)
    if name.endswith("seconds"):
        return formatting.seconds(value)
    return element("code", value) if name in ("commit", "id") else formatting.number(value)
