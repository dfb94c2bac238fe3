"""The model card of the nets, and the metadata in their files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mnistlib import data, formatting, models, predict, steps
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.report import model_summary, page
from mnistlib.report.result import Result
from mnistlib.runs import Run
from mnistlib.stats.misclassified import LABEL_ERRORS
from website import index, site
from website.drawing.page import SEED
from website.takeaway import export

FOLDER = Path(__file__).parent
DATASET = "ylecun/mnist"  # MNIST's name on the Hugging Face Hub


def run(found: Result) -> Run:
    """Return the run whose weights are given away."""
    return next(run for run in found.runs if run.seed == SEED)


def metadata(found: Result) -> dict[str, str]:
    """Return what both files of a net say about it; accuracy is a fraction of the test images."""
    values = {"step": found.step, "seed": SEED, "model": found.model, "parameters": found.n_parameters, "accuracy": run(found).final}
    return {"format": "pt"} | {name: str(value) for name, value in values.items()} | {"licence": site.citation()["license"]}


def text(results: Sequence[Result]) -> str:
    """Return the model card of the nets of some results."""
    first, images = results[0], data.load()
    chosen = next(found for found in results if found.step == index.HEADLINE)
    top, left = (predict.SIDE - predict.BOX) // 2, predict.SIDE // 2 - 1
    return page.render(
        "card.md.j2",
        FOLDER,
        front=yaml.safe_dump(front(results), sort_keys=False, allow_unicode=True),
        nets=[about(found) for found in results],
        chosen=chosen,
        facts=list(metadata(first)),
        seed=SEED,
        side=predict.SIDE,
        box=predict.BOX,
        opset=export.OPSET,
        stroke=f"{top}:{top + predict.BOX}, {left}:{left + 2}",
        n_train=formatting.count(first.n_train),
        n_test=formatting.count(first.n_eval),
        train=groups(images.train),
        test=groups(images.eval),
        n_disputed=formatting.count(len(LABEL_ERRORS)),
        citation=site.citation(),
    )


def front(results: Sequence[Result]) -> dict[str, Any]:
    """Return the card's front matter, in the form of the Hugging Face Hub."""
    dataset = {"name": "MNIST", "type": DATASET, "split": "test"}
    task = {"type": "image-classification", "name": "Image classification"}
    return {
        "license": site.citation()["license"].lower(),
        "library_name": "pytorch",
        "pipeline_tag": task["type"],
        "tags": ["mnist", "handwritten-digits", "small-networks", "safetensors", "onnx"],
        "datasets": [DATASET],
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": found.step,
                "results": [
                    {
                        "task": dict(task),
                        "dataset": dict(dataset),
                        "metrics": [
                            {"type": "accuracy", "name": f"Accuracy, seed {SEED}", "value": run(found).final},
                            {
                                "type": "accuracy",
                                "name": f"Accuracy, mean of {formatting.counted(found.summary.n_seeds, 'seed')}",
                                "value": found.summary.final_mean,
                            },
                        ],
                    }
                ],
            }
            for found in results
        ],
    }


def about(found: Result) -> dict[str, str]:
    """Return a net's layers and its row of the table of results."""
    step, summary = steps.get(found.step), found.summary
    layers = model_summary.of(models.build(found.recipe.model, found.recipe.dropout)).layers
    return {
        "name": found.step,
        "title": step.title,
        "report": step.beside or step.name,
        "layers": "; ".join(layer.kind for layer in layers),
        "parameters": formatting.count(found.n_parameters),
        "macs": formatting.count(found.n_macs),
        "epochs": formatting.count(found.epochs),
        "accuracy": formatting.percent(run(found).final),
        "mean": formatting.percent(summary.final_mean, formatting.digits_against(summary.final_mean, MIN_ACCURACY)),
        "interval": formatting.against(summary.interval, MIN_ACCURACY),
        "seeds": formatting.count(summary.n_seeds),
    }


def groups(images: data.ImageSet) -> dict[str, str]:
    """Return how many images are from students and from census employees, and how many writers these are."""
    students = images.groups == data.STUDENTS
    counts = {}
    for name, of in (("students", students), ("employees", ~students)):
        counts |= {name: int(of.sum()), f"{name}_writers": len(np.unique(images.writers[of]))}
    return {name: formatting.count(n) for name, n in counts.items()}
