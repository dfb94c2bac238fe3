"""A net as the browser takes it: a list of layers, and their weights one after another."""

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnistlib.models import GlobalAverage
from mnistlib.residual import Residual


def net(model: nn.Sequential) -> dict[str, Any]:
    """Return a net's parts in order, each a list of layers, and its weights as base64 of little-endian float32.

    Batch normalization becomes a scale and a shift per feature map. A layer of another kind raises ValueError.
    """
    weights: list[Tensor] = []
    parts = [_layers(part, weights) for part in model]
    flat = torch.cat([each.detach().double().flatten() for each in weights]).numpy().astype("<f4")
    return {"parts": [part for part in parts if part], "weights": base64.b64encode(flat.tobytes()).decode()}


def _layers(module: nn.Module, weights: list[Tensor]) -> list[dict[str, Any]]:
    """Return the layers of a module, dropout left out, and append their weights in the order in which the browser reads them."""
    if isinstance(module, Residual):
        return [{"kind": "residual", "layers": [layer for part in module for layer in _layers(part, weights)]}]
    if isinstance(module, nn.Sequential):
        return [layer for part in module for layer in _layers(part, weights)]
    if isinstance(module, nn.Dropout2d):
        return []
    if isinstance(module, nn.Conv2d):
        weights += [module.weight] + ([] if module.bias is None else [module.bias])
        sizes = {"out": module.out_channels, "in": module.in_channels, "groups": module.groups, "side": module.kernel_size[0]}
        return [{"kind": "conv", **sizes, "padding": module.padding[0], "stride": module.stride[0], "bias": module.bias is not None}]
    if isinstance(module, nn.BatchNorm2d):
        scale = module.weight.double() / torch.sqrt(module.running_var.double() + module.eps)
        weights += [scale, module.bias.double() - module.running_mean.double() * scale]
        return [{"kind": "scale", "n": module.num_features}]
    if isinstance(module, nn.Linear):
        weights += [module.weight, module.bias]
        return [{"kind": "linear", "out": module.out_features, "in": module.in_features}]
    if isinstance(module, nn.MaxPool2d):
        return [{"kind": "pool", "side": module.kernel_size}]
    kinds = {nn.ReLU: "relu", nn.Flatten: "flatten", GlobalAverage: "average"}
    if type(module) not in kinds:
        raise ValueError(f"The browser has no layer for {type(module).__name__}.")
    return [{"kind": kinds[type(module)]}]


def pixels(images: np.ndarray) -> str:
    """Return images, uint8 [n, 28, 28], as base64 of their bytes."""
    return base64.b64encode(np.ascontiguousarray(images, np.uint8).tobytes()).decode()
