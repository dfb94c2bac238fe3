"""Seeds of one step of this series, trained by a script; the process prints its timings."""

from __future__ import annotations

from benchmarks.clock import Clock

CLOCK = Clock()  # before the imports, which it times

import argparse  # noqa: E402
import tempfile  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

from mnistlib import data, models, steps  # noqa: E402
from mnistlib.runs.seeds import train_seeds  # noqa: E402


def main() -> None:
    """Train the step that the command line names and print the timings."""
    CLOCK.lap("import")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=steps.STEPS)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--train-limit", type=int)
    parser.add_argument("--model")
    given = parser.parse_args()
    recipe = steps.get(given.step).recipe
    recipe = replace(recipe, epochs=given.epochs or recipe.epochs, model=given.model or recipe.model)
    mnist = data.load(train_limit=given.train_limit)
    CLOCK.lap("data")
    with tempfile.TemporaryDirectory() as folder:
        runs = train_seeds(recipe, mnist, range(given.seeds), workers=given.workers, results_dir=Path(folder))
        CLOCK.lap("start workers")
    side_by_side = min(given.workers, given.seeds)
    CLOCK.move(sum(sum(run.history.seconds) for run in runs) / side_by_side, "start workers", "train")
    CLOCK.finish(
        epochs=[value for run in runs for value in run.history.seconds],
        accuracy=[run.history.eval_accuracy[-1] for run in runs],
        n_parameters=sum(value.numel() for value in models.build(recipe.model).parameters()),
    )


if __name__ == "__main__":
    main()
