"""A run on EC2: what is asked of Amazon, what the machine does for real, and what becomes of it when things go wrong."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from clouds import REGION, Cloud, interruptible
from machines import Machine
from test_job import write

from mnistlib import __main__
from mnistlib.aws import client as aws
from mnistlib.aws import ec2, inventory, runs
from mnistlib.aws.launch import Plan, Wish
from mnistlib.aws.s3 import Address
from mnistlib.cli import cloud_options
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.sweep import job
from mnistlib.sweep import job as record

pytest_plugins = ["clouds", "machines"]

STORY = """
import os, signal, time
from pathlib import Path

print("working", n, flush=True)
assert n >= 0, "n is below zero"
if n == 9:
    time.sleep(1)  # what was printed is passed on
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(wait)
Path(results_dir, "n").write_text(str(n))
"""
PARAMETERS = "n = 1\nwait = 0.0\nresults_dir = 'build'"
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """Return a small notebook."""
    return write(tmp_path / "story.ipynb", STORY, parameters=PARAMETERS)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Told:
    """Return what runs a command and gives its exit code, what it printed, and what it complained of."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mnistlib", *map(str, words)])
        try:
            code = __main__.main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def booted(cloud: Cloud, machine: Machine, instance: str, **settings: str) -> None:
    """Start a scratch machine as EC2 would start this instance: with its user data."""
    held = cloud.client("ec2").describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    machine.metadata.said["instance-id"] = instance
    machine.start(base64.b64decode(held).decode(), **settings)


def launched(cloud: Cloud, story: Path, given: dict, **wish: object) -> tuple[Plan, str]:
    """Start a run and return its plan and its instance's id."""
    made = cloud.deploy()
    plan = ec2.plan(job.make(story, given), Wish(**{"bucket": made["Bucket"], "instance_type": "c5.xlarge", "price": 0.25} | wish))
    return plan, ec2.launch(plan, lambda line: None)


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.2)


# What is asked of Amazon


def test_a_machine_is_asked_for_with_all_that_keeps_it_safe_and_short(cloud, story):
    made = cloud.deploy()
    plan = ec2.plan(job.make(story, {"n": 2}), Wish(bucket=made["Bucket"], instance_type="c5.xlarge", price=0.25, minutes=30))
    assert not cloud.client("ec2").describe_instances()["Reservations"], "a plan started something"
    cloud.forget()
    instance = ec2.launch(plan, lambda line: None)
    (asked,) = cloud.asked("RunInstances")
    image = asked.pop("ImageId")
    assert cloud.client("ec2").describe_images(ImageIds=[image])["Images"][0]["Architecture"] == "x86_64"
    assert asked.pop("ClientToken"), "a request that is sent again could start a second machine"
    begin, *settings = base64.b64decode(asked.pop("UserData")).decode().splitlines()[1:9]
    assert begin == "shutdown -h +75", "the watchdog must come before anything that can fail"
    at = f"s3://{made['Bucket']}/mnistlib"
    assert settings[:5] == [
        f"export RUN={at}/runs/{plan.unit.name}",
        f"export STORE={at}/data",
        "export NOTEBOOK=story.ipynb",
        "export MINUTES=30",
        "export SPOT=no",
    ]
    tags = [
        {"Key": "Name", "Value": f"mnistlib {plan.unit.name}"},
        {"Key": "project", "Value": "mnistlib"},
        {"Key": "mnistlib-run", "Value": plan.unit.name},
    ]
    disk = asked.pop("BlockDeviceMappings")
    assert [device["Ebs"] | {"VolumeSize": 40} for device in disk] == [
        {"VolumeSize": 40, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    ]
    assert asked == {
        "InstanceType": "c5.xlarge",
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": made["InstanceProfile"]},
        "SecurityGroupIds": [made["SecurityGroup"]],
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}, {"ResourceType": "volume", "Tags": tags}],
    }
    assert [one["InstanceId"] for one in ec2.instances(None, plan.unit.name)] == [instance]


