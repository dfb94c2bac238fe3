"""The stack: it can be deployed, has an output for each thing that the library needs, and grants no right wider than its use.

The rights are read in the template, since moto creates roles without their managed policies and groups without their rules.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode.cfn_yaml import load
from clouds import ACCOUNT, REGION, Cloud

from cloud.aws import client, stack
from mnistlib.errors import SettingError

pytest_plugins = ["clouds"]

RESOURCES: dict[str, Any] = load(str(stack.TEMPLATE))["Resources"]
ROLES = {"InstanceRole": "ec2", "TrainingJobs": "sagemaker", "NotebookInstances": "sagemaker"}
WITHOUT_RESOURCES = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}  # as Amazon's reference of actions has it
OWN = "${AWS::Region}:${AWS::AccountId}"


def properties(name: str) -> dict[str, Any]:
    """Return the properties of one of the stack's resources."""
    return RESOURCES[name]["Properties"]


def listed(value: Any) -> list[Any]:
    """Return a value that a policy may give alone or in a list, as a list."""
    return value if isinstance(value, list) else [value]


def rights(role: str) -> list[dict[str, Any]]:
    """Return the statements of all policies of the stack that a role has."""
    attached = [properties(policy["Ref"])["PolicyDocument"] for policy in properties(role)["ManagedPolicyArns"] if "Ref" in policy]
    inner = [policy["PolicyDocument"] for policy in properties(role).get("Policies", ())]
    return [statement for document in attached + inner for statement in document["Statement"]]


def right(role: str, action: str) -> dict[str, Any]:
    """Return the one statement that lets a role do something."""
    (found,) = [statement for statement in rights(role) if action in listed(statement["Action"])]
    return found


@pytest.mark.slow
def test_cloudformation_takes_the_templates():
    linter = Path(sys.executable).with_name("cfn-lint")
    templates = [stack.TEMPLATE, stack.TEMPLATE.with_name("notebook.yaml")]
    done = subprocess.run([linter, "--regions", REGION, "--", *templates], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_outputs_name_what_was_made(cloud: Cloud):
    made = cloud.deploy()
    assert set(made) == set(stack.OUTPUTS)
    cloud.client("s3").head_bucket(Bucket=made["Bucket"])
    (instance,) = cloud.client("iam").get_instance_profile(InstanceProfileName=made["InstanceProfile"])["InstanceProfile"]["Roles"]
    (group,) = cloud.client("ec2").describe_security_groups(GroupIds=[made["SecurityGroup"]])["SecurityGroups"]
    assert group["IpPermissions"] == []
    arns = {instance["Arn"], made["TrainingRole"], made["NotebookRole"]}
    assert len(arns) == 3 and all(arn.startswith(f"arn:aws:iam::{ACCOUNT}:role/") for arn in arns)
    assert made["TrainingRole"].split("/")[1].startswith("mnistlib-Training")
    assert made["NotebookRole"].split("/")[1].startswith("mnistlib-Notebook")


def test_without_a_stack_the_error_has_the_command_that_creates_it(cloud: Cloud):
    with pytest.raises(SettingError, match="create-stack .*--stack-name other"):
        stack.stack_outputs(client.session(), "other")


def test_the_bucket_is_private_and_outlives_the_stack():
    bucket = properties("Storage")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True} and len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled" and rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert RESOURCES["Storage"]["DeletionPolicy"] == RESOURCES["Storage"]["UpdateReplacePolicy"] == "Retain"


def test_no_inbound_connections_and_only_https_outbound():
    group = properties("Outbound")
    assert "SecurityGroupIngress" not in group
    assert not [name for name, resource in RESOURCES.items() if resource["Type"].startswith("AWS::EC2::SecurityGroupIngress")]
    (rule,) = group["SecurityGroupEgress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


def test_there_are_no_other_roles():
    assert {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::IAM::Role"} == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_assumed_by_its_own_service_alone(role):
    (trust,) = properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Effect"] == "Allow" and trust["Action"] == "sts:AssumeRole"
    assert trust["Principal"] == {"Service": f"{ROLES[role]}.amazonaws.com"}
    if ROLES[role] == "sagemaker":
        (condition,) = trust["Condition"].values()
        assert condition == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


@pytest.mark.parametrize("role", ROLES)
def test_no_right_is_wider_than_its_use(role):
    assert rights(role)
    for statement in rights(role):
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions if "*" in action or action.startswith("iam:")]
        if "*" in resources:
            assert set(actions) <= WITHOUT_RESOURCES


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_and_writes_below_the_projects_prefix_only(role):
    storage = [statement for statement in rights(role) if any(action.startswith("s3:") for action in listed(statement["Action"]))]
    listing, objects = storage
    assert listing["Action"] == "s3:ListBucket" and listing["Resource"] == {"Fn::GetAtt": ["Storage", "Arn"]}
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "mnistlib/*"}}
    assert sorted(objects["Action"]) == ["s3:DeleteObject", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"]
    assert objects["Resource"] == {"Fn::Sub": "${Storage.Arn}/mnistlib/*"}


def test_instances_are_reached_through_session_manager_and_have_no_other_rights():
    managed = [policy["Fn::Sub"] for policy in properties("InstanceRole")["ManagedPolicyArns"] if "Fn::Sub" in policy]
    assert managed == ["arn:${AWS::Partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"]
    assert len(rights("InstanceRole")) == 2
    assert properties("Profile")["Roles"] == [{"Ref": "InstanceRole"}]


def test_a_training_job_logs_counts_and_pulls_amazons_image():
    assert right("TrainingJobs", "logs:PutLogEvents")["Resource"]["Fn::Sub"].endswith(f":logs:{OWN}:log-group:/aws/sagemaker/*")
    current, older, own = right("TrainingJobs", "ecr:BatchGetImage")["Resource"]
    assert current["Fn::Sub"].endswith(":repository/pytorch") and older["Fn::Sub"].endswith(":repository/pytorch-training")
    assert own["Fn::If"] == ["HasRepository", {"Ref": "ImageRepository"}, {"Ref": "AWS::NoValue"}]
    counted = right("TrainingJobs", "cloudwatch:PutMetricData")
    assert counted["Condition"] == {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}}


def test_a_notebook_instance_may_stop_itself_and_no_stranger():
    stopping = right("NotebookInstances", "sagemaker:StopNotebookInstance")
    assert sorted(stopping["Action"]) == ["sagemaker:DescribeNotebookInstance", "sagemaker:StopNotebookInstance"]
    assert stopping["Resource"]["Fn::Sub"].endswith(f":sagemaker:{OWN}:notebook-instance/mnistlib*")
    logged = right("NotebookInstances", "logs:PutLogEvents")["Resource"]["Fn::Sub"]
    assert logged.endswith(f":logs:{OWN}:log-group:/aws/sagemaker/NotebookInstances*")
