"""Addresses in S3, and folders kept the same there and here."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.errors import SettingError
from mnistlib.run import aws

ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<key>.*))?")
EVERY = 15.0  # seconds between two looks at what has changed in a folder


@dataclass(frozen=True)
class Address:
    """A place in S3: a file's, or that of all files whose keys begin with it and a slash."""

    bucket: str
    key: str

    @classmethod
    def of(cls, text: str) -> Address:
        """Return the address that a text spells, or raise SettingError."""
        found = ADDRESS.fullmatch(text)
        if not found:
            raise SettingError(f"{text!r} is no address in S3; write s3://BUCKET/NAME.")
        return cls(found["bucket"], (found["key"] or "").strip("/"))

    def __truediv__(self, name: str) -> Address:
        return Address(self.bucket, f"{self.key}/{name}".strip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def put(at: Address, data: bytes, region: str | None = None) -> None:
    """Write a file to S3."""
    aws.client("s3", region).put_object(Bucket=at.bucket, Key=at.key, Body=data)


def get(at: Address, region: str | None = None) -> bytes | None:
    """Return a file from S3, None where there is none."""
    s3 = aws.client("s3", region)
    try:
        return s3.get_object(Bucket=at.bucket, Key=at.key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def listed(at: Address, region: str | None = None) -> dict[str, int]:
    """Return the bytes of each file below an address, by its name there."""
    pages = aws.client("s3", region).get_paginator("list_objects_v2").paginate(Bucket=at.bucket, Prefix=f"{at.key}/".lstrip("/"))
    start = len(f"{at.key}/".lstrip("/"))
    return {found["Key"][start:]: found["Size"] for page in pages for found in page.get("Contents", ()) if not found["Key"].endswith("/")}


def bring(at: Address, folder: Path, region: str | None = None, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """Write the wanted files below an address into a folder, each whole or not at all, and return their names."""
    names = [name for name in sorted(listed(at, region)) if wanted(name)]
    for name in names:
        place = (folder / name).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise SettingError(f"{str(at / name)!r} would be written outside {str(folder)!r}; nothing of it is taken.")
        files.write(place, get(at / name, region) or b"")
    return names


class Mirror:
    """A folder and its like in S3: brought here at the start, and changed there as it changes here, the last time at the end."""

    def __init__(self, folder: Path, at: Address, every: float = EVERY) -> None:
        self.folder, self.at, self.every = folder, at, every
        self.sent: dict[str, tuple[int, int]] = {}
        self.over = threading.Event()
        self.following = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Mirror:
        """Bring what is there, and follow what changes from then on."""
        bring(self.at, self.folder)
        self.sent = self._now()
        self.following.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is left."""
        self.over.set()
        self.following.join()
        self.send()

    def send(self) -> None:
        """Send every file that is new or has changed since it was sent, and remove there what is gone here."""
        now = self._now()
        for name, mark in now.items():
            if self.sent.get(name) != mark and (path := self.folder / name).is_file():
                put(self.at / name, path.read_bytes())
                self.sent[name] = mark
        for name in set(self.sent) - set(now):
            aws.client("s3").delete_object(Bucket=self.at.bucket, Key=(self.at / name).key)
            del self.sent[name]

    def _now(self) -> dict[str, tuple[int, int]]:
        """Return what tells each file from another state of it; those being written are left out."""
        found: dict[str, tuple[int, int]] = {}
        for path in sorted(self.folder.rglob("*")):
            try:
                about: Any = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file() and not path.name.endswith(".part"):
                found[path.relative_to(self.folder).as_posix()] = (about.st_mtime_ns, about.st_size)
        return found

    def _follow(self) -> None:
        """Send what changes, now and then; what does not get through is tried again."""
        while not self.over.wait(self.every):
            try:
                self.send()
            except Exception as error:
                print(f"Not sent to {self.at} yet: {error}", flush=True)
