"""What a report says of the machine that a run was given: which, for how long, at what cost, and how its log ended."""

import json

import pytest

from mnistlib import formatting
from mnistlib.report import result_tables
from mnistlib.runs import cloud_machine

MACHINE = {"service": "EC2", "id": "i-1", "type": "c7i.xlarge", "region": "eu-central-1", "image": "ami-1", "since": 1_000_000_000}


def test_outside_a_cloud_there_is_nothing_to_say(monkeypatch):
    monkeypatch.delenv(cloud_machine.MACHINE, raising=False)
    assert cloud_machine.told(2e9) == {}


@pytest.mark.parametrize(
    ("more", "name", "cost"),
    [
        ({"price": 0.36}, "cost", 0.18),
        ({"price": None}, "cost", None),
        ({}, "cost", None),
        ({"price": 0.36, "service": "EC2 spot"}, "cost_at_most", 0.18),
    ],
)
def test_a_machine_costs_its_price_for_as_long_as_it_ran(monkeypatch, more, name, cost):
    monkeypatch.setenv(cloud_machine.MACHINE, json.dumps(MACHINE | more))
    told = cloud_machine.told(1_000_000_000 + 1800)
    assert told.pop(name) == (None if cost is None else pytest.approx(cost))
    assert told == {
        **{key: (MACHINE | more)[key] for key in ("service", "id", "type", "region", "image")},
        "machine_started": "2001-09-09T01:46:40Z",
        "machine_until": "2001-09-09T02:16:40Z",
        "machine_seconds": 1800.0,
    }


def test_a_cost_that_is_not_known_is_said_to_be():
    assert [formatting.dollars(value) for value in (None, 0.0123, 1.5, 1234.5)] == ["cost not known", "$0.012", "$1.50", "$1,234.50"]
    assert result_tables._value("cost", None) == "cost not known" and result_tables._value("machine_seconds", 90.0) == "1 min 30 s"


def test_the_end_of_the_log_is_its_last_lines_that_say_something(monkeypatch, tmp_path):
    monkeypatch.delenv(cloud_machine.LOG, raising=False)
    assert cloud_machine.tail() == []
    monkeypatch.setenv(cloud_machine.LOG, str(tmp_path / "log.txt"))
    assert cloud_machine.tail() == []
    (tmp_path / "log.txt").write_text("\n\n".join(map(str, range(50))) + "\n")
    assert cloud_machine.tail() == [str(n) for n in range(50 - cloud_machine.TAIL, 50)]
