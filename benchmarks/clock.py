"""A clock for a whole process: it starts before the process does, and gives every second to a named part."""

from __future__ import annotations

import json
import os
import time

BEGAN = "MNISTLIB_BENCHMARK_BEGAN"  # environment variable: when the process was started


class Clock:
    """Seconds by part from the start of the process; the remainder is "rest"."""

    def __init__(self) -> None:
        self.began = float(os.environ.get(BEGAN, time.time()))
        self.last = self.began
        self.parts: dict[str, float] = {}

    def lap(self, part: str) -> float:
        """Give the seconds since the last lap to a part, and return them."""
        now = time.time()
        seconds, self.last = now - self.last, now
        self.parts[part] = self.parts.get(part, 0.0) + seconds
        return seconds

    def move(self, seconds: float, source: str, target: str) -> None:
        """Take seconds from one part and give them to another."""
        self.parts[source] -= seconds
        self.parts[target] = self.parts.get(target, 0.0) + seconds

    def finish(self, **about: object) -> None:
        """Print one line of JSON: the total, all parts, and whatever else is given."""
        self.lap("rest")
        print(json.dumps({"seconds": time.time() - self.began, "parts": self.parts, **about}), flush=True)
