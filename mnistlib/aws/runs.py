"""A unit of work in a cloud, whichever machine runs it: what is sent to S3, what is there to see of it, and how it comes home."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import files, formatting, steps
from mnistlib.aws import client, stack
from mnistlib.aws import s3 as bucket
from mnistlib.aws.launch import Wish
from mnistlib.aws.s3 import Address
from mnistlib.errors import ResultError, SettingError
from mnistlib.published import registry
from mnistlib.recipe import Recipe
from mnistlib.report import results
from mnistlib.sweep import job, packaging
from mnistlib.sweep.job import Job, Record

ROOT = "mnistlib"  # all that this project keeps in a bucket is below it
SCRIPTS = Path(__file__).parent / "scripts"
NAME = re.compile(r"[^/]+-[0-9a-f]{10}")
EVERY = 10.0  # seconds between two looks at a run that is waited for
MISSES = 6  # looks in a row that may fail, as they do while this machine has no network, before the waiting ends


@dataclass(frozen=True)
class State:
    """How far a run has come."""

    word: str  # "starting", "installing", "running", "succeeded", "failed", "stopped", "timed out", "lost", "unknown"
    ended: bool
    why: str = ""  # a sentence, where there is more to say
    machine: str = ""  # the id of the instance or job

    @property
    def code(self) -> int:
        """Return the exit code of a command that waited for it."""
        return 0 if self.word == "succeeded" else 1


def place(bucket_name: str, name: str) -> Address:
    """Return where a run is kept in a bucket, or raise SettingError for what is no run's name."""
    if not NAME.fullmatch(name):
        raise SettingError(f"{name!r} is no run's name; one is such as 03_augment-0123456789, as `run` and `list` print it.")
    return Address(bucket_name, f"{ROOT}/runs/{name}")


def check(wish: Wish) -> str:
    """Return the region of a wish after a look at its bucket; raise SettingError where the bucket is not there or is elsewhere."""
    s3 = client.client("s3", wish.region)
    region = s3.meta.region_name
    if not bucket.ADDRESS.fullmatch(f"s3://{wish.bucket}/"):
        raise SettingError(f"{wish.bucket!r} is no bucket's name; one has small letters, digits, dots and hyphens, from 3 to 63 of them.")
    try:
        there = s3.head_bucket(Bucket=wish.bucket)["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    except s3.exceptions.ClientError as error:
        there = error.response["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if client.code(error) in ("404", "NoSuchBucket"):
            raise SettingError(f"There is no bucket {wish.bucket!r}; the stack {wish.stack!r} makes one and names it.") from None
        if not there or there == region:
            raise
    if there != region:
        raise SettingError(f"The bucket {wish.bucket!r} is in {there}, not in {region}; give --region {there}, or another bucket.")
    return region


def made(wish: Wish, region: str) -> dict[str, str]:
    """Return the outputs of a wish's stack; raise SettingError where its machines could not use the bucket."""
    outputs = stack.outputs(wish.stack, region)
    if outputs["Bucket"] != wish.bucket:
        own = outputs["Bucket"]
        raise SettingError(
            f"The machines of the stack {wish.stack!r} may use its own bucket alone, {own!r}; give that, or another --stack."
        )
    return outputs


def finished(at: Address) -> bool:
    """Say whether a run has succeeded already."""
    record = recorded(at)
    return record is not None and record.status == "succeeded"


def recorded(at: Address) -> Record | None:
    """Return the record that a run left in S3, None where it has not ended."""
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        body = bucket.get(at / "out" / job.RECORD)
        if body is None:
            return None
        files.write(Path(scratch) / job.RECORD, body)
        return job.read(Path(scratch))


def send(one: Job, at: Address, scripts: tuple[str, ...], show: Callable[[str], Any]) -> None:
    """Send all that a run needs: data by its hash, once for all runs, then library, project, parameters and scripts."""
    store = Address(at.bucket, f"{ROOT}/data")
    held, there = packaging.data([one]), bucket.listed(store)
    for name, body in held.items():
        if there.get(name) != len(body):
            show(f"Sending data, {formatting.millions(len(body))}B: {store / name[:10]}…")
            bucket.put(store / name, body)
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        wheel = packaging.wheel(Path(scratch))
        sent = {wheel.name: wheel.read_bytes(), "project.tar.gz": _packed(packaging.project([one]))}
    sent[packaging.PARAMETERS] = packaging.parameters(one)
    sent |= {name: (SCRIPTS / name).read_bytes() for name in scripts}
    for name, body in sent.items():
        bucket.put(at / "input" / name, body)
    stale = [at / "input" / name for name in set(bucket.listed(at / "input")) - set(sent)]
    for gone in (*stale, at / "out" / job.RECORD):  # how an earlier attempt failed is not how this one ends
        client.client("s3").delete_object(Bucket=gone.bucket, Key=gone.key)
    show(f"Sent library, notebook and parameters to {at / 'input'}")


def _packed(held: dict[str, bytes]) -> bytes:
    """Return files as a compressed archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in held.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def log(at: Address) -> list[str]:
    """Return what a run has printed so far; what its machine said, where the run has not begun."""
    body = bucket.get(at / "out" / job.LOG) or bucket.get(at / "machine.log") or b""
    return body.decode(errors="replace").splitlines()


def reason(at: Address) -> str:
    """Return why a run failed: its record's sentence, else the last line of what was printed."""
    record = recorded(at)
    if record is not None and record.reason:
        return record.reason
    lines = (bucket.get(at / "machine.log") or b"").decode(errors="replace").splitlines()  # with all that this attempt printed
    return next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith("Ended:")), "")


