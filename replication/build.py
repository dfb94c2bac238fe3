"""The published models into reports/published/: what is missing is trained; results, pages, studies, the table in docs/replication.md."""

from collections.abc import Sequence
from dataclasses import replace

from mnistlib import data, files, formatting
from mnistlib.data import Mnist
from mnistlib.errors import ResultError
from mnistlib.logs import log
from mnistlib.notebook import runner
from mnistlib.published import repository
from mnistlib.published.repository import ABLATIONS, BY_VALIDATION, MODELS, N_FOLDS, NOTEBOOK
from mnistlib.report import result, step_report, test_set_log
from mnistlib.runs import cache, seeds, train_seeds
from mnistlib.steps import Step
from replication import figures, overview, results, studies
from website import index, site

TITLE = "Published models, replicated"
PAGES = {"index": TITLE, "studies": "Studies of the published models"}
IMAGE = "published.png"
REPORTS, WORK = "reports/published", "build/published"  # what is committed, and where it is made


def build_published(train: bool = True, names: Sequence[str] = ()) -> None:
    """Rebuild reports/published/ from cached runs or those of the committed checkpoints; what is missing is trained.

    With `names`, only these models and ablations; studies and overview are made of all results that are there. Without `train`, a model
    whose runs are not all there is left as it was.
    """
    models = [repository.get(name) for name in names] or [*MODELS.values(), *ABLATIONS.values()]
    for model in models:
        _build(model.step(), data.load(), train)
        if model.name == BY_VALIDATION:
            for fold in range(1, N_FOLDS + 1):
                step = replace(model.step(), name=studies.fold_name(fold), before=None, seeds=(0,))
                _build(step, data.load(f"fold {fold} of {N_FOLDS}"), train)
    build_pages()


def _build(step: Step, mnist: Mnist, train: bool) -> None:
    reports, work = files.resolve(REPORTS), files.resolve(WORK)
    try:
        step_report.restore(step.name, mnist, reports, work)
    except ResultError as error:
        log.warning(f"{step.name} is trained anew. {error}")
    if train:
        log.info(f"══ {step.name}")
        train_seeds(step.recipe, mnist, step.seeds, "cpu", use_cached=True, results_dir=work)
    keys = [cache.cache_key(step.recipe, mnist, seed) for seed in step.seeds]
    cached = [run for key in keys if (run := cache.load_run(cache.run_path(seeds.cache_dir(work), key), key))]
    if len(cached) < len(step.seeds):
        log.warning(f"{step.name}: {formatting.of(len(cached), len(step.seeds))} runs are trained; `make published` trains the rest")
        return
    if step.name in MODELS:
        titles = {model.name: model.long_title for model in MODELS.values()}
        parameters = {"model": step.name, "results_dir": WORK, "use_cached": True}
        page = reports / f"{step.name}.html"
        around = site.of(titles, "published/index", site.downloads(NOTEBOOK, step.name, "../"))
        runner.run(files.notebook(NOTEBOOK), work, parameters, page, around, heading=titles[step.name])
        site.copy_notebook(NOTEBOOK, reports.parent)
    else:
        step_report.make(step, step.recipe, mnist, cached, work)
    result.publish(step.name, work, reports)
    if test_set_log.record(result.read(reports / "results" / f"{step.name}.json"), test_set_log.path()):
        log.info("A new look at the test set, recorded.")


def build_pages() -> None:
    """Make the studies, the two pages about all models and the table in docs/replication.md of all results that are there."""
    root, reports = files.root(), files.resolve(REPORTS)
    found = results.load(reports)
    update_studies(found)
    for name in PAGES:
        page, notebook = reports / f"{name}.html", f"{NOTEBOOK}_{name}"
        around = site.of(PAGES, "published/index", site.downloads(notebook, root="../"))
        runner.run(files.notebook(notebook), files.resolve(WORK), {"results_dir": REPORTS}, page, around)
        site.copy_notebook(notebook, reports.parent)
    made = results.replications(found)
    ladder = figures.ladder(made)
    files.write(root / "images" / IMAGE, ladder.png())
    block, page = overview.markdown_block(made, f"../images/{IMAGE}", ladder.alt), root / "docs" / "replication.md"
    files.write(page, index.replaced(page.read_text(encoding="utf-8"), block, page.name, topic="published"))


def update_studies(found: dict[str, result.Result]) -> None:
    """Write studies.json anew where it was made from other results: it holds what needs nets, and another processor may round."""
    reports = files.resolve(REPORTS)
    try:
        current = files.read_signed(reports / "studies.json").get("inputs") == studies.inputs(found)
    except ResultError:
        current = False
    if not current:
        files.write_signed(reports / "studies.json", studies.make(found, reports))
