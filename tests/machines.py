"""Stand-ins for EC2 instances and training containers: scratch folders, instance metadata, and programs that only such machines have.

`machine` is fast: its `python -m mnistlib job` is the program below. `real_machine` installs the library and runs it. On both, `aws` is a
program that knows one command, unless `use_aws_cli` puts the real one there.
A test module has them with `pytest_plugins = ["machines"]`. (PYTEST_DONT_REWRITE: it imports from here before pytest does.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# `shutdown` records its call; once the file $WATCHDOG is there, the watchdog's time is over and it ends the service, as the real one would.
SHUTDOWN = """#!/bin/bash
echo "shutdown $*" >>"$SHUTDOWNS"
case $* in
*+*) if [ -n "${WATCHDOG:-}" ]; then (until [ -e "$WATCHDOG" ]; do sleep 0.2; done; kill -TERM "$(cat "$SERVICE")") & fi ;;
esac
"""
# `systemd-run`: a service has its own environment and a session of its own.
SYSTEMD_RUN = """#!/bin/bash
own=()
while [[ $1 == -* ]]; do
    case $1 in
    --setenv=*) own+=("${1#--setenv=}") ;;
    -p) shift ;;
    esac
    shift
done
env -u RUN -u NOTEBOOK -u MINUTES -u SPOT -u GPU -u PRICE -u AWS_DEFAULT_REGION "${own[@]}" setsid "$@" &
echo $! >"$SERVICE"
wait $!
"""
# A Python with torch whose pip takes any wheel that is a zip file.
PYTHON3 = """#!/bin/bash
case "$*" in
-c*) ;;
"-m pip install "*)
    wheel=${*: -1}
    PYTHON -m zipfile -t "${wheel%\\[cloud\\]}" || { echo "ERROR: $wheel is not a wheel"; exit 1; }
    ;;
"-m mnistlib job "*) shift 3; exec PYTHON "${0%/*}/job.py" "$@" ;;
*) exit 9 ;;
esac
"""
# `mnistlib job`: it fails if n is below zero, waits if it is told to, and resumes if it was stopped while it waited. Beside it a process of
# the same group says if the whole group is asked to end: where it is, a job is asked twice.
JOB = """
import json, os, signal, subprocess, sys, time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, ROOT)
from cloud.aws import client, s3

notebook, _, out, _, parameters = sys.argv[1:]
assert Path(notebook).is_file()
given = {"n": "1", "wait": "0"} | dict(line.split(": ") for line in Path(parameters).read_text().splitlines() if line != "{}")


NEIGHBOUR = "trap 'echo the group was asked to end' TERM; while kill -0 $PPID; do sleep 0.1; done 2>/dev/null"


def end(*_):
    print("the job was asked to end", flush=True)
    sys.exit(143)


signal.signal(signal.SIGTERM, end)
session = client.session()
local = s3.SyncedFolder(s3.folder(session.client("s3"), out), "job.json", 0.2) if out.startswith("s3:") else nullcontext(Path(out))
with local as folder:
    folder.mkdir(exist_ok=True)
    log = (folder / "log.txt").open("a")

    def say(text):
        print(text, flush=True)
        print(text, file=log, flush=True)

    (folder / "instance").write_text(os.environ["MNISTLIB_INSTANCE"])
    if (folder / "state").exists():
        say("resumed")
    elif float(given["wait"]):
        (folder / "state").write_text("half-way")
        subprocess.Popen(["bash", "-c", NEIGHBOUR])
        time.sleep(0.5)  # until it listens
        say("working " + given["n"])
        time.sleep(float(given["wait"]))
    reason = "n is below zero" if int(given["n"]) < 0 else ""
    say("Error: " + reason if reason else "working " + given["n"])
    ended = {"status": "failed" if reason else "succeeded", "reason": reason, "seconds": 1.0}
    (folder / "job.json").write_text(json.dumps({"schema": 1, "key": "k", "notebook": Path(notebook).name, "parameters": {}, **ended}))
sys.exit(bool(reason))
"""
# `aws s3 cp`: moto checks no signatures.
AWS = """
import os, re, sys, urllib.request
from pathlib import Path

source, target = [word for word in sys.argv[3:] if not word.startswith("--")]
endpoint, signed = os.environ["AWS_ENDPOINT_URL"], "AWS4-HMAC-SHA256 Credential=testing/20300101/eu-central-1/s3/aws4_request"


def ask(path, **options):
    headers = {"Authorization": signed, "Content-Type": "binary/octet-stream"}
    return urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{path}", headers=headers, **options)).read()


if source.startswith("s3://"):
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    for key in re.findall("<Key>(.*?)</Key>", ask(f"{bucket}?list-type=2&prefix={prefix}").decode()):
        path = Path(target, key[len(prefix):])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ask(f"{bucket}/{key}"))
else:
    ask(target.removeprefix("s3://"), data=Path(source).read_bytes(), method="PUT")
