"""Trains a submission in the sandbox, several seeds side by side; its code never sees the labels of the images it is evaluated on."""

import contextlib
import dataclasses
import io
import json
import math
import pkgutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from coursework import sandbox, source
from coursework.recipes import STAND_IN
from coursework.sandbox import Limits
from coursework.source import Source
from mnistlib import files, formatting, recipe_dict
from mnistlib.data import ImageSet, Mnist
from mnistlib.errors import SettingError, TrainingError, between, validated
from mnistlib.logs import log
from mnistlib.notebook.params import check_names
from mnistlib.recipe import Recipe
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.runs import Run, cache, device, provenance
from mnistlib.runs.seeds import cache_dir
from mnistlib.stats import comparison
from mnistlib.steps import Step
from mnistlib.train import DIVERGED, History, accuracy

LOOK = 0.5  # seconds between two looks for what a worker has left
PATIENCE, START = 4, 600  # seconds to wait for each second of processor time, and for a busy machine to begin


@validated
class Options:
    """How a submission is trained, beside what every notebook lets one choose."""

    anyway: bool = False  # also where it breaks a rule
    own_recipe: bool = True  # with RECIPE of its file, if it has one; else with the recipe of the series alone
    seconds: Annotated[int, between(1, 1_000_000)] = 3600  # processor time that a seed may take
    memory: Annotated[float, Field(gt=0, le=1024)] = 4.0  # GB that it may take

    @property
    def limits(self) -> Limits:
        """Return the limits of one process, which may take longer where other work holds the processor up."""
        longest = max(PATIENCE * self.seconds, self.seconds + START)
        return Limits(seconds=longest, cpu_seconds=self.seconds, memory=int(self.memory * 2**30))


def options(given: Mapping[str, Any] | None) -> Options:
    """Return the options that a notebook was given, None for none; raise SettingError for one that does not exist or is not allowed."""
    check_names(given or {}, [field.name for field in dataclasses.fields(Options)])
    try:
        return Options(**(given or {}))
    except SettingError as error:
        raise SettingError(str(error).removeprefix("Options.")) from None


def train_submission(
    spec: str,
    recipe: Recipe,
    mnist: Mnist,
    seeds: Sequence[int],
    workers: int | None = None,
    results_dir: Path | None = None,
    limits: Limits | None = None,
) -> list[Run]:
    """Return one run per seed of the net that `spec` names, trained as the recipe says, the recipe's own net apart.

    `workers` seeds train side by side (None: one per core), each in a sandbox of its own with the `limits`. Finished runs are kept in
    `results_dir`/runs until code, recipe or images change. The names of the protections that were in force are in each run's provenance.
    Raises SettingError where there is no such code, and TrainingError with the reason of the first seed that fails.
    """
    early = getattr(recipe, "early_stopping", None)
    if early is not None and early.monitor == "eval":
        raise SettingError("A recipe with early stopping on the evaluation images needs their labels, which a submission must not see.")
    folder, code, data = cache_dir(results_dir), source.find(spec), images_hash(mnist)
    about = [code.sha256, spec.rpartition(":")[2], recipe_dict.digest(recipe), mnist.split, mnist.train_limit, data, cache.ENGINE]
    keys = {seed: files.sha256(files.canonical([*about, seed]))[:24] for seed in seeds}
    missing = [seed for seed, key in keys.items() if cache.load_run(cache.run_path(folder, key), key) is None]
    workers, stop = min(workers or device.n_cores(), len(missing)), threading.Event()
    with tempfile.TemporaryDirectory() as inputs, ThreadPoolExecutor(max(workers, 1)) as pool:
        if missing:
            for name, there in sandbox.protections().items():
                if not there:
                    log.info(f"Not in force on this machine: {sandbox.PROTECTIONS[name]}")
            write_inputs(Path(inputs), recipe, mnist)

        def one(seed: int) -> None:
            started = time.time()
            run, outcome = train_seed(code, recipe, mnist, seed, Path(inputs), limits or Limits(), stop)
            facts = {**provenance.collect(started, outcome.seconds, "cpu", workers), "protections": list(outcome.protections)}
            cache.save_run(cache.run_path(folder, keys[seed]), replace(run, key=keys[seed], provenance=facts))

        try:
            for done in as_completed([pool.submit(one, seed) for seed in missing]):
                done.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [cache.load_run(cache.run_path(folder, key), key) for key in map(keys.get, seeds)]


