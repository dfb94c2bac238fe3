"""Where the bytes of a data set come from: folders first, then mirrors, and never unchecked."""

from __future__ import annotations

import functools
import gzip
import os
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnistlib import files, formatting
from mnistlib.errors import DataError


class NotFound(DataError):
    """A file is in none of the places looked in, and no mirror gave it."""


@dataclass(frozen=True)
class File:
    """One file of a collection as it is when extracted; on disk it may also be a .gz, on mirrors it is."""

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Mirrors:
    """Addresses that each serve every file of a collection as NAME.gz, tried in order."""

    addresses: tuple[str, ...]  # each ends in /
    timeout: float = 20.0  # seconds of silence after which the next one is tried
    deadline: float = 300.0  # seconds that one file may take altogether


@dataclass(frozen=True)
class Collection:
    """Files that belong together, and where they can be downloaded."""

    name: str  # for a reader
    files: tuple[File, ...]
    mirrors: Callable[[], Mirrors]  # called when a download is needed


@dataclass(frozen=True)
class Place:
    """A folder to look in, and what a reader calls it."""

    folder: Path
    origin: str
    explicit: bool = False  # named by the caller: a bad file there is an error


def _mnist_mirrors() -> Mirrors:
    """Return torchvision's mirrors without the lapsed one, and one more.

    Nothing else of torchvision's loader is used: it never hashes an extracted file, prefers a stale `processed` folder,
    has no time-out, stops at a reset connection, and its reader opens a file anew after whatever was checked before.
    """
    from torchvision.datasets import MNIST as Loader  # slow to import, and needed for a download alone

    listed = (address for address in Loader.mirrors if "yann.lecun.com" not in address)
    return Mirrors((*listed, "https://storage.googleapis.com/cvdf-datasets/mnist/"))


def _qmnist_mirrors() -> Mirrors:
    """Return the folder of QMNIST that torchvision knows; patience is short, since training does without writers."""
    from torchvision.datasets import QMNIST as Loader

    return Mirrors((Loader.resources["train"][1][0].rpartition("/")[0] + "/",), timeout=10, deadline=60)


