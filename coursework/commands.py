"""The commands that this package adds to `mnistlib`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

# As in mnistlib.cli.main, a command imports what it needs itself; what follows is that of mnistlib.recipe and coursework.lint.
MAX_PARAMETERS = 8_000
PARTS = ("batch-normalization", "dropout", "global-average-pooling")


@click.command()
@click.argument("net")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; coursework/check.py describes it.")
@click.option("--github", is_flag=True, help="Print annotations for a workflow of GitHub's, and write its summary.")
@click.option("--fewer-than", default=MAX_PARAMETERS, show_default=True, type=click.IntRange(1, MAX_PARAMETERS), help="Parameters allowed.")
@click.option("--require", multiple=True, type=click.Choice(PARTS), help="What the net must use; may be given several times.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1, 86_400), help="Time that the code may take.")
@click.option("--memory", default=4.0, show_default=True, type=click.FloatRange(1, 1_024), metavar="GB", help="Memory that it may take.")
def check(net: str, as_json: bool, github: bool, fewer_than: int, require: tuple[str, ...], seconds: float, memory: float) -> None:
    """Check a net of your own in seconds, without training.

    NET is my_net.py:Net, my.ipynb:Net or package.module:Net; the name may be left out where a file holds one net. Of a file or notebook
    only imports, classes, functions and constants are executed, in a sandbox.

    The exit code is 0 where no rule of the exercise is broken, 1 where one is or the code does not end well, and 2 where there is no
    such net, or no kind of sandbox.
    """
    from coursework import inspection, report, sandbox
    from mnistlib.cli.options import tell
    from mnistlib.errors import MnistlibError

    try:
        document, protections = inspection.document(net, fewer_than, require, seconds, int(memory * 2**30))
    except MnistlibError as error:
        if not (as_json or github):
            raise
        document, code = report.EMPTY | {"submission": net, "error": str(error)}, getattr(error, "code", 2)
    else:
        code = 0 if document["passes"] else 1
        for name in sandbox.ESSENTIAL:
            if name not in protections:
                click.echo(f"This system allows no full sandbox. Not in force: {sandbox.PROTECTIONS[name]}", err=True)
    if github and (place := os.environ.get("GITHUB_STEP_SUMMARY")):
        with open(place, "a", encoding="utf-8") as file:
            file.write(report.summary(document))
    tell(*([json.dumps(document, indent=2)] if as_json else report.annotations(document) if github else report.lines(document)))
    sys.exit(code)


@click.command()
@click.argument("net")
@click.option("--seeds", type=click.IntRange(1, 100), metavar="N", help="How many to train; 4 unless given.")
@click.option("--epochs", type=click.IntRange(1, 100), metavar="N", help="5, or the recipe's where they are fewer, unless given.")
@click.option("--train-limit", type=click.IntRange(1, 60_000), metavar="N", help="Training images; all unless given.")
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Seeds that train side by side; one per core unless given.")
@click.option("--seconds", type=click.IntRange(1, 1_000_000), help="Processor time that a seed may take; 3600 unless given.")
@click.option("--memory", type=float, metavar="GB", help="Memory that it may take; 4 unless given.")
@click.option("--full", is_flag=True, help="Train 5 seeds and all epochs of the recipe.")
@click.option("--anyway", is_flag=True, help="Train a net that breaks a rule, too.")
@click.option("--test", is_flag=True, help="Evaluate on the test images; such looks are recorded.")
@click.option("--out", default=None, metavar="FOLDER", help="Where notebook, page and results go; build/ unless given.")
@click.option("--parameters", default=None, metavar="FILE", help="Only write the parameters for a run elsewhere, the net's text included.")
def judge(net: str, full: bool, test: bool, out: str | None, parameters: str | None, **given: Any) -> None:
    """Train a net of your own and write its page.

    NET is my_net.py:Net, my.ipynb:Net or package.module:Net; the name may be left out where a file holds one net. It is checked first,
    and trained with the recipe of 03_augment, or with RECIPE in its file, on a part of the training images; images of the other writers
    evaluate it. Its code runs in a sandbox.

    The exit code is 0 where the net was trained and keeps the rules of the exercise, 1 where it breaks one or its training failed, and 2
    for a request that cannot be done.
    """
    import yaml

    from coursework import inspection, own_report, tables
    from mnistlib import files, formatting
    from mnistlib.cli import summaries
    from mnistlib.cli.options import folder, tell
    from mnistlib.errors import MnistlibError
    from mnistlib.notebook import runner

    place = folder(out) or files.root() / "build"
    chosen = {name: given.pop(name) for name in ("anyway", "seconds", "memory")}
    values = {name: value for name, value in given.items() if value is not None} | {"split": "test" if test else "validation"}
    values["options"] = {name: value for name, value in chosen.items() if value is not None}
    values["seeds"] = list(range(given["seeds"] or (len(tables.FULL_SEEDS) if full else own_report.SEEDS)))
    if parameters:
        epochs = {"epochs": given["epochs"] or (None if full else own_report.EPOCHS)}
        path = files.write(Path(parameters), yaml.safe_dump(inspection.parameters(net, values | epochs), sort_keys=False))
        tell(f"Parameters: {path}", f"Elsewhere: mnistlib sweep {own_report.NOTEBOOK} -f {path}, or ec2 run or sagemaker run in its place.")
        return
    found = inspection.read(inspection.place(net), results_dir=place)
    own_epochs = found.recipe().epochs
    values["epochs"] = given["epochs"] or (own_epochs if full else min(own_epochs, own_report.EPOCHS))
    short = tables.shortened(found.recipe(epochs=values["epochs"]), values["seeds"], own_epochs, given["train_limit"])
    tell(*tables.terminal(found), *[short] * bool(short and (chosen["anyway"] or not found.broken)))
    notebook = runner.find(own_report.NOTEBOOK)
    page, failed = place / f"{found.key}.html", place / f"{found.key}.failed.html"
    notebook_failed = place / f"{notebook.stem}.failed.html"
    try:
        found.require_rules(chosen["anyway"])
        done = runner.run(notebook, place, values | {"model": found.spec, "results_dir": str(place)}, page, heading=found.title)
    except MnistlibError as error:
        reason = str(error) if isinstance(error, inspection.RuleError) else own_report.own_error(str(error))
        if not reason:  # the machine failed, not the net
            tell(*[f"Page: {summaries.short(notebook_failed)}"] * (str(notebook_failed.with_suffix(".ipynb")) in str(error)))
            raise
        own_report.write_failed(failed, found.title, reason, [tables.rules(found), tables.layers(found)], [f"From {found.file}"])
        notebook_failed.unlink(missing_ok=True)  # says the same, in the notebook's words
        tell(f"Page: {summaries.short(failed)}")
        raise type(error)(reason) from None
    failed.unlink(missing_ok=True)
    tell("", summaries.accuracy(done.result), *summaries.verdict(done.result), f"Page: {summaries.short(done.page)}")
    tell(f"Done in {formatting.seconds(done.seconds)}.")
    sys.exit(1 if found.broken else 0)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(1, 100), metavar="N", help="How many to train; 4 unless given.")
@click.option("--epochs", type=click.IntRange(1, 100), metavar="N", help="The same for all; 5 unless given.")
@click.option("--train-limit", type=click.IntRange(1, 60_000), metavar="N", help="Training images; all unless given.")
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Submissions side by side; one per core unless given.")
@click.option("--full", is_flag=True, help="Train 5 seeds and all epochs of each recipe.")
@click.option("--same-recipe", is_flag=True, help="Train all with the recipe of 03_augment; RECIPE in a file counts for nothing.")
@click.option("--test", is_flag=True, help="Evaluate on the test images; such looks are recorded.")
@click.option("--seconds", default=3600, show_default=True, type=click.IntRange(1, 1_000_000), help="Processor time that a seed may take.")
@click.option("--memory", default=4.0, show_default=True, metavar="GB", help="Memory that a submission may take.")
@click.option("--address", default=None, help="Of a Ray cluster to train on; $RAY_ADDRESS, or this machine without Ray, unless given.")
@click.option("--out", default=None, metavar="PLACE", help="Where table, pages and results go; build/grades/FOLDER unless given.")
def grade(folder: Path, full: bool, test: bool, same_recipe: bool, out: str | None, address: str | None, **given: Any) -> None:
    """Check and train every submission of a class and write a table.

    FOLDER holds a file, .py or .ipynb, or a folder with one file, for each submission. What has been graded is not graded again until it
    changes. All get the same seeds, epochs, images and limits, and run in a sandbox.

    The exit code is 0 where every submission has its place or the reason why it has none, 1 where some have to be tried again, and 2 for
    a request that cannot be done.
    """
    from coursework import grade as grading
    from coursework import grade_table, own_report, tables
    from mnistlib import files, formatting
    from mnistlib.cli import options, summaries
    from mnistlib.runs import device

    place = options.folder(out) or files.root() / "build" / "grades" / folder.resolve().name
    seeds = list(range(given["seeds"] or (len(tables.FULL_SEEDS) if full else own_report.SEEDS)))
    epochs = given["epochs"] or (None if full else own_report.EPOCHS)
    parameters = {"seeds": seeds, "epochs": epochs, "train_limit": given["train_limit"], "split": "test" if test else "validation"}
    parameters["options"] = {"own_recipe": not same_recipe, "seconds": given["seconds"], "memory": given["memory"]}
    assignment = grading.prepare(folder, place.resolve(), parameters)
    table = grade_table.Table(assignment)
    table.write()
    grading.run(assignment, given["workers"] or device.n_cores(), address or os.environ.get("RAY_ADDRESS"), table.write)
    rows = table.write()
    placed, again = sum(row.place is not None for row in rows), sum(row.open for row in rows)
    options.tell("", f"Submissions with a place: {formatting.of(placed, len(rows))}. To be tried again: {formatting.count(again)}.")
    options.tell(f"Table: {summaries.short(place / grade_table.PAGE)}, {summaries.short(place / grade_table.CSV)}")
    sys.exit(1 if again else 0)
