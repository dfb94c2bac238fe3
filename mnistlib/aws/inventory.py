"""Everything of this project that runs in a cloud, and so costs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from mnistlib.aws import client, ec2, sagemaker
from mnistlib.errors import MnistlibError, SettingError

UNKNOWN = "Not known of"  # what a line begins with where something could not be asked


def running(region: str | None, everywhere: bool = False) -> Iterator[str]:
    """Yield a line for each instance, training job and notebook instance that is not gone, in a region or in all of the account's.

    What may not be asked gives a line that says so, for it may hide something that runs.
    """
    regions = [region]
    if everywhere:
        regions = sorted(one["RegionName"] for one in client.client("ec2", region).describe_regions()["Regions"])
    for where in regions:
        for what, ask in (("instances", _instances), ("training jobs", _jobs), ("notebook instances", _notebooks)):
            yield from _asked(what, ask, where, f"{where}  " if everywhere else "")


def alone(name: str, region: str | None) -> None:
    """Raise SettingError where a machine or a training job has a run already: two would write to the same place."""
    with contextlib.suppress(client.CloudError), client.refusals():  # who may use one of the two services need not see the other
        for one in ec2.instances(region, name):
            if one["State"]["Name"] in ("pending", "running"):
                raise SettingError(f"{name} is under way on {one['InstanceId']}; `ec2 status {name}` says how far it is.")
    with contextlib.suppress(client.CloudError), client.refusals():
        latest = sagemaker.newest(name, region)
        if latest and latest["TrainingJobStatus"] in sagemaker.UNDER_WAY:
            raise SettingError(f"{name} is under way as {latest['TrainingJobName']}; `sagemaker status {name}` says how far it is.")


def _asked(what: str, ask: Callable[[str | None], list[str]], region: str | None, before: str) -> Iterator[str]:
    """Yield the lines of one kind."""
    try:
        with client.refusals():
            lines = ask(region)
    except MnistlibError as error:
        lines = [f"{UNKNOWN} {what}: {error}"]
    yield from (f"{before}{line}" for line in lines)


def _instances(region: str | None) -> list[str]:
    """Return a line for each instance."""
    return [ec2.described(one) for one in ec2.instances(region)]


def _jobs(region: str | None) -> list[str]:
    """Return a line for each training job."""
    return [_line(one, "TrainingJob") for one in sagemaker.running(region)]


def _notebooks(region: str | None) -> list[str]:
    """Return a line for each notebook instance; a stopped one still bills its volume."""
    pages = client.client("sagemaker", region).get_paginator("list_notebook_instances").paginate(NameContains="mnistlib")
    found = [one for page in pages for one in page["NotebookInstances"]]
    return [_line(one, "NotebookInstance") for one in found if one["NotebookInstanceStatus"] != "Deleting"]


def _line(one: dict[str, Any], kind: str) -> str:
    """Return the line of what SageMaker runs."""
    what, status = one.get("InstanceType", "training"), one[f"{kind}Status"]
    return f"{one[f'{kind}Name']}  {what}  {status}  since {one['CreationTime']:%Y-%m-%d %H:%M} UTC"
