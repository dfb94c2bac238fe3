"""The commands that this package adds to `mnistlib`."""

import json
import os
import sys

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
@click.option("--seconds", default=60.0, show_default=True, help="Time that the code may take.")
@click.option("--memory", default=4.0, show_default=True, metavar="GB", help="Memory that the code may take.")
def check(net: str, as_json: bool, github: bool, fewer_than: int, require: tuple[str, ...], seconds: float, memory: float) -> None:
    """Check a net of your own in seconds, without training.

    NET is my_net.py:Net, my.ipynb:Net or package.module:Net; the name may be left out where a file holds one net. Of a file or notebook
    only imports, classes, functions and constants are executed.

    The exit code is 0 where no rule of the exercise is broken, 1 where one is or the code does not end well, and 2 where there is no
    such net.
    """
    from coursework import child, report
    from mnistlib.cli.options import tell
    from mnistlib.errors import MnistlibError

    try:
        document = child.call("coursework.check:report", net, str(fewer_than), *require, seconds=seconds, gigabytes=memory)
    except MnistlibError as error:
        if not (as_json or github):
            raise
        document, code = report.EMPTY | {"submission": net, "error": str(error)}, getattr(error, "code", 2)
    else:
        code = 0 if document["passes"] else 1
    if github and (place := os.environ.get("GITHUB_STEP_SUMMARY")):
        with open(place, "a", encoding="utf-8") as file:
            file.write(report.summary(document))
    tell(*([json.dumps(document, indent=2)] if as_json else report.annotations(document) if github else report.lines(document)))
    sys.exit(code)
