"""Amazon's services on 127.0.0.1, as moto answers for them, and every request that this process made of them.

A test module has them with `pytest_plugins = ["clouds"]`. (PYTEST_DONT_REWRITE: it imports from here before pytest does.)
"""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.client
import pytest
from moto.server import ThreadedMotoServer

from mnistlib.aws import stack

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # moto's


def interruptible() -> None:
    """Have a process that is about to start heed Ctrl-C, which a test run in the background hands down as ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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

    def deploy(self, name: str = stack.NAME) -> dict[str, str]:
        """Make the project's stack and return its outputs; its requests are not recorded."""
        before = list(self.requests)
        vpc = self.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        self.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=stack.TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": "VpcId", "ParameterValue": vpc}],
        )
        outputs = stack.outputs(name, REGION)
        self.requests[:] = before
        return outputs


@pytest.fixture(scope="session")
def _server() -> Iterator[str]:
    """Run moto's server on a free port of this machine alone."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """Return an empty cloud, which boto3 and the AWS CLI reach through the environment."""
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
