"""Many seeds of one recipe as one: their weights stacked, every layer computed for all of them at once. Made for a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mnistlib import data, descent, train
from mnistlib.errors import SettingError, TrainingError
from mnistlib.published.schedulers import Moment
from mnistlib.recipe import Augment, Recipe, Schedule
from mnistlib.runs import provenance
from mnistlib.runs.storage import History, State, Trial

TOGETHER = 32  # seeds in one stack; more take their turn, so that memory stays bounded
BUFFER = "momentum_buffer"  # torch's name for the running update of SGD


def possible(recipe: Recipe) -> bool:
    """Say whether a recipe can be stacked: no random numbers within the net, nothing that goes by a single seed's accuracy or images."""
    own = isinstance(recipe.augment, Augment | None) and isinstance(recipe.schedule, Schedule)
    return own and not recipe.dropout and recipe.steering is None and recipe.optimizer.kind == "sgd"


class Stack:
    """The nets of several seeds as one function: weights, running statistics and momentum with a first dimension over the seeds."""

    def __init__(self, recipe: Recipe, seeds: Sequence[int], device: str) -> None:
        nets = [train.fresh(recipe, seed).to(device) for seed in seeds]
        self.net = nets[0]  # lends its layers; its own weights are never used
        self.parameters, self.buffers = torch.func.stack_module_state(nets)
        self.optimizer = descent.optimizer_of(self.parameters.values(), recipe, stacked=True)
        self.average = {name: value.clone() for name, value in self.floats().items()} if recipe.averaging else {}

    def __call__(self, pixels: Tensor, shared: bool = False) -> Tensor:
        """Return logits [seeds, n, 10] of each seed's own pixels [seeds, n, 1, 28, 28], or of the same ones for all, [n, 1, 28, 28]."""
        call = torch.vmap(self._one, in_dims=(0, 0, None if shared else 0))
        return call(self.parameters, self.buffers, pixels)

    def _one(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], pixels: Tensor) -> Tensor:
        return torch.func.functional_call(self.net, (parameters, buffers), (pixels,))

    def floats(self) -> dict[str, Tensor]:
        """Return all weights and running statistics by name, without batch normalization's counters."""
        return {name: value.detach() for name, value in (self.parameters | self.buffers).items() if value.is_floating_point()}

    def state(self, place: int, history: History) -> State:
        """Return the state of one seed, as a run of its own would have it."""
        momentum = {f"{BUFFER}/{name}": self.optimizer.state[value].get(BUFFER) for name, value in self.parameters.items()}
        values = self.parameters | self.buffers
        groups = ({name: values[name] for name in self.net.state_dict()}, momentum, self.average)
        return State(
            *({name: value[place].detach().clone() for name, value in group.items() if value is not None} for group in groups), history
        )

    def restore(self, states: Sequence[State]) -> None:
        """Go on from the states of the seeds, all after the same epoch."""
        with torch.no_grad():
            for name, value in (self.parameters | self.buffers).items():
                value.copy_(torch.stack([state.weights[name] for state in states]))
            for name, value in self.parameters.items():
                place = f"{BUFFER}/{name}"
                if place in states[0].momentum:
                    self.optimizer.state[value][BUFFER] = torch.stack([state.momentum[place] for state in states]).to(value.device)
            for name, value in self.average.items():
                value.copy_(torch.stack([state.average[name] for state in states]))


