"""Many seeds of one recipe as one: their weights stacked, every layer computed for all of them at once. Made for a GPU."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnistlib import augment, data
from mnistlib.data import ImageSet, Mnist
from mnistlib.errors import SettingError, TrainingError
from mnistlib.recipe import Recipe
from mnistlib.runs.run import Run, State, copied
from mnistlib.train import DIVERGED, EVAL_BATCH, History, Trainer, accuracy, batch_bounds, derive_seed, make_optimizer, new_model

TOGETHER = 32  # seeds in one stack; more take their turn, so that memory stays bounded
BUFFER = "momentum_buffer"  # torch's name for SGD's running update


def possible(recipe: Recipe) -> bool:
    """Say whether a recipe can be stacked: the series' own trainer, no random numbers within the net."""
    return recipe.trainer == Recipe.trainer and not recipe.dropout and recipe.optimizer.name == "sgd"


class Stack:
    """The nets of several seeds as one function: weights, running statistics and momentum with a first dimension over the seeds."""

    def __init__(self, recipe: Recipe, seeds: Sequence[int], device: str) -> None:
        self.recipe, self.seeds, self.histories, self.n_averaged = recipe, seeds, [History() for _ in seeds], 1
        nets = [new_model(recipe, seed).to(device) for seed in seeds]
        self.net = nets[0]  # lends its layers; its own weights are never used
        self.parameters, self.buffers = torch.func.stack_module_state(nets)
        self.optimizer = make_optimizer(self.parameters.values(), recipe, stacked=True)
        self.ema = {name: self.values()[name].detach().clone() for name in self.net.state_dict()} if recipe.ema_decay else {}

    set_lr = Trainer.set_lr

    def __call__(self, pixels: Tensor, shared: bool = False) -> Tensor:
        """Return logits [seeds, n, 10] of each seed's own pixels [seeds, n, 1, 28, 28], or of the same ones for all, [n, 1, 28, 28]."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], pixels: Tensor) -> Tensor:
            return torch.func.functional_call(self.net, (parameters, buffers), (pixels,))

        return torch.vmap(one, in_dims=(0, 0, None if shared else 0))(self.parameters, self.buffers, pixels)

    def values(self) -> dict[str, Tensor]:
        """Return all weights and running statistics by name."""
        return self.parameters | self.buffers

    def epoch(self, images: Tensor, labels: Tensor) -> tuple[list[float], list[float], float]:
        """Train every seed on every image once; return running losses, running accuracies and the last learning rate."""
        self.net.train()
        n, lr = len(self.seeds), 0.0
        first = len(self.histories[0].seconds) * len(batch_bounds(len(images), self.recipe.batch_size))
        total_loss, n_correct = torch.zeros(n, device=images.device), torch.zeros(n, device=images.device)
        for step, (pixels, targets) in enumerate(self.batches(images, labels), first):
            lr = self.set_lr(step, len(images))
            logits = self(pixels.unflatten(0, (n, -1)))
            losses = F.cross_entropy(logits.flatten(0, 1), targets, label_smoothing=self.recipe.label_smoothing, reduction="none")
            losses = losses.view(n, -1)
            self.optimizer.zero_grad()
            losses.mean(1).sum().backward()  # each loss depends on its own seed's weights alone
            self.optimizer.step()
            if self.ema:
                decay = min(self.recipe.ema_decay, self.n_averaged / (9 + self.n_averaged))
                for dtype in {value.dtype for value in self.ema.values()}:
                    names = [name for name, value in self.ema.items() if value.dtype == dtype]
                    now = [self.values()[name].detach() for name in names]
                    get_ema_multi_avg_fn(decay)([self.ema[name] for name in names], now, self.n_averaged)
                self.n_averaged += 1
            total_loss += losses.detach().sum(1)
            n_correct += (logits.argmax(2) == targets.view(n, -1)).sum(1)
        return (total_loss / len(images)).tolist(), (n_correct / len(images)).tolist(), lr

    def batches(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches; those of the seeds stand one after another in each."""
        epoch, (n, side, _) = len(self.histories[0].seconds), images.shape

        def random(purpose: str) -> list[Generator]:
            return [Generator().manual_seed(derive_seed(seed, purpose, epoch)) for seed in self.seeds]

        orders = torch.stack([torch.randperm(n, generator=own) for own in random("order")]).to(images.device)
        grids = []
        if self.recipe.augment is not None:
            params = [augment.draw(n, self.recipe.augment, own) for own in random("augment")]
            grids = [augment.to_grid(each, side).to(images.device) for each in params]
        for first, last in batch_bounds(n, self.recipe.batch_size):
            batch = orders[:, first:last].flatten()
            pixels = images.index_select(0, batch).unsqueeze(1).float()
            if grids:
                elastic = None if grids[0].elastic is None else torch.cat([grid.elastic[first:last] for grid in grids])
                matrices = torch.cat([grid.matrices[first:last] for grid in grids])
                pixels = augment.warp(pixels, augment.SamplingGrid(matrices, elastic))
            yield data.normalise(pixels), labels.index_select(0, batch)

    @torch.no_grad()
    def evaluate(self, part: ImageSet) -> tuple[list[float], Tensor, Tensor]:
        """Return each seed's mean loss, predicted digits [seeds, n] and their probabilities; of the EMA where there is one."""
        self.net.eval()
        own = {name: value.clone() for name, value in self.values().items()} if self.ema else {}
        device = next(iter(self.parameters.values())).device
        for name, value in self.ema.items():
            self.values()[name].copy_(value)
        batches = (images.to(device).unsqueeze(1).float() for images in part.images.split(EVAL_BATCH))
        logits = torch.cat([self(data.normalise(pixels), shared=True).cpu() for pixels in batches], 1)
        for name, value in own.items():
            self.values()[name].copy_(value)
        confidences, digits = logits.softmax(2).max(2)
        return [F.cross_entropy(each, part.labels).item() for each in logits], digits.to(torch.uint8), confidences

    def state(self, place: int) -> State:
        """Return the state of one seed, as a run of its own would have it."""
        carried = {f"{BUFFER}/{name}": self.optimizer.state[value].get(BUFFER) for name, value in self.parameters.items()}
        weights = {name: self.values()[name] for name in self.net.state_dict()}
        ema = {f"module.{name}": value for name, value in self.ema.items()}
        groups = [{name: value[place].detach().clone() for name, value in g.items() if value is not None} for g in (weights, carried, ema)]
        if self.ema:
            groups[2]["n_averaged"] = torch.tensor(self.n_averaged)
        return State(*groups, self.histories[place])

    def restore(self, states: Sequence[State]) -> None:
        """Go on from the states of the seeds, all after the same epoch."""
        with torch.no_grad():
            for name, value in self.values().items():
                value.copy_(torch.stack([state.weights[name] for state in states]))
            for name, value in self.ema.items():
                value.copy_(torch.stack([state.ema[f"module.{name}"] for state in states]))
        for name, value in self.parameters.items():
            if f"{BUFFER}/{name}" in states[0].optimizer:
                buffers = torch.stack([state.optimizer[f"{BUFFER}/{name}"] for state in states])
                self.optimizer.state[value][BUFFER] = buffers.to(value.device)
        self.histories = [copied(state.history) for state in states]
        self.n_averaged = int(states[0].ema.get("n_averaged", 1))


