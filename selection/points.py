"""Two more points: nets far below the limit, each with the recipe that a search of its own ended with."""

from mnistlib import recipe_dict, steps
from mnistlib.report import tables

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
