"""Dropout of single values, exact and cheap on a CPU."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Silence single values with probability p, as torch's dropout does, at a fraction of its cost on a CPU where p is small.

    Torch draws a random number for every value. Here the distances from one silenced value to the next are drawn, which are
    geometrically distributed, so the silenced ones are independent all the same.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the values, in training some of them zero and the others scaled up to keep the mean."""
        if not self.training or maps.device.type != "cpu" or not 0 < self.p < 0.2:
            return F.dropout(maps, self.p, self.training)
        return _Silence.apply(maps, rare(maps.numel(), self.p), 1 / (1 - self.p))


class _Silence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, places: Tensor, scale: float) -> Tensor:
        ctx.places, ctx.scale = places, scale
        return _silenced(maps, places, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _silenced(gradient, ctx.places, ctx.scale), None, None


def _silenced(maps: Tensor, places: Tensor, scale: float) -> Tensor:
    """Return values scaled, those at `places` zero; places are counted with the feature maps of a pixel side by side."""
    last = torch.channels_last if maps.dim() == 4 else torch.contiguous_format
    scaled = torch.mul(maps.contiguous(memory_format=last), scale)
    (scaled.permute(0, 2, 3, 1) if maps.dim() == 4 else scaled).view(-1).index_fill_(0, places, 0)
    return scaled


def rare(n: int, p: float) -> Tensor:
    """Return which of `n` places are drawn where each is with probability p: int64, ascending."""
    expected = n * p
    distances = torch.empty(int(expected + 6 * math.sqrt(expected) + 10)).exponential_(-math.log1p(-p)).long() + 1
    places = distances.cumsum(0) - 1
    while places[-1] < n:  # hardly ever
        places = torch.cat([places, places[-1] + 1 + rare(n, p)])
    return places[: int(torch.searchsorted(places, n))]
