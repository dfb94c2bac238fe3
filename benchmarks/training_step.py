"""One training step of this series, as it is or with one change; the process prints milliseconds and the efficiency.

The efficiency is the rate of the step's convolutions and linear layers divided by the machine's rate for a large matrix product.
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

from mnistlib import augment, models, steps, train
from mnistlib.recipe import Recipe
from mnistlib.runs import device

SIDE = 1024  # rows and columns of the matrices whose product gives the machine's rate
IMAGES = 4_096


def activation_first(recipe: Recipe) -> nn.Sequential:
    """Return a net of the series with pooling after normalization and ReLU, as most public ones have it."""

    def conv(*shape: int, pool: bool = False, **more: Any) -> nn.Sequential:
        block = plain(*shape, **more)
        return nn.Sequential(block, nn.MaxPool2d(2)) if pool else block

    plain = models.conv
    try:
        models.conv = conv
        return train.new_model(recipe, 0)
    finally:
        models.conv = plain


def use_affine_grid() -> None:
    """Replace the sampling grid of the warp by that of `F.affine_grid`."""

    def warp(images: Tensor, grid: augment.SamplingGrid) -> Tensor:
        places = F.affine_grid(grid.matrices, list(images.shape), align_corners=False)
        return F.grid_sample(images, places, align_corners=False)

    augment.warp = warp


VARIANTS = {
    "as it is": "",
    "pooling after the activation": "one optimisation removed",
    "warp with affine_grid": "one optimisation removed",
    "channels first": "one optimisation removed",
    "optimizer not fused": "one optimisation removed",
    "memory returned to the system": "one optimisation removed",
    "element-wise dropout": "added by public recipes",
    "bfloat16": "tried, not used",
    "torch.compile": "tried, not used",
}


NETS = (
    "skeleton",
    "narrow",
    *(f"selection.nets:{name}" for name in ("strided_pool", "strided", "strided_8ch")),
)  # timed beside the step's own


def main() -> None:
    """Time the variant that the command line names and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=steps.STEPS)
    parser.add_argument("--variant", choices=VARIANTS, default="as it is")
    parser.add_argument("--model")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--rounds", type=int, default=5, help="of steps and matrix products in turns")
    given = parser.parse_args()
    recipe = steps.get(given.step).recipe
    recipe = replace(recipe, batch_size=given.batch_size or recipe.batch_size, model=given.model or recipe.model)
    if given.variant == "memory returned to the system":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    else:
        device.tune()
    if given.variant == "warp with affine_grid":
        use_affine_grid()
    net = activation_first(recipe) if given.variant == "pooling after the activation" else train.new_model(recipe, 0)
    net = net.to(memory_format=torch.contiguous_format if given.variant == "channels first" else torch.channels_last)
    if given.variant == "element-wise dropout":
        net = nn.Sequential(*(nn.Sequential(part, nn.Dropout(0.01)) if place < len(net) - 1 else part for place, part in enumerate(net)))
    print(json.dumps(measure(net, recipe, given.variant, given.rounds)), flush=True)


def measure(net: nn.Module, recipe: Recipe, variant: str, rounds: int) -> dict[str, float]:
    """Return the milliseconds of a step by part, its efficiency, and the machine's rate, measured in turns."""
    optimizer = train.make_optimizer(net.parameters(), recipe)
    if variant == "optimizer not fused":
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=False, fused=False)
    images, labels = torch.randint(0, 256, (IMAGES, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (IMAGES,))
    trainer, run, compile_seconds = train.Trainer(recipe, 0), net.train(), 0.0
    if variant == "torch.compile":
        run, clock = torch.compile(net), time.perf_counter()
        F.cross_entropy(run(torch.randn(recipe.batch_size, 1, 28, 28)), labels[: recipe.batch_size]).backward()
        compile_seconds = time.perf_counter() - clock
    rates: list[float] = []
    taken: dict[str, list[float]] = {"prepare": [], "forward": [], "backward": [], "optimizer": [], "step": []}
    flops = 0
    for turn in range(1 + rounds):
        for batch, (pixels, targets) in timed(trainer.batches(images, labels), taken["prepare"]):
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
    efficiency = flops * recipe.batch_size / (figures["step"] / 1000) / (gflops * 1e9)
    return {**figures, "compile": compile_seconds, "mflop_per_image": flops / 1e6, "gflops": gflops, "efficiency": efficiency}


def timed(batches: Iterable[Any], seconds: list[float]) -> Iterator[tuple[int, Any]]:
    """Yield the items of an iterator with their place, and append the seconds that each took."""
    clock = time.perf_counter()
    for place, value in enumerate(batches):
        seconds.append(time.perf_counter() - clock)
        yield place, value
        clock = time.perf_counter()


def rate(repeats: int = 8) -> float:
    """Return the machine's matrix-product rate in GFLOP/s, with the threads that torch has."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    seconds = []
    for _ in range(repeats):
        clock = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - clock)
    return 2 * SIDE**3 / statistics.median(seconds) / 1e9


if __name__ == "__main__":
    main()
