"""A function of this package called in a process of its own, with a limit on its time and memory: what it runs is a stranger's code.

python -m coursework.child MODULE:FUNCTION ARGUMENT... prints the function's value as JSON; what the code prints is thrown away.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any, TextIO

from mnistlib.errors import MnistlibError, SettingError

SECONDS = 60
GIGABYTES = 4  # beyond what Python and torch have taken


class UnfinishedError(MnistlibError):
    """A stranger's code took too long or too much memory, or ended the process."""

    code = 1  # what the command exits with


def call(function: str, *arguments: str, seconds: float = SECONDS, gigabytes: float = GIGABYTES, prefix: tuple[str, ...] = ()) -> Any:
    """Return what "module:function" returns for arguments, both of which JSON can hold.

    `prefix` is a command that runs the child, such as one that isolates it. Raises UnfinishedError, or the SettingError of the function.
    """
    words = [*prefix, sys.executable, "-m", "coursework.child", str(gigabytes), function, *arguments]
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        os.read(child.stdout.fileno(), 1)  # from here on the time counts: importing torch can take a while
        said, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UnfinishedError(f"The code did not end within {seconds:g} s; does it loop or train while the net is built or run?") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    try:
        answer = json.loads(said)
    except ValueError:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
        raise UnfinishedError(f"The code ended its own process ({how}); a crash or a call of os._exit() does that.") from None
    if "unfinished" in answer:
        raise UnfinishedError(answer["unfinished"])
    if "refused" in answer:
        raise SettingError(answer["refused"])
    return answer["value"]


def _limit_memory(gigabytes: float) -> None:
    """Limit the address space to what it is now and some more, where the system can."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _answer(answers: TextIO, gigabytes: float, function: str, *arguments: str) -> dict[str, Any]:
    import pkgutil

    import torch

    torch.set_num_threads(1)
    called = pkgutil.resolve_name(function)
    _limit_memory(gigabytes)
    print(end=" ", file=answers, flush=True)
    try:
        return {"value": called(*arguments)}
    except MnistlibError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"unfinished": f"The code needs more than {gigabytes:g} GB of memory."}
    except (SystemExit, KeyboardInterrupt) as error:
        return {"unfinished": f"The code ends the program: it calls exit() or raises {type(error).__name__}."}
    except Exception as error:
        return {"unfinished": f"The code cannot be examined: {type(error).__name__}: {error}"}


def main() -> None:
    """Answer on standard output, which the code called cannot reach by printing."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    json.dump(_answer(answers, float(sys.argv[1]), *sys.argv[2:]), answers)
    answers.flush()
    os._exit(0)  # threads and exit handlers of the code called have no say


if __name__ == "__main__":
    main()
