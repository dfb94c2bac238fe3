"""Files are written whole or not at all; what is signed is refused once it was changed; the project is found from anywhere in it."""

import errno
import json
import os
from pathlib import Path

import pytest

from mnistlib import files
from mnistlib.errors import ResultError, SettingError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_several_files_are_written_or_none(tmp_path, monkeypatch):
    files.write_together({tmp_path / "a": "ä", tmp_path / "b" / "c": b"1"})
    assert (tmp_path / "a").read_bytes() == "ä".encode() and (tmp_path / "b" / "c").read_bytes() == b"1"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    with pytest.raises(TypeError):
        files.write_together({tmp_path / "a": "new", tmp_path / "d": 3})
    assert names(tmp_path) == ["a", "b"] and (tmp_path / "a").read_text(encoding="utf-8") == "ä"

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.DiskError, match=str(tmp_path)):
        files.write(tmp_path / "a", "new")
    assert names(tmp_path) == ["a", "b"] and (tmp_path / "a").read_text(encoding="utf-8") == "ä"


def test_what_is_signed_comes_back_and_a_changed_digit_is_refused(tmp_path):
    path, value = tmp_path / "x" / "a.json", {"b": [1, 0.1, None], "a": "ö"}
    assert files.read_signed(files.write_signed(path, value)) == value
    text = path.read_text(encoding="utf-8")
    for changed, word in ((text.replace("0.1", "0.2"), "changed"), (text[:-3], "JSON"), ("[]", "JSON"), ('{"a": 1}', "JSON")):
        path.write_text(changed, encoding="utf-8")
        with pytest.raises(ResultError, match=f"x/a.json.*{word}"):
            files.read_signed(path)
    path.write_text(json.dumps(json.loads(text), indent=7))  # the values are signed, not how they are written
    assert files.read_signed(path) == value
    with pytest.raises(ValueError, match="JSON"):
        files.write_signed(path, {"a": float("nan")})
    path.unlink()
    with pytest.raises(ResultError, match="no x/a.json"):
        files.read_signed(path)


def test_the_project_is_found_upward_from_the_working_directory(tmp_path, monkeypatch):
    for folder in ("mnistlib", "notebooks/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mnistlib" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path / "notebooks" / "deep")
    assert files.root() == tmp_path and files.resolve("out") == tmp_path / "out"
    assert files.resolve("/abs") == Path("/abs") and files.resolve("~/x") == Path.home() / "x"


def test_notebooks_have_a_hash_that_ignores_their_outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", lambda: tmp_path)
    cell = {"cell_type": "code", "source": ["a\n", "b"], "outputs": [], "metadata": {}}
    path = files.write(tmp_path / "notebooks" / "mine.ipynb", files.to_text({"cells": [cell]}))
    first = files.notebook_hash("mine")
    files.write(path, files.to_text({"cells": [cell | {"outputs": [1], "source": "a\nb"}], "metadata": {"x": 1}}))
    assert files.notebook_hash("mine") == first
    files.write(path, files.to_text({"cells": [cell | {"source": "a\nc"}]}))
    assert files.notebook_hash("mine") != first
    assert files.notebook_hash("no_such") is None
    assert files.notebook_hash("03_augment") is not None  # of those in the package, where the project has none of that name


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    assert files.writable(tmp_path / "new") == tmp_path / "new" and names(tmp_path / "new") == []
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="file"):
        files.writable(tmp_path / "file" / "below")
