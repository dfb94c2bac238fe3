"""Where a run comes from: versions, commit and machine; in a cloud, which instance, for how long and at what cost."""

import getpass
import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from mnistlib import files
from mnistlib.runs import provenance

INSTANCE = {"service": "EC2", "id": "i-1", "type": "c7i.xlarge", "region": "eu-central-1", "image": "ami-1", "since": 1_000_000_000}


def test_provenance_names_versions_and_machine_but_no_person_and_no_place():
    made = provenance.collect(0.0, 61.26, "cpu", workers=2, threads=1)
    assert made["started"] == "1970-01-01T00:00:00Z" and made["seconds"] == 61.3 and (made["workers"], made["threads"]) == (2, 1)
    assert made["torch"] == torch.__version__ and made["numpy"] == np.__version__ and made["python"] == platform.python_version()
    assert made["gpu"] is None and made["cores"] >= 1 and made["instructions"] and provenance.version("no-such-package") is None
    text = json.dumps(made)
    assert platform.node() not in text and str(Path.home()) not in text and str(files.root()) not in text
    assert getpass.getuser() == "root" or getpass.getuser() not in text


def git(folder: Path, *words: str) -> str:
    """Run git in a folder as nobody in particular."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_is_that_of_the_tracked_code(tmp_path):
    assert provenance.revision(tmp_path) == (None, None)
    git(tmp_path, "init", "-q")
    assert provenance.revision(tmp_path) == (None, None)
    (tmp_path / "code.py").write_text("a")
    files.write(tmp_path / "reports" / "index.html", "a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "new.py").write_text("not tracked")
    files.write(tmp_path / "reports" / "index.html", "written by a series")
    assert provenance.revision(tmp_path) == (head, False)
    (tmp_path / "code.py").write_text("b")
    assert provenance.revision(tmp_path) == (head, True)
    assert provenance.revision(tmp_path / "reports") == (None, None)  # a folder inside someone else's repository


def test_a_project_that_was_sent_names_its_commit(tmp_path):
    (tmp_path / files.SENT).write_text(json.dumps(["c0ffee", False]))
    assert provenance.revision(tmp_path) == ("c0ffee", False)


def test_outside_a_cloud_there_is_no_instance(monkeypatch):
    monkeypatch.delenv(provenance.INSTANCE, raising=False)
    assert provenance.instance(2e9) == {}


@pytest.mark.parametrize(
    ("more", "name", "cost"),
    [
        ({"price": 0.36}, "cost", 0.18),
        ({"price": None}, "cost", None),
        ({}, "cost", None),
        ({"price": 0.36, "service": "EC2 spot"}, "cost_at_most", 0.18),
    ],
)
def test_an_instance_costs_its_price_for_as_long_as_it_ran(monkeypatch, more, name, cost):
    monkeypatch.setenv(provenance.INSTANCE, json.dumps(INSTANCE | more))
    facts = provenance.instance(1_000_000_000 + 1800)
    assert facts.pop(name) == (None if cost is None else pytest.approx(cost))
    assert facts == {
        **{key: (INSTANCE | more)[key] for key in ("service", "id", "type", "region", "image")},
        "machine_started": "2001-09-09T01:46:40Z",
        "machine_until": "2001-09-09T02:16:40Z",
        "machine_seconds": 1800.0,
    }
