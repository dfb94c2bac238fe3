"""The choice of each step, made on writers who are held out in turn, with every candidate and every run on record."""

import functools
import multiprocessing
import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from mnistlib import data, files, formatting, models, recipe_dict, steps
from mnistlib.data import Mnist
from mnistlib.errors import ResultError, SettingError, TrainingError, nearest
from mnistlib.logs import log
from mnistlib.recipe import MAX_PARAMETERS, Recipe
from mnistlib.report import model_summary, tables
from mnistlib.runs import cache, device, provenance, run, seeds
from mnistlib.stats import intervals
from selection import candidates
from selection.candidates import Arm, Candidate, Round, Search

FOLDS = 7  # of the training writers; the last one is held back and chooses nothing
SEEDS = tuple(range(FOLDS - 1))  # seed s is trained without fold s + 1 and evaluated on it, for every candidate alike
MAX_MACS = 500_000  # per image, so that five seeds train within five minutes on two cores


class Record:
    """The record of a choice as it grows: what was run is kept in reports/choices/<step>.json after every run."""

    def __init__(self, name: str, folds: Mnist) -> None:
        self.path, about = tables.choice_path(name), {"schema": 3, "step": name, "data": folds.sha256, "engine": cache.ENGINE}
        self.value = tables.choice(name) or {}
        if self.value.get("schema") != 3:  # what it says stands until the choice is made again
            self.value |= about | {"before": None if name in candidates.SEARCHES else steps.get(name).before, "runs": {}}
        if wrong := [word for word in ("data", "engine") if self.value[word] != about[word]]:
            raise ResultError(f"{self.path.name} was made with another {' and '.join(wrong)}; move it away to begin the search anew.")

    def add(self, key: str, made: dict[str, Any]) -> None:
        """Keep a finished run, and what is new in its provenance."""
        about, runs = made.pop("provenance", None), self.value["runs"]
        runs[key] = made
        if about:
            known = [self.value["provenance"]] if "provenance" in self.value else []
            self.value["provenance"] = provenance.combine([*known, about], sum(one.get("seconds", 0) for one in runs.values()))
        self.write()

    def write(self) -> None:
        """Write the record, whole."""
        files.write_signed(self.path, self.value)


def choose(name: str) -> dict[str, Any]:
    """Train every candidate of a step on each fold, those on record excepted, and write reports/choices/<step>.json."""
    known = [*candidates.CANDIDATES, *candidates.SEARCHES]
    if name not in known:
        raise SettingError(f"There is no choice {name!r}.{nearest(name, known)} The choices are {', '.join(known)}.")
    record = Record(name, data.load())
    if name in candidates.SEARCHES:
        in_rounds(candidates.SEARCHES[name], record)
    else:
        step = steps.get(name)
        arms = [Arm(candidate, candidates.recipe(step, candidate)) for candidate in candidates.CANDIDATES[name]]
        rows, about = measure(arms, {seed: fold(seed) for seed in SEEDS}, record)
        ended = [row for row in rows if "mean" in row]
        if not ended:
            raise ResultError(f"No candidate of {name} came to its end; the first says: {rows[0]['failed']}")
        record.value |= about | {"rule": rule(ended), "candidates": rows, "chosen": chosen(ended)}
        record.write()
    return record.value


