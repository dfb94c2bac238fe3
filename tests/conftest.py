"""What several test modules need: real MNIST, loaded once, and one thread each."""

from __future__ import annotations

import os

import pytest
import torch

from mnistlib import data, sources


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Keep torch on one thread, as the trials do."""
    torch.set_num_threads(1)


def _real(split: str) -> data.Mnist:
    """Load MNIST with its writers, or skip; where CI is set, its absence is a failure."""
    try:
        loaded = data.load("mnist", split)
    except sources.NotFound as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI is set, and {error}")
        pytest.skip("MNIST was neither found nor downloadable")
    return loaded


@pytest.fixture(scope="session")
def mnist() -> data.Mnist:
    """Return MNIST: all training images, and the test images."""
    return _real("test")


@pytest.fixture(scope="session")
def validation() -> data.Mnist:
    """Return MNIST's training images alone, those of some writers held out."""
    return _real("validation")
