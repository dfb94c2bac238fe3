"""A machine in the cloud, as far as it can be had here: scratch folders, a Python that has torch, its own metadata, and a `shutdown`.

A test module has it with `pytest_plugins = ["machines"]`. (PYTEST_DONT_REWRITE: it imports from here before pytest does.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# What the one `shutdown` that tests can run does: it says so, and where a time was named, ends the service then as the real one would.
SHUTDOWN = """#!/bin/bash
echo "shutdown $*" >>"$SHUTDOWNS"
case $* in
*+*) if [ -n "${WATCHDOG:-}" ]; then (sleep "$WATCHDOG"; kill -TERM "$(cat "$SERVICE")") & fi ;;
esac
"""
# And `systemd-run`: a service has its own settings, not those of whoever starts it, and a session of its own.
SYSTEMD_RUN = """#!/bin/bash
own=()
while [[ $1 == -* ]]; do
    case $1 in
    --setenv=*) own+=("${1#--setenv=}") ;;
    -p) shift ;;
    esac
    shift
done
env -u RUN -u STORE -u NOTEBOOK -u MINUTES -u SPOT -u PRICE -u AWS_DEFAULT_REGION "${own[@]}" setsid "$@" &
echo $! >"$SERVICE"
wait $!
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
    """A scratch machine: run a script on it, end it, and see whether it was shut down."""

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

    def wait(self, seconds: float = 120) -> int:
        """Return the script's exit code."""
        return self.process.wait(timeout=seconds)


@pytest.fixture
def machine(bare_python: Path, tmp_path: Path) -> Iterator[Machine]:
    """Return a scratch machine."""
    if sys.platform != "linux":
        pytest.skip("Amazon's machines, for which these scripts are, run Linux; this one does not")
    root = tmp_path / "machine"
    (root / "bin").mkdir(parents=True)
    for name, text in (("shutdown", SHUTDOWN), ("systemd-run", SYSTEMD_RUN)):
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    (root / "bin" / "aws").symlink_to(Path(sys.executable).parent / "aws")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.said = dict(METADATA)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Machine(root, os.pathsep.join((str(root / "bin"), str(bare_python), "/usr/bin", "/bin")), server)
    yield made
    if made.process is not None:
        for group in [made.process.pid, *([int(made.service.read_text())] if made.service.is_file() else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        made.process.wait()
    server.shutdown()
    server.server_close()
