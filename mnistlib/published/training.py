"""What published recipes have beside the core's: torch's schedulers, torchvision's transforms, early stopping."""

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Generator, Tensor
from torch.optim import Optimizer, lr_scheduler

from mnistlib import data
from mnistlib.data import ImageSet, Mnist
from mnistlib.errors import SettingError, between, validated
from mnistlib.published.transforms import Transform, random_transforms
from mnistlib.recipe import Recipe
from mnistlib.train import Trainer, accuracy, batch_bounds, derive_seed, evaluate


@validated
class StepLR:
    """The learning rate times `gamma` after every `step_size` epochs."""

    step_size: Annotated[int, between(1, 100)]  # epochs
    gamma: Annotated[float, between(1e-6, 1)] = 0.1
    name: Literal["StepLR"] = "StepLR"


@validated
class OneCycleLR:
    """The learning rate up to the recipe's along a cosine, then down to almost zero; the momentum (Adam's first beta) down and up."""

    pct_start: Annotated[float, between(0.001, 0.999)] = 0.3  # fraction of all steps spent going up
    div_factor: Annotated[float, between(1, 1e9)] = 25.0  # the peak divided by this is the first learning rate
    final_div_factor: Annotated[float, between(1, 1e9)] = 1e4  # the first one divided by this is the last
    base_momentum: Annotated[float, between(0, 0.999)] = 0.85  # at the peak
    max_momentum: Annotated[float, between(0, 0.999)] = 0.95  # at both ends
    name: Literal["OneCycleLR"] = "OneCycleLR"


@validated
class ReduceLROnPlateau:
    """The learning rate times `factor` once the monitored accuracy has not improved for more than `patience` epochs."""

    factor: Annotated[float, between(1e-6, 0.999)] = 0.1
    patience: Annotated[int, between(0, 100)] = 10
    threshold: Annotated[float, between(0, 1)] = 1e-4  # relative improvement on the best accuracy that counts as one
    name: Literal["ReduceLROnPlateau"] = "ReduceLROnPlateau"


Scheduler = Annotated[StepLR | OneCycleLR | ReduceLROnPlateau, Field(discriminator="name")]


def torch_scheduler(scheduler: Scheduler, optimizer: Optimizer, total_steps: int) -> lr_scheduler.LRScheduler:
    """Return torch's scheduler of an optimizer whose learning rate is the recipe's."""
    arguments, peak = asdict(scheduler), optimizer.param_groups[0]["lr"]
    more = {"OneCycleLR": {"max_lr": peak, "total_steps": total_steps}, "ReduceLROnPlateau": {"mode": "max"}}
    name = arguments.pop("name")
    return getattr(lr_scheduler, name)(optimizer, **arguments, **more.get(name, {}))


@validated
class EarlyStopping:
    """What is decided during training by the accuracy on images that are not trained on."""

    monitor: Literal["validation", "eval"]  # training images of writers who are then not trained on; or the evaluation images, a leak
    restore_best: bool = False  # whether the weights of the best epoch are kept, instead of those of the last
    stop_at: Annotated[float, between(0, 1)] | None = None  # accuracy that ends training


@validated
class PublishedRecipe(Recipe):
    """A recipe as the author of a published model ran it; where the scheduler is given, `schedule` is None."""

    scheduler: Scheduler | None = None
    transforms: tuple[Transform, ...] = ()  # of the training images, in this order
    early_stopping: EarlyStopping | None = None

    trainer: ClassVar[str] = "mnistlib.published.training:PublishedTrainer"

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.schedule is not None:
            raise SettingError("A recipe has a schedule or a scheduler, not both; set schedule to None.")
        if self.transforms and self.augment is not None:
            raise SettingError("A recipe has transforms or augment, not both; set augment to None.")
        if isinstance(self.scheduler, ReduceLROnPlateau) and self.early_stopping is None:
            raise SettingError("ReduceLROnPlateau needs early_stopping, which says whose accuracy is monitored.")


class PublishedTrainer(Trainer):
    """A Trainer of published recipes."""

    recipe: PublishedRecipe

    def __init__(self, recipe: PublishedRecipe, seed: int, device: str = "cpu") -> None:
        super().__init__(recipe, seed, device)
        self.torch_scheduler = None
        self.monitor_images: ImageSet | None = None  # training images set aside, where those are monitored

    def training_images(self, mnist: Mnist) -> ImageSet:
        """Return the images to train on; those of monitored writers are set aside."""
        if self.recipe.early_stopping is None or self.recipe.early_stopping.monitor == "eval":
            return mnist.train
        parts = data.validation_split(mnist)
        if not len(parts.train.ids) or not len(parts.eval.ids):
            raise SettingError(f"There are only {len(mnist.train.ids)} training images, too few to set some aside for early stopping.")
        self.monitor_images = parts.eval
        return parts.train

    def batches(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches; all images are transformed first, in the order of the data."""
        if self.recipe.transforms:
            random = Generator().manual_seed(derive_seed(self.seed, "augment", self.epochs_done))
            images = random_transforms(images, self.recipe.transforms, random)
        return super().batches(images, labels)

    def set_lr(self, step: int, n_images: int) -> float:
        """Bring torch's scheduler to a step, all the way in a resumed run, and return the learning rate that it set."""
        chosen = self.recipe.scheduler
        if chosen is None:
            return super().set_lr(step, n_images)
        steps_per_epoch = len(batch_bounds(n_images, self.recipe.batch_size))
        if self.torch_scheduler is None:
            self.torch_scheduler = torch_scheduler(chosen, self.optimizer, self.recipe.epochs * steps_per_epoch)
        due = step if isinstance(chosen, OneCycleLR) else step // steps_per_epoch
        if self.torch_scheduler.last_epoch < due:
            with warnings.catch_warnings():  # in a resumed run the scheduler steps before the optimizer does
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
                for place in range(self.torch_scheduler.last_epoch, due):
                    self.torch_scheduler.step(*([self.monitored[place]] if isinstance(chosen, ReduceLROnPlateau) else []))
        return self.optimizer.param_groups[0]["lr"]

    def end_epoch(self) -> None:
        """Evaluate the monitored images, and keep the weights if this is the best epoch so far."""
        if self.monitor_images is not None:
            _, predictions, _ = evaluate(self.eval_model, self.monitor_images)
            self.history.monitor_accuracy.append(accuracy(predictions, self.monitor_images))
        if self.kept_epoch == self.epochs_done:
            self.kept_weights = {name: value.detach().clone() for name, value in self.eval_model.state_dict().items()}

    @property
    def monitored(self) -> list[float]:
        """Return the monitored accuracy of each epoch so far."""
        by_validation = self.recipe.early_stopping is not None and self.recipe.early_stopping.monitor == "validation"
        return self.history.monitor_accuracy if by_validation else self.history.eval_accuracy

    @property
    def kept_epoch(self) -> int | None:
        """Return the epoch, from 1, whose weights are kept: the first of the best; None for the last one."""
        stopping = self.recipe.early_stopping
        return 1 + int(np.argmax(self.monitored)) if stopping is not None and stopping.restore_best and self.monitored else None

    @property
    def finished(self) -> bool:
        """Say whether all epochs are done, or the monitored accuracy has reached its goal."""
        goal = self.recipe.early_stopping.stop_at if self.recipe.early_stopping else None
        return super().finished or (goal is not None and any(accuracy >= goal for accuracy in self.monitored))
