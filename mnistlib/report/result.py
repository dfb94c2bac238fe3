"""A step's result: made from its runs, saved with checkpoints and predictions, read back, found again for comparison."""

import dataclasses
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter, ValidationError
from torch import Tensor, nn

from mnistlib import files, formatting, models, recipe_dict, steps
from mnistlib.data import Mnist
from mnistlib.errors import MnistlibError, ResultError
from mnistlib.recipe import Recipe
from mnistlib.report import model_summary
from mnistlib.runs import Run, cache
from mnistlib.stats import comparison
from mnistlib.stats.comparison import Claim, Difference, Verdict
from mnistlib.stats.misclassified import wrong
from mnistlib.stats.summary import Summary, summarise

SCHEMA = 3
LARGE = {"weights", "predictions", "confidences", "provenance"}  # of a run, kept elsewhere than in the JSON


@dataclass(frozen=True)
class Result:
    """All that a page says about a step, as results/<step>.json holds it."""

    __pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    step: str
    title: str
    split: str  # "test", "validation" or "fold K of N"
    train_limit: int | None  # training images asked for; None: all
    n_train: int
    n_eval: int
    model: str
    n_parameters: int
    n_macs: int
    receptive_field: int
    epochs: int
    recipe: Annotated[Recipe, PlainValidator(recipe_dict.from_dict), PlainSerializer(recipe_dict.to_dict)]
    claim: dict[str, Any] | None  # what the authors of a published net report
    runs: tuple[Run, ...]
    summary: Summary
    difference: Difference | None  # from the step before
    since_first: Difference | None  # from the first step, where that is another
    verdict: Verdict | None  # None for a run on a part of the training images
    claims: tuple[Claim, ...]
    provenance: dict[str, Any]
    keys: dict[str, Any]  # what it was made from: "notebook", "recipe", "data"
    predictions: str  # sha256 of what predictions/<step>.npz holds

    @property
    def seeds(self) -> list[int]:
        """Return the seeds in their order."""
        return [run.seed for run in self.runs]

    @property
    def headline(self) -> bool:
        """Say whether this is a full run, evaluated on the test images."""
        return self.split == "test" and self.train_limit is None

    @property
    def gaps(self) -> list[float]:
        """Return each seed's accuracy on the clean training images minus that on the evaluation images."""
        return [run.train_accuracy_clean - run.final for run in self.runs]

    @property
    def train_errors(self) -> list[float]:
        """Return each seed's share of errors on the clean training images."""
        return [1 - run.train_accuracy_clean for run in self.runs]

    @property
    def seconds(self) -> list[float]:
        """Return the seconds that each seed took, evaluation included."""
        return [sum(run.history.seconds) for run in self.runs]


@dataclass(frozen=True)
class Earlier:
    """The result of an earlier step that can be compared, with the digits that its seeds predict, uint8 [n_seeds, n_images]."""

    result: Result
    predictions: np.ndarray

    def first_seeds(self, n: int) -> "Earlier":
        """Return the first seeds alone."""
        losses, errors = self.result.summary.losses[:n], self.result.summary.calibration_errors[:n]
        summary = dataclasses.replace(self.result.summary, losses=losses, calibration_errors=errors)
        return Earlier(dataclasses.replace(self.result, runs=self.result.runs[:n], summary=summary), self.predictions[:n])


RESULT = TypeAdapter(Result)
STORED = {field.name for field in dataclasses.fields(Run)} - LARGE


