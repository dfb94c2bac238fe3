"""What the commands of EC2 and SageMaker have in common: their options, waiting, and bringing results home."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnistlib.cli.options import parameterised, tell
from mnistlib.errors import MnistlibError

TAIL = 10  # lines of a log that a status shows

if TYPE_CHECKING:
    from mnistlib.aws.launch import Plan
    from mnistlib.aws.runs import State
    from mnistlib.aws.s3 import Address

REGION = click.option("--region", default=None, metavar="NAME", help="Such as eu-central-1; the one that AWS's settings name unless given.")
BUCKET = click.option("--bucket", required=True, metavar="NAME", help="Where runs are kept: the stack's output Bucket.")


def asked(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command answer what AWS refuses with a sentence."""

    @functools.wraps(command)
    def answering(*args: Any, **others: Any) -> Any:
        from mnistlib.aws import client

        if others.get("region"):  # for every client of this command, also those that are told of none
            os.environ["AWS_DEFAULT_REGION"] = others["region"]
        with client.refusals():
            return command(*args, **others)

    return answering


def wished(instance_type: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a command be told a notebook, its parameters, and what its run is to have; it takes the last as a `Wish`, `wish`."""

    def told(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.argument("notebook")
        @BUCKET
        @REGION
        @click.option("--instance-type", default=instance_type, show_default=True, metavar="TYPE", help="The machine.")
        @click.option("--image", default=None, metavar="IMAGE", help="What the machine starts from; see README for the default.")
        @click.option("--stack", default="mnistlib", show_default=True, metavar="NAME", help="The CloudFormation stack.")
        @click.option("--spot", is_flag=True, help="Take spare capacity, for less; the next run goes on where AWS took it back.")
        @click.option("--minutes", default=120, show_default=True, help="The longest that the notebook may take.")
        @click.option("--price", type=float, default=None, metavar="DOLLARS", help="Of an hour; asked of AWS unless given.")
        @click.option("--wait", is_flag=True, help="Show what the run prints until it has ended.")
        @click.option("--dry-run", is_flag=True, help="Check all that can be checked, say what would be started, and end.")
        @parameterised
        @functools.wraps(command)
        @asked
        def wishing(**given: Any) -> Any:
            from mnistlib.aws.launch import Wish

            names = ("bucket", "region", "instance_type", "image", "stack", "spot", "minutes", "price")
            return command(wish=Wish(**{name: given.pop(name) for name in names}), **given)

        return wishing

    return told


def start(plan: Plan, dry_run: bool, waiting: bool, launch: Callable[..., str], look: Callable[..., State], us: str, stop: str) -> None:
    """Say what a plan comes to, start it unless this is a dry run, say how to go on, and wait for its end where that is wanted."""
    from mnistlib.aws import inventory

    name, where = plan.unit.name, f" --region {plan.region}"
    inventory.alone(name, plan.region)
    tell(str(plan))
    if dry_run:
        tell("Nothing was started.")
        return
    machine = launch(plan, tell)
    follow, stopping = f"{us} status {name} --bucket {plan.wish.bucket}{where} --wait", f"{us} {stop} {name}{where}"
    home = f"{us} fetch {name} --bucket {plan.wish.bucket}{where}"
    tell(f"Started {machine} for {name}.", f"Follow it:  {follow}", f"Stop it:    {stopping}", f"Bring home: {home}")
    if waiting:
        wait(plan.at, lambda: look(plan.at, plan.region, machine), follow, stopping)


def wait(at: Address, look: Callable[[], State], follow: str, stop: str) -> None:
    """Show what a run prints until it has ended, then leave with its exit code; Ctrl-C ends the waiting alone."""
    from mnistlib.aws import runs

    goes_on = f"The run goes on in the cloud. Follow it with `{follow}`, stop it with `{stop}`."
    try:
        state = runs.follow(at, look, tell)
    except KeyboardInterrupt:
        click.echo(goes_on, err=True)
        sys.exit(130)
    except MnistlibError as error:
        raise type(error)(f"{error} {goes_on}") from None
    _conclude(state)


def status(name: str, bucket: str, region: str | None, waiting: bool, look: Callable[..., State], us: str, stop: str) -> None:
    """Say how far a run is and how its log ends, or wait for its end; leave with its exit code once it has ended."""
    from mnistlib.aws import runs

    at, where = runs.place(bucket, name), f" --region {region}" if region else ""
    if waiting:
        wait(at, lambda: look(at, region), f"{us} status {name} --bucket {bucket}{where} --wait", f"{us} {stop} {name}{where}")
    state = look(at, region)
    tell(*runs.log(at)[-TAIL:], f"{name}: {state.word}  {state.machine}")
    if state.ended:
        _conclude(state)


def _conclude(state: State) -> None:
    """Say why a run did not succeed, and leave with its exit code."""
    if state.why:
        click.echo(state.why, err=True)
    sys.exit(state.code)


def bring(name: str, bucket: str, into: str | None) -> None:
    """Bring a run's results home: below build/, or where `into` says."""
    from mnistlib import files
    from mnistlib.aws import runs

    folder = Path(into).expanduser().resolve() if into else files.root() / "build" / "cloud" / name
    runs.fetch(runs.place(bucket, name), folder, tell, reports=folder == (files.root() / "reports").resolve())
