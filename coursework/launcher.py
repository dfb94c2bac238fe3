"""Runs one command in a sandbox, with limits, and ends every process that it started. Needs nothing but Python.

`python -I -S launcher.py SETTINGS`, where SETTINGS is the JSON object that coursework.sandbox makes, prints a JSON object: how the command
ended, or the error that kept it from starting. The mode is one of
- "namespaces": new mount, PID, network, IPC and, for an ordinary user, user namespaces; the command sees only the files named for it.
- "landlock": Landlock allows the same files, a seccomp filter no sockets. Needs no privileges, and works in most containers.
- "limits": neither; resource limits and a seccomp filter where the system has one.
"""

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

LINUX = sys.platform == "linux"
POLL = 0.5  # seconds between two looks at the processes, less at first
MAX_FILES = 10_000  # in the scratch folder
DEVICES = ("null", "zero", "full", "random", "urandom")
PROC = ("cpuinfo", "meminfo", "stat")  # what libraries read of a machine
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
# Numbers of system calls; those above 423 are the same on every machine
MOUNT_SETATTR, LANDLOCK = 442, 444
REFUSED = {  # socket, ptrace, mount, umount2, pivot_root, unshare, setns, process_vm_*, perf_event_open, bpf, userfaultfd, keys; and
    # memfd_create and shmget, whose memory counts for no process
    "x86_64": (0xC000003E, (41, 101, 165, 166, 155, 272, 308, 310, 311, 298, 321, 323, 248, 249, 250, 319, 29)),
    "aarch64": (0xC00000B7, (198, 117, 40, 39, 41, 97, 268, 270, 271, 241, 280, 282, 217, 218, 219, 279, 194)),
}
NEWER = (425, 426, 427, *range(428, 434), MOUNT_SETATTR)  # io_uring, which can make sockets, and the newer calls to mount
X32 = 0x40000000  # from here on, x86-64's second set of numbers
READ, READ_FILES, WRITE_FILES, LIST = 0b1101, 0b101, 0b10, 0b1000  # Landlock's rights: execute 1, write 2, read 4, list 8


def libc(name: str, *arguments: Any) -> int:
    """Call a function of the C library; raise OSError where it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    values = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    done = library[name](*values)
    if done < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return done


def main() -> None:
    """Start the command in its mode and print how it ended."""
    settings = json.loads(sys.argv[1])
    if LINUX:
        libc("prctl", 1, signal.SIGTERM)  # ends with the process that called it
    try:
        if os.getuid() == 0 and settings["user"] is None:
            raise OSError("the kernel limits no processes of root")
        if settings["mode"] == "namespaces":
            enter_namespaces(settings)
        elif settings["user"] is not None:
            os.chown(settings["scratch"], settings["user"], settings["user"])
        report = supervise(settings)
    except OSError as error:
        report = {"error": str(error)}
    print(json.dumps(report), flush=True)
    os._exit(0)  # as the first process of a PID namespace: the kernel kills all others


def enter_namespaces(settings: dict[str, Any]) -> None:
    """Go on as the first process of new namespaces, whose root holds the files of the command alone; the caller's process waits."""
    user, group = os.getuid(), os.getgid()
    if settings["user"] is None:
        new_user_namespace(user, group, NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NETWORK)
    else:
        os.chown(settings["scratch"], settings["user"], settings["user"])
        libc("unshare", NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NETWORK)
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os._exit(0)
    libc("prctl", 1, signal.SIGKILL)
    libc("prctl", 4, 0)  # nobody may trace it
    enter_root(settings)


def new_user_namespace(user: int, group: int, others: int = 0) -> None:
    """Enter a user namespace that knows one user, and other namespaces with it."""
    libc("unshare", NEW_USER | others)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def enter_root(settings: dict[str, Any]) -> None:
    """Make a root of an empty folder, the readable files, the scratch folder, a few devices and the namespace's processes; enter it."""
    new = tempfile.mkdtemp(prefix=".root", dir=settings["scratch"])
    mount("none", "/", None, RECURSIVE | PRIVATE)
    mount("tmpfs", new, "tmpfs", NO_SUID | NO_DEVICES)
    for path in settings["readable"]:
        bind(path, new)
    for path in settings["hidden"]:
        if os.path.lexists(new + path):
            bind("/dev/null", new, path)
    for folder in (settings["scratch"], "/proc", "/dev"):
        os.makedirs(new + folder, exist_ok=True)
    for name in DEVICES:
        Path(f"{new}/dev/{name}").touch()
    attributes = struct.pack("QQQQ", READ_ONLY | NO_SUID | NO_DEVICES, 0, 0, 0)
    libc("syscall", MOUNT_SETATTR, -100, new.encode(), 0x8000, attributes, len(attributes))  # the whole tree
    for name in DEVICES:
        bind(f"/dev/{name}", new)
    mount(settings["scratch"], new + settings["scratch"], None, BIND)
    mount("proc", new + "/proc", "proc", NO_SUID | NO_DEVICES)
    mount(new + "/proc/sys", new + "/proc/sys", None, BIND | RECURSIVE)
    mount("none", new + "/proc/sys", None, BIND | 32 | READ_ONLY | NO_SUID | NO_DEVICES)  # 32: remount
    os.chdir(new)
    libc("pivot_root", b".", b".")
    libc("umount2", b".", 2)  # the old root, once no longer in use
    os.chdir("/")


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mount a file system."""
    libc("mount", source.encode(), target.encode(), kind and kind.encode(), flags, None)


def bind(path: str, new: str, target: str = "") -> None:
    """Show a path in the new root at its own place or at another's; a symbolic link is made anew."""
    place = new + (target or path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path):
        if not os.path.lexists(place):
            os.symlink(os.readlink(path), place)
        return
    if os.path.isdir(path):
        os.makedirs(place, exist_ok=True)
    elif not os.path.lexists(place):
        Path(place).touch()
    mount(path, place, None, BIND | RECURSIVE)