def in_rounds(search: Search, record: Record) -> None:
    """Run a search round by round; a round that was run before takes what is on record."""
    base, kept, done = search.base, [], []
    for part in search.rounds:
        arms, fork = candidates.arms(part, base, kept, search.limit), part.fork and (base, part.fork)
        of_folds = {seed: fold(seed, part.last_fold) for seed in part.seeds or SEEDS}
        rows, about = measure(arms, of_folds, record, fork)
        ranked = sorted((row for row in rows if "mean" in row), key=lambda row: -row["mean"])
        made = about | {"name": part.name, "question": part.question, "base": recipe_dict.to_dict(base), "candidates": rows}
        if not ranked:
            raise ResultError(
                f"No candidate of the round {part.name!r} came to its end; the first says: {rows[0]['failed'] if rows else 'none'}"
            )
        if part.factors:
            whole = len(ranked) == len(rows)  # with arms missing, the effects would be mixed with one another: the base stays
            made["effects"] = effects(part, [(arm.levels, row["final"]) for arm, row in zip(arms, rows, strict=True)]) if whole else []
            better = {one["factor"]: part.factors[one["factor"]][one["value"] > 0] for one in made["effects"]}
            base = recipe_dict.with_overrides(base, better)
            kept = [Arm(Candidate("chosen values", "The better value of each setting."), base)]
        elif not part.decides:
            made["kept"] = [arms[0].candidate.name]
        elif not part.last_fold and not part.fork:
            made["kept"] = [row["name"] for row in by_time(ranked, part.at_least)[: part.keep]]
            kept = [arm for name in made["kept"] for arm in arms if arm.candidate.name == name]
            if part.epochs:  # a short training is for this round alone
                kept = [replace(arm, recipe=replace(arm.recipe, epochs=search.base.epochs)) for arm in kept]
            base = kept[0].recipe
        record.value["rounds"] = done = [*done, made]
        record.write()
    record.value["recipe"] = recipe_dict.to_dict(base)
    record.write()


def by_time(ranked: list[dict[str, Any]], at_least: float | None) -> list[dict[str, Any]]:
    """Return rows, given with the highest mean first, with those first that reach a mean in the least time; where none does, as given."""
    enough = [] if at_least is None else [row for row in ranked if row["mean"] >= at_least]
    return sorted(enough, key=lambda row: row["seconds"]) or ranked


def effects(part: Round, finals: Sequence[tuple[tuple[int, ...], Sequence[float]]]) -> list[dict[str, Any]]:
    """Return what the second value of each factor is worth against the first, with its interval over the folds."""
    found = []
    for place, name in enumerate(part.factors):
        sides = [[final for levels, final in finals if levels[place] == side] for side in (1, 0)]
        high, low = ([statistics.mean(fold) for fold in zip(*side, strict=True)] for side in sides)
        effect = intervals.welch([a - b for a, b in zip(high, low, strict=True)])
        found.append({"factor": name, "values": list(part.factors[name]), "value": effect.value, "interval": list(effect.interval)})
    return found


def fold(seed: int, last: bool = False) -> str:
    """Return the split that a seed is evaluated on: six folds take turns, the last one is for checks that choose nothing."""
    return f"fold {FOLDS if last else seed % (FOLDS - 1) + 1} of {FOLDS}"


