"""The nets that were considered for the series beside its own; `candidates` says why, reports/choices/ how they did."""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from mnistlib.augment import SamplingGrid, warp
from mnistlib.data import MEAN, SD
from mnistlib.models import conv, drop, head, narrow, skeleton, weighted
from mnistlib.separable import Repeated, separable_conv
from mnistlib.separable import recurrent as recurrent_separable

wide = partial(skeleton, maps=(11, 14, 22))
narrow_plain = partial(narrow, norm=False)
skeleton_norm, wide_norm, weighted_norm = partial(skeleton, norm=True), partial(wide, norm=True), weighted


def two_pools(dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """Return a net that pools twice and ends in a linear layer on the last map."""
    return nn.Sequential(
        conv(1, 8, 5, padding=0, pool=True, norm=norm),
        *drop(dropout),
        conv(8, 12, padding=0, norm=norm),
        conv(12, 16, padding=0, pool=True, norm=norm),
        conv(16, 16, norm=norm),
        head(256, nn.Flatten()),
    )


two_pools_norm = partial(two_pools, norm=True)


def strided_pool(dropout: float = 0.0) -> nn.Sequential:
    """Return a net of small maps: its first layer has stride two, and pooling follows the second."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        conv(16, 16, pool=True),
        *drop(dropout),
        conv(16, 16),
        conv(16, 16, padding=0),
        head(16),
    )


def strided(dropout: float = 0.0) -> nn.Sequential:
    """Return a net whose first layer has stride two instead of pooling; all widths suit a processor's vectors."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        *drop(dropout),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        head(16),
    )


def strided_8ch(dropout: float = 0.0) -> nn.Sequential:
    """Return the strided_pool net with half as many feature maps in its first layer."""
    return nn.Sequential(
        conv(1, 8, 6, padding=0, stride=2),
        conv(8, 16, pool=True),
        *drop(dropout),
        conv(16, 16),
        conv(16, 16),
        head(16),
    )


class Residual(nn.Sequential):
    """Layers whose output is added to their input."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sum: maps [n, c, h, w], of the same shape before and after."""
        return maps + super().forward(maps)


