"""A run as a training job: what is asked of Amazon, what the job does for real, and how true its end is told."""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from clouds import ACCOUNT, REGION, Cloud, interruptible
from machines import Machine
from moto.sagemaker.models import FakeTrainingJob
from moto.sagemaker.responses import SageMakerResponse
from test_job import write

from mnistlib import __main__, data, steps, train
from mnistlib.aws import client, runs, s3, sagemaker
from mnistlib.aws.launch import Wish
from mnistlib.aws.s3 import Address
from mnistlib.notebook import runner
from mnistlib.report import results
from mnistlib.sweep import job as unit
from mnistlib.sweep import job as work
from mnistlib.sweep import packaging

pytest_plugins = ["clouds", "machines", "stubs"]

STORY = """
import os, signal, time
from pathlib import Path

print("working", n, flush=True)
assert n >= 0, "n is below zero"
if n == 9:
    os.kill(os.getpid(), signal.SIGKILL)
if n == 8:
    time.sleep(300)
Path(results_dir, "n").write_text(str(n))
"""
TYPE, DOLLARS = "ml.c5.xlarge", ("--price", "0.25")
MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {}, "layers": []}'
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the stack's outputs, in a cloud that has the default image (moto knows one registry), and whose jobs are born and can stop."""
    repository = sagemaker.IMAGE.format(account=sagemaker.OWNER, region=REGION, kind=sagemaker.KINDS[False])
    tag, ecr = repository.rpartition(":")[2], cloud.client("ecr")
    ecr.create_repository(repositoryName="pytorch-training")
    ecr.put_image(repositoryName="pytorch-training", imageManifest=MANIFEST, imageTag=tag)
    born = FakeTrainingJob.__init__

    def bear(job: Any, *args: Any, **others: Any) -> None:
        born(job, *args, **others)
        job.training_job_status, job.secondary_status = "InProgress", "Starting"

    def stop(self: SageMakerResponse) -> str:
        job = self.sagemaker_backend.training_jobs[self._get_param("TrainingJobName")]
        job.training_job_status, job.secondary_status = "Stopping", "Stopping"
        return "{}"

    monkeypatch.setattr(FakeTrainingJob, "__init__", bear)
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop, raising=False)
    outputs = cloud.deploy()
    cloud.forget()
    return outputs


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """Return a small notebook."""
    return write(tmp_path / "story.ipynb", STORY, parameters="n = 1\nresults_dir = 'build'")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Ask:
    """Return what runs a command and gives its exit code, what it printed, and what it complained of."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mnistlib", "sagemaker", *map(str, words)])
        try:
            code = __main__.main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def job(name: str) -> FakeTrainingJob:
    """Return moto's own object for a run's latest job."""
    from moto.backends import get_backend

    held = get_backend("sagemaker")[ACCOUNT][REGION].training_jobs
    return [held[one] for one in held if one.startswith(sagemaker.slug(name))][-1]


def fits(shape: Any, value: Any) -> None:
    """Hold a value against all that the service's model says of it: botocore itself overlooks lengths, patterns and choices."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            fits(shape.members[name], inner)
    elif shape.type_name == "list":
        assert len(value) <= shape.metadata.get("max", len(value))
        for inner in value:
            fits(shape.member, inner)
    elif shape.type_name == "map":
        for name, inner in value.items():
            fits(shape.key, name)
            fits(shape.value, inner)
    elif shape.type_name == "string":
        assert len(value) <= shape.metadata.get("max", len(value)), value
        assert value in (shape.enum or [value])
        if r"\p" not in shape.metadata.get("pattern", r"\p"):
            assert re.fullmatch(shape.metadata["pattern"], value), value
    elif shape.type_name == "integer":
        assert value >= shape.metadata.get("min", value)


def wish(made: dict[str, str], **others: object) -> Wish:
    """Return what a run is to have."""
    return Wish(**{"bucket": made["Bucket"], "instance_type": TYPE, "price": 0.25} | others)


# What is asked of Amazon


