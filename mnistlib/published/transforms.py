"""The random transforms of published recipes: torchvision's, as it does them to Pillow's images, for all images at once.

Images are uint8 [n, side, side] in and out. For the same drawn parameters the pixels are the very same: rotation and affine maps take
the nearest pixel in Pillow's fixed-point arithmetic, resizing is bilinear with its rounding after each axis, and each transform
resamples anew. One exception: an affine map that only scales, which Pillow computes in other steps, may differ where a pixel's
centre falls on an edge.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from mnistlib import checks

AT_ONCE = 2_000  # images, so that what is in between stays in a core's cache or close to it
TRIES = 10  # of a crop's size, until one fits
ONE = 1 << 22  # Pillow's fixed-point one when it resizes
Drawn = dict[str, Tensor]  # parameters by name, one per image


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """Draw `n` numbers between two ends."""
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


@dataclass(frozen=True)
class Rotation:
    """torchvision's RandomRotation: around the centre, counter-clockwise, nearest pixel."""

    kind: str = field(default="rotation", init=False)
    degrees: float = 0.0  # uniform ±
    fill: int = 0  # grey level of what comes in from outside, of 255

    def __post_init__(self) -> None:
        checks.number(self, "degrees", 0, 180, " degrees")
        checks.whole(self, "fill", 0, 255)

    def draw(self, n: int, side: int, generator: Generator) -> Drawn:
        """Draw an angle for each image, degrees."""
        return {"angle": _uniform(n, -self.degrees, self.degrees, generator)}

    def apply(self, images: Tensor, angle: Tensor) -> Tensor:
        """Return the images rotated by these angles."""
        turn, centre = -torch.deg2rad(angle), images.shape[2] / 2
        cos, sin = torch.cos(turn), torch.sin(turn)
        right, down = centre - (cos + sin) * centre, centre - (cos - sin) * centre
        return nearest(images, torch.stack([cos, sin, right, -sin, cos, down], 1), self.fill)


@dataclass(frozen=True)
class Affine:
    """torchvision's RandomAffine: rotation, shear along the width, scale and translation in one resampling, nearest pixel."""

    kind: str = field(default="affine", init=False)
    degrees: float = 0.0  # uniform ±, clockwise
    translate: float = 0.0  # share of the side, uniform ±, rounded to whole pixels, each axis its own
    scale: tuple[float, float] = (1.0, 1.0)  # ends of the factor
    shear: float = 0.0  # degrees, uniform ±
    fill: int = 0  # as in Rotation

    def __post_init__(self) -> None:
        checks.number(self, "degrees", 0, 180, " degrees")
        checks.number(self, "translate", 0, 1)
        _range(self, "scale", 0.01, 10)
        checks.number(self, "shear", 0, 80, " degrees")
        checks.whole(self, "fill", 0, 255)

    def draw(self, n: int, side: int, generator: Generator) -> Drawn:
        """Draw angle, translation in pixels to the right and down, scale and shear for each image."""
        most = self.translate * side
        return {
            "angle": _uniform(n, -self.degrees, self.degrees, generator),
            "right": _uniform(n, -most, most, generator).round(),
            "down": _uniform(n, -most, most, generator).round(),
            "scale": _uniform(n, *self.scale, generator),
            "shear": _uniform(n, -self.shear, self.shear, generator),
        }

    def apply(self, images: Tensor, angle: Tensor, right: Tensor, down: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
        """Return the images mapped with these parameters."""
        turn, slant, centre = torch.deg2rad(angle), torch.tan(torch.deg2rad(shear)), images.shape[2] * 0.5
        cos, sin = torch.cos(turn), torch.sin(turn)
        a, b, c, d = cos, -cos * slant - sin, sin, -sin * slant + cos
        a, b, c, d = d / scale, -b / scale, -c / scale, a / scale  # the inverse: from the new image's pixels to the old one's
        x, y = -centre - right, -centre - down
        return nearest(images, torch.stack([a, b, a * x + b * y + centre, c, d, c * x + d * y + centre], 1), self.fill)


@dataclass(frozen=True)
class ResizedCrop:
    """torchvision's RandomResizedCrop back to the image's own size: a box of random area and shape, enlarged bilinearly."""

    kind: str = field(default="resized crop", init=False)
    scale: tuple[float, float] = (0.9, 1.0)  # ends of the box's share of the area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # ends of its width over its height, uniform in the logarithm

    def __post_init__(self) -> None:
        _range(self, "scale", 0.01, 1)
        _range(self, "ratio", 0.1, 10)
        checks.check(self, "ratio", self.ratio[0] <= 1 <= self.ratio[1], "a pair with 1 in between, for where no box fits")

    def draw(self, n: int, side: int, generator: Generator) -> Drawn:
        """Draw a box for each image: its upper row, left column, height and width in pixels; the whole image where no try fits."""
        area = side * side * _uniform(n * TRIES, *self.scale, generator)
        ratio = torch.exp(_uniform(n * TRIES, *map(math.log, self.ratio), generator))
        widths, heights = torch.sqrt(area * ratio).round().view(n, TRIES), torch.sqrt(area / ratio).round().view(n, TRIES)
        fits = (widths > 0) & (widths <= side) & (heights > 0) & (heights <= side)
        first, any_fits = fits.to(torch.uint8).argmax(1, keepdim=True), fits.any(1)
        height, width = (torch.where(any_fits, sizes.gather(1, first)[:, 0], side).long() for sizes in (heights, widths))
        places = torch.rand(2, n, generator=generator, dtype=torch.float64)
        top, left = (places * torch.stack([side - height + 1, side - width + 1])).long()
        return {"top": top, "left": left, "height": height, "width": width}

    def apply(self, images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """Return these boxes, enlarged to whole images."""
        return resized(images, top, left, height, width)


@dataclass(frozen=True)
class CentreCrop:
    """torchvision's CenterCrop, applied at random, and Resize back to the image's own size after it."""

    kind: str = field(default="centre crop", init=False)
    size: int = 22  # pixels that are kept of each side
    p: float = 1.0  # probability that an image is cropped

    def __post_init__(self) -> None:
        checks.whole(self, "size", 1, 28)
        checks.number(self, "p", 0, 1)

    def draw(self, n: int, side: int, generator: Generator) -> Drawn:
        """Draw which images are cropped."""
        return {"cropped": torch.rand(n, generator=generator) < self.p}

    def apply(self, images: Tensor, cropped: Tensor) -> Tensor:
        """Return the images with the centres of some enlarged."""
        n, edge = int(cropped.sum()), round((images.shape[2] - self.size) / 2)
        if not n:
            return images
        images, cropped = images.clone(), cropped.to(images.device)
        edges, sizes = torch.full((n,), edge), torch.full((n,), self.size)
        images[cropped] = resized(images[cropped], edges, edges, sizes, sizes)
        return images


KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Rotation, Affine, ResizedCrop, CentreCrop)}


