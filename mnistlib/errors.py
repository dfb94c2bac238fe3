"""The project's own errors: one sentence each, shown without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MnistlibError(Exception):
    """Say in one sentence what is wrong and what is allowed."""

    def _render_traceback_(self) -> list[str]:
        """Return the sentence alone: IPython, and so Jupyter and papermill, shows this instead of frames."""
        return [f"{type(self).__name__}: {self}"]


class SettingError(MnistlibError):
    """A setting, parameter or recipe field is unknown or out of range."""


class AmbiguityError(SettingError):
    """A name fits several things."""


class DataError(MnistlibError):
    """Data cannot be found, downloaded or trusted."""


class ResultError(MnistlibError):
    """A stored result, checkpoint or training state cannot be read or trusted."""


class TrainingError(MnistlibError):
    """A training run could not go on."""


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'epochs'?" for the allowed name closest to `name`, or "" when none is close."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
