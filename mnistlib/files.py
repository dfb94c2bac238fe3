"""Where the project's files are, and how they are written: whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from mnistlib.errors import SettingError

SENT = ".project.json"  # marks the root of a project that was sent somewhere without library and repository, and names its commit


def root() -> Path:
    """Return the repository's root: found upward from the working directory, else from this package, else the working directory."""
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            marked = (folder / "mnistlib" / "__init__.py").is_file() or (folder / SENT).is_file()
            if marked and (folder / "notebooks").is_dir():
                return folder
    return Path.cwd()


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


def write(path: Path, data: bytes | str) -> Path:
    """Write a whole file or leave the old one: temporary file in the same folder, flush, fsync, replace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write a value as indented JSON with sorted keys left as they come; NaN and infinity are refused."""
    return write(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value that its hash is taken of: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def story(name: str) -> str | None:
    """Return the hash of what a notebook in notebooks/ says and does, outputs apart; None where there is no such notebook."""
    path = root() / "notebooks" / f"{name}.ipynb"
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