def fit(
    recipe: Recipe,
    mnist: data.Mnist,
    keys: dict[int, str],
    device: str,
    starts: Sequence[State] | None = None,
    after_epoch: Callable[[int, State], None] = lambda seed, state: None,
) -> list[Trial]:
    """Train the seeds that `keys` names, all together, and return their trials: to rounding, those of `train.train`.

    `starts` are their states where they were interrupted, all after the same epoch. `after_epoch` is given each seed and its state.
    Raises SettingError for a recipe that cannot be stacked, and TrainingError for a loss that is no longer finite.
    """
    if not possible(recipe):
        raise SettingError("Only a recipe of the series' own kind without dropout can be stacked; the seeds of others train one at a time.")
    began, seeds = time.time(), list(keys)
    stack = Stack(recipe, seeds, device)
    histories = [History(**{name: list(values) for name, values in vars(start.history).items()}) for start in starts or ()]
    histories = histories or [History() for _ in seeds]
    if starts:
        stack.restore(starts)
    images, labels = mnist.train.images.to(device), mnist.train.labels.to(device)
    for epoch in range(len(histories[0].seconds), recipe.epochs):
        clock = time.perf_counter()
        losses, accuracies, lr = one_epoch(stack, images, labels, recipe, seeds, epoch)
        test_losses, predictions, _ = predict(stack, mnist.test)
        for place, seed in enumerate(seeds):
            if not math.isfinite(losses[place]) or not math.isfinite(test_losses[place]):
                raise TrainingError(train.diverged(seed, epoch, recipe))
        seconds = (time.perf_counter() - clock) / len(seeds)
        for place, history in enumerate(histories):
            right = train.share_right(predictions[place].numpy(), mnist.test)
            history.add(losses[place], accuracies[place], test_losses[place], right, lr, seconds)
            after_epoch(seeds[place], stack.state(place, history))
    _, predictions, confidences = predict(stack, mnist.test)
    _, on_training_images, _ = predict(stack, mnist.train)
    trials = []
    for place, (seed, key) in enumerate(keys.items()):
        state = stack.state(place, histories[place])
        weights = {name: value.cpu().contiguous() for name, value in (state.weights | state.average).items()}
        right = train.share_right(on_training_images[place].numpy(), mnist.train)
        about = provenance.collect(began, time.time() - began, device, 1, torch.get_num_threads())
        shown = (predictions[place].to(torch.uint8).numpy(), confidences[place].numpy())
        trials.append(Trial(key, seed, histories[place], right, weights, *shown, about))
    return trials


def one_epoch(
    stack: Stack, images: Tensor, labels: Tensor, recipe: Recipe, seeds: Sequence[int], epoch: int
) -> tuple[list[float], list[float], float]:
    """Train every seed on every image once; return running losses, running accuracies and the last learning rate."""
    stack.net.train()
    n, n_steps, lr = len(seeds), len(train.cuts(len(images), recipe.batch_size)), 0.0
    total_loss, n_right = torch.zeros(n, device=images.device), torch.zeros(n, device=images.device)
    for step, (pixels, targets) in enumerate(train.batches(images, labels, recipe, seeds, epoch)):
        lr = descent.set_rate(stack.optimizer, recipe, Moment(epoch, step, n_steps, recipe.epochs))
        logits = stack(pixels.unflatten(0, (n, -1)))
        losses = F.cross_entropy(logits.flatten(0, 1), targets, label_smoothing=recipe.label_smoothing, reduction="none").view(n, -1)
        stack.optimizer.zero_grad()
        losses.mean(1).sum().backward()  # each loss depends on its own seed's weights alone
        stack.optimizer.step()
        train.move_average(stack.average, stack.floats(), recipe.averaging, epoch * n_steps + step)
        total_loss += losses.detach().sum(1)
        n_right += (logits.argmax(2) == targets.view(n, -1)).sum(1)
    return (total_loss / len(images)).tolist(), (n_right / len(images)).tolist(), lr


@torch.no_grad()
def predict(stack: Stack, part: data.Part) -> tuple[list[float], Tensor, Tensor]:
    """Return each seed's mean loss, predicted digits [seeds, n] and the probability given to each."""
    stack.net.eval()
    device = next(iter(stack.parameters.values())).device
    kept = {name: value.clone() for name, value in stack.floats().items()} if stack.average else {}
    for name, value in stack.average.items():
        stack.floats()[name].copy_(value)
    pieces = [stack(data.normalise(images.to(device)), shared=True).cpu() for images in part.images.split(train.JUDGING_BATCH)]
    for name, value in kept.items():
        stack.floats()[name].copy_(value)
    logits = torch.cat(pieces, 1)
    confidences, digits = logits.softmax(2).max(2)
    return [F.cross_entropy(each, part.labels).item() for each in logits], digits, confidences
