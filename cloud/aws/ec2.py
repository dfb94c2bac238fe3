"""A run on an EC2 instance that is started for it alone and terminates with it."""

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.aws import account, client, pricing, stack
from cloud.aws import launch as runs
from cloud.aws.client import Session
from cloud.aws.launch import LaunchOptions, LaunchPlan, State
from cloud.aws.s3 import Folder
from cloud.job import Job
from mnistlib import formatting
from mnistlib.errors import SettingError
from mnistlib.logs import log

PLAIN = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"  # with the pinned torch
WITH_GPU = [  # AWS's images with GPU driver and PyTorch, newest first; the first that the region has is taken
    f"/aws/service/deeplearning/ami/{{architecture}}/oss-nvidia-driver-gpu-pytorch-{version}-amazon-linux-2023/latest/ami-id"
    for version in ("2.13", "2.12", "2.11", "2.10", "2.9")
]
DISK, GPU_DISK = 20, 40  # GB, or more where the image needs more
GRACE = 45  # minutes for set-up and last uploads, added to --minutes, until the watchdog terminates the instance
SPARE = 15  # minutes more, until the stack's function terminates an instance that could not end itself
UPLOADED = ("boot.sh", "run.sh")
PROJECT, RUN = "project", "mnistlib-run"  # tags, as instance.yaml.j2 gives them
NO_CAPACITY = ("InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity", "SpotMaxPriceTooLow", "Unsupported")
BILLED = ("pending", "running", "shutting-down", "stopping", "stopped")  # of a stopped instance, the disk is billed
RESUMES = "the same `ec2 run` resumes from what was saved."
REASONS = {
    "stopped": f"The instance was told to stop, by a user, by AWS or by its watchdog; {RESUMES}",
    "timed out": f"The run took longer than --minutes allows; with more minutes {RESUMES}",
}


def plan(job: Job, options: LaunchOptions) -> LaunchPlan:
    """Return what would be started, checked as far as AWS allows: stack, bucket, instance types, network, images and permissions.

    It has a request for each instance type in each subnet, to be tried in this order until AWS has capacity for one.
    """
    session, folder, outputs = runs.prepare(job, options, "ec2")
    ec2 = session.client("ec2")
    types = _types(ec2, options.instance_types)
    account.check_plan(session, types)
    subnets = _subnets(ec2, outputs, options.subnet)
    requests, images, prices = [], [], []
    until = datetime.now(UTC) + timedelta(minutes=options.minutes + GRACE + SPARE)
    for name, about in types.items():
        image, has_gpu = _image(session, options, name, about), "GpuInfo" in about
        price = pricing.ec2(session, name, options.spot) if options.price is None else options.price
        disks = [device["Ebs"].get("VolumeSize", 0) for device in image.get("BlockDeviceMappings", ()) if "Ebs" in device]
        known = {"name": job.name, "options": options, "outputs": outputs, "image": image, "instance_type": name}
        known["until"] = until.isoformat(timespec="seconds")
        known["volume_size"] = max([GPU_DISK if has_gpu else DISK, *disks])
        data = _user_data(job, session, folder, options, has_gpu, price)
        for subnet in subnets:
            request = stack.request("instance.yaml.j2", subnet=subnet["SubnetId"], zone=subnet["AvailabilityZone"], **known)
            requests.append(request | {"UserData": data})
        images.append(image["ImageId"])
        prices.append(price)
    dearest = None if None in prices else max(prices)
    image, minutes = " or ".join(dict.fromkeys(images)), options.minutes + GRACE
    made = LaunchPlan(job, session, folder, options, image, minutes, dearest, tuple(requests))
    runs.check_cost(made)
    _check_allowed(ec2, requests[0])
    return made


def launch(plan: LaunchPlan) -> str:
    """Upload what a run needs, start an instance where AWS has capacity for one, and return its id; nothing is left where it has not."""
    ec2 = plan.session.client("ec2")
    with runs.uploaded(plan, UPLOADED):
        for number, request in enumerate(plan.requests, 1):
            where = f"{request['InstanceType']} in {request['Placement']['AvailabilityZone']}"
            try:
                instance = ec2.run_instances(**request)["Instances"][0]["InstanceId"]
                break
            except ec2.exceptions.ClientError as error:
                if client.code(error) not in NO_CAPACITY or number == len(plan.requests) == 1:
                    raise
                log.info("AWS has no capacity for %s now (%s)", where, client.code(error))
        else:
            types = formatting.listed(list(dict.fromkeys(one["InstanceType"] for one in plan.requests)))
            zones = formatting.listed(list(dict.fromkeys(one["Placement"]["AvailabilityZone"] for one in plan.requests)))
            raise client.CloudError(
                f"AWS has no {'spot ' * plan.options.spot}capacity for {types} in {zones} now; give another --instance-type as well, "
                f"another --region, or the same command {'without' if plan.options.spot else 'with'} --spot."
            )
    from botocore.exceptions import WaiterError

    try:
        ec2.get_waiter("instance_exists").wait(InstanceIds=[instance])
    except WaiterError:
        log.warning("%s was started, but EC2 does not list it yet; `ec2 list` will.", instance)
    return instance