MNIST = Collection(
    "MNIST",
    (
        File("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        File("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        File("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        File("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
    _mnist_mirrors,
)
QMNIST = Collection(
    "QMNIST",
    (
        File("qmnist-train-labels-idx2-int", 1_920_012, "bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5"),
        File("qmnist-test-labels-idx2-int", 1_920_012, "92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd"),
    ),
    _qmnist_mirrors,
)
OFFLINE = "MNISTLIB_OFFLINE"  # set in the environment, it keeps a run from asking any mirror
LAYOUTS = ("", "MNIST/raw", "QMNIST/raw", "qmnist", "../qmnist")  # torchvision's folders, and one beside another


def gather(
    collection: Collection, data_dir: str | os.PathLike[str] | None = None, show: Callable[[str], None] = print
) -> tuple[list[bytes], str]:
    """Return the checked bytes of every file, in order, and where they came from.

    A bad file in ./data is replaced as soon as good bytes turn up; one elsewhere is named and left alone, but in a
    `data_dir` that the caller named it raises DataError. Raise NotFound, with all that was tried, for the first file missing.
    """
    places = _places(data_dir)
    if places[0].explicit and not places[0].folder.is_dir():
        show(f"data_dir {str(data_dir)!r} is not a folder; {collection.name} is looked for elsewhere.")
    mirrors, silent = functools.cache(collection.mirrors), set[str]()
    contents, origins = [], []
    for file in collection.files:
        tried: list[str] = []
        data, origin, bad = _look(file, places, tried, show)
        if data is None and not os.environ.get(OFFLINE):
            data, origin = _download(file, mirrors(), silent, tried, show), "downloaded"
            bad = bad or [_own() / file.name]
        if data is None:
            raise NotFound(
                f"{collection.name} was neither found nor downloadable ({file.name}: {'; '.join(tried)}). Put its files, extracted or "
                f"as .gz, into {_named(_own())}/ or into a folder that data_dir or $MNIST_DATA_DIR names, or connect to the network."
            )
        for path in bad:
            _keep(path, data, show)
        contents.append(data)
        origins.append(origin)
    return contents, " and ".join(dict.fromkeys(origins))


def _own() -> Path:
    """Return the only folder that downloads and repairs write to."""
    return files.root() / "data"


def _places(data_dir: str | os.PathLike[str] | None) -> list[Place]:
    """Return the folders to look in, in order, each once under the first of its names."""
    named = [Place(files.resolve(data_dir), "data_dir", explicit=True)] if data_dir else []
    if os.environ.get("MNIST_DATA_DIR"):
        named.append(Place(files.resolve(os.environ["MNIST_DATA_DIR"]), "$MNIST_DATA_DIR"))
    named += [Place(_own(), "./data"), Place(files.root().parent / "shared" / "data" / "mnist", "a shared folder")]
    places: dict[Path, Place] = {}
    for place in named:
        places.setdefault(place.folder.resolve(), place)
    return list(places.values())


def _look(file: File, places: Sequence[Place], tried: list[str], show: Callable[[str], None]) -> tuple[bytes | None, str, list[Path]]:
    """Return the first good copy, its origin, and the bad copies in ./data passed on the way."""
    replaceable: list[Path] = []
    for place in places:
        bad, alone = [], 0
        folders = (Path(os.path.normpath(place.folder / layout)) for layout in LAYOUTS)
        for path in (folder / name for folder in folders for name in (file.name, f"{file.name}.gz", file.sha256)):
            if not path.is_file():
                continue
            try:
                return _checked(path.read_bytes(), file), place.origin, replaceable
            except (OSError, DataError) as error:
                bad.append(f"{_named(path)} is bad: {_reason(error)}")
            if path.resolve().is_relative_to(_own().resolve()):
                replaceable.append(path)
                show(f"{bad[-1]}. It is replaced when a good one is found.")
            else:
                alone += 1
                show(f"{bad[-1]}. It is left alone.")
        if alone and place.explicit:
            raise DataError(f"{'; '.join(bad)}. Repair it, remove it, or name another data_dir.")
        tried += bad or [f"not in {_named(place.folder)}"]
    return None, "", replaceable


def _checked(body: bytes, file: File) -> bytes:
    """Return extracted bytes whose size and sha256 are right, or raise DataError."""
    if body[:2] == b"\x1f\x8b":  # gzip; told by its content, since browsers and servers extract behind a name's back
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, file.size + 1)
        except zlib.error as error:
            raise DataError(f"it cannot be extracted ({error})") from None
    if len(body) != file.size:
        raise DataError(f"it holds {formatting.count(len(body))} bytes instead of {formatting.count(file.size)}")
    if files.sha256(body) != file.sha256:
        raise DataError("its sha256 is another")
    return body


def _download(file: File, mirrors: Mirrors, silent: set[str], tried: list[str], show: Callable[[str], None]) -> bytes | None:
    """Return a file from the first mirror that serves it whole; one that does not answer at all is not asked again."""
    for address in mirrors.addresses:
        if address in silent:
            continue
        show(f"Downloading {file.name} from {address}")
        try:
            return _checked(_get(f"{address}{file.name}.gz", file.size, mirrors), file)
        except Exception as error:  # whatever the network does, the next mirror may do better
            tried.append(f"{address} failed: {_reason(error)}")
            show(f"{tried[-1]}.")
            if isinstance(error, OSError) and not isinstance(error, urllib.error.HTTPError):
                silent.add(address)
    return None


def _get(url: str, size: int, mirrors: Mirrors) -> bytes:
    """Return the body at an address, reading no more than a .gz of `size` bytes can need, and no longer than allowed."""
    context = _certificates() if url.startswith("https:") else None
    end = time.monotonic() + mirrors.deadline
    body = bytearray()
    with urllib.request.urlopen(url, timeout=mirrors.timeout, context=context) as response:
        while chunk := response.read1(1 << 16):
            body += chunk
            if time.monotonic() > end:
                raise TimeoutError(f"it took more than {formatting.seconds(mirrors.deadline)}")
            if len(body) > size + (1 << 16):
                raise DataError("it sends more than the file can hold")
    return bytes(body)


@functools.cache  # reading them takes longer than a small file
def _certificates() -> ssl.SSLContext:
    """Return the usual checks, with the system's bundle where Python brought none, as on macOS from python.org."""
    context = ssl.create_default_context()
    bundle = Path("/etc/ssl/cert.pem")
    if not context.cert_store_stats()["x509_ca"] and bundle.is_file():
        context.load_verify_locations(bundle)
    return context


def _keep(path: Path, data: bytes, show: Callable[[str], None]) -> None:
    """Write good bytes into ./data; where that cannot be done, say so and go on."""
    try:
        files.write(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    except OSError as error:
        show(f"{_named(path)} cannot be written ({_reason(error)}); the data is used all the same.")


def _named(path: Path) -> str:
    """Return a path as seen from the repository's root where it is near, else whole."""
    near = os.path.relpath(path, files.root())
    return near if not near.startswith(f"..{os.sep}..") else str(path)


def _reason(error: Exception) -> str:
    """Return an exception's own words without the errno in front, or its kind where it says nothing."""
    inner = getattr(error, "reason", None)
    error = inner if isinstance(inner, Exception) else error
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip().rstrip(".")
