"""The random transforms of published recipes: torchvision's, as it applies them to Pillow images, for all images at once.

Images are uint8 [n, side, side] in and out. For the same drawn parameters the pixels equal torchvision's: rotation and affine maps take
the nearest pixel in Pillow's fixed-point arithmetic, resizing is bilinear with Pillow's rounding after each axis, and each transform
resamples anew. One exception: an affine map that only scales, which Pillow computes differently, may differ where the centre of a pixel
falls on an edge.
"""

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Generator, Tensor

from mnistlib.errors import between, validated

CHUNK = 2_000  # images at a time, so that intermediate values fit a core's cache
TRIES = 10  # draws of a crop's size, until one fits
ONE = 1 << 22  # Pillow's fixed-point one when it resizes
Params = dict[str, Tensor]  # drawn parameters by name, one value per image
GreyLevel = Annotated[int, between(0, 255)]
Fraction, Area, Factor = (Annotated[float, between(*bounds)] for bounds in ((0, 1), (0.01, 1), (0.01, 10)))


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("Input should be ascending")
    return pair


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


@validated
class RandomRotation:
    """torchvision's RandomRotation: around the centre, counter-clockwise, nearest pixel."""

    degrees: Annotated[float, between(0, 180)] = 0.0  # uniform ±
    fill: GreyLevel = 0  # of pixels from outside the image
    name: Literal["RandomRotation"] = "RandomRotation"

    def draw(self, n: int, side: int, generator: Generator) -> Params:
        """Draw the angle of each image, in degrees."""
        return {"angle": _uniform(n, -self.degrees, self.degrees, generator)}

    def apply(self, images: Tensor, angle: Tensor) -> Tensor:
        """Return the images rotated by these angles."""
        turn, centre = -torch.deg2rad(angle), images.shape[2] / 2
        cos, sin = torch.cos(turn), torch.sin(turn)
        right, down = centre - (cos + sin) * centre, centre - (cos - sin) * centre
        return affine_nearest(images, torch.stack([cos, sin, right, -sin, cos, down], 1), self.fill)


@validated
class RandomAffine:
    """torchvision's RandomAffine: rotation, shear along the width, scale and translation in one resampling, nearest pixel."""

    degrees: Annotated[float, between(0, 180)] = 0.0  # uniform ±, clockwise
    translate: tuple[Fraction, Fraction] = (0.0, 0.0)  # of width and height, uniform ±
    scale: Annotated[tuple[Factor, Factor], AfterValidator(_ascending)] = (1.0, 1.0)  # range of the factor
    shear: Annotated[float, between(0, 80)] = 0.0  # degrees, uniform ±
    fill: GreyLevel = 0
    name: Literal["RandomAffine"] = "RandomAffine"

    def draw(self, n: int, side: int, generator: Generator) -> Params:
        """Draw angle, translation to the right and down in whole pixels, scale and shear of each image."""
        right, down = (fraction * side for fraction in self.translate)
        return {
            "angle": _uniform(n, -self.degrees, self.degrees, generator),
            "right": _uniform(n, -right, right, generator).round(),
            "down": _uniform(n, -down, down, generator).round(),
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
        return affine_nearest(images, torch.stack([a, b, a * x + b * y + centre, c, d, c * x + d * y + centre], 1), self.fill)


@validated
class RandomResizedCrop:
    """torchvision's RandomResizedCrop back to the image's own size: a box of random area and shape, enlarged bilinearly."""

    scale: Annotated[tuple[Area, Area], AfterValidator(_ascending)] = (0.9, 1.0)  # range of the box's area
    ratio: tuple[Annotated[float, between(0.1, 1)], Annotated[float, between(1, 10)]] = (3 / 4, 4 / 3)  # width over height, log-uniform
    name: Literal["RandomResizedCrop"] = "RandomResizedCrop"

    def draw(self, n: int, side: int, generator: Generator) -> Params:
        """Draw the box of each image: top row, left column, height and width in pixels; the whole image where no try fits."""
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
        return resized_crop(images, top, left, height, width)


@validated
class RandomCenterCrop:
    """torchvision's RandomApply of CenterCrop with probability `p`, then Resize back to the image's own size."""

    size: Annotated[int, between(1, 28)] = 22  # pixels
    p: Fraction = 1.0
    name: Literal["RandomCenterCrop"] = "RandomCenterCrop"

    def draw(self, n: int, side: int, generator: Generator) -> Params:
        """Draw which images are cropped."""
        return {"cropped": torch.rand(n, generator=generator) < self.p}

    def apply(self, images: Tensor, cropped: Tensor) -> Tensor:
        """Return the images, the centres of some enlarged."""
        n, edge = int(cropped.sum()), round((images.shape[2] - self.size) / 2)
        if not n:
            return images
        images, cropped = images.clone(), cropped.to(images.device)
        edges, sizes = torch.full((n,), edge), torch.full((n,), self.size)
        images[cropped] = resized_crop(images[cropped], edges, edges, sizes, sizes)
        return images


Transform = Annotated[RandomRotation | RandomAffine | RandomResizedCrop | RandomCenterCrop, Field(discriminator="name")]


def random_transforms(images: Tensor, transforms: Sequence[Transform], generator: Generator) -> Tensor:
    """Return the images after all transforms in turn, each image with parameters of its own, drawn on the CPU."""
    for transform in transforms:
        params = transform.draw(len(images), images.shape[2], generator)
        chunks = [
            transform.apply(images[first : first + CHUNK], **{name: values[first : first + CHUNK] for name, values in params.items()})
            for first in range(0, len(images), CHUNK)
        ]
        images = torch.cat(chunks)
    return images


def affine_nearest(images: Tensor, matrices: Tensor, fill: int) -> Tensor:
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


def resized_crop(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Return a box of each image enlarged to the image's size as Pillow does it bilinearly: along the width, rounded, then the height."""
    side = images.shape[2]
    top, left, height, width = (each.to(images.device) for each in (top, left, height, width))
    across = _resized_columns(images.to(torch.int32), left, width, side)
    return _resized_columns(across.mT, top, height, side).mT.to(torch.uint8)


def _resized_columns(images: Tensor, first: Tensor, size: Tensor, side: int) -> Tensor:
    starts, weights = (table.to(images.device) for table in _resize_weights(side))
    total = torch.full((), ONE // 2, dtype=torch.int32, device=images.device)
    for tap in range(weights.shape[2]):
        place = (first[:, None] + starts[size] + tap).clamp_(max=side - 1)
        total = total + images.gather(2, place[:, None, :].expand_as(images)) * weights[size, :, tap][:, None, :]
    return (total >> 22).clamp_(0, 255)


@functools.cache
def _resize_weights(side: int) -> tuple[Tensor, Tensor]:
    """Return which pixels of a line of each size make up each of `side` new ones: first pixel [size, side], weights [size, side, 3]."""
    starts, weights = torch.zeros(side + 1, side, dtype=torch.int64), torch.zeros(side + 1, side, 3, dtype=torch.int32)
    for size in range(1, side + 1):
        for place in range(side):
            centre = (place + 0.5) * size / side
            low, high = max(int(centre - 1 + 0.5), 0), min(int(centre + 1 + 0.5), size)
            taps = [max(0.0, 1 - abs(pixel - centre + 0.5)) for pixel in range(low, high)]
            starts[size, place] = low
            for tap, weight in enumerate(taps):
                weights[size, place, tap] = int(weight / sum(taps) * ONE + 0.5)
    return starts, weights
