"""One training step of ours, as it is and with one of its economies undone: a process that prints milliseconds and its share of the
machine's matrix-product rate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnistlib import augment, descent, steps, train
from mnistlib.models import parts, series
from mnistlib.recipe import Recipe
from mnistlib.runs import device
from mnistlib.selection import nets

SIDE = 1024  # rows and columns of the matrices that show what the machine can do
IMAGES = 4_096


def activation_first(recipe: Recipe) -> nn.Sequential:
    """Return the recipe's net with pooling after normalization and ReLU, as most public ones have it."""

    def conv(n_in: int, n_out: int, kernel: int = 3, padding: int | None = None, stride: int = 1, pool: bool = False) -> nn.Sequential:
        block = plain(n_in, n_out, kernel, padding, stride)
        return nn.Sequential(block, nn.MaxPool2d(2)) if pool else block

    plain = parts.conv
    try:
        series.conv = nets.conv = conv
        return train.fresh(recipe, 0)
    finally:
        series.conv = nets.conv = plain


def slow_places() -> None:
    """Take every coordinate of a warp from torch's own `affine_grid`."""

    def warp(images: Tensor, warps: augment.Warps) -> Tensor:
        grid = F.affine_grid(warps.matrices, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)

    augment.warp = warp


VARIANTS = {
    "as it is": "",
    "pooling after the activation": "one economy undone",
    "warp coordinates from affine_grid": "one economy undone",
    "channels first": "one economy undone",
    "optimizer not fused": "one economy undone",
    "memory handed back": "one economy undone",
    "dropout of single values": "what public recipes add",
    "bfloat16": "tried, not used",
    "torch.compile": "tried, not used",
}


def main() -> None:
    """Time the variant that the command line names and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=steps.STEPS)
    parser.add_argument("--variant", choices=VARIANTS, default="as it is")
    parser.add_argument("--model")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=5, help="of steps and matrix products in turn")
    given = parser.parse_args()
    recipe = steps.get(given.step).recipe
    recipe = replace(recipe, batch_size=given.batch or recipe.batch_size, model=given.model or recipe.model)
    if given.variant == "memory handed back":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    else:
        device.tune()
    if given.variant == "warp coordinates from affine_grid":
        slow_places()
    net = activation_first(recipe) if given.variant == "pooling after the activation" else train.fresh(recipe, 0)
    net = net.to(memory_format=torch.contiguous_format if given.variant == "channels first" else torch.channels_last)
    if given.variant == "dropout of single values":
        net = nn.Sequential(*(nn.Sequential(part, nn.Dropout(0.01)) if place < len(net) - 1 else part for place, part in enumerate(net)))
    print(json.dumps(measure(net, recipe, given.variant, given.rounds)), flush=True)


def measure(net: nn.Module, recipe: Recipe, variant: str, rounds: int) -> dict[str, float]:
    """Return the milliseconds of a step by part, the operations in it, and the machine's rate, all measured in turns."""
    optimizer = descent.optimizer_of(net.parameters(), recipe)
    if variant == "optimizer not fused":
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=False, fused=False)
    images, labels = torch.randint(0, 256, (IMAGES, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (IMAGES,))
    run, compile_seconds = net.train(), 0.0
    if variant == "torch.compile":
        run, clock = torch.compile(net), time.perf_counter()
        F.cross_entropy(run(torch.randn(recipe.batch_size, 1, 28, 28)), labels[: recipe.batch_size]).backward()
        compile_seconds = time.perf_counter() - clock
    rates: list[float] = []
    taken: dict[str, list[float]] = {"prepare": [], "forward": [], "backward": [], "optimizer": [], "step": []}
    flops = 0
    for turn in range(1 + rounds):
        for batch, (pixels, targets) in timed(train.batches(images, labels, recipe, [0], turn), taken["prepare"]):
            if len(targets) < recipe.batch_size:
                continue
            clock = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=variant == "bfloat16"):
                logits = run(pixels)
            loss = F.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
            forward = time.perf_counter()
            optimizer.zero_grad()
            loss.backward()
            backward = time.perf_counter()
            optimizer.step()
            end = time.perf_counter()
            for name, seconds in (("forward", forward - clock), ("backward", backward - forward), ("optimizer", end - backward)):
                taken[name].append(seconds)
            taken["step"].append(end - clock + taken["prepare"][batch - len(taken["prepare"])])
        if turn == 0:
            for values in taken.values():
                values.clear()
            with FlopCounterMode(display=False) as counter:
                F.cross_entropy(net(pixels), targets).backward()
            flops = counter.get_total_flops() / len(targets)
        rates.append(rate())
    figures = {name: 1000 * statistics.median(values) for name, values in taken.items()}
    gflops = statistics.median(rates[1:])
    share = flops * recipe.batch_size / (figures["step"] / 1000) / (gflops * 1e9)
    return {**figures, "compile": compile_seconds, "mflop_an_image": flops / 1e6, "rate": gflops, "share": share}


def timed(batches: Iterable[Any], seconds: list[float]) -> Iterator[tuple[int, Any]]:
    """Yield what an iterator does, with its place, and note how long each took to come."""
    clock = time.perf_counter()
    for place, value in enumerate(batches):
        seconds.append(time.perf_counter() - clock)
        yield place, value
        clock = time.perf_counter()


def rate(repeats: int = 8) -> float:
    """Return the machine's matrix-product rate in GFLOP/s, in as many threads as torch has here."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    seconds = []
    for _ in range(repeats):
        clock = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - clock)
    return 2 * SIDE**3 / statistics.median(seconds) / 1e9


if __name__ == "__main__":
    main()
