"""One seed of one recipe, from first weights to predictions: a plain, visible loop."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mnistlib import augment, data, descent, models
from mnistlib.errors import TrainingError
from mnistlib.models import parts
from mnistlib.published import early_stopping, folds, transforms
from mnistlib.published.schedulers import Moment
from mnistlib.recipe import Augment, Recipe
from mnistlib.runs import provenance
from mnistlib.runs.storage import History, State, Trial

JUDGING_BATCH = 500  # images at a time where no gradient is kept; fits a core's cache


def train(
    recipe: Recipe,
    mnist: data.Mnist,
    seed: int,
    key: str = "",
    device: str = "cpu",
    workers: int = 1,
    start: State | None = None,
    after_epoch: Callable[[State], None] = lambda state: None,
) -> Trial:
    """Train one seed and return its trial, from `start` where a run was interrupted.

    Every source of randomness comes from the seed and the epoch's number, so that a resumed run repeats the undisturbed one bit for bit.
    `after_epoch` is given the state after each epoch; `workers` only tells the provenance how many runs went on side by side. A loss
    that is no longer finite raises TrainingError.
    """
    began = time.time()
    net = fresh(recipe, seed).to(device, memory_format=torch.channels_last)
    optimizer = descent.optimizer_of(net.parameters(), recipe)
    average = {name: value.clone() for name, value in floats(net).items()} if recipe.averaging else {}
    history, best = History(), {}
    if start is not None:
        history, best = restore(start, net, optimizer, average), start.best
    part, guide = folds.steered(mnist, recipe.steering.by if recipe.steering else None)
    images, labels = part.images.to(device), part.labels.to(device)
    for epoch in range(len(history.seconds), recipe.epochs):
        if early_stopping.ended(recipe, history):
            break
        clock = time.perf_counter()
        guided = early_stopping.guides(recipe, history)
        loss, accuracy, lr = one_epoch(net, optimizer, average, images, labels, recipe, seed, epoch, guided)
        judge = averaged(recipe, net, average)
        test_loss, predictions, _ = predict(judge, mnist.test)
        if not math.isfinite(loss) or not math.isfinite(test_loss):
            raise TrainingError(diverged(seed, epoch, recipe))
        if guide is not None:
            history.steering_accuracy.append(share_right(predict(judge, guide)[1], guide))
        history.add(loss, accuracy, test_loss, share_right(predictions, mnist.test), lr, time.perf_counter() - clock)
        if recipe.steering and recipe.steering.keep == "best" and early_stopping.kept(recipe, history) == epoch + 1:
            best = {name: value.detach().clone() for name, value in judge.state_dict().items()}
        after_epoch(State(net.state_dict(), descent.carried(net, optimizer), average, history, best))
    judge = averaged(recipe, net, average)
    if best:
        judge.load_state_dict(best)
    _, predictions, confidences = predict(judge, mnist.test)
    _, on_training_images, _ = predict(judge, part)
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in judge.state_dict().items()}
    about = provenance.collect(began, time.time() - began, device, workers, torch.get_num_threads())
    return Trial(key, seed, history, share_right(on_training_images, part), weights, predictions, confidences, about)


def one_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    seed: int,
    epoch: int,
    guided: tuple[float, ...] = (),
) -> tuple[float, float, float]:
    """Train on every image once, in a new order, and return running loss, running accuracy and the last learning rate.

    `guided` are the accuracies that steer the schedule, one for each epoch so far.
    """
    net.train()
    n_steps = len(cuts(len(images), recipe.batch_size))
    total_loss, n_right, lr = torch.zeros((), device=images.device), torch.zeros((), device=images.device), 0.0
    with torch.random.fork_rng():
        torch.manual_seed(stream(seed, "dropout", epoch))
        for step, (pixels, targets) in enumerate(batches(images, labels, recipe, [seed], epoch)):
            lr = descent.set_rate(optimizer, recipe, Moment(epoch, step, n_steps, recipe.epochs, guided))
            logits = net(pixels)
            loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            move_average(average, floats(net), recipe.averaging, epoch * n_steps + step)
            total_loss += loss.detach() * len(targets)
            n_right += (logits.argmax(1) == targets).sum()
    return total_loss.item() / len(images), n_right.item() / len(images), lr


def batches(images: Tensor, labels: Tensor, recipe: Recipe, seeds: Sequence[int], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the epoch's batches as a net takes them, and their labels; those of several seeds stand one after another in each batch.

    What can be done once for the whole epoch is: the order and the warps of every image.
    """
    orders = torch.stack([shuffled(len(images), seed, epoch) for seed in seeds]).to(images.device)
    warps, random = [], [Generator().manual_seed(stream(seed, "augment", epoch)) for seed in seeds]
    if isinstance(recipe.augment, Augment):
        drawn = [augment.draw(len(images), recipe.augment, own) for own in random]
        warps = [augment.invert(each, images.shape[2]).to(images.device) for each in drawn]
    elif recipe.augment is not None:
        (own,) = random  # one seed at a time: the images themselves are another set for each
        images = transforms.randomly(images, recipe.augment, own)
    for first, last in cuts(len(images), recipe.batch_size):
        batch = orders[:, first:last].flatten()
        pixels = images.index_select(0, batch).unsqueeze(1).float()
        if warps:
            pixels = augment.warp(pixels, augment.joined([each[first:last] for each in warps]))
        yield data.standardise(pixels), labels.index_select(0, batch)