def _types(ec2: Any, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return EC2's description of each instance type, in the order given."""
    try:
        found = ec2.describe_instance_types(InstanceTypes=list(names))["InstanceTypes"]
    except ec2.exceptions.ClientError as error:
        if client.code(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
            raise
        where = ec2.meta.region_name
        raise SettingError(f"There is no instance type {' or '.join(names)} in {where}; choose one such as c7i.xlarge.") from None
    described = {one["InstanceType"]: one for one in found}
    return {name: described[name] for name in names}


def _subnets(ec2: Any, outputs: dict[str, str], chosen: str | None) -> list[dict[str, Any]]:
    """Return the subnets that an instance may start in: the chosen one, those of the stack, or the default ones of its network."""
    groups = ec2.describe_security_groups(GroupIds=[outputs["SecurityGroup"]])["SecurityGroups"]
    network = groups[0]["VpcId"]
    names = [chosen] if chosen else [name for name in outputs.get("Subnets", "").split(",") if name]
    wanted = {"Name": "subnet-id", "Values": names} if names else {"Name": "default-for-az", "Values": ["true"]}
    found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [network]}, wanted])["Subnets"]
    if not found and names:
        raise SettingError(f"The stack's network {network} has no subnet {' or '.join(names)}; name one of its own with --subnet.")
    if not found:
        raise SettingError(
            f"The stack's network {network} has no default subnets; name one of its subnets with --subnet, or as the stack's parameter "
            "SubnetIds. `aws ec2 create-default-vpc` makes a network that has some, for a new stack."
        )
    return sorted(found, key=lambda one: one["AvailabilityZone"])


def _user_data(job: Job, session: Session, folder: Folder, options: LaunchOptions, has_gpu: bool, price: float | None) -> str:
    settings = {
        "RUN": str(folder),
        "NOTEBOOK": job.notebook.name,
        "MINUTES": str(options.minutes),
        "SPOT": "yes" if options.spot else "no",
        "GPU": "yes" if has_gpu else "no",
        "PRICE": "null" if price is None else str(price),
        "AWS_DEFAULT_REGION": session.region_name,
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    watchdog = f"#!/bin/bash\nshutdown -h +{options.minutes + GRACE}\n"
    return watchdog + exports + (stack.SCRIPTS / "user_data.sh").read_text(encoding="utf-8")


def _check_allowed(ec2: Any, request: dict[str, Any]) -> None:
    try:
        ec2.run_instances(**request, DryRun=True)
    except ec2.exceptions.ClientError as error:
        if client.code(error) not in ("DryRunOperation", *NO_CAPACITY):
            raise


def _image(session: Session, options: LaunchOptions, instance_type: str, about: dict[str, Any]) -> dict[str, Any]:
    architecture = "arm64" if "arm64" in about["ProcessorInfo"]["SupportedArchitectures"] else "x86_64"
    own = WITH_GPU if "GpuInfo" in about else [PLAIN]
    names = [options.image] if options.image else [name.format(architecture=architecture) for name in own]
    found = next((image for name in names if (image := _image_id(session, name))), None)
    images = session.client("ec2").describe_images(ImageIds=[found])["Images"] if found else []
    if not images:
        raise SettingError(
            f"There is no image {names[0]!r} in {session.region_name}{', nor an older one' * (len(names) > 1)}; --image takes ami-… or the "
            "name of an SSM parameter that holds one."
        )
    kind = images[0].get("Architecture", architecture)
    if kind != architecture:
        raise SettingError(f"The image {found!r} is for {kind}, but {instance_type} is {architecture}; choose another.")
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


def active(session: Session, name: str) -> str | None:
    """Return the id of the instance on which a run is under way, None where there is none."""
    return next((one["InstanceId"] for one in instances(session, name) if one["State"]["Name"] in ("pending", "running")), None)


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
