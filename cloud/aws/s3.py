"""Folders in S3, and local folders kept in sync with them."""

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud.aws.client import CloudError, code
from mnistlib import files
from mnistlib.errors import SettingError
from mnistlib.logs import log

SCHEME = "s3://"
URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>.*))?")
EVERY = 15.0  # seconds between two looks at what has changed in a local folder
WAITS = (5.0, 15.0, 45.0, 90.0)  # seconds between attempts to upload what is left at the end


@dataclass(frozen=True)
class Folder:
    """The objects of a bucket whose keys begin with a prefix and a slash; with an empty prefix, all of them."""

    client: Any  # boto3's client of S3
    bucket: str
    prefix: str = ""

    def __truediv__(self, name: str) -> "Folder":
        return Folder(self.client, self.bucket, self.key(name))

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    @property
    def name(self) -> str:
        """Return the last part of the prefix."""
        return self.prefix.rpartition("/")[2]

    def key(self, name: str) -> str:
        """Return the key of a file in the folder."""
        return f"{self.prefix}/{name}".lstrip("/")

    def put(self, name: str, data: bytes) -> None:
        """Upload a file."""
        self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def put_new(self, name: str, data: bytes) -> bool:
        """Upload a file unless it is there already, and say whether it was uploaded; of several at once, one succeeds."""
        try:
            self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=data, IfNoneMatch="*")
        except self.client.exceptions.ClientError as error:
            if code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            return False
        return True

    def modified(self, name: str) -> float:
        """Return when a file was uploaded, in seconds since the epoch; 0 where there is none."""
        pages = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(name)).get("Contents", ())
        return next((one["LastModified"].timestamp() for one in pages if one["Key"] == self.key(name)), 0.0)

    def upload(self, name: str, path: Path) -> None:
        """Upload a local file, a large one in parts."""
        self.client.upload_file(str(path), self.bucket, self.key(name))

    def get(self, name: str) -> bytes | None:
        """Return a file, None where there is none."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=self.key(name))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        self.client.delete_object(Bucket=self.bucket, Key=self.key(name))

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file in the folder and below, by its name."""
        start = self.key("")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start)
        found = [one for page in pages for one in page.get("Contents", ()) if not one["Key"].endswith("/")]
        return {one["Key"][len(start) :]: one["Size"] for one in found}

    def download(self, into: Path, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
        """Write the wanted files into a local folder, each whole or not at all, and return their names."""
        names = [name for name in sorted(self.sizes()) if wanted(name)]
        for name in names:
            if not (into / name).resolve().is_relative_to(into.resolve()):
                raise SettingError(f"{str(self / name)!r} would be written outside {str(into)!r}; nothing was downloaded.")
        written = []
        for name in names:
            body = self.get(name)
            if body is not None:  # a run that goes on may have deleted it since
                files.write(into / name, body)
                written.append(name)
        return written


def folder(client: Any, url: str) -> Folder:
    """Return the folder at an s3:// address; raise SettingError for what is none."""
    found = URL.fullmatch(url)
    if not found:
        raise SettingError(f"{url!r} is not an S3 address; write s3://BUCKET/NAME.")
    return Folder(client, found["bucket"], (found["prefix"] or "").strip("/"))


class SyncedFolder:
    """A temporary local copy of a folder in S3: downloaded at the start, uploaded as it changes, deleted once all is uploaded.

    As a context manager it gives the local path. `last` names the file that is uploaded after all others.
    """

    def __init__(self, remote: Folder, last: str = "", every: float = EVERY) -> None:
        self.remote, self.last, self.every = remote, last, every
        self.uploaded: dict[str, tuple[int, int]] = {}
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Path:
        """Download what is there, and upload what changes from then on."""
        self.path = Path(tempfile.mkdtemp(prefix="mnistlib-"))
        try:
            self.remote.download(self.path)
        except BaseException:
            shutil.rmtree(self.path)
            raise
        self.uploaded = self._stamps()
        self.thread.start()
        return self.path

    def __exit__(self, *_: object) -> None:
        """Upload what is left; if S3 refuses it for some minutes, keep it here and raise CloudError, which says where."""
        self.closing.set()
        self.thread.join()
        for wait in (*WAITS, None):
            try:
                self.upload()
                break
            except Exception as error:
                if wait is None:
                    raise CloudError(f"{self.path} could not be uploaded to {self.remote} ({error}); the folder is kept.") from None
                log.warning("Not uploaded to %s yet: %s", self.remote, error)
                time.sleep(wait)
        shutil.rmtree(self.path)

    def upload(self) -> None:
        """Upload every file that is new or has changed, and delete there what was deleted here."""
        now = self._stamps()
        for name in sorted(now, key=lambda name: name == self.last):
            if self.uploaded.get(name) != now[name] and (path := self.path / name).is_file():
                self.remote.upload(name, path)
                self.uploaded[name] = now[name]
        for name in set(self.uploaded) - set(now):
            self.remote.delete(name)
            del self.uploaded[name]

    def _stamps(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for path in sorted(self.path.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                if path.is_file() and not path.name.endswith(".part"):
                    found[path.relative_to(self.path).as_posix()] = (about.st_mtime_ns, about.st_size)
        return found

    def _follow(self) -> None:
        while not self.closing.wait(self.every):
            try:
                self.upload()
            except Exception as error:
                log.warning("Not uploaded to %s yet: %s", self.remote, error)
