"""`python -m coursework check` is the command `mnistlib check`."""

import sys

import click

from coursework.commands import check
from mnistlib.cli.main import main

if __name__ == "__main__":
    sys.exit(main(click.Group("coursework", [check]), "python -m coursework"))
