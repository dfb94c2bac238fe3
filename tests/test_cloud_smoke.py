"""The proof of the cloud path, run as a whole against AWS as moto imitates it: what it leaves, and what it refuses.

moto's machines do not run, so `Account` puts into the bucket what a run would, whenever the proof waits.
"""

from __future__ import annotations

import importlib.util
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from clouds import ACCOUNT, REGION, Cloud, folder
from moto.cloudformation.models import cloudformation_backends
from moto.sagemaker.models import FakeTrainingJob
from moto.sagemaker.responses import SageMakerResponse
from test_sagemaker import fits

from cloud import job
from cloud.aws import client, ec2, launch, rights, stack
from cloud.aws.s3 import Folder
from mnistlib import files
from mnistlib.cli import main

pytest_plugins = ["clouds"]
pytestmark = pytest.mark.usefixtures("wheel")

WORDS = ("--repository", "https://example.org/mnist.git", "--name", "mnistlib-smoke-test", "--price", "0.05", "--yes")
STAGES = ["set-up", "ec2", "ec2-spot", "sagemaker-spot", "notebook", "rights"]


class Account:
    """What machines do while the proof waits: the first of a long run comes to its middle, all others come to their end."""

    def __init__(self, cloud: Cloud, jobs: list[FakeTrainingJob]) -> None:
        self.cloud, self.jobs, self.first, self.refused = cloud, jobs, {}, ""

    def pause(self, seconds: float) -> None:
        """Let some time pass."""
        ec2_client = self.cloud.client("ec2")
        for one in ec2.instances(boto3.Session(region_name=REGION)):
            (run,) = (tag["Value"] for tag in one["Tags"] if tag["Key"] == ec2.RUN)
            if one["State"]["Name"] == "running" and run != "another" and self.goes_on(at := self.place(run), one["InstanceId"]):
                at.put(f"out/{job.RECORD}", record("succeeded"))
                at.put("machine.json", json.dumps({"phase": "succeeded", "code": 0, "instance": one["InstanceId"]}).encode())
                ec2_client.terminate_instances(InstanceIds=[one["InstanceId"]])
        for made, asked in zip(self.jobs, self.cloud.asked("CreateTrainingJob"), strict=True):
            if made.training_job_status == "Stopping":
                made.training_job_status = made.secondary_status = "Stopped"
            elif made.training_job_status == "InProgress" and self.goes_on(
                at := folder(asked["Environment"]["OUT"][:-4]), made.training_job_name
            ):
                made.training_job_status = made.secondary_status = "Failed" if self.refused else "Completed"
                made.failure_reason = self.refused
                at.put(f"out/{job.RECORD}", record("failed" if self.refused else "succeeded"))

    def place(self, run: str) -> Folder:
        """Return the folder of a run."""
        names = [one["Name"] for one in self.cloud.client("s3").list_buckets()["Buckets"] if "smoke" in one["Name"]]
        return folder(f"s3://{names[0]}/mnistlib/runs/{run}")

    def goes_on(self, run: Folder, machine: str) -> bool:
        """Leave what a machine leaves, and say whether its run has come to its end."""
        n_epochs = yaml.safe_load(run.get("input/parameters.yaml"))["epochs"]
        ends = n_epochs == 1 or self.first.setdefault(run.name, machine) != machine
        lines = [json.dumps({"epoch": epoch}) for epoch in range(1, (n_epochs if ends else 3) + 1)]
        run.put(f"out/{job.EPOCHS}", "\n".join(lines).encode())
        return ends


def record(status: str) -> bytes:
    """Return what a run writes last."""
    return job.record_text(job.Job(Path("03_augment.ipynb"), {}, "k"), status, "", 1.0)