def follow(at: Address, look: Callable[[], State], show: Callable[[str], Any], every: float = EVERY) -> State:
    """Show what a run prints until it has ended, and return how."""
    shown: list[str] = []
    word, misses = "", 0
    while True:
        try:
            with client.refusals():
                state, lines = look(), log(at)
        except client.CloudError:
            misses += 1
            if misses == MISSES:
                raise
            time.sleep(every)
            continue
        misses = 0
        if state.word != word:
            show(f"{at.key.rpartition('/')[2]}: {state.word}")
            word = state.word
        if lines[: len(shown)] != shown:  # the run's own log has taken the machine's place
            shown = []
        for line in lines[len(shown) :]:
            show(line)
        shown = lines
        if state.ended:
            return state
        time.sleep(every)


def fetch(at: Address, into: Path, show: Callable[[str], Any], reports: bool = False) -> list[Path]:
    """Bring what a run left home and return where it is; nothing is replaced before all of it is here and its results prove sound.

    With `reports`, only what reports/ holds is taken: pages, results and checkpoints, of a run that succeeded and was the step's own, on
    all images and judged on the test images.
    """
    record = recorded(at)
    if not bucket.listed(at / "out") and record is None:
        raise SettingError(f"There is nothing of {at.key.rpartition('/')[2]!r} in {at.bucket!r} to bring home yet.")
    if reports and (record is None or record.status != "succeeded"):
        raise ResultError("Only a run that has succeeded goes into reports/; leave --into out to look at what there is of this one.")
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        fresh = Path(scratch)
        names = bucket.bring(at / "out", fresh, wanted=_evidence if reports else lambda name: not name.startswith(f"{job.RUNS}/"))
        for path in sorted(fresh.rglob("results/*.json")):
            result = results.read(path)
            if reports and not (result.headline and result.recipe == _recipe(result.step)):
                raise ResultError(f"This run of {result.step} was shortened, or tried another recipe, so it is no evidence of the step.")
        for name in names:
            files.write(into / name, (fresh / name).read_bytes())
    show(f"{formatting.counted(len(names), 'file')} in {into}")
    return [into / name for name in names]


def _recipe(name: str) -> Recipe | None:
    """Return the recipe of a step or a published row, None where there is none of that name."""
    try:
        return steps.get(name).recipe if name in steps.STEPS else registry.get(name).recipe
    except SettingError:
        return None


def _evidence(name: str) -> bool:
    """Say whether a file of a run is one that reports/ holds."""
    return name.endswith(".html") or bool({"results", "checkpoints"} & set(name.split("/")[:-1]))


def machine(at: Address) -> dict[str, Any]:
    """Return what a run's machine last said of itself, nothing where it has not spoken."""
    body = bucket.get(at / "machine.json")
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return {}
