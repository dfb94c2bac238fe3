"""A run on AWS, whichever service runs it: options, plan, upload, log, state and results."""

import contextlib
import functools
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cloud import job, packaging
from cloud.aws import client, s3, stack
from cloud.aws.client import Session
from cloud.aws.s3 import Folder
from cloud.job import Job, Record
from mnistlib import files, formatting, steps
from mnistlib.errors import ResultError, SettingError, validated
from mnistlib.logs import log
from mnistlib.report import result as results
from mnistlib.report.result import Result

ROOT = "mnistlib"  # all objects of this project in a bucket are below it
NAME = re.compile(r"[^/]+-[0-9a-f]{10}")
EVERY = 10.0  # seconds between two looks at a run that is followed
LONGEST = 5 * 24 * 3600.0  # seconds that a run is followed: more than any may take, its wait for spare capacity included
LOCK, LOCKED = "lock", 600.0  # a file in a run's folder while it is being started, and the seconds after which it is taken for forgotten
FAILURES = 6  # failed looks in a row, as without a network, before following ends


@validated
class LaunchOptions:
    """What a run asks of AWS."""

    bucket: str
    instance_types: tuple[str, ...]  # tried in this order
    region: str | None = None  # None: the region of AWS's settings
    stack: str = stack.NAME
    spot: bool = False
    minutes: Annotated[int, Field(ge=5, le=24 * 60)] = 120  # after which the run is stopped
    image: str | None = None  # None: the service's default
    price: Annotated[float, Field(ge=0, le=1000)] | None = None  # US dollars per hour; None: asked of AWS
    max_dollars: Annotated[float, Field(gt=0)] | None = None  # that the machine may cost at most; None: no limit
    key_name: str | None = None  # of a key pair for SSH, on EC2
    subnet: str | None = None  # on EC2; None: the stack's, or the default ones
    public_address: bool = True  # on EC2; without one, the subnet needs a way to S3 and the package index


@dataclass(frozen=True)
class LaunchPlan:
    """A run and the instance or training job that it would get; nothing has been started."""

    job: Job
    session: Session
    folder: Folder  # of the run
    options: LaunchOptions
    image: str
    minutes: int  # that the instance may live, set-up included
    price: float | None  # US dollars per hour, of the dearest
    requests: tuple[dict[str, Any], ...]  # to the service, tried in this order until AWS has capacity

    @property
    def cost(self) -> float | None:
        """Return the US dollars that the machine costs at most, None where the price is not known."""
        return None if self.price is None else self.price * self.minutes / 60

    def __str__(self) -> str:
        """Return what a user should know before it starts."""
        spot, types = self.options.spot, " or ".join(self.options.instance_types)
        cost = "cost not known" if self.price is None else f"{'at most ' * spot}{formatting.dollars(self.price)} an hour"
        return (
            f"{self.job.name}: {'spot ' * spot}{types} in {self.session.region_name}, image {self.image}, {cost}, "
            f"at most {formatting.seconds(60 * self.minutes)}{'' if self.cost is None else ' and ' + formatting.dollars(self.cost)}; "
            f"everything goes to {self.folder}"
        )


@dataclass(frozen=True)
class State:
    """How far a run has come."""

    word: str  # "starting", "installing", "running", "succeeded", "failed", "stopped", "timed out", "lost", …
    ended: bool
    reason: str = ""  # a sentence, where there is more to say
    machine: str = ""  # the id of the instance, or the name of the training job


def run_folder(session: Session, bucket: str, name: str) -> Folder:
    """Return where a run is kept in a bucket; raise SettingError for what is no run's name."""
    if not NAME.fullmatch(name):
        raise SettingError(f"{name!r} is not the name of a run; it looks like 03_augment-0123456789, as `run` and `list` print it.")
    return s3.folder(session.client("s3"), f"{s3.SCHEME}{bucket}/{ROOT}/runs/{name}")