def train(
    recipe: Recipe,
    mnist: Mnist,
    seeds: Sequence[int],
    device: str,
    states: Sequence[State] = (),
    after_epoch: Callable[[int, State], Any] = lambda seed, state: None,
) -> list[Run]:
    """Train seeds together and return their runs: to rounding, those of `runs.run.train`.

    `states` are those of all seeds where they were interrupted, after the same epoch. Raises SettingError for a recipe that cannot be
    stacked, and TrainingError for a loss that is not finite.
    """
    if not possible(recipe):
        raise SettingError("Only recipes of the series' own kind, with SGD and without dropout, can be stacked; others train seed by seed.")
    stack = Stack(recipe, seeds, device)
    if states:
        stack.restore(states)
    images, labels = mnist.train.images.to(device), mnist.train.labels.to(device)
    for epoch in range(len(stack.histories[0].seconds), recipe.epochs):
        clock = time.perf_counter()
        losses, accuracies, lr = stack.epoch(images, labels)
        eval_losses, predictions, _ = stack.evaluate(mnist.eval)
        seconds = (time.perf_counter() - clock) / len(seeds)
        for place, (seed, history) in enumerate(zip(seeds, stack.histories, strict=True)):
            if not math.isfinite(losses[place] + eval_losses[place]):
                raise TrainingError(DIVERGED.format(seed, epoch + 1, recipe.optimizer.lr))
            eval_accuracy = accuracy(predictions[place].numpy(), mnist.eval)
            measured = (losses[place], accuracies[place], eval_losses[place], eval_accuracy, lr, seconds)
            for own, value in zip(vars(history).values(), measured, strict=False):
                own.append(value)
            after_epoch(seed, stack.state(place))
    (_, predictions, confidences), (_, on_training, _) = stack.evaluate(mnist.eval), stack.evaluate(mnist.train)
    runs = []
    for place, seed in enumerate(seeds):
        state = stack.state(place)
        kept = {name.removeprefix("module."): value for name, value in state.ema.items() if name != "n_averaged"} or state.weights
        weights = {name: value.cpu().contiguous() for name, value in kept.items()}
        clean, found = accuracy(on_training[place].numpy(), mnist.train), (predictions[place].numpy(), confidences[place].numpy())
        runs.append(Run(seed, stack.histories[place], len(mnist.train.labels), clean, None, weights, *found))
    return runs
