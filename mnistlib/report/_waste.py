"""What in a net costs and cannot help: found in its layers alone, before any training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from mnistlib import formatting
from mnistlib.report import _leaves
from mnistlib.report._leaves import Leaf


@dataclass(frozen=True)
class Waste:
    """One thing that a net does for nothing."""

    name: str  # the leaf's
    kind: str  # "redundant bias", "dead taps", "unread pixels", "idle pool" or "on the logits"
    n_parameters: int  # weights that could go without changing what the net can compute
    sentence: str


def find(leaves: list[Leaf]) -> tuple[Waste, ...]:
    """Return all the waste in a net's leaves, in their order."""
    last_weighted = max((i for i, leaf in enumerate(leaves) if isinstance(leaf.module, nn.Conv2d | nn.Linear)), default=len(leaves))
    found = []
    for i, leaf in enumerate(leaves):
        found += [*_bias(leaf, leaves[i + 1 :]), *_dead(leaf), *_unread(leaf), *_idle(leaf)]
        if i > last_weighted:
            found += _on_logits(leaf, leaves[i + 1 :])
    return tuple(found)


def _bias(leaf: Leaf, after: list[Leaf]) -> Iterator[Waste]:
    """Yield a bias that the batch normalization after it takes away again; pooling in between lets it through unchanged."""
    if not isinstance(leaf.module, nn.Conv2d | nn.Linear) or leaf.module.bias is None:
        return
    through = (nn.Identity, nn.MaxPool2d, *_leaves.GLOBAL_MAXIMA, *_leaves.GLOBAL_AVERAGES)
    following = next((other.module for other in after if not isinstance(other.module, through)), None)
    if isinstance(following, _leaves.NORMS):
        n = leaf.module.bias.numel()
        sentence = f"The normalization after {_named(leaf)} takes its {formatting.count(n)} biases away again."
        yield Waste(leaf.name, "redundant bias", n, sentence)


def _dead(leaf: Leaf) -> Iterator[Waste]:
    """Yield a convolution's weights that only ever meet padding."""
    if leaf.n_dead:
        n = leaf.module.weight.numel()
        sentence = f"{formatting.of(leaf.n_dead, n)} weights of {_named(leaf)} only ever meet padding: its map is {_by(leaf.taken)}."
        yield Waste(leaf.name, "dead taps", leaf.n_dead, sentence)


def _unread(leaf: Leaf) -> Iterator[Waste]:
    """Yield the rows and columns that a layer's windows never reach, or step over."""
    if leaf.windows is not None and any(window.unread for window in leaf.windows):
        rows, columns = (formatting.count(window.unread) for window in leaf.windows)
        sentence = f"Of its {_by(leaf.taken)} map, {_named(leaf)} never reads {rows} of the rows and {columns} of the columns."
        yield Waste(leaf.name, "unread pixels", 0, sentence)


def _idle(leaf: Leaf) -> Iterator[Waste]:
    """Yield a pooling of a map that has one position only."""
    if isinstance(leaf.module, _leaves.ALL_POOLS) and leaf.taken[1:] == (1, 1):
        sentence = f"The map that {_named(leaf)} pools is {_by(leaf.taken)} already."
        yield Waste(leaf.name, "idle pool", 0, sentence)


def _on_logits(leaf: Leaf, after: list[Leaf]) -> Iterator[Waste]:
    """Yield what still bends the logits after the last weights."""
    harm = ""
    if isinstance(leaf.module, _leaves.NORMS):
        harm = "normalizes the logits over the batch"
    elif isinstance(leaf.module, _leaves.DROPOUTS):
        harm = "drops logits in training"
    elif isinstance(leaf.module, nn.ReLU):
        shifted = any(isinstance(other.module, _leaves.NORMS) for other in after)
        harm = "flattens the logits below zero" if shifted else "lets no logit fall below zero"
    elif type(leaf.module).__module__.endswith(".activation") and not isinstance(leaf.module, nn.LogSoftmax | nn.Softmax):
        harm = "bends the logits"
    if harm:
        n = sum(parameter.numel() for parameter in leaf.module.parameters())
        yield Waste(leaf.name, "on the logits", n, f"Past the last weights, {_named(leaf)} {harm}.")


def _named(leaf: Leaf) -> str:
    """Return a leaf as a reader finds it in the net's table: "the average pool 12x12"."""
    return f"the {_leaves.describe(leaf.module)}"


def _by(shape: tuple[int, ...]) -> str:
    """Return a map's height and width as a reader writes them: "7x7"."""
    return f"{formatting.count(shape[1])}x{formatting.count(shape[2])}"
