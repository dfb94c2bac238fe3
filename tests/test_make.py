"""The set-up: which Python is taken, when packages are installed again, and what is pinned."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from mnistlib import files

ROOT = files.root()
PYTHON = f"""#!/bin/sh
# Stands in for a Python: a virtual environment it makes holds nothing but itself, and its pip installs nothing.
case "$*" in
    "-c "*) exec "{sys.executable}" "$@" ;;
    "-m venv --clear .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip --version") ;;
    "-m pip install"*) echo "$*" >> installed; test ! -e offline ;;
    "-m mnistlib"*|"-m ruff"*|"-m pytest"*|"-m replication"*|"-m selection"*|"-m website"*|"scripts/"*) echo "$*" >> ran ;;
    *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the files of the set-up and, on a PATH of its own, a working python3.12 and a python3 that only fails."""
    folder, tools = tmp_path / "a clone", tmp_path / "bin"
    (folder / ".ci").mkdir(parents=True)
    for name in ("Makefile", ".ci/venv", ".ci/run", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    tools.mkdir()
    for name in ("sh", "bash", "env", "cat", "dirname", "mkdir", "cp", "touch", "sed", "awk", "echo", "make"):
        (tools / name).symlink_to(shutil.which(name))
    for name, text in (("python3", "#!/bin/sh\necho no such version >&2\nexit 127\n"), ("python3.12", PYTHON)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return folder


def make(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run make in a folder with nothing but the clone's own tools."""
    environment = {"PATH": str(folder.parent / "bin"), "HOME": str(folder)}
    return subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def installs(folder: Path) -> int:
    """Return how often packages were installed."""
    log = folder / "installed"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_fresh_clone_is_set_up_once(clone):
    first = make(clone, "report")
    assert first.returncode == 0, first.stderr
    assert "Making .venv with" in first.stdout
    assert (clone / "installed").read_text() == "-m pip install --disable-pip-version-check -r requirements.txt\n"
    assert (clone / "ran").read_text() == "-m mnistlib report 03_augment\n"
    second = make(clone, "report")
    assert second.returncode == 0 and installs(clone) == 1 and "Making" not in second.stdout


def test_tests_bring_the_development_tools_and_reports_do_not(clone):
    assert make(clone, "check").returncode == 0
    assert (clone / "installed").read_text().splitlines()[1:] == ["-m pip install --disable-pip-version-check -e .[dev]"]
    assert (clone / "ran").read_text().splitlines()[:2] == ["-m ruff check .", "-m ruff format --check ."]
    assert make(clone, "test").returncode == 0 and installs(clone) == 2


def test_continuous_integration_calls_make_test_from_any_folder(clone):
    environment = {"PATH": str(clone.parent / "bin"), "HOME": str(clone)}
    assert subprocess.run([str(clone / ".ci" / "run")], cwd="/", env=environment, check=False).returncode == 0
    assert (clone / "ran").read_text().splitlines()[-1].startswith("-m pytest")


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_changed_requirements_are_installed(clone, name):
    make(clone, "report")
    later = (clone / ".venv" / ".ready").stat().st_mtime + 10
    os.utime(clone / name, (later, later))
    assert make(clone, "report").returncode == 0 and installs(clone) == 2


def test_a_failed_install_is_tried_again(clone):
    (clone / "offline").touch()
    assert make(clone, "report").returncode != 0 and not (clone / "ran").exists()
    assert not (clone / ".venv" / ".ready").exists()
    (clone / "offline").unlink()
    assert make(clone, "report").returncode == 0 and (clone / "ran").exists()


def test_an_environment_that_was_moved_is_installed_again(clone):
    make(clone, "report")
    moved = clone.rename(clone.parent / "another place")
    assert make(moved, "report").returncode == 0 and installs(moved) == 2
    assert make(moved, "report").returncode == 0 and installs(moved) == 2


def test_an_environment_whose_python_is_gone_is_made_again(clone):
    make(clone, "report")
    (clone / ".venv" / "bin" / "python").unlink()
    again = make(clone, "report")
    assert again.returncode == 0 and "Making .venv" in again.stdout and installs(clone) == 2


def test_a_missing_python_is_said_in_a_sentence(clone):
    (clone.parent / "bin" / "python3.12").unlink()
    done = make(clone, "report")
    assert done.returncode != 0 and not (clone / "installed").exists()
    assert "No working Python 3.11" in done.stderr
    assert "PYTHON=/no/such is no working Python" in make(clone, "report", "PYTHON=/no/such").stderr


