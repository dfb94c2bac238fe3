"""What is known of a net before it is trained: what `check` finds, and RECIPE in its file; both are found in the sandbox.

`python -P -m coursework.inspection SUBMISSION` runs there and leaves its answer in the working directory.
"""

import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from coursework import judge, recipes, sandbox
from coursework.child import UnfinishedError
from coursework.judge import Source
from coursework.sandbox import Limits
from mnistlib import files
from mnistlib.errors import MnistlibError, SettingError, validated
from mnistlib.recipe import Recipe

ANSWER = "answer.json"
CHECKS = "checks"  # in a results folder: what was found, so that it is not looked for again
LIMITS = Limits(seconds=300, cpu_seconds=120)
LONGEST = 1 << 20  # bytes of an answer


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
class Answer:
    """What the sandbox leaves: a refusal, or what it found."""

    refused: str = ""
    name: str = ""  # of the class or function
    parameters: int | None = None
    multiply_adds: int | None = None
    receptive_field: int | None = None
    layers: tuple[Layer, ...] = ()
    findings: tuple[Finding, ...] = ()
    failed: tuple[str, ...] = ()  # sentences about statements that failed
    recipe: dict[str, Any] | None = None  # what RECIPE changes


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

    def recipe(self, overrides: Mapping[str, Any] | None = None, epochs: int | None = None) -> Recipe:
        """Return the recipe to train it with; raise SettingError for a field that does not exist or a value that is not allowed."""
        return recipes.changed(self.answer.recipe, overrides, epochs)

    def require_rules(self, anyway: bool = False) -> None:
        """Raise RuleError where a rule is broken, unless the net is to be trained anyway."""
        if self.broken and not anyway:
            rules = ", ".join(dict.fromkeys(finding.rule for finding in self.broken))
            raise RuleError(f"{self.title} breaks a rule of the exercise ({rules}) and was not trained; --anyway trains it all the same.")


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
    code = judge.source(spec)
    kept = files.resolve(results_dir) / CHECKS / f"{_key(code)}.json" if results_dir else None
    found = answer_of(kept.read_bytes()) if kept and kept.is_file() else _inspect(code, limits, stop)
    if found.refused:
        raise SettingError(printable(found.refused))
    if not found.name.isidentifier():
        raise UnfinishedError("The code did not let the check end.")
    where = spec.rpartition(":")[0] or spec
    used = found if own_recipe else replace(found, recipe=None)
    one = Inspected(f"{where}:{found.name}", Path(where).name if code.folder is None else where, used)
    one.recipe()
    if kept:
        files.write(kept, TypeAdapter(Answer).dump_json(found))
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
    try:
        return {"model": f"{path.name}{colon}{name}", "source": path.read_text(encoding="utf-8"), **given}
    except ValueError as error:
        raise SettingError(f"{path.name} cannot be read: {error}.") from None


def printable(text: str) -> str:
    """Return a text from the sandbox without line ends and whatever else could steer a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _inspect(code: Source, limits: Limits, stop: threading.Event | None) -> Answer:
    """Return the answer of the sandbox."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        outcome = judge.run_module("coursework.inspection", code, [], scratch, limits=limits, stop=stop)
        if outcome.reason:
            raise UnfinishedError(f"The net could not be checked. {outcome.reason}")
        return answer_of(sandbox.read(scratch / ANSWER, LONGEST) or b"")


def answer_of(content: bytes) -> Answer:
    """Return an answer, every value of the expected kind; raise UnfinishedError for anything else."""
    try:
        return TypeAdapter(Answer).validate_json(content)
    except (ValidationError, SettingError):
        raise UnfinishedError("The code did not let the check end.") from None


def main(spec: str) -> None:
    """Leave what is found of a submission, or what went wrong, and end with an error then."""
    from coursework import check, submission, worker

    here = f"{Path.cwd()}/"
    try:
        document = check.report(spec)
        found = submission.load(spec)
        failed = [text for text in found.failed if text.startswith(f"Line {found.recipe_line} failed")]
        if found.recipe_line and (failed or found.recipe is None):
            cell, line = found.place(found.recipe_line)
            raise SettingError(" ".join([f"RECIPE in {f'cell {cell}, ' if cell else ''}line {line} has no value.", *failed]))
        fields = {name: document[name] for name in vars(Answer()) if name in document}
        answer = fields | {"recipe": None if found.recipe is None else recipes.plain(found.recipe)}
    except SettingError as error:
        answer = {"refused": str(error)}
    except BaseException as error:
        Path(sandbox.FAILURE).write_text(json.dumps(worker.failure(error)))
        sys.exit(1)
    Path(ANSWER).write_text(json.dumps(answer).replace(here, ""))


if __name__ == "__main__":
    main(sys.argv[1])
