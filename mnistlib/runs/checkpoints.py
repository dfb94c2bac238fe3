"""The final weights of a run as a safetensors file, trusted by its sha256 alone."""

from __future__ import annotations

from pathlib import Path

from safetensors import torch as safetensors
from torch import Tensor

from mnistlib import files
from mnistlib.errors import ResultError


def pack(weights: dict[str, Tensor]) -> bytes:
    """Return a state_dict as the bytes of its file; the same weights give the same bytes."""
    return safetensors.save({name: value.detach().cpu().contiguous() for name, value in weights.items()})


def read(path: Path, sha256: str) -> dict[str, Tensor]:
    """Return the weights of a file whose sha256 is known, or raise ResultError where it is missing or differs by one bit."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ResultError(f"The checkpoint {path.name} is missing beside its result; train the step again or restore the file.") from None
    except OSError as error:
        raise ResultError(f"The checkpoint {path.name} cannot be read ({error.strerror}).") from None
    if files.sha256(content) != sha256:
        raise ResultError(f"The checkpoint {path.name} is not the one its result was made with: its sha256 differs.")
    return safetensors.load(content)
