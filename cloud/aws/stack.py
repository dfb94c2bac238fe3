"""The CloudFormation stack of this project in an account: bucket, roles, instance profile and security group; requests from templates."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from cloud.aws import client
from cloud.aws.client import Session
from mnistlib.errors import SettingError

NAME = "mnistlib"  # the default name of the stack
SCRIPTS = Path(__file__).parent / "scripts"
TEMPLATE = SCRIPTS / "stack.yaml"
NOTEBOOK = SCRIPTS / "notebook.yaml"
EVERY, LONGEST = 10.0, 3600.0  # seconds between two looks at a stack that changes, and after which waiting ends
OUTPUTS = ("Bucket", "InstanceProfile", "SecurityGroup", "OperatorPolicy", "TrainingRole", "NotebookRole")


def stack_outputs(session: Session, name: str = NAME) -> dict[str, str]:
    """Return the stack's outputs by name; raise SettingError, with the command that creates it, where there is no such stack."""
    cloudformation = session.client("cloudformation")
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except cloudformation.exceptions.ClientError as error:
        if client.code(error) != "ValidationError":
            raise
        stacks = []
    outputs = {output["OutputKey"]: output["OutputValue"] for stack in stacks for output in stack.get("Outputs", ())}
    if not set(OUTPUTS) <= set(outputs):
        region = session.region_name
        if outputs:
            raise SettingError(
                f"The stack {name!r} in {region} was made by an older version; bring it up to date: `aws cloudformation update-stack "
                f"--region {region} --stack-name {name} --template-body file://{TEMPLATE} --capabilities CAPABILITY_IAM "
                "--parameters ParameterKey=VpcId,UsePreviousValue=true`."
            )
        command = (
            f"aws cloudformation create-stack --region {region} --stack-name {name} --template-body file://{TEMPLATE} "
            "--capabilities CAPABILITY_IAM --parameters ParameterKey=VpcId,ParameterValue=vpc-…"
        )
        raise SettingError(
            f"There is no finished stack {name!r} in {region}; create it with `{command}`, or name another --stack or --region."
        )
    return outputs


def status(session: Session, name: str) -> str:
    """Return a stack's status, such as CREATE_COMPLETE; "" where there is none of this name."""
    cloudformation = session.client("cloudformation")
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].removeprefix("DELETE_COMPLETE")
    except cloudformation.exceptions.ClientError as error:
        if client.code(error) != "ValidationError":
            raise
        return ""


def settled(session: Session, name: str) -> str:
    """Wait until a stack no longer changes, a rollback or a deletion included, and return its status."""
    end = time.monotonic() + LONGEST
    while (found := status(session, name)).endswith("_IN_PROGRESS"):
        if time.monotonic() > end:
            raise client.CloudError(f"The stack {name!r} is still {found}; see its events in the console of CloudFormation.")
        time.sleep(EVERY)
    return found


def create(session: Session, name: str, template: Path, parameters: Mapping[str, str]) -> None:
    """Create a stack and wait for it; raise CloudError, with CloudFormation's first reason, where it fails."""
    cloudformation = session.client("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    body = template.read_text(encoding="utf-8")
    cloudformation.create_stack(StackName=name, TemplateBody=body, Parameters=given, Capabilities=["CAPABILITY_IAM"])
    if (found := settled(session, name)) != "CREATE_COMPLETE":
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
        events = [one for page in pages for one in page["StackEvents"] if one.get("ResourceStatus") == "CREATE_FAILED"]  # newest first
        reason = events[-1].get("ResourceStatusReason", "") if events else "no reason given"
        raise client.CloudError(f"The stack {name!r} could not be created, it is {found or 'gone'}: {reason}")


def delete(session: Session, name: str) -> None:
    """Delete a stack, once it no longer changes, and wait until it is gone; raise CloudError where it stays."""
    if settled(session, name):
        session.client("cloudformation").delete_stack(StackName=name)
        if found := settled(session, name):
            raise client.CloudError(f"The stack {name!r} could not be deleted, it is {found}.")


def request(template: str, **values: Any) -> dict[str, Any]:
    """Return the request to AWS that a template in scripts/ gives with some values."""
    found = jinja2.FileSystemLoader(SCRIPTS)
    made = jinja2.Environment(loader=found, undefined=jinja2.StrictUndefined, finalize=json.dumps).get_template(template)
    return yaml.safe_load(made.render(values))
