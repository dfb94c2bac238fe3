"""What the page of a net of one's own reports of its runs."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coursework import judge
from coursework.inspection import Inspected
from mnistlib.data import Mnist
from mnistlib.recipe import Recipe
from mnistlib.report import result as results
from mnistlib.report.step_report import StepReport
from mnistlib.runs import Run, provenance
from mnistlib.steps import Step

NOTEBOOK = "your_own"
SEEDS, EPOCHS = 4, 5  # of a run of some minutes; the notebook has the same


def make(net: Inspected, recipe: Recipe, mnist: Mnist, runs: Sequence[Run], results_dir: Path) -> StepReport:
    """Make the report of a net's runs and save its result under a results folder."""
    step = Step(net.key, net.title, replace(recipe, model=net.title), notebook=NOTEBOOK)
    size = (net.answer.parameters or 0, net.answer.multiply_adds or 0, net.answer.receptive_field or 0)
    made = judge.result(step, recipe, mnist, runs, *size)
    made = replace(made, provenance=made.provenance | provenance.instance(time.time()))
    return StepReport(step, made, results.save(made, results_dir), mnist, list(runs), None, None, "")
