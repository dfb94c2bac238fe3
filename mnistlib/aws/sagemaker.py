"""One run as a training job of Amazon SageMaker, its state kept in S3 while it runs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from mnistlib.aws import client, pricing, runs
from mnistlib.aws.launch import Plan, Wish
from mnistlib.aws.runs import State
from mnistlib.aws.s3 import Address
from mnistlib.errors import SettingError, nearest
from mnistlib.sweep import packaging
from mnistlib.sweep.job import Job

IMAGE = "{account}.dkr.ecr.{region}.amazonaws.com/pytorch-training:2.8.0-{kind}-ubuntu22.04-sagemaker"  # AWS's own
KINDS = {False: "cpu-py312", True: "gpu-py312-cu129"}
GPUS = re.compile(r"ml\.(g|p)\d")
ACCOUNTS = {  # in which AWS keeps that image, where it is not OWNER
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-south-2": "772153158452",
    "ap-northeast-3": "364406365360",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "mx-central-1": "637423239942",
}
OWNER = "763104351884"
REGISTRY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<name>[^:@]+)(:(?P<imageTag>[^:@]+)|@(?P<imageDigest>sha256:[0-9a-f]{64}))"
)
DISK = 30  # GB
GRACE = 15  # minutes beyond a run's own, for set-up
SENT = ("entry.sh", "run.sh")
LONGEST = 63  # characters of a job's name
UNDER_WAY = ("InProgress", "Stopping")
LATE = {
    "MaxRuntimeExceeded": "It took longer than --minutes allows",
    "MaxWaitTimeExceeded": "There was no spare capacity for long enough",
}
AGAIN = "the same `sagemaker run` goes on from what it had saved."


def plan(unit: Job, wish: Wish) -> Plan:
    """Return what would be started, after all that AWS lets one check: bucket, stack, instance type and image.

    Raises SettingError for what cannot be had, and where this very run has succeeded.
    """
    region = runs.check(wish)
    at = runs.place(wish.bucket, unit.name)
    made = runs.made(wish, region)
    if runs.finished(at):
        raise SettingError(f"{unit.name} has succeeded already; `sagemaker fetch {unit.name} --bucket {wish.bucket}` brings it home.")
    _known(wish.instance_type, region)
    account, kind = ACCOUNTS.get(region, OWNER), KINDS[bool(GPUS.match(wish.instance_type))]
    image = wish.image or IMAGE.format(account=account, region=region, kind=kind)
    if not _held(image, region):
        raise SettingError(f"There is no image {image!r} in {region}; --image takes ACCOUNT.dkr.ecr.{region}.amazonaws.com/NAME:TAG.")
    cost = pricing.sagemaker(wish.instance_type, region) if wish.price is None else wish.price
    request = _request(unit, at, wish, region, made["TrainingRole"], image, cost)
    return Plan(unit, at, wish, region, image, wish.minutes + GRACE, cost, request)


def launch(plan: Plan, show: Callable[[str], Any] = print) -> str:
    """Send what a plan's run needs, create its job, and return the job's name."""
    runs.send(plan.unit, plan.at, SENT, show)
    client.client("sagemaker", plan.region).create_training_job(**plan.request)
    return plan.request["TrainingJobName"]


def _known(instance_type: str, region: str) -> None:
    """Raise SettingError for an instance type that training jobs cannot have."""
    types = client.client("sagemaker", region).meta.service_model.shape_for("TrainingInstanceType").enum
    if instance_type not in types:
        raise SettingError(f"There is no instance type {instance_type!r} for training.{nearest(instance_type, types)}")


def _held(image: str, region: str) -> bool:
    """Say whether a registry holds an image, or does not let one ask."""
    found = REGISTRY.fullmatch(image)
    if not found or found["region"] != region:
        return False
    ecr, which = client.client("ecr", region), {name: found[name] for name in ("imageTag", "imageDigest") if found[name]}
    try:
        told = ecr.batch_get_image(registryId=found["account"], repositoryName=found["name"], imageIds=[which])
    except ecr.exceptions.RepositoryNotFoundException:
        return False
    except ecr.exceptions.ClientError as error:
        if client.code(error) not in client.DENIED:
            raise
        return True  # the job's role may have rights that its owner has not
    return not told.get("failures")


def slug(name: str) -> str:
    """Return what the names of a run's jobs begin with: letters, digits and hyphens, the run's key in the end."""
    stem, _, key = name.rpartition("-")
    stem = re.sub("[^A-Za-z0-9]+", "-", stem)
    room = LONGEST - len("mnistlib--") - len(key) - len("-20200101000000")
    return f"mnistlib-{stem[:room].strip('-')}-{key}"


def _request(unit: Job, at: Address, wish: Wish, region: str, role: str, image: str, cost: float | None) -> dict[str, Any]:
    """Return what SageMaker is asked for."""
    job = f"{slug(unit.name)}-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    seconds = 60 * (wish.minutes + GRACE)
    channels = {"code": f"{at}/input/", "mnist": f"{Address(at.bucket, runs.ROOT)}/data/"}
    return {
        "TrainingJobName": job,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "/opt/ml/input/data/code/entry.sh"],
        },
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}},
            }
            for name, uri in channels.items()
            if name != "mnist" or packaging.data([unit])  # SageMaker refuses a channel without a file
        ],
        "OutputDataConfig": {"S3OutputPath": str(Address(at.bucket, f"{runs.ROOT}/sagemaker"))},  # apart: what is below `at` comes back
        "CheckpointConfig": {"S3Uri": str(at), "LocalPath": "/opt/ml/checkpoints"},
        "ResourceConfig": {"InstanceType": wish.instance_type, "InstanceCount": 1, "VolumeSizeInGB": DISK},
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds} | ({"MaxWaitTimeInSeconds": 4 * seconds} if wish.spot else {}),
        "EnableManagedSpotTraining": wish.spot,
        "Environment": {
            "JOB": job,
            "NOTEBOOK": unit.notebook.name,
            "SERVICE": "SageMaker managed spot" if wish.spot else "SageMaker",
            "INSTANCE_TYPE": wish.instance_type,
            "IMAGE": image,
            "PRICE": "null" if cost is None else str(cost),
            "REGION": region,
        },
        "Tags": [{"Key": "project", "Value": "mnistlib"}, {"Key": "mnistlib-run", "Value": unit.name}],
    }


def newest(name: str, region: str | None) -> dict[str, Any] | None:
    """Return SageMaker's summary of the latest job of a run, None where it has had none."""
    pages = client.client("sagemaker", region).get_paginator("list_training_jobs").paginate(NameContains=slug(name))
    found = [one for page in pages for one in page["TrainingJobSummaries"]]
    return max(found, key=lambda one: one["CreationTime"], default=None)


