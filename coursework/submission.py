"""A net somebody wrote, found in a Python file, a notebook or a module, without running the code that trains it.

Of a file or notebook, these statements at the top level are executed, in order, and no others: imports, classes, functions, a docstring,
assignments of constants to names (also of what `partial`, `torch.device` or a layer of `nn` returns), an assignment to `RECIPE`, and `if`
or `try` around nothing but these. A statement that fails is left out. Lines for the shell and magics of a notebook are left out, too.
A dotted name such as "package.module:Net" is imported as Python imports it. A notebook that `mnistlib new-step` made holds no class but a
`step`, whose recipe names the net.
"""

import ast
import importlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from coursework.source import FORMS, SubmissionError, split
from mnistlib import models
from mnistlib.errors import nearest
from mnistlib.steps import Step

STEP = "step"  # what a notebook of the series calls its step
DROPOUT_ARGUMENTS = ("dropout", "dropout_value", "dropout_rate", "dropout_p", "dropout_prob", "drop_rate", "drop", "p_dropout", "p")
SAFE_CALLS = {"partial", "functools.partial", "torch.device", "torch.cuda.is_available", "namedtuple", "OrderedDict", "Path"}
SAFE_CALLS |= {"steps.Step", "steps.get", "replace"}
SAFE_CALLS |= {"dict", "list", "tuple", "set", "range", "int", "float", "len", "min", "max", "sum", "abs", "round"}
DEFINITIONS = ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Submission:
    """A net's class, or the function that builds it, and where it is written."""

    factory: Callable[[float | None], nn.Module]  # takes the dropout (None: the author's); a net without such an argument keeps its own
    name: str  # of the class or function
    file: Path
    module: ModuleType  # what was executed
    line: int | None = None  # where it is defined
    recipe: Any = None  # the value of RECIPE, where the file has one
    recipe_line: int | None = None  # where it is assigned, whether or not that failed
    cells: tuple[tuple[int, int], ...] = ()  # of a notebook: a code cell's number, counted from 1, and its first line in the joined source
    skipped: tuple[int, ...] = ()  # lines of the statements at the top level that were not executed
    failed: tuple[str, ...] = ()  # a sentence for each statement that failed

    def place(self, line: int) -> tuple[int | None, int]:
        """Return the notebook's cell and the line in it, or None and the line of the file; all are counted from 1."""
        cell, first = next(((cell, first) for cell, first in reversed(self.cells) if first <= line), (None, 1))
        return cell, line - first + 1


@dataclass
class _Source:
    file: Path
    statements: list[ast.stmt]
    cells: tuple[tuple[int, int], ...] = ()
    failed: list[str] = field(default_factory=list)


def load(spec: str) -> Submission:
    """Return the net that "my_net.py:Net", "my_net.py", "my.ipynb:Net", "my.ipynb" or "package.module:Net" names.

    Without a name it is the one class in the file that is a `nn.Module` and no part or base of another; where several are, they are
    built and run, and it is the one that takes MNIST's images. The file's folder comes first on `sys.path`. Raises SubmissionError where
    there is no such file or class, or more than one.
    """
    place, name = split(spec)
    path = Path(place).expanduser()
    if path.suffix in FORMS:
        if not path.is_file():
            raise SubmissionError(f"There is no file {place}.")
        source = _read(path.resolve())
        module, skipped = _execute(source)
    else:
        module, skipped = _import(place), ()
        source = _read(Path(module.__file__).resolve()) if str(module.__file__).endswith(".py") else _Source(Path(place), [])
    step = getattr(module, STEP, None)
    step = step if isinstance(step, Step) and not _nets(module) and name in ("", STEP) else None
    name = name or (STEP if step else _only_net(module, source, place))
    recipe = getattr(module, "RECIPE", step.recipe if step else None)
    line = next((one.lineno for one in reversed(source.statements) if getattr(one, "name", None) == name), None)
    recipe_line = next((one.lineno for one in reversed(source.statements) if (STEP if step else "RECIPE") in _assigned(one)), None)
    factory = _net_of(step) if step else _factory(module, name, source, place)
    return Submission(factory, name, source.file, module, line, recipe, recipe_line, source.cells, skipped, tuple(source.failed))


def _net_of(step: Step) -> Callable[[float | None], nn.Module]:
    """Return the function that builds the net of a step for a dropout."""
    return lambda dropout=None: models.build(step.recipe.model, step.recipe.dropout if dropout is None else dropout)


