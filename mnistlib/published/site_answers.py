"""Where measurement and claim differ, and each study's answer from its own lines, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mnistlib import formatting
from mnistlib.published.replication import Standing
from mnistlib.recipe import MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import overview

TWO_SIDED = 1.96  # standard deviations that hold 95% of a normal distribution
Lines = Sequence[Mapping[str, Any]]


def findings(standings: Sequence[Standing]) -> list[str]:
    """Return in sentences where measurement and claim differ."""
    found = []
    for what, best in (("best epoch", True), ("last epoch", False)):
        judged = [each for each in standings if each.place(best)]
        for place in ("above", "below"):
            names = [each.row.long_title + " (partly inferred)" * each.row.inferred for each in judged if each.place(best) == place]
            if names:
                found.append(f"Claimed {what} {place} where one further seed would lie: {formatting.listed(names)}.")
        known, inferred = ([each for each in judged if each.row.inferred == guess] for guess in (False, True))
        told = [
            f"{formatting.of(sum(each.place(best) in ('inside', 'kept') for each in some), len(some))} {whose}"
            for some, whose in ((known, "where the author published all of the recipe"), (inferred, "where part of it had to be inferred"))
            if some
        ]
        if told:
            found.append(f"Claimed {what} where one further seed might lie: {', '.join(told)}. By chance alone, one in twenty would not.")
    bold = [each for each in standings if each.row.claim.headline >= MIN_ACCURACY]
    if bold:
        kept = [each for each in bold if each.mean >= MIN_ACCURACY]
        shown = [each for each in kept if each.result.verdict and each.result.verdict.accuracy == "shown"]
        names = f" ({formatting.listed([each.row.long_title for each in kept])})" if kept else ""
        found.append(
            f"Models that claim the target: {formatting.count(len(bold))}. The mean of their seeds at the last epoch reaches it for "
            f"{_number(len(kept))}{names}, and with the whole interval for {_number(len(shown))}."
        )
        held, ends, n = (sum(getattr(each.result.summary, name) for each in bold) for name in ("n_held", "n_pass", "n_seeds"))
        found.append(
            f"Their runs here that end at the target: {formatting.of(ends, n)}; that hold it over the last epochs: {formatting.of(held, n)}."
        )
    over = [each.row.long_title for each in standings if each.row.n_parameters >= MAX_PARAMETERS]
    if over:
        found.append(f"Not under {formatting.count(MAX_PARAMETERS)} parameters: {formatting.listed(over)}.")
    wrong = [each.row for each in standings if each.row.said]
    if wrong:
        said = [
            f"{row.long_title} ({formatting.count(row.said)} printed{', later put right' * row.corrected}; {formatting.count(row.n_parameters)} true)"
            for row in wrong
        ]
        found.append(f"Published with a wrong number of parameters: {formatting.listed(said)}.")
    return found


def _number(n: int) -> str:
    """Return a count in a sentence."""
    return formatting.count(n) if n else "none"


def of(studies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the answers by the names of the studies."""
    special = {"epoch": epoch, "seed": seed, "rebuilt": rebuilt, "augmentation": augmentation, "machine": machine, "leak": leak}
    return {study["name"]: special.get(study["name"], differences)(study["lines"]) for study in studies}


def _role(lines: Lines, role: str) -> Mapping[str, Any] | None:
    """Return the line that has a role in its study, None where there is none."""
    return next((line for line in lines if line["role"] == role), None)


def epoch(lines: Lines) -> str:
    """Say what choosing the epoch adds."""
    measured, reported = _role(lines, "measured"), _role(lines, "reported")
    if measured is None:
        return ""
    bounds = formatting.points_interval(measured["interval"])
    own = f"Choosing the epoch adds {formatting.points(measured['value'])} ({bounds}) to a seed"
    return own + (f"; the authors' own logs show {formatting.points(reported['value'])}." if reported else ".")


def seed(lines: Lines) -> str:
    """Say what two seeds differ by."""
    pooled = _role(lines, "pooled")
    if pooled is None:
        return ""
    spread, apart = f"{100 * pooled['value']:.3f}", f"{100 * TWO_SIDED * math.sqrt(2) * pooled['value']:.2f}"
    return (
        f"Near the target, seeds spread by {spread} points: single runs of two recipes must differ by more than {apart} points before "
        "chance stops being enough to explain it."
    )


def rebuilt(lines: Lines) -> str:
    """Say how many recipes train as the published ones did."""
    close = sum(bool(line["interval"]) and line["interval"][0] <= 0 <= line["interval"][1] for line in lines)
    return f"Published running accuracies that one further run here might show: {formatting.of(close, len(lines))}."


def augmentation(lines: Lines) -> str:
    """Say what augmentation alone gives against what was claimed for it."""
    claimed, own = _role(lines, "claimed"), _role(lines, "alone")
    if claimed is None or own is None:
        return ""
    low, high = own["interval"]
    told = "told apart from none" if low > 0 or high < 0 else "not told apart from none"
    return (
        f"{formatting.points(claimed['value'])} were claimed for all of it, from one run each; augmentation alone gives "
        f"{formatting.points(own['value'])} ({formatting.points_interval(own['interval'])}), {told}."
    )


def machine(lines: Lines) -> str:
    """Say whether seeds alone explain what two machines showed."""
    chance, size = _role(lines, "chance"), _role(lines, "size")
    if chance is None or size is None:
        return ""
    return (
        f"Two seeds on one machine differ by {100 * size['value']:.2f} points or more with a chance of {formatting.percent(chance['value'], 0)}: "
        + ("chance alone may explain it." if chance["value"] > 1 - overview.LEVEL else "that is rare enough to look for another cause.")
    )


def leak(lines: Lines) -> str:
    """Say what the leak adds to a report."""
    gains = [line for line in lines if line["role"]]
    if not gains:
        return ""
    told = formatting.listed([f"{formatting.points(line['value'])} ({line['role']})" for line in gains])
    clear = sum(bool(line["interval"]) and line["interval"][0] > 0 for line in gains)
    return (
        f"What is reported under the leak differs from what is honest by {told}; told apart from none: {formatting.of(clear, len(gains))}."
    )


def differences(lines: Lines) -> str:
    """Say which differences are told apart from none."""
    judged = [line for line in lines if line["kind"] == "difference" and line["interval"]]
    if not judged:
        return ""
    clear = [line for line in judged if line["interval"][0] > 0 or line["interval"][1] < 0]
    names = "; ".join(f"{line['what']}, {formatting.points(line['value'])}" for line in clear)
    return f"Differences told apart from none: {formatting.of(len(clear), len(judged))}{'. ' + names if names else ''}."
