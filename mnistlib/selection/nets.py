"""The nets that were considered for the series beside its own; `candidates` says why, reports/choices/ how they did."""

from torch import Tensor, nn

from mnistlib.models import conv, drop, head, narrow


class GlobalMax(nn.Module):
    """Keep the largest value of each feature map: [n, c, h, w] to [n, c]."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maximum over height and width."""
        return maps.amax((2, 3))


def narrow_maxpool(dropout: float = 0.0) -> nn.Sequential:
    """Return the narrow net with the maximum of each feature map at the end instead of its average."""
    return narrow(dropout, GlobalMax())


def deep(dropout: float = 0.0) -> nn.Sequential:
    """Return a net with one more layer and fewer feature maps in each."""
    return nn.Sequential(
        conv(1, 8, 5, padding=0, pool=True),
        *drop(dropout),
        conv(8, 12),
        conv(12, 12, padding=0),
        conv(12, 14, padding=0),
        conv(14, 14, padding=0),
        conv(14, 14, padding=0),
        head(14, GlobalMax()),
    )


def two_pools(dropout: float = 0.0) -> nn.Sequential:
    """Return a net that pools twice."""
    return nn.Sequential(
        conv(1, 8, 5, pool=True),
        *drop(dropout),
        conv(8, 12),
        conv(12, 16, pool=True),
        conv(16, 16),
        conv(16, 16),
        head(16, GlobalMax()),
    )


def late_pool(dropout: float = 0.0) -> nn.Sequential:
    """Return a net with two layers at full size before pooling."""
    return nn.Sequential(
        conv(1, 8, padding=0),
        conv(8, 8, padding=0, pool=True),
        *drop(dropout),
        conv(8, 12, padding=0),
        conv(12, 14, padding=0),
        conv(14, 16, padding=0),
        conv(16, 16, padding=0),
        head(16, GlobalMax()),
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


def strided_24ch(dropout: float = 0.0) -> nn.Sequential:
    """Return the strided_pool net with one layer less and more feature maps in the middle."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        conv(16, 24, pool=True),
        *drop(dropout),
        conv(24, 16, padding=0),
        head(16),
    )
