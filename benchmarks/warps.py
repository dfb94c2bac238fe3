"""Images warped a second in one thread: torchvision's transforms on one image at a time, ours on a batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torchvision import transforms
from torchvision.transforms import v2

from mnistlib import data, formatting, steps, train
from mnistlib.runs import device

SINGLY = 1_500  # images of a round, one at a time
WARPS = steps.AUGMENT.augment
SAME = {
    "degrees": WARPS.rotate,
    "translate": (WARPS.shift / 28, WARPS.shift / 28),
    "scale": (1 - WARPS.scale, 1 + WARPS.scale),
    "shear": WARPS.shear,
}


def measure(rounds: int, show: Callable[[str], Any]) -> dict[str, list[float]]:
    """Return images per second by way and round, from bytes to a net's input."""
    device.tune()
    mnist = data.load("mnist", show=lambda line: None)
    images, labels = mnist.train.images, mnist.train.labels
    normalize = transforms.Normalize((data.MEAN,), (data.SD,))
    bilinear = transforms.InterpolationMode.BILINEAR
    first = transforms.Compose(
        [transforms.ToPILImage(), transforms.RandomAffine(**SAME, interpolation=bilinear), transforms.ToTensor(), normalize]
    )
    second = v2.Compose(
        [v2.RandomAffine(**SAME, interpolation=bilinear), v2.ToDtype(torch.float32, scale=True), v2.Normalize((data.MEAN,), (data.SD,))]
    )

    def one_by_one(transform: Callable) -> int:
        for image in images[:SINGLY]:
            transform(image[None])
        return SINGLY

    def by_the_batch() -> int:
        return sum(len(pixels) for pixels, _ in train.batches(images, labels, steps.AUGMENT, [0], 0))

    ways = {"torchvision v1": lambda: one_by_one(first), "torchvision v2": lambda: one_by_one(second), "this series": by_the_batch}
    found: dict[str, list[float]] = {who: [] for who in ways}
    for _ in range(rounds):
        for who, way in ways.items():
            clock = time.perf_counter()
            n = way()
            found[who].append(n / (time.perf_counter() - clock))
            show(f"d  {who}  {formatting.count(round(found[who][-1]))} images per second")
    return found
