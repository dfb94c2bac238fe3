"""Clients that answer what they are told to: for what moto's services never say.

A test module has them with `pytest_plugins = ["clouds", "stubs"]`. (PYTEST_DONT_REWRITE: it imports from here before pytest does.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from botocore.stub import Stubber
from clouds import Cloud

from mnistlib.aws import client as aws


@pytest.fixture
def stubbed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Stubber]]:
    """Return what gives a service's stubber; from then on the service says nothing else, and all of it has to be asked for."""
    made: dict[str, Stubber] = {}
    client = aws.client

    def stub(service: str) -> Stubber:
        if service not in made:
            made[service] = Stubber(client(service, "eu-central-1"))
            made[service].activate()
        return made[service]

    monkeypatch.setattr(aws, "client", lambda service, region=None: made[service].client if service in made else client(service, region))
    yield stub
    for one in made.values():
        one.assert_no_pending_responses()
