"""`python -m cloud job` is the command `mnistlib job`, and so are the others of this package, also where it is not installed."""

import sys

import click

from cloud.commands import ec2, job, sagemaker, sweep
from mnistlib.cli.main import main

if __name__ == "__main__":
    sys.exit(main(click.Group("cloud", [ec2, job, sagemaker, sweep]), "python -m cloud"))
