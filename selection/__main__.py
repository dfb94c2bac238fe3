"""Make the choices of steps on held-out writers: python -m selection [STEP]..."""

import sys

import click

from mnistlib.cli.main import main


@click.command()
@click.argument("names", nargs=-1, metavar="[STEP]...")
def choose(names: tuple[str, ...]) -> None:
    """Train the candidates of steps, record the choices.

    Six folds of writers decide. Without a name, those steps that have a short list of candidates; the longer searches, 04_frontier,
    05_fast, under_4000 and under_1000, take hours and are run by their names.
    """
    from selection import candidates, search

    for name in names or candidates.CANDIDATES:
        search.choose(name)


if __name__ == "__main__":
    sys.exit(main(choose, "python -m selection"))
