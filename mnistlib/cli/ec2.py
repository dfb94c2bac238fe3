"""Notebooks on EC2 instances: mnistlib ec2 …"""

import sys
from typing import Any

import click

from mnistlib.cli.cloud_options import add_commands, aws_command
from mnistlib.cli.options import Commands, tell
from mnistlib.errors import SettingError


@click.group(cls=Commands)
def ec2() -> None:
    """Run a notebook on an Amazon EC2 instance of its own."""


add_commands(ec2, "c7i.xlarge", "terminate")
ec2.commands["run"].params.append(click.Option(["--key-name"], metavar="NAME", help="A key pair of your own, if you need SSH."))


@ec2.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every instance of this project in the region.")
@aws_command
def terminate(session: Any, name: str | None, everything: bool) -> None:
    """Terminate the instance of a run; what was saved stays."""
    from mnistlib.aws import ec2 as service

    if (name is None) == (not everything):
        raise SettingError("Name the run whose instance is to be terminated, or give --all.")
    ended = service.terminate(session, name)
    whose = f"of the run {name!r}" if name else "of this project"
    tell(*[f"Terminating {one}." for one in ended] or [f"There is no instance {whose} here; `ec2 list --everywhere` lists all."])


@ec2.command(name="list")
@click.option("--everywhere", is_flag=True, help="In every region of the account.")
@aws_command
def list_all(session: Any, everywhere: bool) -> None:
    """List everything of this project that costs money: instances, training jobs, notebook instances."""
    from mnistlib.aws import inventory

    found = list(inventory.running(session, everywhere))
    tell(*found or ["Nothing of this project is running."])
    if any(inventory.UNKNOWN in line for line in found):
        sys.exit(1)
