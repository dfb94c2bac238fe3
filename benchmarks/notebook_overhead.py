"""What a notebook costs without its cells: prints the seconds of papermill with a kernel, and those of making a page."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import nbformat

from mnistlib import files


def main() -> None:
    """Execute an empty notebook, make a page, and print the seconds of each."""
    clock = time.time()
    import papermill

    with tempfile.TemporaryDirectory() as folder:
        empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("None")])
        empty.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        source, done = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
        nbformat.write(empty, source)
        papermill.execute_notebook(source, done, progress_bar=False)
        executed = time.time()
        from mnistlib.report import page

        step = files.root() / "build" / "benchmarks" / "05_fast.ipynb"
        page.build(step if step.exists() else done, Path(folder) / "page.html")
    print(json.dumps({"papermill and kernel": executed - clock, "page": time.time() - executed}))


if __name__ == "__main__":
    main()
