"""A run on EC2: what is asked of AWS, what the instance does for real, and how the run's end is reported."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from clouds import ACCOUNT, ELSEWHERE, REGION, Cloud, folder
from machines import Machine

from cloud import commands as cloud_commands
from cloud import job
from cloud.aws import account, client, ec2, inventory, launch
from cloud.aws.launch import LaunchOptions, LaunchPlan
from cloud.sweep import on_aws
from mnistlib import files, formatting
from mnistlib.errors import ResultError, SettingError
from mnistlib.notebook import runner

pytest_plugins = ["clouds", "machines", "stubs"]
pytestmark = pytest.mark.usefixtures("wheel")

SHORT = {"train_limit": 1200, "epochs": 4, "seeds": [0]}
TYPE = ("--instance-type", "c5.xlarge", "--price", "0.1")


def options(made: dict[str, str], **others: object) -> LaunchOptions:
    """Return what a run asks of AWS."""
    return LaunchOptions(**{"bucket": made["Bucket"], "instance_types": ("c5.xlarge",), "price": 0.25} | others)


def launched(cloud: Cloud, story: Path, given: dict, **others: object) -> tuple[LaunchPlan, str]:
    """Start a run and return its plan and its instance's id."""
    plan = ec2.plan(job.make(story, given), options(cloud.deploy(), **others))
    return plan, ec2.launch(plan)


def boot(cloud: Cloud, machine: Machine, instance: str, **settings: str) -> None:
    """Start a machine as EC2 would start this instance: with its user data."""
    held = cloud.client("ec2").describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    machine.metadata.said["instance-id"] = instance
    script = base64.b64decode(held).decode()
    machine.start(script.replace("export MINUTES=5\n", "export MINUTES=0.05\n"), **settings)


def state(plan: LaunchPlan) -> launch.State:
    """Return how far a run is."""
    return ec2.state(plan.session, plan.folder)


def until(true: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.1)


# What is asked of AWS


def test_an_instance_is_requested_with_all_that_keeps_it_safe_and_short(cloud, story):
    made = cloud.deploy()
    plan = ec2.plan(job.make(story, {"n": 2}), options(made, minutes=30))
    assert not cloud.client("ec2").describe_instances()["Reservations"], "a plan started something"
    cloud.forget()
    instance = ec2.launch(plan)
    (asked,) = cloud.asked("RunInstances")
    image = asked.pop("ImageId")
    assert cloud.client("ec2").describe_images(ImageIds=[image])["Images"][0]["Architecture"] == "x86_64"
    assert asked.pop("ClientToken"), "a request that is sent again could start a second instance"
    data = base64.b64decode(asked.pop("UserData")).decode()
    first, *settings = data.splitlines()[1:5]
    assert first == "shutdown -h +75", "the watchdog must come before anything that can fail"
    run = f"s3://{made['Bucket']}/mnistlib/runs/{plan.job.name}"
    assert settings == [f"export RUN={run}", "export NOTEBOOK=story.ipynb", "export MINUTES=30"]
    assert len(data.encode()) < 4096 and "testing" not in data, "it must hold no secret"
    tags = [("Name", f"mnistlib {plan.job.name}"), ("project", "mnistlib"), ("mnistlib-run", plan.job.name)]
    until = next(tag["Value"] for tag in asked["TagSpecifications"][0]["Tags"] if tag["Key"] == "mnistlib-until")
    left = datetime.fromisoformat(until) - datetime.now(UTC)
    assert timedelta(minutes=75) < left < timedelta(minutes=91), "the stack's function would come too early, or much too late"
    tags = [{"Key": key, "Value": value} for key, value in (*tags, ("mnistlib-until", until))]
    (network,) = asked.pop("NetworkInterfaces")
    subnet, zone = network.pop("SubnetId"), asked.pop("Placement")["AvailabilityZone"]
    (about,) = cloud.client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert about["DefaultForAz"] and about["AvailabilityZone"] == zone
    assert network == {
        "DeviceIndex": 0,
        "Groups": [made["SecurityGroup"]],
        "AssociatePublicIpAddress": True,
        "DeleteOnTermination": True,
    }
    (disk,) = asked.pop("BlockDeviceMappings")
    assert disk["Ebs"] == {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    assert asked == {
        "InstanceType": "c5.xlarge",
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": made["InstanceProfile"]},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")],
    }
    assert [one["InstanceId"] for one in ec2.instances(plan.session, plan.job.name)] == [instance]
    sent = (plan.folder / "input").sizes()
    (wheel,) = [name for name in sent if name.endswith(".whl")]
    assert set(sent) == {"boot.sh", "run.sh", "project.tar.gz", "parameters.yaml", wheel}