def test_spare_capacity_and_a_key_are_asked_for_where_they_are_wanted(cloud, story):
    made = cloud.deploy()
    cloud.client("ec2").create_key_pair(KeyName="mine")
    plan = ec2.plan(job.make(story, {}), Wish(bucket=made["Bucket"], instance_type="c5.xlarge", price=0.1, spot=True), key_name="mine")
    assert plan.request["InstanceMarketOptions"] == {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    assert plan.request["KeyName"] == "mine" and "export SPOT=yes" in plan.request["UserData"]


def test_what_a_machine_begins_with_is_small_and_holds_no_secret(cloud, story):
    made = cloud.deploy()
    data = ec2.plan(job.make(story, {}), Wish(bucket=made["Bucket"], instance_type="c5.xlarge", price=0.1)).request["UserData"]
    assert len(data.encode()) < 4096 and "testing" not in data


def test_the_run_travels_by_s3_and_the_data_only_once(cloud, story, tmp_path):
    plan, _ = launched(cloud, story, {})
    at = Address(plan.at.bucket, plan.at.key)
    sent = runs.bucket.listed(at / "input")
    assert {name for name in sent if not name.endswith(".whl")} == {"boot.sh", "run.sh", "project.tar.gz", "parameters.yaml"}
    assert sum(name.startswith("mnistlib-") and name.endswith(".whl") for name in sent) == 1
    assert not runs.bucket.listed(Address(at.bucket, "mnistlib/data")), "a notebook without MNIST needs none"
    real = write(tmp_path / "real.ipynb", "pass", parameters="dataset = 'mnist'")
    for n_sent in (6, 0):
        cloud.forget()
        runs.send(job.make(real, {}), at, (), lambda line: None)
        keys = [asked["Key"] for asked in cloud.asked("PutObject") if asked["Key"].startswith("mnistlib/data/")]
        assert len(keys) == n_sent and all(len(key) == len("mnistlib/data/") + 64 for key in keys)


# What stops before it costs anything


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bucket": "nowhere-at-all"}, "There is no bucket 'nowhere-at-all'; the stack 'mnistlib' makes one"),
        ({"bucket": "No Bucket"}, "'No Bucket' is no bucket's name"),
        ({"bucket": "somebody-elses"}, "may use its own bucket alone"),
        ({"stack": "other"}, "no finished stack 'other' in eu-central-1; make it with `aws cloudformation create-stack"),
        ({"instance_type": "c5.gigantic"}, "There is no instance type 'c5.gigantic' in eu-central-1"),
        ({"image": "/no/such/parameter"}, "There is no image '/no/such/parameter'"),
        ({"instance_type": "g4dn.xlarge"}, "has no driver for a GPU"),
        ({"region": "eu-west-3"}, "is in eu-central-1, not in eu-west-3; give --region eu-central-1"),
    ],
)
def test_what_cannot_be_had_stops_before_anything_is_sent_or_started(cloud, story, change, match):
    made = cloud.deploy()
    cloud.client("s3").create_bucket(Bucket="somebody-elses", CreateBucketConfiguration={"LocationConstraint": REGION})
    wish = Wish(**{"bucket": made["Bucket"], "instance_type": "c5.xlarge", "price": 0.1} | change)
    cloud.forget()
    with pytest.raises(SettingError, match=match):
        ec2.plan(job.make(story, {}), wish, show=lambda line: None)
    assert not cloud.asked("PutObject", "RunInstances")


def test_an_image_for_another_kind_of_processor_is_refused(cloud, story):
    made = cloud.deploy()
    with pytest.raises(SettingError, match="is for x86_64, t4g.small is arm64"):
        image = ec2.plan(job.make(story, {}), Wish(bucket=made["Bucket"], instance_type="c5.xlarge", price=0.1)).request["ImageId"]
        ec2.plan(job.make(story, {}), Wish(bucket=made["Bucket"], instance_type="t4g.small", image=image, price=0.1))


