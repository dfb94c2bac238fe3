"""`python -m coursework check` is the command `mnistlib check`, and so is `judge`."""

import sys

import click

from coursework.commands import check, judge
from mnistlib.cli.main import main

if __name__ == "__main__":
    sys.exit(main(click.Group("coursework", [check, judge]), "python -m coursework"))
