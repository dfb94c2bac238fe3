"""One run on a machine of Amazon EC2 that was started for it alone and ends with it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Any

from mnistlib.aws import client, pricing, runs, s3
from mnistlib.aws.launch import Plan, Wish
from mnistlib.aws.runs import SCRIPTS, State
from mnistlib.aws.s3 import Address
from mnistlib.errors import SettingError
from mnistlib.sweep.job import Job

DEFAULT_TYPE = "c7i.xlarge"
IMAGE = "/aws/service/deeplearning/ami/{architecture}/oss-nvidia-driver-gpu-pytorch-2.7-amazon-linux-2023/latest/ami-id"
FALLBACK = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
IMAGES = "ami-… or the name of an SSM parameter that holds one"
DISK = 40  # GB, or as much as the image takes
GRACE = 45  # minutes beyond a run's own, for set-up and the last uploads, until the watchdog ends the machine
SENT = ("boot.sh", "run.sh")
PROJECT, RUN = "project", "mnistlib-run"  # tags
ALIVE = ("pending", "running", "shutting-down", "stopping", "stopped")  # stopped ones still cost their disk


def plan(unit: Job, wish: Wish, key_name: str | None = None, show: Callable[[str], Any] = print) -> Plan:
    """Return what would be started, after all that AWS lets one check: bucket, stack, instance type, image and permission.

    Raises SettingError for what cannot be had, and where this very run has succeeded.
    """
    region = runs.check(wish)
    at = runs.place(wish.bucket, unit.name)
    made = runs.made(wish, region)
    if runs.finished(at):
        raise SettingError(f"{unit.name} has succeeded already; `ec2 fetch {unit.name} --bucket {wish.bucket}` brings it home.")
    ec2 = client.client("ec2", region)
    architecture, gpus = _type(ec2, wish.instance_type)
    image = _image(ec2, wish, architecture, gpus, show)
    cost = pricing.ec2(wish.instance_type, region, wish.spot) if wish.price is None else wish.price
    request = _request(unit, at, wish, region, made, image, cost) | ({"KeyName": key_name} if key_name else {})
    _allowed(ec2, request)
    return Plan(unit, at, wish, region, image["ImageId"], wish.minutes + GRACE, cost, request)


def launch(plan: Plan, show: Callable[[str], Any] = print) -> str:
    """Send what a plan's run needs, start its machine, and return the instance's id."""
    runs.send(plan.unit, plan.at, SENT, show)
    ec2 = client.client("ec2", plan.region)
    for wait in (2, 4, 8, 16, 0):
        try:
            instance = ec2.run_instances(**plan.request)["Instances"][0]["InstanceId"]
        except ec2.exceptions.ClientError as error:
            if "instance profile" not in client.message(error).lower() or not wait:  # a fresh one takes some seconds to be known
                raise
            time.sleep(wait)
        else:
            ec2.get_waiter("instance_exists").wait(InstanceIds=[instance])  # lists know it a moment later
            return instance
    raise AssertionError


def _type(ec2: Any, name: str) -> tuple[str, bool]:
    """Return the architecture of an instance type and whether it has GPUs; raise SettingError for one that is not to be had."""
    try:
        about = ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"][0]
    except ec2.exceptions.ClientError as error:
        if client.code(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
            raise
        raise SettingError(f"There is no instance type {name!r} in {ec2.meta.region_name}; one is such as {DEFAULT_TYPE}.") from None
    offered = ec2.describe_instance_type_offerings(Filters=[{"Name": "instance-type", "Values": [name]}])["InstanceTypeOfferings"]
    if not offered:
        raise SettingError(f"{ec2.meta.region_name} does not offer {name!r}; take another type, or another region.")
    architecture = next((one for one in about["ProcessorInfo"]["SupportedArchitectures"] if one in ("x86_64", "arm64")), None)
    if architecture is None:
        raise SettingError(f"{name!r} is no machine that runs Linux on x86_64 or arm64; take another type, such as {DEFAULT_TYPE}.")
    return architecture, "GpuInfo" in about


def _image(ec2: Any, wish: Wish, architecture: str, gpus: bool, show: Callable[[str], Any]) -> dict[str, Any]:
    """Return the image that a wish names, or the default one, as EC2 describes it; raise SettingError where there is none."""
    names = [wish.image] if wish.image else [name.format(architecture=architecture) for name in (IMAGE, FALLBACK)]
    found = next((image for name in names if (image := _found(name, ec2.meta.region_name))), None)
    if found is None:
        raise SettingError(f"There is no image {names[0]!r} in {ec2.meta.region_name}; --image takes {IMAGES}.")
    name, image = found
    if name != names[0]:
        if gpus:
            raise SettingError(f"There is no image {names[0]!r}, and the plain one has no driver for a GPU; name one with --image.")
        show(f"There is no image {names[0]!r}; the plain one, {name!r}, is taken, and torch is installed.")
    images = ec2.describe_images(ImageIds=[image])["Images"]
    if not images:
        raise SettingError(f"There is no image {image!r} in {ec2.meta.region_name}; --image takes {IMAGES}.")
    if images[0].get("Architecture", architecture) != architecture:
        raise SettingError(f"The image {image!r} is for {images[0]['Architecture']}, {wish.instance_type} is {architecture}; take another.")
    return images[0]


def _found(name: str, region: str) -> tuple[str, str] | None:
    """Return a name and the id of the image it stands for, None where it stands for none."""
    if name.startswith("ami-"):
        return name, name
    ssm = client.client("ssm", region)
    try:
        return name, ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def _request(
    unit: Job, at: Address, wish: Wish, region: str, made: dict[str, str], image: dict[str, Any], cost: float | None
) -> dict[str, Any]:
    """Return what EC2 is asked for."""
    root = image.get("RootDeviceName", "/dev/xvda")
    least = max((device["Ebs"].get("VolumeSize", 0) for device in image.get("BlockDeviceMappings", ()) if "Ebs" in device), default=0)
    disk = {"VolumeSize": max(DISK, least), "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    tags = [{"Key": "Name", "Value": f"mnistlib {unit.name}"}, {"Key": PROJECT, "Value": "mnistlib"}, {"Key": RUN, "Value": unit.name}]
    request = {
        "ImageId": image["ImageId"],
        "InstanceType": wish.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": made["InstanceProfile"]},
        "SecurityGroupIds": [made["SecurityGroup"]],
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": root, "Ebs": disk}],
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        "UserData": user_data(unit, at, wish, region, cost),
    }
    if wish.spot:
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    return request


def user_data(unit: Job, at: Address, wish: Wish, region: str, cost: float | None) -> str:
    """Return the script that a machine begins with: the watchdog, the settings, and the way to the rest."""
    settings = {
        "RUN": str(at),
        "STORE": str(Address(at.bucket, f"{runs.ROOT}/data")),
        "NOTEBOOK": unit.notebook.name,
        "MINUTES": str(wish.minutes),
        "SPOT": "yes" if wish.spot else "no",
        "PRICE": "null" if cost is None else str(cost),
        "AWS_DEFAULT_REGION": region,
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    return f"#!/bin/bash\nshutdown -h +{wish.minutes + GRACE}\n{exports}{(SCRIPTS / 'user_data.sh').read_text()}"


def _allowed(ec2: Any, request: dict[str, Any]) -> None:
    """Ask EC2 whether it would start this, without starting it; raise what it would answer."""
    try:
        ec2.run_instances(**request, DryRun=True)
    except ec2.exceptions.ClientError as error:
        if client.code(error) != "DryRunOperation" and "instance profile" not in client.message(error).lower():
            raise


def instances(region: str | None, name: str | None = None) -> list[dict[str, Any]]:
    """Return this project's instances that are not gone, of one run where it is named, the newest first."""
    filters = [{"Name": f"tag:{PROJECT}", "Values": ["mnistlib"]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    if name:
        filters.append({"Name": f"tag:{RUN}", "Values": [name]})
    pages = client.client("ec2", region).get_paginator("describe_instances").paginate(Filters=filters)
    found = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    return sorted(found, key=lambda one: one["LaunchTime"], reverse=True)


def state(at: Address, region: str | None, instance: str | None = None) -> State:
    """Return how far a run has come, from its machine, the one named or the newest, and from what that left in S3."""
    name = at.key.rpartition("/")[2]
    said, alive = runs.machine(at), instances(region, name)
    here = instance or (alive[0]["InstanceId"] if alive else "")
    phase = said.get("phase") if not here or said.get("instance") == here else "starting"  # what an earlier machine said is past
    machine = here or said.get("instance", "")
    if phase in ("succeeded", "failed", "stopped", "timed out"):
        return State(phase, True, "" if phase == "succeeded" else _why(phase, at), machine)
    if alive:
        up = alive[0]["State"]["Name"] in ("pending", "running")
        return State(phase or "starting" if up else "stopping", False, "", machine)
    if not said and not s3.listed(at / "input"):
        raise SettingError(f"There is no run {name!r}, neither on a machine nor in {at.bucket!r}; `ec2 list` names those that run.")
    if runs.finished(at):
        return State("succeeded", True, "", machine)
    return State("lost", True, "Its machine is gone without a last word; the same `ec2 run` goes on from what was saved.", machine)


def _why(phase: str, at: Address) -> str:
    """Return the sentence for a run that ended without success."""
    if phase == "stopped":
        return "Its machine was told to end, by hand, by AWS or by its watchdog; the same `ec2 run` goes on from what it had saved."
    if phase == "timed out":
        return "It took longer than --minutes allows; the same `ec2 run` with more of them goes on from what it had saved."
    return runs.reason(at)


def terminate(region: str | None, name: str | None) -> list[str]:
    """End the machines of a run, or all of this project's, and return their ids."""
    found = [one["InstanceId"] for one in instances(region, name)]
    if found:
        client.client("ec2", region).terminate_instances(InstanceIds=found)
    return found


def described(one: dict[str, Any]) -> str:
    """Return what a list shows of an instance: id, type, state, since when, and its run."""
    name = next((tag["Value"] for tag in one.get("Tags", ()) if tag["Key"] == RUN), "")
    return f"{one['InstanceId']}  {one['InstanceType']}  {one['State']['Name']}  since {one['LaunchTime']:%Y-%m-%d %H:%M} UTC  {name}"
