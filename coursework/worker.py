"""Trains one seed of a submission within the sandbox and leaves logits, weights and history as files in the working directory.

`python -P -m coursework.worker SUBMISSION INPUTS SEED`; coursework.judge makes the inputs, among them the evaluation images without their
labels, and computes accuracy and loss from the logits.
"""

import gc
import json
import pkgutil
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from coursework import sandbox, submission
from mnistlib import models, recipe_dict
from mnistlib.data import ImageSet, Mnist
from mnistlib.recipe import Recipe
from mnistlib.runs import cache, device
from mnistlib.train import Trainer, logits

NAME = "submission"  # of the net, in the recipe


def main(spec: str, inputs: Path, seed: int) -> None:
    """Train, or leave what went wrong and end with an error."""
    gc.freeze()  # as in mnistlib.runs.seeds: so that the process ends at once
    try:
        device.tune()
        torch.manual_seed(seed)  # for weights that a net draws itself, which its modules cannot draw anew
        train(*read(inputs), spec, seed)
    except BaseException as error:
        sandbox.leave_failure(error)
        traceback.print_exc()
        sys.exit(1)


def read(inputs: Path) -> tuple[Recipe, Mnist]:
    """Return the recipe, and MNIST with labels of zero for the images to evaluate on."""
    about = json.loads((inputs / "task.json").read_text())
    with np.load(inputs / "images.npz") as arrays:
        images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
        train = ImageSet(images, labels, arrays["ids"], arrays["writers"], arrays["groups"])
        evaluated, n = torch.from_numpy(arrays["eval_images"]), len(arrays["eval_images"])
    unknown = np.zeros(n, dtype=np.int64)
    mnist = Mnist(about["split"], about["train_limit"], train, ImageSet(evaluated, torch.zeros(n, dtype=torch.int64), *[unknown] * 3))
    return recipe_dict.from_dict(about["recipe"]), mnist


def train(recipe: Recipe, mnist: Mnist, spec: str, seed: int) -> None:
    """Train as `mnistlib.runs.train` does, but keep the evaluation images' logits after each epoch."""
    found = submission.load(spec)
    models.NETS[NAME] = lambda dropout=0.0: found.factory(dropout or None)
    trainer: Trainer = pkgutil.resolve_name(recipe.trainer)(replace(recipe, model=NAME), seed)
    if not takes_channels_last(trainer.model):
        for net in (trainer.model, trainer.eval_model):
            net.to(memory_format=torch.contiguous_format)

    def after_epoch(trainer: Trainer) -> None:
        clock = time.perf_counter()
        keep(f"epoch{trainer.epochs_done}", logits(trainer.eval_model, mnist.eval))
        trainer.history.seconds[-1] += time.perf_counter() - clock

    trainer.fit(replace(mnist, eval=mnist.eval.subset(np.arange(1))), after_epoch)  # one image: all are evaluated after the epoch
    if trainer.kept_weights:
        trainer.eval_model.load_state_dict(trainer.kept_weights)
    keep("eval", logits(trainer.eval_model, mnist.eval))
    keep("train", logits(trainer.eval_model, trainer.training_images(mnist)))
    Path("weights.safetensors").write_bytes(cache.pack(trainer.eval_model.state_dict()))
    Path("history.json").write_text(json.dumps({"history": vars(trainer.history), "kept_epoch": trainer.kept_epoch}))


@torch.no_grad()
def takes_channels_last(net: nn.Module) -> bool:
    """Say whether a net runs in the memory layout in which nets train fastest; `x.view(-1, 400)` after a convolution refuses it."""
    try:
        net.eval()(torch.zeros(2, 1, 28, 28))
    except RuntimeError:
        return False
    return True


def keep(name: str, found: torch.Tensor) -> None:
    """Write logits for the parent."""
    np.save(f"{name}.npy", found.numpy(), allow_pickle=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
