"""The house rules that code can check: rows of imports, third parties, sizes, names, prose without digits."""

import ast
import re
import sys
from pathlib import Path

import nbformat
import pytest

from mnistlib import files

ROOT = files.root()
# A module imports only from rows above its own.
ROWS = [
    "errors checks files form hired provenance digits machine",
    "models.dropout models.parts models.series models.considered models.published models sources data folds augment schedules transforms",
    "recipe written canvas _leaves _waste anatomy",
    "steps settings state progress",
    "systems originals arms published peers",
    "descent steering train stacked",
    "trials predict",
    "intervals mistakes evidence",
    "checkpoints schema results looks candidates choices standing work",
    "outcome tables claimed estimates luck studies galleries plots showing findings report",
    "site run",
    "commands",
    "__main__",
]
THIRD = {  # which packages each module may use beyond numpy's and torch's tensors
    "recipe": set(),
    "steps": set(),
    "form": set(),
    "errors": set(),
    "files": set(),
    "machine": {"torch"},
    "models": {"torch"},
    "augment": {"torch"},
    "checks": set(),
    "schedules": set(),
    "transforms": {"torch"},
    "folds": {"numpy"},
    "written": set(),
    "systems": set(),
    "originals": set(),
    "arms": set(),
    "published": set(),
    "peers": set(),
    "claimed": set(),
    "standing": {"numpy"},
    "estimates": {"numpy"},
    "luck": {"numpy"},
    "studies": {"numpy"},
    "descent": {"torch"},
    "steering": {"numpy"},
    "train": {"torch", "numpy"},
    "stacked": {"torch"},
    "data": {"torch", "numpy"},
    "trials": {"torch"},
    "anatomy": {"torch"},
    "state": {"torch", "numpy", "safetensors"},
    "evidence": {"numpy"},
    "intervals": {"numpy", "scipy"},
    "plots": {"matplotlib", "numpy"},
    "galleries": {"matplotlib", "numpy"},
    "canvas": {"matplotlib", "PIL"},
    "findings": {"numpy"},
}
LEARNERS = ["recipe.py", "models/parts.py", "models/series.py", "data.py", "augment.py", "train.py"]


def modules() -> dict[str, Path]:
    """Return every module by its dotted name below mnistlib."""
    found = {}
    for path in sorted((ROOT / "mnistlib").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "mnistlib").with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """Return the dotted names of all that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def row(name: str) -> int:
    """Return the row of a module, by its own name or its package's."""
    for number, line in enumerate(ROWS):
        if name in line.split() or name.split(".")[0] in line.split():
            return number
    raise AssertionError(f"mnistlib.{name} stands in no row")


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_from_its_own_row_leftwards_and_the_rows_above(name):
    own = modules()
    order = [entry for line in ROWS for entry in line.split()]
    place = order.index(name if name in order else name.split(".")[0])
    for imported in imports(own[name]):
        if not imported.startswith("mnistlib."):
            continue
        target = imported.removeprefix("mnistlib.")
        while target not in own:
            target = target.rpartition(".")[0]
            assert target or imported == "mnistlib.__version__", imported
            if not target:
                break
        if not target or target.split(".")[0] == name.split(".")[0]:
            continue  # inside one package
        there = order.index(target if target in order else target.split(".")[0])
        assert there < place, f"mnistlib.{name} imports mnistlib.{target}, which stands no higher"


@pytest.mark.parametrize("name", THIRD)
def test_a_module_uses_only_the_packages_it_may(name):
    paths = [path for module, path in modules().items() if module.split(".")[0] == name]
    used = {imported.split(".")[0] for path in paths for imported in imports(path)}
    assert used - set(sys.stdlib_module_names) - {"mnistlib"} <= THIRD[name]


def test_the_learners_path_is_short_and_needs_none_of_the_machinery():
    paths = [ROOT / "mnistlib" / name for name in LEARNERS]
    assert sum(len(path.read_text().splitlines()) for path in paths) <= 800
    for path in paths:
        assert not {imported.split(".")[0] for imported in imports(path)} & {"papermill", "scipy", "boto3", "ray", "nbconvert"}


@pytest.mark.parametrize("name", modules())
def test_a_module_stays_short_and_says_what_it_is(name):
    text = modules()[name].read_text()
    assert len(text.splitlines()) <= 250
    tree = ast.parse(text)
    assert ast.get_docstring(tree), name
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inner = {node for function in functions for node in ast.walk(function) if node is not function}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node not in inner:
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"
            untyped = [a.arg for a in node.args.args + node.args.kwonlyargs if a.annotation is None and a.arg not in ("self", "cls")]
            assert not untyped and node.returns is not None, f"{name}.{node.name} lacks types"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names)


def test_no_grab_bags():
    names = {path.stem for path in ROOT.rglob("*.py") if not {"build", ".venv"} & set(path.parts)}
    assert not names & {"utils", "helpers", "common", "misc"}


ALLOWED = [r"\b\dx\d\b", r"\btwo cores\b"]


def digits(markdown: str) -> list[str]:
    """Return the lines of a Markdown text that hold a digit outside headings, links, code, generated blocks and the short allow-list."""
    text = re.sub(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", "", markdown, flags=re.S)
    text = re.sub(r"```.*?```|~~~.*?~~~", "", text, flags=re.S)
    text = re.sub(r"``.*?``|`[^`]*`", "", text)
    text = re.sub(r"!?\[[^\]]*\]\([^)]*\)", "", text)
    for pattern in ALLOWED:
        text = re.sub(pattern, "", text)
    return [line for line in text.splitlines() if re.search(r"\d", line) and not line.lstrip().startswith("#")]


def test_prose_holds_no_digit():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                assert digits(cell.source) == [], path.name
    assert digits((ROOT / "README.md").read_text()) == []


def test_the_prose_check_can_fail():
    assert digits("It ends at 99.46%.") and digits("# A heading\n15 epochs")
    assert not digits("# Under 8,000\n`lr=0.1`, a 3x3 kernel, [99](x.html)\n```\n12\n```\n<!-- results:begin -->\n7\n<!-- results:end -->")


def test_docstrings_hold_no_measurement():
    """A docstring may name a shape, a unit or an example; a percentage in it would be a result typed by hand."""
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and name != "form":
                assert not re.search(r"\d\d\.\d+\s?%", ast.get_docstring(node) or ""), name
