"""Images warped per second in one thread: torchvision's transforms on one image at a time, ours on a batch."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torchvision import transforms
from torchvision.transforms import v2

from mnistlib import data, formatting, steps, train
from mnistlib.logs import log
from mnistlib.runs import device

N_IMAGES = 1_500  # of a round, one at a time
AUGMENT = steps.AUGMENT.augment
SAME = {
    "degrees": AUGMENT.degrees,
    "translate": (AUGMENT.translate / 28, AUGMENT.translate / 28),
    "scale": (1 - AUGMENT.scale, 1 + AUGMENT.scale),
    "shear": AUGMENT.shear,
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Return images per second by method and round, from bytes to a net's input."""
    device.tune()
    mnist = data.load()
    trainer, images, labels = train.Trainer(steps.AUGMENT, 0), mnist.train.images, mnist.train.labels
    normalize = transforms.Normalize((data.MEAN,), (data.SD,))
    bilinear = transforms.InterpolationMode.BILINEAR
    first = transforms.Compose(
        [transforms.ToPILImage(), transforms.RandomAffine(**SAME, interpolation=bilinear), transforms.ToTensor(), normalize]
    )
    second = v2.Compose(
        [v2.RandomAffine(**SAME, interpolation=bilinear), v2.ToDtype(torch.float32, scale=True), v2.Normalize((data.MEAN,), (data.SD,))]
    )

    def one_by_one(transform: Callable) -> int:
        for image in images[:N_IMAGES]:
            transform(image[None])
        return N_IMAGES

    def by_the_batch() -> int:
        return sum(len(pixels) for pixels, _ in trainer.batches(images, labels))

    methods = {"torchvision v1": lambda: one_by_one(first), "torchvision v2": lambda: one_by_one(second), "this series": by_the_batch}
    found: dict[str, list[float]] = {method: [] for method in methods}
    for _ in range(rounds):
        for method, run in methods.items():
            clock = time.perf_counter()
            n = run()
            found[method].append(n / (time.perf_counter() - clock))
            log.info(f"augmentation  {method}  {formatting.count(round(found[method][-1]))} images per second")
    return found
