"""What several test modules need: MNIST, loaded once, a few of its images, and one thread each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnistlib import data


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: begun last, one of them would run alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Keep torch on one thread, as workers do."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Switch denormal numbers on again after what switched them off for speed: hypothesis refuses to draw numbers without them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def mnist() -> data.Mnist:
    """Return MNIST: all training images, and the test images."""
    return data.load()


@pytest.fixture(scope="session")
def validation() -> data.Mnist:
    """Return MNIST's training images alone, those of some writers held out."""
    return data.load("validation")


@pytest.fixture(scope="session")
def few() -> data.Mnist:
    """Return 300 training and 200 test images, enough for all that does not depend on how well a net learns."""
    loaded = data.load(train_limit=300)
    return replace(loaded, eval=loaded.eval.subset(np.arange(200)))
