"""What a net's forward computes: every call of torch's functions, whoever makes it, with its place in the source."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(eq=False)
class Operation:
    """One call of a function of torch that returned tensors."""

    name: str  # "conv2d", "relu": methods, functions and in-place variants have one name
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any  # a tensor, or a sequence of them
    producers: list["Operation"]  # of its arguments; the tensors that no operation made are `leaves`
    leaves: list[Tensor]
    line: int | None  # of the author's source, innermost
    module: str  # the innermost module whose forward was running; "" is the net
    consumers: list["Operation"] = field(default_factory=list)

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument given by place or by name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    @property
    def source(self) -> Any:
        """Return the first argument, the tensor that it works on."""
        return self.argument(0, "input")


class Trace(TorchFunctionMode):
    """Record the operations of a forward; `file` is the source whose lines are wanted."""

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.file = str(file)
        self.operations: list[Operation] = []
        self.running: list[str] = [""]
        self.called: set[str] = set()
        self._producers: dict[int, Operation] = {}
        self.images: Tensor | None = None
        self.output: Any = None

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call the function and record it."""
        name, kwargs = func.__name__.strip("_"), kwargs or {}
        output = self.call(name, func, args, kwargs)
        made = list(tensors(output))
        if made:
            self._record(name, args, kwargs, output, made)
        return output

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Return what a function returns; a subclass may replace it."""
        return func(*args, **kwargs)

    def _record(self, name: str, args: tuple, kwargs: dict, output: Any, made: list[Tensor]) -> Operation:
        given = list(tensors([args, list(kwargs.values())]))
        producers = list(dict.fromkeys(self._producers[id(one)] for one in given if id(one) in self._producers))
        leaves = [one for one in given if id(one) not in self._producers and one is not self.images]
        if any(one.grad_fn is not None for one in leaves) and self.operations:  # made where no function of torch is seen
            producers.append(self.operations[-1])
        leaves = [one for one in leaves if one.grad_fn is None]
        operation = Operation(name, args, kwargs, output, producers, leaves, line_of(self.file), self.running[-1])
        for producer in producers:
            producer.consumers.append(operation)
        self._producers |= {id(one): operation for one in made}
        self.operations.append(operation)
        return operation

    def run(self, net: nn.Module, images: Tensor) -> Any:
        """Run a net's forward and return its output."""
        self.images = images
        hooks = []
        for name, module in net.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: self._enter(name)))
            hooks.append(module.register_forward_hook(lambda *_: self._leave(), always_call=True))
        try:
            with self:
                self.output = net(images)
        finally:
            for hook in hooks:
                hook.remove()
        return self.output

    def _enter(self, name: str) -> None:
        self.running.append(name)
        self.called.add(name)

    def _leave(self) -> None:
        self.running.pop()

    @property
    def last(self) -> Operation | None:
        """Return the operation that made the output."""
        return self._producers.get(id(self.output))

    def path(self) -> list[Operation]:
        """Return the operations that the output rests on, in order."""
        found, new = set(), [self.last] if self.last else []
        while new:
            one = new.pop()
            if one not in found:
                found.add(one)
                new += one.producers
        return [one for one in self.operations if one in found]


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value, those in its lists and tuples included."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, str | torch.Size):
        for one in value:
            yield from tensors(one)


def line_of(file: str) -> int | None:
    """Return the line of a file that is being executed, the innermost where several are."""
    frame = sys._getframe(1)
    while frame and frame.f_code.co_filename != file:
        frame = frame.f_back
    return frame.f_lineno if frame else None


def is_map(value: Any) -> bool:
    """Say whether a value is maps of more than one pixel: [n, c, h, w]."""
    return isinstance(value, Tensor) and value.dim() == 4 and value.shape[2] * value.shape[3] > 1