def _import(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (ImportError, TypeError, ValueError) as error:
        hint = f" {name} is a path: does it lack .py or .ipynb?" if "/" in name else ""
        raise SubmissionError(f"There is no module {name!r} ({error}).{hint}") from error
    finally:
        sys.path.pop(0)


def _read(path: Path) -> _Source:
    """Return the statements of a file, or of a notebook's code cells with the lines they have in the joined source."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            return _Source(path, ast.parse(text).body)
    except SyntaxError as error:
        raise SubmissionError(f"{path.name} is not valid Python: line {error.lineno}: {error.msg}.") from error
    except ValueError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error}.") from error
    source, lines, cells = _Source(path, []), [], []
    for number, code in _code_cells(path, text):
        cells.append((number, len(lines) + 1))
        try:
            statements = ast.parse(code).body
        except SyntaxError as error:
            source.failed.append(f"Cell {number} is not valid Python: line {error.lineno}: {error.msg}.")
            statements = []
        for statement in statements:
            ast.increment_lineno(statement, len(lines))
        source.statements += statements
        lines += [line + "\n" for line in code.splitlines()]
    source.cells = tuple(cells)
    linecache.cache[str(path)] = (len(text), None, lines, str(path))  # tracebacks and `inspect` show these lines
    return source


def _code_cells(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield a notebook's code cells as Python; magics become calls, which are not executed."""
    import nbformat
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        cells = nbformat.reads(text, as_version=4).cells
    except Exception as error:  # nbformat has errors of several kinds
        raise SubmissionError(f"{path.name} is not a notebook.") from error
    for number, cell in enumerate(cells, 1):
        code = cell.source
        if cell.cell_type != "code":
            continue
        if code.lstrip().startswith("%%"):
            magic, _, body = code.lstrip().partition("\n")
            code = "\n" + body if magic.split()[0] in ("%%time", "%%timeit", "%%capture", "%%prun") else ""
        blank = next((place for place, line in enumerate(code.splitlines()) if line.strip()), 0)  # IPython drops these lines
        try:
            yield number, "\n" * blank + TransformerManager().transform_cell(code)
        except SyntaxError:
            yield number, code


def _execute(source: _Source) -> tuple[ModuleType, tuple[int, ...]]:
    """Execute the statements that import, define or name constants; return the module they make and the lines of all others."""
    module = ModuleType(f"submission_{source.file.stem}")
    module.__file__ = str(source.file)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(source.file.parent))
    skipped = []
    for statement in _one_by_one(source.statements):
        if not _defines(statement):
            skipped.append(statement.lineno)
            continue
        try:
            exec(compile(ast.Module([statement], []), str(source.file), "exec"), vars(module))
        except Exception as error:
            source.failed.append(f"Line {statement.lineno} failed: {type(error).__name__}: {error}.")
    return module, tuple(skipped)


def _one_by_one(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, one for each module of an `import`, so that a missing one does not hide the next."""
    for statement in statements:
        names = statement.names if isinstance(statement, ast.Import) else []
        yield from [ast.copy_location(ast.Import([name]), statement) for name in names] or [statement]


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.If | ast.Try):
        inner = [one for handler in getattr(node, "handlers", []) for one in handler.body] + getattr(node, "finalbody", [])
        return all(map(_defines, node.body + node.orelse + inner)) and _is_constant(getattr(node, "test", None))
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
        if not all(isinstance(name, ast.Name) for name in names):
            return False
        return any(name.id == "RECIPE" for name in names) or _is_constant(node.value)
    return isinstance(node, DEFINITIONS | ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _assigned(statement: ast.stmt) -> list[str]:
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_constant(node: ast.AST | None) -> bool:
    """Say whether an expression calls nothing but what is known to be quick."""
    if node is None or isinstance(node, ast.Lambda):
        return True
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called not in SAFE_CALLS and not called.startswith(("nn.", "torch.nn.")):
            return False
    return all(map(_is_constant, ast.iter_child_nodes(node)))


def _nets(module: ModuleType) -> dict[str, type[nn.Module]]:
    """Return the classes of nets that a module defines itself."""
    own = {name: value for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    return {name: value for name, value in own.items() if value.__module__ == module.__name__ and value.__name__ == name}


def _only_net(module: ModuleType, source: _Source, place: str) -> str:
    nets = _nets(module)
    used = {
        node.id
        for statement in source.statements
        if isinstance(statement, ast.ClassDef) and statement.name in nets
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id != statement.name
    }
    whole = [name for name in nets if name not in used]
    found = whole if len(whole) == 1 else [name for name in whole if _takes_mnist(module, name, source, place)]
    if len(found) == 1:
        return found[0]
    if not nets:
        raise SubmissionError(
            " ".join([f"{place} defines no class that is a nn.Module; write the net as one, or as a function and name it.", *source.failed])
        )
    names = found or whole or list(nets)
    raise SubmissionError(f"{place} holds several nets: {', '.join(names)}. Name one: {place}:{names[0]}")


def _takes_mnist(module: ModuleType, name: str, source: _Source, place: str) -> bool:
    try:
        with torch.no_grad():
            return _factory(module, name, source, place)(None).eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    except Exception:
        return False


def _factory(module: ModuleType, name: str, source: _Source, place: str) -> Callable[[float | None], nn.Module]:
    """Return the function that builds a net for a dropout."""
    made = getattr(module, name, None)
    if made is None:
        names = list(_nets(module))
        nets = f" Its nets are {', '.join(names)}." if names else ""
        raise SubmissionError(" ".join([f"There is no class {name!r} in {place}.{nearest(name, names)}{nets}", *source.failed]))
    if not callable(made) or isinstance(made, nn.Module) or (isinstance(made, type) and not issubclass(made, nn.Module)):
        raise SubmissionError(f"{name} in {place} is no net; name a class that is a nn.Module, or a function that returns one.")
    arguments = inspect.signature(made).parameters
    dropout = next((argument for argument in DROPOUT_ARGUMENTS if argument in arguments), None)
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [one.name for one in arguments.values() if one.default is one.empty and one.kind not in kinds and one.name != dropout]
    if needed:
        raise SubmissionError(f"{name} in {place} needs the argument {needed[0]!r}; give it a default.")

    def build(value: float | None = None) -> nn.Module:
        if dropout and value is None and arguments[dropout].default is inspect.Parameter.empty:
            value = 0.0
        net = made(**{dropout: value}) if dropout and value is not None else made()
        if not isinstance(net, nn.Module):
            raise SubmissionError(f"{name} in {place} returns a {type(net).__name__}, not a nn.Module.")
        return net

    return build
