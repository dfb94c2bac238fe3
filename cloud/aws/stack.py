"""The CloudFormation stack of this project in an account: bucket, roles, instance profile and security group; requests from templates."""

import json
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


def request(template: str, **values: Any) -> dict[str, Any]:
    """Return the request to AWS that a template in scripts/ gives with some values."""
    found = jinja2.FileSystemLoader(SCRIPTS)
    made = jinja2.Environment(loader=found, undefined=jinja2.StrictUndefined, finalize=json.dumps).get_template(template)
    return yaml.safe_load(made.render(values))
