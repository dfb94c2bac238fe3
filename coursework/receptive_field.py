"""A net's receptive field, measured by gradients, whatever its forward does.

The gradient of one place of the last maps is taken with respect to an image so large that no border is near. For the measurement, nothing
may hide a pixel: weights are positive, pooling by the maximum becomes pooling by the average, and what works on each place alone
(activations, normalization, dropout) is left out. Normalization over a whole map counts as such, as in `mnistlib.report.model_summary`.
"""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursework.trace import Operation, Trace, is_map

SIDE = 28
SIZES = (4 * SIDE, 8 * SIDE)  # of the larger images: multiples, so that poolings leave nothing over that they do not leave at 28
DRAWS = 3  # of weights and images
SLIDING = {"conv2d", "max_pool2d", "avg_pool2d"}
ACTIVATIONS = """
    celu clamp clamp_min clip elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu relu6 rrelu selu
    sigmoid sign silu softplus softshrink softsign tanh tanhshrink threshold
"""
NORMS = {"batch_norm", "group_norm", "layer_norm", "instance_norm", "local_response_norm", "rms_norm"}
DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"}
POINTWISE = set(ACTIVATIONS.split()) | NORMS | DROPOUTS


def measure(net: nn.Module) -> int | None:
    """Return the side of the receptive field in pixels before any global pooling or flattening; None where forward fails.

    It may exceed the image. A net that sees the whole of any image has 28, and so has at most one that takes no larger images.
    """
    try:
        seen = Trace()
        seen.run(copy.deepcopy(net).eval(), torch.rand(2, 1, SIDE, SIDE, requires_grad=True))
        last = _last_map(seen)
    except Exception:
        return None
    if last is None:
        return 1
    for size in SIZES:
        try:
            field, clipped = _extent(net, seen, last, size)
        except Exception:
            break
        if not clipped:
            return field
    else:
        return SIDE
    try:
        return _extent(net, seen, last, SIDE)[0]
    except Exception:
        return None


def _last_map(seen: Trace) -> Operation | None:
    """Return the operation that makes the last maps before each value sees all places; None where that is the image itself."""
    path = seen.path()
    maps = [one for one in path if is_map(one.output)]
    last, current = maps[-1] if maps else None, maps[-1].output if maps else seen.images
    while following := next((one for one in path if one.source is current and one is not last), None):
        whole = following.name == "avg_pool2d" or pair(following.argument(1, "kernel_size", 0)) == current.shape[2:]
        if following.name not in SLIDING | POINTWISE or (is_map(current) and following.name != "conv2d" and whole):
            break  # a smaller window that leaves one value is one more halving
        last, current = following, following.output
    return last


def _extent(net: nn.Module, seen: Trace, last: Operation, size: int) -> tuple[int, bool]:
    """Return the side of what a place in the middle of the last maps depends on, and whether it reaches a border."""
    seeing = torch.zeros(size, size, dtype=torch.bool)
    for draw in range(DRAWS):
        generator = torch.Generator().manual_seed(draw)
        positive = copy.deepcopy(net).double().eval()
        with torch.no_grad():
            for parameter in positive.parameters():
                values = torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) + 0.5
                parameter.copy_(values / max(1, parameter[:1].numel()))
        images = (torch.rand(1, 1, size, size, generator=generator, dtype=torch.float64) + 0.5).requires_grad_()
        maps = _Transparent(seen, last).maps(positive, images)
        (gradient,) = torch.autograd.grad(maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum(), images)
        seeing |= gradient[0, 0] != 0
    sides = [seeing.any(dimension).nonzero().flatten() for dimension in (0, 1)]
    field = max(int(side[-1] - side[0]) + 1 if len(side) else 1 for side in sides)
    return field, any(len(side) and (side[0] == 0 or side[-1] == size - 1) for side in sides)


class _Reached(Exception):
    """The last maps have been computed; what comes after might not take maps of this size."""


class _Transparent(Trace):
    """Compute the maps of an operation that was seen before, with everything left out that might hide a pixel."""

    def __init__(self, seen: Trace, last: Operation) -> None:
        super().__init__()
        self.seen, self.end = seen, seen.operations.index(last)

    def maps(self, net: nn.Module, images: Tensor) -> Tensor:
        """Return the maps for images of another size."""
        with contextlib.suppress(_Reached):
            self.run(net, images)
        if [one.name for one in self.operations] != [one.name for one in self.seen.operations[: self.end + 1]]:
            raise ValueError("The forward depends on the size of its images.")
        return self.operations[-1].output

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Return what the function would without its hidden pixels."""
        if len(self.operations) > self.end:
            raise _Reached
        source = args[0] if args else kwargs.get("input")
        if name in POINTWISE:
            return source
        if name == "max_pool2d" and not kwargs.get("return_indices"):
            return _mean_pool(source, *args[1:], **{key: value for key, value in kwargs.items() if key != "input"})
        before = self.seen.operations[len(self.operations)]
        if name.startswith("adaptive_") and is_map(before.output):
            kernel = tuple(before.source.shape[2 + side] // before.output.shape[2 + side] for side in (0, 1))
            return F.avg_pool2d(source, kernel)
        return func(*args, **kwargs)


def _mean_pool(maps: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *_: Any, **__: Any) -> Tensor:
    """Return the average of each window that the maximum would be taken of: a convolution with equal weights."""
    height, width = pair(kernel_size)
    kernel = torch.full((maps.shape[1], 1, height, width), 1 / (height * width), dtype=maps.dtype)
    return F.conv2d(maps, kernel, None, pair(stride or kernel_size), pair(padding), pair(dilation), maps.shape[1])


def pair(value: Any) -> tuple[int, int]:
    """Return a setting of a convolution or pooling for height and width."""
    return (value, value) if isinstance(value, int) else tuple(value) if len(value) == 2 else (value[0], value[0])
