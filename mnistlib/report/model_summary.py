"""A net's layers, shapes and parameters by torchinfo; its multiply-accumulates, receptive field and waste from these.

Multiply-accumulates (MACs) are those of convolutions and linear layers, biases left out. Padding does not shrink the receptive field,
which may exceed the image (Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields/).
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchinfo
from torch import nn
from torchinfo.layer_info import LayerInfo

from mnistlib import formatting
from mnistlib.errors import SettingError
from mnistlib.formatting import count

WEIGHTED = (nn.Conv2d, nn.Linear)
SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
ADAPTIVE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)
# the modules of torch whose layers let no position of a map see another; group normalization is taken as one of them
POINTWISE = tuple(f"torch.nn.modules.{name}" for name in ("activation", "batchnorm", "dropout", "normalization", "linear"))
WORDS = {"BatchNorm1d": "norm", "BatchNorm2d": "norm", "GroupNorm": "group norm", "Flatten": "flatten", "AdaptiveMaxPool2d": "global max"}
WORDS |= {"GlobalMax": "global max", "GlobalAverage": "global average", "AdaptiveAvgPool2d": "global average"}
WORDS |= {"BiasNorm": "norm with bias only", "Deslant": "deslanting"}


@dataclass(frozen=True)
class Layer:
    """One row of a net's table: a named part of the net."""

    kind: str  # "conv 1→8 5x5, max pool 2x2, norm, ReLU"
    output: tuple[int, ...]  # channels, height, width; or features
    n_parameters: int
    n_macs: int
    receptive_field: int  # image pixels, along a side, that one output can see


@dataclass(frozen=True)
class ModelSummary:
    """A net's table and its totals."""

    layers: tuple[Layer, ...]
    n_parameters: int
    n_macs: int
    receptive_field: int  # before any global pooling or flattening
    wasted: tuple[str, ...]  # a sentence for each cost that cannot help, and for what changes the logits after the last weights


def of(net: nn.Module, input_size: tuple[int, ...] = (1, 28, 28)) -> ModelSummary:
    """Return the summary of a net for images of `input_size` (channels, height, width).

    Raises SettingError for a net that is not a `nn.Sequential`, a layer of a kind not known here, weights that two parts of the net share,
    or shapes that do not fit.
    """
    net = copy.deepcopy(net).cpu()  # torchinfo changes the mode of the net that it is given
    try:
        found = torchinfo.summary(net, input_data=torch.zeros(1, *input_size), mode="eval", verbose=0).summary_list
    except RuntimeError as error:
        raise SettingError(f"The net cannot take images of shape {input_size}: {str(error.__cause__).splitlines()[0]}") from None
    for info in found:
        if not info.is_leaf_layer and not isinstance(info.module, nn.Sequential):
            raise SettingError(f"Layer {_name(info)!r} is a {info.class_name} with layers of its own; only nn.Sequential may have them.")
    leaves = [info for info in found if info.is_leaf_layer]
    height, width = (_receptive_fields(leaves, side) for side in (0, 1))
    fields = {id(leaf): max(pair) for leaf, *pair in zip(leaves, height, width, strict=False)}
    layers, owners = [], {}
    for part in (info for info in found if info.depth == 1):
        inner = [info for info in part.children if info.is_leaf_layer] or [part]
        if any(owners.setdefault(id(value), part.module) is not part.module for value in part.module.parameters()):
            raise SettingError(f"Layer {_name(part)!r} shares weights with one before it; put all uses of them into one nn.Sequential.")
        layers.append(
            Layer(
                kind=_in_words([describe(leaf.module) for leaf in inner]),
                output=tuple(part.output_size[1:]),
                n_parameters=sum(leaf.num_params for leaf in inner if not leaf.is_recursive),  # a layer that is used twice has them once
                n_macs=sum(_n_macs(leaf) for leaf in inner),
                receptive_field=fields.get(id(inner[-1]), max(input_size[1:])),  # after global pooling: the whole image
            )
        )
    return ModelSummary(
        layers=tuple(layers),
        n_parameters=sum(layer.n_parameters for layer in layers),
        n_macs=sum(layer.n_macs for layer in layers),
        receptive_field=max(fields.values(), default=1),
        wasted=tuple(waste for place in range(len(leaves)) for waste in _wasted(leaves[place], leaves[place + 1 :])),
    )


