"""Notebook instances: what the template asks for, and what runs on the instance, run for real in a scratch root and home."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
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

import nbformat
import pytest
from cfnlint.decode.cfn_yaml import load
from clouds import ACCOUNT, REGION, Cloud
from notebook_template import PROGRAMS, TEMPLATE, start_script, with_script

from cloud.aws.stack import SCRIPTS
from mnistlib import files

pytest_plugins = ["clouds", "machines"]

REPOSITORY = "https://example.org/mnist.git"
BIN = Path(sys.executable).parent
BARE = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JUPYTER", "MNIST", "PYTHON", "PIP_"))}
PARAMETERS = load(str(TEMPLATE))["Parameters"]


def on_start(repository: Path | str = REPOSITORY, revision: str = "", idle_minutes: int = 60) -> str:
    """Return the script that the template gives to SageMaker."""
    given = {"Repository": repository, "Revision": revision, "IdleMinutes": idle_minutes}
    (hook,) = load(str(TEMPLATE))["Resources"]["Lifecycle"]["Properties"]["OnStart"]
    parts = hook["Content"]["Fn::Base64"]["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else str(given[part["Ref"]]) for part in parts)


# What the template asks for


def test_the_template_holds_the_scripts_as_they_are():
    text = TEMPLATE.read_text(encoding="utf-8")
    assert with_script(text) == text, "run `python tests/notebook_template.py`"
    assert on_start().endswith(start_script()) and all((SCRIPTS / name).read_text() in on_start() for name in PROGRAMS)
    long = on_start("https://example.org/" + "long/" * 40, "a-branch/of-it", 1440)
    assert long.startswith("#!/bin/bash\n") and len(base64.b64encode(long.encode())) <= 16_384, "SageMaker takes no more"


def test_the_instance_has_the_stacks_role_and_the_script_and_is_listed_until_it_is_deleted(cloud: Cloud, ask):
    role = cloud.deploy()["NotebookRole"]
    cloudformation, sagemaker = cloud.client("cloudformation"), cloud.client("sagemaker")
    given = [{"ParameterKey": "Repository", "ParameterValue": REPOSITORY}, {"ParameterKey": "IdleMinutes", "ParameterValue": "45"}]
    cloudformation.create_stack(StackName="mnistlib-notebook", TemplateBody=TEMPLATE.read_text(), Parameters=given)
    (output,) = cloudformation.describe_stacks(StackName="mnistlib-notebook")["Stacks"][0]["Outputs"]
    about = sagemaker.describe_notebook_instance(NotebookInstanceName="mnistlib")
    assert output["OutputValue"] == "mnistlib" and about["RoleArn"] == role and about["RootAccess"] == "Disabled"
    config = about["NotebookInstanceLifecycleConfigName"]
    (hook,) = sagemaker.describe_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=config)["OnStart"]
    assert base64.b64decode(hook["Content"]).decode() == on_start(idle_minutes=45)
    assert "mnistlib  ml.t3.large  InService" in ask("ec2", "list")[1]
    cloudformation.delete_stack(StackName="mnistlib-notebook")
    assert ask("ec2", "list")[0:2] == (0, "Nothing of this project is running.\n")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("Name", ["mnistlib", "mnistlib-two"], ["other", "mnistlib-"]),
        ("Repository", [REPOSITORY], ["git@example.org:mnist.git", "https://me:secret@example.org/mnist.git", "https://x'; rm -rf /"]),
        ("Revision", ["", "main", "a-branch/of-it"], ["--upload-pack=x", "a b"]),
    ],
)
def test_a_parameter_takes_what_fits_and_nothing_else(name, good, bad):
    pattern = PARAMETERS[name]["AllowedPattern"]
    assert all(re.fullmatch(pattern, text) for text in good) and not any(re.fullmatch(pattern, text) for text in bad)


def test_the_instance_idles_for_minutes_not_for_ever():
    assert (PARAMETERS["IdleMinutes"]["MinValue"], PARAMETERS["IdleMinutes"]["MaxValue"]) == (10, 1440)


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
        """Return the environment of what runs on it: no packages but those that are here, and no settings of anybody's."""
        own = {"HOME": str(self.folder.parent), "MNISTLIB_ROOT": str(self.root), "OMP_NUM_THREADS": "1"}
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
        path = self.root / "OnStart"
        path.write_text(on_start(repository, revision))
        path.chmod(0o755)
        began = time.monotonic()
        done = subprocess.run([path], env=self.environment, cwd="/", capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 10  # SageMaker gives it five minutes
        for _ in range(1100):
            ended = log.exists() and not any("notebook_setup.sh" in line for line in self.running())
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
def test_a_start_clones_installs_and_registers_a_kernel(ready):
    made, log, events = ready
    assert "ready" in log[-1] and "kernel named mnistlib" in log[-1], "\n".join(log)
    assert events.count("made an environment") == 1 and not [event for event in events if event.startswith("dnf")]
    project, environment = made.folder / "mnistlib", made.folder / ".mnistlib" / "venv"
    assert (project / ".git").is_dir()
    spec = json.loads((made.folder.parent / ".local/share/jupyter/kernels/mnistlib/kernel.json").read_text())
    assert spec["display_name"] == "mnistlib" and spec["argv"][0] == str(environment / "bin" / "python")
    facts = json.loads(spec["env"]["MNISTLIB_INSTANCE"])
    where = {"service": "SageMaker notebook instance", "id": "mnistlib", "type": "ml.t3.large", "region": REGION}
    assert {name: facts[name] for name in where} == where and abs(facts["since"] - time.time()) < 600
    command = [spec["argv"][0], "-c", "import importlib.util as u; print(u.find_spec('mnistlib').origin)"]
    found = subprocess.run(command, env=made.environment, cwd=made.root, capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(project / "mnistlib" / "__init__.py")
    assert any("idle.py" in line for line in made.running())


@pytest.mark.slow
def test_a_step_runs_in_the_kernel_and_leaves_the_clone_as_it_is(ready, tmp_path):
    made, _, _ = ready
    project = made.folder / "mnistlib"
    (packages,) = (made.folder / ".mnistlib" / "venv" / "lib").glob("*/site-packages")
    (packages / "seen_in_use.pth").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'used')!r}).touch()\n")
    short = ["-p", "train_limit", "600", "-p", "epochs", "1", "-y", "seeds: [0]"]
    command = [BIN / "papermill", "-k", "mnistlib", "--cwd", project / "notebooks", *short]
    command += [project / "notebooks" / "00_skeleton.ipynb", tmp_path / "out.ipynb"]
    done = subprocess.run(command, env=made.environment, cwd=project, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ran = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")
    assert (tmp_path / "used").exists(), "another kernel ran it"
    state = subprocess.run(["git", "status", "--porcelain"], env=made.environment, cwd=project, capture_output=True, text=True)
    assert state.stdout == ""


@pytest.mark.slow
def test_later_starts_keep_the_clone_install_what_changed_and_register_the_kernel_again(ready):
    made, _, _ = ready
    project = made.folder / "mnistlib"
    mine, wanted, kernels = project / "notebooks" / "mine.ipynb", project / "requirements.txt", made.folder.parent / ".local"
    mine.write_text("mine")
    before = wanted.read_text()
    wanted.write_text(before + "no-such-package-of-mnistlib==1\n")
    log = made.start("/nowhere")
    assert "failed" in log[-1] and any("no-such-package-of-mnistlib" in line for line in log[:-1])
    wanted.write_text(before)
    shutil.rmtree(kernels)  # only ~/SageMaker survives a stop
    log = made.start("/nowhere")
    assert "ready" in log[-1] and any("already installed" in line for line in log) and "made an environment" not in made.events()
    assert (kernels / "share/jupyter/kernels/mnistlib/kernel.json").is_file() and mine.read_text() == "mine"
    mine.unlink()


@pytest.mark.parametrize(("revision", "word"), [("", "could not clone"), ("nowhere", "has no nowhere")])
def test_a_clone_that_fails_is_named_in_the_last_line_and_leaves_nothing_behind(instance, origin, revision, word):
    log = instance.start(origin if revision else origin / "nothing", revision)
    assert "failed" in log[-1] and word in log[-1]
    assert not (instance.folder / "mnistlib").exists()
    assert any("idle.py" in line for line in instance.running()), "nothing would stop the instance"


def test_without_a_supported_python_dnf_is_asked_and_the_log_says_what_is_missing(instance, origin):
    instance.program("python3.12", "exit 1")
    log = instance.start(origin, "first")
    assert "failed" in log[-1] and "Python 3.11" in log[-1] and "dnf install -y -q python3.12" in instance.events()


@pytest.mark.slow
def test_with_a_gpu_that_torch_cannot_use_the_set_up_fails_and_names_the_driver(instance, origin, monkeypatch):
    monkeypatch.setitem(BARE, "CUDA_VISIBLE_DEVICES", "")
    instance.program("nvidia-smi", "echo 535.183.01")
    log = instance.start(origin)
    assert "failed" in log[-1] and "NVIDIA driver 535.183.01" in log[-1] and "torch==" in log[-1]
    environment = instance.folder / ".mnistlib" / "venv-cuda"
    assert (environment / "bin" / "python").exists() and not (environment / ".installed").exists()
    assert not any("download.pytorch.org" in line for line in log), "builds without CUDA would be installed"


def test_systemd_runs_both_programs_the_idle_stop_first(instance):
    instance.program("systemd-run", 'echo "$*" >>"$EVENTS"')
    path = instance.root / "OnStart"
    path.write_text(on_start(idle_minutes=30))
    subprocess.run(["bash", path], env=instance.environment, cwd="/", check=True, timeout=20, capture_output=True)
    idle, setup = instance.events()
    metadata = f"{instance.root}/opt/ml/metadata/resource-metadata.json"
    assert "--unit=mnistlib-idle" in idle and idle.endswith(f"idle.py 30 {metadata} {instance.folder}/mnistlib-setup.log")
    assert "--unit=mnistlib-setup" in setup and setup.split()[-2:] == [str(instance.folder.parent), REPOSITORY]
    assert instance.running() == []


@pytest.mark.parametrize("step", ["03_augment", "published"])
def test_in_a_kernel_without_mnistlib_the_first_cell_names_the_one_to_choose(step):
    cells = nbformat.read(files.root() / "notebooks" / f"{step}.ipynb", as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", ()))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", first.source], cwd="/", env=BARE, capture_output=True, text=True)
    assert done.returncode == 1 and "mnistlib" in done.stderr


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

    def start(where: str, path: str = f"{BIN}:{os.environ['PATH']}", busy: str = "1000") -> Callable[[], str]:
        environment = os.environ | {"MNISTLIB_JUPYTER": where, "MNISTLIB_EVERY": "0.1", "MNISTLIB_BUSY": busy, "PATH": path}
        command = [sys.executable, SCRIPTS / "notebook_idle.py", "0.02", metadata, tmp_path / "setup.log"]
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
    client.execute("import time; time.sleep(4)")
    assert becomes(lambda: jupyter("/api/kernels")[0]["execution_state"], "busy")
    status = idling(where)
    assert not becomes(status, "Stopped", 2.4), "twice as long as it may be idle"
    assert becomes(lambda: jupyter("/api/kernels")[0]["execution_state"], "idle")
    assert status() == "InService" and becomes(status, "Stopped")
    client.stop_channels()


@pytest.mark.slow
def test_an_instance_stops_if_jupyter_does_not_answer_but_not_during_set_up_and_tries_again_if_refused(idling, tmp_path):
    refusing = tmp_path / "refusing"
    refusing.mkdir()
    (refusing / "aws").write_text("#!/bin/sh\nexit 254\n")
    (refusing / "aws").chmod(0o755)
    log, said = tmp_path / "setup.log", tmp_path / "said"
    status = idling("https://127.0.0.1:9", busy="-1")
    assert not becomes(status, "Stopped", 2.4), "an instance that works without a kernel was stopped"
    log.touch()
    os.utime(log, (time.time() + 1000,) * 2)  # as if it were written all the time
    status = idling("https://127.0.0.1:9", f"{refusing}:{BIN}:{os.environ['PATH']}")
    assert becomes(lambda: str("does not answer" in said.read_text()), "True")
    assert not becomes(lambda: str("stopping" in said.read_text()), "True", 2)
    os.utime(log, (0, 0))
    assert becomes(lambda: str(said.read_text().count("could not be stopped") > 1), "True")
    assert status() == "InService"
    (refusing / "aws").unlink()
    assert becomes(status, "Stopped")
