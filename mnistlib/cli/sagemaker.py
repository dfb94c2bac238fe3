"""Notebooks as SageMaker training jobs: mnistlib sagemaker …"""

import click

from mnistlib.cli.cloud_options import NAME, REGION, add_commands, aws_command
from mnistlib.cli.options import Commands, tell


@click.group(cls=Commands)
def sagemaker() -> None:
    """Run a notebook as an Amazon SageMaker training job."""


add_commands(sagemaker, "ml.c5.xlarge", "stop")


@sagemaker.command()
@NAME
@REGION
@aws_command
def stop(name: str, region: str | None) -> None:
    """Stop the training job of a run; what was saved stays."""
    from mnistlib.aws import client
    from mnistlib.aws import sagemaker as service

    job = service.stop(client.session(region), name)
    tell(f"Stopping {job}." if job else f"{name} has no active training job.")
