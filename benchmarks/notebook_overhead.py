"""What a notebook costs without its cells: prints the seconds of the imports, of papermill with a kernel, and of making a page."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from pathlib import Path

import nbformat

from mnistlib import files


def main() -> None:
    """Execute an empty notebook, make a page, and print the seconds of each."""
    gc.set_threshold(50_000)  # as `mnistlib report` does
    clock = time.time()
    import papermill

    from mnistlib.notebook import runner
    from mnistlib.report import page

    imported = time.time()
    with tempfile.TemporaryDirectory() as folder:
        empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("None")])
        empty.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        source, done = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
        nbformat.write(empty, source)
        papermill.execute_notebook(source, done, progress_bar=False, kernel_manager_class=runner.Kernel, shutdown_kernel="immediate")
        executed = time.time()
        step = files.root() / "build" / "benchmarks" / "05_fast.ipynb"
        page.build(step if step.exists() else done, Path(folder) / "page.html")
    print(json.dumps({"imports": imported - clock, "papermill and kernel": executed - imported, "page": time.time() - executed}))


if __name__ == "__main__":
    main()
