"""The leaves of a net at work: their shapes, and the windows through which they read their input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from mnistlib import formatting
from mnistlib.errors import SettingError
from mnistlib.models import parts
from mnistlib.published.dropout import Dropout

GLOBAL_MAXIMA = (parts.GlobalMax, nn.AdaptiveMaxPool2d)
GLOBAL_AVERAGES = (parts.GlobalAverage, nn.AdaptiveAvgPool2d)
ALL_POOLS = (*GLOBAL_MAXIMA, *GLOBAL_AVERAGES, nn.MaxPool2d, nn.AvgPool2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_WEIGHTED = (nn.Conv2d, nn.Linear)
_WITHOUT_WINDOWS = (parts.GlobalMax, parts.GlobalAverage, Dropout, nn.GroupNorm, nn.Identity, nn.Flatten, nn.Linear)
_POINTWISE = tuple(f"torch.nn.modules.{name}" for name in ("activation", "batchnorm", "dropout"))  # let no position see another


@dataclass(frozen=True)
class Window:
    """A sliding window along one side: which positions of the input each output reads."""

    kernel: int
    stride: int
    padding: int  # before the first position
    dilation: int
    n_in: int
    n_out: int

    def reads(self, tap: int) -> set[int]:
        """Return the input positions that one tap of the kernel reads as the window slides; padding is none."""
        start = tap * self.dilation - self.padding
        return set(range(start, start + self.n_out * self.stride, self.stride)) & set(range(self.n_in))

    @property
    def live(self) -> int:
        """Return the number of taps that ever read the input and not its padding only."""
        return sum(bool(self.reads(tap)) for tap in range(self.kernel))

    @property
    def unread(self) -> int:
        """Return the number of input positions that no tap reads."""
        return self.n_in - len(set[int]().union(*map(self.reads, range(self.kernel))))


@dataclass(frozen=True)
class Leaf:
    """A layer without layers of its own, and what a blank image showed of it."""

    name: str
    module: nn.Module
    taken: tuple[int, ...]  # shape of one input: channels, height, width; or features
    output: tuple[int, ...]  # shape of one output
    windows: tuple[Window, Window] | None  # along height and width; None for a layer without any

    @property
    def is_global(self) -> bool:
        """Say whether this pools a map of several positions to one, as the last glance at it."""
        if not isinstance(self.module, ALL_POOLS) or _positions(self.taken) == 1 or _positions(self.output) > 1:
            return False
        # A maximum over a window smaller than the map is one more halving; an average down to one value is the end of the map.
        return not isinstance(self.module, nn.MaxPool2d) or pair(self.module.kernel_size) == self.taken[1:]

    @property
    def sees_all(self) -> bool:
        """Say whether each output sees every position of the input."""
        return self.is_global or (isinstance(self.module, nn.Flatten) and _positions(self.taken) > 1)

    @property
    def n_macs(self) -> int:
        """Return the multiply-accumulates of one image: one for each use of each weight."""
        return self.module.weight.numel() * _positions(self.output) if isinstance(self.module, _WEIGHTED) else 0

    @property
    def n_dead(self) -> int:
        """Return the number of a convolution's weights that only ever meet padding."""
        if not isinstance(self.module, nn.Conv2d) or self.module.padding_mode != "zeros" or self.windows is None:
            return 0
        height, width = self.windows
        n_pairs = self.module.weight.shape[0] * self.module.weight.shape[1]  # of an output and an input channel
        return n_pairs * (height.kernel * width.kernel - height.live * width.live)


def _positions(shape: tuple[int, ...]) -> int:
    """Return the number of positions of a map; features without a map stand at one."""
    return shape[1] * shape[2] if len(shape) == 3 else 1


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """Return a size given once or for both sides as two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def walk(net: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the leaves of nested `nn.Sequential`s with their names, in the order in which they work; one used twice comes twice."""
    if not isinstance(net, nn.Sequential):
        if any(True for _ in net.children()):
            raise SettingError(f"Layer {prefix!r} is a {type(net).__name__} with layers of its own; only nn.Sequential may have them.")
        yield prefix, net
        return
    for name, child in net._modules.items():  # named_children() would leave out a child that comes again
        if child is not None:
            yield from walk(child, f"{prefix}.{name}" if prefix else name)


