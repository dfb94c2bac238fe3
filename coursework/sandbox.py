"""A stranger's program in a sandbox: without network, without files but its own, with limits, and without a process left behind.

What a system allows differs. The protections in force are part of every outcome, so that nobody takes one for granted:
`protections()` says what this machine gives, and `python -m coursework.sandbox` prints it.
"""

import errno
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import mnistlib
from coursework.source import Source
from mnistlib.errors import MnistlibError

LAUNCHER = Path(__file__).with_name("launcher.py")
LIBRARY = Path(mnistlib.__file__).parent
LABELS = LIBRARY / "mnist.npz"  # mnistlib.data.FILE, without the torch that it imports
PROTECTIONS = {
    "limits": "Time, memory, processes and files are limited.",
    "environment": "It does not get the caller's environment.",
    "end": "All its processes end with it.",
    "files": "It reads only Python, the library and its own source, not the file with the labels, and writes only its own folder.",
    "network": "It has no network.",
    "processes": "It cannot reach other processes.",
    "user": "It runs as another user than the caller.",
    "calls": "The system calls that lead out of a sandbox are refused.",
}
ESSENTIAL = ("files", "network")  # without these, code can read and send away what is the caller's
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/nix/store", "/sys/devices/system/cpu")
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ")  # of the caller's, where it is set
MODES = ("namespaces", "landlock", "limits")  # of the launcher, the strongest first
NOBODY = 65534  # the user without rights
FAILURE = "failure.json"  # what the program itself says of its failure: {"kind": ..., "text": ...}
LONGEST = 300  # characters of a reason that come from the program


class SandboxError(MnistlibError):
    """A sandbox cannot be made."""


@dataclass(frozen=True)
class Limits:
    """What one program may use, all its processes together unless it says otherwise."""

    seconds: float = 3600  # from start to end
    cpu_seconds: int = 3600  # of each process
    memory: int = 4 << 30  # bytes
    processes: int = 64  # with their threads
    file_bytes: int = 64 << 20  # of each file that it writes
    folder_bytes: int = 256 << 20  # of all files that it writes


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and what kept it in its place."""

    reason: str  # one sentence that says why it failed; "" where it ended well
    seconds: float
    protections: tuple[str, ...]  # names of PROTECTIONS that were in force
    log: str  # the end of what it printed


def run(
    command: Sequence[str],
    scratch: Path,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Run a command in the folder `scratch`, the only one it can write, until it ends, exceeds a limit or `stop` is set.

    Beside Python and the system's libraries it can read the `readable` paths. Raises SandboxError where the sandbox cannot be made.
    """
    report = _launch(*best(), command, scratch, readable, limits or Limits(), environment or {}, stop)
    if "error" in report:
        raise SandboxError(f"The sandbox cannot be made: {report['error']}.")
    protections = tuple(name for name in PROTECTIONS if name in report["in_force"])
    log = (read(scratch / "log", 1 << 30) or b"")[-2000:].decode(errors="replace")
    return Outcome(_reason(report, limits or Limits(), scratch), report["seconds"], protections, log)