def prepare(job: Job, options: LaunchOptions, service: str) -> tuple[Session, Folder, dict[str, str]]:
    """Return session, run folder and the stack's outputs; raise SettingError if the bucket is not the stack's or the run has succeeded."""
    session = client.session(options.region)
    folder = run_folder(session, options.bucket, job.name)
    outputs = stack.stack_outputs(session, options.stack)
    if outputs["Bucket"] != options.bucket:
        raise SettingError(
            f"Instances of the stack {options.stack!r} in {session.region_name} can use only its bucket {outputs['Bucket']!r}, not "
            f"{options.bucket!r}; give --bucket, --stack or --region."
        )
    if succeeded(folder):
        raise SettingError(f"{job.name} has already succeeded; `{service} fetch {job.name} --bucket {options.bucket}` downloads it.")
    return session, folder, outputs


def check_cost(*plans: LaunchPlan) -> None:
    """Raise SettingError where runs may cost more together than the --max-dollars of the first, or where nobody can tell."""
    limit, costs = plans[0].options.max_dollars, [plan.cost for plan in plans]
    if limit is None:
        return
    if None in costs:
        raise SettingError("The price per hour is not known, so --max-dollars cannot be kept; give the price with --price.")
    if sum(costs) > limit:
        who = plans[0].job.name if len(plans) == 1 else f"{formatting.count(len(plans))} runs together"
        raise SettingError(
            f"{who} may cost {formatting.dollars(sum(costs))}, at {formatting.dollars(plans[0].price)} an hour for "
            f"{formatting.seconds(60 * plans[0].minutes)} each, and --max-dollars allows {formatting.dollars(limit)}; give fewer "
            "--minutes or another --instance-type."
        )


def succeeded(folder: Folder) -> bool:
    """Say whether a run has succeeded."""
    record = read_record(folder)
    return record is not None and record.status == "succeeded"


def read_record(folder: Folder) -> Record | None:
    """Return the record that a run left, None where it has not ended."""
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        if not (folder / "out").download(Path(scratch), wanted=lambda name: name == job.RECORD):
            return None
        return job.read(Path(scratch))


def upload(one: Job, folder: Folder, scripts: tuple[str, ...]) -> None:
    """Upload what a run needs: library, notebook with committed results, parameters and scripts."""
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        for name, body in packaging.project([one]).items():
            files.write(Path(scratch, "project", name), body)
        archive = shutil.make_archive(f"{scratch}/project", "gztar", f"{scratch}/project")
        paths = [Path(archive), *(stack.SCRIPTS / name for name in scripts)]
        inputs = {path.name: path.read_bytes() for path in paths} | {packaging.PARAMETERS: packaging.parameters(one)}
        inputs |= _wheel()
    target = folder / "input"
    for name, body in inputs.items():
        target.put(name, body)
    for name in set(target.sizes()) - set(inputs):
        target.delete(name)
    folder.delete(f"out/{job.RECORD}")  # that of an earlier attempt
    log.info("Uploaded library, notebook and parameters to %s", target)


@contextlib.contextmanager
def uploaded(plan: LaunchPlan, scripts: tuple[str, ...]) -> Iterator[None]:
    """Upload what a run needs for a start in here; where that is refused or stopped, delete it again, as if nothing had been asked for."""
    if not plan.folder.put_new(LOCK, b""):
        if time.time() - plan.folder.modified(LOCK) < LOCKED:
            raise SettingError(f"{plan.job.name} is being started elsewhere; try again in a minute, or see `ec2 list`.")
        plan.folder.put(LOCK, b"")
    try:
        upload(plan.job, plan.folder, scripts)
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the reason of the refusal says more
            for name in (plan.folder / "input").sizes():
                (plan.folder / "input").delete(name)
        raise
    finally:
        with contextlib.suppress(Exception):
            plan.folder.delete(LOCK)


