"""The seventeen published rows: recipes as their authors ran them, and what they reported of one seed each.

The five systems are public repositories for this exercise; facts were read there, code is our own. A claim's figures are its author's
and were not measured here. Where an author's settings are not known, `notes` says which were used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mnistlib.errors import SettingError, nearest
from mnistlib.recipe import Optimizer, Recipe, Steering
from mnistlib.schedules import OneCycle, Plateau, Stepped
from mnistlib.transforms import Affine, CentreCrop, ResizedCrop, Rotation

SYSTEMS = {
    "000": "antonyrajesh123/session7mnist_ec2",
    "001": "aayushkash/mnist_under_8k",
    "002": "Supreeth04/assignment-7",
    "003": "nikhiljaiswal/mnist-cnn-aws",
    "004": "Anusha-raju/MNIST-CNN",
}
N_TEST = 10_000  # test images, of which the curves below count the right ones
SEEDS, HEADLINE_SEEDS = 3, 5


@dataclass(frozen=True)
class Claim:
    """What an author reported of one run; accuracies are fractions of the test images."""

    where: str  # the machine, as far as it is known
    best: float | None  # at the best epoch, chosen on the test set
    final: float | None = None  # at the last epoch
    curve: tuple[int, ...] = ()  # test images right after each epoch, where a whole log was published


@dataclass(frozen=True)
class Row:
    """One published model, or a change to one that a study asks for."""

    name: str
    title: str
    recipe: Recipe
    n_parameters: int
    claims: tuple[Claim, ...] = ()
    said: int | None = None  # parameters as published, where that is wrong
    n_seeds: int = SEEDS
    notes: tuple[str, ...] = ()  # sentences that its page must show
    originals: tuple[str, ...] = ()  # names that the author's code gives it
    of: str = ""  # the row that it changes, for a study; "" for a published one

    @property
    def system(self) -> str:
        """Return the repository that the model comes from."""
        return SYSTEMS[self.name[:3]]

    @property
    def seeds(self) -> list[int]:
        """Return the seeds that it is trained with, fixed beforehand."""
        return list(range(self.n_seeds))

    @property
    def claim(self) -> Claim | None:
        """Return the claim that stands first: the author's headline."""
        return self.claims[0] if self.claims else None


