"""Rebuild reports/published/: python -m replication [MODEL]... [--no-training]"""

import sys

import click

from mnistlib.cli.main import main


@click.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--no-training", is_flag=True, help="Rebuild from what is stored.")
def build_published(names: tuple[str, ...], no_training: bool) -> None:
    """Train what is missing, rebuild reports/published/.

    All models and studies unless some are named.
    """
    from replication import build

    build.build_published(not no_training, names)


if __name__ == "__main__":
    sys.exit(main(build_published, "python -m replication"))
