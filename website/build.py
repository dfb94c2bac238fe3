"""The committed reports of the series: all steps in order, the pages beside them, the index, and README's table."""

from pathlib import Path

from mnistlib import data, files, steps
from mnistlib.data import Mnist
from mnistlib.errors import ResultError
from mnistlib.logs import log
from mnistlib.notebook import runner
from mnistlib.report import result, step_report, test_set_log
from mnistlib.runs import cache, seeds, train_seeds
from selection import points
from website import index, pages, site
from website.drawing import page as drawing
from website.takeaway import weights

# pages that are notebooks, beside the steps
OTHERS = {"luck": "Luck", "inside": "What the net has learned", **points.PAGES, "benchmarks": "Speed"}
PLACE = "build/series"  # the results folder of the notebooks; pages show it, so it names no folder of this machine


def build_site(train: bool = True) -> None:
    """Rebuild reports/ and README's blocks from cached runs or those of the committed checkpoints; published models stay as they are.

    What is missing is trained; without `train`, a step whose runs are not all there raises ResultError before any page is touched.
    """
    root, mnist = files.root(), data.load()
    reports, place = root / "reports", files.resolve(PLACE)
    beside = steps.ABLATIONS | points.POINTS
    for step in (beside | steps.STEPS).values():
        log.info(f"══ {step.name}")
        step_report.restore(step.name, mnist, reports, place)
        if train:
            train_seeds(step.recipe, mnist, step.reported, use_cached=True, results_dir=place)
        check_trained(step, mnist)
    site.write_address()
    for step in beside.values():
        made = train_seeds(step.recipe, mnist, step.reported, use_cached=True, results_dir=place)
        step_report.make(step, step.recipe, mnist, made, place).record([])
        _publish(step, place, reports)
    titles = order(reports)
    for step in steps.STEPS.values():
        given = {"seeds": list(step.reported), "results_dir": PLACE, "use_cached": True}
        around = site.of(titles, downloads=site.downloads(step.name, step.name))
        runner.run(files.notebook(step.name), place, given, reports / f"{step.name}.html", around)
        _publish(step, place, reports)
    for name in [name for name in titles if name in OTHERS]:
        shown = runner.parameters_of(files.notebook(name)).get("step", "")  # the step whose nets a page is about
        around = site.of(titles, name, site.downloads(name, shown))
        runner.run(files.notebook(name), place, page=reports / f"{name}.html", site=around)
        site.copy_notebook(name, reports)
    drawing.build(reports)
    weights.build(reports)
    pages.build(reports)
    log.info(f"Index: {index.build(reports)}")
    index.build_readme(reports, root / "README.md", root / "images")


def order(reports: Path) -> dict[str, str]:
    """Return the titles of the pages that are notebooks, in the order in which they are read; timings are among them once there are any."""
    others = {name: title for name, title in OTHERS.items() if name != "benchmarks" or (reports / "benchmarks.json").is_file()}
    return {step.name: step.title for step in steps.STEPS.values()} | others


def _publish(step: steps.Step, place: Path, reports: Path) -> None:
    result.publish(step.name, place, reports)
    if step.name in steps.STEPS:
        site.copy_notebook(step.name, reports)
    if test_set_log.record(result.read(reports / "results" / f"{step.name}.json"), test_set_log.path()):
        log.info("A new look at the test set, recorded.")


def check_trained(step: steps.Step, mnist: Mnist) -> None:
    """Raise ResultError unless a finished run is cached for every seed of a step."""
    folder = seeds.cache_dir(files.resolve(PLACE))
    keys = {seed: cache.cache_key(step.recipe, mnist, seed) for seed in step.reported}
    missing = [str(seed) for seed, key in keys.items() if cache.load_run(cache.run_path(folder, key), key) is None]
    if missing:
        seeds_text = ", ".join(missing)
        raise ResultError(
            f"There are no runs of {step.name}'s present recipe for seeds {seeds_text}; `make series` trains what is missing."
        )
