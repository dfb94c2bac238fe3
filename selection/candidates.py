"""What each step considered, read from candidates.yaml: candidates of one field each, or the rounds of a longer search."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mnistlib import formatting, models, recipe_dict, steps
from mnistlib.errors import MnistlibError, SettingError
from mnistlib.recipe import MAX_EPOCHS, MAX_PARAMETERS, Recipe
from mnistlib.report import model_summary


@dataclass(frozen=True)
class Candidate:
    """One idea for a step: fields of the recipe before it, their new values, and why they might help."""

    name: str
    idea: str
    change: dict[str, Any] = field(default_factory=dict)  # one field of Recipe; empty for the baseline, the recipe as it is
    under: dict[str, Any] = field(default_factory=dict)  # fields that later steps bring, where candidates are compared with them


@dataclass(frozen=True)
class Arm:
    """A candidate with its recipe, or with the reason why it is not trained."""

    candidate: Candidate
    recipe: Recipe | None
    failed: str = ""
    levels: tuple[int, ...] = ()  # in a factorial plan: 0 or 1 for each factor


@dataclass(frozen=True)
class Round:
    """A part of a longer search: its candidates, or two levels each of some factors, or what the round before kept."""

    name: str
    question: str
    candidates: tuple[Candidate, ...] = ()
    factors: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # a field of the recipe, nested ones with a dot, and its two values
    epochs: int | None = None  # instead of the recipe's, to tell early which candidates are far behind
    fork: int | None = None  # the epoch after which the candidates part; until then all train as the recipe says
    seeds: tuple[int, ...] = ()  # two or more, of the folds in rotation; empty: the first of each
    keep: int = 1  # candidates that go on to the next round, those with the highest mean; of endings none does
    at_least: float | None = None  # the mean that is enough: of those that reach it, the candidates that take the least time are kept
    last_fold: bool = False  # evaluate on the fold that chooses nothing
    decides: bool = True  # else its first candidate is the recipe that was found, and the others say what each part of it is worth


@dataclass(frozen=True)
class Search:
    """A search in rounds, each of which starts from what the round before it kept."""

    base: Recipe
    limit: int  # parameters; a net has fewer
    rounds: tuple[Round, ...]


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CANDIDATES = {step: [Candidate(**entry) for entry in entries] for step, entries in _TABLE["steps"].items()}


def search(entry: dict[str, Any]) -> Search:
    """Return a search as candidates.yaml describes it."""
    rounds = [
        Round(**one | {"candidates": tuple(Candidate(**each) for each in one.get("candidates", ())), "seeds": tuple(one.get("seeds", ()))})
        for one in entry["rounds"]
    ]
    return Search(recipe_dict.from_dict(entry["base"]), entry.get("limit", MAX_PARAMETERS), tuple(rounds))


SEARCHES = {step: search(entry) for step, entry in _TABLE["searches"].items()}


def recipe(step: steps.Step, candidate: Candidate) -> Recipe:
    """Return a candidate's recipe: that of the step before (for the first step its own) with one field replaced."""
    before = step.recipe if step.before is None else steps.get(step.before).recipe
    return recipe_dict.from_dict(recipe_dict.to_dict(before) | candidate.change | candidate.under)


def arms(part: Round, base: Recipe, kept: Sequence[Arm], limit: int) -> list[Arm]:
    """Return the arms of a round; one that cannot be built or breaks a limit says so and is not trained."""
    if part.factors:
        plan = design(len(part.factors))
        changes = [{name: values[level] for (name, values), level in zip(part.factors.items(), row, strict=True)} for row in plan]
        considered = [Candidate(*_names(part.factors, row), change) for row, change in zip(plan, changes, strict=True)]
        made = [replace(_arm(each, base, part, limit), levels=row) for each, row in zip(considered, plan, strict=True)]
    else:
        made = [_arm(candidate, base, part, limit) for candidate in part.candidates] or list(kept)
    return [replace(arm, recipe=arm.recipe and replace(arm.recipe, epochs=part.epochs or arm.recipe.epochs)) for arm in made]


def _names(factors: Iterable[str], row: Sequence[int]) -> tuple[str, str]:
    """Return what textbooks call an arm of a factorial plan, the letters of the factors at their second value, and what that means."""
    second = [(letter, name) for letter, name, level in zip("abcdefgh", factors, row, strict=False) if level]
    idea = f"The second value of {', '.join(name for _, name in second)}." if second else "The first value of every factor."
    return "".join(letter for letter, _ in second) or "(1)", idea


def _arm(candidate: Candidate, base: Recipe, part: Round, limit: int) -> Arm:
    try:
        made = recipe_dict.with_overrides(base, candidate.change)
        n = model_summary.of(models.build(made.model, made.dropout)).n_parameters
    except MnistlibError as error:
        return Arm(candidate, None, str(error))
    failed = f"{formatting.count(n)} parameters; fewer than {formatting.count(limit)} are allowed." if n >= limit else ""
    if (part.epochs or made.epochs) > MAX_EPOCHS:
        failed = f"{part.epochs or made.epochs} epochs; at most {MAX_EPOCHS} are allowed."
    same = replace(base, **{name: getattr(made, name) for name in ENDINGS}) == made and made.optimizer.name == base.optimizer.name
    if part.fork and not same:
        failed = f"An ending can change {', '.join(ENDINGS)}, and nothing else; the kind of optimizer stays."
    if part.fork and not 0 < part.fork < made.epochs:
        failed = f"The endings part after epoch {part.fork}; it must be one from 1 to {made.epochs - 1}."
    return Arm(candidate, made, failed)


ENDINGS = ("optimizer", "schedule", "augment", "label_smoothing", "batch_size")  # what can change in the middle of a run


def design(n_factors: int) -> list[tuple[int, ...]]:
    """Return a plan of at most 16 arms at two levels in which no factor's effect is mixed with another's or with that of a pair.

    Each factor is the parity of an odd number of base factors (resolution IV; Box, Hunter and Hunter, Statistics for Experimenters).
    """
    if not 1 <= n_factors <= 8:
        raise SettingError(f"A factorial round has 1 to 8 factors, not {n_factors}.")
    n_arms = next(n for n in (2, 4, 8, 16) if n >= 2 * n_factors)
    masks = [mask for mask in range(n_arms) if mask.bit_count() % 2]
    return [tuple((arm & mask).bit_count() % 2 for mask in masks[:n_factors]) for arm in range(n_arms)]
