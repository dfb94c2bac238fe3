"""Curves that grow while a notebook trains."""

import math
import time
from collections.abc import Sequence

from IPython import get_ipython
from IPython.display import DisplayHandle, display

from mnistlib.report import plots
from mnistlib.runs.progress import MEASURED, Progress
from mnistlib.train import History

_REST = 20  # wait this many times as long as the last drawing took before drawing again: training comes first


class LiveCurves:
    """Curves drawn after each epoch into one output, which is replaced: `train_seeds(…, on_epoch=LiveCurves(mnist.split))`.

    They appear only where a front end is connected; papermill and nbconvert get no output.
    """

    def __init__(self, split: str) -> None:
        self.split, self.next_time = split, 0.0
        self.handle: DisplayHandle | None = None

    def __call__(self, so_far: Sequence[Progress]) -> None:
        """Draw the epochs so far, unless the last drawing is very recent."""
        interactive = getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False)  # papermill and nbconvert answer nothing
        if not interactive or (time.monotonic() < self.next_time and so_far[-1].left > 0):
            return
        start = time.monotonic()
        figure = plots.curves(by_seed(so_far), self.split)
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)
        self.next_time = time.monotonic() + _REST * (time.monotonic() - start)


def by_seed(so_far: Sequence[Progress]) -> list[History]:
    """Return one history per seed; epochs from before a resumed run began are NaN."""
    histories: dict[int, History] = {}
    for epoch in so_far:
        history = histories.setdefault(epoch.seed, History())
        for name in MEASURED:
            values = getattr(history, name)
            values.extend([math.nan] * (epoch.epoch - 1 - len(values)))
            values.append(getattr(epoch, name))
    return [histories[seed] for seed in sorted(histories)]
