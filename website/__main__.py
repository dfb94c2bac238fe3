"""Rebuild reports/ but for the published models: python -m website [--no-training]"""

import sys

import click

from mnistlib.cli.main import main


@click.command()
@click.option("--no-training", is_flag=True, help="Rebuild from what is stored.")
def build_site(no_training: bool) -> None:
    """Train what is missing of the steps, rebuild their pages, the page to draw on, the index and README's table."""
    from website import build

    build.build_site(not no_training)


if __name__ == "__main__":
    sys.exit(main(build_site, "python -m website"))