def plain(lr: float, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Return SGD as torch has it: weight decay pulls everything."""
    return Optimizer(lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, decays="all")


def adam(lr: float) -> Optimizer:
    """Return Adam with torch's own settings."""
    return Optimizer(lr=lr, kind="adam", decays="all")


EC2 = Recipe(
    "000-model-4",
    optimizer=plain(0.01, nesterov=True, weight_decay=1e-4),
    schedule=Stepped(every=6, factor=0.1),
    augment=(Affine(degrees=10, shear=10), Rotation(degrees=7, fill=1), ResizedCrop(scale=(0.9, 1.0))),
    dropout=0.01,
    batch_size=64,
)
UNDER_8K = Recipe("001-gap", optimizer=adam(0.01), schedule=OneCycle(), augment=(Rotation(degrees=7, fill=1),), batch_size=64)
ASSIGNMENT = Recipe(
    "002-model-3", optimizer=adam(0.01), schedule=Plateau(factor=0.1, patience=3), dropout=0.15, steering=Steering(by="judged")
)
AWS = Recipe(
    "003-model-2", optimizer=plain(0.02, weight_decay=1e-4), schedule=Stepped(every=5, factor=0.5), dropout=0.05, batch_size=156
)
AWS_3 = replace(
    AWS,
    optimizer=plain(0.01),
    schedule=Stepped(every=8, factor=0.1),
    augment=(Rotation(degrees=3, fill=1), Affine(translate=0.05, scale=(0.98, 1.02), shear=2, fill=1)),
)
PARTS = Recipe("004-part-1", optimizer=plain(0.01), schedule=Stepped(every=1000))

UNKNOWN = (
    "Its author published no settings for this model: those of the committed training script are used, with the batches of its run on a CPU."
)
LEAK = (
    "As its author ran it, the learning rate is lowered where the accuracy on the test images stops growing: a leak. "
    "A second run of the same recipe goes by writers set aside from the training images instead."
)
CPU = Claim(
    "CPU",
    0.9948,
    0.9946,
    (9871, 9845, 9905, 9923, 9906, 9927, 9941, 9947, 9944, 9940, 9944, 9944, 9948, 9947, 9946),
)
ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            *("000-model-1", "Model 1", replace(EC2, model="000-model-1", dropout=0.05), 13_808),
            claims=(Claim("not said", 0.9940),),
            notes=(UNKNOWN,),
        ),
        Row(
            *("000-model-2", "Model 2", replace(EC2, model="000-model-2"), 5_636),
            claims=(Claim("not said", 0.9936),),
            notes=(UNKNOWN, "What its author calls group normalization is a convolution in groups; no normalization over groups is in it."),
        ),
        Row(
            *("000-model-3", "Model 3", replace(EC2, model="000-model-3"), 8_392),
            claims=(Claim("not said", 0.9849),),
            said=13_808,
            notes=(
                "The batches are those of its author's run on a CPU. What its author calls group normalization is a convolution in groups; "
                "no normalization over groups is in it.",
            ),
            originals=("Net3",),
        ),
        Row(
            *("000-model-4", "Model 4", EC2, 7_776),
            claims=(
                CPU,
                Claim(
                    *("EC2", 0.9942, 0.9936),
                    (9760, 9879, 9898, 9906, 9914, 9919, 9933, 9938, 9941, 9942, 9939, 9939, 9939, 9938, 9936),
                ),
            ),
            n_seeds=HEADLINE_SEEDS,
            notes=(UNKNOWN,),
        ),
        Row(
            *("001-relu", "relu", replace(UNDER_8K, model="001-relu"), 8_194),
            claims=(Claim("not said", 0.986),),
            said=7_824,
            notes=("Its author's script never trains it; it is given the settings of the others.",),
        ),
        Row(
            *("001-batchnorm", "batchnorm", replace(UNDER_8K, model="001-batchnorm"), 8_354),
            claims=(Claim("Apple GPU", 0.9943, 0.9941),),
        ),
        Row(
            *("001-dropout", "dropout", replace(UNDER_8K, model="001-dropout", dropout=0.05), 8_354),
            claims=(Claim("Apple GPU", 0.9952, 0.9951),),
            notes=("The committed layers are used; a summary pasted beside them shows another layout, with fewer dropouts.",),
        ),
        Row(
            *("001-gap", "gap", replace(UNDER_8K, dropout=0.1), 6_790),
            claims=(
                Claim("Colab, T4", 0.9946, 0.9941),
                Claim("EC2, L4", 0.9945, 0.9943),
                Claim("Apple GPU, dropout 0.05", 0.9934, 0.9934),
            ),
            n_seeds=HEADLINE_SEEDS,
            notes=("Dropout is that of the author's notebooks; the committed source has half as much.",),
            originals=("NetGAP",),
        ),
        Row(
            *("002-model-1", "Model_1", replace(ASSIGNMENT, model="002-model-1", dropout=0.0, epochs=10), 26_698),
            claims=(Claim("not said", 0.9863),),
            notes=(LEAK,),
            originals=("Model_1",),
        ),
        Row(
            *("002-model-2", "Model_2"),
            replace(ASSIGNMENT, model="002-model-2", optimizer=adam(0.005), dropout=0.2, epochs=12),
            15_106,
            claims=(Claim("not said", 0.9880),),
            notes=(LEAK,),
            originals=("Model_2",),
        ),
        Row(
            *("002-model-3", "Model_3", ASSIGNMENT, 4_506),
            claims=(Claim("not said", 0.9790),),
            n_seeds=HEADLINE_SEEDS,
            notes=(LEAK, "Its author's README names the exercise's target, not a result; the claim is what the model's own file says."),
            originals=("Model_3",),
        ),
        Row(
            *("003-model-1", "Model 1", replace(AWS, model="003-model-1"), 5_732),
            claims=(
                Claim(
                    *("Colab", 0.9929, 0.9921),
                    (9823, 9880, 9886, 9884, 9877, 9913, 9916, 9920, 9927, 9918, 9927, 9922, 9929, 9922, 9921),
                ),
            ),
        ),
        Row(
            *("003-model-2", "Model 2", AWS, 7_316),
            claims=(Claim("Colab", 0.9933, 0.9933),),
        ),
        Row(
            *("003-model-3", "Model 3", AWS_3, 7_316),
            claims=(
                Claim(
                    *("Colab", 0.9946, 0.9940),
                    (9781, 9866, 9865, 9902, 9908, 9929, 9928, 9920, 9942, 9939, 9943, 9943, 9942, 9946, 9940),
                ),
                Claim(
                    *("SageMaker", 0.9942, 0.9942),
                    (9850, 9878, 9881, 9914, 9912, 9916, 9912, 9923, 9932, 9934, 9937, 9932, 9940, 9941, 9942),
                ),
            ),
            n_seeds=HEADLINE_SEEDS,
        ),
        Row(
            *("004-part-1", "Part 1", PARTS, 8_716),
            claims=(Claim("Colab", 0.9887, 0.9886),),
        ),
        Row(
            *("004-part-2", "Part 2", replace(PARTS, model="004-part-2", dropout=0.01), 3_964),
            claims=(Claim("Colab", 0.9869, 0.9858),),
        ),
        Row(
            *("004-part-3", "Part 3"),
            replace(
                PARTS,
                model="004-part-3",
                optimizer=plain(0.05),
                schedule=Stepped(every=5, factor=0.4),
                augment=(CentreCrop(size=22, p=0.1), Rotation(degrees=15, fill=1)),
                dropout=0.05,
            ),
            7_926,
            claims=(
                Claim(
                    *("EC2", 0.9948, 0.9940),
                    (9766, 9839, 9873, 9878, 9897, 9925, 9932, 9930, 9932, 9928, 9937, 9934, 9941, 9948, 9940),
                ),
            ),
            n_seeds=HEADLINE_SEEDS,
            notes=("The schedule is that of the author's notebook; the script beside it lowers the rate an epoch sooner.",),
        ),
    )
}


