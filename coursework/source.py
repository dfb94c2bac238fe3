"""Where a submission's code is, found without running it: a file with what it imports from its folder, or the modules of a package."""

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from mnistlib import files
from mnistlib.errors import SettingError

FORMS = (".py", ".ipynb")
IMPORT = re.compile(r'^[\s"]*(?:from\s+(\w+)|import\s+(\w[\w., ]*))', re.M)  # a notebook's lines begin with a quotation mark
OURS = ("mnistlib", "coursework", "cloud")


class SubmissionError(SettingError):
    """A file holds no net that can be found, or several."""


@dataclass(frozen=True)
class Source:
    """Where a submission's code is."""

    spec: str  # as coursework.submission.load takes it, in the sandbox
    paths: tuple[Path, ...]  # a file, then those beside it that it imports; or the modules of a package
    folder: Path | None  # where modules are imported from; None for files, which are copied
    sha256: str


def split(spec: str) -> tuple[str, str]:
    """Return the place and the name, "" for none, of "my_net.py:Net"; raise SubmissionError where one of them is empty."""
    place, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    if not place or (":" in spec and not name):
        raise SubmissionError(f"{spec!r} names no net; write my_net.py:Net, my.ipynb:Net or package.module:Net.")
    return place, name


def find(spec: str) -> Source:
    """Return the code that a submission's name stands for; raise SubmissionError where there is none."""
    place, name = split(spec)
    path = Path(place).expanduser()
    if path.suffix in FORMS:
        if not path.is_file():
            raise SubmissionError(f"There is no file {place}.")
        paths = tuple(_with_imported(path))
        content = [files.sha256(one.read_bytes()) for one in paths]
        digest = content[0] if len(paths) == 1 else files.sha256(files.canonical(content))
        return Source(f"{path.name}:{name}".rstrip(":"), paths, None, digest)
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(place.split(".")[0])
    except (ImportError, ValueError):
        found = None
    finally:
        sys.path.pop(0)
    if found is None or not (found.submodule_search_locations or found.has_location):
        hint = f" {place} is a path: does it lack .py or .ipynb?" if "/" in place else ""
        raise SubmissionError(f"There is no module {place!r}.{hint}")
    paths = tuple(Path(one).resolve() for one in found.submodule_search_locations or [found.origin])
    modules = sorted(one for path in paths for one in ([path] if path.is_file() else path.rglob("*.py")))
    return Source(spec, paths, paths[0].parent, files.sha256(files.canonical([files.sha256(one) for one in modules])))


def _with_imported(path: Path) -> list[Path]:
    """Return a file, and the modules and packages in its folder that it imports, themselves or one another."""
    found = [path]
    for one in found:  # it grows
        groups = IMPORT.findall(one.read_text(encoding="utf-8", errors="replace"))
        names = {word.split(".")[0].strip() for first, others in groups for word in (first or others).split(",")}
        for name in sorted(name.split()[0] for name in names - {""} if name.split()[0] not in OURS):
            beside = [path.parent / f"{name}.py", *sorted((path.parent / name).rglob("*.py"))]
            found += [other for other in beside if other.is_file() and other not in found]
    return found
