"""Two public recipes, rewritten from their descriptions and run as their authors run them; the process prints its timings.

`model4` is the fourth model of a public series for the same exercise, with torchvision's transforms on one image at a time;
`example` is the recipe of PyTorch's own MNIST example. Both are evaluated on the test images after every epoch, as their authors do.
"""

from __future__ import annotations

from benchmarks.clock import Clock

CLOCK = Clock()  # before the imports, which it times

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
class Baseline:
    """A public recipe."""

    title: str
    epochs: int
    net: Callable[[], nn.Module]
    transforms: tuple[Callable, ...]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer], LRScheduler]


def small_net() -> nn.Sequential:
    """Return the small net: convolution, ReLU, normalization and light dropout, several times over."""

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


def example_net() -> nn.Sequential:
    """Return the net of PyTorch's example: two wide convolutions and two linear layers."""
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


BASELINES = {
    "model4": Baseline(
        "000 Model 4",
        15,
        small_net,
        (
            transforms.RandomAffine(10, shear=10),
            transforms.RandomRotation(7, fill=1),
            transforms.RandomResizedCrop(28, scale=(0.9, 1.0)),
        ),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4),
        lambda optimizer: StepLR(optimizer, 6, 0.1),
    ),
    "example": Baseline(
        "PyTorch example",
        14,
        example_net,
        (),
        lambda net: torch.optim.Adadelta(net.parameters(), lr=1.0),
        lambda optimizer: StepLR(optimizer, 1, 0.7),
    ),
}


def run(baseline: Baseline, folder: Path, epochs: int, seed: int) -> None:
    """Train and evaluate a baseline for some epochs and print its timings; `folder` is torchvision's."""
    torch.manual_seed(seed)
    plain = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    training = datasets.MNIST(folder, train=True, transform=transforms.Compose([*baseline.transforms, *plain]))
    testing = datasets.MNIST(folder, train=False, transform=transforms.Compose(plain))
    batches, tests = DataLoader(training, BATCH, shuffle=True), DataLoader(testing, TEST_BATCH)
    net = baseline.net()
    optimizer = baseline.optimizer(net)
    schedule = baseline.schedule(optimizer)
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
    """Run the baseline that the command line names."""
    CLOCK.lap("import")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("baseline", choices=BASELINES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch chooses")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    run(BASELINES[given.baseline], given.folder, given.epochs, given.seed)


if __name__ == "__main__":
    main()
