"""The action for GitHub, its steps run as a runner runs them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cloud import packaging
from coursework import commands, lint, report
from mnistlib import files
from mnistlib.recipe import MAX_PARAMETERS

ROOT = files.root()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
GOOD = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
        )
"""
FUNCTIONS = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 9, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.last = nn.Conv2d(16, 10, 3)

    def forward(self, x):
        x = F.dropout2d(F.relu(self.norm(self.conv(x))), 0.1, self.training)
        return self.last(x).mean((2, 3))
"""


def environment(folder: Path, **values: str) -> dict[str, str]:
    """Return what a runner gives a step."""
    own = {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PYTHONPATH": str(ROOT)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")} | {"PATH": path} | own | values


def run(name: str, folder: Path, inputs: dict[str, str], **more: str) -> subprocess.CompletedProcess:
    """Run a step's script in a workspace, its inputs filled in or at their defaults."""

    def filled(text: str) -> str:
        return re.sub(
            r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs.get(found[1], ACTION["inputs"][found[1]].get("default", "")), text
        )

    given = {name: filled(value) for name, value in STEPS[name].get("env", {}).items()}
    script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
    return subprocess.run(script, cwd=folder, env=environment(folder, **given, **more), capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_check_step_marks_lines_writes_a_summary_and_fails_only_where_a_rule_is_broken(tmp_path):
    folder = tmp_path / "a student's work"
    folder.mkdir()
    (folder / "good.py").write_text(GOOD)
    (folder / "functions.py").write_text(FUNCTIONS)
    (folder / "shape.py").write_text(GOOD.replace("nn.Linear(16, 10)", "nn.Linear(16, 9)"))

    good = run("Check", folder, {"net": "good.py"})
    assert good.returncode == 0 and "::error" not in good.stdout and "keeps the rules" in (folder / "summary.md").read_text()

    wrong = run("Check", folder, {"net": "shape.py:Net"})
    assert wrong.returncode == 1 and "::error file=shape.py,line=" in wrong.stdout
    assert "output-shape" in (folder / "summary.md").read_text()

    asked = run(
        "Check", folder, {"net": "functions.py:Net", "fewer-than": "4000", "require": "batch-normalization dropout global-average-pooling"}
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr

    lacking = run("Check", folder, {"net": "good.py", "fewer-than": "9", "require": "dropout global-average-pooling"})
    errors = [line for line in lacking.stdout.splitlines() if line.startswith("::error")]
    assert lacking.returncode == 1 and len(errors) == 2 and "dropout" in errors[1] and "pooling" not in "".join(errors)

    missing = run("Check", folder, {"net": "nothing.py"})
    assert missing.returncode == 2 and missing.stdout.startswith("::error") and "nothing.py" in missing.stdout


@pytest.mark.slow
def test_the_install_step_installs_the_command(tmp_path):
    source = tmp_path / "action"  # a copy, for a build writes beside what it builds
    for name in ("notebooks", *packaging.SOURCES):
        path = ROOT / name
        shutil.copytree(path, source / name, symlinks=True) if path.is_dir() else shutil.copy(path, source / name)
    settings = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_TARGET": str(tmp_path / "site")}  # the tools of here build it
    done = run("Install", tmp_path, {}, **settings, GITHUB_ACTION_PATH=str(source))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "coursework" / "commands.py").is_file() and (tmp_path / "site" / "mnistlib" / "mnist.npz").is_file()


def test_what_the_command_offers_is_what_is_checked():
    assert commands.MAX_PARAMETERS == MAX_PARAMETERS and set(commands.PARTS) == set(lint.PARTS)
    assert set(re.findall(r"[\w-]+", ACTION["inputs"]["require"]["description"])) >= set(commands.PARTS)


def test_annotations_and_summary_escape_what_a_net_is_called():
    finding = {"rule": "fails", "severity": "rule", "cell": None, "line": 3, "what": "50%\nof a|b <b>", "why": "w", "fix": "f"}
    document = report.EMPTY | {"file": "a,b:c.py", "name": "Net", "findings": [finding]}
    first = next(iter(report.annotations(document)))
    assert first == "::error file=a%2Cb%3Ac.py,line=3,title=fails::50%25%0Aof a|b <b> w f"
    (row,) = [line for line in report.summary(document).splitlines() if "fails" in line]
    assert row.count("|") == 5 and "<b>" not in row
