"""A run as a SageMaker training job, which keeps the run's folder in S3 in sync as an EC2 instance does."""

import re
import time
from typing import Any

import yaml

from cloud.aws import account, client, pricing, stack
from cloud.aws import launch as runs
from cloud.aws.client import Session
from cloud.aws.launch import LaunchOptions, LaunchPlan, State
from cloud.aws.s3 import Folder
from cloud.job import Job
from mnistlib.errors import SettingError, nearest

IMAGE = "{account}.dkr.ecr.{region}.amazonaws.com/pytorch:{version}-{kind}-amzn2023-sagemaker"  # AWS's own
CUDA = {"2.14": "cu133", "2.13": "cu133", "2.12": "cu130", "2.11": "cu130"}  # of each version of the image, newest first
PUBLIC = "public.ecr.aws/"  # images there are found by SageMaker alone
ACCOUNT = "763104351884"  # that holds the image, but in the regions of image_accounts.yaml
REGISTRY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<name>[^:@]+)(:(?P<imageTag>[^:@]+)|@(?P<imageDigest>sha256:[0-9a-f]{64}))"
)
GRACE = 15  # minutes for set-up, added to --minutes
UPLOADED = ("entry.sh", "run.sh")
LONGEST = 63  # characters of a training job's name
ACTIVE = ("InProgress", "Stopping")
LATE = {"MaxRuntimeExceeded": "The run took longer than --minutes allows", "MaxWaitTimeExceeded": "AWS had no spare capacity for too long"}


def plan(job: Job, options: LaunchOptions) -> LaunchPlan:
    """Return what would be started, checked as far as AWS allows: stack, bucket, instance type and image."""
    session, folder, outputs = runs.prepare(job, options, "sagemaker")
    types = session.client("sagemaker").meta.service_model.shape_for("TrainingInstanceType").enum
    (kind, *others), region = options.instance_types, session.region_name
    if others:
        raise SettingError("A training job takes one --instance-type; SageMaker itself looks for capacity in every zone.")
    if kind not in types:
        raise SettingError(f"There is no instance type {kind!r} for training.{nearest(kind, types)}")
    account.check_training_quota(session, kind, options.spot)
    images = [options.image] if options.image else default_images(region, kind)
    image = next((name for name in images if _image_exists(session, name)), None)
    if image is None:
        raise SettingError(f"There is no image {images[0]!r} in {region}; --image takes ACCOUNT.dkr.ecr.{region}.amazonaws.com/NAME:TAG.")
    price = pricing.sagemaker(session, kind) if options.price is None else options.price
    name = f"{slug(job.name)}-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    known = {"job": job, "folder": folder, "options": options, "outputs": outputs, "region": region, "image": image, "price": price}
    known |= {"instance_type": kind, "has_gpu": has_gpu(kind)}
    request = stack.request("training_job.yaml.j2", name=name, root=runs.ROOT, seconds=60 * (options.minutes + GRACE), **known)
    made = LaunchPlan(job, session, folder, options, image, options.minutes + GRACE, price, (request,))
    runs.check_cost(made)
    return made


def launch(plan: LaunchPlan) -> str:
    """Upload what a run needs, create its training job and return the job's name."""
    (request,) = plan.requests
    with runs.uploaded(plan, UPLOADED):
        plan.session.client("sagemaker").create_training_job(**request)
    return request["TrainingJobName"]


def default_images(region: str, instance_type: str) -> list[str]:
    """Return AWS's own images with PyTorch for a region and an instance type, newest first."""
    accounts = yaml.safe_load((stack.SCRIPTS / "image_accounts.yaml").read_text(encoding="utf-8"))
    where = {"account": accounts.get(region, ACCOUNT), "region": region}
    kinds = {version: cuda if has_gpu(instance_type) else "cpu" for version, cuda in CUDA.items()}
    return [IMAGE.format(version=version, kind=kind, **where) for version, kind in kinds.items()]