@pytest.fixture
def smoke() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("cloud_smoke", files.root() / "scripts" / "cloud_smoke.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let SageMaker give an address that opens a notebook instance, which moto cannot, and return what was asked of it."""
    paths: list[str] = []

    class Instance(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Instance)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def give(self: SageMakerResponse) -> str:
        name = self._get_param("NotebookInstanceName")
        return json.dumps({"AuthorizedUrl": f"http://127.0.0.1:{server.server_address[1]}/{name}?authToken=secret"})

    monkeypatch.setattr(SageMakerResponse, "create_presigned_notebook_instance_url", give, raising=False)
    yield paths
    server.shutdown()
    server.server_close()


@pytest.fixture
def account(cloud: Cloud, training: list[FakeTrainingJob], monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return an account whose machines go on whenever somebody waits for them."""
    made = Account(cloud, training)
    passing = SimpleNamespace(sleep=lambda seconds: made.pause(seconds), monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(launch, "time", passing)
    return made


Prove = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def prove(smoke: ModuleType, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Prove:
    """Return what runs the command and gives its exit code, what it printed, and its record."""

    def run(*words: str) -> tuple[int, str, dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["cloud_smoke", *words, "--out", str(tmp_path / "out")])
        try:
            code = main.main(smoke.cloud_smoke, "cloud_smoke")
        except SystemExit as ended:
            code = ended.code
        printed, path = capsys.readouterr(), tmp_path / "out" / "smoke.json"
        return code, printed.out + printed.err, json.loads(path.read_text()) if path.exists() else {}

    return run


def ended(record: dict[str, Any]) -> dict[str, str]:
    """Return how each stage ended; a clean-up in parts is as its worst."""
    found: dict[str, str] = {}
    for one in record["stages"]:
        found[one["stage"]] = one["status"] if found.get(one["stage"], "succeeded") == "succeeded" else found[one["stage"]]
    return found


@pytest.mark.slow
def test_every_stage_is_proved_recorded_and_removed_and_what_is_not_its_own_stays(prove, account, cloud, opened, tmp_path):
    cloud.deploy()
    image = cloud.client("ec2").describe_images()["Images"][0]["ImageId"]
    tags = [{"Key": "project", "Value": "mnistlib"}, {"Key": ec2.RUN, "Value": "another"}]
    wanted = {"MinCount": 1, "MaxCount": 1, "InstanceType": "c5.xlarge", "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]}
    other = cloud.client("ec2").run_instances(ImageId=image, **wanted)["Instances"][0]["InstanceId"]
    cloud.forget()
    code, said, record = prove(*WORDS)
    assert ended(record) == dict.fromkeys([*STAGES, "clean-up"], "succeeded") and code == 0, said
    assert record["left"] == [] and "Nothing of this proof is left." in said and "secret" not in said + json.dumps(record)
    assert opened == ["/mnistlib-smoke-test?authToken=secret"]

    instances = [one for one in cloud.asked("RunInstances") if not one.get("DryRun")]
    assert ["InstanceMarketOptions" in one for one in instances] == [False, True, True]
    assert [one["EnableManagedSpotTraining"] for one in cloud.asked("CreateTrainingJob")] == [True, True]
    assert len(list((tmp_path / "out").glob(f"03_augment-*/{job.EPOCHS}"))) == 3, "a run's results did not come home"

    for service, operation, given in cloud.requests:
        if service in ("cloudformation", "iam", "logs", "sagemaker"):
            fits(cloud.client(service).meta.service_model.operation_model(operation).input_shape, given)

    # What was called, on what, and what the operator may
    calls = [one for one in record["calls"] if one["stage"] in STAGES[1:5]]
    assert {one["operator_may"] for one in calls} == {True}
    assert {one["operator_may"] for one in record["calls"] if one["stage"] in ("set-up", "clean-up")} == {None}
    made = {f"{one['action']} {arn}" for one in calls for arn in one["resources"]}
    where, name = f"{REGION}:{ACCOUNT}", "mnistlib-smoke-test"
    assert f"sagemaker:CreatePresignedNotebookInstanceUrl arn:aws:sagemaker:{where}:notebook-instance/{name}" in made
    assert f"ec2:RunInstances arn:aws:ec2:{REGION}::image/{instances[0]['ImageId']}" in made
    assert {f"ec2:RunInstances arn:aws:ec2:{where}:{kind}/*" for kind in ("instance", "volume", "spot-instances-request")} <= made
    assert f"ec2:TerminateInstances arn:aws:ec2:{where}:instance/" in "\n".join(made)
    assert any(one.startswith("iam:PassRole arn:aws:iam::") for one in made)

    # What is left of it, and of others
    assert [one["StackName"] for one in cloud.client("cloudformation").describe_stacks()["Stacks"]] == [stack.NAME]
    assert not any(one["Name"].startswith(name) for one in cloud.client("s3").list_buckets()["Buckets"])
    assert not cloud.client("sagemaker").list_notebook_instances()["NotebookInstances"]
    assert [one["InstanceId"] for one in ec2.instances(client.session())] == [other]


@pytest.mark.slow
def test_a_stage_that_fails_stops_neither_the_others_nor_the_record_nor_the_removal(prove, account, cloud, opened):
    account.refused = "AlgorithmError: n is below zero"
    code, said, record = prove(*WORDS)
    found = ended(record)
    assert code == 1 and found == dict.fromkeys([*STAGES, "clean-up"], "succeeded") | {"sagemaker-spot": "failed"}
    (failed,) = [one for one in record["stages"] if one["status"] == "failed"]
    assert "AlgorithmError: n is below zero" in failed["reason"] and failed["reason"] in said
    assert record["left"] == [] and len(cloud.client("cloudformation").describe_stacks()["Stacks"]) == 0


@pytest.mark.slow
def test_a_failed_clean_up_is_no_success_and_lists_what_is_left_with_the_command_that_removes_it(prove, opened, monkeypatch):
    def refuse(*_: object) -> None:
        raise client.CloudError("It cannot be deleted.")

    monkeypatch.setattr(stack, "delete", refuse)
    code, said, record = prove(*WORDS)
    assert code == 1 and ended(record)["clean-up"] == "failed"
    assert any(one.startswith("stack mnistlib-smoke-test (") for one in record["left"])
    assert f"aws cloudformation delete-stack --stack-name mnistlib-smoke-test --region {REGION}" in said


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS"])
def test_a_stack_of_the_same_name_is_left_as_it_is(prove, cloud, status):
    cloud.deploy("mnistlib-smoke-test")
    (there,) = cloudformation_backends[ACCOUNT][REGION].stacks.values()
    there.status = status
    code, said, record = prove(*WORDS)
    assert code == 2 and status in said and "--name" in said and not record
    assert not cloud.asked("CreateStack", "DeleteStack", "UpdateStack", "RunInstances") and there.status == status


def test_what_is_too_dear_or_not_confirmed_or_misnamed_is_not_started(prove, cloud, monkeypatch):
    refused = {("--price", "0.3"): "may cost $1.50", ("--name", "mnistlib"): "must begin with", ("--repository", "git@x:y"): "https://"}
    for words, sentence in refused.items():
        code, said, record = prove(*WORDS, *words)
        assert code == 2 and sentence in said and not record
    code, said, _ = prove(*WORDS[:4])
    assert code == 2 and "--price" in said, "without a price the limit cannot be kept"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, said, record = prove(*WORDS[:-1])
    assert code == 0 and "at most $0.250" in said and "Nothing was started." in said and not record
    assert not cloud.asked("CreateStack", "PutObject", "RunInstances")


@pytest.mark.slow
def test_ctrl_c_removes_what_was_made_and_a_second_one_says_what_is_left(prove, account, cloud, monkeypatch):
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(account, "pause", press)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "delete", press)
        code, said, record = prove(*WORDS)
    assert code == 130 and "The clean-up was stopped" in said and ended(record)["ec2"] == "stopped"
    assert any("stack mnistlib-smoke-test" in one for one in record["left"]) and any(one.startswith("bucket ") for one in record["left"])
    assert "aws cloudformation delete-stack --stack-name mnistlib-smoke-test" in said and "aws s3 rb s3://mnistlib-smoke-test" in said
    assert not ec2.instances(client.session()), "the machine is what costs most"


def test_a_stack_that_rolls_back_is_waited_for_before_it_is_deleted(cloud, monkeypatch):
    cloud.deploy("mnistlib-smoke-test")
    (there,) = cloudformation_backends[ACCOUNT][REGION].stacks.values()
    there.status, asked = "ROLLBACK_IN_PROGRESS", []

    def sleep(seconds: float) -> None:
        asked.append(len(cloud.asked("DeleteStack")))
        there.status = "ROLLBACK_COMPLETE" if len(asked) == 2 else there.status

    monkeypatch.setattr(stack, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    stack.delete(client.session(), "mnistlib-smoke-test")
    assert asked == [0, 0] and not stack.status(client.session(), "mnistlib-smoke-test") and len(cloud.asked("DeleteStack")) == 1
    stack.delete(client.session(), "mnistlib-smoke-test")
    assert len(cloud.asked("DeleteStack")) == 1


def test_a_policy_allows_what_it_names_and_nothing_beside_it():
    given = {"Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::b/mnistlib/*"}, {"Action": "ec2:DescribeImages", "Resource": "*"}
    tagged = {"Action": "ec2:RunInstances", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestTag/project": "mnistlib"}}}
    document = {"Statement": [{"Effect": "Allow", **one} for one in (*given, tagged)]}

    def may(service: str, operation: str, **params: Any) -> bool:
        return all(rights.allowed(document, call) for call in rights.calls(service, operation, params, REGION, ACCOUNT)[:1])

    assert may("s3", "UploadPart", Bucket="b", Key="mnistlib/x") and not may("s3", "PutObject", Bucket="b", Key="x")
    assert not may("s3", "GetObject", Bucket="b", Key="mnistlib/x") and may("ec2", "DescribeImages", ImageIds=["ami-1"])
    for project, expected in (("mnistlib", True), ("another", False)):
        specified = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": project}]}]
        assert may("ec2", "RunInstances", TagSpecifications=specified) is expected
