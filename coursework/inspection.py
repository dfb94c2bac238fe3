"""What is known of a net before it is trained: what `check` finds, and RECIPE in its file; coursework.check finds both in the sandbox.

Nothing here imports torch before a recipe is made, so that `mnistlib check` imports it in the sandbox alone.
"""

import math
import os
import re
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from coursework import sandbox, source
from coursework.report import ANSWER, EMPTY
from coursework.sandbox import Limits
from coursework.source import Source
from mnistlib import files
from mnistlib.errors import MnistlibError, SettingError, validated

if TYPE_CHECKING:
    from mnistlib.recipe import Recipe

CHECKS = "checks"  # in a results folder: what was found, so that it is not looked for again
START = 120  # seconds that importing torch may take, at most
LIMITS = Limits(seconds=300, cpu_seconds=120)
LONGEST = 1 << 20  # bytes of an answer
UNTRAINABLE = frozenset({"fails", "output-shape", "non-finite"})  # rules; a net that breaks one of these cannot be trained


class UnfinishedError(MnistlibError):
    """A net's code took too long or too much memory, or ended the process."""

    code = 1  # what the command exits with


class RuleError(MnistlibError):
    """A net breaks a rule of the exercise."""

    code = 1  # what the command exits with


@validated
class Finding:
    """A finding, as coursework/check.py describes it."""

    rule: str
    severity: Literal["rule", "accuracy", "style"]
    cell: int | None
    line: int | None
    what: str
    why: str
    fix: str


@validated
class Layer:
    """A row of the layer table."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int | None


@validated
class Place:
    """A line of a file, or of a notebook's cell."""

    cell: int | None
    line: int | None


@validated
class Answer:
    """What the sandbox leaves: a refusal, or what it found."""

    refused: str = ""
    file: str = ""
    name: str = ""  # of the class or function
    parameters: int | None = None
    multiply_adds: int | None = None
    receptive_field: int | None = None
    layers: tuple[Layer, ...] = ()
    findings: tuple[Finding, ...] = ()
    not_executed: tuple[Place, ...] = ()
    failed: tuple[str, ...] = ()  # sentences about statements that failed
    recipe: dict[str, Any] | None = None  # what RECIPE changes
    no_recipe: str = ""  # why RECIPE has no value


@dataclass(frozen=True)
class Inspected:
    """A net, and what is known of it without running it here."""

    spec: str  # as coursework.judge takes it
    file: str  # its name, without folders
    answer: Answer

    @property
    def title(self) -> str:
        """Return what names the net on a page: "my_net.py:Net"."""
        return f"{self.file}:{self.answer.name}"

    @property
    def key(self) -> str:
        """Return what names its files: "my_net-Net"."""
        return re.sub(r"[^A-Za-z0-9_]+", "_", self.file.removesuffix(".py").removesuffix(".ipynb")) + f"-{self.answer.name}"

    @property
    def broken(self) -> list[Finding]:
        """Return the findings that break a rule."""
        return [finding for finding in self.answer.findings if finding.severity == "rule"]

    def recipe(self, overrides: Mapping[str, Any] | None = None, epochs: int | None = None) -> "Recipe":
        """Return the recipe to train it with; raise SettingError for a field that does not exist or a value that is not allowed."""
        from coursework import recipes

        return recipes.changed(self.answer.recipe, overrides, epochs)

    def require_rules(self, anyway: bool = False) -> None:
        """Raise RuleError where a rule is broken, unless the net is to be trained anyway."""
        if self.broken and not anyway:
            rules = dict.fromkeys(finding.rule for finding in self.broken)
            more = "; --anyway trains it all the same" if UNTRAINABLE.isdisjoint(rules) else ""
            raise RuleError(f"{self.title} breaks a rule of the exercise ({', '.join(rules)}) and was not trained{more}.")


def read(
    model: str,
    text: str | None = None,
    results_dir: Path | None = None,
    own_recipe: bool = True,
    limits: Limits = LIMITS,
    stop: threading.Event | None = None,
) -> Inspected:
    """Inspect the net that `model` names; `text` is that of its file, which is then written below the results folder.

    What was found is kept in `results_dir`/checks until the code or the library changes. Without `own_recipe`, RECIPE counts for nothing.
    Raises SettingError where there is no such net or RECIPE is none, and UnfinishedError where the code does not end well.
    """
    spec = place(model, text, results_dir)
    code = source.find(spec)
    kept = files.resolve(results_dir) / CHECKS / f"{_key(code)}.json" if results_dir else None
    found = answer_of(kept.read_bytes()) if kept and kept.is_file() else _inspect(code, limits, stop)[0]
    if found.no_recipe and own_recipe:
        raise SettingError(printable(found.no_recipe))
    where = spec.rpartition(":")[0] or spec
    used = found if own_recipe else replace(found, recipe=None)
    one = Inspected(f"{where}:{found.name}", Path(where).name if code.folder is None else where, used)
    one.recipe()
    if kept:  # also under the name that was found, which the notebook is given
        for name in (code.spec, f"{code.spec.partition(':')[0]}:{found.name}"):
            files.write(kept.with_name(f"{_key(replace(code, spec=name))}.json"), TypeAdapter(Answer).dump_json(found))
    return one


