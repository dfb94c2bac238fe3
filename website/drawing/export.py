"""A net as the browser takes it: a list of layers, and their weights one after another."""

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnistlib.models import GlobalAverage
from mnistlib.separable import Repeated


def net(model: nn.Sequential) -> dict[str, Any]:
    """Return a net's parts in order, each a list of layers, and its weights as base64 of little-endian float32.

    Batch normalization becomes a scale and a shift per feature map. Each layer says where its weights begin; one that is used several times
    has them once. A layer, or an option of one, that the browser does not have raises ValueError.
    """
    weights: dict[nn.Module, Tensor] = {}
    parts = [_layers(part, weights) for part in model]
    flat = torch.cat(list(weights.values())).numpy().astype("<f4")
    return {"parts": [part for part in parts if part], "weights": base64.b64encode(flat.tobytes()).decode()}


def _layers(module: nn.Module, weights: dict[nn.Module, Tensor]) -> list[dict[str, Any]]:
    """Return the layers of a module, dropout left out, and keep their weights in the order in which the browser reads them."""
    kind = type(module)
    if kind is Repeated:
        layers, relu, *norms = module
        return [layer for norm in norms for part in (layers, norm, relu) for layer in _layers(part, weights)]
    if kind is nn.Sequential:
        return [layer for part in module for layer in _layers(part, weights)]
    if kind is nn.Dropout2d:
        return []
    if kind is nn.Conv2d and _square(module.kernel_size, module.stride, module.padding) and module.dilation == (1, 1):
        at = _keep(weights, module, module.weight, *([] if module.bias is None else [module.bias]))
        sizes = {"out": module.out_channels, "in": module.in_channels, "groups": module.groups, "side": module.kernel_size[0]}
        return [
            {"kind": "conv", "at": at, **sizes, "padding": module.padding[0], "stride": module.stride[0], "bias": module.bias is not None}
        ]
    if isinstance(module, nn.BatchNorm2d):
        scale = 1 / torch.sqrt(module.running_var.double() + module.eps) * (1 if module.weight is None else module.weight.double())
        at = _keep(weights, module, scale, module.bias.double() - module.running_mean.double() * scale)
        return [{"kind": "scale", "at": at, "n": module.num_features}]
    if kind is nn.Linear and module.bias is not None:
        at = _keep(weights, module, module.weight, module.bias)
        return [{"kind": "linear", "at": at, "out": module.out_features, "in": module.in_features}]
    if kind is nn.MaxPool2d and module.stride == module.kernel_size and not module.padding:
        return [{"kind": "pool", "side": module.kernel_size}]
    kinds = {nn.ReLU: "relu", nn.Flatten: "flatten", GlobalAverage: "average"}
    if kind not in kinds:
        raise ValueError(f"The browser has no layer for {module}.")
    return [{"kind": kinds[kind]}]


def _keep(weights: dict[nn.Module, Tensor], module: nn.Module, *values: Tensor) -> int:
    """Keep the weights of a module, unless they are there already, and return where they begin among all."""
    weights.setdefault(module, torch.cat([value.detach().double().flatten() for value in values]))
    before = list(weights)[: list(weights).index(module)]
    return sum(len(weights[other]) for other in before)


def _square(*sides: tuple[int, int]) -> bool:
    return all(height == width for height, width in sides)


def pixels(images: np.ndarray) -> str:
    """Return images, uint8 [n, 28, 28], as base64 of their bytes."""
    return base64.b64encode(np.ascontiguousarray(images, np.uint8).tobytes()).decode()
