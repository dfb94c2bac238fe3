"""The command line: mnistlib COMMAND, or python -m mnistlib COMMAND."""

import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from mnistlib import __version__, logs
from mnistlib.cli.cloud import ec2, sagemaker
from mnistlib.cli.options import folder, parameterised, parameters, tell
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
    from mnistlib.sweep import job as jobs

    path, place = runner.find(notebook), folder(out) or files.root() / "build"
    if (out or files.INSTALLED.resolve() in path.parents) and "results_dir" in runner.parameters_of(path):
        given = {"results_dir": str(place)} | given
    done = runner.run(path, place, jobs.full_names(path, given))
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
@click.option("--checkpoint", type=click.Path(path_type=Path), help="The net to use; seed 0 of the augmentation step unless given.")
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


@commands.command()
@click.argument("notebook")
@parameterised
@click.option("--out", required=True, metavar="PLACE", help="A folder or an s3:// address of its own for all that the job leaves.")
@click.option("--exit-with-parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
@click.option("--scratch", default=None, hidden=True, help="A folder to remove if the job is stopped.")
def job(notebook: str, given: dict[str, Any], out: str, exit_with_parent: bool, scratch: str | None) -> None:
    """Run one notebook as clusters and clouds do.

    NOTEBOOK is a step, a path or an s3:// address. A job that has succeeded in that place is not run again.
    """
    from mnistlib.aws import remote_run
    from mnistlib.sweep import job as jobs

    try:
        if exit_with_parent:
            jobs.exit_with_parent()
        tell(remote_run.run(notebook, given, out))
    except KeyboardInterrupt:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        raise


@commands.command()
@click.argument("names", nargs=-1, required=True, metavar="NOTEBOOK...")
@click.option("--grid", "grids", multiple=True, metavar="NAME=VALUES", help="Sweep a parameter: --grid epochs='[5, 10]'.")
@click.option("--grid-file", type=click.Path(exists=True, dir_okay=False), help="A YAML file of such lists, by name.")
@parameterised
@click.option("--address", default=None, help="Of a Ray cluster; $RAY_ADDRESS, or this machine, unless given.")
@click.option("--cpus", default=1.0, show_default=True, help="CPUs for each job.")
@click.option("--gpus", default=0.0, show_default=True, help="GPUs for each job.")
@click.option("--out", default=None, metavar="FOLDER", help="Where the jobs' folders and the summary go; build/sweeps/ unless given.")
def sweep(
    names: tuple[str, ...], grids: tuple[str, ...], grid_file: str | None, given: dict[str, Any], out: str | None, **ray: Any
) -> None:
    """Run notebooks many times on Ray.

    Each runs once for every combination of the grid's values. Jobs that have succeeded are not run again.
    """
    from mnistlib import files
    from mnistlib.notebook import runner
    from mnistlib.sweep import page, ray_sweep

    notebooks = list(dict.fromkeys(map(runner.find, names)))
    grid = (parameters((), (), (grid_file,)) if grid_file else {}) | dict(map(ray_sweep.axis, grids))
    jobs = ray_sweep.combinations(notebooks, grid, given)
    place = folder(out) or files.root() / "build" / "sweeps" / "+".join(path.stem for path in notebooks)
    swept = ray_sweep.run(jobs, place, ray_sweep.Options(**ray))
    tell(f"Summary: {page.build(swept)}")
    for one, record in swept.failed:
        click.echo(f"Failed: {one.name}, {ray_sweep.described(one)}: {record.reason}", err=True)
    sys.exit(1 if swept.failed else 0)


for command in (ec2, sagemaker, *(one.load() for one in entry_points(group="mnistlib.commands"))):
    commands.add_command(command)


def main(command: click.Command = commands, name: str = "mnistlib") -> int:
    """Run a command line and return its exit code: 0, 1 for a run that failed, 2 for a bad request."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal with an 8-bit encoding shows "?" for what it lacks
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
