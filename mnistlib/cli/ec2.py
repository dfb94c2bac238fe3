"""A notebook on a machine of Amazon EC2: python -m mnistlib ec2 …"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mnistlib.cli import cloud_options
from mnistlib.cli.options import Commands, tell
from mnistlib.errors import SettingError

if TYPE_CHECKING:
    from mnistlib.aws.launch import Wish

US = "python -m mnistlib ec2"


@click.group(cls=Commands)
def ec2() -> None:
    """Run a notebook on a machine of Amazon EC2."""


@ec2.command()
@cloud_options.wished("c7i.xlarge")
@click.option("--key-name", default=None, metavar="NAME", help="A key pair of your own, if you must log in by SSH.")
def run(notebook: str, wish: Wish, given: dict[str, Any], wait: bool, dry_run: bool, key_name: str | None) -> None:
    """Start a machine for one run.

    It ends with the run, whatever becomes of it, and leaves everything in the bucket.
    """
    from mnistlib.aws import ec2 as machines
    from mnistlib.notebook import runner
    from mnistlib.sweep import job

    plan = machines.plan(job.make(runner.find(notebook), given), wish, key_name, tell)
    cloud_options.start(plan, dry_run, wait, machines.launch, machines.state, US, "terminate")


@ec2.command()
@click.argument("name", metavar="RUN")
@cloud_options.BUCKET
@cloud_options.REGION
@click.option("--wait", is_flag=True, help="Show what the run prints until it has ended.")
@cloud_options.asked
def status(name: str, bucket: str, region: str | None, wait: bool) -> None:
    """Say how far a run is: 0 if it succeeded or goes on, else 1."""
    from mnistlib.aws import ec2 as machines

    cloud_options.status(name, bucket, region, wait, machines.state, US, "terminate")


@ec2.command()
@click.argument("name", metavar="RUN")
@cloud_options.BUCKET
@cloud_options.REGION
@click.option("--into", default=None, metavar="FOLDER", help="build/cloud/RUN unless given; reports, to make it the evidence.")
@cloud_options.asked
def fetch(name: str, bucket: str, region: str | None, into: str | None) -> None:
    """Bring home what a run left."""
    cloud_options.bring(name, bucket, into)


@ec2.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every machine of this project.")
@cloud_options.REGION
@cloud_options.asked
def terminate(name: str | None, everything: bool, region: str | None) -> None:
    """End the machine of a run; what it has saved stays."""
    from mnistlib.aws import ec2 as machines

    if (name is None) == (not everything):
        raise SettingError("Name the run whose machine is to end, or give --all.")
    ended = machines.terminate(region, name)
    whose = f"that has the run {name!r}" if name else "of this project"
    tell(*[f"Ending {one}." for one in ended] or [f"There is no machine {whose} here; `ec2 list --everywhere` names those that there are."])


@ec2.command(name="list")
@cloud_options.REGION
@click.option("--everywhere", is_flag=True, help="In every region of the account.")
@cloud_options.asked
def list_all(region: str | None, everywhere: bool) -> None:
    """List everything of this project that runs, and so costs: machines, training jobs, notebook instances."""
    from mnistlib.aws import inventory

    found = list(inventory.running(region, everywhere))
    tell(*found or ["Nothing of this project is running."])
    if any(inventory.UNKNOWN in line for line in found):
        sys.exit(1)
