"""Notebook instances of Amazon SageMaker: a machine with Jupyter and this project on it, billed until it is stopped."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import files, formatting
from mnistlib.aws import client, stack
from mnistlib.errors import SettingError

NAME = "mnistlib"  # of the instance, unless another is given; the role may only stop instances whose names begin so
NAMES = re.compile(r"mnistlib(-*[a-z0-9])*")
MACHINE = "ml.t3.large"
PLATFORM = "notebook-al2023-v1"
GIGABYTES = 20  # of the volume that persists; torch with CUDA takes five
IDLE = (10, 24 * 60)  # minutes that may be allowed
REPOSITORY = re.compile(r"https://[^\s@?#]+")  # nothing secret in it: whoever may see the instance may read its script
REVISION = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._/-]*)?")
CHARACTERS = 16_384  # of a script that SageMaker takes
SCRIPTS = Path(__file__).parent / "scripts"
EVERY = 10.0  # seconds between two looks at an instance that is waited for
UNKNOWN = ("RecordNotFound", "does not exist", "not found")  # how SageMaker says so, in a ValidationException


@dataclass(frozen=True)
class Wish:
    """What a notebook instance is to be like."""

    repository: str
    revision: str = ""  # a branch, tag or commit; empty: the repository's default branch
    name: str = NAME
    region: str | None = None  # None: the one that AWS's settings name
    stack: str = stack.NAME
    instance_type: str = MACHINE
    idle_minutes: int = 60

    def __post_init__(self) -> None:
        checked(self.name)
        low, high = IDLE
        if not low <= self.idle_minutes <= high:
            raise SettingError(f"idle_minutes is {self.idle_minutes}; it must be a whole number from {low} to {formatting.count(high)}.")
        if not REPOSITORY.fullmatch(self.repository):
            raise SettingError(f"{self.repository!r} cannot be cloned there; --repository must be an https:// address without a password.")
        if not REVISION.fullmatch(self.revision):
            raise SettingError(f"{self.revision!r} names no revision; --revision must be a branch, a tag or a commit.")


@dataclass(frozen=True)
class State:
    """How far a notebook instance is."""

    name: str
    word: str  # as SageMaker says it: Pending, InService, Stopping, Stopped, Failed, Deleting, Updating; "" where there is none
    why: str = ""  # it failed

    def __str__(self) -> str:
        said = {
            "": f"There is no notebook instance {self.name!r}.",
            "Pending": f"{self.name} is starting, and billed from when it runs.",
            "InService": f"{self.name} runs, and bills until it is stopped.",
            "Stopping": f"{self.name} is stopping.",
            "Stopped": f"{self.name} is stopped; only its volume is billed, and what is in ~/SageMaker is kept.",
            "Failed": f"{self.name} has failed: {self.why.rstrip('.') or 'SageMaker does not say why'}.",
            "Deleting": f"{self.name} is being deleted.",
        }
        return said.get(self.word, f"{self.name} is neither running nor stopped; SageMaker calls it {self.word}.")


def checked(name: str) -> str:
    """Return the name of an instance, or raise SettingError."""
    if not NAMES.fullmatch(name) or len(name) > 63:
        raise SettingError(f"{name!r} is no name for it; one is mnistlib, or begins so and goes on in small letters, digits and hyphens.")
    return name


def origin() -> str:
    """Return where this clone came from, or raise SettingError where that is no address that another machine could clone."""
    asked = subprocess.run(["git", "-C", str(files.root()), "remote", "get-url", "origin"], capture_output=True, text=True)
    found = asked.stdout.strip() if asked.returncode == 0 else ""
    if not REPOSITORY.fullmatch(found):
        where = f"This clone's origin is {found!r}" if found else "This folder is no clone with an origin"
        raise SettingError(f"{where}, which no notebook instance could clone; give --repository https://….")
    return found


def script(wish: Wish) -> str:
    """Return the script that an instance runs at every start: its settings and programs, then what to do with them."""
    settings = {
        "REPOSITORY": wish.repository,
        "REVISION": wish.revision,
        "IDLE_MINUTES": str(wish.idle_minutes),
        "IDLE_PROGRAM": (SCRIPTS / "notebook_idle.py").read_text(encoding="utf-8"),
        "SETUP_PROGRAM": (SCRIPTS / "notebook_setup.sh").read_text(encoding="utf-8"),
    }
    first, _, rest = (SCRIPTS / "notebook_start.sh").read_text(encoding="utf-8").partition("\n")
    return "\n".join([first, *(f"{name}={shlex.quote(text)}" for name, text in settings.items()), rest])


def look(name: str, region: str | None = None) -> State:
    """Return how far an instance is."""
    sagemaker = client.client("sagemaker", region)
    try:
        told = sagemaker.describe_notebook_instance(NotebookInstanceName=checked(name))
    except sagemaker.exceptions.ClientError as error:
        if not _unknown(error):
            raise
        return State(name, "")
    return State(name, told["NotebookInstanceStatus"], told.get("FailureReason", ""))


def create(wish: Wish) -> State:
    """Make an instance, which starts at once; where SageMaker refuses it, nothing is left behind."""
    state = look(wish.name, wish.region)
    if state.word:
        raise SettingError(f"{state} Start it, or delete it before another is made, or give this one another --name.")
    role = stack.outputs(wish.stack, wish.region)["NotebookRole"]
    sagemaker = client.client("sagemaker", wish.region)
    _write_script(sagemaker, wish)
    try:
        sagemaker.create_notebook_instance(
            NotebookInstanceName=wish.name,
            InstanceType=wish.instance_type,
            RoleArn=role,
            LifecycleConfigName=wish.name,
            PlatformIdentifier=PLATFORM,
            VolumeSizeInGB=GIGABYTES,
            DirectInternetAccess="Enabled",  # the project, its requirements and its data are fetched
            RootAccess="Disabled",  # the script above runs as root all the same
            InstanceMetadataServiceConfiguration={"MinimumInstanceMetadataServiceVersion": "2"},
            Tags=[{"Key": "project", "Value": "mnistlib"}],
        )
    except sagemaker.exceptions.ClientError:
        sagemaker.delete_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=wish.name)
        raise
    return look(wish.name, wish.region)


def start(name: str, region: str | None = None) -> State:
    """Start a stopped instance, or one that failed; one that runs or starts is left alone."""
    state = _there(name, region)
    if state.word in ("Stopped", "Failed"):
        client.client("sagemaker", region).start_notebook_instance(NotebookInstanceName=name)
        return look(name, region)
    if state.word not in ("Pending", "InService"):
        raise SettingError(f"{state} It can be started once it has stopped.")
    return state


def address(name: str, region: str | None = None) -> str:
    """Return an address that opens Jupyter on a running instance; it holds for some minutes, for whoever has it."""
    state = _there(name, region)
    if state.word != "InService":
        advice = {"Pending": "Try again in a minute.", "Stopped": "Start it first.", "Failed": "Start it, or delete it and make another."}
        raise SettingError(f"{state} {advice.get(state.word, 'It can be opened only while it runs.')}")
    return client.client("sagemaker", region).create_presigned_notebook_instance_url(NotebookInstanceName=name)["AuthorizedUrl"]


def stop(name: str, region: str | None = None) -> State:
    """Stop a running instance; one that is stopped, or not there, is left alone."""
    state = look(name, region)
    if state.word == "Pending":
        raise SettingError(f"{state} It can be stopped once it runs; try again in a minute.")
    if state.word == "InService":
        client.client("sagemaker", region).stop_notebook_instance(NotebookInstanceName=name)
        return look(name, region)
    return state


def delete(name: str, show: Callable[[str], Any], region: str | None = None) -> None:
    """Delete an instance with all that is on it, and its script; one that runs is stopped first."""
    sagemaker = client.client("sagemaker", region)
    state = wait(name, show, ("InService", "Stopped"), region)
    if state.word == "InService":
        stop(name, region)
        state = wait(name, show, ("Stopped",), region)
    if state.word:
        sagemaker.delete_notebook_instance(NotebookInstanceName=name)
        if wait(name, show, (), region).word:
            raise client.CloudError(f"{name} could not be deleted; the console may say more.")
    try:
        sagemaker.delete_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)
    except sagemaker.exceptions.ClientError as error:
        if not _unknown(error):
            raise


def wait(name: str, show: Callable[[str], Any], words: tuple[str, ...], region: str | None = None) -> State:
    """Look at an instance until it is what is waited for, has failed or is gone, and show each state on the way."""
    seen = None
    while True:
        state = look(name, region)
        if state.word != seen:
            show(str(state))
            seen = state.word
        if state.word in words or state.word in ("Failed", ""):
            return state
        time.sleep(EVERY)


def _there(name: str, region: str | None) -> State:
    """Return how far an instance is, or raise SettingError where there is none."""
    state = look(name, region)
    if not state.word:
        raise SettingError(f"{state} Make one with `python -m mnistlib sagemaker notebook create`, or give the right --name and --region.")
    return state


def _write_script(sagemaker: Any, wish: Wish) -> None:
    """Keep the script where SageMaker looks for it; one that an earlier instance left is replaced."""
    content = base64.b64encode(script(wish).encode()).decode()
    if len(content) > CHARACTERS:
        raise SettingError(
            f"The start script has {formatting.count(len(content))} characters; SageMaker takes {formatting.count(CHARACTERS)}."
        )
    kept = {"NotebookInstanceLifecycleConfigName": wish.name, "OnStart": [{"Content": content}]}
    try:
        sagemaker.describe_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=wish.name)
    except sagemaker.exceptions.ClientError as error:
        if not _unknown(error):
            raise
        sagemaker.create_notebook_instance_lifecycle_config(**kept)
    else:
        sagemaker.update_notebook_instance_lifecycle_config(**kept)


def _unknown(error: Any) -> bool:
    """Say whether SageMaker answers that there is no such thing."""
    return client.code(error) in ("ValidationException", "ValidationError") and any(word in client.message(error) for word in UNKNOWN)
