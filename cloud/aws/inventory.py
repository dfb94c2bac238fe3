"""Everything of this project that runs on AWS, and so costs money."""

import contextlib
from collections.abc import Iterator
from typing import Any

from cloud.aws import client, ec2, sagemaker
from cloud.aws.client import Session
from mnistlib.errors import MnistlibError, SettingError

UNKNOWN = "Could not list"  # the beginning of a line about what AWS refused to list


def running(session: Session, all_regions: bool = False) -> Iterator[str]:
    """Yield a line for each instance, training job and notebook instance, and for what AWS refuses to list, which may hide some."""
    sessions = [session]
    if all_regions:
        regions = sorted(one["RegionName"] for one in session.client("ec2").describe_regions()["Regions"])
        sessions = [client.session(region) for region in regions]
    for one in sessions:
        before = f"{one.region_name}  " if all_regions else ""
        for kind, listed in {"instances": _instances, "training jobs": _training_jobs, "notebook instances": _notebooks}.items():
            try:
                with client.aws_errors():
                    for name, what, status, since, *run in listed(one):
                        yield "  ".join((f"{before}{name}", what, status, f"since {since:%Y-%m-%d %H:%M} UTC", *run))
            except MnistlibError as error:
                yield f"{before}{UNKNOWN} {kind}: {error}"


def check_not_running(session: Session, name: str) -> None:
    """Raise SettingError where a run is active on EC2 or SageMaker: two would write into the same folder."""
    for service, active in (("ec2", ec2.active), ("sagemaker", sagemaker.active)):
        with contextlib.suppress(client.CloudError), client.aws_errors():  # a user of one service may not be allowed to list the other
            if machine := active(session, name):
                raise SettingError(f"{name} is already running on {machine}; `{service} status {name}` shows its progress.")


def _instances(session: Session) -> Iterator[tuple[Any, ...]]:
    for one in ec2.instances(session):
        runs = [tag["Value"] for tag in one.get("Tags", ()) if tag["Key"] == ec2.RUN]
        yield one["InstanceId"], one["InstanceType"], one["State"]["Name"], one["LaunchTime"], *runs


def _training_jobs(session: Session) -> Iterator[tuple[Any, ...]]:
    for one in sagemaker.training_jobs(session, active=True):
        yield one["TrainingJobName"], "training", one["TrainingJobStatus"], one["CreationTime"]


def _notebooks(session: Session) -> Iterator[tuple[Any, ...]]:
    for page in session.client("sagemaker").get_paginator("list_notebook_instances").paginate(NameContains="mnistlib"):
        for one in page["NotebookInstances"]:
            if one["NotebookInstanceStatus"] != "Deleting":  # of a stopped one, the volume is billed
                yield one["NotebookInstanceName"], one["InstanceType"], one["NotebookInstanceStatus"], one["CreationTime"]