def test_spot_and_a_key_pair_are_requested_where_they_are_wanted(cloud, story):
    made = cloud.deploy()
    cloud.client("ec2").create_key_pair(KeyName="mine")
    plan = ec2.plan(job.make(story, {}), options(made, spot=True, key_name="mine"))
    request = plan.requests[0]
    assert request["InstanceMarketOptions"] == {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    assert request["KeyName"] == "mine" and "export SPOT=yes" in request["UserData"]
    assert "spot-instances-request" in [one["ResourceType"] for one in request["TagSpecifications"]]


# What stops before it costs anything


CANNOT_BE_HAD: dict[str, tuple[dict[str, str], str]] = {
    "another bucket": ({"bucket": "somebody-elses"}, "give --bucket"),
    "no bucket's name": ({"bucket": "No Bucket"}, "S3 address"),
    "no stack": ({"stack": "other"}, "create-stack"),
    "no stack in this region": ({"region": "eu-west-3"}, "--region"),
    "no type": ({"instance_types": ("c5.xlarge", "c5.gigantic")}, "c5.gigantic"),
    "no image": ({"image": "/no/such/parameter"}, "/no/such/parameter"),
    "no image for a GPU": ({"instance_types": ("g4dn.xlarge",)}, "pytorch-2.13.*, nor an older one"),
    "an image for another processor": ({"instance_types": ("t4g.small",), "image": "x86_64"}, "t4g.small is arm64"),
    "no subnet of the network": ({"subnet": "subnet-00000000"}, "no subnet subnet-00000000"),
}


@pytest.mark.slow
def test_what_cannot_be_had_stops_before_anything_is_uploaded_or_started(cloud, story):
    made = cloud.deploy()
    image = {"image": ec2.plan(job.make(story, {}), options(made)).image}
    cloud.forget()
    for bad, (change, word) in CANNOT_BE_HAD.items():
        with pytest.raises(SettingError, match=word):
            ec2.plan(job.make(story, {}), options(made, **change | (image if change.get("image") == "x86_64" else {})))
        assert not cloud.asked("PutObject", "RunInstances"), bad


def refusing(monkeypatch: pytest.MonkeyPatch, operation: str, status: int, code: str) -> None:
    """Have EC2 refuse an operation."""
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>It is so.</Message></Error></Errors></Response>".encode()
    ask = boto3.Session.client

    def answer(request: Any, **_: object) -> AWSResponse:
        return AWSResponse(request.url, status, {}, SimpleNamespace(stream=lambda: [body]))

    def refuse(session: boto3.Session, service: str, **others: Any) -> Any:
        made = ask(session, service, **others)
        made.meta.events.register(f"before-send.ec2.{operation}", answer)
        return made

    monkeypatch.setattr(boto3.Session, "client", refuse)


def test_a_refused_start_is_known_before_anything_is_uploaded(cloud, story, ask):
    made = cloud.deploy()
    refusals = {"UnauthorizedOperation": "RunInstances", "VcpuLimitExceeded": "quota"}
    for code, word in refusals.items():
        with pytest.MonkeyPatch.context() as patch:
            refusing(patch, "RunInstances", 403, code)
            ended, _, error = ask("ec2", "run", story, "--bucket", made["Bucket"], *TYPE)
        assert ended == 1 and word in error and not cloud.asked("PutObject")


def test_without_capacity_every_type_and_zone_is_tried_and_nothing_is_left(cloud, story, ask):
    made = cloud.deploy()
    types = ("--instance-type", "c5.xlarge", "--instance-type", "m5.xlarge", "--price", "0.1")
    with pytest.MonkeyPatch.context() as patch:
        refusing(patch, "RunInstances", 500, "InsufficientInstanceCapacity")
        patch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
        ended, out, error = ask("ec2", "run", story, "--bucket", made["Bucket"], *types, "--spot")
    asked = [one for one in cloud.asked("RunInstances") if not one.get("DryRun")]
    tried = dict.fromkeys((one["InstanceType"], one["Placement"]["AvailabilityZone"]) for one in asked)
    zones = [f"{REGION}{letter}" for letter in "abc"]
    assert list(tried) == [(kind, zone) for kind in ("c5.xlarge", "m5.xlarge") for zone in zones]
    assert ended == 1 and "c5.xlarge" in error and "m5.xlarge" in error and zones[2] in error and "without --spot" in error
    name = job.make(story, {}).name
    code, _, error = ask("ec2", "status", name, "--bucket", made["Bucket"])
    assert code == 2 and "There is no run" in error, "a run that was never started is taken for a lost one"
    assert not folder(f"s3://{made['Bucket']}/mnistlib/runs/{name}").sizes()


def test_an_instance_starts_in_the_second_zone_where_the_first_is_full(cloud, story, monkeypatch):
    plan = ec2.plan(job.make(story, {}), options(cloud.deploy()))
    zones, real = [], boto3.Session.client

    def full_in_a(session: boto3.Session, service: str, **others: Any) -> Any:
        made = real(session, service, **others)

        def refuse(params: dict[str, Any], **_: object) -> None:
            zones.append(params["Placement"]["AvailabilityZone"])
            if zones[-1].endswith("a"):
                raise made.exceptions.ClientError({"Error": {"Code": "InsufficientInstanceCapacity", "Message": "Full."}}, "RunInstances")

        made.meta.events.register("provide-client-params.ec2.RunInstances", refuse)
        return made

    monkeypatch.setattr(boto3.Session, "client", full_in_a)
    instance = ec2.launch(plan)
    assert zones == [f"{REGION}a", f"{REGION}b"]
    (about,) = ec2.instances(plan.session, plan.job.name)
    assert about["InstanceId"] == instance and about["Placement"]["AvailabilityZone"] == f"{REGION}b"


def test_on_the_free_plan_a_type_that_it_does_not_allow_is_refused_with_one_that_it_does(stubbed, cloud, story):
    plan = {"accountId": ACCOUNT, "accountPlanType": "FREE", "accountPlanStatus": "ACTIVE"}
    session = client.session()
    large, small = ({"InstanceType": n, "VCpuInfo": {"DefaultVCpus": 2}, "MemoryInfo": {"SizeInMiB": m}} for n, m in (("b", 2), ("s", 1)))
    stubbed("freetier").add_response("get_account_plan_state", plan)
    eligible = {"Filters": [{"Name": "free-tier-eligible", "Values": ["true"]}]}
    stubbed("ec2").add_response("describe_instance_types", {"InstanceTypes": [small, large]}, eligible)
    with pytest.raises(SettingError, match="does not allow c5.xlarge; give --instance-type b, the largest of b and s"):
        account.check_plan(session, {"c5.xlarge": {"FreeTierEligible": False}, "s": {"FreeTierEligible": True}})
    stubbed("freetier").add_response("get_account_plan_state", plan | {"accountPlanType": "PAID"})
    account.check_plan(session, {"c5.xlarge": {}})
    stubbed("freetier").add_client_error("get_account_plan_state", "AccessDeniedException", "no")
    account.check_plan(session, {"c5.xlarge": {}})


def test_a_network_without_default_subnets_needs_some_that_are_named(cloud, story):
    ec2_client = cloud.client("ec2")
    vpc = ec2_client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2_client.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    made, one = cloud.deploy(VpcId=vpc), job.make(story, {})
    with pytest.raises(SettingError, match="create-default-vpc"):
        ec2.plan(one, options(made))
    (request,) = ec2.plan(one, options(made, subnet=subnet, public_address=False)).requests
    assert (request["NetworkInterfaces"][0]["SubnetId"], request["NetworkInterfaces"][0]["AssociatePublicIpAddress"]) == (subnet, False)
    made = cloud.deploy("second", VpcId=vpc, SubnetIds=subnet)
    (request,) = ec2.plan(one, options(made, stack="second")).requests
    assert request["NetworkInterfaces"][0]["SubnetId"] == subnet and request["NetworkInterfaces"][0]["AssociatePublicIpAddress"]


MISTYPED: dict[str, str] = {
    "run storry --bucket b": "storry",
    "run {story} --bucket b -p m 2": "'m'",
    "run {story} --bucket b --minutes 2": "minutes",
    "run {story} --bucket b --price -1": "price",
    "run {story} --bucket b --max-dollars 0": "max_dollars",
    "run {story}": "--bucket",
    "staus": "Did you mean 'status'",
    "status story --bucket mnistlib-b": "name of a run",
    "terminate": "--all",
}


def test_a_mistyped_command_is_answered_without_asking_aws(cloud, story, ask):
    for words, word in MISTYPED.items():
        code, _, error = ask("ec2", *words.format(story=story).split())
        assert code == 2 and word in error and not cloud.requests, words


def test_a_dry_run_prints_the_costs_and_starts_nothing(cloud, story, ask):
    made = cloud.deploy()
    where = ("--bucket", made["Bucket"], "--dry-run", "--instance-type", "c5.xlarge")
    code, out, error = ask("ec2", "run", story, *where)
    assert code == 0 and not error and "Nothing was started." in out and "cost not known" in out and "2 h 45 min" in out
    assert "at most $0.100 an hour" in ask("ec2", "run", story, *where, "--price", "0.1", "--spot")[1]
    assert "and $0.275; everything" in ask("ec2", "run", story, *where, "--price", "0.1", "--max-dollars", "0.28")[1]
    for words, word in ((("--price", "0.1", "--max-dollars", "0.27"), "may cost $0.275"), (("--max-dollars", "9"), "--price")):
        code, out, error = ask("ec2", "run", story, *where, *words)
        assert code == 2 and word in error and "hour" not in out
    assert not cloud.asked("PutObject") and all(asked.get("DryRun") for asked in cloud.asked("RunInstances"))


def test_a_run_that_is_under_way_is_listed_not_started_again_and_can_be_terminated(cloud, story, ask):
    plan, instance = launched(cloud, story, {})
    name = plan.job.name
    code, _, error = ask("ec2", "run", story, "--bucket", plan.options.bucket, *TYPE)
    assert code == 2 and f"already running on {instance}" in error
    code, out, _ = ask("ec2", "list")
    assert code == 0 and all(word in out for word in (instance, "c5.xlarge", "running", name))
    code, out, _ = ask("ec2", "terminate", "--all")
    assert code == 0 and instance in out
    assert ask("ec2", "list") == (0, "Nothing of this project is running.\n", "")
    code, out, _ = ask("ec2", "terminate", name)
    assert code == 0 and "no instance" in out
    inventory.check_not_running(plan.session, name)


def test_of_two_starts_at_once_one_is_refused_and_a_forgotten_one_holds_nobody_up(cloud, story, monkeypatch):
    plan = ec2.plan(job.make(story, {}), options(cloud.deploy()))
    assert plan.folder.put_new(launch.LOCK, b"") and not plan.folder.put_new(launch.LOCK, b"")
    with pytest.raises(SettingError, match="being started elsewhere"):
        ec2.launch(plan)
    assert not (plan.folder / "input").sizes() and not ec2.instances(plan.session)
    monkeypatch.setattr(launch, "LOCKED", -1.0)
    assert ec2.launch(plan) and launch.LOCK not in plan.folder.sizes()


def test_every_state_of_a_notebook_instance_that_is_billed_is_listed(stubbed, cloud):
    shape = client.session().client("sagemaker").meta.service_model.shape_for("NotebookInstanceStatus")
    listed = [{"NotebookInstanceName": "n", "NotebookInstanceArn": "a", "NotebookInstanceStatus": status} for status in shape.enum]
    since = {"InstanceType": "ml.t3.large", "CreationTime": datetime.now(UTC)}
    stub = stubbed("sagemaker")
    for status in ("InProgress", "Stopping"):
        stub.add_response("list_training_jobs", {"TrainingJobSummaries": []}, {"NameContains": "mnistlib-", "StatusEquals": status})
    stub.add_response("list_notebook_instances", {"NotebookInstances": [one | since for one in listed]}, {"NameContains": "mnistlib"})
    lines = list(inventory.running(client.session()))
    assert [line.split("  ")[2] for line in lines] == [status for status in shape.enum if status != "Deleting"]


def test_everywhere_means_every_region_of_the_account(cloud, ask):
    image = cloud.client("ec2").describe_images()["Images"][0]["ImageId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": ec2.PROJECT, "Value": "mnistlib"}]}]
    elsewhere = boto3.client("ec2", region_name=ELSEWHERE)
    started = elsewhere.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="c5.xlarge", TagSpecifications=tags)
    assert "Nothing" in ask("ec2", "list")[1]
    code, out, _ = ask("ec2", "list", "--everywhere")
    assert code == 0 and f"{ELSEWHERE}  {started['Instances'][0]['InstanceId']}" in out


