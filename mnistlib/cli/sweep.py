"""The commands that run a notebook as a job, and many jobs at once."""

import shutil
import sys
from typing import Any

import click

from mnistlib.cli import options


@click.command()
@click.argument("notebook")
@options.parameterised
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
        options.tell(remote_run.run(notebook, given, out))
    except KeyboardInterrupt:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        raise


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NOTEBOOK...")
@click.option("--grid", "grids", multiple=True, metavar="NAME=VALUES", help="Sweep a parameter: --grid epochs='[5, 10]'.")
@click.option("--grid-file", type=click.Path(exists=True, dir_okay=False), help="A YAML file of such lists, by name.")
@options.parameterised
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
    grid = (options.parameters((), (), (grid_file,)) if grid_file else {}) | dict(map(ray_sweep.axis, grids))
    jobs = ray_sweep.combinations(notebooks, grid, given)
    folder = options.folder(out) or files.root() / "build" / "sweeps" / "+".join(path.stem for path in notebooks)
    swept = ray_sweep.run(jobs, folder, ray_sweep.Options(**ray))
    options.tell(f"Summary: {page.build(swept)}")
    for one, record in swept.failed:
        click.echo(f"Failed: {one.name}, {ray_sweep.described(one)}: {record.reason}", err=True)
    sys.exit(1 if swept.failed else 0)
