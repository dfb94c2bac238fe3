"""Many seeds of a recipe: trained side by side or stacked, cached under a key, resumed, with provenance."""

from mnistlib.runs.run import Run, train
from mnistlib.runs.seeds import train_seeds

__all__ = ["Run", "train", "train_seeds"]