def test_what_cannot_be_listed_is_not_taken_for_nothing(cloud, ask, monkeypatch):
    refusing(monkeypatch, "DescribeInstances", 403, "UnauthorizedOperation")
    code, out, _ = ask("ec2", "list")
    assert code == 1 and "DescribeInstances" in out


# What the instance does: with a stand-in for `mnistlib job`


def ended(machine: Machine, plan: LaunchPlan, instance: str) -> launch.State:
    """Wait for a machine's end and return the state that its run is then in; check what is true of every end."""
    machine.wait()
    assert machine.shutdowns[-1] == "shutdown -h now", "the instance would go on costing money"
    assert plan.folder.get("machine.log"), "the log did not arrive"
    found = state(plan)
    assert found.ended and found.machine == instance
    return found


@pytest.mark.slow
def test_a_failed_job_and_a_failed_installation_are_reported(cloud, machine, story, tmp_path):
    plan, instance = launched(cloud, story, {"n": -1})
    boot(cloud, machine, instance)
    found = ended(machine, plan, instance)
    assert machine.process.returncode == 0 and launch.machine(plan.folder)["code"] == 1
    assert (found.word, found.reason) == ("failed", "n is below zero")
    with pytest.raises(ResultError, match="succeeded"):
        launch.fetch(plan.folder, tmp_path / "reports", as_evidence=True)
    cloud.client("ec2").terminate_instances(InstanceIds=[instance])

    instance = ec2.launch(plan)  # again, with something that is no wheel
    assert launch.read_record(plan.folder) is None, "how an earlier attempt failed is not how this one ends"
    (wheel,) = (name for name in (plan.folder / "input").sizes() if name.endswith(".whl"))
    plan.folder.put(f"input/{wheel}", b"no wheel")
    machine.wipe()
    boot(cloud, machine, instance)
    found = ended(machine, plan, instance)
    assert found.word == "failed" and wheel in found.reason


