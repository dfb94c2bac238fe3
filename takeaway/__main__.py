"""Write reports/weights/ from the committed checkpoints: python -m takeaway"""

import sys

import click

from mnistlib.cli.main import main


@click.command()
def take() -> None:
    """Write the nets as safetensors and ONNX, with a model card."""
    from mnistlib import files
    from takeaway import weights

    click.echo(f"The nets are in {weights.build(files.root() / 'reports').name}/.")


if __name__ == "__main__":
    sys.exit(main(take, "python -m takeaway"))