def _key(code: Source) -> str:
    """Return what names a check: the code, the name of its net, and the modules that decide what is found."""
    modules = [*Path(__file__).parent.glob("*.py"), *sandbox.LIBRARY.rglob("*.py")]
    library = sorted([one.name, files.sha256(one)] for one in modules)
    return files.sha256(files.canonical([code.sha256, code.spec, library]))[:24]


def place(model: str, text: str | None = None, results_dir: Path | None = None) -> str:
    """Return the name of a net with the path that its file has on this machine.

    A relative path counts from the working directory, from that of the shell, which is not a notebook's, or from the repository's root.
    """
    where, colon, name = model.rpartition(":") if ":" in model else (model, "", "")
    path = Path(where).expanduser()
    if path.suffix not in (".py", ".ipynb"):
        if text is not None:
            raise SettingError(f"{model!r} names a module, whose text cannot be given; write my_net.py:Net.")
        sys.path += [folder for folder in (os.environ.get("PWD"),) if folder and folder not in sys.path]
        return model
    if text is not None:
        copy = files.resolve(results_dir or "build") / "sources" / files.sha256(text.encode())[:12] / path.name
        return f"{files.write(copy, text)}{colon}{name}"
    folders = [Path.cwd(), Path(os.environ.get("PWD", "")), files.root()]
    found = next((folder / path for folder in folders if (folder / path).is_file()), None)
    if found is None:
        elsewhere = " A notebook that runs elsewhere gets the file's text as `source`; mnistlib judge --parameters FILE writes it."
        raise SettingError(f"There is no file {where}.{elsewhere if results_dir else ''}")
    return f"{found.resolve()}{colon}{name}"


def parameters(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of the notebook that need no file beside them: the text of a net's file is among them."""
    spec = place(model)
    where, colon, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    path = Path(where)
    if path.suffix not in (".py", ".ipynb"):
        raise SettingError(f"{model!r} names a module, which cannot be sent along; write the net into one file, such as my_net.py:Net.")
    if others := [one.name for one in source.find(spec).paths[1:]]:
        raise SettingError(f"{path.name} imports {others[0]} from its folder, which cannot be sent along; write all into one file.")
    try:
        return {"model": f"{path.name}{colon}{name}", "source": path.read_text(encoding="utf-8"), **given}
    except ValueError as error:
        raise SettingError(f"{path.name} cannot be read: {error}.") from None


def printable(text: str) -> str:
    """Return a text from the sandbox without line ends and whatever else could steer a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def document(spec: str, fewer_than: int, required: Sequence[str], seconds: float, memory: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what `check` finds, as coursework/check.py describes it, and the protections that were in force.

    The code may take some seconds after torch is imported, which can take a while, and some bytes of memory in all. Raises SettingError
    where there is no such net, and UnfinishedError where the code does not end well.
    """
    code, limits = source.find(spec), Limits(START + seconds, math.ceil(START + seconds), memory)
    found, protections = _inspect(code, limits, None, [str(fewer_than), str(seconds), *required])
    known = _printable(TypeAdapter(Answer).dump_python(found, mode="json"))
    told = {name: known[name] for name in EMPTY if name in known} | {"submission": spec, "parameter_limit": fewer_than}
    told["file"] = known["file"] if code.folder else str(code.paths[0].resolve())
    return EMPTY | told | {"passes": not any(one.severity == "rule" for one in found.findings)}, protections


def _printable(value: Any) -> Any:
    """Return a value as JSON has it, every text in it printable."""
    if isinstance(value, dict):
        return {name: _printable(inner) for name, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else printable(value) if isinstance(value, str) else value


def _inspect(code: Source, limits: Limits, stop: threading.Event | None, asked: Sequence[str] = ()) -> tuple[Answer, tuple[str, ...]]:
    """Return the answer of the sandbox, and the protections that were in force."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        outcome = sandbox.run_module("coursework.check", code, asked, scratch, limits=limits, stop=stop)
        endless = re.search(r"more than \S+ s\b|more memory", outcome.reason)
        hint = " Does it loop, or train, while the net is built or run?" if endless else ""
        if outcome.reason:
            raise UnfinishedError(f"The net could not be checked. {outcome.reason}{hint}")
        content = sandbox.read(scratch / ANSWER, LONGEST)
    if content is None:
        raise UnfinishedError("The net could not be checked. The code ended its own process with the exit code 0, as os._exit(0) does.")
    found = answer_of(content)
    if found.refused:
        raise SettingError(printable(found.refused))
    if not found.name.isidentifier():
        raise UnfinishedError("The code did not let the check end.")
    return found, outcome.protections


def answer_of(content: bytes) -> Answer:
    """Return an answer, every value of the expected kind; raise UnfinishedError for anything else."""
    try:
        return TypeAdapter(Answer).validate_json(content)
    except (ValidationError, SettingError):
        raise UnfinishedError("The code did not let the check end.") from None
