"""A run on an EC2 instance that is started for it alone and terminates with it."""

import shlex
from typing import Any

from cloud.aws import client, pricing, stack
from cloud.aws import launch as runs
from cloud.aws.client import Session
from cloud.aws.launch import LaunchOptions, LaunchPlan, State
from cloud.aws.s3 import Folder
from cloud.job import Job
from mnistlib.errors import SettingError
from mnistlib.logs import log

IMAGE = "/aws/service/deeplearning/ami/{architecture}/oss-nvidia-driver-gpu-pytorch-2.7-amazon-linux-2023/latest/ami-id"
FALLBACK = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
DISK = 40  # GB, or more where the image needs more
GRACE = 45  # minutes for set-up and last uploads, added to --minutes, until the watchdog terminates the instance
UPLOADED = ("boot.sh", "run.sh")
PROJECT, RUN = "project", "mnistlib-run"  # tags, as instance.yaml.j2 gives them
BILLED = ("pending", "running", "shutting-down", "stopping", "stopped")  # of a stopped instance, the disk is billed
RESUMES = "the same `ec2 run` resumes from what was saved."
REASONS = {
    "stopped": f"The instance was told to stop, by a user, by AWS or by its watchdog; {RESUMES}",
    "timed out": f"The run took longer than --minutes allows; with more minutes {RESUMES}",
}


def plan(job: Job, options: LaunchOptions) -> LaunchPlan:
    """Return what would be started, checked as far as AWS allows: stack, bucket, instance type, image and permissions."""
    session, folder, outputs = runs.prepare(job, options, "ec2")
    ec2 = session.client("ec2")
    architecture, has_gpu = _processor(ec2, options.instance_type)
    image = _image(session, options, architecture, has_gpu)
    price = pricing.ec2(session, options.instance_type, options.spot) if options.price is None else options.price
    settings = {
        "RUN": str(folder),
        "NOTEBOOK": job.notebook.name,
        "MINUTES": str(options.minutes),
        "SPOT": "yes" if options.spot else "no",
        "PRICE": "null" if price is None else str(price),
        "AWS_DEFAULT_REGION": session.region_name,
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    watchdog = f"#!/bin/bash\nshutdown -h +{options.minutes + GRACE}\n"
    disks = [device["Ebs"].get("VolumeSize", 0) for device in image.get("BlockDeviceMappings", ()) if "Ebs" in device]
    known = {"options": options, "outputs": outputs, "image": image}
    request = stack.request("instance.yaml.j2", name=job.name, volume_size=max([DISK, *disks]), **known)
    request["UserData"] = watchdog + exports + (stack.SCRIPTS / "user_data.sh").read_text(encoding="utf-8")
    try:
        ec2.run_instances(**request, DryRun=True)
    except ec2.exceptions.ClientError as error:
        if client.code(error) != "DryRunOperation":
            raise
    return LaunchPlan(job, session, folder, options, image["ImageId"], options.minutes + GRACE, price, request)


def launch(plan: LaunchPlan) -> str:
    """Upload what a run needs, start its instance and return the instance's id."""
    runs.upload(plan.job, plan.folder, UPLOADED)
    ec2 = plan.session.client("ec2")
    instance = ec2.run_instances(**plan.request)["Instances"][0]["InstanceId"]
    ec2.get_waiter("instance_exists").wait(InstanceIds=[instance])
    return instance


def _processor(ec2: Any, instance_type: str) -> tuple[str, bool]:
    try:
        about = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"][0]
    except ec2.exceptions.ClientError as error:
        if client.code(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
            raise
        where = ec2.meta.region_name
        raise SettingError(f"There is no instance type {instance_type!r} in {where}; choose one such as c7i.xlarge.") from None
    return "arm64" if "arm64" in about["ProcessorInfo"]["SupportedArchitectures"] else "x86_64", "GpuInfo" in about


def _image(session: Session, options: LaunchOptions, architecture: str, has_gpu: bool) -> dict[str, Any]:
    names = [options.image] if options.image else [name.format(architecture=architecture) for name in (IMAGE, FALLBACK)]
    found = next(((name, image) for name in names if (image := _image_id(session, name))), None)
    images = session.client("ec2").describe_images(ImageIds=[found[1]])["Images"] if found else []
    if not images:
        raise SettingError(
            f"There is no image {names[0]!r} in {session.region_name}; --image takes ami-… or the name of an SSM parameter that holds one."
        )
    if found[0] != names[0]:
        if has_gpu:
            raise SettingError(f"There is no image {names[0]!r}, and {found[0]!r} has no GPU driver; name one with --image.")
        log.info("There is no image %r; using %r, where torch is installed first.", names[0], found[0])
    kind = images[0].get("Architecture", architecture)
    if kind != architecture:
        raise SettingError(f"The image {found[1]!r} is for {kind}, but {options.instance_type} is {architecture}; choose another.")
    return images[0]


def _image_id(session: Session, name: str) -> str | None:
    if name.startswith("ami-"):
        return name
    ssm = session.client("ssm")
    try:
        return ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def instances(session: Session, name: str | None = None) -> list[dict[str, Any]]:
    """Return this project's instances that are still billed, or those of one run, newest first."""
    filters = [{"Name": f"tag:{PROJECT}", "Values": ["mnistlib"]}, {"Name": "instance-state-name", "Values": list(BILLED)}]
    if name:
        filters.append({"Name": f"tag:{RUN}", "Values": [name]})
    pages = session.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    found = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    return sorted(found, key=lambda one: one["LaunchTime"], reverse=True)


def state(session: Session, folder: Folder, instance: str | None = None) -> State:
    """Return how far a run has come: from its instance, the given one or the newest, and from what that left in S3."""
    report, alive = runs.machine(folder), instances(session, folder.name)
    current = instance or (alive[0]["InstanceId"] if alive else "")
    phase = report.get("phase") if not current or report.get("instance") == current else "starting"  # an older instance's report
    machine = current or report.get("instance", "")
    if phase in ("succeeded", "failed", "stopped", "timed out"):
        reason = "" if phase == "succeeded" else REASONS.get(phase) or runs.failure(folder)
        return State(phase, True, reason, machine)
    if alive:
        up = alive[0]["State"]["Name"] in ("pending", "running")
        return State(phase or "starting" if up else "stopping", False, "", machine)
    if not report and not (folder / "input").sizes():
        raise SettingError(
            f"There is no run {folder.name!r}, neither on an instance nor in {folder.bucket!r}; `ec2 list` names those that run."
        )
    if runs.succeeded(folder):
        return State("succeeded", True, "", machine)
    console = f"aws ec2 get-console-output --region {session.region_name} --instance-id {machine or 'INSTANCE'} --output text"
    return State("lost", True, f"The instance ended without a record. Its console output: `{console}`; {RESUMES}", machine)


def terminate(session: Session, name: str | None) -> list[str]:
    """Terminate the instances of a run, or all of this project's, and return their ids."""
    found = [one["InstanceId"] for one in instances(session, name)]
    if found:
        session.client("ec2").terminate_instances(InstanceIds=found)
    return found
