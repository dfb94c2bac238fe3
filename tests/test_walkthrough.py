"""docs/cloud.md, its commands run in their order as they stand there, against AWS as moto imitates it.

What differs from a real account: instance and training container are stand-ins, whose `mnistlib job` is quick, and so is the notebook in
S3. moto has no address that opens a notebook instance, so the AWS CLI only validates that command. RUN is replaced by what was printed, as
a reader does.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from clouds import Ask, Cloud, folder
from machines import Machine
from moto.sagemaker.models import FakeTrainingJob
from test_job import write
from test_sagemaker import Container

from cloud import job
from cloud.aws import ec2 as ec2_service
from cloud.aws import launch
from cloud.aws import sagemaker as sagemaker_service
from cloud.aws.launch import LaunchPlan
from mnistlib import files

pytest_plugins = ["clouds", "machines"]

ELSEWHERE = ("pip install", "ssh -N", "aws ssm start-session")  # an installation, and what needs a machine to log in to
VALIDATED = "create-presigned-notebook-instance-url"


def blocks() -> list[str]:
    """Return the commands of each code block, in their order."""
    return re.findall(r"```sh\n(.*?)```", (files.root() / "docs" / "cloud.md").read_text(), flags=re.DOTALL)


def commands(block: str) -> list[str]:
    """Return the commands of a block, continued lines joined, without those that cannot be run here."""
    lines = block.replace("\\\n", " ").strip().splitlines()
    return [line for line in lines if not any(text in line for text in ELSEWHERE)]


class Prices(BaseHTTPRequestHandler):
    """AWS's price list, which moto does not have: every product costs a quarter of a dollar per hour."""

    def do_POST(self) -> None:
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": "0.25"}}
        product = {"terms": {"OnDemand": {"x": {"priceDimensions": {"y": dimension}}}}}
        body = json.dumps({"PriceList": [json.dumps(product)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def prices(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let AWS answer for prices."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prices)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", f"http://127.0.0.1:{server.server_address[1]}")
    yield
    server.shutdown()
    server.server_close()


class Reader:
    """A reader at a shell: what is exported or set in one command is there in the next.

    `mnistlib` runs in this process, which is quicker.
    """

    def __init__(self, home: Path, ask: Ask) -> None:
        self.kept, self.ask = home / "variables", ask
        self.environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(home)}
        self.kept.write_text("")

    @property
    def bucket(self) -> str:
        """Return the value of $BUCKET."""
        return re.search('BUCKET="(.*)"', self.kept.read_text())[1]

    def run(self, command: str, name: str = "") -> str:
        """Run a command, RUN in it replaced by a name, and return what it printed; one that fails fails the test."""
        if command.startswith("mnistlib "):
            code, printed, error = self.ask(*shlex.split(command.replace("RUN", name).replace("$BUCKET", self.bucket))[1:])
        else:
            if VALIDATED in command:
                command = command.replace("--query AuthorizedUrl --output text", "--generate-cli-skeleton output")
            keep = f'declare -p AWS_DEFAULT_REGION VPC BUCKET >"{self.kept}" 2>/dev/null || true'
            script = f'set -e; . "{self.kept}"\n{command}\n{keep}'
            done = subprocess.run(
                ["bash", "-c", script], cwd=files.root(), env=self.environment, capture_output=True, text=True, timeout=60
            )
            code, printed, error = done.returncode, done.stdout, done.stderr
        assert code == 0, f"{command}\n{printed}{error}"
        return printed


def studio_pins(block: str) -> list[str]:
    """Return the packages that the recipe for Studio installs first."""
    script = block.replace(".venv/bin/python -m pip", "echo").replace("~/mnistlib", str(files.root()))
    lines = [line for line in script.splitlines() if line.startswith(("cd ", "echo install $"))]
    done = subprocess.run(["bash", "-ec", "\n".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.split("--")[0].split()[1:]


def test_every_block_is_known():
    assert len(blocks()) == 11, "a block of commands in docs/cloud.md has no test"


@pytest.mark.slow
def test_the_commands_of_the_page_work(
    cloud: Cloud, prices: None, machine: Machine, training: list[FakeTrainingJob], wheel: Path, ask: Ask, tmp_path, monkeypatch
):
    monkeypatch.setattr(launch, "EVERY", 0.2)
    reader, (setup, _, ec2, by_hand, jobs, create, stop, studio, _, left, gone) = Reader(tmp_path, ask), blocks()
    for command in commands(setup):
        reader.run(command)
    bucket = reader.bucket
    assert [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]] == [bucket]

    # EC2
    dry, run, status, fetch, terminate, everything = commands(ec2)
    printed = reader.run(dry)
    assert "Nothing was started." in printed and "$0.250 an hour" in printed
    assert not cloud.client("ec2").describe_instances()["Reservations"]

    start = ec2_service.launch

    def boot(plan: LaunchPlan) -> str:
        instance = start(plan)
        held = cloud.client("ec2").describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
        machine.metadata.said["instance-id"] = instance
        machine.start(base64.b64decode(held).decode())
        return instance

    monkeypatch.setattr(ec2_service, "launch", boot)
    printed = reader.run(run)
    name = re.search(r"for (03_augment-\w+)\.", printed)[1]
    assert f"{name}: succeeded" in printed and "working" in printed
    machine.wait()
    assert f"{name}: succeeded" in reader.run(status, name)
    reader.run(fetch, name)
    home = files.root() / "build" / "cloud" / name
    assert job.read(home).status == "succeeded" and json.loads((home / "instance").read_text())["service"] == "EC2 spot"
    assert "Terminating i-" in reader.run(terminate, name)
    assert reader.run(everything) == "Nothing of this project is running.\n"

    # papermill and `mnistlib job`, with a quick notebook of the step's name and parameters
    copy, *run_it = commands(by_hand)
    reader.run(copy)
    step, stored = files.root() / "notebooks" / "03_augment.ipynb", folder(f"s3://{bucket}/mnistlib/notebooks")
    assert stored.get(step.name) == step.read_bytes()
    parameters = next(cell for cell in nbformat.read(step, 4).cells if "parameters" in cell.metadata.get("tags", ()))
    stored.put(step.name, write(tmp_path / step.name, "print('working')", parameters=parameters.source).read_bytes())
    for command in run_it:
        reader.run(command)
    there = folder(f"s3://{bucket}/mnistlib").sizes()
    assert {"out.ipynb", f"mine/{job.RECORD}", "mine/03_augment.html"} <= set(there)

    # A training job
    run, status, fetch, stop_job = commands(jobs)
    for old in (at := folder(f"s3://{bucket}/mnistlib/runs/{name}")).sizes():  # or the run would have succeeded already
        at.delete(old)
    create_job = sagemaker_service.launch

    def contain(plan: LaunchPlan) -> str:
        created = create_job(plan)
        container = Container(machine, plan.requests[0], training[-1])
        container.start()
        threading.Thread(target=container.end, daemon=True).start()
        return created

    monkeypatch.setattr(sagemaker_service, "launch", contain)
    assert f"{name}: succeeded" in reader.run(run)
    assert f"{name}: succeeded" in reader.run(status, name)
    reader.run(fetch, name)
    assert json.loads((home / "instance").read_text())["service"] == "SageMaker managed spot"
    assert "no active training job" in reader.run(stop_job, name)

    # A notebook instance
    sagemaker = cloud.client("sagemaker")
    for command in commands(create):
        reader.run(command)
    for command, status in zip(commands(stop), ["Stopped", "Stopped", "InService", "InService", "", ""], strict=True):
        reader.run(command)
        found = sagemaker.list_notebook_instances()["NotebookInstances"]
        assert "".join(one["NotebookInstanceStatus"] for one in found) == status

    # A space of Studio, whose packages are those of requirements.txt
    found, pinned = studio_pins(studio), (files.root() / "requirements.txt").read_text()
    assert [one.partition("==")[0] for one in found] == ["torch", "torchvision"] and all(one in pinned for one in found)

    # Nothing is left
    for command in commands(left):
        assert reader.run(command) == "Nothing of this project is running.\n"
    for command in commands(gone):
        reader.run(command)
    assert not cloud.client("s3").list_buckets()["Buckets"]
