"""Make the choices of steps on held-out writers: python -m selection [STEP]..."""

import sys

import click

from mnistlib.cli.main import main


@click.command()
@click.argument("names", nargs=-1, metavar="[STEP]...")
def choose(names: tuple[str, ...]) -> None:
    """Train the candidates of steps, record the choices.

    All steps unless some are named; six folds of writers decide.
    """
    from selection import candidates, search

    for name in names or candidates.CANDIDATES:
        search.choose(name)


if __name__ == "__main__":
    sys.exit(main(choose, "python -m selection"))