@pytest.mark.slow
@pytest.mark.parametrize("how", ["watchdog", "spot"])
def test_an_instance_that_must_end_lets_its_job_save_and_the_next_one_resumes(cloud, machine, story, how, tmp_path):
    plan, first = launched(cloud, story, {"wait": 600.0}, spot=how == "spot")
    boot(cloud, machine, first, **({"WATCHDOG": str(tmp_path / "now")} if how == "watchdog" else {}))
    until(lambda: "working" in machine.log)
    if how == "watchdog":
        (tmp_path / "now").touch()
    else:
        assert state(plan).word == "running"
        machine.metadata.said["spot/instance-action"] = '{"action": "terminate"}'
    found = ended(machine, plan, first)
    assert found.word == "stopped" and "resumes" in found.reason
    assert "the job was asked to end" in machine.log
    assert "the group was asked to end" not in machine.log, "a job that is asked twice cannot save its state"
    assert launch.machine(plan.folder)["code"] == 143 and b"working" in plan.folder.get(f"out/{job.LOG}")
    cloud.client("ec2").terminate_instances(InstanceIds=[first])

    machine.metadata.said.pop("spot/instance-action", None)
    second = ec2.launch(plan)
    assert state(plan).word == "starting", "the first instance's report is taken for the second's"
    machine.wipe()
    boot(cloud, machine, second)
    assert ended(machine, plan, second).word == "succeeded" and "resumed" in machine.log
    facts = json.loads(plan.folder.get("out/instance"))
    assert facts["service"] == ("EC2 spot" if how == "spot" else "EC2") and facts["id"] == second and facts["price"] == 0.25


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended(cloud, machine, story):
    plan, instance = launched(cloud, story, {"wait": 600.0}, minutes=5)  # made three seconds
    machine.use_aws_cli()
    boot(cloud, machine, instance)
    found = ended(machine, plan, instance)
    assert found.word == "timed out" and "--minutes" in found.reason


