"""Nets of separable convolutions: more width for the same parameters, and more again where one of them is used several times."""

from collections import OrderedDict

from torch import Tensor, nn

from mnistlib.models import conv, drop, head


def separable_conv(n_in: int, n_out: int, padding: int = 0) -> nn.Sequential:
    """Return a separable convolution: a depthwise one, 3x3, and a pointwise one, 1x1 (Howard et al. 2017, arXiv:1704.04861)."""
    depthwise = nn.Conv2d(n_in, n_in, 3, padding=padding, groups=n_in, bias=False)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=nn.Conv2d(n_in, n_out, 1, bias=False)))


class Repeated(nn.Sequential):
    """Layers that are used several times: they come first, then the ReLU, then for each use a batch normalization of its own."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps after the last use; each is layers, normalization, ReLU."""
        layers, relu, *norms = self
        for norm in norms:
            maps = relu(norm(layers(maps)))
        return maps


def recurrent(dropout: float = 0.0, first: int = 16, width: int = 64, uses: int = 4) -> nn.Sequential:
    """Return a net that pools early, then uses one wide separable convolution several times (Savarese and Maire 2019, arXiv:1902.09701)."""
    return nn.Sequential(
        conv(1, first, 5, padding=0, pool=True),
        *drop(dropout),
        nn.Sequential(separable_conv(first, width, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        Repeated(separable_conv(width, width), nn.ReLU(inplace=True), *(nn.BatchNorm2d(width) for _ in range(uses))),
        head(width),
    )
