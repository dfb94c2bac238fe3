"""The committed reports of the series: all steps in order, the index, and README's table."""

from mnistlib import data, files, steps
from mnistlib.data import Mnist
from mnistlib.errors import ResultError
from mnistlib.logs import log
from mnistlib.notebook import runner
from mnistlib.report import index, result, step_report, test_set_log
from mnistlib.runs import cache, seeds, train_seeds

PLACE = "build/series"  # the results folder of the notebooks; pages show it, so it names no folder of this machine


def build_series(train: bool = True) -> None:
    """Rebuild reports/: pages, results, index and README's table, from cached runs or those of the committed checkpoints.

    What is missing is trained; without `train`, a step whose runs are not all there raises ResultError before any page is touched.
    """
    root, mnist = files.root(), data.load()
    reports, place = root / "reports", files.resolve(PLACE)
    for step in steps.STEPS.values():
        log.info(f"══ {step.name}")
        step_report.restore(step.name, mnist, reports, place)
        if train:
            train_seeds(step.recipe, mnist, step.seeds, use_cached=True, results_dir=place)
        check_trained(step, mnist)
    titles = {step.name: step.title for step in steps.STEPS.values()}
    for step in steps.STEPS.values():
        page = reports / f"{step.name}.html"
        done = runner.run(files.notebook(step.name), place, {"results_dir": PLACE, "use_cached": True}, page, titles)
        result.publish(step.name, place, reports)
        if done.result is not None and test_set_log.record(done.result, test_set_log.path()):
            log.info("A new look at the test set, recorded.")
    if (reports / "benchmarks.json").is_file():
        runner.run(files.notebook("benchmarks"), place, page=reports / "benchmarks.html", series={"benchmarks": "Speed"})
    log.info(f"Index: {index.build(reports)}")
    index.build_readme(reports, root / "README.md", root / "images")


def check_trained(step: steps.Step, mnist: Mnist) -> None:
    """Raise ResultError unless a finished run is cached for every seed of a step."""
    folder = seeds.cache_dir(files.resolve(PLACE))
    keys = {seed: cache.cache_key(step.recipe, mnist, seed) for seed in step.seeds}
    missing = [str(seed) for seed, key in keys.items() if cache.load_run(cache.run_path(folder, key), key) is None]
    if missing:
        seeds_text = ", ".join(missing)
        raise ResultError(
            f"There are no runs of {step.name}'s present recipe for seeds {seeds_text}; `make series` trains what is missing."
        )