def refusing(monkeypatch: pytest.MonkeyPatch, operation: str, status: int, code: str) -> None:
    """Have EC2 answer an operation as it does where it refuses it."""
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>It is so.</Message></Error></Errors></Response>".encode()
    ask = aws.client

    def answer(request: Any, **_: object) -> AWSResponse:
        return AWSResponse(request.url, status, {}, SimpleNamespace(stream=lambda: [body]))

    def client(service: str, region: str | None = None) -> Any:
        made = ask(service, region)
        made.meta.events.register(f"before-send.ec2.{operation}", answer)
        return made

    monkeypatch.setattr(aws, "client", client)


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("UnauthorizedOperation", "may not do RunInstances"),
        ("VcpuLimitExceeded", "ask for more at https://console.aws.amazon.com/servicequotas"),
        ("InsufficientInstanceCapacity", "no such machine free now"),
    ],
)
def test_what_may_not_be_started_is_known_before_anything_is_sent(cloud, story, told, monkeypatch, code, match):
    made = cloud.deploy()
    refusing(monkeypatch, "RunInstances", 403, code)
    words = ("--bucket", made["Bucket"], "--instance-type", "c5.xlarge", "--price", "0.1")
    ended, _, err = told("ec2", "run", story, *words)
    assert ended == 1 and match in err and not cloud.asked("PutObject")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["ec2", "run", "storry", "--bucket", "b"], "There is no notebook 'storry'"),
        (["ec2", "run", "{story}", "--bucket", "b", "-p", "m", "2"], "There is no parameter 'm'"),
        (["ec2", "run", "{story}", "--bucket", "b", "--minutes", "2"], "minutes is 2; it must be a whole number from 5"),
        (["ec2", "run", "{story}", "--bucket", "b", "--price", "-1"], "price is -1.0"),
        (["ec2", "run", "{story}"], "Missing option '--bucket'"),
        (["ec2", "staus"], "There is no command 'staus'. Did you mean 'status'?"),
        (["ec2", "status", "story", "--bucket", "mnistlib-b"], "'story' is no run's name"),
        (["ec2", "terminate"], "or give --all"),
    ],
)
def test_a_mistyped_command_is_answered_without_asking_amazon(cloud, story, told, words, match):
    code, _, err = told(*(word.format(story=story) for word in words))
    assert code == 2 and match in err and not cloud.requests


def test_a_dry_run_says_what_would_be_started_and_starts_nothing(cloud, story, told):
    made = cloud.deploy()
    code, out, err = told("ec2", "run", story, "--bucket", made["Bucket"], "--dry-run", "--instance-type", "c5.xlarge")
    assert code == 0 and not err and "Nothing was started." in out and "cost not known" in out and "at most 2 h 45 min" in out
    assert not cloud.asked("PutObject") and all(asked.get("DryRun") for asked in cloud.asked("RunInstances"))


def test_a_run_that_is_under_way_is_not_started_again(cloud, story, told):
    plan, instance = launched(cloud, story, {})
    code, _, err = told("ec2", "run", story, "--bucket", plan.at.bucket, "--instance-type", "c5.xlarge", "--price", "1")
    assert code == 2 and f"is under way on {instance}; `ec2 status {plan.unit.name}`" in err
    with pytest.raises(SettingError, match=f"is under way on {instance}"):  # which `sagemaker run` asks as well
        inventory.alone(plan.unit.name, None)
    assert ec2.terminate(None, plan.unit.name) == [instance] and not ec2.instances(None)
    inventory.alone(plan.unit.name, None)


# What the machine does