def _in_words(kinds: list[str]) -> str:
    """Return the kinds of a part's layers as a list; what is repeated throughout is said once."""
    n = next(n for n in range(len(kinds), 0, -1) if kinds[: len(kinds) // n] * n == kinds)
    return f"{count(n)} times: " * (n > 1) + ", ".join(kinds[: len(kinds) // n])


def _name(info: LayerInfo) -> str:
    return "" if info.depth == 0 else f"{_name(info.parent_info)}.{info.var_name}".lstrip(".")


def describe(module: nn.Module) -> str:
    """Return a layer in a reader's words: "conv 1→8 5x5", "max pool 2x2", "norm"."""
    if isinstance(module, nn.Conv2d):
        words = [f"conv {count(module.in_channels)}→{count(module.out_channels)} {_sides(module.kernel_size)}"]
        words += [f"{name} {_sides(sides)}" for name in ("stride", "dilation") if (sides := getattr(module, name)) != (1, 1)]
        words += [f"{count(module.groups)} groups"] if module.groups > 1 else []
        return " ".join(words + ["with bias"] if module.bias is not None else words)
    if isinstance(module, nn.Linear):
        return f"linear {count(module.in_features)}→{count(module.out_features)}"
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return f"{'max' if isinstance(module, nn.MaxPool2d) else 'average'} pool {_sides(_pair(module.kernel_size))}"
    if isinstance(module, DROPOUTS):
        return f"dropout {formatting.number(module.p)}"
    return WORDS.get(type(module).__name__, type(module).__name__)


def _sides(sides: tuple[int, ...] | list[int]) -> str:
    return f"{count(sides[0])}x{count(sides[1])}"


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _n_macs(info: LayerInfo) -> int:
    if not isinstance(info.module, WEIGHTED):
        return 0
    positions = info.output_size[2:] if isinstance(info.module, nn.Conv2d) else info.output_size[1:-1]
    return info.module.weight.numel() * math.prod(positions)


def _receptive_fields(leaves: list[LayerInfo], side: int) -> list[int]:
    """Return the receptive field after each layer along height (0) or width (1), up to the first that sees its whole map."""
    field = jump = 1  # jump: image pixels between neighbouring outputs
    fields = []
    for info in leaves:
        module = info.module
        if _sees_all(info):
            break
        if isinstance(module, SLIDING):
            field += (_pair(module.kernel_size)[side] - 1) * _pair(getattr(module, "dilation", 1))[side] * jump
            jump *= _pair(module.stride)[side]
        elif isinstance(module, ADAPTIVE) and info.input_size[2 + side] % info.output_size[2 + side] == 0:
            n = info.input_size[2 + side] // info.output_size[2 + side]
            field, jump = field + (n - 1) * jump, n * jump
        elif getattr(module, "moves_only", False):
            pass
        elif _positions(info.input_size) > 1 and not any(base.__module__ in POINTWISE for base in type(module).__mro__):
            raise SettingError(f"Layer {_name(info)!r} is a {info.class_name}, whose receptive field is not known here.")
        fields.append(field)
    return fields


def _positions(size: list[int]) -> int:
    return math.prod(size[2:]) if len(size) == 4 else 1


def _sees_all(info: LayerInfo) -> bool:
    """Say whether each output sees every position of a map: global pooling, flattening, or a linear layer along a side."""
    if _positions(info.input_size) == 1 or isinstance(info.module, nn.Conv2d):
        return False
    if isinstance(info.module, nn.MaxPool2d):  # a smaller window that leaves one value is one more halving
        return list(_pair(info.module.kernel_size)) == info.input_size[2:]
    return _positions(info.output_size) == 1 or isinstance(info.module, nn.Linear)


def _wasted(info: LayerInfo, after: list[LayerInfo]) -> Iterator[str]:
    module, words = info.module, f"the {describe(info.module)}"
    following = next((other.module for other in after if not (_is_pool(other.module) or isinstance(other.module, nn.Identity))), None)
    if isinstance(module, WEIGHTED) and module.bias is not None and isinstance(following, NORMS):
        yield f"The normalization after {words} cancels its {count(module.bias.numel())} biases."
    if isinstance(module, SLIDING) and not getattr(module, "ceil_mode", False):
        n_dead, rows, columns = _unused(module, info.input_size)
        size = _sides(info.input_size[2:])
        if n_dead:
            share = formatting.of(n_dead, module.weight.numel())
            yield f"{share} weights of {words} only ever meet padding: its map is {size}."
        if rows or columns:
            yield f"Of its {size} map, {words} never reads {count(rows)} of the rows and {count(columns)} of the columns."
    if _is_pool(module) and info.input_size[2:] == [1, 1]:
        yield f"The map that {words} pools is 1x1 already."
    if not any(isinstance(other.module, WEIGHTED) for other in (info, *after)) and (effect := _on_logits(module)):
        yield f"After the last weights, {words} {effect}."


def _is_pool(module: nn.Module) -> bool:
    return "Pool" in type(module).__name__ or type(module).__name__.startswith("Global")


def _unused(module: nn.Module, size: list[int]) -> tuple[int, int, int]:
    """Return how many weights, rows and columns no output depends on: those where the gradient of a kernel of ones is zero."""
    with torch.enable_grad():
        maps = torch.ones(1, 1, *size[2:], requires_grad=True)
        kernel = torch.ones(1, 1, *_pair(module.kernel_size), requires_grad=True)
        F.conv2d(maps, kernel, None, module.stride, module.padding, getattr(module, "dilation", 1)).sum().backward()
    unread = maps.grad[0, 0] == 0
    n_pairs = module.weight.shape[0] * module.weight.shape[1] if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" else 0
    return n_pairs * int((kernel.grad == 0).sum()), int(unread.all(1).sum()), int(unread.all(0).sum())


def _on_logits(module: nn.Module) -> str:
    effects = {NORMS: "normalizes the logits over the batch", DROPOUTS: "drops logits in training", nn.ReLU: "sets negative logits to zero"}
    harmless = type(module).__module__ != "torch.nn.modules.activation" or isinstance(module, nn.LogSoftmax | nn.Softmax)
    return next((effect for kinds, effect in effects.items() if isinstance(module, kinds)), "" if harmless else "bends the logits")