def separable(n_in: int, n_out: int, padding: int = 1, norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    """Return a separable convolution, batch normalization and ReLU; with a shortcut where shapes stay the same."""
    layers = OrderedDict(separable_conv(n_in, n_out, padding).named_children(), norm=norm(n_out), relu=nn.ReLU(inplace=True))
    return (Residual if (n_in, padding) == (n_out, 1) else nn.Sequential)(layers)


def residual(
    dropout: float = 0.0, first: int = 16, width: int = 34, paddings: tuple[int, ...] = (0, 1, 0, 1, 0), weighted: int = 0
) -> nn.Sequential:
    """Return a net that pools early, then separable blocks of equal width, one for each padding.

    Its head takes the average of each last map, or where `weighted` is their side, a learned weight for each place.
    """
    widths = [first, *[width] * len(paddings)]
    pool = nn.Sequential(nn.Conv2d(width, width, weighted, groups=width, bias=False), nn.Flatten()) if weighted else None
    return nn.Sequential(
        conv(1, first, 5, padding=0, pool=True),
        *drop(dropout),
        *(separable(n_in, width, padding) for n_in, padding in zip(widths[:-1], paddings, strict=True)),
        head(width, pool),
    )


half = partial(residual, first=12, width=22)
longer = partial(residual, width=30, paddings=(0, 1, 0, 1, 0, 1))
weighted_residual = partial(residual, width=33, paddings=(0, 1, 0, 0, 0), weighted=4)


def late_pool(dropout: float = 0.0) -> nn.Sequential:
    """Return a net with two convolutions before pooling and a learned weight for each place of the last maps."""
    return nn.Sequential(
        conv(1, 8, padding=0),
        conv(8, 8, padding=0, pool=True),
        *drop(dropout),
        conv(8, 12, padding=0),
        conv(12, 14, padding=0),
        conv(14, 16, padding=0),
        conv(16, 16, padding=0),
        head(16, nn.Sequential(nn.Conv2d(16, 16, 4, groups=16, bias=False), nn.Flatten())),
    )


def recurrent(dropout: float = 0.0) -> nn.Sequential:
    """Return a net that uses one wide convolution four times."""
    shared = Repeated(nn.Conv2d(27, 27, 3, bias=False), nn.ReLU(inplace=True), *(nn.BatchNorm2d(27) for _ in range(4)))
    return nn.Sequential(conv(1, 27, 5, padding=0, pool=True), *drop(dropout), shared, head(27))


recurrent_narrow, recurrent_once = partial(recurrent_separable, width=40), partial(recurrent_separable, uses=1)


class ScaleShift(nn.Module):
    """The scale and the shift of batch normalization, without the normalization."""

    moves_only = True  # no place of a map sees another

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Return to what changes nothing."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [n, c, h, w], each times its scale plus its shift."""
        return torch.addcmul(self.bias[:, None, None], maps, self.weight[:, None, None])


class HeConv(nn.Conv2d):
    """A convolution whose first weights keep the scale of its input, also without normalization (He et al. 2015, arXiv:1502.01852)."""

    def reset_parameters(self) -> None:
        """Draw first weights, those before a ReLU twice the variance."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear" if self.groups > 1 else "relu")


def recurrent_plain(dropout: float = 0.0) -> nn.Sequential:
    """Return the net of the frontier without normalization; it has as many parameters."""
    net = recurrent_separable(dropout)
    for block in list(net.modules()):
        for name, layer in block.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(block, name, ScaleShift(layer.num_features))
            elif isinstance(layer, nn.Conv2d):
                sizes = (layer.in_channels, layer.out_channels, layer.kernel_size)
                setattr(block, name, HeConv(*sizes, padding=layer.padding, groups=layer.groups, bias=False))
    return net


class Cropped(nn.Sequential):
    """Layers without padding whose output is added to the middle of their input."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sum, of the output's shape; the input has as many maps."""
        out = super().forward(maps)
        edge = (maps.shape[2] - out.shape[2]) // 2
        return maps[:, :, edge : edge + out.shape[2], edge : edge + out.shape[3]] + out


def recurrent_cropped(dropout: float = 0.0, width: int = 64, n_blocks: int = 1) -> nn.Sequential:
    """Return a net of one or more wide separable convolutions that are used four times in turn, with shortcuts."""
    blocks = [separable_conv(width, width) for _ in range(n_blocks)]
    uses = (Cropped(blocks[use % n_blocks], nn.BatchNorm2d(width), nn.ReLU(inplace=True)) for use in range(4))
    return nn.Sequential(conv(1, 16, 5, padding=0, pool=True), *drop(dropout), separable(16, width), nn.Sequential(*uses), head(width))


recurrent_pair = partial(recurrent_cropped, width=48, n_blocks=2)


def residual_cropped(dropout: float = 0.0) -> nn.Sequential:
    """Return the residual net with shortcuts around all blocks, those without padding too."""
    blocks = [separable(34, 34), Cropped(separable(34, 34, 0)), separable(34, 34), Cropped(separable(34, 34, 0))]
    return nn.Sequential(conv(1, 16, 5, padding=0, pool=True), *drop(dropout), separable(16, 34, 0), *blocks, head(34))


class Deslant(nn.Module):
    """Shear every digit upright, by the moments of its ink; no parameters.

    LeCun et al. 1998, https://doi.org/10.1109/5.726791, section III.A: "deslanting".
    """

    moves_only = True  # the image is sheared as a whole; receptive fields are counted after it

    def forward(self, pixels: Tensor) -> Tensor:
        """Return normalised pixels [n, 1, 28, 28] after the shear, along the width, that makes x and y of the ink uncorrelated."""
        ink = (pixels * SD + MEAN).clamp(min=0)
        line = torch.linspace(-1, 1, ink.shape[2], device=ink.device)
        mass = ink.sum((1, 2, 3)).clamp(min=1e-6)
        x, y = (ink.sum((1, side)) @ line / mass for side in (2, 3))
        slant = torch.einsum("nchw,h,w->n", ink, line, line) / mass - x * y
        shear = slant / ((ink.sum((1, 3)) @ line**2) / mass - y * y).clamp(min=1e-6)
        one, zero = torch.ones_like(shear), torch.zeros_like(shear)
        rows = [torch.stack([one, shear, -shear * y], 1), torch.stack([zero, one, zero], 1)]
        return (warp(ink, SamplingGrid(torch.stack(rows, 1), None)) - MEAN) / SD


class BiasNorm(nn.BatchNorm2d):
    """Batch normalization with a shift and no scale, which the next layer's weights can take over where ReLU lies between."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        del self.weight
        self.weight = None

    def reset_parameters(self) -> None:
        """Return to statistics that change nothing, and no shift."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


def tiny(dropout: float = 0.0, widths: tuple[int, ...] = (7, 10, 10, 11, 12), uses: int = 0, deslanted: bool = False) -> nn.Sequential:
    """Return a net of separable blocks whose norms have no scales, and one more block that is used `uses` times."""
    first, last = widths[0], widths[-1]
    repeated = Repeated(separable_conv(last, last), nn.ReLU(inplace=True), *(BiasNorm(last) for _ in range(uses)))
    return nn.Sequential(
        *([Deslant()] if deslanted else []),
        nn.Sequential(nn.Conv2d(1, first, 3, bias=False), nn.MaxPool2d(2), BiasNorm(first), nn.ReLU(inplace=True)),
        *drop(dropout),
        *(separable(a, b, 0, BiasNorm) for a, b in zip(widths[:-1], widths[1:], strict=True)),
        *([repeated] if uses else []),
        head(last),
    )


tiny_deslanted, tiny_shared = partial(tiny, deslanted=True), partial(tiny, widths=(8, 17), uses=3)
tiny_shared_deslanted = partial(tiny_shared, deslanted=True)
