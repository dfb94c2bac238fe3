"""Services that answer what they are told to: for what moto never says.

A test module has them with `pytest_plugins = ["clouds", "stubs"]`. (PYTEST_DONT_REWRITE: it imports from here before pytest does.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from clouds import REGION, Cloud


@pytest.fixture
def stubbed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Stubber]]:
    """Return what gives a service's stubber; from then on the service answers nothing else, and every answer has to be asked for."""
    made: dict[str, Stubber] = {}
    client = boto3.Session.client

    def stub(service: str) -> Stubber:
        if service not in made:
            made[service] = Stubber(client(boto3.Session(region_name=REGION), service))
            made[service].activate()
        return made[service]

    def stubbed_client(session: boto3.Session, service: str, **options: Any) -> Any:
        return made[service].client if service in made else client(session, service, **options)

    monkeypatch.setattr(boto3.Session, "client", stubbed_client)
    yield stub
    for one in made.values():
        one.assert_no_pending_responses()
