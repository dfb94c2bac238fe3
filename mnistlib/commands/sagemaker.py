"""A notebook as a training job of Amazon SageMaker: python -m mnistlib sagemaker …"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mnistlib.commands import clouds
from mnistlib.commands.arguments import Commands, tell
from mnistlib.commands.notebook import notebook as instances

if TYPE_CHECKING:
    from mnistlib.run.wishes import Wish

US = "python -m mnistlib sagemaker"


@click.group(cls=Commands)
def sagemaker() -> None:
    """Run a notebook on Amazon SageMaker, or work in Jupyter there."""


sagemaker.add_command(instances)


@sagemaker.command()
@clouds.wished("ml.c5.xlarge")
def run(notebook: str, wish: Wish, given: dict[str, Any], wait: bool, dry_run: bool) -> None:
    """Start a training job for one run.

    It leaves everything in the bucket, also where it fails or is stopped.
    """
    from mnistlib.run import runner, unit
    from mnistlib.run import sagemaker as training

    plan = training.plan(unit.of(runner.find(notebook), given), wish)
    clouds.start(plan, dry_run, wait, training.launch, training.state, US, "stop")


@sagemaker.command()
@click.argument("name", metavar="RUN")
@clouds.BUCKET
@clouds.REGION
@click.option("--wait", is_flag=True, help="Show what the run prints until it has ended.")
@clouds.asked
def status(name: str, bucket: str, region: str | None, wait: bool) -> None:
    """Say how far a run is: 0 if it succeeded or goes on, else 1."""
    from mnistlib.run import sagemaker as training

    clouds.status(name, bucket, region, wait, training.state, US, "stop")


@sagemaker.command()
@click.argument("name", metavar="RUN")
@clouds.BUCKET
@clouds.REGION
@click.option("--into", default=None, metavar="FOLDER", help="build/cloud/RUN unless given; reports, to make it the evidence.")
@clouds.asked
def fetch(name: str, bucket: str, region: str | None, into: str | None) -> None:
    """Bring home what a run left."""
    clouds.bring(name, bucket, into)


@sagemaker.command()
@click.argument("name", metavar="RUN")
@clouds.REGION
@clouds.asked
def stop(name: str, region: str | None) -> None:
    """Stop a run's training job; what it has saved stays."""
    from mnistlib.run import sagemaker as training

    job = training.stop(name, region)
    tell(f"Stopping {job}." if job else f"{name} has no training job under way.")
