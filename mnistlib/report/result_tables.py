"""What a run found, as tables: curves, result, mistakes, claims and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnistlib import formatting
from mnistlib.recipe import HELD_EPOCHS, MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import html, plots
from mnistlib.report.html import Cell, Shown
from mnistlib.report.image_figures import DIGITS, MANY
from mnistlib.report.plots import About
from mnistlib.report.result import Result
from mnistlib.runs import cloud_machine
from mnistlib.stats.misclassified import Change, Mistake
from mnistlib.stats.summary import Claim

FOLDED = "The data as a table"
_KNOWN = {"majority": "wrong, by majority", "split": "opinions split", "neither": "neither digit"}
_DIRECTIONS = {"better": "more accurate", "worse": "less accurate", "unclear": "not told apart"}


def limits() -> Shown:
    """Return what the exercise asks for."""
    return html.table("What the exercise asks for", ["Measure", "Target"], [(name, target) for _, name, target in _targets("test")])


def _targets(split: str) -> list[tuple[str, str, str]]:
    """Return each target: the field of a verdict that judges it, what is measured, and what is asked for."""
    return [
        (
            "accuracy",
            f"Accuracy on the {split} images at the last epoch, mean over the seeds",
            f"at least {formatting.percent(MIN_ACCURACY)}",
        ),
        ("parameters", "Parameters", f"fewer than {formatting.count(MAX_PARAMETERS)}"),
        ("epochs", "Epochs", f"at most {formatting.count(MAX_EPOCHS)}"),
        ("held", f"Seeds that keep the accuracy over the last {formatting.count(HELD_EPOCHS)} epochs", "all"),
    ]


def curves_table(runs: Sequence[Any], about: About) -> Shown:
    """Return the figures behind the curves, folded: means over the seeds, and the judged accuracy of every seed."""
    split, many = about.split, len(runs) > 1
    names = ("train_loss", "test_loss", "train_accuracy")
    loss, judged_loss, accuracy = (plots.table(runs, name).mean(0) for name in names)
    judged, rates = plots.table(runs, "test_accuracy"), plots.history(runs[0], "learning_rate")
    head = ["Epoch", "Learning rate", "Training loss", f"{split.capitalize()} loss", "Training accuracy", f"{split.capitalize()} accuracy"]
    head += [f"Seed {formatting.count(run.seed)}" for run in runs] if many else []
    rows = []
    for epoch in range(judged.shape[1]):
        row = [
            formatting.count(epoch + 1),
            formatting.fraction(rates[epoch]),
            formatting.loss(loss[epoch]),
            formatting.loss(judged_loss[epoch]),
        ]
        sd = float(judged[:, epoch].std(ddof=1)) if many else None
        row += [formatting.percent(accuracy[epoch]), formatting.mean_sd(float(judged[:, epoch].mean()), sd)]
        rows.append(row + ([formatting.percent(value) for value in judged[:, epoch]] if many else []))
    over = f"mean over {formatting.count(len(runs))} seeds, {split} accuracy ± standard deviation and seed by seed" if many else "one seed"
    caption = f"Loss and accuracy per epoch, {over}; training figures are running ones, learning rate that of the last step"
    return html.folded(FOLDED, html.table(caption, head, rows, dataset=about.dataset))


def result(result: Result, sentence: str = "") -> Shown:
    """Return target against achieved with a verdict where there is one; `sentence` says why there is no comparison."""
    summary, verdict, split = result.summary, result.verdict, result.split
    achieved = {
        "accuracy": formatting.mean_sd_against(summary.final_mean, summary.final_sd, MIN_ACCURACY),
        "parameters": formatting.count(result.n_parameters),
        "epochs": formatting.count(result.epochs),
        "held": formatting.of(summary.n_held, summary.n_seeds),
    }
    rows: list[list[Cell]] = []
    for field, name, target in _targets(split):
        word = getattr(verdict, field) if verdict and field != "held" else ""
        rows.append([name, target, achieved[field], html.badge(word) if word else ""])
    passing = f"{formatting.of(summary.n_pass, summary.n_seeds)} (of all seeds {formatting.interval(summary.pass_interval, 0)}, Clopper-Pearson 95%)"
    extremes = [formatting.percent_against(value, MIN_ACCURACY) for value in (summary.final_min, summary.final_max)]
    best = max(max(run.test_accuracy) for run in result.runs)
    more = {
        f"95% interval of the mean, resampling {summary.interval_by}": formatting.interval_against(summary.interval, MIN_ACCURACY),
        "Seeds at or above the target at the last epoch": passing,
        "Lowest and highest seed at the last epoch": " and ".join(extremes),
        "Training accuracy, last weights, clean images": formatting.percent(
            float(np.mean([run.train_accuracy_clean for run in result.runs]))
        ),
        f"Best epoch of any seed, chosen on the {split} set": formatting.percent(best),
    }
    if result.difference is not None:
        difference = result.difference
        text = f"{formatting.points(difference.mean)} (95% interval {formatting.points_interval(difference.interval)})"
        more[f"Against {difference.from_}"] = f"{text}, {_DIRECTIONS[difference.direction]}"
    rows += [[name, "", text, ""] for name, text in more.items()]
    seeds = f"{formatting.count(summary.n_seeds)} {'seed' if summary.n_seeds == 1 else 'seeds, ± their standard deviation'}"
    images = f"{formatting.count(result.n_train)} training images, {formatting.count(result.n_test)} {split} images"
    columns = 4 if verdict else 3  # without a verdict there is no column for it
    head = ["Measure", "Target", "Achieved", "Verdict"][:columns]
    caption = f"Target against achieved: {seeds}; {images}"
    shown = html.table(caption, head, [row[:columns] for row in rows], dataset=result.dataset)
    reasons = (_no_verdict(result), sentence if result.difference is None else "")
    return html.together([shown, *(html.sentence(text, "note") for text in reasons if text)])


def _no_verdict(result: Result) -> str:
    """Return why a result has no verdict, "" where it has one."""
    if result.verdict is not None:
        return ""
    if result.dataset == "digits":
        return "There is no verdict: the exercise is about MNIST, and this run saw an offline sample that is not MNIST."
    return f"There is no verdict: this run trained on {formatting.count(result.n_train)} images, a part of those there are."


def mistakes(found: Sequence[Mistake], about: About) -> Shown:
    """Return the most mistaken images, those of the gallery, as a folded table."""
    rows = [
        [
            formatting.identifier(mistake.id),
            formatting.confusion(mistake.label, mistake.prediction),
            formatting.of(mistake.votes, mistake.n_seeds),
            mistake.group or "",
            "" if mistake.writer is None else formatting.identifier(mistake.writer),
            _KNOWN.get(mistake.known, "") if mistake.known else "",
        ]
        for mistake in list(found)[:MANY]
    ]
    caption = f"The {formatting.count(len(rows))} most mistaken of {formatting.count(len(found))} misread {about.split} images, by place in the file"
    head = ["Image", "Commonest misreading", "Seeds", "Writer's group", "Writer", "Label, by human vote"]
    told = [place for place in range(len(head)) if place < 3 or any(row[place] for row in rows)]  # what is not known takes no column
    shown = html.table(caption, [head[place] for place in told], [[row[place] for place in told] for row in rows], dataset=about.dataset)
    return html.folded(FOLDED, shown)


def confusion(matrix: np.ndarray, about: About) -> Shown:
    """Return the confusion table as figures, folded; right answers are left out."""
    digits = [formatting.count(digit) for digit in range(DIGITS)]
    errors = np.array(matrix, float)
    np.fill_diagonal(errors, 0)
    rows = [
        [
            digits[label],
            *(formatting.mean_count(value) if value else "" for value in errors[label]),
            formatting.mean_count(errors[label].sum()),
        ]
        for label in range(DIGITS)
    ]
    foot = ["All", *(formatting.mean_count(value) for value in errors.sum(0)), formatting.mean_count(errors.sum())]
    caption = f"{about.split.capitalize()} images of each digit (row) read as another (column), a seed on average"
    return html.folded(FOLDED, html.table(caption, ["Digit", *digits, "All"], rows, foot, about.dataset))


def changes(found: Sequence[Change], before: str, about: About, many: int = 5) -> Shown:
    """Return the kinds of error that went and that came since the step `before`, those that changed most."""
    went = [change for change in found if change.after < change.before][:many]
    came = [change for change in reversed(found) if change.after > change.before][:many]
    rows = [
        [
            formatting.confusion(change.label, change.prediction),
            formatting.mean_count(change.before),
            formatting.mean_count(change.after),
            word,
        ]
        for word, part in (("rarer", went), ("more common", came))
        for change in part
    ]
    if not rows:
        return html.sentence(f"No kind of error is rarer or more common than in {before}.", "note")
    caption = f"Kinds of error, in images a seed, that changed most since {before}"
    return html.table(caption, ["Error", "Before", "Now", "Change"], rows, dataset=about.dataset)


def groups(accuracies: Mapping[str, float], about: About) -> Shown:
    """Return the accuracy on each group of writers."""
    if not accuracies:
        return html.sentence("Who wrote the images is not known here.", "note")
    rows = [[name, formatting.percent(accuracy)] for name, accuracy in accuracies.items()]
    caption = f"Accuracy on the {about.split} images of each group of writers, mean over the seeds"
    return html.table(caption, ["Writers", "Accuracy"], rows, dataset=about.dataset)


def claims(claims: Sequence[Claim], about: About) -> Shown:
    """Return the claims of an Analysis, each with the figures that support it or not."""
    words = {True: html.badge("supported"), False: html.badge("refuted", "not supported")}
    rows = [[claim.claim, words[claim.supported], claim.figures] for claim in claims]
    return html.table("The claims above, against the figures", ["Claim", "Supported", "Figures"], rows, dataset=about.dataset)


def provenance(result: Result) -> Shown:
    """Return where a result comes from, and the last lines of the run's log where one is kept."""
    about = {name: value for name, value in result.provenance.items() if value is not None or name.startswith("cost")}
    rows = [[name.replace("_", " ").capitalize(), _value(name, value)] for name, value in about.items()]
    hashes = {name: result.keys.get(name) for name in ("data", "recipe")}
    rows += [[f"{name.capitalize()} sha256", html.element("code", value)] for name, value in hashes.items() if value]
    shown = html.table(f"Where the result of {result.step} comes from", ["Fact", "Value"], rows, dataset=result.dataset)
    log = "\n".join(cloud_machine.tail())
    return html.together([shown, html.folded("The end of the log", html.element("pre", log))]) if log else shown


def _value(name: str, value: Any) -> Cell:
    """Return one entry of a provenance as text."""
    if name.startswith("cost"):
        return formatting.dollars(value)
    if name.endswith("seconds"):
        return formatting.seconds(value)
    return html.element("code", value) if name in ("commit", "id") else formatting.number(value)