@pytest.mark.slow
def test_a_run_comes_home_as_the_report_that_it_would_have_been_here(cloud, machine, told, mnist, tmp_path):
    made = cloud.deploy()
    where = ("--bucket", made["Bucket"])
    short = ("-p", "dataset", "mnist", "-p", "limit", "2000", "-p", "epochs", "1", "-y", "seeds: [0]")
    code, out, err = told("ec2", "run", "03_augment", *where, "--instance-type", "c5.xlarge", "--price", "0.5", "--minutes", "10", *short)
    assert code == 0 and not err, err
    name = out.split("Started ")[1].split(" for ")[1].split(".")[0]
    instance = out.split("Started ")[1].split(" for ")[0]
    code, out, _ = told("ec2", "status", name, *where)
    assert code == 0 and f"{name}: starting  {instance}" in out

    booted(cloud, machine, instance)
    assert machine.wait() == 0, machine.log
    assert machine.shutdowns[0] == "shutdown -h +55" and "shutdown -h now" in machine.shutdowns
    cloud.client("ec2").terminate_instances(InstanceIds=[instance])  # what the real shutdown does

    code, out, _ = told("ec2", "status", name, *where, "--wait")
    assert code == 0 and f"{name}: succeeded" in out and "epoch  1/1" in out
    code, out, _ = told("ec2", "fetch", name, *where, "--into", tmp_path / "home")
    home = tmp_path / "home"
    assert code == 0 and (home / "03_augment.html").is_file() and record.read(home).status == "succeeded"
    (line,) = (home / record.EPOCHS).read_text().splitlines()
    assert json.loads(line)["epoch"] == 1 and not (home / record.RUNS).exists()
    (result,) = home.rglob("results/03_augment.json")
    about = json.loads(result.read_text())["provenance"]
    assert len(list((machine.root / "home" / "data").iterdir())) == 6 and "a shared folder" not in result.read_text()
    told_of = {key: about[key] for key in ("service", "id", "type", "region", "image")}
    expected = {"service": "EC2", "id": instance, "type": "c5.xlarge", "region": REGION, "image": machine.metadata.said["ami-id"]}
    assert told_of == expected | {"type": machine.metadata.said["instance-type"]}
    assert (
        about["cost"] == pytest.approx(0.5 * about["machine_seconds"] / 3600, rel=0.01)
        and about["machine_until"] > about["machine_started"]
    )
    page = (home / "03_augment.html").read_text()
    assert instance in page and "$0.00" in page and "The end of the log" in page and "epoch  1/1" in page.split("The end of the log")[1]

    code, _, err = told("ec2", "run", "03_augment", *where, "--instance-type", "c5.xlarge", "--minutes", "10", *short)
    assert code == 2 and f"{name} has succeeded already; `ec2 fetch {name}" in err
    code, out, _ = told("ec2", "list")
    assert code == 0 and out == "Nothing of this project is running.\n"


def ended(cloud: Cloud, machine: Machine, plan: Plan, instance: str) -> runs.State:
    """Wait for a machine's end and return the state that its run is then in; hold what is true of every end."""
    machine.wait()
    assert machine.shutdowns[-1] == "shutdown -h now", "the machine would go on costing"
    assert runs.bucket.get(plan.at / "machine.log"), "the log did not arrive"
    state = ec2.state(plan.at, None)
    assert state.ended and state.machine == instance
    return state


@pytest.mark.slow
@pytest.mark.parametrize(("n", "match"), [(-1, "n is below zero"), (9, "the kernel died")])
def test_a_failing_notebook_and_a_killed_kernel_are_told_and_leave_what_they_have(cloud, machine, story, tmp_path, n, match):
    plan, instance = launched(cloud, story, {"n": n})
    booted(cloud, machine, instance)
    state = ended(cloud, machine, plan, instance)
    assert machine.process.returncode == 0 and runs.machine(plan.at)["code"] == 1
    assert (state.word, state.code) == ("failed", 1) and match in state.why
    runs.fetch(plan.at, tmp_path / "home", lambda line: None)
    assert "working" in (tmp_path / "home" / record.LOG).read_text() and (tmp_path / "home" / "story.failed.ipynb").is_file()
    page = (tmp_path / "home" / "story.failed.html").read_text()
    assert "This run failed: " in page and match in page
    with pytest.raises(runs.ResultError, match="Only a run that has succeeded goes into reports"):
        runs.fetch(plan.at, tmp_path / "reports", lambda line: None, reports=True)


