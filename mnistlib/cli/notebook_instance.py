"""Jupyter with this project on a machine of Amazon's: python -m mnistlib sagemaker notebook …"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from mnistlib.cli import cloud_options
from mnistlib.cli.options import Commands, tell

US = "python -m mnistlib sagemaker notebook"
WAIT = click.option("--wait", is_flag=True, help="Wait until it is done.")


@click.group(cls=Commands)
def notebook() -> None:
    """Work in Jupyter on Amazon SageMaker.

    A notebook instance bills from its start until it is stopped; it stops itself when nobody uses it.
    """


def named(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be told which instance it is about, and answer what AWS refuses with a sentence."""

    @click.option("--name", default="mnistlib", show_default=True, metavar="NAME", help="Of the instance; it begins with mnistlib.")
    @cloud_options.REGION
    @functools.wraps(command)
    @cloud_options.asked
    def naming(**given: Any) -> Any:
        return command(**given)

    return naming


@notebook.command()
@named
@click.option("--stack", default="mnistlib", show_default=True, metavar="NAME", help="The CloudFormation stack.")
@click.option("--instance-type", default="ml.t3.large", show_default=True, metavar="TYPE", help="The machine.")
@click.option("--repository", default=None, metavar="URL", help="What it clones; this clone's origin unless given.")
@click.option("--revision", default="", metavar="REVISION", help="A branch, tag or commit of it; its default branch unless given.")
@click.option("--idle-minutes", default=60, show_default=True, help="How long nobody may use it before it stops.")
@WAIT
def create(name: str, region: str | None, repository: str | None, wait: bool, **wished: Any) -> None:
    """Make an instance and start it."""
    from mnistlib.aws import notebook_instance as instances

    wish = instances.Wish(repository or instances.origin(), name=name, region=region, **wished)
    state = instances.create(wish)
    tell(
        f"Made the notebook instance {name} ({wish.instance_type}).",
        f"It bills from its start until it is stopped, which it does itself after {wish.idle_minutes} minutes in which nobody uses it;",
        "stopped, it bills its volume until it is deleted.",
        "",
    )
    _next(name, region)
    _wait(state, region, "InService", wait)


@notebook.command()
@named
@WAIT
def start(name: str, region: str | None, wait: bool) -> None:
    """Start a stopped instance."""
    from mnistlib.aws import notebook_instance as instances

    state = instances.start(name, region)
    _next(name, region)
    _wait(state, region, "InService", wait)


@notebook.command("open")
@named
def open_(name: str, region: str | None) -> None:
    """Print an address that opens Jupyter on a running instance."""
    from mnistlib.aws import notebook_instance as instances

    tell(instances.address(name, region))
    click.echo("It holds for five minutes, for whoever has it. In Jupyter, choose the kernel called mnistlib.", err=True)


@notebook.command()
@named
@WAIT
def stop(name: str, region: str | None, wait: bool) -> None:
    """Stop an instance; what is in ~/SageMaker is kept."""
    from mnistlib.aws import notebook_instance as instances

    _wait(instances.stop(name, region), region, "Stopped", wait)


@notebook.command()
@named
@click.option("--yes", is_flag=True, help="Yes, what is in ~/SageMaker too.")
def delete(name: str, region: str | None, yes: bool) -> None:
    """Stop an instance if it runs, and delete it with all that is on it."""
    from mnistlib.aws import notebook_instance as instances
    from mnistlib.errors import SettingError

    instances.checked(name)
    if not yes:
        raise SettingError(f"What is in ~/SageMaker on {name} is deleted with it, and cannot be had back; give --yes if that is meant.")
    with _left(f"What was asked for goes on. Go on with `{US} delete{_where(name, region)} --yes`."):
        instances.delete(name, tell, region)
    tell("Nothing of it is left, and it bills no more.")


def _where(name: str, region: str | None) -> str:
    """Return the options that name an instance again."""
    return (f" --name {name}" if name != "mnistlib" else "") + (f" --region {region}" if region else "")


def _next(name: str, region: str | None) -> None:
    """Say which commands come next."""
    where = _where(name, region)
    tell(
        f"Open it:   {US} open{where}",
        f"Stop it:   {US} stop{where}",
        f"Delete it: {US} delete{where} --yes",
        "How far the project is on it, from a notebook there: !tail ~/SageMaker/mnistlib-setup.log",
    )


def _wait(state: Any, region: str | None, word: str, wait: bool) -> None:
    """Say how far an instance is, or wait until it is as wished; one that failed is an error."""
    from mnistlib.aws import client
    from mnistlib.aws import notebook_instance as instances

    if wait and state.word:
        where, again = _where(state.name, region), "start" if word == "InService" else "stop"
        with _left(f"It goes on without this. Wait for it with `{US} {again}{where} --wait`; `{US} stop{where}` stops it."):
            state = instances.wait(state.name, tell, (word,), region)
    else:
        tell(str(state))
    if state.word == "Failed":
        raise client.CloudError(f"{state.name} is of no use so: `{US} delete{_where(state.name, region)} --yes` removes it.")


@contextlib.contextmanager
def _left(sentence: str) -> Iterator[None]:
    """Answer Ctrl-C with what is left undone."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(sentence, err=True)
        sys.exit(130)
