"""Random affine and elastic warps of a whole batch: each image draws its own, on the batch's device."""

from __future__ import annotations

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


def warp(images: Tensor, drawn: Draw) -> Tensor:
    """Return the images warped: [n, 1, h, w] floats whose background is zero, sampled bilinearly, once.

    Rotation, shear, scale and shift compose as in torchvision.transforms.v2.functional.affine; the stretch is applied first.
    """
    size = torch.tensor([images.shape[3], images.shape[2]], device=images.device)
    grid = F.affine_grid(_inverse(drawn, size).to(images), list(images.shape), align_corners=False)
    if drawn.bend is not None:
        field = F.interpolate(drawn.bend.to(images), size=images.shape[2:], mode="bicubic", align_corners=True)
        grid = grid + field.permute(0, 2, 3, 1) * (2 / size)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _inverse(drawn: Draw, size: Tensor) -> Tensor:
    """Return [n, 2, 3] matrices from the warped image's coordinates to the original's, both from -1 to 1 (square images)."""
    angle, slant = torch.deg2rad(drawn.angle), torch.tan(torch.deg2rad(drawn.shear))
    wide, high = drawn.scale * drawn.stretch, drawn.scale / drawn.stretch
    cos, sin = torch.cos(angle), torch.sin(angle)
    a, b = cos * wide, (-cos * slant - sin) * high
    c, d = sin * wide, (-sin * slant + cos) * high
    inverse = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1) / (a * d - b * c)[:, None, None]
    shift = -inverse @ (drawn.shift * 2 / size.to(drawn.shift))[:, :, None]
    return torch.cat([inverse, shift], 2)


def randomly(images: Tensor, augment: Any, generator: Generator) -> Tensor:
    """Return the images, each warped at random as a `recipe.Augment` says."""
    return warp(images, draw(len(images), augment, generator))


def generator(seed: int) -> Generator:
    """Return a random generator of its own, seeded."""
    return Generator().manual_seed(seed)