"""
METADATA = {"instance-id": "i-0123456789abcdef0", "instance-type": "c7i.xlarge", "ami-id": "ami-0123456789abcdef0"}


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a Python that has all that this one has, but no mnistlib."""
    folder = tmp_path_factory.mktemp("python")
    seen = folder / "seen"
    seen.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "mnistlib" not in path.name:
            (seen / path.name).symlink_to(path)
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "venv" / "lib" / version / "site-packages"
    (packages / "seen.pth").write_text(f"{seen}\n")
    (folder / "venv" / "share").symlink_to(Path(sys.prefix) / "share")  # nbconvert's templates
    return folder / "venv" / "bin"


class Metadata(BaseHTTPRequestHandler):
    """Answer as an instance's metadata service does: with a token only."""

    said: dict[str, str]

    def do_PUT(self) -> None:
        self._answer(200, "token") if self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") else self._answer(400, "")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            self._answer(401, "")
        else:
            found = self.server.said.get(self.path.removeprefix("/latest/meta-data/"))
            self._answer(200 if found else 404, found or "")

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Machine:
    """A machine: run a script on it, end it, and see whether it was shut down."""

    root: Path
    path: str
    metadata: ThreadingHTTPServer
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def shutdowns(self) -> list[str]:
        """Return how `shutdown` was called."""
        path = self.root / "shutdowns"
        return path.read_text().splitlines() if path.is_file() else []

    @property
    def service(self) -> Path:
        """Return the file that holds the process id of the machine's service, once it has one."""
        return self.root / "service"

    @property
    def log(self) -> str:
        """Return what the machine has said so far."""
        path = self.root / "home" / "machine.log"
        return path.read_text() if path.is_file() else ""

    def wipe(self) -> None:
        """Make it another machine: without anything that an earlier one left."""
        for name in ("home", "ml", "shutdowns", "service"):
            if (self.root / name).exists():
                (self.root / name).rename(self.root / f"old-{name}-{time.monotonic_ns()}")

    def program(self, name: str, text: str) -> None:
        """Put a program on the machine."""
        path = self.root / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def use_aws_cli(self) -> None:
        """Put the real AWS CLI on the machine, which takes most of a second per call."""
        (self.root / "bin" / "aws").unlink()
        (self.root / "bin" / "aws").symlink_to(Path(sys.executable).parent / "aws")

    def start(self, script: str, **settings: str) -> subprocess.Popen:
        """Run a script in a session of its own, with nothing of this process's environment but what a machine would have."""
        inherited = {name: os.environ[name] for name in os.environ if name.startswith("AWS_") or name in ("LANG", "OMP_NUM_THREADS")}
        host, port = self.metadata.server_address
        environment = inherited | {
            "PATH": self.path,
            "HOME": str(self.root),
            "MNISTLIB_HOME": str(self.root / "home"),
            "SHUTDOWNS": str(self.root / "shutdowns"),
            "SERVICE": str(self.service),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{host}:{port}",
            **self.settings,
            **settings,
        }
        environment.pop("AWS_EC2_METADATA_DISABLED", None)
        (self.root / "script").write_text(script)
        command = ["bash", str(self.root / "script")]
        out = open(self.root / "console", "w")  # noqa: SIM115
        self.process = subprocess.Popen(command, env=environment, cwd=self.root, stdout=out, stderr=out, start_new_session=True)
        return self.process

    def end(self) -> None:
        """Ask what the machine runs to end, as its system does: the main process alone, the service's where there is one."""
        os.kill(int(self.service.read_text()) if self.service.is_file() else self.process.pid, signal.SIGTERM)

    def wait(self, seconds: float = 300) -> int:
        """Return the script's exit code."""
        return self.process.wait(timeout=seconds)


@contextlib.contextmanager
def machine_in(root: Path, path: str) -> Iterator[Machine]:
    """Give a machine in a folder, and end what still runs on it."""
    if sys.platform != "linux":
        pytest.skip("The scripts are for Amazon Linux")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.said = dict(METADATA)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Machine(root, os.pathsep.join((str(root / "bin"), path, "/usr/bin", "/bin")), server)
    for name, text in (("shutdown", SHUTDOWN), ("systemd-run", SYSTEMD_RUN), ("aws", f"#!{sys.executable} -IS\n{AWS}")):
        made.program(name, text)
    yield made
    if made.process is not None:
        for group in [made.process.pid, *([int(made.service.read_text())] if made.service.is_file() else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        made.process.wait()
    server.shutdown()
    server.server_close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a fast machine."""
    with machine_in(tmp_path / "machine", "") as made:
        made.program("python3.13", PYTHON3.replace("PYTHON", sys.executable))
        made.program("job.py", JOB.replace("ROOT", repr(str(Path(__file__).resolve().parents[1]))))
        yield made


@pytest.fixture
def real_machine(bare_python: Path, tmp_path: Path) -> Iterator[Machine]:
    """Return a machine with all that the library needs, but without the library."""
    with machine_in(tmp_path / "real-machine", str(bare_python)) as made:
        yield made
