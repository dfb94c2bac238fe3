"""One result in a few words: the row of a table of results, and the verdict."""

import numpy as np

from mnistlib import formatting
from mnistlib.report import recipe_diff
from mnistlib.report.html import Shown, badge, phrase
from mnistlib.report.result import Result
from mnistlib.stats.comparison import Verdict

LEVEL = 0.95  # of the intervals


def row(result: Result, before: Result | None = None) -> dict[str, Shown]:
    """Return the cells of a result in a table of results, by column; `before` is the result of the step that it changes."""
    summary = result.summary
    texts = {
        "Change": recipe_diff.summary(result.recipe, before.recipe) if before else "the first recipe",
        "Accuracy": formatting.mean_sd(summary.final_mean, summary.final_sd),
        "Interval": formatting.interval(summary.interval),
        "Minimum": formatting.percent(summary.final_min),
        "Seeds passing": formatting.of(summary.n_pass, summary.n_seeds),
        "Held": formatting.of(summary.n_held, summary.n_seeds),
        "Verdict": verdict(result.verdict),
        "Parameters": formatting.count(result.n_parameters),
        "MACs": formatting.millions(result.n_macs),
        "Receptive field": f"{formatting.count(result.receptive_field)} px",
        "Time per seed": formatting.seconds(np.mean([sum(run.history.seconds) for run in result.runs])),
    }
    return {column: phrase(text) for column, text in texts.items()}


def strip(result: Result) -> dict[str, str]:
    """Return the few cells of a result that stand below a page's title, as HTML by their label."""
    cells, names = row(result), ["Accuracy", "Interval", "Seeds passing", "Parameters", *(["Verdict"] if result.verdict else [])]
    return {f"{formatting.percent(LEVEL, 0)} interval" if name == "Interval" else name: cells[name].html for name in names}


def verdict(verdict: Verdict | None) -> Shown:
    """Return the words of a verdict: the accuracy's, then every limit that is exceeded; "none" without a verdict."""
    if verdict is None:
        return phrase("none")
    over = [badge("over", f"{limit} over") for limit in ("parameters", "epochs") if getattr(verdict, limit) == "over"]
    words = [badge(verdict.accuracy), *over]
    return Shown(" ".join(word.html for word in words), ", ".join(word.text for word in words))
