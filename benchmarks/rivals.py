"""Two public recipes, written anew from their descriptions, run as their authors run them: a process that prints its timings.

`model4` is the fourth model of a public series for this exercise, with torchvision's transforms on one image at a time; `example`
is the recipe of PyTorch's own MNIST example. Both are judged on the test images after every epoch, as their authors do.
"""

from __future__ import annotations

from benchmarks.clock import Clock

CLOCK = Clock()  # before the imports that it is to time

import argparse  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.optim import Optimizer  # noqa: E402
from torch.optim.lr_scheduler import LRScheduler, StepLR  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402

BATCH = 64
TEST_BATCH = 1000


@dataclass(frozen=True)
class Rival:
    """A public recipe."""

    title: str
    epochs: int
    net: Callable[[], nn.Module]
    warps: tuple[Callable, ...]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer], LRScheduler]


def narrow() -> nn.Sequential:
    """Return the narrow net: convolution, ReLU, normalization and light dropout, seven times over."""

    def block(n_in: int, n_out: int, padding: int = 0) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, padding=padding, bias=False), nn.ReLU(), nn.BatchNorm2d(n_out), nn.Dropout(0.01)]

    return nn.Sequential(
        *block(1, 8),
        *block(8, 12),
        nn.Conv2d(12, 10, 1, bias=False),
        nn.MaxPool2d(2),
        *block(10, 12),
        *block(12, 12),
        *block(12, 16),
        *block(16, 16, padding=1),
        nn.AvgPool2d(6),
        nn.Conv2d(16, 10, 1, bias=False),
        nn.Flatten(),
    )


def wide() -> nn.Sequential:
    """Return the net of PyTorch's example: two wide convolutions and two dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


RIVALS = {
    "model4": Rival(
        "000 Model 4",
        15,
        narrow,
        (
            transforms.RandomAffine(10, shear=10),
            transforms.RandomRotation(7, fill=1),
            transforms.RandomResizedCrop(28, scale=(0.9, 1.0)),
        ),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4),
        lambda optimizer: StepLR(optimizer, 6, 0.1),
    ),
    "example": Rival(
        "PyTorch example",
        14,
        wide,
        (),
        lambda net: torch.optim.Adadelta(net.parameters(), lr=1.0),
        lambda optimizer: StepLR(optimizer, 1, 0.7),
    ),
}


def run(rival: Rival, folder: Path, epochs: int, seed: int) -> None:
    """Train and judge a rival for some epochs and print its timings; `folder` is torchvision's."""
    torch.manual_seed(seed)
    plain = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    training = datasets.MNIST(folder, train=True, transform=transforms.Compose([*rival.warps, *plain]))
    testing = datasets.MNIST(folder, train=False, transform=transforms.Compose(plain))
    batches, tests = DataLoader(training, BATCH, shuffle=True), DataLoader(testing, TEST_BATCH)
    net = rival.net()
    optimizer = rival.optimizer(net)
    schedule = rival.schedule(optimizer)
    CLOCK.lap("data")
    seconds, accuracy = [], []
    for _ in range(epochs):
        net.train()
        for pixels, labels in batches:
            optimizer.zero_grad()
            F.nll_loss(F.log_softmax(net(pixels), 1), labels).backward()
            optimizer.step()
        trained = CLOCK.lap("train")
        net.eval()
        with torch.no_grad():
            right = sum((net(pixels).argmax(1) == labels).sum().item() for pixels, labels in tests)
        schedule.step()
        seconds.append(trained + CLOCK.lap("evaluate"))
        accuracy.append(right / len(testing))
    CLOCK.finish(epochs=seconds, accuracy=accuracy, n_parameters=sum(value.numel() for value in net.parameters()))


def main() -> None:
    """Run the rival that the command line names."""
    CLOCK.lap("import")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes of itself")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    run(RIVALS[given.rival], given.folder, given.epochs, given.seed)


if __name__ == "__main__":
    main()
