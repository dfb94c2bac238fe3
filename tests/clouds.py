"""AWS on 127.0.0.1 as moto imitates it, one server per session and empty for each test; and every request that this process made.

A test module has them with `pytest_plugins = ["clouds"]`. (PYTEST_DONT_REWRITE: it imports from here before pytest does.)
"""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import botocore.loaders
import botocore.session
import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.sagemaker.models import FakeSagemakerNotebookInstance, FakeTrainingJob, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer
from test_job import write

from cloud import packaging
from cloud.aws import client, s3, sagemaker, stack
from mnistlib.cli import main

REGION, ELSEWHERE = "eu-central-1", "eu-west-3"  # the regions of this cloud
ACCOUNT = "123456789012"  # moto's


@dataclass
class Cloud:
    """A cloud without anything in it, and what was asked of it: (service, operation, parameters), each fit for the service's model."""

    endpoint: str
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def client(self, service: str) -> Any:
        """Return a client whose requests are recorded too; `forget` drops those."""
        return boto3.client(service, region_name=REGION)

    def asked(self, *operations: str) -> list[dict[str, Any]]:
        """Return the parameters of each request for one of the operations, in order."""
        return [parameters for _, operation, parameters in self.requests if operation in operations]

    def forget(self) -> None:
        """Drop what was recorded so far."""
        self.requests.clear()

    def default_network(self) -> str:
        """Return the id of the default VPC."""
        return self.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]

    def deploy(self, name: str = stack.NAME, **parameters: str) -> dict[str, str]:
        """Create the project's stack, in the default network unless another is given, and return its outputs; nothing is recorded."""
        before = list(self.requests)
        parameters = parameters if "VpcId" in parameters else parameters | {"VpcId": self.default_network()}
        self.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=stack.TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        outputs = stack.stack_outputs(client.session(REGION), name)
        self.requests[:] = before
        return outputs


def created(kind: type, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any) -> Any:
    """Create a notebook instance with the name and properties that a template gives; moto gives it a name of its own and no properties."""
    wanted = cloudformation_json["Properties"]
    return sagemaker_backends[account_id][region_name].create_notebook_instance(
        wanted["NotebookInstanceName"],
        wanted["InstanceType"],
        wanted["RoleArn"],
        lifecycle_config_name=wanted["LifecycleConfigName"],
        root_access=wanted["RootAccess"],
    )


@pytest.fixture(scope="session")
def _server() -> Iterator[str]:
    """Run moto's server on a free port of this machine; botocore parses each service's model once."""
    loader = botocore.loaders.create_loader()
    few = [region for region in RegionsAndZonesBackend.regions if region.name in (REGION, ELSEWHERE)]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda *_: loader)
        patch.setattr(RegionsAndZonesBackend, "regions", few)
        patch.setattr(FakeSagemakerNotebookInstance, "create_from_cloudformation_json", classmethod(created))
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def cloud(_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """Return an empty cloud; boto3 and the AWS CLI find it through the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "no-aws"  # nobody's own credentials are ever read
    settings = {
        "AWS_ENDPOINT_URL": _server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(nowhere),
        "AWS_SHARED_CREDENTIALS_FILE": str(nowhere),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    urllib.request.urlopen(urllib.request.Request(f"{_server}/moto-api/reset", method="POST"), timeout=30).close()

    made = Cloud(_server)
    convert = botocore.client.BaseClient._convert_to_request_dict

    def recording(client: Any, api_params: dict[str, Any], operation_model: Any, *args: Any, **kwargs: Any) -> Any:
        """Let botocore hold the parameters against its model, and note what passed."""
        request = convert(client, api_params, operation_model, *args, **kwargs)
        made.requests.append((operation_model.service_model.service_name, operation_model.name, dict(api_params)))
        return request

    monkeypatch.setattr(botocore.client.BaseClient, "_convert_to_request_dict", recording)
    return made


@pytest.fixture(scope="session")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library's wheel once."""
    return packaging.wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def wheel(_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a launch take the wheel that was built once, and return it."""
    monkeypatch.setattr(packaging, "wheel", lambda folder: Path(shutil.copy(_wheel, folder)))
    return _wheel


STORY = "print('working', n)\nassert n >= 0, 'n is below zero'"


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """Return a small notebook, which a machine's stand-in for `mnistlib job` reads the parameters of."""
    return write(tmp_path / "story.ipynb", STORY, parameters="n = 1\nwait = 0.0\nresults_dir = 'build'")


Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Ask:
    """Return what runs a command of mnistlib in this process and gives its exit code and what it printed to both streams."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mnistlib", *map(str, words)])
        try:
            code = main.main()
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def training(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[FakeTrainingJob]:
    """Make moto's training jobs begin and stop as real ones do, add an older one of the default images, and return the jobs created."""
    image, ecr, jobs = sagemaker.default_images(REGION, "ml.c5.xlarge")[1], cloud.client("ecr"), []
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {}, "layers": []}'
    ecr.create_repository(repositoryName="pytorch")
    ecr.put_image(repositoryName="pytorch", imageManifest=manifest, imageTag=image.rpartition(":")[2])
    born = FakeTrainingJob.__init__

    def begin(job: Any, *args: Any, **others: Any) -> None:
        born(job, *args, **others)
        job.training_job_status, job.secondary_status = "InProgress", "Starting"
        jobs.append(job)

    def stop(self: SageMakerResponse) -> str:
        job = self.sagemaker_backend.training_jobs[self._get_param("TrainingJobName")]
        job.training_job_status, job.secondary_status = "Stopping", "Stopping"
        return "{}"

    monkeypatch.setattr(FakeTrainingJob, "__init__", begin)
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop, raising=False)
    cloud.forget()
    return jobs


def folder(url: str) -> s3.Folder:
    """Return a folder of the cloud by its address."""
    return s3.folder(boto3.client("s3", region_name=REGION), url)
