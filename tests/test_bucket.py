"""Folders in S3, local folders kept in sync with them, and jobs whose notebook and folder are there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import nbformat
import papermill
import pytest
from clouds import REGION, Cloud, folder
from test_job import STORY, write

from cloud import job
from cloud.aws import client, remote_run, s3
from cloud.aws.s3 import Folder
from mnistlib.errors import SettingError
from mnistlib.notebook import runner

pytest_plugins = ["clouds"]


@pytest.fixture
def place(cloud: Cloud) -> Folder:
    """Return a folder in a bucket of its own."""
    cloud.client("s3").create_bucket(Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    cloud.forget()
    return folder("s3://a-bucket/some/where")


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def test_an_address_is_read_and_written(place):
    assert str(folder("s3://a-bucket/some/where/")) == str(place) == "s3://a-bucket/some/where"
    assert str(place / "x") == "s3://a-bucket/some/where/x" and str(folder("s3://a-bucket") / "x") == "s3://a-bucket/x"
    for text in ("a-bucket/x", "s3://", "s3://A_B/x", "s3:///x", "https://a-bucket/x"):
        with pytest.raises(SettingError, match="s3://BUCKET/NAME"):
            folder(text)


def test_a_folder_lists_all_that_is_in_it_and_nothing_beside_it(place, cloud, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for name in ("a", "b/c", "d", "e", "f/"):
        place.put(name, b"12")
    folder(f"{place}r").put("x", b"another's")
    cloud.forget()
    assert place.sizes() == {"a": 2, "b/c": 2, "d": 2, "e": 2}
    assert len(cloud.asked("ListObjectsV2")) == 3, "one page was all that was asked for"
    assert set(folder("s3://a-bucket").sizes()) == {f"some/where/{name}" for name in ("a", "b/c", "d", "e")} | {"some/wherer/x"}


def test_files_are_downloaded_and_one_that_is_deleted_meanwhile_is_left_out(place, tmp_path, monkeypatch):
    for name, body in {"a": b"1", "b/c": b"", "gone": b"3"}.items():
        place.put(name, body)
    get = Folder.get
    monkeypatch.setattr(Folder, "get", lambda self, name: None if name == "gone" else get(self, name))
    assert place.download(tmp_path, wanted=lambda name: name != "a") == ["b/c"]
    assert [path.name for path in tmp_path.rglob("*")] == ["b", "c"] and (tmp_path / "b" / "c").read_bytes() == b""


def test_no_name_leads_out_of_the_folder(place, tmp_path):
    for name in ("a", "b/../../../out"):
        place.put(name, b"evil")
    with pytest.raises(SettingError, match="outside"):
        place.download(tmp_path / "in" / "here")
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


def test_a_download_that_breaks_off_replaces_nothing(cut_short, tmp_path):
    (tmp_path / "a").write_text("of yesterday")
    with pytest.raises(client.CloudError, match="4 bytes read"), client.aws_errors():
        folder("s3://a-bucket/x").download(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "of yesterday"


def test_a_synced_folder_downloads_what_is_there_and_uploads_what_changes(place, cloud):
    for name in ("kept", "changed", "deleted"):
        place.put(name, b"old")
    with s3.SyncedFolder(place, every=0.05) as here:
        assert sorted(path.name for path in here.iterdir()) == ["changed", "deleted", "kept"]
        cloud.forget()
        (here / "changed").write_text("new")
        (here / "deleted").unlink()
        until(lambda: place.get("changed") == b"new" and place.get("deleted") is None)
    assert set(place.sizes()) == {"kept", "changed"} and not here.exists()
    assert "kept" not in str(cloud.asked("PutObject")), "what had not changed was uploaded"


def test_a_synced_folder_uploads_the_record_last_and_no_half_written_file(place, cloud):
    with s3.SyncedFolder(place, last=job.RECORD) as here:
        (here / "zebra").mkdir()
        for name in (job.RECORD, ".x.1.part", "zebra/z", "a"):
            (here / name).write_text(name)
    sent = [one["Key"].removeprefix(f"{place.prefix}/") for one in cloud.asked("PutObject")]
    assert sorted(sent[:-1]) == ["a", "zebra/z"] and sent[-1] == job.RECORD, "a record was there before what it vouches for"


@pytest.mark.parametrize("n_refusals", [4, 1000])
def test_what_s3_refuses_is_tried_again_and_kept_if_it_never_succeeds(place, monkeypatch, n_refusals):
    monkeypatch.setattr(s3, "WAITS", (0.01, 0.01))
    refused: list[int] = []

    def refuse(**_: object) -> None:
        if len(refused) < n_refusals:
            refused.append(1)
            raise ConnectionError("S3 is away")

    place.client.meta.events.register("before-call.s3.PutObject", refuse)

    def fill() -> None:
        with s3.SyncedFolder(place, every=0.05) as here:
            (here / "a").write_text(str(here))
            until(lambda: len(refused) >= 3)  # in the thread

    if n_refusals == 4:
        fill()
        assert place.get("a")
    else:
        with pytest.raises(client.CloudError, match="S3 is away.*kept") as caught:
            fill()
        here = str(caught.value).split()[0]
        assert open(f"{here}/a").read() == here  # noqa: SIM115


@pytest.mark.slow
def test_a_job_from_and_to_s3_leaves_all_there_and_is_not_run_twice(place, tmp_path, capsys):
    place.put("story.ipynb", write(tmp_path / "story.ipynb", STORY).read_bytes())
    remote_run.run(f"{place}/story.ipynb", {"n": 2}, f"{place}/out")
    assert set((place / "out").sizes()) == {"story.ipynb", "story.html", "n", job.LOG, job.RECORD}
    assert place.get("out/n") == b"2" and json.loads(place.get(f"out/{job.RECORD}"))["status"] == "succeeded"
    assert "already" in remote_run.run(f"{place}/story.ipynb", {"n": 2}, f"{place}/out")
    assert place.get(f"out/{job.LOG}").count(b"working 2") == 1


@pytest.mark.slow
def test_a_job_that_fails_leaves_its_record_in_s3_too(place, tmp_path):
    with pytest.raises(runner.RunError, match="n is below zero"):
        remote_run.run(str(write(tmp_path / "story.ipynb", STORY)), {"n": -1}, str(place))
    record = json.loads(place.get(job.RECORD))
    assert record["status"] == "failed" and "n is below zero" in record["reason"]
    assert "story.failed.ipynb" in place.sizes() and b"n is below zero" in place.get(job.LOG)


def test_the_command_names_what_is_wrong_with_an_address(place, tmp_path, ask):
    story = write(tmp_path / "story.ipynb", STORY)
    code, _, error = ask("job", f"{place}/no.ipynb", "--out", tmp_path)
    assert code == 2 and "no.ipynb" in error
    code, _, error = ask("job", story, "--out", "s3://no-such-bucket/x")
    assert code == 1 and "NoSuchBucket" in error
    assert ask("job", story, "--out", "s3://")[0] == 2
    assert not list(tmp_path.glob("*.html")) and not place.sizes()


def test_s3_is_reached_without_a_region(place, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    boto3.client("s3", region_name=REGION).put_object(Bucket="a-bucket", Key="x", Body=b"1")
    assert s3.folder(client.session().client("s3"), "s3://a-bucket").get("x") == b"1"


@pytest.mark.slow
def test_papermill_itself_reads_and_writes_s3(place, tmp_path, cloud):
    place.put("story.ipynb", write(tmp_path / "story.ipynb", "print('working', n)").read_bytes())
    cloud.forget()
    papermill.execute_notebook(f"{place}/story.ipynb", f"{place}/done.ipynb", {"n": 3}, kernel_name="python3", progress_bar=False)
    story = nbformat.reads(place.get("done.ipynb").decode(), 4)
    assert "working 3" in story.cells[-1].outputs[0].text
    assert {one.get("ACL") for one in cloud.asked("PutObject")} == {"bucket-owner-full-control"}, "the stack's roles allow for this ACL"
