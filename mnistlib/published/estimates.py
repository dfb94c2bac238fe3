"""Estimates with their intervals, and the results that a study takes them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mnistlib import data, formatting
from mnistlib.published.registry import ROWS
from mnistlib.report.result import Result
from mnistlib.stats import intervals
from mnistlib.stats import summary as evidence


@dataclass(frozen=True)
class Line:
    """One estimate of a study: a text's worth of figures, made into words by the page."""

    what: str
    kind: str  # "accuracy" (a fraction); "difference", which is told from none or not, "gain", "size" or "spread"; "share" or "count"
    value: float
    interval: tuple[float, float] | None  # 95%
    n: str  # what it rests on: "5 and 3 seeds"
    note: str = ""
    role: str = ""  # what the study's answer takes it for, "" where it takes it for nothing


@dataclass
class Study:
    """A question and what stored trials answer."""

    name: str
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """Results by name, and which test images each of their seeds gets wrong."""

    results: Mapping[str, Result]
    wrong: Mapping[str, np.ndarray]  # bool [n_seeds, n_images]
    mnist: data.Mnist

    def has(self, *names: str) -> bool:
        """Say whether there are results of all these names."""
        return all(name in self.results for name in names)

    def rows(self) -> list[str]:
        """Return the published rows that there are results of, in their order."""
        return [name for name in ROWS if name in self.results]

    def seeds(self, *names: str) -> str:
        """Return how many seeds results have: "5 and 3 seeds"."""
        counts = [len(self.results[name].runs) for name in names]
        return formatting.listed([*map(formatting.count, counts[:-1]), formatting.counted(counts[-1], "seed")])

    def difference(self, what: str, now: str, before: str, note: str = "") -> list[Line]:
        """Return the line that compares two results, nothing where either is missing."""
        if not self.has(now, before):
            return []
        test = self.mnist.test
        told = evidence.difference(self.wrong[now], self.wrong[before], test.writers, test.groups, before)
        return [Line(what, "difference", told.mean, told.interval, self.seeds(now, before), note)]

    def effect(self, what: str, now: Sequence[str], before: Sequence[str], role: str = "") -> list[Line]:
        """Return the mean difference between two sets of results, each weighed alike; nothing where one is missing."""
        if not self.has(*now, *before):
            return []
        test, means = self.mnist.test, [float(1 - self.wrong[name].mean()) for name in (*now, *before)]
        drawn = intervals.resample([self.wrong[name] for name in (*now, *before)], test.writers, test.groups)
        value = float(np.mean(means[: len(now)]) - np.mean(means[len(now) :]))
        bounds = intervals.middle(drawn[:, : len(now)].mean(1) - drawn[:, len(now) :].mean(1))
        return [Line(what, "difference", value, bounds, self.seeds(*now, *before), role=role)]

    def accuracy(self, what: str, name: str, note: str = "") -> list[Line]:
        """Return the line of a result's mean."""
        if not self.has(name):
            return []
        summary = self.results[name].summary
        return [Line(what, "accuracy", summary.final_mean, summary.interval, self.seeds(name), note)]
