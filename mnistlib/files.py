"""Where the project's files are, and how they are written: whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnistlib.errors import MnistlibError, ResultError, SettingError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
INSTALLED = Path(__file__).parent / "_notebooks"  # where a wheel holds the notebooks
SENT = ".project.json"  # marks the root of a project that was sent somewhere without library and repository, and names its commit


class DiskError(MnistlibError):
    """A disk is full or cannot be written."""

    code = 1  # the command's exit code; a bad request has another


def root() -> Path:
    """Return the repository's root: found upward from the working directory, else from this package, else the working directory."""
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        marked = (folder / "mnistlib" / "__init__.py").is_file() or (folder / SENT).is_file()
        if marked and (folder / "notebooks").is_dir():
            return folder
    return here


def resolve(path: str | os.PathLike[str]) -> Path:
    """Return `path` as an absolute path; a relative one counts from the repository's root, `~` from home."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else root() / path


def sha256(data: bytes | Path) -> str:
    """Return the hexadecimal sha256 of some bytes or of a file's."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with open(data, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def writing(folder: Path | str) -> Iterator[None]:
    """Turn the error of a full or broken disk into a DiskError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        other = "another in TMPDIR" if str(folder) == tempfile.gettempdir() else "another"
        raise DiskError(f"The folder {str(folder)!r} cannot be written ({error.strerror}); make room there or name {other}.") from None


def write(path: Path, data: bytes | str) -> Path:
    """Write a whole file or leave the old one."""
    write_together({path: data})
    return path


def write_together(contents: Mapping[Path, bytes | str]) -> None:
    """Write several files or leave all old ones: temporary files in the same folders, flush, fsync, then replace one after another."""
    parts: dict[Path, str] = {}
    try:
        for path, data in contents.items():
            with writing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, parts[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
                with os.fdopen(handle, "wb") as file:
                    file.write(data.encode() if isinstance(data, str) else data)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(parts[path], 0o644)
        for path, name in parts.items():
            os.replace(name, path)
    finally:
        for name in parts.values():
            Path(name).unlink(missing_ok=True)


def to_text(value: Any) -> str:
    """Return a value as indented JSON; NaN and infinity are refused."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def signed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a value with its own sha256, which `read_signed` checks."""
    return value | {"sha256": sha256(canonical(value))}


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value that its hash is taken of: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def write_signed(path: Path, value: dict[str, Any]) -> Path:
    """Write a value as JSON with its own sha256, which `read_signed` checks."""
    return write(path, to_text(signed(value)))


def read_signed(path: Path) -> dict[str, Any]:
    """Return a value that `write_signed` wrote; raise ResultError where the file is missing, no JSON, or was changed since."""
    name = f"{path.parent.name}/{path.name}"
    try:
        value = json.loads(path.read_bytes())
        changed = value.pop("sha256") != sha256(canonical(value))
    except FileNotFoundError:
        raise ResultError(f"There is no {name}.") from None
    except OSError as error:
        raise ResultError(f"{name} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ResultError(f"{name} is not a signed JSON file; restore it, or make it again.") from None
    if changed:
        raise ResultError(f"{name} was changed after it was written; restore it, or make it again.")
    return value


def notebook(name: str) -> Path:
    """Return where a notebook of the series lies: in the repository's notebooks/, else in the installed package."""
    path = root() / "notebooks" / f"{name}.ipynb"
    return path if path.is_file() else INSTALLED / path.name


def notebook_hash(name: str) -> str | None:
    """Return the hash of a notebook's cells, outputs apart; None where there is no such notebook."""
    path = notebook(name)
    if not path.is_file():
        return None
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return sha256(canonical([[cell["cell_type"], "".join(cell["source"])] for cell in cells]))


def writable(folder: Path) -> Path:
    """Make a folder and prove that files can be written there, or raise SettingError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingError(f"The folder {str(folder)!r} cannot be written ({error.strerror}); name one that can.") from None
    return folder