def supervise(settings: dict[str, Any]) -> dict[str, Any]:
    """Start the command, watch its limits, kill all that is left of it at the end, and return how it ended."""
    if LINUX:
        libc("prctl", 36, 1)  # orphans of the command become children of this process
    limits, began, stopped, status = settings["limits"], time.monotonic(), "", None
    receiver, sender = os.pipe()
    command = os.fork()
    if not command:
        start(settings, sender)
    os.close(sender)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: (kill(command), collect(), os._exit(1)))
    with os.fdopen(receiver) as pipe:
        words = pipe.read()  # until the command itself begins
    in_force = json.loads((words or '{"error": "it was killed before it began"}').splitlines()[-1])
    while status is None:
        time.sleep(min(POLL, 0.02 + (time.monotonic() - began) / 10))
        stopped = stopped or exceeded(limits, settings["scratch"], time.monotonic() - began)
        if stopped:
            kill(command)
        status = reap(command)
    seconds = time.monotonic() - began
    stopped = stopped or exceeded(limits | {"seconds": float("inf")}, settings["scratch"], 0)
    kill(command)
    collect()
    return {**in_force, "status": status, "stopped": stopped, "seconds": seconds}


def start(settings: dict[str, Any], sender: int) -> None:
    """Become the command: with its own session, files, user, limits and filters; say through `sender` what is in force."""
    try:
        os.setsid()
        os.chdir(settings["scratch"])
        reading, writing = os.open(os.devnull, os.O_RDONLY), os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        for place, file in enumerate((reading, writing, writing)):
            os.dup2(file, place)
        in_force = list(confine(settings))
        os.write(sender, (json.dumps({"in_force": in_force}) + "\n").encode())
        os.execve(settings["command"][0], settings["command"], settings["environment"])
    except BaseException as error:
        os.write(sender, json.dumps({"error": str(error)}).encode())
    finally:
        os._exit(127)


