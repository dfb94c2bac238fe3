"""Run one notebook through papermill in a fresh kernel and write its page; a run that fails replaces nothing."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from mnistlib import files, steps
from mnistlib.errors import MnistlibError, SettingError, nearest
from mnistlib.logs import log
from mnistlib.notebook import params
from mnistlib.notebook.kernel import Kernel
from mnistlib.notebook.params import Params
from mnistlib.notebook.signals import Stopping
from mnistlib.published import repository
from mnistlib.report import page as pages
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.report.tables import RESULT_MIMETYPE
from mnistlib.runs import seeds

LOG_TAIL = 20  # lines of a run's log that its page shows
FULL_STOPS = (".", "!", "?")


class RunError(MnistlibError):
    """A notebook did not run to its end."""

    code = 1  # the command's exit code; a bad request has another


@dataclass(frozen=True)
class Done:
    """A notebook that ran to its end."""

    executed: Path  # the notebook with its outputs
    page: Path  # the HTML page made of it
    result: Result | None  # None for a notebook that hands over none
    seconds: float


def find(name: str) -> Path:
    """Return a notebook by its path or by its name in the series; an unknown one raises SettingError with the nearest."""
    for path in (Path(name), files.notebook(name.removesuffix(".ipynb"))):
        if path.suffix == ".ipynb" and path.is_file():
            return path.resolve()
    own = files.root() / "notebooks"
    names = sorted(path.stem for path in (own if own.is_dir() else files.INSTALLED).glob("*.ipynb"))
    raise SettingError(f"There is no notebook {name!r}.{nearest(name, names)} The notebooks are {', '.join(names) or 'none'}.")


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Return a notebook's parameters and their values, from its tagged cell.

    Papermill's own inspection overlooks a parameter whose annotation holds a bar.
    """
    try:
        story = nbformat.read(notebook, as_version=4)
    except FileNotFoundError:
        raise SettingError(f"There is no notebook {notebook.name}.") from None
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError(f"{notebook.name} cannot be read as a notebook ({type(error).__name__}).") from None
    tagged = [cell.source for cell in story.cells if "parameters" in cell.metadata.get("tags", ())]
    return params.assigned(tagged[0]) if tagged else {}


