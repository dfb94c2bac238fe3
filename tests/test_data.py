"""Data is looked for in order, checked byte by byte, split by a fixed rule, and never silently another."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mnistlib import data, digits, files, sources
from mnistlib.errors import DataError, SettingError

CONTENT = {"alpha": b"\x00\x00\x08\x01" + bytes(range(256)) * 400, "beta": b"\x00\x00\x08\x01" + bytes(reversed(range(256))) * 400}


# A checkout of its own, and a small collection -------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty checkout and stand in it, so that ./data and ../shared are the test's own."""
    root = tmp_path / "home" / "checkout"
    (root / "mnistlib").mkdir(parents=True)
    (root / "mnistlib" / "__init__.py").touch()
    (root / "notebooks").mkdir()
    monkeypatch.chdir(root)
    monkeypatch.delenv("MNIST_DATA_DIR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert files.root() == root
    return root


def collection(*addresses: str, timeout: float = 1.5, deadline: float = 4.0) -> sources.Collection:
    """Return the small collection with the given mirrors."""
    listed = tuple(sources.File(key, len(body), hashlib.sha256(body).hexdigest()) for key, body in CONTENT.items())
    return sources.Collection("Letters", listed, lambda: sources.Mirrors(addresses, timeout, deadline))


def put(folder: Path, gz: bool = False, **changed: bytes) -> Path:
    """Write the small collection into a folder, some of its files changed."""
    for name, body in (CONTENT | changed).items():
        files.write(folder / (f"{name}.gz" if gz else name), gzip.compress(body) if gz else body)
    return folder


def shared(checkout: Path) -> Path:
    """Return the shared folder beside a checkout."""
    return checkout.parent / "shared" / "data" / "mnist"


class Behaviour(BaseHTTPRequestHandler):
    """Serve the small collection under /good/, and a failure of the kind named by any other path."""

    asked: list[str] = []

    def do_GET(self) -> None:
        """Answer in the way that the first part of the path names."""
        _, kind, name = self.path.split("/")
        self.asked.append(kind)
        body = gzip.compress(CONTENT[name.removesuffix(".gz")])
        if kind == "hang":
            time.sleep(30)
            return
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if kind == "missing":
            self.send_error(404)
            return
        if (kind, name) in (("first", "beta.gz"), ("second", "alpha.gz")):
            self.send_error(404)
            return
        if kind == "garbage":
            self.connection.sendall(b"\x00\xff not HTTP at all\r\n\r\n")
            return
        sent = {
            "html": b"<!DOCTYPE html><title>Please log in</title>",
            "truncated": body[: len(body) // 2],
            "short": gzip.compress(CONTENT["alpha"][:-1]),
            "wrong": gzip.compress(bytes(len(CONTENT["alpha"]))),
            "extracted": CONTENT[name.removesuffix(".gz")],
            "flood": bytes(1 << 20),
        }.get(kind, body)
        self.send_response(200)
        if kind != "unframed":
            self.send_header("Content-Length", str(len(body) if kind == "truncated" else len(sent)))
        self.end_headers()
        if kind == "trickle":
            for byte in sent[:100]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
            return
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Server(ThreadingHTTPServer):
    """A server whose clients may leave whenever they like."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Take no offence."""


@pytest.fixture
def server() -> Iterator[str]:
    """Serve over real HTTP on a free port and give the address."""
    Behaviour.asked = []
    with Server(("127.0.0.1", 0), Behaviour) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def closed() -> str:
    """Return the address of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


# Looking ---------------------------------------------------------------------------------------------------------------


def test_places_are_tried_in_order(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, env = put(tmp_path / "given"), put(tmp_path / "env")
    put(checkout / "data"), put(shared(checkout))
    monkeypatch.setenv("MNIST_DATA_DIR", str(env))
    seen = [sources.gather(collection(), given)[1]]
    for folder in (given, env, checkout / "data", shared(checkout)):
        for file in folder.iterdir():
            file.unlink()
        try:
            seen.append(sources.gather(collection(), given)[1])
        except sources.NotFound:
            seen.append("nowhere")
    assert seen == ["data_dir", "$MNIST_DATA_DIR", "./data", "a shared folder", "nowhere"]


def test_a_place_keeps_its_rank_when_named_twice(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(checkout / "data")
    monkeypatch.setenv("MNIST_DATA_DIR", str(put(tmp_path / "env")))
    assert sources.gather(collection(), "data")[1] == "data_dir"


@pytest.mark.parametrize("layout", ["", "MNIST/raw", "QMNIST/raw", "qmnist"])
@pytest.mark.parametrize("gz", [False, True])
def test_extracted_or_gz_and_torchvisions_folders(checkout: Path, layout: str, gz: bool) -> None:
    put(checkout / "data" / layout, gz)
    assert sources.gather(collection()) == (list(CONTENT.values()), "./data")


def test_the_writers_lie_beside_a_folder_that_need_not_be_there(checkout: Path) -> None:
    put(shared(checkout).parent / "qmnist")
    assert sources.gather(collection())[1] == "a shared folder"


def test_a_repacked_gz_is_as_good_as_the_original(checkout: Path) -> None:
    for name, body in CONTENT.items():
        files.write(checkout / "data" / f"{name}.gz", gzip.compress(body, compresslevel=1, mtime=12345))
    assert sources.gather(collection())[0] == list(CONTENT.values())


def test_relative_folders_count_from_the_root(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(checkout / "mine"), put(checkout / "env")
    monkeypatch.chdir(checkout / "notebooks")
    assert sources.gather(collection(), "mine")[1] == "data_dir"
    monkeypatch.setenv("MNIST_DATA_DIR", "env")
    assert sources.gather(collection())[1] == "$MNIST_DATA_DIR"


def test_a_data_dir_that_is_no_folder_is_named(checkout: Path) -> None:
    put(checkout / "data")
    said: list[str] = []
    assert sources.gather(collection(), "nowhere", said.append)[1] == "./data"
    assert len(said) == 1 and "'nowhere'" in said[0]


# Corruption ------------------------------------------------------------------------------------------------------------

ALPHA, BETA = CONTENT["alpha"], CONTENT["beta"]
CORRUPT = {
    "flipped": ALPHA[:5000] + bytes([ALPHA[5000] ^ 1]) + ALPHA[5001:],
    "flipped header": bytes([1]) + ALPHA[1:],
    "short": ALPHA[:-1],
    "long": ALPHA + b"\0",
    "empty": b"",
    "swapped": BETA,
    "a page": b"<html>" * 100,
    "half a gz": gzip.compress(ALPHA)[:-2000],
    "gz of another": gzip.compress(BETA),
    "gz in name only": b"\x1f\x8b" + ALPHA[2:],
    "gz of too much": gzip.compress(ALPHA + bytes(10_000_000)),
}


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("body", CORRUPT.values(), ids=CORRUPT.keys())
def test_every_corruption_is_caught_named_and_left_alone_elsewhere(checkout: Path, body: bytes, gz: bool) -> None:
    put(shared(checkout))
    (shared(checkout) / "alpha").unlink()
    bad = files.write(shared(checkout) / ("alpha.gz" if gz else "alpha"), body)
    said: list[str] = []
    with pytest.raises(sources.NotFound, match="is bad"):
        sources.gather(collection(), show=said.append)
    assert len(said) == 1 and bad.name in said[0] and "left alone" in said[0]
    assert bad.read_bytes() == body
    assert not (checkout / "data").exists()


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("body", CORRUPT.values(), ids=CORRUPT.keys())
def test_every_corruption_in_data_is_replaced_by_a_download(checkout: Path, server: str, body: bytes, gz: bool) -> None:
    name = "alpha.gz" if gz else "alpha"
    put(checkout / "data", gz)
    files.write(checkout / "data" / name, body)
    said: list[str] = []
    assert sources.gather(collection(f"{server}/good/"), show=said.append) == (list(CONTENT.values()), "downloaded and ./data")
    assert "replaced" in said[0] and name in said[0]
    repaired = (checkout / "data" / name).read_bytes()
    assert (gzip.decompress(repaired) if gz else repaired) == ALPHA
    assert sources.gather(collection()) == (list(CONTENT.values()), "./data")
    assert {file.name for file in (checkout / "data").iterdir()} == ({"alpha.gz", "beta.gz"} if gz else {"alpha", "beta"})


def test_a_bad_file_in_data_stays_until_a_good_one_is_there(checkout: Path) -> None:
    put(checkout / "data", alpha=b"bad")
    with pytest.raises(sources.NotFound):
        sources.gather(collection(closed()))
    assert (checkout / "data" / "alpha").read_bytes() == b"bad"
    put(shared(checkout))
    assert sources.gather(collection())[1] == "a shared folder and ./data"
    assert (checkout / "data" / "alpha").read_bytes() == ALPHA


def test_a_bad_file_in_a_data_dir_stops(checkout: Path, server: str) -> None:
    put(checkout / "mine", alpha=ALPHA[:-1])
    put(checkout / "data")
    with pytest.raises(DataError, match=r"mine.alpha is bad: it holds 102,403 bytes instead of 102,404") as caught:
        sources.gather(collection(f"{server}/good/"), "mine")
    assert not isinstance(caught.value, sources.NotFound)  # "auto" must not take the offline sample for it
    assert (checkout / "mine" / "alpha").read_bytes() == ALPHA[:-1]


def test_data_dir_may_be_data_itself_and_is_then_repaired(checkout: Path, server: str) -> None:
    put(checkout / "data", alpha=b"bad")
    assert sources.gather(collection(f"{server}/good/"), "data")[1] == "downloaded and data_dir"
    assert (checkout / "data" / "alpha").read_bytes() == ALPHA


def test_data_is_repaired_by_another_name_too(checkout: Path, server: str) -> None:
    put(checkout / "data", alpha=b"bad")
    (checkout / "alias").symlink_to(checkout / "data")
    assert sources.gather(collection(f"{server}/good/"), "alias")[1] == "downloaded and data_dir"
    assert (checkout / "data" / "alpha").read_bytes() == ALPHA


def test_a_link_out_of_data_is_not_written_through(checkout: Path, tmp_path: Path, server: str) -> None:
    put(checkout / "data")
    outside = files.write(tmp_path / "precious", b"mine")
    (checkout / "data" / "alpha").unlink()
    (checkout / "data" / "alpha").symlink_to(outside)
    assert sources.gather(collection(f"{server}/good/"))[0] == list(CONTENT.values())
    assert outside.read_bytes() == b"mine"


def test_a_bad_file_beside_data_is_left_alone(checkout: Path, server: str) -> None:
    put(checkout / "qmnist", alpha=b"mine")
    said: list[str] = []
    assert sources.gather(collection(f"{server}/good/"), show=said.append)[1] == "downloaded and ./data"
    assert "left alone" in said[0]
    assert (checkout / "qmnist" / "alpha").read_bytes() == b"mine"


def test_a_bad_extracted_file_beside_a_good_gz(checkout: Path) -> None:
    put(checkout / "data", gz=True)
    put(checkout / "data", beta=b"bad")
    assert sources.gather(collection()) == (list(CONTENT.values()), "./data")
    assert (checkout / "data" / "beta").read_bytes() == BETA


def test_a_file_that_cannot_be_read_is_named(checkout: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    put(shared(checkout))
    (shared(checkout) / "alpha").chmod(0)
    with pytest.raises(sources.NotFound, match="Permission denied"):
        sources.gather(collection())


# Downloading -----------------------------------------------------------------------------------------------------------

FAILURES = {
    "missing": "404",
    "html": "it holds 43 bytes",
    "truncated": "bytes instead of 102,404",
    "short": "it holds 102,403 bytes",
    "wrong": "its sha256",
    "reset": "reset by peer",
    "garbage": "HTTP",
    "flood": "it sends more",
    "hang": "timed out",
    "trickle": "it took more than 4.0 s",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_moves_to_the_next_mirror(checkout: Path, server: str, kind: str) -> None:
    said: list[str] = []
    started = time.monotonic()
    found = sources.gather(collection(f"{server}/{kind}/", f"{server}/good/"), show=said.append)
    assert found == (list(CONTENT.values()), "downloaded")
    assert time.monotonic() - started < 20
    failed = next(sentence for sentence in said if sentence.startswith(f"{server}/{kind}/ failed: "))
    assert FAILURES[kind] in failed
    assert {file.name: file.read_bytes() for file in (checkout / "data").iterdir()} == CONTENT


def test_all_failures_in_a_row_then_a_good_one(checkout: Path, server: str) -> None:
    addresses = [
        closed(),
        "http://no-such-name.invalid/",
        *(f"{server}/{kind}/" for kind in FAILURES if kind != "trickle"),
        f"{server}/good/",
    ]
    assert sources.gather(collection(*addresses), show=lambda _: None) == (list(CONTENT.values()), "downloaded")


@pytest.mark.parametrize("kind", ["extracted", "unframed"])
def test_good_bytes_count_however_they_are_served(checkout: Path, server: str, kind: str) -> None:
    assert sources.gather(collection(f"{server}/{kind}/"))[0] == list(CONTENT.values())


def test_a_mirror_that_does_not_answer_is_asked_once(checkout: Path, server: str) -> None:
    sources.gather(collection(f"{server}/hang/", f"{server}/good/"))
    assert Behaviour.asked == ["hang", "good", "good"]


def test_a_mirror_that_lacks_one_file_still_serves_the_others(checkout: Path, server: str) -> None:
    sources.gather(collection(f"{server}/second/", f"{server}/good/"))
    assert Behaviour.asked == ["second", "good", "second"]


def test_when_all_fail_the_sentence_says_what_was_tried_and_what_to_do(checkout: Path, server: str) -> None:
    put(shared(checkout), alpha=b"bad")
    nobody = closed()
    with pytest.raises(sources.NotFound) as caught:
        sources.gather(collection(f"{server}/missing/", f"{server}/html/", nobody))
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in (
        "Letters",
        "alpha is bad: it holds 3 bytes",
        "not in data",
        "404",
        f"{server}/html/",
        f"{nobody} failed: Connection refused",
    ):
        assert part in sentence
    for advice in ("$MNIST_DATA_DIR", "data_dir", "into data/"):
        assert advice in sentence
    assert not (checkout / "data").exists()


def test_what_was_downloaded_before_a_failure_is_kept(checkout: Path, server: str) -> None:
    with pytest.raises(sources.NotFound):
        sources.gather(collection(f"{server}/first/"))
    assert [file.name for file in (checkout / "data").iterdir()] == ["alpha"]
    assert sources.gather(collection(f"{server}/good/"))[1] == "./data and downloaded"


def test_data_that_cannot_be_kept_is_used_all_the_same(checkout: Path, server: str) -> None:
    files.write(checkout / "data", "a file where the folder should be")
    said: list[str] = []
    assert sources.gather(collection(f"{server}/good/"), show=said.append)[0] == list(CONTENT.values())
    assert any("cannot be written" in sentence for sentence in said)


def test_mirrors_come_from_torchvision_without_the_lapsed_one() -> None:
    assert len(sources.MNIST.mirrors().addresses) >= 2
    for known in (sources.MNIST, sources.QMNIST):
        for address in known.mirrors().addresses:
            assert address.startswith("https://") and address.endswith("/") and "lecun" not in address
        assert known.mirrors().timeout <= 20


@pytest.mark.parametrize("module", [data, sources, digits])
def test_slow_imports_wait_until_they_are_needed(module: ModuleType) -> None:
    lines = Path(module.__file__).read_text().splitlines()
    assert not [line for line in lines if line.startswith(("import ", "from ")) and ("torchvision" in line or "sklearn" in line)]


# The offline sample ----------------------------------------------------------------------------------------------------


def offline(dataset: str = "auto", split: str = "test", limit: int | None = None, **options: object) -> data.Mnist:
    """Load where no mirror answers."""
    nobody = closed()
    mnist, qmnist = (replace(known, mirrors=lambda: sources.Mirrors((nobody,))) for known in (sources.MNIST, sources.QMNIST))
    return data.load(dataset, split, limit, show=lambda _: None, mnist=mnist, qmnist=qmnist, **options)


def test_auto_takes_the_offline_sample_with_a_warning(checkout: Path) -> None:
    with pytest.warns(UserWarning, match="MNIST was neither found nor downloadable.*not MNIST"):
        sample = offline()
    assert (sample.dataset, sample.origin, sample.by_writer) == ("digits", "scikit-learn", False)
    assert "offline sample and not MNIST" in sample.notes[0] and "1,797" in sample.notes[0]
    assert (len(sample.train.ids), len(sample.test.ids)) == (1300, 497)


def test_mnist_does_not_take_the_offline_sample(checkout: Path) -> None:
    with pytest.raises(DataError, match="neither found nor downloadable"):
        offline("mnist")


def test_auto_does_not_take_the_offline_sample_for_a_bad_data_dir(checkout: Path) -> None:
    files.write(checkout / "mine" / "train-images-idx3-ubyte", b"bad")
    with pytest.raises(DataError, match="mine"):
        offline(data_dir="mine")


def test_a_limit_above_the_offline_sample_is_said_when_it_was_not_asked_for(checkout: Path) -> None:
    with pytest.warns(UserWarning):
        sample = offline(limit=6000)
    assert len(sample.train.ids) == 1300 and sample.limit is None and "6,000" in sample.notes[-1]
    with pytest.raises(SettingError, match="from 1 to 1,300"):
        data.load("digits", limit=6000)


def test_digits_look_like_mnist() -> None:
    images, labels = digits.load()
    assert images.shape == (1797, 28, 28) and images.dtype == np.uint8
    inked = np.flatnonzero(images.any(axis=(0, 2))), np.flatnonzero(images.any(axis=(0, 1)))
    assert all(rows.min() >= 4 and rows.max() <= 23 for rows in inked)
    assert images.max() == 255 and 0.05 < images.mean() / 255 < 0.25  # white on black, as much ink as MNIST within a factor
    assert sorted(set(labels)) == list(range(10))


def test_digits_are_enlarged_as_torch_would() -> None:
    from sklearn.datasets import load_digits

    small = torch.from_numpy(load_digits().images)[:, None] * 255 / 16
    expected = torch.nn.functional.interpolate(small, size=(20, 20), mode="bilinear", align_corners=False)[:, 0]
    ours = torch.from_numpy(digits.load()[0])[:, 4:24, 4:24]
    assert (ours - expected).abs().max() <= 0.5 + 1e-6


def test_digits_split_by_a_fixed_rule_without_overlap() -> None:
    judged, held = data.load("digits"), data.load("digits", "validation")
    assert (len(held.train.ids), len(held.test.ids)) == (1000, 300)
    parts = [held.train.ids, held.test.ids, judged.test.ids]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    for part in (held.train, held.test, judged.test):
        assert set(part.labels.tolist()) == set(range(10))
    assert torch.equal(judged.test.images, torch.from_numpy(digits.load()[0])[judged.test.ids])
    assert files.sha256(digits.load()[0].tobytes()) == "de77a57d67c2b949670a7cf0384f375dea4496a1381113ae82360db7fc84ce03"


# MNIST itself ----------------------------------------------------------------------------------------------------------


def test_mnist_is_whole(mnist: data.Mnist) -> None:
    for part, n in ((mnist.train, 60_000), (mnist.test, 10_000)):
        assert part.images.shape == (n, 28, 28) and part.images.dtype == torch.uint8 and part.images.is_contiguous()
        assert part.labels.shape == (n,) and part.labels.dtype == torch.int64
        assert np.array_equal(part.ids, np.arange(n))
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert torch.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mean_and_sd_are_those_of_the_training_images(mnist: data.Mnist) -> None:
    pixels = data.normalise(mnist.train.images)
    assert pixels.shape == (60_000, 1, 28, 28) and pixels.dtype == torch.float32
    assert abs(pixels.mean().item()) < 2e-3 and abs(pixels.std().item() - 1) < 2e-3
    assert mnist.train.images.max() == 255  # the images themselves are left as they were
    assert data.normalise(mnist.test.images[:2], torch.float64).dtype == torch.float64


def test_writers_are_those_of_qmnist(mnist: data.Mnist) -> None:
    if not mnist.by_writer:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    train, test = mnist.train, mnist.test
    assert (len(set(train.writers)), len(set(test.writers))) == (539, 297)
    assert not set(train.writers) & set(test.writers)
    students = test.groups == data.STUDENTS
    assert (len(set(test.writers[students])), int(students.sum())) == (249, 5001)
    assert (len(set(test.writers[~students])), int((~students).sum())) == (48, 4999)
    assert mnist.notes == ()


def test_validation_writers_are_in_no_other_split(mnist: data.Mnist, validation: data.Mnist) -> None:
    if not validation.by_writer:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    trained, held, judged = (set(part.writers) for part in (validation.train, validation.test, mnist.test))
    assert not trained & held and not trained & judged and not held & judged
    assert trained | held == set(mnist.train.writers)
    assert np.array_equal(np.sort(np.concatenate([validation.train.ids, validation.test.ids])), np.arange(60_000))


def test_validation_is_about_ten_thousand_half_from_each_group(validation: data.Mnist) -> None:
    if not validation.by_writer:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    students = validation.test.groups == data.STUDENTS
    for n, writers in ((students.sum(), validation.test.writers[students]), ((~students).sum(), validation.test.writers[~students])):
        largest = np.unique(writers, return_counts=True)[1].max()
        assert 5000 <= n < 5000 + largest
    share = np.bincount(validation.test.labels.numpy(), minlength=10) / len(validation.test.ids)
    assert (np.abs(share - 0.1) < 0.02).all()


def test_parts_of_a_split_hold_their_own_images(mnist: data.Mnist, validation: data.Mnist) -> None:
    for part in (validation.train, validation.test):
        index = torch.from_numpy(part.ids)
        assert torch.equal(part.images, mnist.train.images[index]) and torch.equal(part.labels, mnist.train.labels[index])
        if part.writers is not None:
            assert np.array_equal(part.writers, mnist.train.writers[part.ids])
            assert np.array_equal(part.groups, mnist.train.groups[part.ids])


def test_the_validation_split_is_the_one_that_choices_were_made_on(validation: data.Mnist) -> None:
    if not validation.by_writer:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    assert files.sha256(validation.test.ids.astype("<i8").tobytes()) == "ae26ffef8b947396b7833e161bcaf81ba409867af8b9fa844698fa50724858c3"


def test_a_limit_takes_the_same_mixed_images_each_time(mnist: data.Mnist) -> None:
    small, large = (data.load("mnist", limit=limit, show=lambda _: None) for limit in (500, 6000))
    assert (small.limit, len(small.train.ids), len(small.test.ids)) == (500, 500, 10_000)
    assert set(small.train.ids) < set(large.train.ids)
    assert np.bincount(small.train.labels.numpy(), minlength=10).min() > 25
    assert torch.equal(small.train.images, mnist.train.images[torch.from_numpy(small.train.ids)])
    assert files.sha256(small.train.ids.astype("<i8").tobytes()) == "555ac9a6fdfdc9a1c297d6121de8934bd14a40c323d7f9b1601f42ac16ed0fbc"
    assert small.sha256 == mnist.sha256


def test_a_limit_of_all_is_all(mnist: data.Mnist) -> None:
    assert torch.equal(data.load("mnist", limit=60_000).train.images, mnist.train.images)


def test_a_limit_above_the_validation_splits_training_images_is_named(validation: data.Mnist) -> None:
    n = len(validation.train.ids)
    with pytest.raises(SettingError, match=f"from 1 to {n:,}"):
        data.load("mnist", "validation", limit=n + 1)


@pytest.mark.parametrize("limit", [0, -1, 60_001, 1.5, 100.0, "x", True, [5]])
@pytest.mark.parametrize("dataset", ["auto", "mnist"])
def test_a_limit_out_of_range_stops_before_anything_is_read(checkout: Path, dataset: str, limit: object) -> None:
    with pytest.raises(SettingError, match="must be None.*from 1 to 60,000"):
        data.load(dataset, limit=limit)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "validate"}, "split is 'validate'; it must be 'test' or 'validation'. Did you mean 'validation'?"),
        ({"dataset": "mnits"}, "dataset is 'mnits'; it must be 'auto', 'mnist' or 'digits'. Did you mean 'mnist'?"),
        ({"split": None}, "split is None; it must be 'test' or 'validation'."),
        ({"dataset": ["mnist"]}, "dataset is ['mnist']; it must be 'auto', 'mnist' or 'digits'."),
    ],
)
def test_unknown_names_stop_with_the_nearest(checkout: Path, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        data.load(**options)
    assert str(caught.value).startswith(sentence)


def write_mnist(folder: Path, mnist: data.Mnist, **changed: bytes) -> Path:
    """Write real MNIST as IDX files into a folder, some of them changed."""
    for part, n, name in ((mnist.train, 60_000, "train"), (mnist.test, 10_000, "t10k")):
        images = struct.pack(">4i", 2051, n, 28, 28) + part.images.numpy().tobytes()
        labels = struct.pack(">2i", 2049, n) + part.labels.numpy().astype(np.uint8).tobytes()
        for file, body in ((f"{name}-images-idx3-ubyte", images), (f"{name}-labels-idx1-ubyte", labels)):
            body = changed.get(file.replace("-", "_"), body)
            files.write(folder / file, body)
    return folder


@pytest.fixture
def local(checkout: Path, mnist: data.Mnist) -> Path:
    """Return the data folder of a checkout of its own, with MNIST in it and without the writers."""
    return write_mnist(checkout / "data", mnist)


def test_without_writers_the_validation_split_is_random_and_says_so(local: Path, mnist: data.Mnist) -> None:
    plain, held = offline("mnist"), offline("mnist", "validation")
    assert (held.by_writer, len(held.train.ids), len(held.test.ids)) == (False, 50_000, 10_000)
    assert np.array_equal(held.test.ids, offline("mnist", "validation").test.ids)
    assert 100 < np.count_nonzero(np.diff(held.test.ids) == 1) < 5000  # scattered, not a block
    assert "intervals are over images" in plain.notes[0] and "validation" not in plain.notes[0]
    assert held.notes[:1] == plain.notes and "at random" in held.notes[1]
    assert plain.sha256 == held.sha256
    if mnist.by_writer:
        assert plain.sha256 != mnist.sha256  # the absence of writers is part of what was loaded
    assert plain.origin == "./data" and torch.equal(plain.train.images, mnist.train.images)


def flip(path: Path, where: int) -> None:
    """Change one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(where)
        byte = file.read(1)[0]
        file.seek(where)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("name", [file.name for file in sources.MNIST.files])
def test_one_flipped_bit_of_mnist_is_caught(local: Path, name: str) -> None:
    flip(local / name, -1 % (local / name).stat().st_size)
    with pytest.raises(sources.NotFound, match=f"{name} is bad: its sha256"):
        offline("mnist")


def test_fewer_labels_than_images_are_caught(local: Path) -> None:
    labels = local / "train-labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">2i", 2049, 59_999) + labels.read_bytes()[8:-1])
    with pytest.raises(sources.NotFound, match="holds 60,007 bytes instead of 60,008"):
        offline("mnist")


def test_swapped_files_are_caught(local: Path) -> None:
    train, test = local / "train-labels-idx1-ubyte", local / "t10k-labels-idx1-ubyte"
    train.rename(local / "other"), test.rename(train), (local / "other").rename(test)
    with pytest.raises(sources.NotFound, match="train-labels-idx1-ubyte is bad"):
        offline("mnist")


def test_a_stale_processed_folder_is_ignored(local: Path, mnist: data.Mnist) -> None:
    nonsense = (torch.zeros(60_000, 28, 28, dtype=torch.uint8), torch.zeros(60_000, dtype=torch.int64))
    for folder in (local / "MNIST" / "processed", local / "processed"):
        folder.mkdir(parents=True)
        torch.save(nonsense, folder / "training.pt")
        torch.save(nonsense, folder / "test.pt")
    assert torch.equal(offline("mnist").train.labels, mnist.train.labels)


def test_writers_found_beside_a_data_dir(checkout: Path, mnist: data.Mnist, tmp_path: Path) -> None:
    if not mnist.by_writer:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    tables = dict(zip((file.name for file in sources.QMNIST.files), real_qmnist(), strict=True))
    folder = write_mnist(tmp_path / "elsewhere" / "mnist", mnist)
    for name, body in tables.items():
        files.write(tmp_path / "elsewhere" / "qmnist" / f"{name}.gz", gzip.compress(body, 1))
    found = offline("mnist", data_dir=folder)
    assert found.origin == "data_dir" and np.array_equal(found.test.writers, mnist.test.writers)
    assert found.sha256 == mnist.sha256


def real_qmnist() -> list[bytes]:
    """Return the bytes of the QMNIST label files from where the project itself finds them."""
    here = os.getcwd()
    os.chdir(Path(__file__).parent)
    try:
        return sources.gather(sources.QMNIST)[0]
    finally:
        os.chdir(here)


def test_bad_writers_are_not_used(local: Path, mnist: data.Mnist) -> None:
    name = sources.QMNIST.files[1].name
    files.write(local / name, bytes(sources.QMNIST.files[1].size))
    assert not offline("mnist").by_writer


def test_writers_whose_classes_differ_from_the_labels_are_refused() -> None:
    table = np.arange(32).reshape(4, 8)
    writers, groups = data._writers(table, table[:3, 0])
    assert writers.tolist() == [2, 10, 18] and groups.tolist() == [1, 9, 17]
    with pytest.raises(DataError, match="classes"):
        data._writers(table, table[:3, 0] + 1)


def test_loading_is_fast(mnist: data.Mnist) -> None:
    started = time.process_time()
    data.load("mnist")
    assert time.process_time() - started < 2  # about a third of a second; the rest is for a slow machine


def test_parts_pickle_no_larger_than_their_arrays(validation: data.Mnist) -> None:
    part = validation.test
    assert len(pickle.dumps(part)) < part.images.numel() + 40 * len(part.ids) + 10_000
