"""What a net is made of: layers, shapes, parameters, multiplications, receptive field, wasted weights.

Nets are `nn.Sequential`, nested as deep as one likes. Multiply-accumulates (MACs) are those of convolutions and linear layers for
one image; biases and normalization are additions beside them and count as none. The receptive field is a net's own arithmetic
(Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields/): padding does not shrink it, and it may exceed the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from mnistlib.report import _leaves, _waste
from mnistlib.report._waste import Waste


@dataclass(frozen=True)
class Layer:
    """One row of a net's table: a part of the net, or a leaf of a part."""

    name: str  # as in the state_dict: "0", or "0.conv" for a leaf
    kind: str  # "conv 1→8 5x5, max pool 2x2, norm, ReLU"
    output: tuple[int, ...]  # channels, height, width; or features
    n_parameters: int
    n_macs: int
    receptive_field: int  # image pixels, along a side, that one output can see
    jump: int | None  # image pixels between neighbouring outputs; None where every output sees the whole image
    leaves: tuple[Layer, ...] = ()  # what a composite part is made of


@dataclass(frozen=True)
class Anatomy:
    """A net's table and its totals."""

    layers: tuple[Layer, ...]  # one per named part of the net
    n_parameters: int
    n_macs: int
    receptive_field: int  # before any global pooling or flattening
    wasted: tuple[Waste, ...]

    @property
    def leaves(self) -> tuple[Layer, ...]:
        """Return the rows of all leaves, in the order in which they work."""
        return tuple(leaf for layer in self.layers for leaf in (layer.leaves or (layer,)))


def of(net: nn.Module, input_size: tuple[int, ...] = (1, 28, 28)) -> Anatomy:
    """Return the anatomy of a net for images of `input_size` (channels, height, width).

    Raises SettingError for a net that is no `nn.Sequential`, a layer of a kind not known here, or shapes that do not fit.
    """
    leaves = _leaves.trace(net, input_size)
    rows: list[Layer] = []
    counted: set[int] = set()
    field = jump = before = (1, 1)  # along height and width; `before` stops growing where the map is pooled to one value
    whole = False
    for leaf in leaves:
        if leaf.windows and not whole:
            field = tuple(f + (w.kernel - 1) * w.dilation * j for f, w, j in zip(field, leaf.windows, jump, strict=True))
            jump = tuple(j * w.stride for j, w in zip(jump, leaf.windows, strict=True))
        whole = whole or leaf.sees_all
        before = before if whole else field
        parameters = [p for p in leaf.module.parameters() if id(p) not in counted]  # a part used twice costs its parameters once
        counted.update(id(p) for p in parameters)
        rows.append(
            Layer(
                name=leaf.name,
                kind=_leaves.describe(leaf.module),
                output=leaf.output,
                n_parameters=sum(p.numel() for p in parameters),
                n_macs=leaf.n_macs,
                receptive_field=max(input_size[1:]) if whole else max(field),
                jump=None if whole else max(jump),
            )
        )
    return Anatomy(
        layers=tuple(_group(rows)),
        n_parameters=sum(row.n_parameters for row in rows),
        n_macs=sum(row.n_macs for row in rows),
        receptive_field=max(before),
        wasted=_waste.find(leaves),
    )


def _group(rows: list[Layer]) -> list[Layer]:
    """Return one row per part of the net: leaves that share the first piece of their names become one."""
    parts: dict[str, list[Layer]] = {}
    for row in rows:
        parts.setdefault(row.name.split(".")[0], []).append(row)
    return [
        members[0]
        if members[0].name == name
        else replace(
            members[-1],  # output, receptive field and jump are those at the part's end
            name=name,
            kind=", ".join(member.kind for member in members),
            n_parameters=sum(member.n_parameters for member in members),
            n_macs=sum(member.n_macs for member in members),
            leaves=tuple(members),
        )
        for name, members in parts.items()
    ]


# What decides a leaf's arithmetic; `bias` is whether there is one. Kinds not listed give all their plain public attributes.
_ATTRIBUTES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "bias"),
    nn.Linear: ("in_features", "out_features", "bias"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.BatchNorm1d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.AdaptiveMaxPool2d: ("output_size",),
    nn.Dropout: ("p",),
    nn.Dropout2d: ("p",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.ReLU: (),
}
_PAIRED = {"kernel_size", "stride", "padding", "dilation", "output_size"}


def signature(net: nn.Module) -> list[dict[str, Any]]:
    """Return what decides a net's arithmetic, layer by layer, as plain JSON values that do not depend on how torch prints a net."""
    entries = []
    first: dict[int, str] = {}
    for name, module in net.named_modules(remove_duplicate=False):
        if type(module) is nn.Sequential:
            continue
        entry = {"name": name, "kind": type(module).__name__, **_attributes(module)}
        if first.setdefault(id(module), name) != name and any(True for _ in module.parameters()):
            entry["same_as"] = first[id(module)]  # shared weights train as one
        entries.append(entry)
    return entries


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return the attributes of one layer that decide its arithmetic."""
    names = _ATTRIBUTES.get(type(module))
    if names is None:  # not one of torch's layers listed above: all its plain values, and the shapes of its own weights
        shapes = {name: list(value.shape) for name, value in module.named_parameters(recurse=False)}
        public = {name: value for name, value in sorted(vars(module).items()) if not name.startswith("_") and _is_plain(value)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in public.items()}
        return {name: value for name, value in plain.items() if name not in ("training", "inplace")} | {"parameters": shapes}
    values = {name: getattr(module, name) for name in names}
    for name in _PAIRED & values.keys():
        values[name] = values[name] if isinstance(values[name], str) else list(_leaves.pair(values[name]))
    return values | ({"bias": values["bias"] is not None} if "bias" in values else {})


def _is_plain(value: object) -> bool:
    """Say whether a value is one that JSON keeps, or a list of such."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
