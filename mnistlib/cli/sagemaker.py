"""A notebook as a training job of Amazon SageMaker: python -m mnistlib sagemaker …"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mnistlib.cli import cloud_options
from mnistlib.cli.notebook_instance import notebook as instances
from mnistlib.cli.options import Commands, tell

if TYPE_CHECKING:
    from mnistlib.aws.launch import Wish

US = "python -m mnistlib sagemaker"


@click.group(cls=Commands)
def sagemaker() -> None:
    """Run a notebook on Amazon SageMaker, or work in Jupyter there."""


sagemaker.add_command(instances)


@sagemaker.command()
@cloud_options.wished("ml.c5.xlarge")
def run(notebook: str, wish: Wish, given: dict[str, Any], wait: bool, dry_run: bool) -> None:
    """Start a training job for one run.

    It leaves everything in the bucket, also where it fails or is stopped.
    """
    from mnistlib.aws import sagemaker as training
    from mnistlib.notebook import runner
    from mnistlib.sweep import job as unit

    plan = training.plan(unit.make(runner.find(notebook), given), wish)
    cloud_options.start(plan, dry_run, wait, training.launch, training.state, US, "stop")


@sagemaker.command()
@click.argument("name", metavar="RUN")
@cloud_options.BUCKET
@cloud_options.REGION
@click.option("--wait", is_flag=True, help="Show what the run prints until it has ended.")
@cloud_options.asked
def status(name: str, bucket: str, region: str | None, wait: bool) -> None:
    """Say how far a run is: 0 if it succeeded or goes on, else 1."""
    from mnistlib.aws import sagemaker as training

    cloud_options.status(name, bucket, region, wait, training.state, US, "stop")


@sagemaker.command()
@click.argument("name", metavar="RUN")
@cloud_options.BUCKET
@cloud_options.REGION
@click.option("--into", default=None, metavar="FOLDER", help="build/cloud/RUN unless given; reports, to make it the evidence.")
@cloud_options.asked
def fetch(name: str, bucket: str, region: str | None, into: str | None) -> None:
    """Bring home what a run left."""
    cloud_options.bring(name, bucket, into)


@sagemaker.command()
@click.argument("name", metavar="RUN")
@cloud_options.REGION
@cloud_options.asked
def stop(name: str, region: str | None) -> None:
    """Stop a run's training job; what it has saved stays."""
    from mnistlib.aws import sagemaker as training

    job = training.stop(name, region)
    tell(f"Stopping {job}." if job else f"{name} has no training job under way.")