def running(region: str | None) -> list[dict[str, Any]]:
    """Return SageMaker's summaries of this project's jobs that are not over."""
    pages = (
        client.client("sagemaker", region)
        .get_paginator("list_training_jobs")
        .paginate(NameContains="mnistlib-", PaginationConfig={"PageSize": 100})
    )
    ours = [one for page in pages for one in page["TrainingJobSummaries"] if one["TrainingJobName"].startswith("mnistlib-")]
    return [one for one in ours if one["TrainingJobStatus"] in UNDER_WAY]


def state(at: Address, region: str | None, job: str | None = None) -> State:
    """Return how far a run has come: in the job that is named, else in its latest."""
    name = at.key.rpartition("/")[2]
    latest = {"TrainingJobName": job} if job else newest(name, region)
    if latest is None:
        raise SettingError(f"No training job has had the run {name!r}; `sagemaker run` starts one.")
    about = client.client("sagemaker", region).describe_training_job(TrainingJobName=latest["TrainingJobName"])
    job, status, detail = about["TrainingJobName"], about["TrainingJobStatus"], about.get("SecondaryStatus", "")
    if status in UNDER_WAY:
        word = "stopping" if status == "Stopping" else re.sub("(?<=[a-z])(?=[A-Z])", " ", detail).lower()
        return State(word or "starting", False, "", job)
    succeeded = runs.finished(at)
    if status == "Completed" and not succeeded:
        return State("failed", True, "SageMaker calls the job Completed, but it left no record of a run that succeeded.", job)
    if succeeded and status in ("Completed", "Stopped"):  # it may be stopped when all is done
        return State("succeeded", True, "", job)
    if detail in LATE or status == "Stopped":
        return State("timed out" if detail in LATE else "stopped", True, f"{LATE.get(detail, 'It was stopped')}; {AGAIN}", job)
    return State("failed" if status == "Failed" else "unknown", True, about.get("FailureReason", ""), job)


def stop(name: str, region: str | None) -> str | None:
    """Ask SageMaker to stop a job, by its own name or its run's, and return the job's name; None where there is none under way."""
    ours = [one["TrainingJobName"] for one in running(region) if one["TrainingJobStatus"] == "InProgress"]
    found = next((job for job in ours if job == name or job.startswith(f"{slug(name)}-")), None)
    if found:
        client.client("sagemaker", region).stop_training_job(TrainingJobName=found)
    return found