def has_gpu(instance_type: str) -> bool:
    """Say whether a training instance has NVIDIA GPUs, by the name of its type."""
    return re.match(r"ml\.(g|p)\d", instance_type) is not None


def _image_exists(session: Session, image: str) -> bool:
    if image.startswith(PUBLIC):
        return True
    found = REGISTRY.fullmatch(image)
    if not found or found["region"] != session.region_name:
        return False
    ecr, which = session.client("ecr"), {name: found[name] for name in ("imageTag", "imageDigest") if found[name]}
    try:
        answer = ecr.batch_get_image(registryId=found["account"], repositoryName=found["name"], imageIds=[which])
    except ecr.exceptions.RepositoryNotFoundException:
        return False
    except ecr.exceptions.ClientError as error:
        if client.code(error) not in ("AccessDenied", "AccessDeniedException"):
            raise
        return True  # the job's role may be allowed to read it
    return not answer.get("failures")


def slug(name: str) -> str:
    """Return the beginning of the names of a run's training jobs: letters, digits and hyphens, the run's key last."""
    stem, _, key = name.rpartition("-")
    stem = re.sub("[^A-Za-z0-9]+", "-", stem)
    room = LONGEST - len("mnistlib--") - len(key) - len("-20200101000000")
    return f"mnistlib-{stem[:room].strip('-')}-{key}"


def training_jobs(session: Session, prefix: str = "mnistlib-", active: bool = False) -> list[dict[str, Any]]:
    """Return SageMaker's summaries of this project's training jobs, newest first; with `active`, of those that have not ended."""
    listing = session.client("sagemaker").get_paginator("list_training_jobs")
    wanted = [{"StatusEquals": status} for status in ACTIVE] if active else [{}]
    pages = [page for only in wanted for page in listing.paginate(NameContains=prefix, **only)]
    found = [one for page in pages for one in page["TrainingJobSummaries"] if one["TrainingJobName"].startswith(prefix)]
    return sorted(found, key=lambda one: one["CreationTime"], reverse=True)


def active(session: Session, name: str) -> str | None:
    """Return the name of the training job in which a run is under way, None where there is none."""
    return next((one["TrainingJobName"] for one in training_jobs(session, slug(name), active=True)), None)


def state(session: Session, folder: Folder, job: str | None = None) -> State:
    """Return how far a run has come, in the given training job or in its latest."""
    job = job or next((one["TrainingJobName"] for one in training_jobs(session, slug(folder.name))), None)
    if job is None:
        raise SettingError(f"There is no training job of the run {folder.name!r}; `sagemaker run` starts one.")
    about = session.client("sagemaker").describe_training_job(TrainingJobName=job)
    status, detail = about["TrainingJobStatus"], about.get("SecondaryStatus", "")
    if status in ACTIVE:
        word = "stopping" if status == "Stopping" else re.sub("(?<=[a-z])(?=[A-Z])", " ", detail).lower()
        return State(word or "starting", False, "", job)
    succeeded = runs.succeeded(folder)
    if succeeded and status in ("Completed", "Stopped"):  # it may be stopped once all is done
        return State("succeeded", True, "", job)
    if status == "Completed":
        return State("failed", True, "SageMaker reports the job as Completed, but it left no record of success.", job)
    if detail in LATE or status == "Stopped":
        reason = f"{LATE.get(detail, 'The job was stopped')}; the same `sagemaker run` resumes from what was saved."
        return State("timed out" if detail in LATE else "stopped", True, reason, job)
    return State("failed" if status == "Failed" else "unknown", True, about.get("FailureReason", ""), job)


def stop(session: Session, name: str) -> str | None:
    """Stop an active training job, given its own name or its run's, and return its name; None where there is none."""
    jobs = [one["TrainingJobName"] for one in training_jobs(session, active=True) if one["TrainingJobStatus"] == "InProgress"]
    found = next((job for job in jobs if job == name or job.startswith(f"{slug(name)}-")), None)
    if found:
        session.client("sagemaker").stop_training_job(TrainingJobName=found)
    return found