def run_module(
    module: str,
    code: Source,
    arguments: Sequence[str],
    scratch: Path,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Run `python -m MODULE SUBMISSION ARGUMENT...` in the sandbox, a module of this package that loads a submission."""
    readable, search = list(readable), library()
    if code.folder is None:
        for path in code.paths:
            copy = scratch / path.relative_to(code.paths[0].parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
    else:
        readable += code.paths
        search += f":{code.folder}"
    return run([sys.executable, "-P", "-m", module, code.spec, *arguments], scratch, readable, limits, {"PYTHONPATH": search}, stop)


def protections() -> dict[str, bool]:
    """Return which of PROTECTIONS this machine gives."""
    with tempfile.TemporaryDirectory() as scratch:
        found = run([sys.executable, "-I", "-S", "-c", ""], Path(scratch)).protections
    return {name: name in found for name in PROTECTIONS}


@functools.cache
def best() -> tuple[str, int | None]:
    """Return the strongest mode that works on this machine, and the user to run as, None for the caller; root's programs run as nobody."""
    user, tried = NOBODY if os.getuid() == 0 else None, []  # no limit on processes holds for root
    for mode in MODES if sys.platform == "linux" else MODES[-1:]:
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-c", "import mnistlib, numpy"]
            report = _launch(mode, user, command, Path(scratch), [], Limits(seconds=300), {}, None)
        if report.get("status") == 0:
            return mode, user
        tried.append(f"{mode}: {report.get('error', 'Python did not start')}")
    raise SandboxError(f"No kind of sandbox works for this user on this machine. {'; '.join(tried)}.")


def library() -> str:
    """Return the search path of both packages, which need not lie side by side: a cluster gets each by itself."""
    return os.pathsep.join(dict.fromkeys(str(path.parent) for path in (LIBRARY, LAUNCHER.parent)))


def _launch(
    mode: str,
    user: int | None,
    command: Sequence[str],
    scratch: Path,
    readable: Sequence[Path],
    limits: Limits,
    environment: Mapping[str, str],
    stop: threading.Event | None,
) -> dict:
    """Run the launcher and return its report."""
    scratch = scratch.resolve()
    paths = [*SYSTEM, sys.prefix, sys.base_prefix, LIBRARY, LAUNCHER.parent, *readable]
    everything = dict.fromkeys(str(one) for path in map(Path, paths) for one in (path.absolute(), path.resolve()) if path.exists())
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    own = {"HOME": str(scratch), "TMPDIR": str(scratch), "USER": "nobody", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    settings = {
        "mode": mode,
        "user": user,
        "command": list(map(str, command)),
        "scratch": str(scratch),
        "readable": list(everything),
        "hidden": [str(LABELS.resolve()), str(LABELS.absolute())],
        "limits": asdict(limits),
        "environment": {**kept, **own, "PYTHONPATH": library(), **environment},
    }
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(settings)]
    with subprocess.Popen(launcher, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.2 if stop else None)
                    break
                except subprocess.TimeoutExpired:
                    if stop and stop.is_set():
                        process.terminate()
        except BaseException:
            process.terminate()
            raise
    return json.loads(output or b'{"error": "its launcher was stopped"}')


def read(path: Path, limit: int) -> bytes | None:
    """Return the content of a file that a program left; None where it is missing, no regular file, or larger than `limit` bytes."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(file, "rb") as stream:
        about = os.fstat(file)
        return stream.read(limit) if os.path.stat.S_ISREG(about.st_mode) and about.st_size <= limit else None


def leave_failure(error: BaseException) -> None:
    """Leave in the working directory why a program of this package failed in the sandbox, for the caller to read."""
    Path(FAILURE).write_text(json.dumps(_failure(error)))


def _failure(error: BaseException) -> dict[str, Any]:
    """Return the kind of an error, or a sentence about it with its last place outside Python and the library."""
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return {"kind": "memory"}
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.EAGAIN):
        return {"kind": "file" if error.errno == errno.EFBIG else "processes"}
    if "can't start new thread" in text:
        return {"kind": "processes"}
    if isinstance(error, SystemExit):
        return {"kind": "exit"}
    if isinstance(error, MnistlibError):
        return {"text": text}
    libraries = (sys.prefix, sys.base_prefix, str(LIBRARY), str(LAUNCHER.parent), "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(libraries)]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return {"text": f"{type(error).__name__}: {next(iter(text.splitlines()), '')}{place}."}


def _reason(report: dict, limits: Limits, scratch: Path) -> str:
    """Return why a program failed, in one sentence; "" where it ended well."""
    sentences = {
        "seconds": f"It ran for more than {limits.seconds:g} s.",
        "cpu": f"It used more than {limits.cpu_seconds:g} s of CPU time.",
        "memory": f"It needed more memory than the {_size(limits.memory)} allowed.",
        "processes": f"It started more processes and threads than the {limits.processes} allowed.",
        "file": f"It wrote a file larger than the {_size(limits.file_bytes)} allowed.",
        "folder_bytes": f"It wrote more files than allowed, which is {_size(limits.folder_bytes)} in all.",
        "exit": "It called exit() before it was done.",
    }
    status, stopped = report["status"], report["stopped"]
    if stopped:
        return sentences[stopped]
    try:
        failure = json.loads(read(scratch / FAILURE, 100_000) or b"{}")
        kind, text = str(failure.get("kind", "")), str(failure.get("text", ""))
    except (ValueError, AttributeError):
        kind, text = "", ""
    if kind or text:
        return sentences.get(kind) or " ".join("".join(one if one.isprintable() else " " for one in text).split())[:LONGEST]
    if status in (-Signals.SIGXCPU, -Signals.SIGXFSZ):
        return sentences["cpu" if status == -Signals.SIGXCPU else "file"]
    if status < 0:
        names = {one.value: one.name for one in Signals}
        return f"It was ended by the signal {names.get(-status, -status)}."
    return f"It ended early with the exit code {status}." if status else ""


def _size(n: int) -> str:
    unit, name = next(((unit, name) for unit, name in ((1 << 30, "GB"), (1 << 20, "MB")) if n >= unit), (1, "bytes"))
    return f"{n / unit:.3g} {name}"


if __name__ == "__main__":
    for protection, there in protections().items():
        print("in force    " if there else "NOT in force", PROTECTIONS[protection])