# What the instance does: with the library, installed as it was sent


@pytest.mark.slow
@pytest.mark.long
def test_a_real_run_resumes_on_a_second_instance_and_comes_home_as_a_report(cloud, real_machine, ask, tmp_path):
    made, machine = cloud.deploy(), real_machine
    one = job.make(runner.find("03_augment"), SHORT)
    plan = ec2.plan(one, options(made, price=0.5, minutes=10))
    first = ec2.launch(plan)
    boot(cloud, machine, first)
    until(lambda: "epoch  1/4" in machine.log)
    machine.end()
    assert ended(machine, plan, first).word == "stopped"
    cloud.client("ec2").terminate_instances(InstanceIds=[first])

    second = ec2.launch(plan)
    machine.wipe()
    boot(cloud, machine, second)
    assert ended(machine, plan, second).word == "succeeded", machine.log
    assert machine.shutdowns[0] == "shutdown -h +55" and "epoch  1/4  loss" not in machine.log
    cloud.client("ec2").terminate_instances(InstanceIds=[second])

    where, home = ("--bucket", made["Bucket"]), tmp_path / "home"
    code, out, _ = ask("ec2", "status", one.name, *where, "--wait")
    assert code == 0 and "succeeded" in out and "epoch  4/4" in out
    assert ask("ec2", "fetch", one.name, *where, "--into", home)[0] == 0
    assert job.read(home).status == "succeeded" and not (home / job.RUNS).exists()
    epochs = [json.loads(line)["epoch"] for line in (home / job.EPOCHS).read_text().splitlines()]
    assert epochs == [1, 2, 3, 4], "an epoch was trained twice, or not at all"
    (result,) = home.rglob("results/03_augment.json")
    about = json.loads(result.read_text())["provenance"]
    expected = {"service": "EC2", "id": second, "type": "c7i.xlarge", "region": REGION, "image": machine.metadata.said["ami-id"]}
    assert {key: about[key] for key in expected} == expected
    assert about["cost"] == pytest.approx(0.5 * about["machine_seconds"] / 3600, rel=0.01)
    page = (home / "03_augment.html").read_text()
    assert second in page and formatting.dollars(about["cost"]) in page and "epoch  4/4" in page.split("The end of the log")[1]
    code, _, error = ask("ec2", "run", "03_augment", *where, *TYPE, *(word for pair in SHORT.items() for word in ("-p", *pair)))
    assert code == 2 and "already succeeded" in error
    with pytest.raises(ResultError, match="shortened"):
        launch.fetch(plan.folder, tmp_path / "reports", as_evidence=True)


