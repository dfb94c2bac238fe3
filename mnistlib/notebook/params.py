"""The parameters of a notebook, checked before anything is trained."""

import ast
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mnistlib import files, models, recipe_dict
from mnistlib.errors import SettingError, between, nearest, validated
from mnistlib.logs import to_stdout
from mnistlib.recipe import Recipe
from mnistlib.runs import device

MAX_SEED = 2**32 - 1  # the largest that every source of randomness takes


@validated
class Params:
    """The checked parameters of a notebook."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # one training run each
    epochs: Annotated[int | None, between(1, 100)] = None  # None: the recipe's
    overrides: dict[str, Any] | None = None  # fields of the recipe with other values
    train_limit: Annotated[int | None, between(1, 60_000)] = None  # training images; None: all
    split: Literal["test", "validation"] = "test"
    results_dir: Path = Path("build")  # absolute once read
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Annotated[int | None, Field(ge=1, le=1024)] = None  # processes that train side by side; None: one per core
    use_cached: bool = False

    def recipe(self, own: Recipe) -> Recipe:
        """Return a step's recipe with the overrides and epochs that were set; raise SettingError for a bad field or an unknown net."""
        changed = recipe_dict.with_overrides(own, self.overrides or {})
        models.build(changed.model, changed.dropout)
        return replace(changed, epochs=self.epochs or changed.epochs)


def read(namespace: Mapping[str, Any], write: bool = True) -> Params:
    """Return a notebook's parameters, checked, and send the log to standard output; call it as `params.read(globals())`.

    Raises SettingError for a value that is not allowed, for a parameter that papermill was given and the notebook does not have, and,
    with `write`, for a results folder that cannot be written.
    """
    to_stdout()
    _check_injected(namespace.get("In", ()))
    given = {field.name: namespace[field.name] for field in fields(Params) if field.name in namespace}
    seeds, results_dir = given.get("seeds", Params.seeds), given.get("results_dir", Params.results_dir)
    whole = isinstance(seeds, list | tuple) and all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        rule = f"a list of one or more different whole numbers from 0 to {MAX_SEED:,}, such as [0, 1]"
        raise SettingError(f"seeds is {seeds!r}; it must be {rule}.")
    if not isinstance(results_dir, str | os.PathLike) or not str(results_dir).strip():
        raise SettingError(f"results_dir is {results_dir!r}; it must be a folder's path.")
    try:
        params = Params(**given | {"seeds": tuple(seeds), "results_dir": files.resolve(results_dir)})
    except SettingError as error:
        raise SettingError(str(error).removeprefix("Params.")) from None
    if write:
        device.choose(params.device)
        files.writable(params.results_dir)
    return params


def check_names(given: Iterable[str], allowed: Sequence[str]) -> None:
    """Raise SettingError for the first name that is not among a notebook's parameters."""
    for name in given:
        if name not in allowed:
            raise SettingError(f"There is no parameter {name!r}.{nearest(name, allowed)} The parameters are {', '.join(allowed)}.")


def assigned(source: str) -> dict[str, Any]:
    """Return the plain names that a cell assigns at its top level, in order, with their values; None for what is no literal."""
    values: dict[str, Any] = {}
    for statement in _statements(source):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    values[target.id] = _literal(statement.value)
    return values


def _literal(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        return None


def _check_injected(history: Sequence[str]) -> None:
    """Compare what papermill injected with the parameters cell before it, both from the kernel's history of cells.

    Papermill itself only warns of a misspelt parameter and then runs with the defaults.
    """
    injected = None
    for source in reversed(history):
        names = list(assigned(source))
        if injected is not None and any(field.name in names for field in fields(Params)):
            check_names(injected, names)
            return
        plain = all(isinstance(statement, ast.Assign) for statement in _statements(source))  # as papermill writes, and users seldom
        if injected is None and source.startswith("# Parameters\n") and plain:
            injected = [name for name in names if not name.startswith("PAPERMILL_")]


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []
