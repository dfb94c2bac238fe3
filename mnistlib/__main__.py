"""The commands: python -m mnistlib."""

from __future__ import annotations

import ast
import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from mnistlib.errors import MnistlibError, SettingError, nearest

# Every command imports what it needs itself, so that `help` and a mistyped command answer at once.


class Commands(click.Group):
    """A group that names the nearest command where one is unknown."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with, or raise SettingError."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            raise SettingError(f"There is no command {args[0]!r}.{nearest(args[0], names)} The commands are {', '.join(names)}.")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def commands() -> None:
    """MNIST under 8,000 parameters: run steps, rebuild reports, ask the nets."""


@commands.command()
@click.argument("name")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter: -p epochs 2.")
@click.option("-y", "yamls", multiple=True, metavar="YAML", help="Set parameters: -y 'seeds: [0, 1]'.")
@click.option("-f", "yaml_files", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Set parameters from a YAML file.")
@click.option("--out", default=None, metavar="FOLDER", help="Where notebook, page and results go; build/ unless given.")
def report(name: str, pairs: tuple[tuple[str, str], ...], yamls: tuple[str, ...], yaml_files: tuple[str, ...], out: str | None) -> None:
    """Run a notebook, a step or a path, to its page."""
    from mnistlib import files
    from mnistlib.run import runner

    given = parameters(pairs, yamls, yaml_files)
    notebook = runner.find(name)
    folder = Path(out).expanduser().resolve() if out else files.root() / "build"
    if out and "results_dir" in runner.parameters_of(notebook):
        given = {"results_dir": str(folder)} | given
    done = runner.run(notebook, folder, given)
    from mnistlib.run import summary

    tell(*summary.report(done))


@commands.command()
@click.argument("name", metavar="ROW_OR_STEP")
@click.option("--device", default=None, metavar="DEVICE", help="cuda, mps or cpu; chosen by the machine unless given.")
@click.option("--seed", "seeds", type=int, multiple=True, help="A seed to train; may be given several times.")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter: -p epochs 2.")
@click.option("-y", "yamls", multiple=True, metavar="YAML", help="Set parameters: -y 'seeds: [0, 1]'.")
@click.option("-f", "yaml_files", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Set parameters from a YAML file.")
def train(
    name: str,
    device: str | None,
    seeds: tuple[int, ...],
    pairs: tuple[tuple[str, str], ...],
    yamls: tuple[str, ...],
    yaml_files: tuple[str, ...],
) -> None:
    """Train a step or a published row: result and log, no page."""
    from mnistlib.run import summary, training

    given = parameters(pairs, yamls, yaml_files)
    given |= ({"device": device} if device else {}) | ({"seeds": list(seeds)} if seeds else {})
    with stoppable():
        trained = training.run(name, given, tell)
    tell(*summary.training(trained))


@commands.command()
@click.argument("names", nargs=-1, metavar="[ROW]...")
@click.option("--no-training", is_flag=True, help="Rebuild from what is stored.")
def published(names: tuple[str, ...], no_training: bool) -> None:
    """Train what is missing of the published rows, rebuild reports/published/.

    All rows and studies unless some are named.
    """
    from mnistlib.run import published as all_rows

    with stoppable():
        all_rows.build(not no_training, names, tell)


@commands.command()
def series() -> None:
    """Train what is missing, rebuild reports/."""
    from mnistlib.run import series as all_steps

    with stoppable():
        all_steps.build()


@commands.command()
def pages() -> None:
    """Rebuild every page without training."""
    from mnistlib.run import series as all_steps

    all_steps.build(train=False)


@commands.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--data-dir", default=None, metavar="FOLDER", help="Where MNIST's files are looked for first.")
def evaluate(checkpoint: Path, data_dir: str | None) -> None:
    """Compute a checkpoint's accuracy anew."""
    from mnistlib.run import summary

    tell(*summary.evaluation(checkpoint, data_dir))


@commands.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option(
    "--checkpoint", default=None, type=click.Path(path_type=Path), help="The net to ask; the augmentation step's first seed unless given."
)
def predict(images: tuple[Path, ...], checkpoint: Path | None) -> None:
    """Say which digit each image file shows."""
    from mnistlib.run import summary

    for line in summary.readings(images, checkpoint):
        tell(line)


@commands.command()
@click.argument("names", nargs=-1, metavar="[STEP]...")
def choose(names: tuple[str, ...]) -> None:
    """Train a step's candidates, record the choice.

    All steps unless some are given; judged on the validation images.
    """
    from mnistlib import choices, steps

    with stoppable():
        for name in names or steps.STEPS:
            choices.choose(steps.get(name).name, tell)


@commands.command()
@click.argument("name")
@click.option("--from", "source", required=True, metavar="STEP", help="The step to start from.")
def step(name: str, source: str) -> None:
    """Copy a step's notebook into one of your own."""
    from mnistlib.run import copying, summary

    path = summary.short(copying.copy(name, source))
    tell(f"{path} is ready. Change its one `replace`, then judge it on the validation images:")
    tell(f"  {sys.executable} -m mnistlib report {path} -p split validation")


def stoppable() -> contextlib.AbstractContextManager[object]:
    """Return a context in which Ctrl-C and a request to end stop the command with a sentence, its trials kept to the last epoch."""
    from mnistlib.run.stopping import Stopping

    return Stopping()


def parameters(pairs: tuple[tuple[str, str], ...], yamls: tuple[str, ...], yaml_files: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters given on the command line; -p goes before -y, and -y before -f."""
    import yaml

    given: dict[str, Any] = {}
    for text in (*(Path(path).read_text(encoding="utf-8") for path in yaml_files), *yamls):
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if not isinstance(value, dict):
            raise SettingError(f"{text.strip()!r} does not set parameters; write NAME: VALUE, such as 'seeds: [0, 1]'.")
        given |= value
    return given | {name: literal(text) for name, text in pairs}


def literal(text: str) -> Any:
    """Return the Python value that a text spells, or the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def tell(*lines: str) -> None:
    """Print lines at once, also into a pipe."""
    for line in lines:
        click.echo(line)
        sys.stdout.flush()


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