# Many at once


def test_a_sweep_on_machines_of_their_own_takes_up_what_runs_and_makes_one_table_under_one_limit(cloud, story, ask, monkeypatch, tmp_path):
    made, out, ends = cloud.deploy(), tmp_path / "out", {1: "succeeded", 2: "", 3: "failed"}
    command = ("sweep", story, "--grid", "n=[1, 2, 3]", "--on", "ec2", "--bucket", made["Bucket"], *TYPE, "--out", out, "--at-once", "2")
    bucket, jobs = folder(f"s3://{made['Bucket']}/mnistlib/runs"), {n: job.make(story, {"n": n}) for n in ends}
    names, sizes = {one.name: n for n, one in jobs.items()}, []

    def pause(interrupted: bool) -> None:
        """Let every instance that runs come to its end: with a record, or without one."""
        running = [one for one in ec2.instances(client.session()) if one["State"]["Name"] == "running"]
        sizes.append(len(running))
        if interrupted:
            raise KeyboardInterrupt
        for one in running:
            name = next(tag["Value"] for tag in one["Tags"] if tag["Key"] == ec2.RUN)
            if end := ends[names[name]]:
                (bucket / name).put(f"out/{job.RECORD}", job.record_text(jobs[names[name]], end, "n is 3" * (end == "failed"), 1.0))
                state = {"phase": end, "code": 0, "instance": one["InstanceId"]}
                (bucket / name).put("machine.json", json.dumps(state).encode())
            cloud.client("ec2").terminate_instances(InstanceIds=[one["InstanceId"]])

    def started() -> int:
        return sum(not one.get("DryRun") for one in cloud.asked("RunInstances"))

    code, out_text, error = ask(*command, "--max-dollars", "0.8")
    assert code == 2 and "3 runs together may cost $0.825" in error and not started()
    assert "3 runs, 2 at once, at most $0.825 in all." in ask(*command, "--dry-run")[1] and not started() and not out.exists()
    monkeypatch.setattr(on_aws, "time", SimpleNamespace(sleep=lambda seconds: pause(True), monotonic=time.monotonic))
    code, _, error = ask(*command)
    assert code == 130 and "takes them up again" in error and started() == 2
    monkeypatch.setattr(on_aws, "time", SimpleNamespace(sleep=lambda seconds: pause(False), monotonic=time.monotonic))
    code, out_text, error = ask(*command)
    assert code == 1 and started() == 3 and max(sizes) == 2, "a run was started twice, or too many at once"
    assert f"Failed: {jobs[3].name}, n 3: n is 3" in error and f"Failed: {jobs[2].name}, n 2: The instance ended without a record" in error
    page = (out / "index.html").read_text()
    assert all(page.count(f">{status}<") == n for status, n in (("succeeded", 1), ("failed", 2))) and str(out / "index.html") in out_text
    ends.update({2: "succeeded", 3: "succeeded"})
    assert ask(*command)[0] == 0 and started() == 5, "what had succeeded was run again, or what had failed was not"


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (("--spot",), "--spot is for machines in AWS"),
        (("--instance-type", "c5.xlarge"), "--instance-type is for machines in AWS"),
        (("--on", "ec2"), "--bucket"),
        (("--on", "sagemaker", "--bucket", "b-1", "--address", "host:1"), "--address is for Ray"),
        (("--on", "ec2", "--bucket", "b-1", "--out", "s3://b-1/x"), "--out takes the folder"),
        (("--runtime-env", __file__), "py_modules"),
        (("--address", "http://127.0.0.1:8265"), "ray://HOST:10001"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_without_asking_aws(cloud, story, ask, words, word):
    code, _, error = ask("sweep", story, *words)
    assert code == 2 and word in error and not cloud.requests


# How its end is reported


def test_an_instance_that_ended_without_a_record_is_lost(cloud, story):
    plan, instance = launched(cloud, story, {})
    cloud.client("ec2").terminate_instances(InstanceIds=[instance])
    found = state(plan)
    assert (found.word, found.ended) == ("lost", True) and "get-console-output" in found.reason
    with pytest.raises(SettingError, match="story-0123456789"):
        ec2.state(plan.session, launch.run_folder(plan.session, plan.options.bucket, "story-0123456789"))


def test_ctrl_c_ends_the_waiting_and_not_the_run(cloud, story, ask, monkeypatch):
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "time", SimpleNamespace(sleep=interrupted, monotonic=time.monotonic, time=time.time))
    code, out, error = ask("ec2", "run", story, "--bucket", cloud.deploy()["Bucket"], *TYPE, "--wait")
    name = job.make(story, {}).name
    assert code == 130 and f"{name}: starting" in out
    assert f"mnistlib ec2 status {name}" in error and f"mnistlib ec2 terminate {name}" in error
    assert [one["State"]["Name"] for one in ec2.instances(client.session(), name)] == ["running"]