def stream(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return the random seed of one purpose in one epoch; no two of them are related."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose} {epoch}".encode()).digest()[:7], "big")


def shuffled(n: int, seed: int, epoch: int) -> Tensor:
    """Return the order in which an epoch shows its images: each once, anew every time."""
    return torch.randperm(n, generator=Generator().manual_seed(stream(seed, "order", epoch)))


def cuts(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return where each batch of an epoch begins and ends; a last batch of one joins the batch before it."""
    starts = list(range(0, n, batch_size))
    if n > 1 and starts[-1] == n - 1:  # batch normalization needs two values
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def fresh(recipe: Recipe, seed: int) -> nn.Module:
    """Return the recipe's net with a seed's first weights."""
    return parts.initialise(models.build(recipe.model, recipe.dropout), stream(seed, "weights"))


def diverged(seed: int, epoch: int, recipe: Recipe) -> str:
    """Return what to say of a loss that is no longer finite."""
    return f"Seed {seed} diverged in epoch {epoch + 1}: the loss is no longer finite. Lower optimizer.lr, now {recipe.optimizer.lr:g}."


def floats(net: nn.Module) -> dict[str, Tensor]:
    """Return a net's weights and running statistics by name, without batch normalization's counters."""
    return {name: value.detach() for name, value in net.state_dict().items() if value.is_floating_point()}


def move_average(average: dict[str, Tensor], weights: dict[str, Tensor], kept: float, step: int) -> None:
    """Move the running average towards a net's weights; early steps keep less, so that the first weights are soon forgotten."""
    if average:
        share = 1 - min(kept, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.values()), list(weights.values()), share)


def averaged(recipe: Recipe, net: nn.Module, average: dict[str, Tensor]) -> nn.Module:
    """Return the net to judge: the net itself, or one that holds the averaged weights."""
    if not average:
        return net
    other = models.build(recipe.model, recipe.dropout).to(next(net.parameters()).device, memory_format=torch.channels_last)
    other.load_state_dict({**net.state_dict(), **average})
    return other


def restore(start: State, net: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]) -> History:
    """Put a stored state into net, optimizer and average, and return its history."""
    net.load_state_dict(start.weights)
    descent.restore(start.momentum, net, optimizer)
    for name, value in average.items():
        value.copy_(start.average[name])
    return History(**{name: list(values) for name, values in vars(start.history).items()})


@torch.inference_mode()
def logits(net: nn.Module, part: data.Part) -> Tensor:
    """Return a net's logits, float32 [n, 10] on the CPU, augmentation and dropout off."""
    net.eval()
    device = next(net.parameters()).device
    return torch.cat([net(data.normalise(images.to(device))).float().cpu() for images in part.images.split(JUDGING_BATCH)])


def predict(net: nn.Module, part: data.Part) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean loss, the predicted digits (uint8) and the probability given to each (float32)."""
    given = logits(net, part)
    confidences, digits = given.softmax(1).max(1)
    return F.cross_entropy(given, part.labels).item(), digits.to(torch.uint8).numpy(), confidences.numpy()


def share_right(predictions: np.ndarray, part: data.Part) -> float:
    """Return the accuracy of predictions, a fraction."""
    return float((predictions == part.labels.numpy()).mean())
