"""The rules of the house that code can check: direction of imports, size, names, docstrings, prose without digits, README's map."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from mnistlib import files

ROOT = files.root()
LIBRARY, CLOUD = ROOT / "mnistlib", ROOT / "cloud"
# Packages import only from earlier rows; those of one row do not see each other. "core" is every module outside a package.
ORDER = [["core"], ["runs", "stats"], ["report"], ["published"], ["notebook"], ["cli"], ["cloud"]]
OLD_NAMES = """
    _leaves _waste afar anatomy arms averaging canvas checks claimed considered descent digits dots errand estimates evidence findings
    folds form found galleries given hired looks luck machine mistakes originals outcome parts peers shipping showing sources standing
    state steering systems told trial trials wishes work written
"""


def modules() -> dict[str, Path]:
    """Return every module by its dotted name."""
    paths = [path for folder in (LIBRARY, CLOUD) for path in sorted(folder.rglob("*.py")) if path.parent.name != "scripts"]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


MODULES = modules()


def imported(path: Path) -> set[str]:
    """Return the modules of library and cloud that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {name if (name := f"{node.module}.{alias.name}") in MODULES else str(node.module) for alias in node.names}
    return names & set(MODULES)


def package(module: str) -> str:
    """Return the package that a module belongs to; `python -m mnistlib` is the command line's."""
    if module.split(".")[0] == "cloud":
        return "cloud"
    if module == "mnistlib.__main__":
        return "cli"
    return "core" if module == "mnistlib" or MODULES[module].parent == LIBRARY else module.split(".")[1]


def test_packages_import_in_one_direction():
    row = {name: place for place, names in enumerate(ORDER) for name in names}
    wrong = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target in imported(path)
        if package(target) != package(module) and row[package(target)] >= row[package(module)]
    ]
    assert wrong == []


def test_the_learners_path_is_short_and_needs_nothing_else():
    reached, new = set(), {"mnistlib.train"}
    while new:
        reached |= new
        new = {target for module in new for target in imported(MODULES[module])} - reached
    assert reached - {"mnistlib"} == {f"mnistlib.{name}" for name in ("recipe", "models", "data", "augment", "train", "errors")}
    assert sum(MODULES[module].read_bytes().count(b"\n") for module in reached) <= 650


def test_the_library_is_small():
    lines = {folder: sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.py")) for folder in (LIBRARY, CLOUD)}
    assert lines[LIBRARY] <= 6_700 and lines[CLOUD] <= 2_500


@pytest.mark.parametrize("path", [*MODULES.values(), *sorted((ROOT / "coursework").glob("*.py"))], ids=lambda path: path.stem)
def test_a_module_says_what_it_is_and_does(path):
    tree, name = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix()
    assert ast.get_docstring(tree), name
    for function in public_functions(tree):
        assert ast.get_docstring(function), f"{name}.{function.name} has no docstring"
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        untyped = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
        assert not untyped and function.returns is not None, f"{name}.{function.name} lacks types"
    stars = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert not stars, name


def public_functions(body: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods whose names are public, those inside functions and private classes left out."""
    for node in ast.iter_child_nodes(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield from public_functions(node) if isinstance(node, ast.ClassDef) else [node]


def test_no_module_has_a_name_that_says_nothing():
    names = {
        path.stem
        for folder in ("mnistlib", "cloud", "coursework", "tests", "benchmarks", "inside", "replication", "scripts", "selection", "website")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert not names & {"utils", "helpers", "common", "misc"}
    assert not {part for name in MODULES for part in name.split(".")} & set(OLD_NAMES.split())


ALLOWED = [r"\b\dx\d\b", r"\bsha256\b", r"\b95% (?:confidence|prediction) interval", r"\b(EC2|S3)\b"]


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
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        assert digits(path.read_text(encoding="utf-8")) == [], path.name


def test_the_prose_check_can_fail():
    assert digits("It ends at 99.46%.") and digits("# A heading\n15 epochs")
    assert not digits("# Under 8,000\n`lr=0.1`, a 3x3 kernel, [99](x.html)\n```\n12\n```\n<!-- results:begin -->\n7\n<!-- results:end -->")


def test_docstrings_hold_no_measurement():
    """A docstring may name a shape, a unit or an example; a percentage in it would be a result typed by hand."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and name != "mnistlib.formatting":
                assert not re.search(r"\d\d\.\d+\s?%", ast.get_docstring(node) or ""), name


def test_the_map_in_readme_names_what_there_is():
    sections = re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    layout = next(section for section in sections if section.startswith("Repository layout"))
    named = re.findall(r"[\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|ipynb|npz|yaml|toml|txt|html))(?!\w)", layout)
    assert len(named) >= 8
    missing = [name for name in named if not (ROOT / name).exists() and not (LIBRARY / name).exists() and name != "build/"]
    assert missing == []
