"""What a Ray worker does: run one job in a process of its own and wait for it.

The worker holds this module for as long as a job takes, so it imports nothing large. The job's process ends when the worker does,
however that happens.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SHELL = ("sh", "-c", '{ "$@" <&3 & } 3<&0; wait $!', "sh")  # Ray kills a worker's children, but not theirs, which end in an orderly way
LIBRARY = str(Path(__file__).resolve().parents[2])


def run_here(notebook: str, parameters: str, folder: str) -> tuple[None, int, str]:
    """Run a job in its final folder; return None, for no files to bring home, the exit code and all that it printed.

    `parameters` is YAML. What a stopped job has trained stays in the folder, so that it resumes there.
    """
    return None, *_run(["job", notebook, "--out", folder, "-y", parameters, "--exit-with-parent"], cwd=None)


def run_there(
    notebook: str, parameters: str, folder: str, sent: Mapping[str, bytes], left_out: str
) -> tuple[dict[str, bytes] | None, int, str]:
    """Run a job on a cluster's machine in a scratch folder; return the files it left, the exit code and all that it printed.

    `parameters` is YAML, `sent` the project that the job runs in. Files below `left_out` are not returned. Texts name `folder`, where
    the files will go, in place of the scratch folder. That is removed in any case: by the job itself if this worker is killed. Where
    `folder` is in S3, the job keeps its files there itself, and none are returned.
    """
    in_s3 = folder.startswith("s3://")
    with tempfile.TemporaryDirectory(prefix="mnistlib-", ignore_cleanup_errors=True) as scratch:
        out = Path(scratch, "out")
        for name, body in sent.items():
            path = Path(scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        words = ["job", f"notebooks/{notebook}", "--out", folder if in_s3 else str(out), "-y", parameters]
        code, said = _run([*words, "--exit-with-parent", "--scratch", scratch], cwd=scratch)
        if in_s3:
            return None, code, said
        paths = {path.relative_to(out): path for path in sorted(out.rglob("*")) if path.is_file()}
        left = {name.as_posix(): path.read_bytes() for name, path in paths.items() if name.parts[0] != left_out}
    texts = {name for name in left if "/" not in name}  # record, log, notebook and page
    named = {name: body.replace(str(out).encode(), folder.encode()) if name in texts else body for name, body in left.items()}
    return named, code, said.replace(str(out), folder)


def _run(words: Sequence[str], cwd: str | None) -> tuple[int, str]:
    library = filter(None, (os.environ.get("PYTHONPATH"), LIBRARY))  # on a cluster, the library that was sent comes first
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(library)}
    with subprocess.Popen([*SHELL, sys.executable, "-m", "cloud", *words], cwd=cwd, env=environment, **pipes) as process:
        try:
            said = process.stdout.read().decode(errors="replace")
        except BaseException:
            process.terminate()
            raise
    return process.returncode, said