def _range(owner: object, name: str, low: float, high: float) -> None:
    """Check that a field is a pair of numbers within bounds, the smaller one first."""
    value = getattr(owner, name)
    good = isinstance(value, tuple) and len(value) == 2 and all(checks.is_number(end, low, high) for end in value) and value[0] <= value[1]
    checks.check(owner, name, good, f"a pair of numbers from {low:g} to {high:g}, the smaller one first")


def randomly(images: Tensor, transforms: Sequence[Any], generator: Generator) -> Tensor:
    """Return the images after all transforms, one after another, each image with parameters of its own drawn on the CPU."""
    for transform in transforms:
        drawn = transform.draw(len(images), images.shape[2], generator)
        pieces = [
            transform.apply(images[first : first + AT_ONCE], **{name: each[first : first + AT_ONCE] for name, each in drawn.items()})
            for first in range(0, len(images), AT_ONCE)
        ]
        images = torch.cat(pieces)
    return images


def nearest(images: Tensor, matrices: Tensor, fill: int) -> Tensor:
    """Return affine images as Pillow makes them without interpolation.

    `matrices`, float64 [n, 6] on the CPU, lead from a new pixel's x and y to the old one's; positions are kept in 1/65536 of a pixel.
    """
    n, _, side = images.shape
    a, b, c, d, e, f = matrices.unbind(1)
    half = torch.stack([c + a * 0.5 + b * 0.5, f + d * 0.5 + e * 0.5])
    start, across, along = (
        torch.floor(each * 65536 + 0.5).to(torch.int32).to(images.device) for each in (half, torch.stack([a, d]), torch.stack([b, e]))
    )
    line = torch.arange(side, dtype=torch.int32, device=images.device)
    places = (start[:, :, None, None] + along[:, :, None, None] * line[:, None] + across[:, :, None, None] * line) >> 16
    inside = ((places >= 0) & (places < side)).all(0)
    x, y = places.clamp_(0, side - 1)
    taken = images.reshape(n, -1).gather(1, (y * side + x).long().view(n, -1)).view_as(images)
    return torch.where(inside, taken, fill)


def resized(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Return a box of each image enlarged to the image's size as Pillow does it bilinearly: along the width, rounded, then the height."""
    side = images.shape[2]
    top, left, height, width = (each.to(images.device) for each in (top, left, height, width))
    across = _along(images.to(torch.int32), left, width, side)
    return _along(across.mT, top, height, side).mT.to(torch.uint8)


def _along(images: Tensor, first: Tensor, size: Tensor, side: int) -> Tensor:
    """Return int32 images with `size` columns from `first` enlarged to `side` columns."""
    starts, shares = (table.to(images.device) for table in _taps(side))
    total = torch.full((), ONE // 2, dtype=torch.int32, device=images.device)
    for tap in range(shares.shape[2]):
        place = (first[:, None] + starts[size] + tap).clamp_(max=side - 1)
        total = total + images.gather(2, place[:, None, :].expand_as(images)) * shares[size, :, tap][:, None, :]
    return (total >> 22).clamp_(0, 255)


@functools.cache
def _taps(side: int) -> tuple[Tensor, Tensor]:
    """Return which pixels of a line of each size make up each of `side` new ones: first pixel [size, side], shares [size, side, 3]."""
    starts, shares = torch.zeros(side + 1, side, dtype=torch.int64), torch.zeros(side + 1, side, 3, dtype=torch.int32)
    for size in range(1, side + 1):
        for place in range(side):
            centre = (place + 0.5) * size / side
            low, high = max(int(centre - 1 + 0.5), 0), min(int(centre + 1 + 0.5), size)
            weights = [max(0.0, 1 - abs(pixel - centre + 0.5)) for pixel in range(low, high)]
            starts[size, place] = low
            for tap, weight in enumerate(weights):
                shares[size, place, tap] = int(weight / sum(weights) * ONE + 0.5)
    return starts, shares