def test_a_job_is_asked_for_with_all_that_it_needs(made, cloud, story):
    plan = sagemaker.plan(unit.make(story, {"n": 2}), wish(made, minutes=30))
    assert "CreateTrainingJob" not in str(cloud.requests) and "PutObject" not in str(cloud.requests), "a plan started something"
    name = sagemaker.launch(plan, lambda line: None)
    (asked,) = cloud.asked("CreateTrainingJob")
    fits(client.client("sagemaker").meta.service_model.shape_for("CreateTrainingJobRequest"), asked)
    at, image = (
        f"s3://{made['Bucket']}/mnistlib/runs/{plan.unit.name}",
        sagemaker.IMAGE.format(account=sagemaker.OWNER, region=REGION, kind="cpu-py312"),
    )
    assert re.fullmatch(rf"mnistlib-story-{plan.unit.key[:10]}-\d{{14}}", name)
    assert asked == {
        "TrainingJobName": name,
        "RoleArn": made["TrainingRole"],
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "/opt/ml/input/data/code/entry.sh"],
        },
        "InputDataConfig": [
            {
                "ChannelName": "code",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{at}/input/", "S3DataDistributionType": "FullyReplicated"}
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{made['Bucket']}/mnistlib/sagemaker"},
        "CheckpointConfig": {"S3Uri": at, "LocalPath": "/opt/ml/checkpoints"},
        "ResourceConfig": {"InstanceType": TYPE, "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 2700},
        "EnableManagedSpotTraining": False,
        "Environment": {
            "JOB": name,
            "NOTEBOOK": "story.ipynb",
            "SERVICE": "SageMaker",
            "INSTANCE_TYPE": TYPE,
            "IMAGE": image,
            "PRICE": "0.25",
            "REGION": REGION,
        },
        "Tags": [{"Key": "project", "Value": "mnistlib"}, {"Key": "mnistlib-run", "Value": plan.unit.name}],
    }


def test_what_is_sent_along_is_all_that_the_scripts_read(made, story):
    plan = sagemaker.plan(unit.make(story, {"n": 2}), wish(made))
    s3.put(plan.at / "input" / "mnistlib-0.0.1-py3-none-any.whl", b"of yesterday")
    sagemaker.launch(plan, lambda line: None)
    sent = s3.listed(plan.at / "input")
    (wheel,) = [name for name in sent if name.endswith(".whl")]
    assert set(sent) == {"entry.sh", "run.sh", "project.tar.gz", "parameters.yaml", wheel} and "0.0.1" not in wheel
    assert s3.get(plan.at / "input" / "parameters.yaml") == b"n: 2\n"
    with tarfile.open(fileobj=io.BytesIO(s3.get(plan.at / "input" / "project.tar.gz"))) as archive:
        assert archive.extractfile("notebooks/story.ipynb").read() == story.read_bytes()


def test_spare_capacity_is_waited_for_longer_than_a_run_may_take(made, story):
    asked = sagemaker.plan(unit.make(story, {}), wish(made, spot=True, minutes=30)).request
    assert asked["EnableManagedSpotTraining"] and asked["Environment"]["SERVICE"] == "SageMaker managed spot"
    assert asked["StoppingCondition"]["MaxWaitTimeInSeconds"] >= asked["StoppingCondition"]["MaxRuntimeInSeconds"] == 2700


def test_data_goes_once_for_all_runs_and_a_job_has_it_in_a_channel(made, story, cloud, monkeypatch):
    monkeypatch.setattr(packaging, "data", lambda units: {"f" * 64: b"images"})
    plan = sagemaker.plan(unit.make(story, {}), wish(made))
    code, data = (channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in plan.request["InputDataConfig"])
    assert [channel["ChannelName"] for channel in plan.request["InputDataConfig"]] == ["code", "mnist"]
    for _ in range(2):
        sagemaker.launch(plan, lambda line: None)
        plan.request["TrainingJobName"] += "1"
    assert s3.listed(Address.of(data)) == {"f" * 64: 6} and code.endswith(f"/{plan.unit.name}/input/")
    assert [one["Key"] for one in cloud.asked("PutObject")].count(f"mnistlib/data/{'f' * 64}") == 1


@pytest.mark.parametrize("stem", ["03_augment", "a", "_", "a" * 100, "x_-_y" * 20, "A--"])
def test_a_jobs_name_is_one_that_amazon_takes_and_finds_again(stem, cloud):
    shapes = client.client("sagemaker").meta.service_model
    slug = sagemaker.slug(f"{stem}-0123456789")
    fits(shapes.shape_for("TrainingJobName"), f"{slug}-20261231235959")
    fits(shapes.shape_for("NameContains"), slug)
    assert slug.endswith("-0123456789"), "another run's jobs would be taken for this one's"


def test_the_image_fits_the_machine_and_the_region(made, story, cloud, monkeypatch):
    monkeypatch.setattr(sagemaker, "_held", lambda image, region: True)
    assert ":2.8.0-gpu-py312" in str(sagemaker.plan(unit.make(story, {}), wish(made, instance_type="ml.g4dn.xlarge")))
    monkeypatch.setattr(runs, "check", lambda wish: "eu-south-1")
    monkeypatch.setattr(runs, "made", lambda wish, region: made)
    assert "image 692866216735.dkr.ecr.eu-south-1." in str(sagemaker.plan(unit.make(story, {}), wish(made)))


def test_a_registry_that_does_not_answer_strangers_stops_nobody(made, story, stubbed):
    image = f"210987654321.dkr.ecr.{REGION}.amazonaws.com/mine@sha256:{'a' * 64}"
    which = {"registryId": "210987654321", "repositoryName": "mine", "imageIds": [{"imageDigest": f"sha256:{'a' * 64}"}]}
    stubbed("ecr").add_client_error("batch_get_image", "AccessDeniedException", "no policy", expected_params=which)
    plan = sagemaker.plan(unit.make(story, {}), wish(made, image=image))
    assert plan.request["AlgorithmSpecification"]["TrainingImage"] == image


BAD: dict[str, tuple[list[str], str]] = {
    "no bucket": (["--bucket", "no-such-bucket"], "There is no bucket 'no-such-bucket'; the stack 'mnistlib' makes one"),
    "no bucket's name": (["--bucket", "No_Bucket"], "'No_Bucket' is no bucket's name"),
    "a bucket elsewhere": (["--bucket", "far-away"], "'far-away' is in us-west-2, not in eu-central-1; give --region us-west-2"),
    "no stack": (["--stack", "none"], "There is no finished stack 'none' in eu-central-1"),
    "no notebook": (["03_agument"], "There is no notebook '03_agument'. Did you mean '03_augment'?"),
    "no parameter": (["-p", "m", "1"], "There is no parameter 'm'"),
    "no type": (["--instance-type", "ml.c5.xlarg"], "no instance type 'ml.c5.xlarg' for training. Did you mean 'ml.c5.xlarge'?"),
    "no image": (["--image", f"{sagemaker.OWNER}.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:none"], "There is no image"),
    "no repository": (["--image", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/none:1"], "There is no image"),
    "an image elsewhere": (["--image", f"{sagemaker.OWNER}.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:1"], "There is no image"),
    "no image's name": (["--image", "pytorch:latest"], "--image takes ACCOUNT.dkr.ecr.eu-central-1.amazonaws.com/NAME:TAG"),
    "no time": (["--minutes", "1"], "minutes is 1; it must be a whole number from 5 to 1,440"),
}


def test_what_cannot_be_had_stops_before_anything_is_sent(made, story, cloud, ask):
    there = {"LocationConstraint": "us-west-2"}
    boto3.client("s3", region_name="us-west-2").create_bucket(Bucket="far-away", CreateBucketConfiguration=there)
    cloud.forget()
    for bad, (words, said) in BAD.items():
        given = [] if words[0].startswith("03") else [story]
        code, out, error = ask("run", *given, "--bucket", made["Bucket"], *DOLLARS, *words)
        assert (code, out) == (2, "") and said in error, bad
    assert not cloud.asked("PutObject", "CreateTrainingJob")


def test_a_dry_run_sends_nothing_and_starts_nothing(made, story, cloud, ask):
    code, said, error = ask("run", story, "--bucket", made["Bucket"], "--spot", "-p", "n", "2", "--dry-run", *DOLLARS)
    name = unit.make(story, {"n": 2}).name
    assert (code, error) == (0, "") and said.splitlines()[-1] == "Nothing was started."
    assert said.startswith(f"{name}: spot {TYPE} in {REGION}, image {sagemaker.OWNER}.dkr.ecr.")
    assert ", at most $0.250 an hour, at most 2 h 15 min; everything goes to s3://" in said
    asked = {operation for _, operation, _ in cloud.requests}
    assert asked == {"HeadBucket", "DescribeStacks", "GetObject", "ListTrainingJobs", "BatchGetImage", "DescribeInstances"}
    assert not s3.listed(Address(made["Bucket"], ""))


def test_a_run_says_how_to_follow_stop_and_fetch_it_and_is_not_started_twice(made, story, cloud, ask):
    code, said, _ = ask("run", story, "--bucket", made["Bucket"], *DOLLARS)
    name, where = unit.make(story, {}).name, f"--bucket {made['Bucket']} --region {REGION}"
    latest = job(name).training_job_name
    assert code == 0 and said.splitlines()[-4:] == [
        f"Started {latest} for {name}.",
        f"Follow it:  python -m mnistlib sagemaker status {name} {where} --wait",
        f"Stop it:    python -m mnistlib sagemaker stop {name} --region {REGION}",
        f"Bring home: python -m mnistlib sagemaker fetch {name} {where}",
    ]
    cloud.forget()
    code, _, error = ask("run", story, "--bucket", made["Bucket"], *DOLLARS)
    assert code == 2 and f"{name} is under way as {latest}; `sagemaker status {name}` says how far it is." in error
    assert ask("run", story, "--bucket", made["Bucket"], "-p", "n", "2", "--dry-run", *DOLLARS)[0] == 0, "another run was held up"
    at = runs.place(made["Bucket"], name)
    s3.put(at / "out" / work.RECORD, work.record_text(unit.make(story, {}), "succeeded", "", 1.0))
    cloud.forget()
    code, _, error = ask("run", story, "--bucket", made["Bucket"], *DOLLARS)
    assert code == 2 and f"{name} has succeeded already; `sagemaker fetch {name} --bucket {made['Bucket']}` brings it home." in error
    assert not cloud.asked("PutObject", "CreateTrainingJob")


def test_a_quota_of_nothing_says_where_to_ask_for_more(made, story, stubbed, ask):
    stub = stubbed("sagemaker")
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": []})
    words = f"The account-level service limit '{TYPE} for training job usage' is 0 Instances."
    stub.add_client_error("create_training_job", "ResourceLimitExceeded", words)
    code, said, error = ask("run", story, "--bucket", made["Bucket"], *DOLLARS)
    assert code == 1 and "Started" not in said
    assert error.strip() == (
        f"Error: The account's quota does not allow it ({words[:-1]}); ask for more at {client.QUOTAS}, or take another instance type."
    )


# How far it is, and how it ended


@pytest.mark.parametrize(
    ("status", "detail", "record", "word", "ended", "why"),
    [
        ("InProgress", "Starting", "", "starting", False, ""),
        ("InProgress", "DownloadingTrainingImage", "", "downloading training image", False, ""),
        ("InProgress", "Interrupted", "failed", "interrupted", False, ""),
        ("Stopping", "Stopping", "", "stopping", False, ""),
        ("Completed", "Completed", "succeeded", "succeeded", True, ""),
        ("Completed", "Completed", "", "failed", True, "it left no record of a run that succeeded"),
        ("Completed", "Completed", "failed", "failed", True, "it left no record of a run that succeeded"),
        ("Failed", "Failed", "failed", "failed", True, "AlgorithmError: n is below zero, exit code: 1"),
        ("Stopped", "Stopped", "", "stopped", True, "It was stopped; the same `sagemaker run` goes on"),
        ("Stopped", "Stopped", "succeeded", "succeeded", True, ""),
        ("Stopped", "MaxRuntimeExceeded", "", "timed out", True, "It took longer than --minutes allows; the same"),
        ("Stopped", "MaxWaitTimeExceeded", "", "timed out", True, "There was no spare capacity for long enough; the same"),
        ("Deleting", "Completed", "", "unknown", True, ""),
    ],
)
def test_how_far_a_run_is(cloud, story, stubbed, status, detail, record, word, ended, why):
    one, now = unit.make(story, {}), datetime.now(UTC)
    at = runs.place("a-bucket", one.name)
    cloud.client("s3").create_bucket(Bucket=at.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    if record:
        s3.put(at / "out" / work.RECORD, work.record_text(one, record, "", 1.0))
    named = {"TrainingJobName": "j", "TrainingJobArn": "arn:aws:sagemaker:eu-central-1:123456789012:training-job/j", "CreationTime": now}
    told = named | {"TrainingJobStatus": status, "SecondaryStatus": detail, "ModelArtifacts": {"S3ModelArtifacts": "s3://b/x"}}
    told |= {"StoppingCondition": {}} | ({"FailureReason": why} if status == "Failed" else {})
    listing = {"TrainingJobSummaries": [named | {"TrainingJobStatus": status}]}
    stubbed("sagemaker").add_response("list_training_jobs", listing, {"NameContains": sagemaker.slug(one.name)})
    stubbed("sagemaker").add_response("describe_training_job", told, {"TrainingJobName": "j"})
    state = sagemaker.state(at, None)
    assert (state.word, state.ended, state.machine) == (word, ended, "j") and why in state.why and bool(why) == bool(state.why)
    assert state.code == (0 if word == "succeeded" else 1)


def test_the_latest_job_counts_on_whichever_page_it_is(stubbed):
    def page(*hours: int) -> list[dict[str, Any]]:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            {"TrainingJobName": f"j{h}", "TrainingJobArn": "a", "CreationTime": start + timedelta(hours=h), "TrainingJobStatus": "Stopped"}
            for h in hours
        ]

    stub = stubbed("sagemaker")
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": page(1, 3), "NextToken": "t"}, {"NameContains": sagemaker.slug("x-1")})
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": page(2)}, {"NameContains": sagemaker.slug("x-1"), "NextToken": "t"})
    assert sagemaker.newest("x-1", None)["TrainingJobName"] == "j3"


def test_a_status_is_nothing_to_fail_for_until_the_run_has_failed(made, story, ask):
    name = unit.make(story, {}).name
    where = ("--bucket", made["Bucket"])
    code, _, error = ask("status", name, *where)
    assert code == 2 and f"No training job has had the run {name!r}; `sagemaker run` starts one." in error
    assert ask("status", "story", *where)[0] == 2
    ask("run", story, *where, *DOLLARS)
    one = job(name)
    s3.put(runs.place(made["Bucket"], name) / "machine.log", "\n".join(f"line {n}" for n in range(20)).encode())
    code, said, error = ask("status", name, *where)
    assert (code, error) == (0, "")
    assert said.splitlines() == [*(f"line {n}" for n in range(10, 20)), f"{name}: starting  {one.training_job_name}"]
    one.training_job_status = one.secondary_status = "Failed"
    one.failure_reason = "AlgorithmError: n is below zero, exit code: 1"
    for words in ((), ("--wait",)):
        code, said, error = ask("status", name, *where, *words)
        assert code == 1 and error.strip() == one.failure_reason and "failed" in said


def test_stopping_asks_for_the_job_under_way_alone(made, story, cloud, ask):
    name = unit.make(story, {}).name
    assert ask("stop", name) == (0, f"{name} has no training job under way.\n", "")
    ask("run", story, "--bucket", made["Bucket"], *DOLLARS)
    one = job(name)
    assert [found["TrainingJobName"] for found in sagemaker.running(None)] == [one.training_job_name]
    assert ask("stop", name) == (0, f"Stopping {one.training_job_name}.\n", "")
    assert cloud.asked("StopTrainingJob") == [{"TrainingJobName": one.training_job_name}] and one.training_job_status == "Stopping"
    one.training_job_status = "InProgress"
    assert ask("stop", one.training_job_name) == (0, f"Stopping {one.training_job_name}.\n", ""), "a list names jobs, not runs"
    cloud.requests.pop()
    assert ask("stop", name)[0] == 0 and len(cloud.asked("StopTrainingJob")) == 1
    one.training_job_status = one.secondary_status = "Stopped"
    assert not sagemaker.running(None)
    code, said, error = ask("status", name, "--bucket", made["Bucket"])
    assert code == 1 and "stopped" in said and "the same `sagemaker run` goes on from what it had saved" in error


def test_nothing_to_fetch_is_said(made, story, ask, tmp_path):
    name = unit.make(story, {}).name
    code, _, error = ask("fetch", name, "--bucket", made["Bucket"], "--into", tmp_path / "home")
    assert code == 2 and "There is nothing of" in error and not (tmp_path / "home").exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_and_not_the_run(made, story):
    name = unit.make(story, {}).name
    command = [sys.executable, "-m", "mnistlib", "sagemaker", "run", str(story), "--bucket", made["Bucket"], *DOLLARS, "--wait"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": interruptible}
    with subprocess.Popen(command, **pipes) as process:
        assert any(line == f"{name}: starting\n" for line in process.stdout), process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    us = "python -m mnistlib sagemaker"
    assert process.returncode == 130 and error.strip() == (
        f"The run goes on in the cloud. Follow it with `{us} status {name} --bucket {made['Bucket']} --region {REGION} --wait`, "
        f"stop it with `{us} stop {name} --region {REGION}`."
    )
    assert job(name).training_job_status == "InProgress"


# What the job does for real


class Container:
    """What SageMaker does around a job: the channels and what S3 holds of the run before it, the same folder's like in S3 after it."""

    def __init__(self, machine: Machine, request: dict[str, Any]) -> None:
        self.machine, self.request, self.ml = machine, request, machine.root / "ml"
        self.kept, self.at = self.ml / "checkpoints", Address.of(request["CheckpointConfig"]["S3Uri"])
        for old in (self.ml, machine.root / "home"):
            shutil.rmtree(old, ignore_errors=True)
        s3.bring(self.at, self.kept)
        for channel in request["InputDataConfig"]:
            place = Address.of(channel["DataSource"]["S3DataSource"]["S3Uri"])
            assert s3.bring(place, self.ml / "input" / "data" / channel["ChannelName"]), "SageMaker refuses an empty channel"

    def start(self) -> None:
        """Start the entry point."""
        command = " ".join(self.request["AlgorithmSpecification"]["ContainerEntrypoint"]).replace("/opt/ml", str(self.ml))
        self.machine.start(f"exec {command}", MNISTLIB_ML=str(self.ml), **self.request["Environment"])

    def says(self, words: str) -> bool:
        """Say whether the run's log holds words."""
        path = self.kept / "out" / work.LOG
        return path.is_file() and words in path.read_text()

    def end(self, stopped: bool = False) -> int:
        """Wait for the end, take home what is there, tell the job's state as SageMaker would, and return the exit code."""
        code, failure = self.machine.wait(), self.ml / "output" / "failure"
        here = {path.relative_to(self.kept).as_posix(): path.read_bytes() for path in self.kept.rglob("*") if path.is_file()}
        for name, body in here.items():
            s3.put(self.at / name, body)
        for name in set(s3.listed(self.at)) - set(here):
            client.client("s3").delete_object(Bucket=self.at.bucket, Key=(self.at / name).key)
        one = job(self.at.key.rpartition("/")[2])
        one.training_job_status = one.secondary_status = "Stopped" if stopped else "Failed" if code else "Completed"
        if code and not stopped:
            one.failure_reason = f"AlgorithmError: {failure.read_text()}, exit code: {code}"[:1024]
        return code


def launched(made: dict[str, str], machine: Machine, one: work.Job, spoil: Callable[[Address], None] = lambda at: None) -> Container:
    """Start a run's job and return its container, under way."""
    plan = sagemaker.plan(one, wish(made))
    sagemaker.launch(plan, lambda line: None)
    spoil(plan.at)
    container = Container(machine, plan.request)
    container.start()
    return container


def until(true: Callable[[], bool], machine: Machine, seconds: float = 90) -> None:
    """Wait until something is true while a machine runs."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end and machine.process.poll() is None, (machine.root / "console").read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_job_that_succeeds_leaves_all_and_comes_home(made, story, machine, ask, tmp_path):
    one = unit.make(story, {"n": 2})
    container = launched(made, machine, one)
    assert container.end() == 0 and not (container.ml / "output" / "failure").exists()
    record = runs.recorded(container.at)
    assert (record.status, record.key) == ("succeeded", one.key), "the machine ran something else than was planned"
    said = runs.machine(container.at)
    assert (said["phase"], said["code"], said["instance"]) == ("succeeded", 0, container.request["TrainingJobName"])
    where = ("--bucket", made["Bucket"])
    code, out, error = ask("status", one.name, *where)
    assert (code, error) == (0, "") and "working 2" in out and f"{one.name}: succeeded  {container.request['TrainingJobName']}" in out
    code, out, _ = ask("fetch", one.name, *where, "--into", tmp_path / "home")
    assert code == 0 and f"files in {tmp_path / 'home'}" in out and (tmp_path / "home" / "n").read_text() == "2"
    assert work.succeeded(one, tmp_path / "home") and (tmp_path / "home" / "story.html").is_file()
    page = (tmp_path / "home" / "story.html").read_text()
    assert "working 2" in page
    assert ask("run", story, *where, "-p", "n", "2", *DOLLARS)[0] == 2, "a finished run was started again"


def broken(at: Address) -> None:
    """Send a wheel that is none in place of the library's."""
    (wheel,) = [name for name in s3.listed(at / "input") if name.endswith(".whl")]
    s3.put(at / "input" / wheel, b"no wheel")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "spoil", "reason", "recorded"),
    [
        (-1, lambda at: None, "under 'A story': AssertionError: n is below zero.", True),
        (9, lambda at: None, "the kernel died, often for lack of memory.", True),
        (1, broken, "ERROR: Wheel 'mnistlib' located at", False),
    ],
    ids=["a failing cell", "a dead kernel", "pip"],
)
def test_a_job_that_fails_says_why_and_ends_with_no_zero(made, story, machine, ask, n, spoil, reason, recorded):
    one = unit.make(story, {"n": n})
    container = launched(made, machine, one, spoil)
    code = container.end()
    assert code == runs.machine(container.at)["code"] == 1
    assert runs.machine(container.at)["phase"] == "failed" and reason in s3.get(container.at / "machine.log").decode()
    assert (runs.recorded(container.at) is not None) == recorded
    status, out, error = ask("status", one.name, "--bucket", made["Bucket"])
    assert status == 1 and f"{one.name}: failed" in out
    assert error.startswith("AlgorithmError: ") and reason in error and error.strip().endswith(f"exit code: {code}")
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_job_stopped_in_training_goes_on_in_the_next_one(made, machine, ask, tmp_path):
    given = {"dataset": "digits", "limit": 600, "epochs": 12, "seeds": [0], "device": "cpu"}
    one, where = unit.make(runner.find("03_augment"), given), ("--bucket", made["Bucket"])
    container = launched(made, machine, one)
    until(lambda: container.says("epoch  2/12"), machine)
    machine.process.terminate()
    assert container.end(stopped=True) == 143
    assert runs.machine(container.at)["phase"] == "stopped" and runs.recorded(container.at) is None
    assert "Stopped; the same command goes on where it stopped." in s3.get(container.at / "machine.log").decode()
    code, _, error = ask("status", one.name, *where)
    assert code == 1 and "It was stopped; the same `sagemaker run` goes on from what it had saved." in error
    container = launched(made, machine, one)
    assert container.end() == 0
    (epoch,) = re.findall(r"goes on after epoch (\d+)/12", s3.get(container.at / "out" / work.LOG).decode())
    assert 2 <= int(epoch) < 12
    assert not any(name.startswith(f"out/{work.RUNS}/") for name in s3.listed(container.at)), "what is no longer needed is kept"
    assert ask("fetch", one.name, *where, "--into", tmp_path / "home")[0] == 0
    (path,) = (tmp_path / "home").rglob("results/03_augment.json")
    result, sample = results.read(path), data.load("digits", "test", 600)
    straight = train.train(replace(steps.get("03_augment").recipe, epochs=12), sample, 0, "straight", "cpu", 1, None, lambda state: None)
    assert result.runs[0].test_accuracy == tuple(straight.history.test_accuracy), "a stop changed what was learnt"
    assert result.provenance["service"] == "SageMaker" and result.provenance["id"] == container.request["TrainingJobName"]
