"""A notebook as a unit of work, and many of them at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mnistlib.cli import options


@click.command()
@click.argument("notebook")
@options.parameterised
@click.option("--out", required=True, metavar="PLACE", help="A folder or an s3:// address of its own, for all that the run leaves.")
@click.option("--exit-with-parent", is_flag=True, help="End when standard input does.")
def job(notebook: str, given: dict[str, Any], out: str, exit_with_parent: bool) -> None:
    """Run a notebook as clusters and clouds do.

    NOTEBOOK is a step, a path or an s3:// address. One that has run to its end there is not run again.
    """
    from mnistlib.aws import remote_run
    from mnistlib.sweep import job as one

    if exit_with_parent:
        one.exit_with_parent()
    options.tell(remote_run.run(notebook, given, out))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NOTEBOOK...")
@click.option("--grid", "grids", multiple=True, metavar="NAME=VALUES", help="Sweep a parameter: --grid epochs='[5, 10]'.")
@click.option("--grid-file", type=click.Path(exists=True, dir_okay=False), help="A YAML file of such lists, by name.")
@options.parameterised
@click.option("--address", default=None, help="Of a Ray cluster; $RAY_ADDRESS, or this machine, unless given.")
@click.option("--cpus", default=1.0, show_default=True, help="CPUs for each run.")
@click.option("--gpus", default=0.0, show_default=True, help="GPUs for each run.")
@click.option("--out", default=None, metavar="FOLDER", help="Where the runs' folders and the summary go; build/sweeps/ unless given.")
def sweep(
    names: tuple[str, ...],
    grids: tuple[str, ...],
    grid_file: str | None,
    given: dict[str, Any],
    address: str | None,
    cpus: float,
    gpus: float,
    out: str | None,
) -> None:
    """Run notebooks many times on Ray.

    Each once for every combination of the grid's values; what has succeeded is not run again.
    """
    from mnistlib import files
    from mnistlib.notebook import runner
    from mnistlib.sweep import page as site
    from mnistlib.sweep import ray_sweep as many

    notebooks = list(dict.fromkeys(map(runner.find, names)))
    grid = (options.parameters((), (), (grid_file,)) if grid_file else {}) | dict(map(many.axis, grids))
    units = many.combinations(notebooks, grid, given)
    folder = Path(out).expanduser().resolve() if out else files.root() / "build" / "sweeps" / "+".join(path.stem for path in notebooks)
    with options.stoppable():
        swept = many.run(units, folder, many.Options(address, cpus, gpus), options.tell)
    options.tell(f"Summary: {site.build(swept)}")
    for one, record in swept.failed:
        click.echo(f"Failed: {one.name}, {many.told(one)}: {record.reason}", err=True)
    if swept.failed:
        sys.exit(1)