def make(
    step: steps.Step,
    recipe: Recipe,
    mnist: Mnist,
    runs: Sequence[Run],
    provenance: dict[str, Any],
    before: Earlier | None = None,
    first: Earlier | None = None,
) -> Result:
    """Make the result of a step from its runs, compared with the step before and with the first."""
    if not runs or len({run.seed for run in runs}) < len(runs):
        raise ResultError(f"A result needs at least one seed and each seed once; these are {[run.seed for run in runs]}.")
    errors = wrong([run.predictions for run in runs], mnist.eval.labels)
    writers, groups = mnist.eval.writers, mnist.eval.groups
    stored = predicted(runs)
    curves, losses = ([getattr(run.history, name)[: run.kept_epoch] for run in runs] for name in ("eval_accuracy", "eval_loss"))
    summary = summarise(curves, errors, writers, groups, stored["confidences"], [curve[-1] for curve in losses])
    differences = [
        each and comparison.difference(errors, wrong(each.predictions, mnist.eval.labels), writers, groups, each.result.step)
        for each in (before, first)
    ]
    about = model_summary.of(models.build(recipe.model, recipe.dropout))
    return Result(
        step=step.name,
        title=step.title,
        split=mnist.split,
        train_limit=mnist.train_limit,
        n_train=runs[0].n_train,
        n_eval=len(mnist.eval.labels),
        model=recipe.model,
        n_parameters=about.n_parameters,
        n_macs=about.n_macs,
        receptive_field=about.receptive_field,
        epochs=recipe.epochs,
        recipe=recipe,
        claim=step.claim,
        runs=tuple(
            dataclasses.replace(
                run, checkpoint=f"checkpoints/{step.name}-seed{run.seed}.safetensors", sha256=files.sha256(cache.pack(run.weights))
            )
            for run in runs
        ),
        summary=summary,
        difference=differences[0],
        since_first=differences[1],
        verdict=comparison.verdict(about.n_parameters, recipe.epochs, summary) if mnist.train_limit is None else None,
        claims=(),
        provenance=provenance,
        keys={"notebook": files.notebook_hash(step.notebook or step.name), "recipe": recipe_dict.digest(recipe), "data": mnist.sha256},
        predictions=digest(stored),
    )


