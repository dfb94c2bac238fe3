"""Addresses in S3, and folders kept the same there and here."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.aws import client
from mnistlib.errors import SettingError
from mnistlib.sweep import job

ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<key>.*))?")
EVERY = 15.0  # seconds between two looks at what has changed in a folder
AGAIN = (5.0, 15.0, 45.0, 90.0)  # seconds until what could not be sent at the end is tried again


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


def put(at: Address, data: bytes) -> None:
    """Write a file to S3."""
    client.client("s3").put_object(Bucket=at.bucket, Key=at.key, Body=data)


def get(at: Address) -> bytes | None:
    """Return a file from S3, None where there is none."""
    s3 = client.client("s3")
    try:
        return s3.get_object(Bucket=at.bucket, Key=at.key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def listed(at: Address) -> dict[str, int]:
    """Return the bytes of each file below an address, by its name there."""
    pages = client.client("s3").get_paginator("list_objects_v2").paginate(Bucket=at.bucket, Prefix=f"{at.key}/".lstrip("/"))
    start = len(f"{at.key}/".lstrip("/"))
    return {found["Key"][start:]: found["Size"] for page in pages for found in page.get("Contents", ()) if not found["Key"].endswith("/")}


def bring(at: Address, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """Write the wanted files below an address into a folder, each whole or not at all, and return their names."""
    places = {name: (folder / name).resolve() for name in sorted(listed(at)) if wanted(name)}
    for name, place in places.items():
        if not place.is_relative_to(folder.resolve()):
            raise SettingError(f"{str(at / name)!r} would be written outside {str(folder)!r}; nothing is taken.")
    brought = []
    for name, place in places.items():
        body = get(at / name)
        if body is not None:  # else it is gone since it was listed: the run goes on
            files.write(place, body)
            brought.append(name)
    return brought


class Mirror:
    """A folder's like here: brought from S3 at the start, sent there as it changes, and gone from here once all of it is there.

    As a context, it is the path of the folder here.
    """

    def __init__(self, at: Address, every: float = EVERY) -> None:
        self.at, self.every = at, every
        self.sent: dict[str, tuple[int, int]] = {}
        self.s3 = client.client("s3")  # one for both threads: using a client is safe in several, making one is not
        self.over = threading.Event()
        self.following = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Path:
        """Bring what is there, and follow what changes from then on."""
        self.folder = Path(tempfile.mkdtemp(prefix="mnistlib-"))
        try:
            bring(self.at, self.folder)
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        self.sent = self._now()
        self.following.start()
        return self.folder

    def __exit__(self, *_: object) -> None:
        """Send what is left; where S3 does not take it for some minutes, keep it here and raise CloudError, which says where."""
        self.over.set()
        self.following.join()
        for wait in (*AGAIN, None):
            try:
                self.send()
                break
            except Exception as error:
                if wait is None:
                    raise client.CloudError(
                        f"What is in {self.folder} could not be sent to {self.at} ({error}); it is kept there."
                    ) from None
                print(f"Not sent to {self.at} yet: {error}", flush=True)
                time.sleep(wait)
        shutil.rmtree(self.folder)

    def send(self) -> None:
        """Send every file that is new or has changed since it was sent, and remove there what is gone here."""
        now = self._now()
        for name in sorted(now, key=lambda name: name.endswith(job.RECORD)):  # it says that all is there, so it comes last
            if self.sent.get(name) != now[name] and (path := self.folder / name).is_file():
                self.s3.put_object(Bucket=self.at.bucket, Key=(self.at / name).key, Body=path.read_bytes())
                self.sent[name] = now[name]
        for name in set(self.sent) - set(now):
            self.s3.delete_object(Bucket=self.at.bucket, Key=(self.at / name).key)
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
