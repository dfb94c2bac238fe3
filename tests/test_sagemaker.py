"""A run as a training job: what is asked of AWS, what the job does for real, and how its end is reported."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clouds import ACCOUNT, REGION, Cloud, folder
from machines import Machine
from moto.sagemaker.models import FakeTrainingJob

from cloud import job
from cloud.aws import client, launch, s3, sagemaker
from cloud.aws.launch import LaunchOptions
from cloud.sweep import on_aws

pytest_plugins = ["clouds", "machines", "stubs"]
pytestmark = pytest.mark.usefixtures("wheel")

TYPE, PRICE = "ml.c5.xlarge", ("--price", "0.25")


@pytest.fixture
def made(cloud: Cloud, training: list[FakeTrainingJob]) -> dict[str, str]:
    """Return the outputs of the stack in a cloud with training jobs."""
    return cloud.deploy()


def fits(shape: Any, value: Any) -> None:
    """Check a value against all of the service's model; botocore itself overlooks lengths, patterns and choices."""
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


def options(made: dict[str, str], **others: object) -> LaunchOptions:
    """Return what a run asks of AWS."""
    return LaunchOptions(**{"bucket": made["Bucket"], "instance_types": (TYPE,), "price": 0.25} | others)


# What is asked of AWS


def test_a_job_is_requested_with_all_that_it_needs(made, cloud, story):
    plan = sagemaker.plan(job.make(story, {"n": 2}), options(made, minutes=30))
    assert "CreateTrainingJob" not in str(cloud.requests) and "PutObject" not in str(cloud.requests), "a plan started something"
    name = sagemaker.launch(plan)
    (asked,) = cloud.asked("CreateTrainingJob")
    fits(plan.session.client("sagemaker").meta.service_model.shape_for("CreateTrainingJobRequest"), asked)
    run = f"s3://{made['Bucket']}/mnistlib/runs/{plan.job.name}"
    assert re.fullmatch(rf"mnistlib-story-{plan.job.key[:10]}-\d{{14}}", name) and asked["TrainingJobName"] == name
    assert asked["RoleArn"] == made["TrainingRole"] and not asked["EnableManagedSpotTraining"]
    assert asked["AlgorithmSpecification"]["TrainingImage"] == plan.image == sagemaker.default_images(REGION, TYPE)[1]
    (channel,) = asked["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"{run}/input/"
    assert "CheckpointConfig" not in asked, "SageMaker would mirror a folder that the job itself keeps in sync"
    output = asked["OutputDataConfig"]["S3OutputPath"]
    assert output.endswith("/") and not output.startswith(run)
    assert asked["ResourceConfig"] == {"InstanceType": TYPE, "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert asked["StoppingCondition"] == {"MaxRuntimeInSeconds": 2700}
    expected = {
        "JOB": name,
        "OUT": f"{run}/out",
        "GPU": "no",
        "NOTEBOOK": "story.ipynb",
        "SERVICE": "SageMaker",
        "PRICE": "0.25",
        "REGION": REGION,
    }
    assert asked["Environment"] == expected | {"INSTANCE_TYPE": TYPE, "IMAGE": plan.image}
    assert {"Key": "project", "Value": "mnistlib"} in asked["Tags"]


def test_what_is_uploaded_is_all_that_the_scripts_read(made, story):
    plan = sagemaker.plan(job.make(story, {"n": 2}), options(made))
    plan.folder.put("input/mnistlib-0.0.1-py3-none-any.whl", b"of yesterday")
    sagemaker.launch(plan)
    sent = (plan.folder / "input").sizes()
    (wheel,) = [name for name in sent if name.endswith(".whl")]
    assert set(sent) == {"entry.sh", "run.sh", "project.tar.gz", "parameters.yaml", wheel} and "0.0.1" not in wheel
    assert plan.folder.get("input/parameters.yaml") == b"n: 2\n"
    with tarfile.open(fileobj=io.BytesIO(plan.folder.get("input/project.tar.gz"))) as archive:
        assert archive.extractfile("./notebooks/story.ipynb").read() == story.read_bytes()


def test_spot_waits_for_capacity_longer_than_a_run_may_take(made, story):
    asked = sagemaker.plan(job.make(story, {}), options(made, spot=True, minutes=30)).requests[0]
    assert asked["EnableManagedSpotTraining"] and asked["Environment"]["SERVICE"] == "SageMaker managed spot"
    assert asked["StoppingCondition"]["MaxWaitTimeInSeconds"] >= asked["StoppingCondition"]["MaxRuntimeInSeconds"] == 2700


def test_a_jobs_name_is_one_that_aws_takes_and_finds_again(cloud):
    shapes = client.session().client("sagemaker").meta.service_model
    for stem in ("03_augment", "_", "a" * 100, "x_-_y" * 20, "A--"):
        slug = sagemaker.slug(f"{stem}-0123456789")
        fits(shapes.shape_for("TrainingJobName"), f"{slug}-20261231235959")
        fits(shapes.shape_for("NameContains"), slug)
        assert slug.endswith("-0123456789"), "another run's jobs would be taken for this one's"


def test_the_default_image_fits_instance_type_and_region():
    newest, *older = sagemaker.default_images(REGION, "ml.g4dn.xlarge")
    assert newest.endswith("/pytorch:2.14-cu133-amzn2023-sagemaker") and older
    assert sagemaker.default_images("eu-south-1", TYPE)[0].startswith("692866216735.dkr.ecr.eu-south-1.")


def test_a_registry_that_refuses_to_answer_stops_nobody(made, story, stubbed):
    image = f"210987654321.dkr.ecr.{REGION}.amazonaws.com/mine@sha256:{'a' * 64}"
    which = {"registryId": "210987654321", "repositoryName": "mine", "imageIds": [{"imageDigest": f"sha256:{'a' * 64}"}]}
    stubbed("ecr").add_client_error("batch_get_image", "AccessDeniedException", "no policy", expected_params=which)
    for name in (image, "public.ecr.aws/deep-learning-containers/pytorch:2.14-cpu"):
        plan = sagemaker.plan(job.make(story, {}), options(made, image=name))
        assert plan.requests[0]["AlgorithmSpecification"]["TrainingImage"] == name


BAD: dict[str, tuple[list[str], str]] = {
    "another bucket": (["--bucket", "no-such-bucket"], "--bucket"),
    "no stack": (["--stack", "none"], "create-stack"),
    "no notebook": (["03_agument"], "03_augment"),
    "no parameter": (["-p", "m", "1"], "'m'"),
    "no type": (["--instance-type", "ml.c5.xlarg"], "Did you mean 'ml.c5.xlarge'"),
    "two types": (["--instance-type", TYPE, "--instance-type", "ml.c5.2xlarge"], "one --instance-type"),
    "no image": (["--image", f"{sagemaker.ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:none"], "no image"),
    "no repository": (["--image", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/none:1"], "no image"),
    "an image elsewhere": (["--image", f"{sagemaker.ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:1"], "no image"),
    "no image's name": (["--image", "pytorch:latest"], "NAME:TAG"),
    "no time": (["--minutes", "1"], "1,440"),
}


def test_what_cannot_be_had_stops_before_anything_is_uploaded(made, story, cloud, ask):
    for bad, (words, word) in BAD.items():
        given = [] if words[0].startswith("03") else [story]
        code, out, error = ask("sagemaker", "run", *given, "--bucket", made["Bucket"], *PRICE, *words)
        assert (code, out) == (2, "") and word in error, bad
    assert not cloud.asked("PutObject", "CreateTrainingJob")


def test_a_dry_run_uploads_nothing_and_starts_nothing(made, story, cloud, ask):
    code, out, error = ask("sagemaker", "run", story, "--bucket", made["Bucket"], "--spot", "-p", "n", "2", "--dry-run", *PRICE)
    assert (code, error) == (0, "") and out.splitlines()[-1] == "Nothing was started."
    assert out.startswith(job.make(story, {"n": 2}).name) and "at most $0.250 an hour" in out and "2 h 15 min" in out
    asked = {operation for _, operation, _ in cloud.requests}
    assert asked == {"DescribeStacks", "ListObjectsV2", "ListTrainingJobs", "BatchGetImage", "DescribeInstances", "ListServiceQuotas"}
    assert not folder(f"s3://{made['Bucket']}").sizes()


def test_a_run_prints_the_next_commands_is_not_started_twice_and_can_be_stopped(made, story, cloud, ask, training):
    where = ("--bucket", made["Bucket"])
    code, out, _ = ask("sagemaker", "run", story, *where, *PRICE)
    name, latest = job.make(story, {}).name, training[0].training_job_name
    assert code == 0 and f"Started {latest}" in out
    assert f"aws logs tail /aws/sagemaker/TrainingJobs --log-stream-name-prefix {latest}" in out
    for command in ("status", "stop", "fetch"):
        assert f"mnistlib sagemaker {command} {name}" in out
    cloud.forget()
    code, _, error = ask("sagemaker", "run", story, *where, *PRICE)
    assert code == 2 and f"already running on {latest}" in error
    assert ask("sagemaker", "run", story, *where, "-p", "n", "2", "--dry-run", *PRICE)[0] == 0, "another run was held up"
    assert latest in ask("ec2", "list")[1]

    assert ask("sagemaker", "stop", name) == (0, f"Stopping {latest}.\n", "") and training[0].training_job_status == "Stopping"
    training[0].training_job_status = "InProgress"
    assert ask("sagemaker", "stop", latest)[1] == f"Stopping {latest}.\n", "a list names jobs, not runs"
    assert ask("sagemaker", "stop", name)[1] == f"{name} has no active training job.\n"
    training[0].training_job_status = training[0].secondary_status = "Stopped"
    code, out, error = ask("sagemaker", "status", name, *where)
    assert code == 1 and "stopped" in out and "resumes" in error

    folder(f"s3://{made['Bucket']}/mnistlib/runs/{name}").put(
        f"out/{job.RECORD}", job.record_text(job.make(story, {}), "succeeded", "", 1.0)
    )
    cloud.forget()
    code, _, error = ask("sagemaker", "run", story, *where, *PRICE)
    assert code == 2 and "already succeeded" in error and not cloud.asked("PutObject", "CreateTrainingJob")


def test_a_refused_job_says_where_to_request_more_and_leaves_nothing(made, story, stubbed, ask):
    stub = stubbed("sagemaker")
    for status in sagemaker.ACTIVE:
        named = {"NameContains": sagemaker.slug(job.make(story, {}).name), "StatusEquals": status}
        stub.add_response("list_training_jobs", {"TrainingJobSummaries": []}, named)
    stub.add_client_error("create_training_job", "ResourceLimitExceeded", "The limit is 0 Instances.")
    code, out, error = ask("sagemaker", "run", story, "--bucket", made["Bucket"], *PRICE)
    assert code == 1 and "Started" not in out and client.QUOTAS in error
    assert not folder(f"s3://{made['Bucket']}").sizes()


def test_a_quota_of_nothing_stops_before_anything_is_sent(made, story, stubbed, ask, cloud):
    quotas = [{"QuotaName": f"{TYPE} for {spot}training job usage", "Value": value} for spot, value in (("", 1.0), ("spot ", 0.0))]
    where = ("--bucket", made["Bucket"], *PRICE, "--dry-run", "--instance-type", TYPE)
    for words, expected in (((), 0), (("--spot",), 2)):
        stub = stubbed("service-quotas")
        stub.add_response("list_service_quotas", {"Quotas": quotas[:1], "NextToken": "t"}, {"ServiceCode": "sagemaker", "MaxResults": 100})
        if words:
            stub.add_response(
                "list_service_quotas", {"Quotas": quotas[1:]}, {"ServiceCode": "sagemaker", "MaxResults": 100, "NextToken": "t"}
            )
        code, _, error = ask("sagemaker", "run", story, *where, *words)
        assert code == expected and (code == 0 or (client.QUOTAS in error and "spot training job usage' is 0" in error))
    stubbed("service-quotas").add_client_error("list_service_quotas", "AccessDeniedException", "no")
    assert ask("sagemaker", "run", story, *where, "--spot")[0] == 0
    assert not cloud.asked("PutObject")


# Many at once


def test_a_sweep_is_a_training_job_each_under_one_limit_and_in_one_table(made, story, cloud, ask, training, monkeypatch, tmp_path):
    out, ends, sizes = tmp_path / "out", {1: "Completed", 2: "Failed", 3: "Completed"}, []
    where = ("--bucket", made["Bucket"], "--instance-type", TYPE, *PRICE, "--out", out, "--at-once", "2")
    command = ("sweep", story, "--grid", "n=[1, 2, 3]", "--on", "sagemaker", *where)
    jobs = {n: job.make(story, {"n": n}) for n in ends}

    def pause(seconds: float) -> None:
        """Let every job that runs come to its end."""
        under_way = [one for one in training if one.training_job_status == "InProgress"]
        sizes.append(len(under_way))
        for one in under_way:
            (n,) = (n for n, made in jobs.items() if one.training_job_name.startswith(sagemaker.slug(made.name)))
            one.training_job_status = one.secondary_status = ends[n]
            one.failure_reason = "AlgorithmError: n is 2, exit code: 1" if ends[n] == "Failed" else ""
            if ends[n] == "Completed":
                run = folder(f"s3://{made['Bucket']}/mnistlib/runs/{jobs[n].name}")
                run.put(f"out/{job.RECORD}", job.record_text(jobs[n], "succeeded", "", 1.0))

    monkeypatch.setattr(on_aws, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    code, _, error = ask(*command, "--max-dollars", "1.6")
    assert code == 2 and "3 runs together may cost $1.69" in error and not training
    code, said, _ = ask(*command, "--max-dollars", "1.7", "--dry-run")
    assert code == 0 and "3 runs, 2 at once, at most $1.69 in all." in said and not training and not out.exists()
    code, said, error = ask(*command, "--max-dollars", "1.7")
    assert code == 1 and len(training) == 3 and max(sizes) == 2, "too many at once, or one was started twice"
    assert f"Failed: {jobs[2].name}, n 2: AlgorithmError: n is 2" in error and error.count("Failed: ") == 1
    page = (out / "index.html").read_text()
    assert page.count(">succeeded<") == 2 and page.count(">failed<") == 1 and "AlgorithmError: n is 2" in page
    assert f"Summary: {out / 'index.html'}" in said
    ends[2] = "Completed"
    assert ask(*command)[0] == 0 and len(training) == 4, "what had succeeded was run again, or what had failed was not"


# How far it is, and how it ended


STATES = [  # status, secondary status, record; word, ended, part of the reason
    ("InProgress", "Starting", "", "starting", False, ""),
    ("InProgress", "DownloadingTrainingImage", "", "downloading training image", False, ""),
    ("InProgress", "Interrupted", "failed", "interrupted", False, ""),
    ("Stopping", "Stopping", "", "stopping", False, ""),
    ("Completed", "Completed", "succeeded", "succeeded", True, ""),
    ("Completed", "Completed", "", "failed", True, "record"),
    ("Completed", "Completed", "failed", "failed", True, "record"),
    ("Failed", "Failed", "failed", "failed", True, "AlgorithmError: n is below zero, exit code: 1"),
    ("Stopped", "Stopped", "", "stopped", True, "resumes"),
    ("Stopped", "Stopped", "succeeded", "succeeded", True, ""),
    ("Stopped", "MaxRuntimeExceeded", "", "timed out", True, "--minutes"),
    ("Stopped", "MaxWaitTimeExceeded", "", "timed out", True, "capacity"),
    ("Deleting", "Completed", "", "unknown", True, ""),
]


def test_how_far_a_run_is(cloud, stubbed):
    cloud.client("s3").create_bucket(Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    session, one, stub = client.session(), job.Job(Path("story.ipynb"), {}, "0123456789ab"), stubbed("sagemaker")
    run, name = launch.run_folder(session, "a-bucket", one.name), f"{sagemaker.slug(one.name)}-1"
    named = {"TrainingJobName": name, "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/j"}
    named["CreationTime"] = datetime.now(UTC)
    for status, detail, record, word, ended, reason in STATES:
        run.delete(f"out/{job.RECORD}")
        if record:
            run.put(f"out/{job.RECORD}", job.record_text(one, record, "", 1.0))
        about = named | {"TrainingJobStatus": status, "SecondaryStatus": detail, "ModelArtifacts": {"S3ModelArtifacts": "s3://b/x"}}
        about |= {"StoppingCondition": {}} | ({"FailureReason": reason} if status == "Failed" else {})
        listing = {"TrainingJobSummaries": [named | {"TrainingJobStatus": status}]}
        stub.add_response("list_training_jobs", listing, {"NameContains": sagemaker.slug(one.name)})
        stub.add_response("describe_training_job", about, {"TrainingJobName": name})
        found = sagemaker.state(session, run)
        assert (found.word, found.ended, found.machine) == (word, ended, name), status
        assert reason in found.reason and bool(reason) == bool(found.reason), status


def test_the_latest_job_counts_on_whichever_page_it_is(stubbed):
    prefix = sagemaker.slug("x-1")

    def page(*hours: int) -> list[dict[str, Any]]:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        named = [{"TrainingJobName": f"{prefix}-{h}", "CreationTime": start + timedelta(hours=h)} for h in hours]
        return [one | {"TrainingJobArn": "a", "TrainingJobStatus": "Stopped"} for one in named]

    stub = stubbed("sagemaker")
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": page(1, 3), "NextToken": "t"}, {"NameContains": prefix})
    stub.add_response("list_training_jobs", {"TrainingJobSummaries": page(2)}, {"NameContains": prefix, "NextToken": "t"})
    assert [one["TrainingJobName"][-1] for one in sagemaker.training_jobs(client.session(), prefix)] == ["3", "2", "1"]


def test_a_status_fails_only_once_the_run_has_failed(made, story, ask, training):
    name, where = job.make(story, {}).name, ("--bucket", made["Bucket"])
    code, _, error = ask("sagemaker", "status", name, *where)
    assert code == 2 and name in error
    assert ask("sagemaker", "status", "story", *where)[0] == 2
    ask("sagemaker", "run", story, *where, *PRICE)
    run = folder(f"s3://{made['Bucket']}/mnistlib/runs/{name}")
    run.put("machine.log", "\n".join(f"line {n}" for n in range(20)).encode())
    code, out, error = ask("sagemaker", "status", name, *where)
    assert (code, error) == (0, "")
    assert out.splitlines() == [*(f"line {n}" for n in range(10, 20)), f"{name}: starting  {training[0].training_job_name}"]
    training[0].training_job_status = training[0].secondary_status = "Failed"
    training[0].failure_reason = "AlgorithmError: n is below zero, exit code: 1"
    for words in ((), ("--wait",)):
        code, out, error = ask("sagemaker", "status", name, *where, *words)
        assert code == 1 and error.strip() == training[0].failure_reason and "failed" in out


# What the job does, with a stand-in for `mnistlib job`


class Container:
    """What SageMaker does around a job: it brings the channel, and shows how the job ended."""

    def __init__(self, machine: Machine, request: dict[str, Any], job: FakeTrainingJob) -> None:
        self.machine, self.request, self.job, self.ml = machine, request, job, machine.root / "ml"
        self.run = folder(request["Environment"]["OUT"].removesuffix("/out"))
        machine.wipe()
        for channel in request["InputDataConfig"]:
            place = folder(channel["DataSource"]["S3DataSource"]["S3Uri"])
            assert place.download(self.ml / "input" / "data" / channel["ChannelName"]), "SageMaker refuses an empty channel"

    def start(self) -> None:
        """Start the entry point."""
        command = " ".join(self.request["AlgorithmSpecification"]["ContainerEntrypoint"]).replace("/opt/ml", str(self.ml))
        self.machine.start(f"exec {command}", MNISTLIB_ML=str(self.ml), **self.request["Environment"])

    def end(self, stopped: bool = False) -> int:
        """Wait for the end, set the job's status as SageMaker would, and return the exit code."""
        code, failure = self.machine.wait(), self.ml / "output" / "failure"
        if code and not stopped:
            self.job.failure_reason = f"AlgorithmError: {failure.read_text()}, exit code: {code}"[:1024]
        self.job.training_job_status = self.job.secondary_status = "Stopped" if stopped else "Failed" if code else "Completed"
        return code


@pytest.fixture
def contain(made: dict[str, str], machine: Machine, training: list[FakeTrainingJob], story: Path) -> Callable[..., Container]:
    """Return what starts a run's training job and gives its container, under way."""

    def start(given: dict[str, Any], spoil: Callable[[s3.Folder], None] = lambda run: None) -> Container:
        plan = sagemaker.plan(job.make(story, given), options(made))
        sagemaker.launch(plan)
        spoil(plan.folder)
        container = Container(machine, plan.requests[0], training[-1])
        container.start()
        return container

    return start


def broken(run: s3.Folder) -> None:
    """Upload something that is no wheel in place of the library's."""
    (wheel,) = [name for name in (run / "input").sizes() if name.endswith(".whl")]
    run.put(f"input/{wheel}", b"no wheel")


@pytest.mark.slow
@pytest.mark.parametrize(("n", "spoil", "reason"), [(-1, lambda run: None, "n is below zero"), (1, broken, "is not a wheel")])
def test_a_job_that_fails_says_why_and_exits_with_an_error(made, story, contain, ask, n, spoil, reason):
    container = contain({"n": n}, spoil)
    code = container.end()
    assert code == 1
    status, out, error = ask("sagemaker", "status", job.make(story, {"n": n}).name, "--bucket", made["Bucket"])
    assert status == 1 and "failed" in out and reason in error and error.strip().endswith("exit code: 1")


@pytest.mark.slow
def test_a_stopped_job_resumes_in_the_next_one_and_comes_home(made, contain, story, ask, tmp_path):
    where, name = ("--bucket", made["Bucket"]), job.make(story, {"wait": 600.0}).name
    container = contain({"wait": 600.0})
    end = time.monotonic() + 120
    while b"working" not in (container.run.get(f"out/{job.LOG}") or b""):
        assert time.monotonic() < end
        time.sleep(0.1)
    container.machine.process.terminate()
    assert container.end(stopped=True) == 143
    assert launch.read_record(container.run) is None
    assert ask("sagemaker", "status", name, *where)[0] == 1

    container = contain({"wait": 600.0})
    assert container.end() == 0 and not (container.ml / "output" / "failure").exists()
    code, out, error = ask("sagemaker", "status", name, *where)
    assert (code, error) == (0, "") and "resumed" in out and f"succeeded  {container.request['TrainingJobName']}" in out
    assert ask("sagemaker", "fetch", name, *where, "--into", tmp_path / "home")[0] == 0
    facts = json.loads((tmp_path / "home" / "instance").read_text())
    assert facts["service"] == "SageMaker" and facts["id"] == container.request["TrainingJobName"] and facts["price"] == 0.25
    assert job.read(tmp_path / "home").status == "succeeded"
