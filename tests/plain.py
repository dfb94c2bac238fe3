"""A plain NumPy forward pass of our nets: windows and matrix products over a checkpoint's arrays, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MEAN, SD = 0.1307, 0.3081  # of MNIST's training images, as fractions of white; said again here, for nothing is shared with the library
BATCH = 100  # images at a time: their windows stay in the processor's cache

Layer = Mapping[str, Any]  # an entry of `signature`: hyper-parameters only
Arrays = Mapping[str, np.ndarray]  # one layer's arrays by name; maps are [channels, images, height, width]


def logits(layers: list[Layer], weights: Mapping[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the logits float32 [n, 10] of images uint8 [n, 28, 28]."""
    work = []
    for layer in unrolled(layers):
        prefix = layer["name"] + "."
        arrays = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        work.append((LAYERS[layer["class"]], layer, arrays))
    batches = []
    for start in range(0, len(images), BATCH):
        maps = ((images[start : start + BATCH].astype(np.float32) / 255 - MEAN) / SD).astype(np.float32)[None]
        for function, layer, arrays in work:
            maps = function(maps, layer, arrays)
        batches.append(maps.T)
    return np.concatenate(batches)


def unrolled(layers: list[Layer]) -> list[Layer]:
    """Return the layers in the order of their work: those of a `Repeated` part once for each of its norms."""
    work, places = [], {layer["name"]: layer for layer in layers}
    for part in [name for name, layer in places.items() if layer["class"] == "Repeated"]:
        inner = [places.pop(name) for name in list(places) if name.startswith(f"{part}.")]
        used = [layer for layer in inner if layer["name"].startswith(f"{part}.0")]
        relu, *norms = [layer for layer in inner if layer not in used]
        places[part] = [layer for norm in norms for layer in (*used, norm, relu)]
    for layer in places.values():
        work += layer if isinstance(layer, list) else [layer]
    return work


def conv(maps: np.ndarray, layer: Layer, arrays: Arrays) -> np.ndarray:
    """Lay every window out as a column, then multiply once."""
    if layer["dilation"] != [1, 1] or layer["padding_mode"] != "zeros":
        raise NotImplementedError(f"only plain convolutions: {layer}")
    if layer["groups"] > 1:
        parts = [np.array_split(each, layer["groups"]) for each in (maps, *arrays.values())]
        return np.concatenate(
            [conv(own, {**layer, "groups": 1}, dict(zip(arrays, rest, strict=True))) for own, *rest in zip(*parts, strict=True)]
        )
    (high, wide), (down, across), (y, x) = layer["kernel_size"], layer["padding"], layer["stride"]
    padded = np.pad(maps, ((0, 0), (0, 0), (down, down), (across, across)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (high, wide), axis=(2, 3))[:, :, ::y, ::x]
    channels, n, height, width = windows.shape[:4]
    columns = windows.transpose(0, 4, 5, 1, 2, 3).reshape(channels * high * wide, n * height * width)
    products = arrays["weight"].reshape(-1, len(columns)) @ columns
    if "bias" in arrays:
        products += arrays["bias"][:, None]
    return products.reshape(-1, n, height, width)


def max_pool(maps: np.ndarray, layer: Layer, _: Arrays) -> np.ndarray:
    """Take the larger of the values at each place in the windows, place after place."""
    if layer["padding"] != 0 or layer["dilation"] != 1 or layer["ceil_mode"]:
        raise NotImplementedError(f"only plain pooling: {layer}")
    high = wide = layer["kernel_size"]
    down = across = layer["stride"]
    height, width = (maps.shape[2] - high) // down + 1, (maps.shape[3] - wide) // across + 1
    found = np.full((*maps.shape[:2], height, width), -np.inf, dtype=maps.dtype)
    for y in range(high):
        for x in range(wide):
            np.maximum(found, maps[:, :, y : y + down * height : down, x : x + across * width : across][:, :, :height, :width], out=found)
    return found


def deslant(maps: np.ndarray, *_: Any) -> np.ndarray:
    """Shift every row by so much that the ink's rows and columns are no longer correlated, and interpolate between two pixels."""
    ink = np.maximum(maps[0] * SD + MEAN, 0)
    side = ink.shape[2]
    line, place = np.linspace(-1, 1, side), (np.arange(side) * 2 + 1) / side - 1
    mass = np.maximum(ink.sum((1, 2)), 1e-6)
    x, y = (ink.sum(1) @ line) / mass, (ink.sum(2) @ line) / mass
    product, square = ((ink @ line) @ line) / mass - x * y, (ink.sum(2) @ line**2) / mass - y * y
    shift = (product / np.maximum(square, 1e-6))[:, None] * (place - y[:, None]) * side / 2  # in pixels, [images, rows]
    at = np.arange(side) + shift[:, :, None]
    left = np.floor(at).astype(int)
    padded = np.pad(ink, ((0, 0), (0, 0), (1, 1)))
    one, other = (np.take_along_axis(padded, np.clip(left + k, 0, side + 1), 2) for k in (1, 2))
    return (((1 - (at - left)) * one + (at - left) * other - MEAN) / SD).astype(np.float32)[None]


def norm(maps: np.ndarray, layer: Layer, arrays: Arrays) -> np.ndarray:
    """Scale and shift each feature map by the statistics that training kept; without a weight, shift it only."""
    scale = arrays.get("weight", np.float32(1)) / np.sqrt(arrays["running_var"] + np.float32(layer["eps"]))
    shift = arrays["bias"] - arrays["running_mean"] * scale
    return maps * scale[:, None, None, None] + shift[:, None, None, None]


def linear(values: np.ndarray, _: Layer, arrays: Arrays) -> np.ndarray:
    """Multiply the values of all images, [features, images], and add the bias."""
    return arrays["weight"] @ values + arrays["bias"][:, None]


LAYERS: dict[str, Callable[[np.ndarray, Layer, Arrays], np.ndarray]] = {
    "Conv2d": conv,
    "MaxPool2d": max_pool,
    "BatchNorm2d": norm,
    "BiasNorm": norm,
    "Deslant": deslant,
    "ReLU": lambda maps, *_: np.maximum(maps, 0),
    "Dropout2d": lambda maps, *_: maps,  # silent once training is over
    "GlobalMax": lambda maps, *_: maps.max((2, 3)),
    "GlobalAverage": lambda maps, *_: maps.mean((2, 3)),
    "Flatten": lambda maps, *_: maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1]),
    "Linear": linear,
}
