"""What a submission's code is built like, names, comments and formatting apart, so that near-identical ones can be pointed out.

`python -I -S outline.py FILE` runs in the sandbox, where the code is parsed and not executed: whoever writes it cannot forge the answer,
and code that crashes the parser crashes that process alone. It leaves OUTLINE and needs nothing but Python.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

OUTLINE = "outline.json"  # {"error": a sentence or "", "line": where, or null, "shingles": numbers}
LENGTH = 6  # nodes of the syntax tree that one shingle holds: more than one call of a layer, so that using the same layers is not enough
DEFINITIONS = ast.ClassDef | ast.FunctionDef


def labels(node: ast.AST) -> Iterator[str]:
    """Yield a word for each node of a syntax tree, in its order; what an author names freely, and what explains, is left out."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.expr_context() | ast.Expr(value=ast.Constant(value=str())):
            return
        case ast.Attribute(value=ast.Name(id="self")):
            yield "own"
            return
        case ast.Attribute(attr=name):
            yield f".{name}"
        case ast.FunctionDef(name=name):
            yield f"def {name}" if name in ("__init__", "forward") else "def"
        case ast.keyword(arg=name):
            yield f"{name}="
        case ast.Constant(value=str()):
            yield "text"
        case ast.Constant(value=value):
            yield repr(value)
        case _:
            yield type(node).__name__
    for name, value in ast.iter_fields(node):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST) and name not in ("annotation", "returns"):
                yield from labels(one)


def shingles(trees: list[ast.Module]) -> list[int]:
    """Return a number for every run of nodes in the classes and functions of some code; what trains them is left out."""
    found = set()
    for tree in trees:
        words = [word for node in tree.body if isinstance(node, DEFINITIONS) for word in labels(node)]
        for place in range(max(len(words) - LENGTH + 1, 0)):
            found.add(int(hashlib.sha256("\n".join(words[place : place + LENGTH]).encode()).hexdigest()[:12], 16))
    return sorted(found)


def parse(path: Path) -> list[ast.Module]:
    """Return the syntax trees of a file, or of those code cells of a notebook that can be parsed."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [ast.parse(text)]
    trees = []
    for cell in json.loads(text)["cells"]:
        lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
        try:
            trees.append(ast.parse("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))))
        except SyntaxError:
            continue
    return trees


def main(path: Path) -> None:
    """Leave the outline of a file, or why it cannot be read."""
    error, line, found = "", None, []
    try:
        found = shingles(parse(path))
    except SyntaxError as caught:
        line = caught.lineno
        error = f"{path.name} is not valid Python: {f'line {line}: ' if line else ''}{caught.msg}."
    except (RecursionError, MemoryError):
        error = f"{path.name} is nested too deeply to be read."
    except (ValueError, KeyError, TypeError, AttributeError):
        error = f"{path.name} cannot be read as {'a notebook' if path.suffix == '.ipynb' else 'Python'}."
    Path(OUTLINE).write_text(json.dumps({"error": error, "line": line, "shingles": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
