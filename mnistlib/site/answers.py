"""Where measurement and claim differ, and each study's answer from its own lines, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnistlib import form
from mnistlib.recipe import MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.standing import Standing

Lines = Sequence[Mapping[str, Any]]


def findings(standings: Sequence[Standing]) -> list[str]:
    """Return in sentences where measurement and claim differ."""
    found, judged = [], [each for each in standings if _place(each)]
    for place in ("above", "below"):
        names = [each.row.long_title + " (settings partly inferred)" * each.row.inferred for each in judged if _place(each) == place]
        if names:
            found.append(f"Claimed {place} the range of one seed more: {_listed(names)}.")
    known, inferred = ([each for each in judged if each.row.inferred == guess] for guess in (False, True))
    for some, whose in ((known, "their authors published all settings"), (inferred, "some settings had to be inferred")):
        if some:
            inside = form.of(sum(_place(each) == "inside" for each in some), len(some))
            found.append(f"Where {whose}, {inside} claims lie within the range of one seed more.")
    if judged:
        found[-1] += " By chance alone, one in twenty would lie outside."
    bold = [each for each in standings if each.row.claim.headline >= MIN_ACCURACY]
    if bold:
        kept = [each for each in bold if each.mean >= MIN_ACCURACY]
        shown = [each for each in kept if each.result.verdict and each.result.verdict.accuracy == "shown"]
        names = f" ({_listed([each.row.long_title for each in kept])})" if kept else ""
        found.append(
            f"{form.count(len(bold))} models claim the target. The mean of their seeds at the last epoch reaches it for "
            f"{_number(len(kept))}{names}, and with the whole interval for {_number(len(shown))}."
        )
        held, ends, n = (sum(getattr(each.result.summary, name) for each in bold) for name in ("n_held", "n_pass", "n_seeds"))
        ended = f"{form.count(ends)} end at the target, and {form.count(held)} hold it over the last epochs"
        found.append(f"Of their {form.count(n)} runs here, {ended}.")
    over = [each.row.long_title for each in standings if each.row.n_parameters >= MAX_PARAMETERS]
    if over:
        found.append(f"Not under {form.count(MAX_PARAMETERS)} parameters: {_listed(over)}.")
    wrong = [each.row for each in standings if each.row.said]
    if wrong:
        said = [f"{row.long_title} ({form.count(row.said)} printed, {form.count(row.n_parameters)} true)" for row in wrong]
        found.append(f"Published with a wrong number of parameters: {_listed(said)}.")
    return found


def _place(each: Standing) -> str:
    """Return where a model's claim lies: its best epoch, or its last one where no best was claimed."""
    return each.place() or each.place(best=False)


def _number(n: int) -> str:
    """Return a count in a sentence."""
    return form.count(n) if n else "none"


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def of(studies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the answers by the names of the studies."""
    special = {"epoch": epoch, "seed": seed, "rebuilt": rebuilt, "augmentation": augmentation, "machine": machine, "leak": leak}
    return {study["name"]: special.get(study["name"], differences)(study["lines"]) for study in studies}


def epoch(lines: Lines) -> str:
    """Say what choosing the epoch adds."""
    total, said = lines[:2]
    bounds = form.points_interval(total["interval"])
    own = f"Choosing the epoch adds {form.points(total['value'])} ({bounds}) to a seed"
    return f"{own}; the authors' own logs show {form.points(said['value'])}."


def seed(lines: Lines) -> str:
    """Say what two seeds differ by."""
    if lines[0]["kind"] != "spread" or len(lines) < 2 or lines[1]["kind"] != "size":
        return ""
    spread, apart = f"{100 * lines[0]['value']:.3f}", f"{100 * lines[1]['value']:.2f}"
    return (
        f"Near the target, seeds spread by {spread} points, and two of them differ by {apart} points on average; "
        "single runs closer than that say nothing."
    )


def rebuilt(lines: Lines) -> str:
    """Say how many recipes train as the published ones did."""
    close = sum(abs(line["value"]) <= 0.002 for line in lines)
    return f"{form.of(close, len(lines))} train to within {form.percent(0.002, 1)[:-1]} points of the published running accuracy."


def augmentation(lines: Lines) -> str:
    """Say what augmentation alone gives against what was claimed for it."""
    claimed, own = lines[0], next((line for line in lines if line["what"].endswith("both together")), None)
    if own is None:
        return ""
    low, high = own["interval"]
    told = "told apart from none" if low > 0 or high < 0 else "not told apart from none"
    place = "inside" if low <= claimed["value"] <= high else "outside"
    return (
        f"{form.points(claimed['value'])} were claimed for all of it; augmentation alone gives {form.points(own['value'])} "
        f"({form.points_interval(own['interval'])}), {told}, and the claimed gain lies {place} that interval."
    )


def machine(lines: Lines) -> str:
    """Say whether seeds alone explain what two machines showed."""
    chance = next(line for line in lines if line["kind"] == "share")
    size = next(line for line in lines if line["kind"] == "size")
    return (
        f"Two seeds on one machine differ by {100 * size['value']:.2f} points or more with a chance of {form.percent(chance['value'], 0)}: "
        + ("it needs no other explanation." if chance["value"] > 0.05 else "that is rare enough to look for another cause.")
    )


def leak(lines: Lines) -> str:
    """Say what the leak adds to a report."""
    gains = [line for line in lines if line["what"].endswith("above what is honest")]
    told = [f"{form.points(line['value'])} ({line['what'].partition(':')[0]})" for line in gains]
    clear = form.of(sum(bool(line["interval"]) and line["interval"][0] > 0 for line in gains), len(gains))
    return f"What is reported under the leak lies above what is honest by {_listed(told)}; {clear} told apart from none." if told else ""


def differences(lines: Lines) -> str:
    """Say which differences are told apart from none."""
    judged = [line for line in lines if line["kind"] == "difference" and line["interval"]]
    if not judged:
        return ""
    clear = [line for line in judged if line["interval"][0] > 0 or line["interval"][1] < 0]
    names = "; ".join(f"{line['what']}, {form.points(line['value'])}" for line in clear)
    return f"{form.of(len(clear), len(judged))} differences are told apart from none{': ' + names if names else ''}."
