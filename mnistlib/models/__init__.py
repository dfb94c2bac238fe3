"""The nets by name; a net is a short function that returns an `nn.Sequential`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mnistlib.errors import SettingError, nearest
from mnistlib.models import series
from mnistlib.published import nets as published_nets
from mnistlib.selection import nets

OURS: dict[str, Callable[[float], nn.Sequential]] = {
    net.__name__: net
    for net in (
        *(series.skeleton, series.average, series.brisk),
        *(nets.early, nets.deep, nets.twice, nets.late),
        *(nets.strided, nets.lean, nets.broad),
    )
}
NETS = OURS | published_nets.NETS | published_nets.VARIANTS


def build(name: str, dropout: float = 0.0) -> nn.Sequential:
    """Return the net called `name` with first weights yet to be drawn; an unknown name raises SettingError."""
    if name not in NETS:
        raise SettingError(f"There is no net {name!r}; the nets are {', '.join(NETS)}.{nearest(name, NETS)}")
    return NETS[name](dropout)
