"""One notebook, strictly: through papermill, in a fresh kernel, to a page; whole or not at all."""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from mnistlib import files
from mnistlib.errors import MnistlibError, SettingError, nearest
from mnistlib.notebook import params
from mnistlib.notebook.kernel import Kernel
from mnistlib.notebook.signals import Stopping

if TYPE_CHECKING:
    from mnistlib.report.result import Result

STOPS = (".", "!", "?")  # what a sentence may end in


class RunError(MnistlibError):
    """A notebook did not run to its end."""

    code = 1  # the command's exit code; a request that cannot be met ends with another


@dataclass(frozen=True)
class Done:
    """A notebook that ran to its end."""

    executed: Path  # the notebook with its outputs
    page: Path  # the HTML page made of it
    result: Result | None  # what it saved, where it is a step's and saved anything
    seconds: float


def find(name: str) -> Path:
    """Return a notebook by its path or, in notebooks/, by its name; an unknown one raises SettingError with the nearest."""
    for path in (Path(name), files.root() / "notebooks" / f"{name.removesuffix('.ipynb')}.ipynb"):
        if path.suffix == ".ipynb" and path.is_file():
            return path.resolve()
    folder = files.root() / "notebooks"
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    raise SettingError(f"There is no notebook {name!r}.{nearest(name, names)} The notebooks are {', '.join(names) or 'none'}.")


def run(
    notebook: Path,
    out_dir: Path,
    parameters: Mapping[str, Any] | None = None,
    page: Path | None = None,
    series: Mapping[str, str] | None = None,
    show: Callable[[str], Any] = lambda line: print(line, flush=True),
    heading: str = "",
    home: str = "",
) -> Done:
    """Execute a notebook in its own folder, write it and its page, and return where they are.

    The executed notebook goes to `out_dir`, the page to `page` or beside it; `series`, `heading` and `home` are handed to
    `site.pages`. What the notebook prints is passed on as it comes. Nothing is written before the end is reached, so the previous
    page stays where a run fails.

    Raises:
        SettingError: a parameter that the notebook does not have, or a folder that cannot be written.
        RunError: a cell failed; the notebook up to there is kept as NAME.failed.ipynb, with its page.
        Stopped: the run was stopped; the kernel and all that it started are gone.
    """
    clock, started = time.perf_counter(), time.time()
    threading.Thread(target=_prepare).start()  # what is needed at the end is imported while the kernel is at work
    parameters = dict(parameters or {})
    defaults = parameters_of(notebook)
    params.check_names(parameters, list(defaults))
    out_dir = files.writable(out_dir.resolve())
    executed, failed = out_dir / notebook.name, out_dir / f"{notebook.stem}.failed.ipynb"
    page = page or out_dir / f"{notebook.stem}.html"
    with Stopping() as stopping:
        try:
            story = _execute(notebook, parameters, show, stopping)
        except _Failed as failure:
            files.write(failed, nbformat.writes(failure.story))
            _page(failed, failed.with_suffix(".html"), None, None, "", "", str(failure))
            raise RunError(f"{failure} The notebook up to there is {failed}.") from None
        files.write(executed, nbformat.writes(story))
        for old in (failed, failed.with_suffix(".html")):
            old.unlink(missing_ok=True)
        given = defaults | parameters
        result = _result(_told(notebook, given), given, started)
        _page(executed, page, series, result, heading, home)
    return Done(executed, page, result, time.perf_counter() - clock)


def _prepare() -> None:
    """Import what results and pages need; it takes as long as a kernel takes to start."""
    from mnistlib.report import page as pages  # noqa: F401
    from mnistlib.report import results  # noqa: F401


def _page(executed: Path, page: Path, *about: Any) -> None:
    """Write the page of an executed notebook; `about` is what `site.pages` is told beside."""
    from mnistlib.report import page as pages

    pages.build(executed, page, *about)


class _Failed(Exception):
    """A cell failed: says which and why, and holds the notebook up to there where there is one."""

    def __init__(self, sentence: str, story: nbformat.NotebookNode) -> None:
        super().__init__(sentence)
        self.story = story