def _arm(of: str, change: str, title: str, n_parameters: int | None = None, n_seeds: int = SEEDS, **fields: Any) -> Row:
    """Return a row with fields of its recipe changed, named after the change."""
    row = ROWS[of]
    return Row(f"{of}-{change}", title, replace(row.recipe, **fields), n_parameters or row.n_parameters, n_seeds=n_seeds, of=of)


BY_VALIDATION = Steering(by="validation", keep="best")
CLEAN = replace(ASSIGNMENT, steering=BY_VALIDATION)
ARMS: dict[str, Row] = {
    arm.name: arm
    for arm in (
        _arm("003-model-2", "augmented", "Model 2 with Model 3's augmentation alone", augment=AWS_3.augment),
        _arm("003-model-3", "unaugmented", "Model 3 without its augmentation", augment=None),
        _arm("001-gap", "half-dropout", "gap as in the committed source", dropout=0.05),
        _arm("001-gap", "plain-logits", "gap with plain logits", 6_770, model="001-gap-plain-logits"),
        _arm("003-model-3", "plain-logits", "Model 3 with plain logits", 7_296, model="003-model-2-plain-logits"),
        _arm("004-part-2", "plain-logits", "Part 2 with plain logits", 3_944, model="004-part-2-plain-logits"),
        _arm("000-model-4", "norm-first", "Model 4, normalization before ReLU", model="000-model-4-norm-first"),
        _arm("000-model-4", "group-norm", "Model 4 with group normalization", model="000-model-4-group-norm"),
        _arm("002-model-1", "by-validation", "Model_1, steered by validation", steering=BY_VALIDATION),
        _arm("002-model-2", "by-validation", "Model_2, steered by validation", steering=BY_VALIDATION),
        _arm("002-model-3", "by-validation", "Model_3, steered by validation", n_seeds=HEADLINE_SEEDS, steering=BY_VALIDATION),
        _arm("002-model-3", "augmented", "Model_3 by validation, augmented", steering=BY_VALIDATION, augment=UNDER_8K.augment),
        _arm("002-model-3", "slow-adam", "Model_3 by validation, Adam at a tenth", steering=BY_VALIDATION, optimizer=adam(0.001)),
        _arm("002-model-3", "sgd", "Model_3 by validation, SGD", steering=BY_VALIDATION, optimizer=plain(0.1, nesterov=True)),
    )
}
FOLDS = 5  # of 002's cross-validation by writer


def get(name: str) -> Row:
    """Return a row or an arm by its name, or by the name that its author's code gives it; an unknown one raises SettingError."""
    rows = ROWS | ARMS
    wanted = _spelt(name)
    for row in rows.values():
        if wanted in (row.name, f"{row.name[:3]}-{_spelt(row.title)}") or name in row.originals:
            return row
    same = [row.name for row in ROWS.values() if wanted in (_spelt(row.title), *map(_spelt, row.originals))]
    if len(same) == 1:
        return rows[same[0]]
    if same:
        raise SettingError(f"There are several rows {name!r}: {', '.join(same)}. Name one of them.")
    raise SettingError(f"There is no row {name!r}.{nearest(wanted, rows)} The rows are {', '.join(ROWS)}; for the studies, {', '.join(ARMS)}.")


def _spelt(name: str) -> str:
    """Return a name as rows are spelt: lower case, with dashes for blanks, bars and slashes."""
    return name.strip().lower().replace("_", "-").replace(" ", "-").replace("/", "-")
