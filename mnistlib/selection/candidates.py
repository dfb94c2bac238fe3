"""What each step considered, read from candidates.yaml: every candidate replaces one field of the recipe before it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mnistlib import recipe_dict, steps
from mnistlib.recipe import Recipe


@dataclass(frozen=True)
class Candidate:
    """One idea for a step: a field of the recipe before it, its new value, and why it might help."""

    name: str
    idea: str
    change: dict[str, Any] = field(default_factory=dict)  # one field of Recipe; empty for the baseline, the recipe as it is
    under: dict[str, Any] = field(default_factory=dict)  # fields that later steps bring, where candidates are compared with them


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CANDIDATES = {step: [Candidate(**entry) for entry in entries] for step, entries in _TABLE["steps"].items()}


def recipe(step: steps.Step, candidate: Candidate) -> Recipe:
    """Return a candidate's recipe: that of the step before (for the first step its own) with one field replaced."""
    before = step.recipe if step.before is None else steps.get(step.before).recipe
    return recipe_dict.from_dict(recipe_dict.to_dict(before) | candidate.change | candidate.under)