def _execute(notebook: Path, parameters: dict[str, Any], show: Callable[[str], Any], stopping: Stopping) -> nbformat.NotebookNode:
    """Return the executed notebook; its headings and what it prints are shown as they come."""
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as folder:
        draft = Path(folder) / "story.ipynb"
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
                    on_cell_start=lambda cell, cell_index: (stopping.halt(), _announce(cell, show)),
                )
        except PapermillExecutionError as error:
            reason = (f"{error.ename}: {error.evalue}".splitlines() or [""])[0].rstrip(": ")
        except DeadKernelError:
            reason = "the kernel died, often for lack of memory."
        except RuntimeError as error:
            raise RunError(f"The kernel for {notebook.name} did not start ({error}).") from None
        else:
            reason = ""
        story = nbformat.read(draft, as_version=4)
    story.metadata.papermill.update(input_path=notebook.name, output_path=notebook.name)
    place = _unfinished(story)
    if place is None and reason:  # the kernel died in the last cell, which counts as run once it has printed
        place = max(place for place, cell in enumerate(story.cells) if cell.cell_type == "code")
    if place is not None:
        reason = reason or "it ended the notebook early."
        raise _Failed(f"{notebook.name} failed in {_where(story, place)}: {reason if reason.endswith(STOPS) else reason + '.'}", story)
    return story


class _Passing:
    """Pass on what a notebook prints until it is stopped: what its processes say of their end helps nobody."""

    def __init__(self, stream: TextIO, stopping: Stopping) -> None:
        self.stream, self.stopping = stream, stopping

    def write(self, text: str) -> None:
        """Write text, unless the run has been stopped."""
        if not self.stopping.requested:
            self.stream.write(text)

    def flush(self) -> None:
        """Send what was written on its way."""
        self.stream.flush()


def _announce(cell: nbformat.NotebookNode, show: Callable[[str], Any]) -> None:
    """Show the headings of a Markdown cell when its turn comes."""
    if cell.cell_type == "markdown":
        for heading in headings(cell.source):
            show(f"── {heading}")


def headings(markdown: str) -> list[str]:
    """Return the headings of a Markdown text, without what is in fenced code."""
    plain = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return [text.strip() for text in re.findall(r"^#{1,6}\s+(.+)$", plain, flags=re.MULTILINE)]


def _unfinished(story: nbformat.NotebookNode) -> int | None:
    """Return the place of the first code cell that did not run to its end, None where all did."""
    for place, cell in enumerate(story.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        status = cell.metadata.get("papermill", {}).get("status")
        if status != "completed" or cell.execution_count is None or any(output.output_type == "error" for output in cell.outputs):
            return place
    return None


def _where(story: nbformat.NotebookNode, place: int) -> str:
    """Name a cell by its number and the heading above it."""
    above = [heading for cell in story.cells[:place] if cell.cell_type == "markdown" for heading in headings(cell.source)]
    number = story.cells[place].execution_count
    name = "a cell" if number is None else f"cell In [{number}]"
    return f"{name} under {above[-1]!r}" if above else name


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


def _literally(path: Path) -> str:
    """Return a path for papermill, which takes braces for fields to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _told(notebook: Path, given: Mapping[str, Any]) -> str:
    """Return the name under which a notebook keeps its result: a step's own, or that of the published row it was given."""
    if "row" not in given:
        return notebook.stem
    from mnistlib.published import registry

    return registry.get(str(given["row"])).name


def _result(step: str, parameters: Mapping[str, Any], started: float) -> Result | None:
    """Return what the run saved as a step's result, None where it saved nothing."""
    from mnistlib.report import results

    folder = files.resolve(str(parameters.get("results_dir") or "build"))
    for dataset in ("mnist", "digits"):
        path = results.base(folder, dataset) / "results" / f"{step}.json"
        if path.is_file() and path.stat().st_mtime >= started - 2:  # some file systems keep whole seconds
            return results.read(path)
    return None
