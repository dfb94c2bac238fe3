"""Notebook instances: every request, every state, and what runs on the instance, run for real in a scratch root and home."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import nbformat
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result
from clouds import ACCOUNT, REGION, Cloud

from mnistlib import files
from mnistlib.aws import client as aws
from mnistlib.aws import notebook_instance
from mnistlib.cli.notebook_instance import notebook as commands
from mnistlib.errors import SettingError

pytest_plugins = ["clouds", "machines"]

REPOSITORY = "https://example.org/mnist.git"
BIN = Path(sys.executable).parent
BARE = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JUPYTER", "MNIST", "PYTHON", "PIP_"))}


def call(*arguments: str) -> Result:
    """Run one of the commands; an error of the project's own, or none, is what it ends in."""
    done = CliRunner().invoke(commands, arguments, catch_exceptions=True)
    if done.exception and not isinstance(done.exception, SystemExit | aws.CloudError | SettingError):
        raise done.exception
    return done


@pytest.fixture
def stubbed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Return a SageMaker that gives prepared answers, in order, and takes no request but those prepared."""
    answering, real = boto3.client("sagemaker", region_name=REGION), aws.client
    monkeypatch.setattr(aws, "client", lambda service, region=None: answering if service == "sagemaker" else real(service, region))
    monkeypatch.setattr(notebook_instance, "EVERY", 0.0)
    with Stubber(answering) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def told(stubber: Stubber, *words: str, why: str = "") -> None:
    """Let SageMaker tell of the instance's states, one at each look; an empty one says that there is no instance."""
    for word in words:
        if word:
            answer = {"NotebookInstanceName": "mnistlib", "NotebookInstanceStatus": word} | ({"FailureReason": why} if why else {})
            stubber.add_response("describe_notebook_instance", answer, {"NotebookInstanceName": "mnistlib"})
        else:
            stubber.add_client_error("describe_notebook_instance", "ValidationException", "RecordNotFound")


# What is asked of SageMaker


def test_create_asks_for_an_instance_whose_script_stops_it(cloud):
    role = cloud.deploy()["NotebookRole"]
    done = call("create", "--repository", REPOSITORY, "--idle-minutes", "45", "--wait")
    assert done.exit_code == 0, done.output
    (kept,) = cloud.asked("CreateNotebookInstanceLifecycleConfig")
    assert set(kept) == {"NotebookInstanceLifecycleConfigName", "OnStart"} and kept["NotebookInstanceLifecycleConfigName"] == "mnistlib"
    (hook,) = kept["OnStart"]
    wish = notebook_instance.Wish(REPOSITORY, idle_minutes=45)
    assert base64.b64decode(hook["Content"]).decode() == notebook_instance.script(wish)
    (made,) = cloud.asked("CreateNotebookInstance")
    assert made == {
        "NotebookInstanceName": "mnistlib",
        "InstanceType": "ml.t3.large",
        "RoleArn": role,
        "LifecycleConfigName": "mnistlib",
        "PlatformIdentifier": "notebook-al2023-v1",
        "VolumeSizeInGB": 20,
        "DirectInternetAccess": "Enabled",
        "RootAccess": "Disabled",
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
        "Tags": [{"Key": "project", "Value": "mnistlib"}],
    }
    assert "It bills from its start until it is stopped, which it does itself after 45 minutes" in done.output
    assert "sagemaker notebook open\n" in done.output and "mnistlib runs, and bills until it is stopped." in done.output


def test_the_script_is_one_that_sagemaker_takes_and_bash_reads():
    script = notebook_instance.script(notebook_instance.Wish(REPOSITORY + "/" + "long/" * 40, "a-branch/of-it", idle_minutes=1440))
    assert len(base64.b64encode(script.encode())) <= 16_384
    assert script.startswith("#!/bin/bash\n")
    asked = subprocess.run(
        ["bash", "-c", script.partition("\n# What")[0] + '\nprintf "%s" "$IDLE_PROGRAM"'], capture_output=True, text=True
    )
    assert asked.stdout == (notebook_instance.SCRIPTS / "notebook_idle.py").read_text()


