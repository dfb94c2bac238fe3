"""Two more points: nets far below the limit, each with the recipe that a search of its own ended with."""

from collections.abc import Sequence

from mnistlib import formatting, recipe_dict, steps
from mnistlib.report import html, result_tables, tables
from mnistlib.report.html import Shown
from mnistlib.report.result import Result

PAGE = "smaller"  # the notebook about them
TITLES = {"under_4000": "Fewer than 4,000 parameters", "under_1000": "Fewer than 1,000 parameters"}
POINTS = {
    name: steps.Step(
        name,
        title,
        recipe_dict.from_dict(tables.choice(name)["recipe"]),
        before="04_frontier",
        seeds=(0, 1, 2),
        reported=tuple(range(10)),
        notebook=PAGE,
        beside=PAGE,
    )
    for name, title in TITLES.items()
    if "recipe" in (tables.choice(name) or {})
}
PAGES = {PAGE: "Smaller nets"} if POINTS else {}
steps.register(*POINTS.values())


def answer(results: Sequence[Result]) -> Shown:
    """Return the accuracy that nets reach with their number of parameters, in one sentence."""
    reached = []
    for one in results:
        cells, n = result_tables.row(one), formatting.count(one.n_parameters)
        reached.append(f"{cells['Accuracy'].text} with {n} parameters ({result_tables.LEVEL} interval {cells['Interval'].text})")
    return html.sentence(f"Mean accuracy: {formatting.listed(reached)}, for other seeds and other writers.")
