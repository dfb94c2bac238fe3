"""README's section on the cloud, its commands run in their order as they stand there, against Amazon's services as moto answers for them.

What differs from a real account: runs on all images are shortened; the machine that `ec2 run` starts is the scratch one, and so is the
training job's; moto has no address that opens a notebook instance. RUN is replaced by what was printed, as a reader does.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clouds import REGION, Cloud
from moto.sagemaker.models import FakeTrainingJob
from moto.sagemaker.responses import SageMakerResponse
from test_sagemaker import MANIFEST, Container

from mnistlib import files
from mnistlib.aws import sagemaker
from mnistlib.aws.s3 import Address, listed
from mnistlib.sweep import job as record

pytest_plugins = ["clouds", "machines"]

SHORT = "-p dataset digits -p epochs 1 -y 'seeds: [0]'"
ELSEWHERE = ("pip install", "ssh -N", "aws ssm start-session")  # an installation, and what needs a machine to log in to


def blocks() -> list[str]:
    """Return the commands of each code block of the section, in their order."""
    section = (files.root() / "README.md").read_text().split("\n## In the cloud\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)


class Reader:
    """A reader at a shell: what is exported or set in one command is there in the next."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder, self.cloud, self.kept = folder, cloud, folder / "environment"
        self.environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
        self.kept.write_text("")

    def start(self, command: str) -> subprocess.Popen:
        """Start a command in the repository."""
        keep = f'declare -p AWS_DEFAULT_REGION VPC BUCKET >"{self.kept}" 2>/dev/null || true'
        script = f'set -e; . "{self.kept}"\n{command}\n{keep}'
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(["bash", "-c", script], cwd=files.root(), env=self.environment, **pipes)

    def run(self, command: str) -> str:
        """Run a command to its end and return what it printed; one that fails fails the test."""
        process = self.start(command)
        said, _ = process.communicate(timeout=180)
        assert process.returncode == 0, f"{command}\n{said}"
        return said


def shortened(command: str) -> str:
    """Return a command that trains all seeds on all images, made short; others as they are."""
    return f"{command} {SHORT}" if "run 03_augment" in command and "--dry-run" not in command else command


def commands(block: str) -> list[str]:
    """Return the commands of a block, continued lines joined, without those that cannot be run here."""
    lines = block.replace("\\\n", " ").strip().splitlines()
    return [line for line in lines if not any(text in line for text in ELSEWHERE)]


@pytest.fixture
def reader(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return a reader whose clone came from a public address."""
    origin = subprocess.run(["git", "remote", "get-url", "origin"], cwd=files.root(), capture_output=True, text=True).stdout.strip()
    setting = (
        ("url.https://example.org/mnistlib.git.insteadOf", origin) if origin else ("remote.origin.url", "https://example.org/mnistlib.git")
    )
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", setting[0])
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", setting[1])
    return Reader(tmp_path, cloud)


def waited(reader: Reader, command: str, started: Callable[[str], Any]) -> str:
    """Run a command that waits for a run; as soon as that has been started, start what it runs on."""
    process = reader.start(command)
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.match(r"Started (\S+) for ", line):
            started(found[1])
    assert process.wait(timeout=60) == 0, "".join(said)
    return "".join(said)


@pytest.mark.slow
def test_the_section_on_the_cloud_holds_word_for_word(reader, cloud, machine, mnist, monkeypatch):
    born = FakeTrainingJob.__init__

    def bear(one: FakeTrainingJob, *args: Any, **others: Any) -> None:
        born(one, *args, **others)
        one.training_job_status, one.secondary_status = "InProgress", "Starting"

    create, asked = SageMakerResponse.create_training_job, []

    def creating(response: SageMakerResponse) -> str:
        asked.append(json.loads(response.body))
        return create(response)

    monkeypatch.setattr(FakeTrainingJob, "__init__", bear)  # moto's jobs are over before they begin
    monkeypatch.setattr(SageMakerResponse, "create_training_job", creating)  # and it forgets their environment
    image = sagemaker.IMAGE.format(account=sagemaker.OWNER, region=REGION, kind=sagemaker.KINDS[False])
    cloud.client("ecr").create_repository(repositoryName="pytorch-training")
    cloud.client("ecr").put_image(repositoryName="pytorch-training", imageManifest=MANIFEST, imageTag=image.rpartition(":")[2])
    once, ec2, by_hand, training, notebook, _, left, gone = blocks()

    for command in commands(once):
        reader.run(command)
    (bucket,) = (one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"])
    assert f'BUCKET="{bucket}"' in reader.kept.read_text()

    # On EC2
    dry, run, status, fetch, terminate, everything = commands(ec2)
    assert "Nothing was started." in reader.run(dry) and not cloud.client("ec2").describe_instances()["Reservations"]

    def boot(instance: str) -> None:
        held = cloud.client("ec2").describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
        machine.metadata.said["instance-id"] = instance
        machine.start(base64.b64decode(held).decode())

    said = waited(reader, shortened(run), boot)
    name = re.search(r"for (03_augment-\w+)\.", said)[1]
    assert f"{name}: succeeded" in said and "epoch  1/1" in said
    machine.wait()
    assert f"{name}: succeeded" in reader.run(status.replace("RUN", name))
    assert "files in" in reader.run(fetch.replace("RUN", name))
    home = files.root() / "build" / "cloud" / name
    assert record.read(home).status == "succeeded" and machine.metadata.said["instance-id"] in (home / "03_augment.html").read_text()
    assert "Ending i-" in reader.run(terminate.replace("RUN", name))
    assert reader.run(everything) == "Nothing of this project is running.\n"

    # By hand
    for command in commands(by_hand):
        reader.run(command)
    there = listed(Address(bucket, "mnistlib"))
    assert "out.ipynb" in there and "mine/job.json" in there and "mine/03_augment.html" in there

    # As a training job
    run, status, fetch, stop = commands(training)
    for old in listed(at := Address(bucket, f"mnistlib/runs/{name}")):  # or the run would be one that has succeeded already
        cloud.client("s3").delete_object(Bucket=bucket, Key=(at / old).key)

    def contain(_: str) -> None:
        container = Container(machine, asked[-1])
        container.start()
        threading.Thread(target=container.end, daemon=True).start()

    said = waited(reader, shortened(run), contain)
    assert f"{name}: succeeded" in said and "epoch  1/1" in said
    assert f"{name}: succeeded" in reader.run(status.replace("RUN", name))
    assert "files in" in reader.run(fetch.replace("RUN", name))
    assert "SageMaker managed spot" in (home / "03_augment.html").read_text()
    assert "no training job under way" in reader.run(stop.replace("RUN", name))

    # On a notebook instance
    for command in commands(notebook):
        if "open" not in command:  # moto has no such addresses
            said = reader.run(command)
    assert "Nothing of it is left" in said

    # That nothing is left
    for command in commands(left):
        assert reader.run(command) == "Nothing of this project is running.\n"
    for command in commands(gone):
        reader.run(command)
    assert not cloud.client("s3").list_buckets()["Buckets"]