def predicted(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """Return what the runs predict as it is stored: digits uint8 and their probabilities float16, [n_seeds, n_images]."""
    confidences = np.stack([run.confidences for run in runs]).astype(np.float16)
    return {"predictions": np.stack([run.predictions for run in runs]), "confidences": confidences}


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return the sha256 of stored predictions: of the arrays, not of their file, which another zlib packs in other bytes."""
    return files.sha256(arrays["predictions"].tobytes() + arrays["confidences"].tobytes())


def to_json(result: Result) -> dict[str, Any]:
    """Return the JSON value of a result, its own sha256 last."""
    return files.signed({"schema": SCHEMA, **RESULT.dump_python(result, mode="json", exclude={"runs": {"__all__": LARGE}})})


def from_json(value: dict[str, Any]) -> Result:
    """Return the result that `to_json` turned into `value`; another value raises an error of pydantic's, Python's or the library's."""
    result = RESULT.validate_python({name: entry for name, entry in value.items() if name not in ("schema", "sha256")})
    for run, stored in zip(result.runs, value["runs"], strict=True):
        lengths = {len(values) for name, values in vars(run.history).items() if name != "monitor_accuracy"}
        if stored.keys() != STORED or len(lengths) != 1 or not 1 <= (run.kept_epoch or 1) <= min(lengths):
            raise ValueError(f"values of seed {run.seed} are missing, not known, or do not fit together")
    if not result.runs or result.summary.n_seeds != len(result.runs):
        raise ValueError("its summary is not that of its runs")
    return result


def save(result: Result, folder: Path) -> Path:
    """Write a result with the checkpoints and predictions of its runs under `folder`, all or none, and return the path of its JSON.

    Checkpoints of this step that the result does not name are removed.
    """
    path = files.writable(folder) / "results" / f"{result.step}.json"
    contents: dict[Path, bytes | str] = {folder / run.checkpoint: cache.pack(run.weights) for run in result.runs}
    if digest(_stored(result, folder)) != result.predictions:
        body = io.BytesIO()
        by_image = {name: np.asfortranarray(each) for name, each in predicted(result.runs).items()}  # seeds agree, so this packs tighter
        np.savez_compressed(body, **by_image)
        contents[folder / "predictions" / f"{result.step}.npz"] = body.getvalue()
    files.write_together(contents | {path: files.to_text(to_json(result))})
    for other in set((folder / "checkpoints").glob(f"{result.step}-seed*.safetensors")) - contents.keys():
        other.unlink()
    return path


def publish(step: str, source: Path, target: Path) -> None:
    """Copy a step's result with its checkpoints and predictions from one results folder into another, all or none."""
    result = read(source / "results" / f"{step}.json")
    save(dataclasses.replace(result, runs=tuple(read_runs(result, source))), target)


def read(path: Path) -> Result:
    """Read a result, or raise ResultError where the file is missing, of another schema, or was changed since it was written."""
    value = files.read_signed(path)
    name = f"{path.parent.name}/{path.name}"
    if value.get("schema") != SCHEMA:
        raise ResultError(f"{name} has schema {value.get('schema')!r}; this version reads schema {SCHEMA}. Run the step's notebook again.")
    try:
        return from_json(value)
    except (KeyError, TypeError, AttributeError, ValueError, ValidationError, MnistlibError) as error:
        reason = str(error).splitlines()[0]
        raise ResultError(f"{name} does not fit schema {SCHEMA} ({reason}). Run the step's notebook again.") from None


def read_predictions(result: Result, place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits that each seed predicts, uint8 [n_seeds, n_images], and their probabilities; `place` holds results/."""
    arrays = _stored(result, place)
    if digest(arrays) != result.predictions:
        name = f"predictions/{result.step}.npz"
        raise ResultError(f"{name} is missing, or not what its result was made with; restore it, or train the step again.")
    return arrays["predictions"], arrays["confidences"].astype(np.float32)


def _stored(result: Result, place: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(place / "predictions" / f"{result.step}.npz") as arrays:
            return {name: arrays[name] for name in ("predictions", "confidences")}
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile):
        return dict.fromkeys(("predictions", "confidences"), np.zeros(0))


def read_runs(result: Result, place: Path) -> list[Run]:
    """Return the runs of a stored result with their weights and predictions, every file checked."""
    digits, confidences = read_predictions(result, place)
    return [
        dataclasses.replace(
            run,
            weights=cache.read_checkpoint(place / run.checkpoint, run.sha256),
            predictions=digits[k],
            confidences=confidences[k],
            provenance=result.provenance,
        )
        for k, run in enumerate(result.runs)
    ]


def of_checkpoint(path: Path) -> tuple[Result, Run, dict[str, Tensor]]:
    """Return the result and the run that a checkpoint file belongs to, and its checked weights."""
    place, name = path.parent.parent, f"checkpoints/{path.name}"
    if not path.stem.rpartition("-seed")[0]:
        raise ResultError(f"{path.name} is no checkpoint of a step; theirs are named STEP-seedN.safetensors.")
    result = read(place / "results" / f"{path.stem.rpartition('-seed')[0]}.json")
    for run in result.runs:
        if run.checkpoint == name:
            return result, run, cache.read_checkpoint(place / run.checkpoint, run.sha256)
    raise ResultError(f"The result of {result.step} names no checkpoint {path.name}.")


def load_model(recipe: Recipe, weights: dict[str, Tensor]) -> nn.Module:
    """Return a recipe's net with a checkpoint's weights; raise ResultError where they do not fit the net as it is now."""
    net = models.build(recipe.model, recipe.dropout)
    try:
        net.load_state_dict(weights)
    except RuntimeError:
        raise ResultError(
            f"The checkpoint does not fit the net {recipe.model!r}, which has been changed since; train it again, or restore the net."
        ) from None
    return net


def conditions(result: Result) -> dict[str, Any]:
    """Return what another result must share to be compared with this one."""
    return {"split": result.split, "epochs": result.epochs, "train_limit": result.train_limit}


def check_comparable(wanted: dict[str, Any], data: str, before: Result) -> None:
    """Raise ResultError where an earlier result is not under the conditions `wanted`, or other images were held out of other `data`."""
    words = [
        f"{name} {formatting.number(has)} instead of {formatting.number(wanted[name])}"
        for name, has in conditions(before).items()
        if has != wanted[name]
    ]
    if not words and before.split != "test" and before.keys["data"] != data:
        words = ["other validation images"]
    if words:
        raise ResultError(f"There is no comparison with {before.step}: its result has {' and '.join(words)}.")


def find(step: str | None, wanted: dict[str, Any], data: str, results_dir: Path) -> tuple[Earlier | None, str]:
    """Look for a comparable result in a results folder, then among the committed reports.

    Return it, or None and the sentence that says why there is none.
    """
    if step is None:
        return None, "This is the first step; there is none before it to compare with."
    sentences, reports = [], files.root() / "reports"
    for place in (results_dir, reports, reports / "published"):
        path = place / "results" / f"{step}.json"
        if not path.exists():
            continue
        try:
            result = read(path)
            digits, _ = read_predictions(result, place)
            check_comparable(wanted, data, result)
            return Earlier(result, digits), ""
        except ResultError as error:
            sentences.append(str(error))
    none = f"There is no result of {step} to compare with; train it with the same parameters first."
    return None, " ".join(dict.fromkeys(sentences)) or none