def full_names(notebook: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with the full name of the published model that they name; raise SettingError for an unknown one."""
    given = dict(parameters)
    if "model" in given and notebook.stem == repository.NOTEBOOK:
        given["model"] = repository.get(given["model"]).name
    return given


def check(notebook: Path, given: Mapping[str, Any], here: bool = True) -> dict[str, Any]:
    """Return all parameters of a notebook with the values given; raise SettingError for what it would refuse once it runs.

    Without `here` it may run elsewhere, so neither device nor results folder is tried.
    """
    defaults = parameters_of(notebook)
    params.check_names(given, list(defaults))
    values = defaults | dict(given)
    if {field.name for field in fields(Params)} <= set(values):
        step = steps.get(str(values["model"])) if "model" in values else steps.STEPS.get(notebook.stem)
        own = {"seeds": step.seeds} if step is not None and values["seeds"] is None else {}
        checked = params.read(values | own, write=here)
        if step is not None:
            checked.recipe(step.recipe)
    return values


def run(
    notebook: Path,
    out_dir: Path,
    parameters: Mapping[str, Any] | None = None,
    page: Path | None = None,
    site: pages.Site | None = None,
    heading: str = "",
    log_file: Path | None = None,
) -> Done:
    """Execute a notebook in its own folder, write it and its page, and return where they are.

    The executed notebook goes to `out_dir`, the page to `page` or beside it; `site` and `heading` are handed to
    `report.page.build`, and so is the end of `log_file`. What the notebook prints is passed on as it comes.

    Raises:
        SettingError: a bad parameter, before a kernel is started, or a folder that cannot be written.
        RunError: a cell failed; the notebook up to there is kept as NAME.failed.ipynb, with its page. The previous page stays.
        Stopped: the run was stopped; the kernel and all that it started are gone.
    """
    clock = time.perf_counter()
    values = check(notebook, parameters or {})
    out_dir = files.writable(out_dir.resolve())
    executed, failed = out_dir / notebook.name, out_dir / f"{notebook.stem}.failed.ipynb"
    page = page or out_dir / f"{notebook.stem}.html"
    with Stopping() as stopping, files.writing(tempfile.gettempdir()), tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        draft = Path(scratch) / "story.ipynb"
        try:
            story = _execute(notebook, draft, dict(parameters or {}), stopping)
            files.write(executed, nbformat.writes(story))
            for old in (failed, failed.with_suffix(".html")):
                old.unlink(missing_ok=True)
            result = _result(story, values)
            lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines() if log_file else []
            tail = [line for line in lines if line.strip()][-LOG_TAIL:]
            pages.build(executed, page, site=site, result=result, heading=heading, log_tail=tail)
        except BaseException as error:
            _resume(draft, values)
            if isinstance(error, _Failed):
                raise RunError(f"{error} {_keep(error, failed)}") from None
            raise
    return Done(executed, page, result, time.perf_counter() - clock)


class _Failed(Exception):
    """A cell failed: a sentence that says which and why, and the notebook up to there."""

    def __init__(self, sentence: str, story: nbformat.NotebookNode) -> None:
        super().__init__(sentence)
        self.story = story


def _keep(failure: _Failed, path: Path) -> str:
    try:
        files.write(path, nbformat.writes(failure.story))
        pages.build(path, path.with_suffix(".html"), failed=str(failure))
    except files.DiskError as error:
        return f"The notebook up to there could not be kept: {error}"
    return f"The notebook up to there is {path}."


def _resume(draft: Path, values: Mapping[str, Any]) -> None:
    """Have the next run take what was trained, where a notebook has recorded its result and its page failed all the same."""
    with contextlib.suppress(OSError, MnistlibError, ValueError):  # no result so far, or no draft
        result = _result(nbformat.read(draft, as_version=4), values)
        if result is not None:
            seeds.unreported(_results_dir(values), [run.key for run in result.runs])


def _execute(notebook: Path, draft: Path, parameters: dict[str, Any], stopping: Stopping) -> nbformat.NotebookNode:
    begun = 0  # the place of the cell that was started last

    def begin(cell: nbformat.NotebookNode, cell_index: int) -> None:
        nonlocal begun
        stopping.check()
        begun = cell_index
        for heading in pages.headings(cell.source) if cell.cell_type == "markdown" else ():
            log.info("── %s", heading)

    place, reason = None, ""
    try:
        with stopping.deferred():
            papermill.execute_notebook(
                _literally(notebook),
                _literally(draft),
                parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                stdout_file=_Passing(sys.stdout, stopping),
                stderr_file=_Passing(sys.stderr, stopping),
                cwd=notebook.parent,
                kernel_manager_class=Kernel,
                shutdown_kernel="immediate",  # all cells have run; a polite end takes two seconds
                on_cell_start=begin,
            )
    except PapermillExecutionError as error:
        reason = (f"{error.ename}: {error.evalue}".splitlines() or [""])[0].rstrip(": ")
    except DeadKernelError:
        place, reason = begun, "the kernel died, often for lack of memory."
    except RuntimeError as error:
        raise RunError(f"The kernel for {notebook.name} did not start ({error}).") from None
    story = nbformat.read(draft, as_version=4)
    story.metadata.papermill.update(input_path=notebook.name, output_path=notebook.name)
    place = _unfinished(story) if place is None else place
    if place is not None:
        reason = reason or "it ended the notebook early."
        reason += "" if reason.endswith(FULL_STOPS) else "."
        raise _Failed(f"{notebook.name} failed in {_where(story, place)}: {reason}", story)
    return story


class _Passing:
    """Pass on what a notebook prints until it is stopped; what its processes print of their end is of no use."""

    def __init__(self, stream: TextIO, stopping: Stopping) -> None:
        self.stream, self.stopping = stream, stopping

    def write(self, text: str) -> None:
        if not self.stopping.requested:
            self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def _unfinished(story: nbformat.NotebookNode) -> int | None:
    for place, cell in enumerate(story.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        status = cell.metadata.get("papermill", {}).get("status")
        if status != "completed" or cell.execution_count is None or any(output.output_type == "error" for output in cell.outputs):
            return place
    return None


def _where(story: nbformat.NotebookNode, place: int) -> str:
    above = [heading for cell in story.cells[:place] if cell.cell_type == "markdown" for heading in pages.headings(cell.source)]
    number = story.cells[place].execution_count
    name = f"cell In [{number}]" if number else "a cell"
    return f"{name} under {above[-1]!r}" if above else name


def _literally(path: Path) -> str:
    """Return a path for papermill, which takes braces for fields to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _results_dir(values: Mapping[str, Any]) -> Path:
    return files.resolve(values.get("results_dir") or "build")


def _result(story: nbformat.NotebookNode, values: Mapping[str, Any]) -> Result | None:
    outputs = [output.get("data", {}) for cell in story.cells for output in cell.get("outputs", ())]
    found = [data[RESULT_MIMETYPE]["result"] for data in outputs if RESULT_MIMETYPE in data]
    return results.read(_results_dir(values) / found[-1]) if found else None
