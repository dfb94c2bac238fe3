"""Write reports/draw.html from the committed checkpoints: python -m drawing"""

import sys

import click

from mnistlib.cli.main import main


@click.command()
def draw() -> None:
    """Write the page on which a digit can be drawn."""
    from drawing import page
    from mnistlib import files

    click.echo(f"The page is {page.build(files.root() / 'reports').name}.")


if __name__ == "__main__":
    sys.exit(main(draw, "python -m drawing"))