def test_targets_call_the_commands_and_a_step_needs_name_and_source(clone):
    assert make(clone, "series").returncode == 0
    assert (clone / "ran").read_text().splitlines()[-1] == "-m website"
    assert make(clone, "choices").returncode == make(clone, "published").returncode == make(clone, "pages").returncode == 0
    ran = (clone / "ran").read_text().splitlines()[-4:]
    assert ran == ["-m selection", "-m replication", "-m website --no-training", "-m replication --no-training"]
    assert make(clone, "step", "NAME=04_mine", "FROM=03_augment").returncode == 0
    assert (clone / "ran").read_text().splitlines()[-1] == "-m mnistlib new-step 04_mine --from 03_augment"
    assert make(clone, "cloud-smoke", "REPOSITORY=https://example.org/x.git").returncode == 0
    assert (clone / "ran").read_text().splitlines()[-1] == "scripts/cloud_smoke.py --repository https://example.org/x.git"
    lacking = ((["step", "FROM=03_augment"], "NAME"), (["step", "NAME=04_mine"], "FROM"), (["cloud-smoke"], "REPOSITORY"))
    for words, missing in lacking:
        done = make(clone, *words)
        assert done.returncode == 2 and f"{missing} is missing" in done.stderr


def test_help_lists_every_target_and_needs_nothing(clone):
    done = make(clone)
    text = (clone / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*$", text, flags=re.MULTILINE)
    assert done.returncode == 0 and not (clone / "installed").exists() and not (clone / ".venv").exists()
    for target in set(targets) - {"moved", "ruff"}:
        assert re.search(rf"^  {target} +\w", done.stdout, flags=re.MULTILINE), target
    assert {"report", "series", "pages", "choices", "step", "check", "test", "jupyter", "help"} <= set(targets)


def test_the_notebook_server_is_reached_from_this_machine_only():
    assert "--ServerApp.ip=127.0.0.1" in (ROOT / "Makefile").read_text()


def pins() -> dict[str, Requirement]:
    """Return the pinned requirements by name."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert lines[-1] == "-e ."
    return {made.name: made for made in (Requirement(line) for line in lines[:-1] if line)}


def test_every_dependency_is_pinned_within_its_range_and_every_pin_has_a_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["onnx"]  # which `make pages` needs too
    ranges = {made.name: made for made in map(Requirement, needed)}
    others = {"jupyter"}  # the browser's notebook is for readers, not for the library
    assert set(ranges) == set(pins()) - others
    for name, pin in pins().items():
        (only,) = pin.specifier
        assert only.operator == "==" and (name in others or ranges[name].specifier.contains(only.version)), name
    for line in (ROOT / "requirements.txt").read_text().splitlines()[1:-1]:
        assert "# " in line, line


def others() -> list[str]:
    """Return the commands of pip that set the project up elsewhere: in the container, and in the workflow that calls EC2."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ec2.yml").read_text())
    steps = [line for step in workflow["jobs"]["run"]["steps"] for line in step.get("run", "").splitlines()]
    lines = [line.removeprefix("RUN ") for line in (ROOT / "coursework" / "Dockerfile").read_text().splitlines() if line.startswith("RUN ")]
    return [line.partition(" && mkdir ")[0] for line in steps + lines if "pip install" in line]


@pytest.mark.parametrize("command", others())
def test_pip_understands_every_other_set_up(tmp_path, command):
    """What is asked for is installed here already, so pip, which is not to install, needs no network."""
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip "$@" --dry-run --no-index --no-build-isolation\n')
    pip.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    for name in ("requirements.txt", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, project)
    environment = os.environ | {"PATH": f"{pip.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_imported_is_required():
    names = {"yaml": "pyyaml", "PIL": "pillow", "sklearn": "scikit-learn", "IPython": "ipython", "jupyter_client": "jupyter-client"}
    names |= {"botocore": "boto3"}  # which it comes with
    used = set()
    for path in (path for name in ("mnistlib", "cloud") for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            used |= {name.partition(".")[0] for name in found}
    used -= set(sys.stdlib_module_names) | {"mnistlib", "cloud"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    optional = {re.match("[a-z0-9-]+", line)[0] for name in ("cloud", "sweep") for line in extras[name]}
    assert {names.get(name, name) for name in used} <= set(pins()) | optional
