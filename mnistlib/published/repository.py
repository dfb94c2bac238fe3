"""The published models by name, read from models.yaml and registered as steps, and their claims beside seeds of the same recipes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import TypeAdapter

from mnistlib import steps
from mnistlib.errors import SettingError, between, nearest, validated
from mnistlib.published.training import PublishedRecipe
from mnistlib.report.result import Result

NETS = "mnistlib.published.nets"
NOTEBOOK = "published"
N_TEST = 10_000  # test images
BY_VALIDATION = "002-model-3-by-validation"  # the ablation that is cross-validated by writer, too
N_FOLDS = 5
Accuracy = Annotated[float, between(0, 1)]  # a fraction of the test images


class AmbiguityError(SettingError):
    """A name fits several published models."""


@validated
class Claim:
    """What an author reported of one run."""

    where: str = "not stated"  # the machine
    best: Accuracy | None = None  # at the best epoch, chosen on the test set
    final: Accuracy | None = None  # at the last epoch
    at_least: bool = False  # whether the author says "at least"
    train: Accuracy | None = None  # best running accuracy on the training images, augmentation and dropout on
    curve: tuple[int, ...] = ()  # correct test images after each epoch, where a whole log was published

    def __post_init__(self) -> None:
        if self.best is None and self.final is None:
            raise SettingError("A claim needs an accuracy: best, final or both.")
        if self.best is not None and self.final is not None and self.best < self.final:
            raise SettingError(f"Claim.best is {self.best}; it must be at least the accuracy of the last epoch, {self.final}.")

    @property
    def headline(self) -> float:
        """Return the figure that the author puts first: the best epoch, else the last."""
        return self.best if self.best is not None else float(self.final or 0)


@validated
class PublishedModel:
    """A published model, or an ablation of one."""

    name: str  # "003-model-3"
    title: str  # "Model 3"
    repository: str  # "owner/name" on GitHub
    recipe: PublishedRecipe
    n_parameters: int
    claims: tuple[Claim, ...] = ()  # the author's headline first
    published_parameters: int | None = None  # where the published number is wrong
    corrected: bool = False  # whether the author corrected it later
    n_seeds: int = 3
    notes: tuple[str, ...] = ()  # sentences that its page shows
    author_names: tuple[str, ...] = ()  # of the class in the author's code
    inferred: bool = False  # whether settings or layers that the author did not publish are taken from elsewhere
    before: str | None = None  # the model that an ablation changes

    @property
    def long_title(self) -> str:
        """Return the title with the name of the repository."""
        return f"{self.title} of {self.repository.partition('/')[2]}"

    @property
    def claim(self) -> Claim | None:
        """Return the author's headline claim, None for an ablation."""
        return self.claims[0] if self.claims else None

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds that it is trained with, fixed beforehand."""
        return tuple(range(self.n_seeds))

    def step(self) -> steps.Step:
        """Return the model as a step without a place in the series."""
        claims = [asdict(claim) | {"curve": [n / N_TEST for n in claim.curve]} for claim in self.claims]
        parameters = self.n_parameters if self.corrected else self.published_parameters or self.n_parameters
        claimed = {"repository": self.repository, "title": self.title, "parameters": parameters, "claims": claims}
        return steps.Step(self.name, self.title, self.recipe, self.before, self.seeds, notebook=NOTEBOOK, claim=claimed if claims else None)


@dataclass(frozen=True)
class Replication:
    """A published model beside seeds of the same recipe; accuracies are fractions of the test images."""

    model: PublishedModel
    result: Result

    @property
    def bests(self) -> list[float]:
        """Return each seed's best epoch, chosen on the test set."""
        return [max(run.history.eval_accuracy) for run in self.result.runs]

    @property
    def finals(self) -> list[float]:
        """Return each seed's last epoch."""
        return [run.final for run in self.result.runs]

    @property
    def luckiest(self) -> int:
        """Return the place of the seed with the best epoch of all, the first where several have it."""
        return int(np.argmax(self.bests))

    @property
    def mean(self) -> float:
        """Return the mean of the seeds' last epochs."""
        return self.result.summary.final_mean


def comparable(model: PublishedModel, result: Result) -> bool:
    """Say whether a result is a full run of a model's present recipe, evaluated on the test images."""
    return result.headline and result.recipe == model.recipe


def _published_model(value: dict[str, Any]) -> PublishedModel:
    recipe = {"schedule": None} | value["recipe"]
    recipe["model"] = f"{NETS}:{recipe['model']}"
    return TypeAdapter(PublishedModel).validate_json(json.dumps(value | {"recipe": recipe}))


def _read_models() -> tuple[dict[str, PublishedModel], dict[str, PublishedModel]]:
    table = yaml.safe_load((Path(__file__).parent / "models.yaml").read_text(encoding="utf-8"))
    models, ablations = {}, {}
    for repository in table["repositories"]:
        for model in repository["models"]:
            models[model["name"]] = {"repository": repository["name"]} | model | {"recipe": repository["recipe"] | model["recipe"]}
    for ablation in table["ablations"]:
        of = ablation.pop("of")
        base = {key: models[of][key] for key in ("repository", "n_parameters")} | {"name": f"{of}-{ablation.pop('change')}", "before": of}
        ablations[base["name"]] = base | ablation | {"recipe": models[of]["recipe"] | ablation["recipe"]}
    return tuple({name: _published_model(value) for name, value in part.items()} for part in (models, ablations))


MODELS, ABLATIONS = _read_models()
for _model in (*MODELS.values(), *ABLATIONS.values()):
    steps.register(_model.step())


def get(name: str) -> PublishedModel:
    """Return a model or an ablation by its name or by the name in its author's code; raise SettingError for any other.

    AmbiguityError, a SettingError, lists the models where several repositories use the same name.
    """
    if not isinstance(name, str):
        raise SettingError(f"model is {name!r}; it must be the name of a published model, such as {next(iter(MODELS))!r}.")
    known, wanted = MODELS | ABLATIONS, _spelling(name)
    same = [model.name for model in known.values() if wanted in (model.name, f"{model.name[:3]}-{_spelling(model.title)}")]
    same = same or [model.name for model in MODELS.values() if name in model.author_names]
    same = same or [model.name for model in MODELS.values() if wanted in map(_spelling, (model.title, *model.author_names))]
    if len(same) == 1:
        return known[same[0]]
    if same:
        raise AmbiguityError(f"Several published models are called {name!r}: {', '.join(same)}. Name one of them.")
    raise SettingError(
        f"There is no published model {name!r}.{nearest(wanted, known)} "
        f"The models are {', '.join(MODELS)}; the ablations are {', '.join(ABLATIONS)}."
    )


def _spelling(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-").replace("/", "-")
