"""What the page of a net of one's own reports of its runs."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coursework import judge, tables
from coursework.inspection import Inspected
from mnistlib import formatting
from mnistlib.data import Mnist
from mnistlib.recipe import MIN_ACCURACY, Recipe
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.report.step_report import StepReport
from mnistlib.runs import Run, provenance
from mnistlib.stats.comparison import Claim
from mnistlib.steps import Step

NOTEBOOK = "your_own"
SEEDS, EPOCHS = 4, 5  # of a run of some minutes; the notebook has the same


def make(net: Inspected, recipe: Recipe, mnist: Mnist, runs: Sequence[Run], results_dir: Path) -> StepReport:
    """Make the report of a net's runs and save its result under a results folder."""
    step = Step(net.key, net.title, replace(recipe, model=net.title), notebook=NOTEBOOK)
    size = (net.answer.parameters or 0, net.answer.multiply_adds or 0, net.answer.receptive_field or 0)
    made = judge.result(step, recipe, mnist, runs, *size)
    made = replace(made, verdict=None) if _shortened(net, made) else made
    made = replace(made, provenance=made.provenance | provenance.instance(time.time()))
    return StepReport(step, made, results.save(made, results_dir), mnist, list(runs), None, None, "")


def claims(net: Inspected, report: StepReport) -> list[Claim]:
    """Return what the runs say about the target; a short run leaves it open."""
    short, result = _shortened(net, report.result), report.result
    if not short:
        return [report.reached(), report.held()]
    so_far = f"{formatting.percent(result.summary.final_mean)} of the {result.split} images so far"
    return [Claim(f"The mean reaches the target of {formatting.percent(MIN_ACCURACY)}.", "inconclusive", f"{so_far}. {short}")]


def _shortened(net: Inspected, result: Result) -> str:
    return tables.shortened(result.recipe, [run.seed for run in result.runs], net.recipe().epochs, result.train_limit)