def result(step: Step, recipe: Recipe, mnist: Mnist, runs: Sequence[Run], n_parameters: int, n_macs: int, receptive_field: int) -> Result:
    """Make the result of a submission's runs, the step's name and title being its own; the net is not built here, so its size is given."""
    facts = provenance.combine([run.provenance for run in runs], sum(sum(run.history.seconds) for run in runs))
    made = results.make(step, replace(recipe, model=STAND_IN), mnist, runs, facts)
    return replace(
        made,
        model=step.recipe.model,
        recipe=replace(recipe, model=step.recipe.model),
        n_parameters=n_parameters,
        n_macs=n_macs,
        receptive_field=receptive_field,
        verdict=made.verdict and comparison.verdict(n_parameters, recipe.epochs, made.summary),
    )


def images_hash(mnist: Mnist) -> str:
    """Return the sha256 of all images and labels."""
    tensors = [value for part in (mnist.train, mnist.eval) for value in (part.images, part.labels)]
    return files.sha256(files.canonical([files.sha256(value.numpy().tobytes()) for value in tensors]))


def write_inputs(folder: Path, recipe: Recipe, mnist: Mnist) -> None:
    """Write what every seed's training needs: the training images with their labels, and the evaluation images alone."""
    train = {name: np.asarray(value) for name, value in vars(mnist.train).items()}
    np.savez(folder / "images.npz", **train, eval_images=mnist.eval.images.numpy())
    task = {"recipe": recipe_dict.to_dict(recipe), "split": mnist.split, "train_limit": mnist.train_limit}
    (folder / "task.json").write_text(json.dumps(task))
    folder.chmod(0o755)  # the sandbox may have another user
    for path in folder.iterdir():
        path.chmod(0o644)


def train_seed(
    code: Source, recipe: Recipe, mnist: Mnist, seed: int, inputs: Path, limits: Limits, stop: threading.Event | None = None
) -> tuple[Run, sandbox.Outcome]:
    """Train one seed in a sandbox; raise TrainingError with the reason where it fails."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        with progress(scratch, recipe, mnist, seed):
            outcome = sandbox.run_module("coursework.worker", code, [str(inputs), str(seed)], scratch, [inputs], limits, stop)
        if outcome.reason:
            raise TrainingError(f"Seed {seed} failed. {outcome.reason}")
        try:
            return read_run(scratch, recipe, mnist, seed, limits.file_bytes), outcome
        except ValueError as error:
            raise TrainingError(f"Seed {seed} failed. {error}") from None


@contextlib.contextmanager
def progress(scratch: Path, recipe: Recipe, mnist: Mnist, seed: int) -> Iterator[None]:
    """Log the accuracy after each epoch as soon as the worker has left its logits."""
    ended, began = threading.Event(), time.monotonic()

    def watch() -> None:
        epoch = last = 0
        while not last:
            last = ended.wait(LOOK)
            while epoch < recipe.epochs:
                try:
                    found = read_logits(scratch / f"epoch{epoch + 1}.npy", len(mnist.eval.labels), "so far")
                except ValueError:  # not written, or not wholly
                    break
                epoch += 1
                reached = formatting.percent(accuracy(measure(found, mnist.eval)[1], mnist.eval))
                spent = formatting.seconds(time.monotonic() - began)
                log.info(f"seed {seed}  epoch {epoch:2d}/{recipe.epochs}  accuracy {reached} eval  {spent}")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def read_run(scratch: Path, recipe: Recipe, mnist: Mnist, seed: int, limit: int) -> Run:
    """Return the run that a worker's files describe, accuracy and loss computed here; raise ValueError where they cannot be trusted."""
    history, kept_epoch = read_history(scratch, recipe, limit)
    part = pkgutil.resolve_name(recipe.trainer)(replace(recipe, model=STAND_IN), seed).training_images(mnist)
    for epoch, loss in enumerate(history.train_loss, 1):
        found = read_logits(scratch / f"epoch{epoch}.npy", len(mnist.eval.labels), f"after epoch {epoch}")
        eval_loss, predictions, _ = measure(found, mnist.eval)
        if not math.isfinite(loss + eval_loss):
            raise ValueError(DIVERGED.format(seed, epoch, recipe.optimizer.lr))
        history.eval_loss.append(eval_loss)
        history.eval_accuracy.append(accuracy(predictions, mnist.eval))
    _, predictions, confidences = measure(read_logits(scratch / "eval.npy", len(mnist.eval.labels), "at the end"), mnist.eval)
    clean = accuracy(measure(read_logits(scratch / "train.npy", len(part.labels), "of the training images"), part)[1], part)
    return Run(seed, history, len(part.labels), clean, kept_epoch, read_weights(scratch, limit), predictions, confidences)


