"""Notebooks as SageMaker training jobs: mnistlib sagemaker …"""

from typing import Any

import click

from mnistlib.cli.cloud_options import NAME, add_commands, aws_command
from mnistlib.cli.options import Commands, tell


@click.group(cls=Commands)
def sagemaker() -> None:
    """Run a notebook as an Amazon SageMaker training job."""


add_commands(sagemaker, "ml.c5.xlarge", "stop")


@sagemaker.command()
@NAME
@aws_command
def stop(session: Any, name: str) -> None:
    """Stop the training job of a run; what was saved stays."""
    from mnistlib.aws import sagemaker as service

    job = service.stop(session, name)
    tell(f"Stopping {job}." if job else f"{name} has no active training job.")
