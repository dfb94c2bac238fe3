"""What the CloudFormation stack of this project made in an account: bucket, roles, profile and security group."""

from __future__ import annotations

from pathlib import Path

from mnistlib.aws import client
from mnistlib.errors import SettingError

NAME = "mnistlib"  # of the stack, unless another is given
TEMPLATE = Path(__file__).parent / "scripts" / "stack.yaml"
OUTPUTS = ("Bucket", "InstanceProfile", "SecurityGroup", "TrainingRole", "NotebookRole")


def outputs(name: str = NAME, region: str | None = None) -> dict[str, str]:
    """Return the stack's outputs by their names; raise SettingError, saying how to make it, where there is no such stack."""
    cloud = client.client("cloudformation", region)
    try:
        stacks = cloud.describe_stacks(StackName=name)["Stacks"]
    except cloud.exceptions.ClientError as error:
        if client.code(error) != "ValidationError":
            raise
        stacks = []
    made = {output["OutputKey"]: output["OutputValue"] for stack in stacks for output in stack.get("Outputs", ())}
    missing = [wanted for wanted in OUTPUTS if wanted not in made]
    if missing:
        where = cloud.meta.region_name
        command = (
            f"aws cloudformation create-stack --region {where} --stack-name {name} --template-body file://{TEMPLATE} "
            "--capabilities CAPABILITY_IAM --parameters ParameterKey=VpcId,ParameterValue=vpc-…"
        )
        raise SettingError(f"There is no finished stack {name!r} in {where}; make it with `{command}`, or name another with --stack.")
    return made