def measure(
    arms: Sequence[Arm], splits: dict[int, str], record: Record, fork: tuple[Recipe, int] | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train every arm with every seed on its split, unless the record has the run; return a row per arm and what they share.

    With `fork`, a recipe and an epoch, all arms go on from that recipe's state after that epoch.
    """
    folds = {split: data.load(split) for split in splits.values()}
    tasks = {
        (place, seed): (arm.recipe, split, seed, fork) for place, arm in enumerate(arms) for seed, split in splits.items() if not arm.failed
    }
    keys = {place: key(task, folds[task[1]]) for place, task in tasks.items()}
    order = sorted(tasks, key=lambda place: place if fork else place[::-1])  # of endings, the arm that leaves states for the others first
    for name, made in trained({keys[place]: tasks[place] for place in order if keys[place] not in record.value["runs"]}):
        record.add(name, made)
        log.info(f"{record.value['step']}  {len(record.value['runs'])} runs  {made.get('failed') or formatting.percent(made['final'])}")
    runs = record.value["runs"]
    rows = [row(arm, [runs[keys[place, seed]] for seed in splits if not arm.failed]) for place, arm in enumerate(arms)]
    counts = {f"n_{part}": [len(getattr(folds[split], part).labels) for split in splits.values()] for part in ("train", "eval")}
    return rows, {"splits": list(splits.values()), "seeds": list(splits)} | counts


Task = tuple[Recipe, str, int, tuple[Recipe, int] | None]  # a recipe, a split, a seed; of an ending the recipe and the epoch before it


def key(task: Task, mnist: Mnist) -> str:
    """Return the key of a run, that of an ending with what came before it."""
    recipe, _, seed, fork = task
    own = cache.cache_key(recipe, mnist, seed)
    return own if fork is None or fork[0] == recipe else f"{own} after {fork[1]} of {cache.cache_key(fork[0], mnist, seed)}"


def trained(missing: dict[str, Task]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the key and the figures of every missing run as it ends, on all cores."""
    if not missing:
        return
    with ProcessPoolExecutor(min(device.n_cores(), len(missing)), multiprocessing.get_context("spawn"), seeds.begin_worker) as pool:
        try:
            tasks = {pool.submit(one, task): name for name, task in missing.items()}
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        except BaseException:  # nothing waits for the runs that are under way
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.kill()
            raise


def one(task: Task) -> dict[str, Any]:
    """Train one seed on a split and return its figures, or the sentence that says why it failed."""
    recipe, split, seed, fork = task
    mnist, clock = _load(split), time.time()
    try:
        made = run.train(recipe, mnist, seed, state=fork and late_state(*fork, mnist, seed))
    except TrainingError as error:
        return {"failed": str(error)}
    seconds = sum(made.history.seconds)
    about = provenance.collect(clock, seconds, "cpu", device.n_cores())
    figures = {"final": made.final, "loss": made.history.eval_loss[-1], "train_accuracy_clean": made.train_accuracy_clean}
    return figures | {"seconds": round(seconds, 1), "provenance": about}


def late_state(recipe: Recipe, epoch: int, mnist: Mnist, seed: int) -> run.State:
    """Return the state of a run after an epoch; it is kept in build/forks/ for other endings."""
    name = cache.cache_key(recipe, mnist, seed)
    path = cache.state_path(files.resolve(seeds.FOLDER) / "forks", f"{name}-{epoch}")

    def keep(state: run.State) -> None:
        if len(state.history.seconds) == epoch:
            cache.save_state(path, name, state)

    if cache.load_state(path, name) is None:
        run.train(recipe, mnist, seed, after_epoch=keep)
    return cache.load_state(path, name)


_load = functools.lru_cache(2)(data.load)


def row(arm: Arm, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row of a record: a candidate, its cost, and the means over its runs; or why it has none."""
    about = {"name": arm.candidate.name, "idea": arm.candidate.idea, "change": list(arm.candidate.change)}
    failed = arm.failed or next((made["failed"] for made in runs if "failed" in made), "")
    if failed:
        return about | {"failed": failed}
    net = model_summary.of(models.build(arm.recipe.model, arm.recipe.dropout))
    means = {name: statistics.mean(made[name] for made in runs) for name in ("loss", "train_accuracy_clean", "seconds")}
    final = [made["final"] for made in runs]
    spread = {"final": final, "mean": statistics.mean(final), "sd": statistics.stdev(final)}
    return about | {"recipe": recipe_dict.to_dict(arm.recipe), "n_parameters": net.n_parameters, "n_macs": net.n_macs} | means | spread


def rule(rows: Sequence[dict[str, Any]]) -> str:
    """Return in words how the choice among these candidates is made; `chosen` makes it."""
    text = f"the highest mean accuracy at the last epoch, over {formatting.count(len(SEEDS))} folds"
    if len({row["n_parameters"] for row in rows}) > 1:
        most = formatting.count(MAX_MACS)
        text += f", among the nets within the parameter limit that take at most {most} multiply-accumulates an image"
    return text if all(row["change"] for row in rows) else f"{text}. The recipe as it was is not among those to choose from"


def chosen(rows: Sequence[dict[str, Any]]) -> str:
    """Return the name of the candidate that the rule picks."""
    allowed = [row for row in rows if row["change"] and row["n_parameters"] < MAX_PARAMETERS and row["n_macs"] <= MAX_MACS]
    return max(allowed, key=lambda row: row["mean"])["name"]