@pytest.mark.slow
def test_a_library_that_cannot_be_installed_is_told(cloud, machine, story):
    failed = job.make(story, {})
    at = runs.place(cloud.deploy()["Bucket"], failed.name)
    runs.bucket.put(at / "out" / record.RECORD, record.record_text(failed, "failed", "What was wrong before.", 1.0))
    runs.bucket.put(at / "out" / record.LOG, b"What was printed before.")
    plan = ec2.plan(failed, Wish(bucket=at.bucket, instance_type="c5.xlarge", price=0.25))
    instance = ec2.launch(plan, lambda line: None)
    (wheel,) = (name for name in runs.bucket.listed(plan.at / "input") if name.endswith(".whl"))
    runs.bucket.put(plan.at / "input" / wheel, b"no wheel")
    booted(cloud, machine, instance)
    state = ended(cloud, machine, plan, instance)
    assert (state.word, state.code) == ("failed", 1) and wheel in machine.log and "ERROR" in state.why
    assert runs.recorded(plan.at) is None, "it never came to run"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped by hand", "watchdog", "spot"])
def test_a_machine_that_must_end_lets_its_run_keep_what_it_has(cloud, machine, story, how):
    plan, instance = launched(cloud, story, {"wait": 600.0}, spot=how == "spot")
    booted(cloud, machine, instance, **({"WATCHDOG": "14"} if how == "watchdog" else {}))
    if how != "watchdog":
        until(lambda: "working" in machine.log)
        assert ec2.state(plan.at, None).word == "running"
    if how == "spot":
        machine.metadata.said["spot/instance-action"] = '{"action": "terminate"}'
    elif how == "stopped by hand":
        machine.end()
    state = ended(cloud, machine, plan, instance)
    assert (state.word, state.code) == ("stopped", 1) and "the same `ec2 run` goes on" in state.why
    assert runs.machine(plan.at)["code"] == 143
    if how != "watchdog":
        assert b"working" in runs.bucket.get(plan.at / "out" / record.LOG)


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended(cloud, machine, story):
    plan, instance = launched(cloud, story, {"wait": 600.0}, minutes=5)
    machine.settings["PATH"] = machine.path
    held = plan.request["UserData"].replace("export MINUTES=5", "export MINUTES=0.2")
    machine.metadata.said["instance-id"] = instance
    machine.start(held)
    state = ended(cloud, machine, plan, instance)
    assert (state.word, state.code) == ("timed out", 1) and "with more of them goes on" in state.why


@pytest.mark.slow
def test_the_next_run_goes_on_where_a_spot_machine_was_taken_back(cloud, machine, told):
    made = cloud.deploy()
    given = {"dataset": "digits", "epochs": 12, "seeds": [0]}
    one = job.make(runner.find("03_augment"), given)
    wish = Wish(bucket=made["Bucket"], instance_type="c5.xlarge", price=0.1, spot=True)
    plan = ec2.plan(one, wish, show=lambda line: None)
    first = ec2.launch(plan, lambda line: None)
    booted(cloud, machine, first)
    until(lambda: "epoch  3/12" in machine.log)
    machine.end()
    assert ended(cloud, machine, plan, first).word == "stopped"
    cloud.client("ec2").terminate_instances(InstanceIds=[first])

    plan = ec2.plan(one, wish, show=lambda line: None)
    second = ec2.launch(plan, lambda line: None)
    assert ec2.state(plan.at, None).word == "starting", "what the first machine said is taken for the second's"
    for path in (machine.root / "home").iterdir():  # another machine
        path.rename(machine.root / f"old-{path.name}")
    booted(cloud, machine, second)
    assert ended(cloud, machine, plan, second).word == "succeeded", machine.log
    assert "goes on after epoch" in machine.log and "epoch  3/12  loss" not in machine.log
    lines = [json.loads(line)["epoch"] for line in (runs.bucket.get(plan.at / "out" / record.EPOCHS) or b"").decode().splitlines()]
    assert lines == sorted(set(lines)) == list(range(1, 13)), "an epoch was trained twice, or not at all"