@pytest.mark.slow
@pytest.mark.parametrize("n_failures", [3, 99])
def test_a_look_that_fails_ends_the_waiting_only_if_it_goes_on_failing(cloud, story, monkeypatch, n_failures):
    plan, instance = launched(cloud, story, {})
    plan.folder.put(f"out/{job.RECORD}", job.record_text(plan.job, "succeeded", "", 1.0))
    ec2.terminate(plan.session, plan.job.name)
    looks = iter(range(200))

    def look() -> launch.State:
        if next(looks) < n_failures:
            raise client.CloudError("No network.")
        return state(plan)

    monkeypatch.setattr(launch.time, "sleep", lambda seconds: None)
    if n_failures == 3:
        assert launch.follow(plan.folder, look).word == "succeeded"
    else:
        with pytest.raises(client.CloudError, match="No network.*`f`.*`s`"):
            cloud_commands._wait(plan.folder, look, {"follow": "f", "stop": "s"})


def test_a_run_that_never_ends_is_not_followed_for_ever(cloud, story, monkeypatch):
    plan = ec2.plan(job.make(story, {}), options(cloud.deploy()))
    monkeypatch.setattr(launch, "LONGEST", 0.05)
    monkeypatch.setattr(launch, "EVERY", 0.02)
    with pytest.raises(client.CloudError, match="has not ended"):
        launch.follow(plan.folder, lambda: launch.State("stopping", False))


