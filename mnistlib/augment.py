"""Random affine and elastic warps of a whole batch: each image draws its own, on the batch's device."""

import functools
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnistlib.errors import between, validated


@validated
class Augment:
    """Random warps of the training images; every image draws its own, all zeros change nothing."""

    degrees: Annotated[float, between(0, 180)] = 0.0  # rotation, uniform ±
    scale: Annotated[float, between(0, 0.9)] = 0.0  # relative, uniform ±: 0.1 draws factors from 0.9 to 1.1
    aspect: Annotated[float, between(0, 0.9)] = 0.0  # relative, uniform ±: one axis grows by it as the other shrinks
    shear: Annotated[float, between(0, 60)] = 0.0  # degrees, uniform ±
    translate: Annotated[float, between(0, 14)] = 0.0  # pixels, uniform ±, each axis its own
    elastic: Annotated[float, between(0, 10)] = 0.0  # pixels, standard deviation of a smooth random displacement
    elastic_cells: Annotated[int, between(2, 14)] = 4  # cells across the image between independent displacements


@dataclass(frozen=True)
class AffineParams:
    """The parameters drawn for n images."""

    angle: Tensor  # [n], degrees, clockwise
    scale: Tensor  # [n], factor
    aspect: Tensor  # [n], width grows by this factor as height shrinks by it
    shear: Tensor  # [n], degrees along the width
    translate: Tensor  # [n, 2], pixels to the right and down
    elastic: Tensor | None  # [n, 2, cells + 1, cells + 1], pixels at the corners of the cells, or None


@dataclass(frozen=True)
class SamplingGrid:
    """Where n warped images take their pixels from."""

    matrices: Tensor  # [n, 2, 3], from the warped image's coordinates to the original's, both from -1 to 1
    elastic: Tensor | None  # as in AffineParams

    def __getitem__(self, some: slice) -> "SamplingGrid":
        return SamplingGrid(self.matrices[some], None if self.elastic is None else self.elastic[some])

    def to(self, device: torch.device) -> "SamplingGrid":
        """Return the grid on a device."""
        return SamplingGrid(self.matrices.to(device), None if self.elastic is None else self.elastic.to(device))


def draw(n: int, augment: Augment, generator: Generator) -> AffineParams:
    """Draw the parameters of `n` images, on the generator's device."""
    uniform = 2 * torch.rand(n, 6, generator=generator, device=generator.device) - 1
    shape = (n, 2, augment.elastic_cells + 1, augment.elastic_cells + 1)
    elastic = torch.randn(shape, generator=generator, device=generator.device) * augment.elastic if augment.elastic else None
    return AffineParams(
        angle=uniform[:, 0] * augment.degrees,
        scale=1 + uniform[:, 1] * augment.scale,
        aspect=1 + uniform[:, 2] * augment.aspect,
        shear=uniform[:, 3] * augment.shear,
        translate=uniform[:, 4:] * augment.translate,
        elastic=elastic,
    )


def to_grid(params: AffineParams, side: int) -> SamplingGrid:
    """Return the sampling grid of drawn parameters for square images of `side` pixels; cheap enough for a whole epoch at once.

    Rotation, shear, scale and translation compose as in torchvision.transforms.v2.functional.affine; the aspect is applied first.
    """
    angle, slant = torch.deg2rad(params.angle), torch.tan(torch.deg2rad(params.shear))
    wide, high = params.scale * params.aspect, params.scale / params.aspect
    cos, sin = torch.cos(angle), torch.sin(angle)
    a, b = cos * wide, (-cos * slant - sin) * high
    c, d = sin * wide, (-sin * slant + cos) * high
    inverse = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1) / (a * d - b * c)[:, None, None]
    shift = -inverse @ (params.translate * 2 / side)[:, :, None]
    return SamplingGrid(torch.cat([inverse, shift], 2), params.elastic)


def warp(images: Tensor, grid: SamplingGrid) -> Tensor:
    """Return float images [n, 1, side, side] of zero background, warped and sampled bilinearly, once.

    All coordinates of the batch come from one matrix product, which is many times faster than `F.affine_grid` on a CPU.
    """
    n, _, side, _ = images.shape
    places = (grid.matrices.view(2 * n, 3) @ _centres(side, images.device, images.dtype)).view(n, 2, side, side)
    if grid.elastic is not None:
        places = places + F.interpolate(grid.elastic, size=(side, side), mode="bicubic", align_corners=True) * (2 / side)
    return F.grid_sample(images, places.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=False)


@functools.cache
def _centres(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return [3, side * side]: the x and y of every pixel's centre, from -1 to 1, and a row of ones."""
    line = (torch.arange(side, device=device, dtype=dtype) + 0.5) * (2 / side) - 1
    return torch.stack([line.repeat(side), line.repeat_interleave(side), torch.ones_like(line).repeat(side)])
