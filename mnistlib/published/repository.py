"""The five public repositories that the series grows from: what a row of theirs is, and what a claim."""

from __future__ import annotations

from dataclasses import dataclass

from mnistlib import checks, steps
from mnistlib.recipe import Optimizer, Recipe

SYSTEMS = {
    "000": "antonyrajesh123/session7mnist_ec2",
    "001": "aayushkash/mnist_under_8k",
    "002": "Supreeth04/assignment-7",
    "003": "nikhiljaiswal/mnist-cnn-aws",
    "004": "Anusha-raju/MNIST-CNN",
}
N_TEST = 10_000  # test images, of which the curves below count the right ones
SEEDS, HEADLINE_SEEDS = 3, 5
SILENT = "not said"  # where an author names no machine


@dataclass(frozen=True)
class Claim:
    """What an author reported of one run; accuracies are fractions of the test images."""

    where: str  # the machine, as far as it is known
    best: float | None  # at the best epoch, chosen on the test set
    final: float | None = None  # at the last epoch
    curve: tuple[int, ...] = ()  # test images right after each epoch, where a whole log was published
    train: float | None = None  # best running accuracy on the training images, augmentation and dropout on
    least: bool = False  # whether it is only said to be at least so much

    def __post_init__(self) -> None:
        for name in ("best", "final", "train"):
            if getattr(self, name) is not None:
                checks.number(self, name, 0, 1)
        checks.check(self, "best", self.best is not None or self.final is not None, "a fraction where final is None")
        ordered = self.best is None or self.final is None or self.best >= self.final
        checks.check(self, "best", ordered, "at least the last epoch's accuracy")

    @property
    def headline(self) -> float:
        """Return the figure that the author puts first: the best epoch, else the last."""
        return self.best if self.best is not None else float(self.final or 0)


@dataclass(frozen=True)
class Row:
    """One published model, or a change to one that a study asks for."""

    name: str
    title: str
    recipe: Recipe
    n_parameters: int
    claims: tuple[Claim, ...] = ()
    said: int | None = None  # parameters as published, where that is wrong
    corrected: bool = False  # whether the author put that right later
    n_seeds: int = SEEDS
    notes: tuple[str, ...] = ()  # sentences that its page must show
    originals: tuple[str, ...] = ()  # names that the author's code gives it
    inferred: bool = False  # whether its author left settings or layers in doubt, so that some are taken from elsewhere
    of: str = ""  # the row that it changes, for a study; "" for a published one

    @property
    def system(self) -> str:
        """Return the repository that the model comes from."""
        return SYSTEMS[self.name[:3]]

    @property
    def long_title(self) -> str:
        """Return its title with the repository's name."""
        return f"{self.title} of {self.system.partition('/')[2]}"

    @property
    def seeds(self) -> list[int]:
        """Return the seeds that it is trained with, fixed beforehand."""
        return list(range(self.n_seeds))

    @property
    def step(self) -> steps.Step:
        """Return the row as a step without a place in the series; an arm departs from its row."""
        return steps.Step(self.name, self.title, self.recipe, self.of or None)

    @property
    def claim(self) -> Claim | None:
        """Return the claim that stands first: the author's headline."""
        return self.claims[0] if self.claims else None


def plain(lr: float, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Return SGD as torch has it: weight decay pulls everything."""
    return Optimizer(lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, decays="all")


def adam(lr: float) -> Optimizer:
    """Return Adam with torch's own settings."""
    return Optimizer(lr=lr, kind="adam", decays="all")
