"""What decides a net's arithmetic, as plain values for the key of a run."""

from typing import Any

from torch import nn

WITHOUT_EFFECT = ("training", "inplace")  # on what a layer computes


def signature(net: nn.Module) -> list[dict[str, Any]]:
    """Return every layer's name, class, hyper-parameters and weight shapes, containers left out, as JSON holds them."""
    entries = []
    first: dict[int, str] = {}
    for name, layer in net.named_modules(remove_duplicate=False):
        if type(layer) is nn.Sequential:
            continue
        settings = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(layer).items()
            if not key.startswith("_") and key not in WITHOUT_EFFECT and isinstance(value, bool | int | float | str | tuple | None)
        }
        weights = {key: list(value.shape) for key, value in layer.named_parameters(recurse=False)}
        entry = {"name": name, "class": type(layer).__name__, **settings, "weights": weights}
        if weights and first.setdefault(id(layer), name) != name:
            entry["same_as"] = first[id(layer)]  # shared weights train as one
        entries.append(entry)
    return entries