def test_a_machine_that_is_gone_without_a_word_is_called_lost(cloud, story):
    plan, instance = launched(cloud, story, {})
    cloud.client("ec2").terminate_instances(InstanceIds=[instance])
    state = ec2.state(plan.at, None)
    assert (state.word, state.ended, state.code) == ("lost", True, 1) and "goes on from what was saved" in state.why
    with pytest.raises(SettingError, match="There is no run 'story-0123456789'"):
        ec2.state(runs.place(plan.at.bucket, "story-0123456789"), None)


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_and_not_the_run(cloud, story):
    made = cloud.deploy()
    words = ("ec2", "run", str(story), "--bucket", made["Bucket"], "--instance-type", "c5.xlarge", "--price", "0.1", "--wait")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": interruptible}
    with subprocess.Popen([sys.executable, "-m", "mnistlib", *words], **pipes) as process:
        line = next(line for line in process.stdout if line.startswith("Started"))
        assert any("starting" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    name = line.split(" for ")[1].split(".")[0]
    assert process.returncode == 130 and "Traceback" not in err
    assert (
        f"Follow it with `python -m mnistlib ec2 status {name}" in err and f"stop it with `python -m mnistlib ec2 terminate {name}" in err
    )
    assert [one["State"]["Name"] for one in ec2.instances(None, name)] == ["running"]


def test_everything_that_runs_is_listed_and_can_be_ended(cloud, story, told):
    plan, instance = launched(cloud, story, {})
    code, out, _ = told("ec2", "list")
    assert code == 0 and instance in out and "c5.xlarge  running" in out and plan.unit.name in out
    code, out, _ = told("ec2", "list", "--everywhere")
    assert code == 0 and f"{REGION}  {instance}" in out
    code, out, _ = told("ec2", "terminate", "--all")
    assert code == 0 and out == f"Ending {instance}.\n"
    assert told("ec2", "list")[1] == "Nothing of this project is running.\n"
    code, out, _ = told("ec2", "terminate", plan.unit.name)
    assert code == 0 and f"no machine that has the run {plan.unit.name!r} here; `ec2 list --everywhere`" in out


def test_what_cannot_be_asked_is_not_taken_for_nothing(cloud, told, monkeypatch):
    refusing(monkeypatch, "DescribeInstances", 403, "UnauthorizedOperation")
    code, out, _ = told("ec2", "list")
    assert code == 1 and out.startswith("Not known of instances: These credentials may not do DescribeInstances")


@pytest.mark.parametrize(("n_misses", "word"), [(3, "succeeded"), (99, "goes on in the cloud")])
def test_a_look_that_fails_ends_the_waiting_only_if_it_goes_on_failing(cloud, story, monkeypatch, n_misses, word):
    plan, _ = launched(cloud, story, {})
    runs.bucket.put(plan.at / "out" / record.RECORD, record.record_text(plan.unit, "succeeded", "", 1.0))
    ec2.terminate(None, plan.unit.name)
    looks = iter(range(200))

    def look() -> runs.State:
        if next(looks) < n_misses:
            raise aws.CloudError("No network.")
        return ec2.state(plan.at, None)

    monkeypatch.setattr(runs.time, "sleep", lambda seconds: None)
    if n_misses == 3:
        assert runs.follow(plan.at, look, lambda line: None).word == word
    else:
        with pytest.raises(aws.CloudError, match=f"No network. The run {word}. Follow it with `f`, stop it with `s`"):
            cloud_options.wait(plan.at, look, "f", "s")


def test_results_go_into_reports_only_on_purpose_and_only_sound(cloud, story, tmp_path):
    plan, _ = launched(cloud, story, {})
    with pytest.raises(SettingError, match="There is nothing of"):
        runs.fetch(plan.at, tmp_path, lambda line: None)
    for name in ("story.html", "story.ipynb", "results/story.json"):
        runs.bucket.put(plan.at / "out" / name, b"{}")
    runs.bucket.put(plan.at / "out" / record.RECORD, record.record_text(plan.unit, "succeeded", "", 1.0))
    (tmp_path / "story.html").write_text("before")
    with pytest.raises(runs.ResultError):
        runs.fetch(plan.at, tmp_path, lambda line: None, reports=True)
    assert (tmp_path / "story.html").read_text() == "before", "a damaged result has replaced what was there"
