"""The stack: it can be deployed, has an output for each thing that the library needs, and grants no right wider than its use.

The rights are read in the template, since moto creates roles without their managed policies and groups without their rules.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.decode.cfn_yaml import load
from clouds import ACCOUNT, REGION, Cloud

from cloud import job
from cloud.aws import client, stack
from cloud.aws import rights as iam
from cloud.commands import ec2
from cloud.commands import job as job_command
from mnistlib import files
from mnistlib.errors import SettingError

pytest_plugins = ["clouds"]

RESOURCES: dict[str, Any] = load(str(stack.TEMPLATE))["Resources"]
PARAMETERS: dict[str, Any] = load(str(stack.TEMPLATE))["Parameters"]
MACHINES = {"InstanceRole": "ec2", "TrainingJobs": "sagemaker", "NotebookInstances": "sagemaker"}
ROLES = MACHINES | {"ReaperRole": "lambda"}
SHELL = {f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")} | {
    "ssm:UpdateInstanceInformation"
}
# As Amazon's reference of actions has it.
WITHOUT_RESOURCES = {
    "ecr:GetAuthorizationToken",
    "cloudwatch:PutMetricData",
    "ec2:DescribeInstances",
    "sagemaker:ListNotebookInstances",
} | SHELL
OWN = "${AWS::Region}:${AWS::AccountId}"


def properties(name: str) -> dict[str, Any]:
    """Return the properties of one of the stack's resources."""
    return RESOURCES[name]["Properties"]


def listed(value: Any) -> list[Any]:
    """Return a value that a policy may give alone or in a list, as a list."""
    return value if isinstance(value, list) else [value]


def rights(role: str) -> list[dict[str, Any]]:
    """Return the statements of all policies of the stack that a role has."""
    attached = [properties(policy["Ref"])["PolicyDocument"] for policy in properties(role).get("ManagedPolicyArns", ()) if "Ref" in policy]
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
    abandoned, models = bucket["LifecycleConfiguration"]["Rules"]
    assert abandoned["Status"] == models["Status"] == "Enabled" and abandoned["AbortIncompleteMultipartUpload"] == {
        "DaysAfterInitiation": 2
    }
    assert models["Prefix"] == "mnistlib/sagemaker/", "results would expire"
    (rule,) = properties("StorageRules")["PolicyDocument"]["Statement"]
    assert (rule["Effect"], rule["Action"], len(rule["Resource"])) == ("Deny", "s3:*", 2)
    assert rule["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}, "it would refuse more than connections without encryption"
    assert RESOURCES["Storage"]["DeletionPolicy"] == RESOURCES["Storage"]["UpdateReplacePolicy"] == "Retain"


def test_no_inbound_connections_and_only_https_outbound():
    group = properties("Outbound")
    assert "SecurityGroupIngress" not in group
    assert not [name for name, resource in RESOURCES.items() if resource["Type"].startswith("AWS::EC2::SecurityGroupIngress")]
    (rule,) = group["SecurityGroupEgress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


def test_there_are_no_other_roles():
    assert {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::IAM::Role"} == {*ROLES, "GitHubRole"}


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


@pytest.mark.parametrize("role", MACHINES)
def test_a_role_reads_and_writes_below_the_projects_prefix_only(role):
    storage = [statement for statement in rights(role) if any(action.startswith("s3:") for action in listed(statement["Action"]))]
    listing, objects = storage
    assert listing["Action"] == "s3:ListBucket" and listing["Resource"] == {"Fn::GetAtt": ["Storage", "Arn"]}
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "mnistlib/*"}}
    assert sorted(objects["Action"]) == sorted(
        f"s3:{verb}" for verb in ("AbortMultipartUpload", "DeleteObject", "GetObject", "PutObject", "PutObjectAcl")
    )
    assert objects["Resource"] == {"Fn::Sub": "${Storage.Arn}/mnistlib/*"}


def test_instances_are_reached_through_session_manager_and_have_no_other_rights():
    assert properties("InstanceRole")["ManagedPolicyArns"] == [{"Ref": "StoragePolicy"}]
    *_, shell = rights("InstanceRole")
    assert set(shell["Action"]) == SHELL and len(rights("InstanceRole")) == 3
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


# Whoever starts runs


SIGNED = {"service-quotas": "servicequotas"}  # as IAM calls it
HERE = (REGION, ACCOUNT)
# What it asks for with the rights of whoever creates or deletes a stack of notebook.yaml.
BY_CLOUDFORMATION = {"cloudformation:DescribeStackEvents", "sagemaker:ListTags"} | {
    f"sagemaker:{verb}NotebookInstance{kind}" for verb in ("Create", "Describe", "Delete") for kind in ("", "LifecycleConfig")
}


def resolved(cloud: Cloud, policy: str) -> dict[str, Any]:
    """Return a policy's document as it is in the account."""
    return cloud.client("iam").get_policy_version(PolicyArn=policy, VersionId="v1")["PolicyVersion"]["Document"]


def notebook_instance(cloud: Cloud, name: str = "mnistlib") -> None:
    """Create, open, stop, start and delete a notebook instance, as docs/cloud.md does."""
    session, sagemaker = client.session(), client.session().client("sagemaker")
    stack.create(session, "mnistlib-notebook", stack.NOTEBOOK, {"Repository": "https://example.org/mnist.git", "Name": name})
    with contextlib.suppress(sagemaker.exceptions.ClientError):  # moto knows no such address
        sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName=name)
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    sagemaker.start_notebook_instance(NotebookInstanceName=name)
    stack.delete(session, "mnistlib-notebook")


