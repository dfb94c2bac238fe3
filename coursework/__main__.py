"""`python -m coursework check` is the command `mnistlib check`, and so are `judge` and `grade`."""

import sys

import click

from coursework.commands import check, grade, judge
from mnistlib.cli.main import main

if __name__ == "__main__":
    sys.exit(main(click.Group("coursework", [check, grade, judge]), "python -m coursework"))
