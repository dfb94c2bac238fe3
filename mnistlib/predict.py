"""Photographs and drawings of digits, brought to the form that MNIST's own images were given, and classified."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage
from torch import Tensor, nn

from mnistlib import data, formatting
from mnistlib.errors import DataError

SIDE = 28  # pixels of a prepared image
BOX = 20  # pixels of the longer side of the digit in it
CENTRE = 14  # row and column of its centre of mass, as in MNIST itself: there it lies within half a pixel of index 14
MIN_SIDE = 8  # pixels of the smallest image, and of the smallest digit, that is read
MAX_SIDE = 480  # pixels: what is larger is looked at in a smaller copy, then closer
MIN_CONTRAST = 0.08  # of the way from black to white, between paper and ink
CLEAR = 8.0  # ink stands out from the paper by at least this many standard deviations of the paper's own noise
NOISE = 4.0  # standard deviations of the paper's own noise from which on a pixel is taken for ink
FAINT = 0.2  # of full ink: less is the soft edge of a stroke in a large picture; in one of MNIST's size it all counts
SMOOTH = 300  # the picture is smoothed over this part of its longer side, which leaves an image of MNIST's size as it is
CRUMB = 0.05  # a piece with less ink than this, beside the largest piece's, is dirt
PEN = 1.7  # pixels: a thinner stroke in the prepared image is made broader, for the pens of MNIST were no thinner
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # none that runs programs, as EPS would


def read(path: Path | str) -> Image.Image:
    """Return the image in a file, or raise DataError for a file that is missing, damaged or no image."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            return image
    except UnidentifiedImageError:
        raise DataError(f"{str(path)!r} is no image that can be read here; PNG and JPEG files are.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{str(path)!r} cannot be read as an image: {getattr(error, 'strerror', None) or error}.") from None


def prepare_file(path: Path | str) -> Tensor:
    """Return the digit in an image file as MNIST would show it; raise DataError, which names the file, for one that holds none."""
    image = read(path)
    try:
        return prepare(image)
    except DataError as error:
        raise DataError(f"{str(path)!r}: {error}") from None