def test_only_a_run_with_the_torch_of_the_reports_becomes_evidence(cloud, story, tmp_path):
    plan, _ = launched(cloud, story, {})
    plan.folder.put(f"out/{job.RECORD}", job.record_text(plan.job, "succeeded", "", 1.0))
    committed = json.loads((files.root() / "reports" / "results" / "03_augment.json").read_text())
    committed.pop("sha256")
    for torch in ("2.7.1+cpu", committed["provenance"]["torch"]):
        committed["provenance"]["torch"] = torch
        plan.folder.put("out/results/03_augment.json", files.to_text(files.signed(committed)).encode())
        if torch == "2.7.1+cpu":
            with pytest.raises(ResultError, match="torch 2.7.1"):
                launch.fetch(plan.folder, tmp_path / "reports", as_evidence=True)
            assert not (tmp_path / "reports").exists()
    launch.fetch(plan.folder, tmp_path / "reports", as_evidence=True)
    assert (tmp_path / "reports" / "results" / "03_augment.json").is_file()


def test_a_damaged_result_replaces_nothing(cloud, story, tmp_path, ask):
    plan, _ = launched(cloud, story, {})
    code, _, error = ask("ec2", "fetch", plan.job.name, "--bucket", plan.options.bucket, "--into", tmp_path / "home")
    assert code == 2 and "nothing" in error and not (tmp_path / "home").exists()
    for name in ("story.html", "story.ipynb", "results/story.json"):
        plan.folder.put(f"out/{name}", b"{}")
    plan.folder.put(f"out/{job.RECORD}", job.record_text(plan.job, "succeeded", "", 1.0))
    (tmp_path / "story.html").write_text("before")
    with pytest.raises(ResultError):
        launch.fetch(plan.folder, tmp_path, as_evidence=True)
    assert (tmp_path / "story.html").read_text() == "before"
