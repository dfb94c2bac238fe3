"""The command line: mnistlib COMMAND, or python -m mnistlib COMMAND."""

import atexit
import gc
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from mnistlib import __version__, logs
from mnistlib.cli.options import folder, parameterised, tell
from mnistlib.errors import MnistlibError
from mnistlib.notebook.signals import Stopped, Stopping

# Every command imports what it needs itself, so that `--help` and a mistyped command answer at once.


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="mnistlib", message="%(prog)s %(version)s")
def commands() -> None:
    """MNIST under 8,000 parameters: train steps, build reports, classify images."""


@commands.command()
@click.argument("notebook")
@parameterised
@click.option("--out", default=None, metavar="FOLDER", help="Where notebook, page and results go; build/ unless given.")
def report(notebook: str, given: dict[str, Any], out: str | None) -> None:
    """Run a notebook and write its page.

    NOTEBOOK is a step, such as 03_augment, or a path.
    """
    from mnistlib import files, formatting
    from mnistlib.cli import summaries
    from mnistlib.notebook import runner

    path, place = runner.find(notebook), folder(out) or files.root() / "build"
    if (out or files.INSTALLED.resolve() in path.parents) and "results_dir" in runner.parameters_of(path):
        given = {"results_dir": str(place)} | given
    done = runner.run(path, place, runner.full_names(path, given))
    tell(
        *summaries.of(done.result) if done.result else (),
        f"Page: {summaries.short(done.page)}",
        f"Done in {formatting.seconds(done.seconds)}.",
    )


@commands.command()
@click.argument("name", metavar="STEP_OR_MODEL")
@click.option("--device", default=None, metavar="DEVICE", help="cuda, mps or cpu; chosen automatically unless given.")
@click.option("--seed", "seeds", type=int, multiple=True, help="A seed to train; may be given several times.")
@parameterised
def train(name: str, device: str | None, seeds: tuple[int, ...], given: dict[str, Any]) -> None:
    """Train a step or a published model, without a page."""
    from mnistlib.cli import summaries, training

    given |= ({"device": device} if device else {}) | ({"seeds": list(seeds)} if seeds else {})
    made, log = training.run(name, given)
    tell(*summaries.of(made.result), f"Result: {summaries.short(made.path)}", f"Log: {summaries.short(log)}")


@commands.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
def evaluate(checkpoint: Path) -> None:
    """Compute a checkpoint's accuracy again."""
    from mnistlib.cli import summaries

    tell(*summaries.evaluation(checkpoint))


@commands.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--checkpoint", type=click.Path(path_type=Path), help="The net to use; seed 0 of the frontier unless given.")
def predict(images: tuple[Path, ...], checkpoint: Path | None) -> None:
    """Classify image files."""
    from mnistlib.cli import summaries

    for line in summaries.classified(images, checkpoint):
        tell(line)


@commands.command()
@click.argument("name")
@click.option("--from", "source", required=True, metavar="STEP", help="The step to start from.")
def new_step(name: str, source: str) -> None:
    """Copy a step's notebook into a new one of your own."""
    from mnistlib.cli import summaries
    from mnistlib.notebook import new_step as steps

    path = summaries.short(steps.copy(name, source))
    tell(f"{path} is ready. Change its one `replace`, then evaluate it on the validation images:")
    tell(f"  {sys.executable} -m mnistlib report {path} -p split validation", f"As a net of your own is: mnistlib judge {path}")


for entry in entry_points(group="mnistlib.commands"):
    commands.add_command(entry.load())


def _leave_garbage() -> None:
    """Let the process end without a search for garbage among all that was imported; triton reports what is then left."""
    if "triton" not in sys.modules:
        gc.freeze()


def main(command: click.Command = commands, name: str = "mnistlib") -> int:
    """Run a command line and return its exit code: 0, 1 for a run that failed, 2 for a bad request."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal with an 8-bit encoding shows "?" for what it lacks
    gc.set_threshold(50_000)  # torch brings some hundred thousand objects, none of them garbage
    atexit.register(_leave_garbage)
    logs.to_stdout()
    stopping = Stopping()
    try:
        with stopping:
            command(sys.argv[1:] or ["--help"] * (command is commands), prog_name=name, standalone_mode=False)
    except (MnistlibError, click.ClickException) as error:
        click.echo(f"Error: {error.format_message() if isinstance(error, click.ClickException) else error}", err=True)
        return getattr(error, "code", 2)
    except (click.Abort, KeyboardInterrupt) as error:
        # A library that waits in C, as Ray does, raises a KeyboardInterrupt of its own in place of Stopped.
        stopped = Stopped(stopping.requested) if stopping.requested else error.__cause__ or error
        click.echo(str(stopped) or "Stopped.", err=True)
        return getattr(stopped, "code", 130)
    return 0