def prepare(image: Image.Image) -> Tensor:
    """Return a picture of one digit as MNIST would show it: uint8 [28, 28], white ink on black.

    The border of the picture is taken for paper, dark or light, evenly lit or shaded to one side. The digit is cropped, scaled to
    fit a box, and placed with its centre of mass in the middle. Raises DataError where no digit can be made out.
    """
    if min(image.size) < MIN_SIDE:
        size = "x".join(map(formatting.count, image.size))
        raise DataError(f"The image has {size} pixels; it needs at least {MIN_SIDE}x{MIN_SIDE} for a digit to show.")
    picture = _upright(image)
    ink, box = _look(picture)
    reach = max(box[2] - box[0], box[3] - box[1])
    if 2 * reach < max(picture.size):  # a small digit in a large picture: look again, closer
        closer = [max(0, box[0] - reach // 2), max(0, box[1] - reach // 2), box[2] + reach // 2, box[3] + reach // 2]
        ink, _ = _look(picture.crop((*closer[:2], min(closer[2], picture.width), min(closer[3], picture.height))))
    if max(ink.shape) < MIN_SIDE:
        height, width = ink.shape
        raise DataError(f"All ink in the image lies within {width}x{height} pixels; a digit needs at least {MIN_SIDE}.")
    ink = _thicken(ink)
    scale = BOX / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    small = np.asarray(Image.fromarray(ink).resize((width, height), resampling))
    small = np.clip(small / small.max(), 0, 1)  # a thin pen turns grey when it is shrunk; MNIST's digits reach white
    return torch.from_numpy(_centre(small))


def classify(net: nn.Module, images: Sequence[Tensor] | Tensor) -> list[tuple[int, float]]:
    """Return the digit that a net sees in each image (uint8 [28, 28]) and the probability that it gives to it; dropout is off."""
    pixels = data.normalise(torch.stack(list(images)).unsqueeze(1).float()).to(next(net.parameters()).device)
    with torch.inference_mode():
        probabilities, digits = net.eval()(pixels).softmax(1).max(1)
    return list(zip(digits.tolist(), probabilities.tolist(), strict=True))


def _upright(image: Image.Image) -> Image.Image:
    """Return a picture the right way up, in colours of eight bits or in grey of any depth from 0 to 255, on paper."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # grey, deeper than eight bits
        grey = np.asarray(image).astype(np.float32)
        if not np.isfinite(grey).all():
            raise DataError("The image holds pixels that are NaN or infinite; save it with finite ones.")
        white = 65535 if image.mode.startswith("I;16") else max(float(grey.max()), 1.0)
        return Image.fromarray(255 * grey / white)
    return _flatten(image.convert("RGBA")) if image.has_transparency_data else image.convert("RGB")


def _flatten(image: Image.Image) -> Image.Image:
    """Return an RGBA picture on paper that its opaque part stands out from: white under dark ink, black under light."""
    alpha, grey = np.asarray(image.getchannel("A"), dtype=float), np.asarray(image.convert("L"), dtype=float)
    dark = (alpha * grey).sum() <= 127.5 * alpha.sum()
    paper = Image.new("RGBA", image.size, "white" if dark else "black")
    return Image.alpha_composite(paper, image).convert("RGB")


def _look(picture: Image.Image) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return the smallest rectangle of ink that holds the digit, and where it is in the picture: left, top, right, bottom."""
    factor = math.ceil(max(picture.size) / MAX_SIDE)
    ink = _pieces(_ink(np.atleast_3d(np.asarray(picture.reduce(factor), dtype=np.float32)) / 255))
    rows, columns = ndimage.find_objects((ink > 0).astype(int))[0]
    return ink[rows, columns], tuple(factor * edge for edge in (columns.start, rows.start, columns.stop, rows.stop))


def _ink(colours: np.ndarray) -> np.ndarray:
    """Return how inky each pixel is, float32 [height, width] from 0, paper, to 1, ink, or raise DataError for a blank picture."""
    difference = colours - _paper(colours)
    distance = np.linalg.norm(difference, axis=2)
    top = np.sort(distance, axis=None)[-1 - distance.size // 20_000]  # not the very furthest from paper: that may be a speck
    direction = difference[distance >= top / 2].mean(0)  # from the colour of the paper towards that of the ink
    strength = difference @ (direction / max(float(np.linalg.norm(direction)), 1e-6)) / math.sqrt(colours.shape[2])
    strength = ndimage.gaussian_filter(strength, max(strength.shape) / SMOOTH)
    noise = float(np.quantile(np.abs(strength), 0.25)) / 0.32  # a quarter of normal noise lies within 0.32 standard deviations
    top = np.sort(strength, axis=None)[-1 - strength.size // 20_000]
    if top < max(MIN_CONTRAST, CLEAR * noise):
        raise DataError("Nothing in the image stands out from its border; a digit needs ink that does, and some paper around it.")
    level = float(np.quantile(strength[strength >= top / 2], 0.9))
    ink = np.clip(strength / level, 0, 1)
    faint = FAINT * (1 - SIDE / max(SIDE, *ink.shape))
    return np.where(ink > max(faint, NOISE * noise / level), ink, 0).astype(np.float32)


def _paper(colours: np.ndarray) -> np.ndarray:
    """Return the paper's colour at every pixel: a plane laid through the border, so that light may fall from one side."""
    height, width, channels = colours.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    places = np.stack([np.ones_like(x), x, y], 2).astype(np.float32)
    depth = max(1, round(0.02 * min(height, width)))
    border = np.ones((height, width), dtype=bool)
    border[depth:-depth, depth:-depth] = False
    at, seen = places[border], colours[border]
    plane = np.zeros((3, channels), dtype=np.float32)
    plane[0] = np.median(seen, 0)
    for _ in range(3):  # ink may touch the border: lay the plane again without what lies far off it
        off = np.linalg.norm(seen - at @ plane, axis=1)
        near = off <= max(4 * float(np.median(off)), 0.02)
        plane = np.linalg.lstsq(at[near], seen[near], rcond=None)[0]
    return places @ plane


def _pieces(ink: np.ndarray) -> np.ndarray:
    """Return the ink without its crumbs: pieces, joined over small gaps, with little ink beside the largest."""
    gap = 1 + 2 * (max(ink.shape) // 200)
    labels, n = ndimage.label(ndimage.maximum_filter(ink > 0, gap), np.ones((3, 3)))
    amounts = ndimage.sum_labels(ink, labels, np.arange(n + 1))
    amounts[0] = 0
    return np.where((amounts >= CRUMB * amounts.max())[labels], ink, 0)


def _thicken(ink: np.ndarray) -> np.ndarray:
    """Return a digit drawn with a thin pen as one drawn with a broader one, in a frame that grows with it."""
    inside = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    width = 4 * float(inside[inside > 0].mean()) - 1  # the mean distance to the edge of a stroke is a quarter of its width
    missing = round((PEN * max(ink.shape) / BOX - width) / 2)
    return ndimage.grey_dilation(np.pad(ink, missing), 2 * missing + 1) if missing > 0 else ink


def _centre(small: np.ndarray) -> np.ndarray:
    frame = np.zeros((SIDE, SIDE), dtype=np.uint8)
    places = zip(ndimage.center_of_mass(small), small.shape, strict=True)
    top, left = (min(max(round(CENTRE - float(place)), 0), SIDE - side) for place, side in places)
    frame[top : top + small.shape[0], left : left + small.shape[1]] = np.round(255 * small)
    return frame
