"""The arms of the studies: published rows with something changed that a study asks about, trained like them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mnistlib.published.originals import AWS_3, ROWS, UNDER_8K
from mnistlib.published.repository import HEADLINE_SEEDS, SEEDS, Row, adam, plain
from mnistlib.recipe import Steering


def _arm(
    of: str, change: str, title: str, n_parameters: int | None = None, n_seeds: int = SEEDS, against: str | None = None, **fields: Any
) -> Row:
    """Return a row with fields of its recipe changed, named after the change; `against` is what it is held against, else that row."""
    row = ROWS[of]
    recipe = replace(row.recipe, **fields)
    return Row(f"{of}-{change}", title, recipe, n_parameters or row.n_parameters, n_seeds=n_seeds, of=against or of)


BY_VALIDATION = Steering(by="validation", keep="best")
FOLDED = "002-model-3-by-validation"  # the arm that is cross-validated by writer, too
HONEST: dict[str, Any] = {"steering": BY_VALIDATION, "against": FOLDED}
ARMS: dict[str, Row] = {
    arm.name: arm
    for arm in (
        _arm("003-model-2", "augmented", "Model 2 with Model 3's augmentation alone", augment=AWS_3.augment),
        _arm("003-model-3", "unaugmented", "Model 3 without its augmentation", augment=None),
        _arm("001-gap", "half-dropout", "gap as in the committed source", dropout=0.05),
        _arm("001-gap", "plain-logits", "gap with plain logits", 6_770, model="001-gap-plain-logits"),
        _arm("003-model-3", "plain-logits", "Model 3 with plain logits", 7_296, model="003-model-2-plain-logits"),
        _arm("003-model-3", "relu-logits", "Model 3 with ReLU alone on its logits", 7_296, model="003-model-2-relu-logits"),
        _arm("003-model-3", "norm-logits", "Model 3 with normalization alone on its logits", model="003-model-2-norm-logits"),
        _arm("004-part-2", "plain-logits", "Part 2 with plain logits", 3_944, model="004-part-2-plain-logits"),
        _arm("000-model-4", "norm-first", "Model 4, normalization before ReLU", model="000-model-4-norm-first"),
        _arm("000-model-4", "group-norm", "Model 4 with group normalization", model="000-model-4-group-norm"),
        _arm("002-model-1", "by-validation", "Model_1, steered by validation", steering=BY_VALIDATION),
        _arm("002-model-2", "by-validation", "Model_2, steered by validation", steering=BY_VALIDATION),
        _arm("002-model-3", "by-validation", "Model_3, steered by validation", n_seeds=HEADLINE_SEEDS, steering=BY_VALIDATION),
        _arm("002-model-3", "augmented", "Model_3 by validation, augmented", **HONEST, augment=UNDER_8K.augment),
        _arm("002-model-3", "slow-adam", "Model_3 by validation, Adam at a tenth", **HONEST, optimizer=adam(0.001)),
        _arm("002-model-3", "sgd", "Model_3 by validation, SGD", **HONEST, optimizer=plain(0.1, nesterov=True)),
    )
}
FOLDS = 5