@torch.no_grad()
def trace(net: nn.Module, input_size: tuple[int, ...]) -> list[Leaf]:
    """Return the leaves of a net after sending a blank image through them, leaving the net and the random state as they were."""
    first = next(net.parameters(), torch.zeros(()))
    maps = torch.zeros(1, *input_size, device=first.device, dtype=first.dtype)
    leaves = []
    for name, module in walk(net):
        training = module.training
        module.eval()
        try:
            output = module(maps.clone())  # a clone: some layers work in place
        except (RuntimeError, ValueError, IndexError) as error:
            raise SettingError(
                f"Layer {name!r}, {module}, cannot take an input of shape {tuple(maps.shape[1:])}: {str(error).splitlines()[0]}"
            ) from None
        finally:
            module.train(training)
        taken, given = tuple(maps.shape[1:]), tuple(output.shape[1:])
        leaves.append(Leaf(name, module, taken, given, _windows(name, module, taken, given)))
        maps = output
    return leaves


def _windows(name: str, module: nn.Module, taken: tuple[int, ...], given: tuple[int, ...]) -> tuple[Window, Window] | None:
    """Return the windows of a layer along height and width, None for one without any, or raise SettingError for an unknown kind."""
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel, stride = pair(module.kernel_size), pair(module.stride)
        dilation = pair(getattr(module, "dilation", 1))
        if module.padding == "same":  # torch puts the odd one at the end
            padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        else:
            padding = (0, 0) if module.padding == "valid" else pair(module.padding)
    elif isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        if any(n_in % n_out for n_in, n_out in zip(taken[1:], given[1:], strict=True)):
            raise SettingError(f"Layer {name!r} pools {taken[1:]} to {given[1:]}; anatomy knows only windows of one size.")
        kernel = stride = tuple(n_in // n_out for n_in, n_out in zip(taken[1:], given[1:], strict=True))
        padding, dilation = (0, 0), (1, 1)
    elif isinstance(module, _WITHOUT_WINDOWS) or type(module).__module__ in _POINTWISE:
        return None
    else:
        raise SettingError(
            f"Layer {name!r} is a {type(module).__name__}; anatomy knows convolutions, pooling, normalization, activations, "
            "dropout, flattening and linear layers."
        )
    height, width = (Window(kernel[side], stride[side], padding[side], dilation[side], taken[1 + side], given[1 + side]) for side in (0, 1))
    return height, width


def describe(module: nn.Module) -> str:
    """Return a leaf's kind in a reader's words: "conv 1→8 5x5", "max pool 2x2", "norm"."""
    if isinstance(module, nn.Conv2d):
        words = [f"conv {formatting.count(module.in_channels)}→{formatting.count(module.out_channels)} {_sides(module.kernel_size)}"]
        words += [f"stride {_sides(module.stride)}"] if module.stride != (1, 1) else []
        words += [f"dilation {_sides(module.dilation)}"] if module.dilation != (1, 1) else []
        words += [f"{formatting.count(module.groups)} groups"] if module.groups > 1 else []
        return " ".join(words + ["with bias"] if module.bias is not None else words)
    if isinstance(module, nn.Linear):
        return f"linear {formatting.count(module.in_features)}→{formatting.count(module.out_features)}"
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return f"{'max' if isinstance(module, nn.MaxPool2d) else 'average'} pool {_sides(pair(module.kernel_size))}"
    if isinstance(module, DROPOUTS):
        return f"dropout {formatting.number(module.p)}"
    return next((word for kinds, word in _WORDS if isinstance(module, kinds)), type(module).__name__)


_WORDS = (
    (GLOBAL_MAXIMA, "global maximum"),
    (GLOBAL_AVERAGES, "global average"),
    (NORMS, "norm"),
    (nn.GroupNorm, "group norm"),
    (nn.Flatten, "flatten"),
)


def _sides(sides: tuple[int, int]) -> str:
    """Return two sides as a reader writes them: "3x3"; equal strides and dilations too."""
    return f"{formatting.count(sides[0])}x{formatting.count(sides[1])}"
