"""One seed of one recipe: optimizer, learning rate, EMA, and a plain training loop."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mnistlib import augment, data, models
from mnistlib.data import ImageSet, Mnist
from mnistlib.errors import TrainingError
from mnistlib.recipe import Recipe

EVAL_BATCH = 500  # images at a time without gradients; fits a core's cache
DIVERGED = "Seed {} diverged in epoch {}: the loss is not finite. Lower optimizer.lr, now {:g}."


@dataclass
class History:
    """What was measured in each epoch; averages weigh images, not batches."""

    train_loss: list[float] = field(default_factory=list)  # running: while the weights move, augmentation and dropout on
    train_accuracy: list[float] = field(default_factory=list)  # running, a fraction
    eval_loss: list[float] = field(default_factory=list)  # on the test or validation images, after the epoch
    eval_accuracy: list[float] = field(default_factory=list)  # likewise, a fraction
    learning_rate: list[float] = field(default_factory=list)  # at the epoch's last step
    seconds: list[float] = field(default_factory=list)  # training and evaluation
    monitor_accuracy: list[float] = field(default_factory=list)  # on the images that steer early stopping; empty without such images


class Trainer:
    """A net in training; all randomness comes from seed and epoch, so a resumed run equals the undisturbed one bit for bit."""

    kept_epoch: int | None = None  # counted from 1; a subclass may keep another epoch than the last

    def __init__(self, recipe: Recipe, seed: int, device: str = "cpu") -> None:
        self.recipe, self.seed, self.device, self.history = recipe, seed, device, History()
        self.model = new_model(recipe, seed).to(device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model.parameters(), recipe)
        self.ema_model = AveragedModel(self.model, multi_avg_fn=self.update_ema, use_buffers=True) if recipe.ema_decay else None
        if self.ema_model is not None:
            self.ema_model.n_averaged += 1  # the first weights are the first average
        self.kept_weights: dict[str, Tensor] = {}  # of the epoch that a subclass keeps instead of the last

    def fit(self, mnist: Mnist, after_epoch: Callable[["Trainer"], Any] = lambda trainer: None) -> "Trainer":
        """Train to the recipe's end and return the trainer; a loss that is not finite raises TrainingError."""
        part = self.training_images(mnist)
        images, labels = part.images.to(self.device), part.labels.to(self.device)
        while not self.finished:
            clock = time.perf_counter()
            loss, running_accuracy, lr = self.epoch(images, labels)
            eval_loss, predictions, _ = evaluate(self.eval_model, mnist.eval)
            if not math.isfinite(loss + eval_loss):
                raise TrainingError(DIVERGED.format(self.seed, self.epochs_done + 1, self.recipe.optimizer.lr))
            measured = (loss, running_accuracy, eval_loss, accuracy(predictions, mnist.eval), lr, time.perf_counter() - clock)
            for own, value in zip(vars(self.history).values(), measured, strict=False):
                own.append(value)
            self.end_epoch()
            after_epoch(self)
        return self

    def epoch(self, images: Tensor, labels: Tensor) -> tuple[float, float, float]:
        """Train on every image once, in a new order, and return running loss, running accuracy and the last learning rate."""
        self.model.train()
        first = self.epochs_done * len(batch_bounds(len(images), self.recipe.batch_size))
        total_loss, n_correct, lr = torch.zeros((), device=images.device), torch.zeros((), device=images.device), 0.0
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(self.seed, "dropout", self.epochs_done))
            for step, (pixels, targets) in enumerate(self.batches(images, labels), first):
                lr = self.set_lr(step, len(images))
                logits = self.model(pixels)
                loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                if self.ema_model is not None:
                    self.ema_model.update_parameters(self.model)
                total_loss += loss.detach() * len(targets)
                n_correct += (logits.argmax(1) == targets).sum()
        return total_loss.item() / len(images), n_correct.item() / len(images), lr

    def batches(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches, pixels [n, 1, 28, 28] and labels [n]; sampling grids are made once for the whole epoch."""
        random = Generator().manual_seed(derive_seed(self.seed, "order", self.epochs_done))
        order, grid = torch.randperm(len(images), generator=random).to(images.device), None
        if self.recipe.augment is not None:
            random = Generator().manual_seed(derive_seed(self.seed, "augment", self.epochs_done))
            grid = augment.to_grid(augment.draw(len(images), self.recipe.augment, random), images.shape[2]).to(images.device)
        for first, last in batch_bounds(len(images), self.recipe.batch_size):
            batch = order[first:last]
            pixels = images.index_select(0, batch).unsqueeze(1).float()
            pixels = pixels if grid is None else augment.warp(pixels, grid[first:last])
            yield data.normalise(pixels), labels.index_select(0, batch)

    def set_lr(self, step: int, n_images: int) -> float:
        """Set and return the learning rate of a step, counted from the start of training."""
        lr, steps_per_epoch = self.recipe.optimizer.lr, len(batch_bounds(n_images, self.recipe.batch_size))
        if self.recipe.schedule is not None:
            lr *= self.recipe.schedule.lr_factor(step, self.recipe.epochs * steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def training_images(self, mnist: Mnist) -> ImageSet:
        """Return the images to train on."""
        return mnist.train

    def end_epoch(self) -> None:
        """Do what a subclass wants done once an epoch's figures are in the history."""

    @property
    def epochs_done(self) -> int:
        """Return the number of finished epochs."""
        return len(self.history.seconds)

    @property
    def finished(self) -> bool:
        """Say whether training has ended."""
        return self.epochs_done >= self.recipe.epochs

    @property
    def eval_model(self) -> nn.Module:
        """Return the net to evaluate: the EMA where there is one."""
        return self.model if self.ema_model is None else self.ema_model.module

    def update_ema(self, averages: Any, weights: Any, n_averaged: Any) -> None:
        """Move the averaged weights towards the net's; the decay grows over the first steps, so the first weights are soon forgotten."""
        get_ema_multi_avg_fn(min(self.recipe.ema_decay, float(n_averaged) / (9 + float(n_averaged))))(averages, weights, n_averaged)


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return the random seed of one purpose in one epoch; no two of them are related."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose} {epoch}".encode()).digest()[:7], "big")


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return where each batch of an epoch begins and ends; a last batch of one joins the batch before it."""
    starts = list(range(0, n, batch_size))
    if n > 1 and starts[-1] == n - 1:  # batch normalization needs two values
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def new_model(recipe: Recipe, seed: int) -> nn.Module:
    """Return the recipe's net with a seed's first weights."""
    return models.init_weights(models.build(recipe.model, recipe.dropout), derive_seed(seed, "weights"))


def make_optimizer(parameters: Iterable[Tensor], recipe: Recipe, stacked: bool = False) -> torch.optim.Optimizer:
    """Return the recipe's optimizer of parameters; `stacked` ones have a first dimension over seeds."""
    chosen, values = recipe.optimizer, list(parameters)
    kernels, others = ([value for value in values if (value.ndim > 1 + stacked) == large] for large in (True, False))
    decay = chosen.weight_decay
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": decay * chosen.decay_norm_and_bias}]
    if chosen.name == "adam":
        return torch.optim.Adam(groups, lr=chosen.lr, fused=True)
    return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=chosen.nesterov and chosen.momentum > 0, fused=True)


@torch.inference_mode()
def logits(model: nn.Module, part: ImageSet) -> Tensor:
    """Return a net's logits, float32 [n, 10] on the CPU, augmentation and dropout off."""
    model.eval()
    device = next(model.parameters()).device
    batches = (images.to(device).unsqueeze(1).float() for images in part.images.split(EVAL_BATCH))
    return torch.cat([model(data.normalise(pixels)).cpu() for pixels in batches])


def evaluate(model: nn.Module, part: ImageSet) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean loss, the predicted digits (uint8 [n]) and their probabilities (float32 [n])."""
    found = logits(model, part)
    confidences, digits = found.softmax(1).max(1)
    return F.cross_entropy(found, part.labels).item(), digits.to(torch.uint8).numpy(), confidences.numpy()


def accuracy(predictions: np.ndarray, part: ImageSet) -> float:
    """Return the accuracy of predictions, a fraction."""
    return float((predictions == part.labels.numpy()).mean())
