"""The commands: python -m mnistlib."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mnistlib.cli.ec2 import ec2
from mnistlib.cli.options import Commands, parameterised, stoppable, tell
from mnistlib.cli.sagemaker import sagemaker
from mnistlib.cli.sweep import job, sweep
from mnistlib.errors import MnistlibError

# Every command imports what it needs itself, so that `help` and a mistyped command answer at once.


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def commands() -> None:
    """MNIST under 8,000 parameters: run steps, rebuild reports, ask the nets."""


@commands.command()
@click.argument("name")
@parameterised
@click.option("--out", default=None, metavar="FOLDER", help="Where notebook, page and results go; build/ unless given.")
def report(name: str, given: dict[str, Any], out: str | None) -> None:
    """Run a notebook, a step or a path, to its page."""
    from mnistlib import files
    from mnistlib.notebook import runner

    notebook = runner.find(name)
    folder = Path(out).expanduser().resolve() if out else files.root() / "build"
    if out and "results_dir" in runner.parameters_of(notebook):
        given = {"results_dir": str(folder)} | given
    done = runner.run(notebook, folder, given)
    from mnistlib.cli import summaries

    tell(*summaries.report(done))


@commands.command()
@click.argument("name", metavar="ROW_OR_STEP")
@click.option("--device", default=None, metavar="DEVICE", help="cuda, mps or cpu; chosen by the machine unless given.")
@click.option("--seed", "seeds", type=int, multiple=True, help="A seed to train; may be given several times.")
@parameterised
def train(name: str, device: str | None, seeds: tuple[int, ...], given: dict[str, Any]) -> None:
    """Train a step or a published row: result and log, no page."""
    from mnistlib.cli import summaries, training

    given |= ({"device": device} if device else {}) | ({"seeds": list(seeds)} if seeds else {})
    with stoppable():
        trained = training.run(name, given, tell)
    tell(*summaries.training(trained))


@commands.command()
@click.argument("names", nargs=-1, metavar="[ROW]...")
@click.option("--no-training", is_flag=True, help="Rebuild from what is stored.")
def published(names: tuple[str, ...], no_training: bool) -> None:
    """Train what is missing of the published rows, rebuild reports/published/.

    All rows and studies unless some are named.
    """
    from mnistlib.published import build as all_rows

    with stoppable():
        all_rows.build(not no_training, names, tell)


@commands.command()
def series() -> None:
    """Train what is missing, rebuild reports/."""
    from mnistlib.notebook import build as all_steps

    with stoppable():
        all_steps.build()


@commands.command()
def pages() -> None:
    """Rebuild every page without training."""
    from mnistlib.notebook import build as all_steps

    all_steps.build(train=False)


@commands.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--data-dir", default=None, metavar="FOLDER", help="Where MNIST's files are looked for first.")
def evaluate(checkpoint: Path, data_dir: str | None) -> None:
    """Compute a checkpoint's accuracy anew."""
    from mnistlib.cli import summaries

    tell(*summaries.evaluation(checkpoint, data_dir))


@commands.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option(
    "--checkpoint", default=None, type=click.Path(path_type=Path), help="The net to ask; the augmentation step's first seed unless given."
)
def predict(images: tuple[Path, ...], checkpoint: Path | None) -> None:
    """Say which digit each image file shows."""
    from mnistlib.cli import summaries

    for line in summaries.readings(images, checkpoint):
        tell(line)


@commands.command()
@click.argument("names", nargs=-1, metavar="[STEP]...")
def choose(names: tuple[str, ...]) -> None:
    """Train a step's candidates, record the choice.

    All steps unless some are given; judged on the validation images.
    """
    from mnistlib import steps
    from mnistlib.selection import search

    with stoppable():
        for name in names or steps.STEPS:
            search.choose(steps.get(name).name)


@commands.command()
@click.argument("name")
@click.option("--from", "source", required=True, metavar="STEP", help="The step to start from.")
def step(name: str, source: str) -> None:
    """Copy a step's notebook into one of your own."""
    from mnistlib.cli import summaries
    from mnistlib.notebook import new_step

    path = summaries.short(new_step.copy(name, source))
    tell(f"{path} is ready. Change its one `replace`, then judge it on the validation images:")
    tell(f"  {sys.executable} -m mnistlib report {path} -p split validation")


for command in (job, sweep, ec2, sagemaker):
    commands.add_command(command)


def main() -> int:
    """Run the command line and return its exit code: 0, 1 for a run that failed, 2 for a request that cannot be met."""
    try:
        commands(sys.argv[1:] or ["--help"], prog_name="python -m mnistlib", standalone_mode=False)
    except MnistlibError as error:
        click.echo(f"Error: {error}", err=True)
        return getattr(error, "code", 2)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        return 2
    except click.Abort as abort:
        stopped = abort.__cause__
        click.echo(str(stopped) or "Stopped.", err=True)
        return getattr(stopped, "code", 130)
    return 0


if __name__ == "__main__":
    sys.exit(main())
