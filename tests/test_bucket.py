"""Addresses in S3, folders kept the same there and here, and runs whose notebook and folder are there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import papermill
import pytest
from clouds import REGION, Cloud
from test_job import STORY, write

from mnistlib import __main__
from mnistlib.aws import client, remote_run, s3
from mnistlib.aws.s3 import Address
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.sweep import job as work

pytest_plugins = ["clouds"]


@pytest.fixture
def place(cloud: Cloud) -> Address:
    """Return an address in a bucket of one's own."""
    cloud.client("s3").create_bucket(Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    cloud.forget()
    return Address("a-bucket", "some/where")


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def test_an_address_is_read_and_written(place):
    assert str(Address.of("s3://a-bucket/some/where/")) == str(place) == "s3://a-bucket/some/where"
    assert place / "x" == Address("a-bucket", "some/where/x") and Address.of("s3://a-bucket") / "x" == Address("a-bucket", "x")
    for text in ("a-bucket/x", "s3://", "s3://A_B/x", "s3:///x", "https://a-bucket/x"):
        with pytest.raises(SettingError, match="is no address in S3; write s3://BUCKET/NAME"):
            Address.of(text)


def test_what_lies_below_an_address_is_listed_whole_and_nothing_beside_it(place, cloud, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for name in ("a", "b/c", "d", "e", "f/"):
        cloud.client("s3").put_object(Bucket=place.bucket, Key=f"{place.key}/{name}", Body=b"12")
    s3.put(Address(place.bucket, f"{place.key}er"), b"another's")
    cloud.forget()
    assert s3.listed(place) == {"a": 2, "b/c": 2, "d": 2, "e": 2}
    assert len(cloud.asked("ListObjectsV2")) == 3, "one page was all that was asked for"
    assert set(s3.listed(Address(place.bucket, ""))) == {f"{place.key}/{name}" for name in ("a", "b/c", "d", "e")} | {f"{place.key}er"}


def test_files_are_brought_and_what_is_gone_meanwhile_is_left_out(place, tmp_path, monkeypatch):
    for name, body in {"a": b"1", "b/c": b"", "gone": b"3"}.items():
        s3.put(place / name, body)
    get = s3.get
    monkeypatch.setattr(s3, "get", lambda at: None if at.key.endswith("gone") else get(at))
    assert s3.bring(place, tmp_path, wanted=lambda name: name != "a") == ["b/c"]
    assert (tmp_path / "b" / "c").read_bytes() == b"" and not (tmp_path / "gone").exists() and not (tmp_path / "a").exists()


def test_no_name_leads_out_of_the_folder(place, cloud, tmp_path):
    for name in ("a", "b/../../../out"):
        cloud.client("s3").put_object(Bucket=place.bucket, Key=f"{place.key}/{name}", Body=b"evil")
    with pytest.raises(SettingError, match="would be written outside"):
        s3.bring(place, tmp_path / "in" / "here")
    assert not list(tmp_path.rglob("*"))


@pytest.fixture
def cut_short(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> Iterator[None]:
    """Put a server in S3's place that promises more of a file than it sends."""

    class Short(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listing = (
                b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>x/a</Key><Size>9</Size></Contents></ListBucketResult>"
            )
            body, length = (listing, len(listing)) if "list-type" in self.path else (b"half", 9)
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield
    server.shutdown()
    server.server_close()


def test_a_file_that_breaks_off_replaces_nothing(cut_short, tmp_path):
    (tmp_path / "a").write_text("of yesterday")
    with pytest.raises(client.CloudError, match="4 bytes read"), client.refusals():
        s3.bring(Address("a-bucket", "x"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "of yesterday"


def test_a_mirror_brings_what_is_there_and_follows_what_changes(place, cloud):
    for name in ("kept", "changed", "removed"):
        s3.put(place / name, b"old")
    with s3.Mirror(place, every=0.05) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["changed", "kept", "removed"]
        cloud.forget()
        (folder / "changed").write_text("new")
        (folder / "removed").unlink()
        until(lambda: s3.get(place / "changed") == b"new" and s3.get(place / "removed") is None)
    assert set(s3.listed(place)) == {"kept", "changed"} and not folder.exists()
    assert "kept" not in str(cloud.asked("PutObject")), "what had not changed was sent"


def test_a_mirror_sends_the_record_last_and_no_half_written_file(place, cloud):
    with s3.Mirror(place) as folder:
        (folder / "zebra").mkdir()
        for name in (work.RECORD, ".x.1.part", "zebra/z", "a"):
            (folder / name).write_text(name)
    sent = [one["Key"].removeprefix(f"{place.key}/") for one in cloud.asked("PutObject")]
    assert sorted(sent[:-1]) == ["a", "zebra/z"] and sent[-1] == work.RECORD, "a record was there before what it vouches for"


def test_a_mirror_outlives_an_outage(place, cloud, monkeypatch, capsys):
    monkeypatch.setattr(s3, "AGAIN", (0.01, 0.01))
    mirror = s3.Mirror(place, every=0.05)
    refused: list[str] = []

    def refuse(operation_name: str = "", **_: object) -> None:
        if len(refused) < 4:
            refused.append(operation_name)
            raise ConnectionError("S3 is away")

    mirror.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with mirror as folder:
        (folder / "a").write_text("1")
        until(lambda: len(refused) == 3)  # in the thread; one more at the end, perhaps
    assert s3.get(place / "a") == b"1" and f"Not sent to {place} yet: S3 is away" in capsys.readouterr().out


def test_what_can_not_be_sent_stays_here_and_is_named(place, monkeypatch):
    monkeypatch.setattr(s3, "AGAIN", (0.01,))
    mirror = s3.Mirror(place)

    def refuse(**_: object) -> None:
        raise ConnectionError("S3 is away")

    mirror.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with (
        pytest.raises(client.CloudError, match=r"could not be sent to s3://a-bucket/some/where \(S3 is away\); it is kept there"),
        mirror as folder,
    ):
        (folder / "a").write_text("1")
    assert (folder / "a").read_text() == "1"


def test_a_run_from_and_to_s3_leaves_all_there_and_is_not_run_twice(place, tmp_path, capsys):
    s3.put(place / "story.ipynb", write(tmp_path / "story.ipynb", STORY).read_bytes())
    out = str(place / "out")
    assert remote_run.run(str(place / "story.ipynb"), {"n": 2}, out) == f"Done; it is in {out}."
    assert set(s3.listed(place / "out")) == {"story.ipynb", "story.html", "n", work.LOG, work.RECORD}
    assert s3.get(place / "out" / "n") == b"2" and json.loads(s3.get(place / "out" / work.RECORD))["status"] == "succeeded"
    assert remote_run.run(str(place / "story.ipynb"), {"n": 2}, out) == f"This very run has succeeded already; it is in {out}."
    assert capsys.readouterr().out.count("working 2") == 1


def test_a_run_that_fails_leaves_its_record_in_s3_too(place, tmp_path):
    with pytest.raises(runner.RunError, match="n is below zero"):
        remote_run.run(str(write(tmp_path / "story.ipynb", STORY)), {"n": -1}, str(place))
    record = json.loads(s3.get(place / work.RECORD))
    assert record["status"] == "failed" and "n is below zero" in record["reason"]
    assert "story.failed.ipynb" in s3.listed(place) and b"n is below zero" in s3.get(place / work.LOG)


def test_the_command_says_what_is_wrong_with_an_address(place, tmp_path, monkeypatch, capsys):
    def said(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["mnistlib", "job", *map(str, words)])
        return __main__.main(), capsys.readouterr().err.strip()

    story = write(tmp_path / "story.ipynb", STORY)
    assert said(place / "no.ipynb", "--out", tmp_path) == (2, f"Error: There is no notebook at '{place / 'no.ipynb'}'.")
    code, words = said(story, "--out", "s3://no-such-bucket/x")
    assert code == 1 and words.startswith("Error: AWS did not do ListObjectsV2 (NoSuchBucket")
    assert said(story, "--out", "s3://")[0] == 2
    assert not list(tmp_path.glob("*.html")) and not s3.listed(place)


def test_papermill_itself_reads_and_writes_s3(place, tmp_path, cloud):
    s3.put(place / "story.ipynb", write(tmp_path / "story.ipynb", "print('working', n)").read_bytes())
    cloud.forget()
    papermill.execute_notebook(str(place / "story.ipynb"), str(place / "done.ipynb"), {"n": 3}, kernel_name="python3", progress_bar=False)
    story = nbformat.reads(s3.get(place / "done.ipynb").decode(), 4)
    assert "working 3" in story.cells[-1].outputs[0].text
    assert {one.get("ACL") for one in cloud.asked("PutObject")} == {"bucket-owner-full-control"}, "the stack's roles allow for this ACL"