def confine(settings: dict[str, Any]) -> Iterator[str]:
    """Give up what the command must not have, and yield the names of the protections in force, as coursework.sandbox explains them."""
    mode, user = settings["mode"], settings["user"]
    processes = settings["limits"]["processes"] + 2  # the launcher, which watches the others
    own_user = mode == "namespaces"
    if user is not None:
        os.chown("log", user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        yield "user"
        libc("prctl", 4, 1)  # else it could not write its own maps
        try:
            new_user_namespace(user, user)
            own_user = True
        except OSError:
            own_user = False
    if not own_user:  # the user's other processes count for the limit, whoever started them
        processes += n_tasks(os.getuid())
    limit(settings["limits"], processes)
    yield from ("limits", "environment")
    if not LINUX:
        return
    libc("prctl", 1, signal.SIGKILL)
    for capability in range(64):
        with contextlib.suppress(OSError):
            libc("prctl", 24, capability)  # no program gets it back
    libc("prctl", 38, 1, 0, 0, 0)  # no program gets new privileges
    yield "end"
    if mode == "namespaces":
        yield from ("files", "network", "processes")
    if mode == "landlock":
        yield from landlock(settings)
    with contextlib.suppress(OSError):
        refuse_calls()
        yield "calls"
        if mode != "namespaces":
            yield "network"


def limit(limits: dict[str, Any], processes: int) -> None:
    """Set the limits that the kernel keeps, which hold for each process of the command."""
    kept = {"CPU": limits["cpu_seconds"], "DATA": limits["memory"], "FSIZE": limits["file_bytes"], "NPROC": processes}
    for name, value in (kept | {"NOFILE": 256, "CORE": 0}).items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        soft = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(number, (soft, soft + (name == "CPU") if hard == resource.RLIM_INFINITY else soft))


def landlock(settings: dict[str, Any]) -> Iterator[str]:
    """Allow only the readable files and the scratch folder; yield what the kernel's version of Landlock gives."""
    version = libc("syscall", LANDLOCK, None, 0, 1)
    handled = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    rules = struct.pack("QQQ", handled, 0, 3 if version >= 6 else 0)  # 3: no signals and no abstract sockets beyond the sandbox
    ruleset = libc("syscall", LANDLOCK, rules, 24 if version >= 6 else 8, 0)
    allow(ruleset, settings["scratch"], handled)
    for path, rights in rights_of(settings["readable"], set(settings["hidden"])):
        allow(ruleset, path, rights)
    for name in PROC:
        allow(ruleset, f"/proc/{name}", READ_FILES)
    for name in DEVICES:
        allow(ruleset, f"/dev/{name}", READ_FILES | WRITE_FILES)
    libc("syscall", LANDLOCK + 2, ruleset, 0)
    os.close(ruleset)
    yield "files"
    if version >= 6:
        yield "processes"


def rights_of(paths: Iterable[str], hidden: set[str]) -> Iterator[tuple[str, int]]:
    """Yield what is allowed of each path; a folder that holds a hidden file is opened entry by entry."""
    for path in paths:
        if any(one.startswith(path.rstrip("/") + "/") for one in hidden):
            yield path, LIST
            yield from rights_of((os.path.join(path, name) for name in os.listdir(path)), hidden)
        elif path not in hidden and os.path.exists(path):
            yield path, READ if os.path.isdir(path) else READ_FILES


def allow(ruleset: int, path: str, rights: int) -> None:
    """Allow a file, or all that is below a folder."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    libc("syscall", LANDLOCK + 1, ruleset, 1, struct.pack("=Qi", rights, file), 0)
    os.close(file)


def refuse_calls() -> None:
    """Refuse sockets, and the calls that lead out of a sandbox, by a seccomp filter."""
    if platform.machine() not in REFUSED:
        raise OSError("There is no filter for this processor.")
    architecture, numbers = REFUSED[platform.machine()]
    numbers += NEWER
    load, equal, at_least, done = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (done, 0, 0, 0x80000000), (load, 0, 0, 0)]
    program.append((at_least, len(numbers) + 1, 0, X32))
    program += [(equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    program += [(done, 0, 0, 0x7FFF0000), (done, 0, 0, 0x50001)]  # allowed; refused with EPERM
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    libc("prctl", 22, 2, struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)), 0, 0)


def exceeded(limits: dict[str, Any], scratch: str, seconds: float) -> str:
    """Return the name of a limit that is exceeded by all processes together or by the scratch folder; "" where none is."""
    if seconds > limits["seconds"]:
        return "seconds"
    found = descendants() if LINUX else {}
    if sum(n_threads for n_threads, _ in found.values()) >= limits["processes"]:
        return "processes"
    resident = {process: memory for process, (_, memory) in found.items()}
    if sum(resident.values()) > limits["memory"] and sum(own_share(*one) for one in resident.items()) > limits["memory"]:
        return "memory"
    n_files = size = 0
    for folder, _, names in os.walk(scratch):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512
        n_files += len(names) + 1
        if size > limits["folder_bytes"] or n_files > MAX_FILES:
            return "folder_bytes"
    return ""


def descendants(kill_them: bool = False) -> dict[int, tuple[int, int]]:
    """Return the number of threads and the bytes in memory of each process that the command started; kill them where asked."""
    parents, found = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            state, parent, *values = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
            if state != b"Z":
                parents[int(name)] = int(parent)
                found[int(name)] = int(values[15]), int(values[19]) * resource.getpagesize()
    family = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in family} - family:
        family |= more
    family.remove(os.getpid())
    for process in family if kill_them else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return {process: found[process] for process in family}


def own_share(process: int, resident: int) -> int:
    """Return a process's bytes in memory, pages in common with other processes divided among them where the kernel tells."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return resident
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), resident)


def n_tasks(user: int) -> int:
    """Return the number of threads of a user's processes."""
    total = 0
    for name in filter(str.isdigit, os.listdir("/proc") if LINUX else ()):
        with contextlib.suppress(OSError):
            total += len(os.listdir(f"/proc/{name}/task")) if os.stat(f"/proc/{name}").st_uid == user else 0
    return total


def kill(command: int) -> None:
    """Kill the command and all its descendants, wherever they are; without /proc, its process group."""
    if not LINUX:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(command, signal.SIGKILL)
    while LINUX and descendants(kill_them=True):
        time.sleep(0.01)


def collect() -> None:
    """Collect all that was killed, so that nothing of it stays in the system's list of processes."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def reap(command: int) -> int | None:
    """Collect the orphans that ended; return the command's exit status, None while it runs."""
    while True:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == command:
            return os.waitstatus_to_exitcode(status)
        if not process:
            return None


if __name__ == "__main__":
    main()
