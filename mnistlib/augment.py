"""Random affine and elastic warps of a whole batch: each image draws its own, on the batch's device."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Draw:
    """The parameters drawn for a batch of n images."""

    angle: Tensor  # [n], degrees, clockwise
    scale: Tensor  # [n], factor
    stretch: Tensor  # [n], width grows by this factor as height shrinks by it
    shear: Tensor  # [n], degrees along the width
    shift: Tensor  # [n, 2], pixels to the right and down
    bend: Tensor | None  # [n, 2, cells + 1, cells + 1], pixels at the corners of the cells, or None


def draw(n: int, augment: Any, generator: Generator) -> Draw:
    """Draw the warps of `n` images from a `recipe.Augment`, on the generator's device."""
    uniform = 2 * torch.rand(n, 6, generator=generator, device=generator.device) - 1
    cells = augment.elastic_cells + 1
    bend = torch.randn(n, 2, cells, cells, generator=generator, device=generator.device) * augment.elastic if augment.elastic else None
    return Draw(
        angle=uniform[:, 0] * augment.rotate,
        scale=1 + uniform[:, 1] * augment.scale,
        stretch=1 + uniform[:, 2] * augment.stretch,
        shear=uniform[:, 3] * augment.shear,
        shift=uniform[:, 4:] * augment.shift,
        bend=bend,
    )


@dataclass(frozen=True)
class Warps:
    """Where n warped images take their pixels from, ready to be applied."""

    matrices: Tensor  # [n, 2, 3], from the warped image's coordinates to the original's, both from -1 to 1
    bend: Tensor | None  # as in Draw

    def __getitem__(self, some: slice) -> Warps:
        """Return the warps of some of the images."""
        return Warps(self.matrices[some], None if self.bend is None else self.bend[some])

    def to(self, device: torch.device) -> Warps:
        """Return the warps on a device."""
        return Warps(self.matrices.to(device), None if self.bend is None else self.bend.to(device))


def invert(drawn: Draw, side: int) -> Warps:
    """Return drawn warps ready for square images of `side` pixels; done once for a whole epoch, it costs next to nothing.

    Rotation, shear, scale and shift compose as in torchvision.transforms.v2.functional.affine; the stretch is applied first.
    """
    angle, slant = torch.deg2rad(drawn.angle), torch.tan(torch.deg2rad(drawn.shear))
    wide, high = drawn.scale * drawn.stretch, drawn.scale / drawn.stretch
    cos, sin = torch.cos(angle), torch.sin(angle)
    a, b = cos * wide, (-cos * slant - sin) * high
    c, d = sin * wide, (-sin * slant + cos) * high
    inverse = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1) / (a * d - b * c)[:, None, None]
    shift = -inverse @ (drawn.shift * 2 / side)[:, :, None]
    return Warps(torch.cat([inverse, shift], 2), drawn.bend)


def joined(parts: Sequence[Warps]) -> Warps:
    """Return the warps of several batches, one after another."""
    if len(parts) == 1:
        return parts[0]
    bend = None if parts[0].bend is None else torch.cat([part.bend for part in parts])
    return Warps(torch.cat([part.matrices for part in parts]), bend)


def warp(images: Tensor, warps: Warps) -> Tensor:
    """Return the images warped: [n, 1, side, side] floats whose background is zero, sampled bilinearly, once.

    All coordinates of the batch come from one matrix product, which is many times faster than `F.affine_grid` on a CPU.
    """
    n, _, side, _ = images.shape
    places = (warps.matrices.view(2 * n, 3) @ _places(side, images.device, images.dtype)).view(n, 2, side, side)
    if warps.bend is not None:
        places = places + F.interpolate(warps.bend, size=(side, side), mode="bicubic", align_corners=True) * (2 / side)
    return F.grid_sample(images, places.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=False)


@functools.cache
def _places(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return [3, side * side]: the x and y of every pixel's centre, from -1 to 1, and a row of ones."""
    line = (torch.arange(side, device=device, dtype=dtype) + 0.5) * (2 / side) - 1
    return torch.stack([line.repeat(side), line.repeat_interleave(side), torch.ones_like(line).repeat(side)])


def randomly(images: Tensor, augment: Any, generator: Generator) -> Tensor:
    """Return the images, each warped at random as a `recipe.Augment` says."""
    return warp(images, invert(draw(len(images), augment, generator), images.shape[3]))


def generator(seed: int) -> Generator:
    """Return a random generator of its own, seeded."""
    return Generator().manual_seed(seed)