@functools.cache
def _wheel() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:  # once for all runs of a process
        path = packaging.wheel(Path(scratch))
        return {path.name: path.read_bytes()}


def log_lines(folder: Folder) -> list[str]:
    """Return what a run has printed so far; before it begins, what its instance has."""
    return (folder.get(f"out/{job.LOG}") or folder.get("machine.log") or b"").decode(errors="replace").splitlines()


def machine(folder: Folder) -> dict[str, Any]:
    """Return the last report of a run's instance, {} where there is none."""
    return json.loads(folder.get("machine.json") or b"{}")


def failure(folder: Folder) -> str:
    """Return why a run failed: the sentence in its record, else the last line that its instance printed."""
    record = read_record(folder)
    if record is not None and record.reason:
        return record.reason
    lines = [line.strip() for line in (folder.get("machine.log") or b"").decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("Ended:")), "")


def follow(folder: Folder, look: Callable[[], State]) -> State:
    """Log what a run prints until it has ended, and return how it ended; raise CloudError where it cannot still be running."""
    shown: list[str] = []
    word, failures, end = "", 0, time.monotonic() + LONGEST
    while time.monotonic() < end:
        try:
            with client.aws_errors():
                state, lines = look(), log_lines(folder)
        except client.CloudError:
            failures += 1
            if failures == FAILURES:
                raise
        else:
            failures = 0
            if state.word != word:
                log.info("%s: %s", folder.name, state.word)
                word = state.word
            known = len(shown) if lines[: len(shown)] == shown else 0  # 0: the run's own log has replaced the instance's
            for line in lines[known:]:
                log.info("%s", line)
            shown = lines
            if state.ended:
                return state
        time.sleep(EVERY)
    raise client.CloudError(f"{folder.name} has not ended after {formatting.seconds(LONGEST)}; see `ec2 list` and end it by hand.")


def fetch(folder: Folder, into: Path, as_evidence: bool = False) -> None:
    """Download what a run left; nothing is replaced before all of it is here and its results are valid.

    `as_evidence`, as for reports/: only pages, results and checkpoints, and only of a full run of the step's own recipe that succeeded with
    the torch of requirements.txt.
    """
    record = read_record(folder)
    if record is None and not (folder / "out").sizes():
        raise SettingError(f"There is nothing to download of {folder} yet.")
    if as_evidence and (record is None or record.status != "succeeded"):
        raise ResultError("Only a run that succeeded may go into reports/; leave out --into to look at this one.")
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        fresh = Path(scratch)
        names = (folder / "out").download(fresh, _is_evidence if as_evidence else lambda name: not name.startswith(f"{job.RUNS}/"))
        for path in sorted(fresh.rglob("results/*.json")):
            result = results.read(path)
            if as_evidence and not (result.headline and result.recipe == steps.get(result.step).recipe):
                raise ResultError(f"This run of {result.step} was shortened or changed its recipe, so it may not go into reports/.")
            if as_evidence:
                _check_torch(result)
        for name in names:
            files.write(into / name, (fresh / name).read_bytes())
    log.info("%s in %s", formatting.counted(len(names), "file"), into)


def _check_torch(result: Result) -> None:
    path = files.root() / "requirements.txt"
    pinned = re.search(r"^torch==([0-9.]+)", path.read_text(encoding="utf-8") if path.is_file() else "", flags=re.MULTILINE)
    given = result.provenance.get("torch")  # a list where the seeds differ
    used = {str(version).partition("+")[0] for version in (given if isinstance(given, list | tuple) else [given])}
    if pinned and used != {pinned[1]}:
        raise ResultError(
            f"This run of {result.step} used torch {formatting.listed(sorted(used))}, and reports/ are made with torch {pinned[1]}; "
            "a run on an instance without a GPU has that one."
        )


def _is_evidence(name: str) -> bool:
    return name.endswith(".html") or bool({"results", "checkpoints", "predictions"} & set(name.split("/")[:-1]))