def read_history(scratch: Path, recipe: Recipe, limit: int) -> tuple[History, int | None]:
    """Return what a worker measured in training, and the epoch whose weights it kept."""
    content = _content(scratch / "history.json", limit)
    try:
        about = json.loads(content)
        kept_epoch, values = about["kept_epoch"], about["history"]
        history = History(**{name: [float(one) for one in values[name]] for name in vars(History())})
        history = replace(history, eval_loss=[], eval_accuracy=[])
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError):
        raise ValueError("The file history.json is not the worker's.") from None
    lengths = {len(getattr(history, name)) for name in ("train_loss", "train_accuracy", "learning_rate", "seconds")}
    n = lengths.pop()
    if lengths or not 1 <= n <= recipe.epochs or not (kept_epoch is None or (type(kept_epoch) is int and 1 <= kept_epoch <= n)):
        raise ValueError("The file history.json is not the worker's.")
    if not all(math.isfinite(one) for values in vars(history).values() for one in values) or min(history.seconds) < 0:
        raise ValueError("The file history.json holds a number that is not finite.")
    return history, kept_epoch


def read_logits(path: Path, n: int, which: str) -> Tensor:
    """Return logits, float32 [n, 10]; raise ValueError where they have another shape or type, or are not finite."""
    content = _content(path, 400 * n + 1000, f"The logits {which} are far more than {n:,} rows of 10.")
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, OverflowError, SyntaxError):
        raise ValueError(f"The logits {which} cannot be read.") from None
    if not isinstance(found, np.ndarray) or found.shape != (n, 10):
        raise ValueError(f"The logits {which} have the shape {getattr(found, 'shape', None)}; it must be {(n, 10)}.")
    if found.dtype != np.float32:
        raise ValueError(f"The logits {which} are {found.dtype}; they must be float32.")
    if not np.isfinite(found).all():
        raise ValueError(f"The logits {which} are not all finite.")
    return torch.from_numpy(found)


def read_weights(scratch: Path, limit: int) -> dict[str, Tensor]:
    """Return the weights at the end, all finite."""
    try:
        weights = safetensors.load(_content(scratch / "weights.safetensors", limit))
    except SafetensorError:
        raise ValueError("The weights cannot be read.") from None
    wrong = next((name for name, value in weights.items() if not bool(torch.isfinite(value).all())), None)
    if wrong is not None:
        raise ValueError(f"The weights {wrong[:80]!r} are not all finite.")
    return weights


def measure(found: Tensor, part: ImageSet) -> tuple[float, np.ndarray, np.ndarray]:
    """Return what `mnistlib.train.evaluate` does, of logits."""
    confidences, digits = found.softmax(1).max(1)
    return F.cross_entropy(found, part.labels).item(), digits.to(torch.uint8).numpy(), confidences.numpy()


def _content(path: Path, limit: int, too_large: str = "") -> bytes:
    content = sandbox.read(path, limit)
    if content is None:
        raise ValueError(too_large if too_large and path.is_file() else "It ended before the training was done.")
    return content
