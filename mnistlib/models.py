"""The nets of the series and the few parts they are made of: the layer list is the model."""

import pkgutil
from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from mnistlib.errors import SettingError, nearest


class GlobalAverage(nn.Module):
    """Keep the mean of each feature map: [n, c, h, w] to [n, c]."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the mean over height and width."""
        return maps.mean((2, 3))


def conv(n_in: int, n_out: int, kernel: int = 3, padding: int = 1, stride: int = 1, pool: bool = False, norm: bool = True) -> nn.Sequential:
    """Return convolution, then 2x2 max pooling and batch normalization where asked, then ReLU.

    Without batch normalization the convolution has a bias. Pooling comes early, so that normalization and ReLU have fewer values to read.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=not norm))
    if pool:
        layers["pool"] = nn.MaxPool2d(2)
    if norm:
        layers["norm"] = nn.BatchNorm2d(n_out)
    return nn.Sequential(layers | {"relu": nn.ReLU(inplace=True)})


def drop(probability: float) -> list[nn.Module]:
    """Return dropout of whole feature maps as a list to unpack into a net; nothing at probability zero."""
    return [nn.Dropout2d(probability)] if probability else []


def head(n_in: int, pool: nn.Module | None = None) -> nn.Sequential:
    """Return global pooling (None: the average) and the linear layer that turns `n_in` values into ten logits."""
    return nn.Sequential(OrderedDict(pool=pool or GlobalAverage(), linear=nn.Linear(n_in, 10)))


def softmax(dropout: float = 0.0) -> nn.Sequential:
    """Return softmax regression, a linear layer on the pixels: what the budget buys without convolutions."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def skeleton(dropout: float = 0.0, maps: tuple[int, int, int] = (8, 12, 16), norm: bool = False) -> nn.Sequential:
    """Return the plainest net: convolution, ReLU and pooling, then a linear layer on the last map."""
    a, b, c = maps
    return nn.Sequential(
        conv(1, a, pool=True, norm=norm),
        *drop(dropout),
        conv(a, b, padding=0, pool=True, norm=norm),
        conv(b, c, padding=0, norm=norm),
        head(16 * c, nn.Flatten()),
    )


def weighted(dropout: float = 0.0, pool: nn.Module | None = None, norm: bool = True) -> nn.Sequential:
    """Return a net that pools early; its head learns a weight for each place of the last maps, or uses the pooling given."""
    return nn.Sequential(
        conv(1, 8, 5, padding=0, pool=True, norm=norm),
        *drop(dropout),
        conv(8, 12, padding=0, norm=norm),
        conv(12, 16, padding=0, norm=norm),
        conv(16, 16, padding=0, norm=norm),
        conv(16, 16, padding=0, norm=norm),
        head(16, pool or nn.Sequential(nn.Conv2d(16, 16, 4, groups=16, bias=False), nn.Flatten())),
    )


def narrow(dropout: float = 0.0, norm: bool = True) -> nn.Sequential:
    """Return the same net with the average of each of the last maps."""
    return weighted(dropout, GlobalAverage(), norm)


NETS = {net.__name__: net for net in (softmax, skeleton, weighted, narrow)}
NETS["weighted_plain"] = partial(weighted, norm=False)


def build(name: str, dropout: float = 0.0) -> nn.Module:
    """Return a net of the series by its name, or any other by its import path, such as "my_nets:MyNet"; raise SettingError for neither."""
    try:
        return (pkgutil.resolve_name(name) if ":" in name else NETS[name])(dropout).train()  # which nothing but a net has
    except (KeyError, ImportError, AttributeError, TypeError, ValueError) as error:
        reason = f" ({error})" if ":" in name else nearest(name, NETS)
        hint = f"The nets are {', '.join(NETS)}; others are named 'package.module:name' and take the dropout."
        raise SettingError(f"There is no net {name!r}.{reason} {hint}") from error


def init_weights(net: nn.Module, seed: int) -> nn.Module:
    """Draw a net's first weights from `seed` alone, leaving the global random state as it was, and return the net."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return net
