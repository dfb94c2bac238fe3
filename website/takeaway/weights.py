"""The folder of nets to take away: each as safetensors and as ONNX, and one model card."""

from pathlib import Path

from mnistlib import files
from website.drawing import page
from website.takeaway import card, export


def build(reports: Path) -> Path:
    """Write the folder `weights` into `reports` from the checkpoints there and return its path; a missing one raises ResultError."""
    folder = reports / "weights"
    files.write_together({folder / name: content for name, content in contents(reports).items()})
    return folder


def contents(reports: Path) -> dict[str, bytes | str]:
    """Return the content of each file of the folder by its name."""
    made: dict[str, bytes | str] = {}
    results = []
    for name in page.NETS:
        found, net = page.load(reports, name)
        about = card.metadata(found)
        made |= {f"{name}.safetensors": export.to_safetensors(net, about), f"{name}.onnx": export.to_onnx(net, about)}
        results.append(found)
    return made | {"README.md": card.text(results)}