def test_the_operators_notebook_instances_have_the_projects_name(cloud: Cloud):
    document = resolved(cloud, cloud.deploy()["OperatorPolicy"])
    verbs = ("Create", "Describe", "Start", "Stop", "Delete")
    for operation in (*(f"{verb}NotebookInstance" for verb in verbs), "CreatePresignedNotebookInstanceUrl"):
        for name, may in (("mnistlib", True), ("mnistlib-two", True), ("payroll", False)):
            (call, *_) = iam.calls("sagemaker", operation, {"NotebookInstanceName": name}, *HERE)
            assert iam.allowed(document, call) is may, (operation, name)
    for name, may in (("mnistlib-notebook", True), ("mnistlib-notebook-two", True), (stack.NAME, False), ("payroll", False)):
        (call,) = iam.calls("cloudformation", "DeleteStack", {"StackName": name}, *HERE)
        assert iam.allowed(document, call) is may, name


def test_the_operator_may_do_what_the_commands_ask_and_has_no_other_rights(cloud: Cloud, training, story, wheel, ask):
    made = cloud.deploy()
    for service, kind, end in (("ec2", "c5.xlarge", "terminate"), ("sagemaker", "ml.c5.xlarge", "stop")):
        assert ask(service, "run", story, "--bucket", made["Bucket"], "--instance-type", kind)[0] == 0
        name = job.make(story, {}).name
        assert ask(service, "status", name, "--bucket", made["Bucket"])[0] == 0
        assert ask(service, end, name)[0] == 0
        if service == "ec2":
            assert ask(service, "run", story, "--bucket", made["Bucket"], "--instance-type", kind, "--spot", "--dry-run")[0] == 0
    ask("ec2", "list", "--everywhere")
    ask("ec2", "fetch", job.make(story, {}).name, "--bucket", made["Bucket"])
    notebook_instance(cloud)
    statements = properties("OperatorPolicy")["PolicyDocument"]["Statement"]
    allowed = {action for statement in statements for action in listed(statement["Action"])}
    needed = [
        call for service, operation, given in cloud.requests for call in iam.calls(SIGNED.get(service, service), operation, given, *HERE)
    ]
    asked = {action for action, _, _ in needed}
    assert {"ec2:RunInstances", "sagemaker:CreateTrainingJob", "pricing:GetProducts", "freetier:GetAccountPlanState"} <= asked
    assert asked <= allowed, "the policy lacks a right"
    document = resolved(cloud, made["OperatorPolicy"])
    assert [call for call in needed if not iam.allowed(document, call)] == [], "the policy lacks a right to what is used"
    implied = {"iam:CreateServiceLinkedRole", "s3:AbortMultipartUpload"}
    by_hand = {"ec2:GetConsoleOutput", "logs:FilterLogEvents", "s3:PutObjectAcl"}  # the last by papermill
    by_hand |= BY_CLOUDFORMATION
    assert allowed - asked <= implied | by_hand, "the policy has a right that nothing needs"
    for statement in statements:
        changing = [one for one in listed(statement["Action"]) if not re.search(":(Describe|List|Get|BatchGet)", one)]
        assert not changing or "*" not in listed(statement["Resource"]), changing
    assert len(json.dumps(properties("OperatorPolicy")["PolicyDocument"]).replace(" ", "")) < 6144, "IAM refuses a larger one"


