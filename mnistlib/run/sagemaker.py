"""One run as a training job of Amazon SageMaker, its state kept in S3 while it runs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mnistlib import form
from mnistlib.errors import SettingError, nearest
from mnistlib.run import aws, jobs, price, shipping, stack
from mnistlib.run.bucket import Address
from mnistlib.run.jobs import State, Wish
from mnistlib.work import Unit

DEFAULT_TYPE = "ml.c5.xlarge"
IMAGE = "763104351884.dkr.ecr.{region}.amazonaws.com/pytorch-training:2.8.0-{kind}-ubuntu22.04-sagemaker"  # AWS's own
KINDS = {False: "cpu-py312", True: "gpu-py312-cu129"}
GPUS = re.compile(r"ml\.(g|p)\d")
REGISTRY = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/.+")
DISK = 30  # GB
GRACE = 15  # minutes beyond a run's own, for set-up
SENT = ("entry.sh", "run.sh")
LONGEST = 63  # characters of a job's name
ENDS = {"Completed": "succeeded", "Failed": "failed", "Stopped": "stopped"}


@dataclass(frozen=True)
class Plan:
    """A run, and the job that it is to be; nothing of it exists yet."""

    unit: Unit
    at: Address
    wish: Wish
    region: str
    request: dict[str, Any]  # what SageMaker is asked for
    price: float | None  # US dollars an hour

    def __str__(self) -> str:
        """Return what a reader should know before it is started."""
        cost = "cost not known" if self.price is None else f"{'at most ' * self.wish.spot}{form.dollars(self.price)} an hour"
        return (
            f"{self.unit.name}: {'managed spot ' * self.wish.spot}{self.wish.instance_type} in {self.region}, "
            f"image {self.request['AlgorithmSpecification']['TrainingImage']}, {cost}, "
            f"at most {form.seconds(60 * (self.wish.minutes + GRACE))}; everything goes to {self.at}"
        )


def plan(unit: Unit, wish: Wish) -> Plan:
    """Return what would be started, after all that AWS lets one check: bucket, stack, instance type and image.

    Raises SettingError for what cannot be had, and where this very run has succeeded or is under way.
    """
    region = jobs.check(wish)
    at = jobs.place(wish.bucket, unit.name)
    made = stack.outputs(wish.stack, region)
    if jobs.finished(at):
        raise SettingError(f"{unit.name} has succeeded already; `sagemaker fetch {unit.name} --bucket {wish.bucket}` brings it home.")
    latest = newest(unit.name, region)
    if latest and latest["TrainingJobStatus"] in ("InProgress", "Stopping"):
        raise SettingError(f"{unit.name} is under way as {latest['TrainingJobName']}; `sagemaker status {unit.name}` says how far it is.")
    _known(wish.instance_type, region)
    image = wish.image or IMAGE.format(region=region, kind=KINDS[bool(GPUS.match(wish.instance_type))])
    found = REGISTRY.fullmatch(image)
    if not found or found["region"] != region:
        raise SettingError(f"{image!r} is no image in {region}; --image takes ACCOUNT.dkr.ecr.{region}.amazonaws.com/NAME:TAG.")
    cost = price.sagemaker(wish.instance_type, region) if wish.price is None else wish.price
    return Plan(unit, at, wish, region, _request(unit, at, wish, region, made["TrainingRole"], image, cost), cost)


def launch(plan: Plan, show: Callable[[str], Any] = print) -> str:
    """Send what a plan's run needs, create its job, and return the job's name."""
    jobs.send(plan.unit, plan.at, SENT, show)
    aws.client("sagemaker", plan.region).create_training_job(**plan.request)
    return plan.request["TrainingJobName"]


def _known(instance_type: str, region: str) -> None:
    """Raise SettingError for an instance type that training jobs cannot have."""
    types = aws.client("sagemaker", region).meta.service_model.shape_for("TrainingInstanceType").enum
    if instance_type not in types:
        raise SettingError(f"There is no instance type {instance_type!r} for training.{nearest(instance_type, types)}")


def slug(name: str) -> str:
    """Return what the names of a run's jobs begin with: letters, digits and hyphens, the run's key in the end."""
    stem, _, key = name.rpartition("-")
    room = LONGEST - len("mnistlib--") - len(key) - len("-20200101000000")
    return f"mnistlib-{stem.replace('_', '-')[:room].strip('-')}-{key}"


def _request(unit: Unit, at: Address, wish: Wish, region: str, role: str, image: str, cost: float | None) -> dict[str, Any]:
    """Return what SageMaker is asked for."""
    job = f"{slug(unit.name)}-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    seconds = 60 * (wish.minutes + GRACE)
    channels = {"code": f"{at}/input/", "mnist": f"{Address(at.bucket, jobs.ROOT)}/data/"}
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
            if name != "mnist" or shipping.data([unit])  # SageMaker refuses a channel without a file
        ],
        "OutputDataConfig": {"S3OutputPath": f"{at}/sagemaker"},
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
        },
        "Tags": [{"Key": "project", "Value": "mnistlib"}, {"Key": "mnistlib-run", "Value": unit.name}],
    }


def newest(name: str, region: str | None) -> dict[str, Any] | None:
    """Return SageMaker's summary of the latest job of a run, None where it has had none."""
    found = aws.client("sagemaker", region).list_training_jobs(NameContains=slug(name), SortBy="CreationTime", SortOrder="Descending")
    return next(iter(found["TrainingJobSummaries"]), None)


def running(region: str | None) -> list[dict[str, Any]]:
    """Return SageMaker's summaries of this project's jobs that are not over."""
    pages = aws.client("sagemaker", region).get_paginator("list_training_jobs").paginate(NameContains="mnistlib-")
    ours = [one for page in pages for one in page["TrainingJobSummaries"] if one["TrainingJobName"].startswith("mnistlib-")]
    return [one for one in ours if one["TrainingJobStatus"] in ("InProgress", "Stopping")]


def state(at: Address, region: str | None) -> State:
    """Return how far a run's latest job has come."""
    name = at.key.rpartition("/")[2]
    latest = newest(name, region)
    if latest is None:
        raise SettingError(f"No training job has had the run {name!r}; `sagemaker run` starts one.")
    about = aws.client("sagemaker", region).describe_training_job(TrainingJobName=latest["TrainingJobName"])
    job = about["TrainingJobName"]
    status, detail = about["TrainingJobStatus"], about.get("SecondaryStatus", "")
    if status in ("InProgress", "Stopping"):
        word = "stopping" if status == "Stopping" else "interrupted" if detail == "Interrupted" else detail.lower() or "starting"
        return State(word, False, "", job)
    word, why = ENDS[status], about.get("FailureReason", "")
    if detail in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
        word, why = "timed out", "It took longer than --minutes allows; the same `sagemaker run` goes on from what it had saved."
    record = jobs.recorded(at)
    if word == "succeeded" and (record is None or record.status != "succeeded"):
        word, why = "failed", "SageMaker calls the job Completed, but it left no record of a run that succeeded."
    return State(word, True, why, job)


def stop(name: str, region: str | None) -> str | None:
    """Ask SageMaker to stop a run's job and return the job's name, None where it has none under way."""
    latest = newest(name, region)
    if latest is None or latest["TrainingJobStatus"] != "InProgress":
        return None
    aws.client("sagemaker", region).stop_training_job(TrainingJobName=latest["TrainingJobName"])
    return latest["TrainingJobName"]