@pytest.mark.parametrize("name", ["notebook_start.sh", "notebook_setup.sh"])
def test_the_scripts_pass_shellcheck(name):
    done = subprocess.run([BIN / "shellcheck", notebook_instance.SCRIPTS / name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_instance_is_stopped_started_and_deleted_with_its_script(cloud):
    cloud.deploy()
    call("create", "--repository", REPOSITORY, "--name", "mnistlib-two")
    name = {"NotebookInstanceName": "mnistlib-two"}
    assert call("stop", "--name", "mnistlib-two", "--wait").output.endswith("what is in ~/SageMaker is kept.\n")
    assert cloud.asked("StopNotebookInstance") == [name]
    assert "mnistlib-two runs" in call("start", "--name", "mnistlib-two", "--region", REGION, "--wait").output
    assert cloud.asked("StartNotebookInstance") == [name]
    refused = call("delete", "--name", "mnistlib-two")
    assert isinstance(refused.exception, SettingError) and "What is in ~/SageMaker on mnistlib-two is deleted with it" in str(
        refused.exception
    )
    assert cloud.asked("DeleteNotebookInstance") == []
    done = call("delete", "--name", "mnistlib-two", "--yes")
    assert done.exit_code == 0 and done.output.endswith("it bills no more.\n")
    assert cloud.asked("StopNotebookInstance", "DeleteNotebookInstance") == [name, name, name]
    assert cloud.asked("DeleteNotebookInstanceLifecycleConfig") == [{"NotebookInstanceLifecycleConfigName": "mnistlib-two"}]
    sagemaker = cloud.client("sagemaker")
    assert sagemaker.list_notebook_instances()["NotebookInstances"] == []
    again = call("delete", "--name", "mnistlib-two", "--yes")
    assert again.exit_code == 0 and "There is no notebook instance 'mnistlib-two'." in again.output


def test_open_prints_the_address_alone(stubbed):
    told(stubbed, "InService")
    stubbed.add_response(
        "create_presigned_notebook_instance_url", {"AuthorizedUrl": "https://there/?authToken=x"}, {"NotebookInstanceName": "mnistlib"}
    )
    done = call("open")
    assert done.exit_code == 0 and done.stdout == "https://there/?authToken=x\n" and "kernel called mnistlib" in done.stderr


def test_a_script_that_an_earlier_instance_left_is_replaced(cloud, stubbed):
    cloud.deploy()
    name = {"NotebookInstanceLifecycleConfigName": "mnistlib"}
    told(stubbed, "")
    stubbed.add_response("describe_notebook_instance_lifecycle_config", {}, name)
    content = base64.b64encode(notebook_instance.script(notebook_instance.Wish(REPOSITORY)).encode()).decode()
    stubbed.add_response("update_notebook_instance_lifecycle_config", {}, name | {"OnStart": [{"Content": content}]})
    stubbed.add_response("create_notebook_instance", {})
    told(stubbed, "Pending")
    assert call("create", "--repository", REPOSITORY).output.endswith("mnistlib is starting, and billed from when it runs.\n")


# What SageMaker answers


@pytest.mark.parametrize(
    "code, says", [("ResourceLimitExceeded", "The account's quota does not allow it"), ("AccessDeniedException", "may not")]
)
def test_an_instance_that_is_refused_leaves_nothing_behind(cloud, stubbed, code, says):
    cloud.deploy()
    told(stubbed, "")
    stubbed.add_client_error("describe_notebook_instance_lifecycle_config", "ValidationException", "It does not exist.")
    stubbed.add_response("create_notebook_instance_lifecycle_config", {})
    stubbed.add_client_error("create_notebook_instance", code, "so it is")
    stubbed.add_response("delete_notebook_instance_lifecycle_config", {}, {"NotebookInstanceLifecycleConfigName": "mnistlib"})
    done = call("create", "--repository", REPOSITORY)
    assert isinstance(done.exception, aws.CloudError) and says in str(done.exception)


def test_waiting_tells_each_state_once_and_ends_with_the_reason_of_a_failure(stubbed):
    told(stubbed, "Stopped")
    stubbed.add_response("start_notebook_instance", {}, {"NotebookInstanceName": "mnistlib"})
    told(stubbed, "Pending", "Pending", "Pending")
    told(stubbed, "Failed", why="The lifecycle script took too long.")
    done = call("start", "--wait")
    assert isinstance(done.exception, aws.CloudError) and "delete --yes` removes it" in str(done.exception)
    assert done.output.count("mnistlib is starting") == 1
    assert done.output.endswith("mnistlib has failed: The lifecycle script took too long.\n")


def test_ctrl_c_while_waiting_leaves_the_instance_alone(stubbed, monkeypatch):
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(notebook_instance.time, "sleep", interrupted)
    told(stubbed, "Pending", "Pending")
    done = call("start", "--wait")
    assert done.exit_code == 130 and "It goes on without this." in done.stderr
    assert "`python -m mnistlib sagemaker notebook stop` stops it" in done.stderr


@pytest.mark.parametrize(
    "command, word, says",
    [
        ("create", "Stopped", "mnistlib is stopped; .* Start it, or delete it"),
        ("open", "Stopped", "mnistlib is stopped; .* Start it first."),
        ("open", "Pending", "mnistlib is starting, .* Try again in a minute."),
        ("open", "", "There is no notebook instance 'mnistlib'. Make one with"),
        ("start", "", "There is no notebook instance 'mnistlib'. Make one with"),
        ("start", "Stopping", "mnistlib is stopping. It can be started once it has stopped."),
        ("stop", "Pending", "mnistlib is starting, .* It can be stopped once it runs"),
    ],
)
def test_what_cannot_be_done_to_an_instance_is_said(stubbed, command, word, says):
    told(stubbed, word)
    done = call(command, *(["--repository", REPOSITORY] if command == "create" else []))
    with pytest.raises(SettingError, match=says):
        raise done.exception


@pytest.mark.parametrize(
    "command, word", [("start", "InService"), ("start", "Pending"), ("stop", "Stopped"), ("stop", "Stopping"), ("stop", "")]
)
def test_what_is_so_already_is_not_asked_for(stubbed, command, word):
    told(stubbed, word)
    assert call(command).exit_code == 0


def test_another_refusal_is_told_as_it_is(stubbed):
    stubbed.add_client_error("describe_notebook_instance", "ExpiredTokenException", "it has expired")
    done = call("stop")
    assert isinstance(done.exception, aws.CloudError) and "aws sso login" in str(done.exception)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--name", "other"], "'other' is no name for it"),
        (["--name", "mnistlib-"], "is no name for it"),
        (["--name", "mnistlib-" + "a" * 60], "is no name for it"),
        (["--idle-minutes", "0"], "from 10 to 1,440"),
        (["--repository", "git@example.org:mnist.git"], "must be an https:// address"),
        (["--repository", "https://me:secret@example.org/mnist.git"], "without a password"),
        (["--revision", "--upload-pack=x"], "must be a branch, a tag or a commit"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_is_asked(cloud, arguments, says):
    done = call("create", "--repository", REPOSITORY, *arguments)
    with pytest.raises(SettingError, match=says):
        raise done.exception
    assert cloud.requests == []


def test_the_repository_is_this_clones_origin_unless_given(cloud, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / files.SENT).write_text("{}")
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    with pytest.raises(SettingError, match="no clone with an origin.*give --repository"):
        notebook_instance.origin()
    subprocess.run([*git, "remote", "add", "origin", "git@example.org:mnist.git"], check=True)
    with pytest.raises(SettingError, match="origin is 'git@example.org:mnist.git', which no notebook instance could clone"):
        notebook_instance.origin()
    subprocess.run([*git, "remote", "set-url", "origin", REPOSITORY], check=True)
    assert notebook_instance.origin() == REPOSITORY


def test_without_the_stack_nothing_is_made(cloud):
    done = call("create", "--repository", REPOSITORY)
    assert isinstance(done.exception, SettingError) and "no finished stack 'mnistlib'" in str(done.exception)
    assert cloud.asked("CreateNotebookInstanceLifecycleConfig", "CreateNotebookInstance") == []


# What runs on the instance


@dataclass
class Instance:
    """A scratch root with the home of an instance's user, and a folder of programs that only such a machine has."""

    root: Path
    programs: Path

    @property
    def folder(self) -> Path:
        """Return the folder that persists."""
        return self.root / "home" / "ec2-user" / "SageMaker"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of what runs on it: no package but those that are here, no MNIST, and no settings of anybody's."""
        own = {"HOME": str(self.folder.parent), "MNISTLIB_ROOT": str(self.root), "MNISTLIB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        pip = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull}  # 0 means: without isolation
        return BARE | own | pip | {"PATH": f"{self.programs}:{os.environ['PATH']}"}

    def program(self, name: str, text: str) -> None:
        """Put a program on the instance; what it appends to $EVENTS is seen by `events`."""
        path = self.programs / name
        path.write_text(f"#!/bin/bash\nEVENTS={self.root}/events\n{text}\n")
        path.chmod(0o755)

    def events(self) -> list[str]:
        """Return what the programs said was done, and forget it."""
        path = self.root / "events"
        said = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return said

    def start(self, repository: Path | str, revision: str = "") -> list[str]:
        """Run the script as SageMaker does, wait for what it started, and return the set-up's log."""
        log = self.folder / "mnistlib-setup.log"
        log.unlink(missing_ok=True)
        script = notebook_instance.script(notebook_instance.Wish(REPOSITORY, revision)).replace(f"={REPOSITORY}\n", f"='{repository}'\n", 1)
        path = self.root / "OnStart"
        path.write_text(script)
        path.chmod(0o755)
        began = time.monotonic()
        done = subprocess.run([path], env=self.environment, cwd="/", capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 10  # SageMaker gives it five minutes
        for _ in range(1100):
            ended = log.exists() and not any("setup.sh" in line for line in self.running())
            lines = log.read_text().splitlines() if log.exists() else []
            if ended and lines:
                return lines
            time.sleep(0.05)
        raise AssertionError("\n".join(lines))

    def running(self) -> list[str]:
        """Return the processes that were started on it, each as its number and command."""
        listed = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True).stdout
        return [line.strip() for line in listed.splitlines() if f"{self.root}/var/lib" in line]

    def end(self) -> None:
        """End what still runs on it."""
        for line in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository that holds this project as it is now."""
    root, copy = files.root(), tmp_path_factory.mktemp("origin")
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("This is no clone")
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
    git = ["git", "-C", str(copy), "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "All"], ["tag", "first"]):
        subprocess.run([*git, *command], check=True, env=BARE | {"GIT_CONFIG_GLOBAL": os.devnull})
    return copy


def instance_in(root: Path, bare_python: Path) -> Instance:
    """Make an instance whose Python sees this one's packages; its dnf has nothing, and it knows no systemd."""
    if sys.platform != "linux":
        pytest.skip("The scripts are for Amazon Linux")
    made = Instance(root / "root", root / "programs")
    made.root.mkdir()
    made.programs.mkdir()
    python = os.path.realpath(sys.executable)
    for name in ("python3", "python3.11", "python3.13"):  # too old for the project, as Amazon Linux's own is
        made.program(name, f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec {python} "$@"')
    made.program("dnf", 'echo "dnf $*" >>"$EVENTS"; exit 1')
    made.program("nvidia-smi", "exit 1")
    made.program(
        "aws", 'case "$*" in "sagemaker describe-notebook-instance "*" --notebook-instance-name mnistlib "*) echo ml.t3.large ;; esac'
    )
    metadata = made.root / "opt" / "ml" / "metadata" / "resource-metadata.json"
    metadata.parent.mkdir(parents=True)
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/mnistlib"
    metadata.write_text(json.dumps({"ResourceArn": arn, "ResourceName": "mnistlib"}))
    made.program("systemd-run", 'echo "systemd-run $*" >>"$EVENTS"; exit 1')
    seen, packages = bare_python.parent.parent / "seen", f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    made.program(
        "python3.12",
        f"""{python} "$@" || exit
if [ "$2" = venv ]; then
    echo "made an environment" >>"$EVENTS"
    cd "${{@: -1}}/{packages}" && rm -rf setuptools* # an older one, which some Pythons bring along
    echo {seen} >seen.pth
fi""",
    )
    return made


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, bare_python: Path, origin: Path) -> Iterator[tuple[Instance, list[str], list[str]]]:
    """Return an instance that was started once, its set-up's log, and what was done on it."""
    made = instance_in(tmp_path_factory.mktemp("instance"), bare_python)
    try:
        log = made.start(origin)
        yield made, log, made.events()
    finally:
        made.end()


@pytest.fixture
def instance(tmp_path: Path, bare_python: Path) -> Iterator[Instance]:
    """Return an instance that was never started."""
    made = instance_in(tmp_path, bare_python)
    yield made
    made.end()


@pytest.mark.slow
def test_a_start_clones_installs_and_registers_a_kernel(ready, origin):
    made, log, events = ready
    assert "ready: open SageMaker/mnistlib/notebooks/03_augment.ipynb and choose the kernel called mnistlib." in log[-1], "\n".join(log)
    assert events.count("made an environment") == 1 and not [event for event in events if event.startswith("dnf")]
    project, environment = made.folder / "mnistlib", made.folder / ".mnistlib" / "venv"
    assert (project / ".git").is_dir()
    spec = json.loads((made.folder.parent / ".local/share/jupyter/kernels/mnistlib/kernel.json").read_text())
    assert spec["display_name"] == "mnistlib" and spec["argv"][0] == str(environment / "bin" / "python")
    machine = json.loads(spec["env"]["MNISTLIB_MACHINE"])
    where = {"service": "SageMaker notebook instance", "id": "mnistlib", "type": "ml.t3.large", "region": REGION}
    assert {name: machine[name] for name in where} == where and abs(machine["since"] - time.time()) < 600
    command = [spec["argv"][0], "-c", "import mnistlib; print(mnistlib.__file__)"]
    found = subprocess.run(command, env=made.environment, cwd=made.root, capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(project / "mnistlib" / "__init__.py")
    assert any("idle.py" in line for line in made.running())


@pytest.mark.slow
def test_run_all_of_the_augmentation_step_passes_unedited_in_the_kernel(ready, tmp_path):
    made, _, _ = ready
    project = made.folder / "mnistlib"
    (packages,) = (made.folder / ".mnistlib" / "venv" / "lib").glob("*/site-packages")
    (packages / "seen_in_use.pth").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'used')!r}).touch()\n")
    command = [BIN / "jupyter", "nbconvert", "--execute", "--to", "notebook", "--ExecutePreprocessor.kernel_name=mnistlib"]
    options = ["--output-dir", str(tmp_path), "notebooks/03_augment.ipynb"]
    done = subprocess.run([*command, *options], env=made.environment, cwd=project, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ran = nbformat.read(tmp_path / "03_augment.ipynb", as_version=4)
    assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")
    assert (tmp_path / "used").exists()  # by no other kernel than that
    state = subprocess.run(["git", "status", "--porcelain"], env=made.environment, cwd=project, capture_output=True, text=True)
    assert state.stdout == ""


@pytest.mark.slow
def test_a_second_start_leaves_the_clone_alone_installs_nothing_and_registers_the_kernel_again(ready, origin):
    made, _, _ = ready
    project = made.folder / "mnistlib"
    mine = project / "notebooks" / "mine.ipynb"
    mine.write_text("mine")
    kernels = made.folder.parent / ".local"
    shutil.rmtree(kernels)  # only ~/SageMaker persists
    log = made.start("/nowhere")
    assert "ready" in log[-1] and "left as it is" in log[1] and "The requirements are installed already" in log[2]
    assert "made an environment" not in made.events()
    assert (kernels / "share/jupyter/kernels/mnistlib/kernel.json").is_file()
    assert mine.read_text() == "mine"
    mine.unlink()


@pytest.mark.slow
def test_changed_requirements_are_installed_and_what_pip_cannot_have_is_said(ready):
    made, _, _ = ready
    wanted = made.folder / "mnistlib" / "requirements.txt"
    before = wanted.read_text()
    wanted.write_text(before + "no-such-package-of-mnistlib==1\n")
    try:
        log = made.start("/nowhere")
    finally:
        wanted.write_text(before)
    assert "failed: pip could not install the requirements, and says why above; stop the instance and start it" in log[-1]
    assert any("no-such-package-of-mnistlib" in line for line in log[:-1])
    assert "ready" in made.start("/nowhere")[-1]


@pytest.mark.parametrize("revision, says", [("", "git could not clone"), ("nowhere", "has no nowhere")])
def test_a_clone_that_fails_is_said_in_the_last_line_and_leaves_no_half_of_one(instance, origin, revision, says):
    log = instance.start(origin if revision else origin / "nothing", revision)
    assert "failed: " in log[-1] and says in log[-1]
    assert not (instance.folder / "mnistlib").exists()
    assert any("idle.py" in line for line in instance.running())


def test_an_instance_without_a_fitting_python_asks_dnf_and_says_what_is_missing(instance, origin):
    instance.program("python3.12", "exit 1")
    log = instance.start(origin, "first")
    assert "failed: there is no Python 3.11, 3.12 or 3.13 here, and dnf installed none" in log[-1]
    assert "dnf install -y -q python3.12" in instance.events()


def test_where_there_is_systemd_it_keeps_both_programs_the_one_that_stops_the_instance_first(instance):
    instance.program("systemd-run", 'echo "$*" >>"$EVENTS"')
    path = instance.root / "OnStart"
    path.write_text(notebook_instance.script(notebook_instance.Wish(REPOSITORY, idle_minutes=30)))
    subprocess.run(["bash", path], env=instance.environment, cwd="/", check=True, timeout=20, capture_output=True)
    idle, setup = instance.events()
    assert "--unit=mnistlib-idle" in idle and idle.endswith(
        f"idle.py 30 {instance.root}/opt/ml/metadata/resource-metadata.json {instance.folder}/mnistlib-setup.log"
    )
    assert "--unit=mnistlib-setup" in setup and setup.split()[-2:] == [str(instance.folder.parent), REPOSITORY]
    assert instance.running() == []


@pytest.mark.parametrize("step", ["03_augment", "published"])
def test_in_a_kernel_without_mnistlib_the_first_cell_names_the_one_to_pick(step, bare_python, tmp_path):
    told = nbformat.read(files.root() / "notebooks" / f"{step}.ipynb", as_version=4)
    first = next(cell for cell in told.cells if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", ()))
    done = subprocess.run([bare_python / "python", "-c", first.source], cwd=tmp_path, env=BARE, capture_output=True, text=True)
    assert done.returncode == 1 and "This kernel has no mnistlib: choose the kernel called mnistlib" in done.stderr


# When the instance stops


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Run a Jupyter server as an instance does, with a certificate of its own, and return a way to ask it."""
    folder = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "certificate", "-days", "2"]
    subprocess.run([*secret, "-subj", "/CN=localhost"], cwd=folder, check=True, capture_output=True)
    set_up = {"ip": "127.0.0.1", "port": port, "port_retries": 0, "root_dir": folder, "open_browser": False, "disable_check_xsrf": True}
    set_up |= {"certfile": folder / "certificate", "keyfile": folder / "key", "allow_root": True}
    options = [f"--ServerApp.{name}={value}" for name, value in set_up.items()] + ["--IdentityProvider.token="]
    own = {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "JUPYTER_PREFER_ENV_PATH": "1"}
    log = (folder / "log").open("w")
    server = subprocess.Popen([sys.executable, "-m", "jupyter_server", *options], env=BARE | own, stdout=log, stderr=log)

    def ask(path: str, body: Any = None) -> Any:
        """Return what the server answers; without a path, where it is."""
        if not path:
            return f"https://127.0.0.1:{port}", folder / "runtime"
        context = ssl._create_unverified_context()
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(ask("")[0] + path, data), timeout=10, context=context) as answer:
            return json.load(answer)

    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                ask("/api/status")
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield ask
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture
def idling(cloud: Cloud, tmp_path: Path) -> Iterator[Callable[..., Callable[[], str]]]:
    """Return a way to start the idle program beside some Jupyter, which returns a way to ask how the instance is."""
    sagemaker = cloud.client("sagemaker")
    made = sagemaker.create_notebook_instance(
        NotebookInstanceName="mnistlib", InstanceType="ml.t3.large", RoleArn="arn:aws:iam::123456789012:role/any"
    )
    metadata = tmp_path / "resource-metadata.json"
    metadata.write_text(json.dumps({"ResourceArn": made["NotebookInstanceArn"], "ResourceName": "mnistlib"}))
    programs = []

    def start(where: str, path: str = f"{BIN}:{os.environ['PATH']}") -> Callable[[], str]:
        environment = os.environ | {"MNISTLIB_JUPYTER": where, "MNISTLIB_EVERY": "0.2", "PATH": path}
        command = [sys.executable, notebook_instance.SCRIPTS / "notebook_idle.py", "0.05", metadata, tmp_path / "setup.log"]
        programs.append(subprocess.Popen(command, env=environment, stdout=(tmp_path / "said").open("a")))
        return lambda: sagemaker.describe_notebook_instance(NotebookInstanceName="mnistlib")["NotebookInstanceStatus"]

    yield start
    for program in programs:
        program.kill()
        program.wait(10)


def becomes(ask: Callable[[], str], word: str, seconds: float = 30.0) -> bool:
    """Wait until an instance is in a state, and say whether it came to be."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ask() == word:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_an_instance_goes_on_while_a_kernel_computes_and_stops_when_it_is_done(jupyter, idling):
    from jupyter_client import BlockingKernelClient

    kernel = jupyter("/api/kernels", {"name": "python3"})
    where, runtime = jupyter("")
    client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel['id']}.json"))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    client.execute("import time; time.sleep(9)")
    assert becomes(lambda: jupyter("/api/kernels")[0]["execution_state"], "busy")
    ask = idling(where)
    assert not becomes(ask, "Stopped", 6)  # twice as long as nobody may use it
    assert becomes(lambda: jupyter("/api/kernels")[0]["execution_state"], "idle")
    assert ask() == "InService"
    assert becomes(ask, "Stopped")
    client.stop_channels()


@pytest.mark.slow
def test_an_instance_stops_where_jupyter_cannot_be_asked_but_not_while_it_is_set_up(idling, tmp_path):
    log = tmp_path / "setup.log"
    log.touch()
    os.utime(log, (time.time() + 1000,) * 2)  # written at this moment, and at each one after it
    ask = idling("https://127.0.0.1:9")
    assert not becomes(ask, "Stopped", 6)
    os.utime(log, (0, 0))
    assert becomes(ask, "Stopped")
    assert "Jupyter does not say who uses it" in (tmp_path / "said").read_text()


@pytest.mark.slow
def test_a_stop_that_is_refused_is_tried_again(idling, tmp_path):
    refusing = tmp_path / "refusing"
    refusing.mkdir()
    (refusing / "aws").write_text("#!/bin/sh\nexit 254\n")
    (refusing / "aws").chmod(0o755)
    ask = idling("https://127.0.0.1:9", f"{refusing}:{BIN}:{os.environ['PATH']}")
    assert not becomes(ask, "Stopped", 5)
    assert (tmp_path / "said").read_text().count("It could not be stopped") > 1
    (refusing / "aws").unlink()
    assert becomes(ask, "Stopped")
