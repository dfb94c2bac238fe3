"""What the page of a net of one's own reports of its runs, and the page of one that was not trained to the end."""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coursework import judge, tables
from coursework.inspection import Inspected, printable
from mnistlib import files, formatting
from mnistlib.data import Mnist
from mnistlib.recipe import MIN_ACCURACY, Recipe
from mnistlib.report import markup
from mnistlib.report import page as pages
from mnistlib.report import result as results
from mnistlib.report.html import Shown, sentence, together
from mnistlib.report.result import Result
from mnistlib.report.step_report import StepReport
from mnistlib.runs import Run, provenance
from mnistlib.stats.comparison import Claim
from mnistlib.steps import Step

NOTEBOOK = "your_own"
SEEDS, EPOCHS = 4, 5  # of a run of some minutes; the notebook has the same
# How a notebook's error names one of the net's own, which the same code would have again; other failures are the machine's.
OWN_ERROR = re.compile(r"(?:^|: )(?:RuleError|UnfinishedError|TrainingError|SettingError): (.*?)(?: The notebook up to there .*)?$", re.S)


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


def own_error(text: str) -> str:
    """Return the sentence about the net's own failure in the error of a notebook's run; "" where the machine failed."""
    found = OWN_ERROR.search(text)
    return printable(found[1]) if found else ""


def write_failed(path: Path, title: str, reason: str, found: Sequence[Shown], facts: Sequence[str]) -> Path:
    """Write the page of a net that was not trained to the end: why in one sentence, and what is known of it."""
    return files.write(path, render(title, together([sentence(reason, "banner"), *found]), [*facts, pages.BYLINE]))


def render(title: str, content: Shown, facts: Sequence[str]) -> str:
    """Return the text of a page that is made of no notebook."""
    return pages.render("page.html.j2", Path(__file__).parent, title=title, content=markup.dress(content.html), facts=facts)