def test_a_workflow_of_one_branch_of_one_repository_may_start_runs_and_is_off_by_default():
    (trust,) = properties("GitHubRole")["AssumeRolePolicyDocument"]["Statement"]
    (condition,) = trust["Condition"].items()
    assert condition[0] == "StringEquals" and condition[1]["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    who = condition[1]["token.actions.githubusercontent.com:sub"]["Fn::Sub"]
    assert who == "repo:${GitHubRepository}:ref:refs/heads/main"
    assert properties("GitHubRole")["ManagedPolicyArns"] == [{"Ref": "OperatorPolicy"}]
    assert RESOURCES["GitHubRole"]["Condition"] == "HasGitHub" and PARAMETERS["GitHubRepository"]["Default"] == ""
    workflow = yaml.safe_load((files.root() / ".github" / "workflows" / "ec2.yml").read_text())
    assert list(workflow[True]) == ["workflow_dispatch"] and workflow["jobs"]["run"]["if"] == "vars.AWS_ROLE != ''"
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    scripts = "\n".join(step.get("run", "") for step in workflow["jobs"]["run"]["steps"])
    used = set(re.findall("(?<= )--[a-z-]+", scripts)) - {"--index-url"}
    known = {option for name in ("run", "fetch") for one in ec2.commands[name].params for option in one.opts}
    assert used <= known and "${{" not in scripts, "an input is pasted into a script"


def test_skypilot_runs_a_job_of_this_project():
    task = yaml.safe_load((files.root() / "cloud" / "skypilot.yaml").read_text())
    assert set(task) <= {"name", "workdir", "resources", "envs", "setup", "run"} and task["envs"].keys() == {"NOTEBOOK", "OUT"}
    words = task["run"].split()
    assert words[1:4] == ["-m", "mnistlib", "job"] and set(words[5::2]) <= {option for one in job_command.params for option in one.opts}


# What ends all


def test_what_has_run_past_its_time_is_ended_by_the_stack(cloud: Cloud, monkeypatch):
    ec2_client, sagemaker = cloud.client("ec2"), cloud.client("sagemaker")
    image, now = ec2_client.describe_images()["Images"][0]["ImageId"], datetime.now(UTC)

    def start(**tags: str) -> str:
        given = [{"Key": key, "Value": value} for key, value in tags.items()]
        wanted = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "c5.xlarge"}
        tagged = [{"ResourceType": "instance", "Tags": given}]
        return ec2_client.run_instances(**wanted, TagSpecifications=tagged)["Instances"][0]["InstanceId"]

    late, early = ({"project": "mnistlib", "mnistlib-until": (now + timedelta(hours=hours)).isoformat()} for hours in (-1, 1))
    over, others = start(**late), [start(**early), start(project="mnistlib"), start(**late | {"project": "another"})]
    for name in ("mnistlib-a", "others"):
        sagemaker.create_notebook_instance(NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r")
    code: dict[str, Any] = {}
    exec(properties("Reaper")["Code"]["ZipFile"], code)
    assert properties("Reaper")["Handler"] == "index.end" and len(properties("Reaper")["Code"]["ZipFile"]) < 4096
    monkeypatch.setenv("NOTEBOOK_HOURS", "1")
    assert code["end"]({}, None) == [over]
    monkeypatch.setenv("NOTEBOOK_HOURS", "0")
    assert code["end"]({}, None) == ["mnistlib-a"]
    states = {
        one["InstanceId"]: one["State"]["Name"] for page in ec2_client.describe_instances()["Reservations"] for one in page["Instances"]
    }
    assert states[over] == "terminated" and {states[one] for one in others} == {"running"}
    assert sagemaker.describe_notebook_instance(NotebookInstanceName="others")["NotebookInstanceStatus"] == "InService"
