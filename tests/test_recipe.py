"""Recipes are frozen, validated values; a schedule is a value that can be plotted; a digest follows what differs from the defaults."""

import json
from dataclasses import FrozenInstanceError, field, fields, make_dataclass, replace

import pytest

from mnistlib import augment, steps
from mnistlib.augment import Augment
from mnistlib.errors import SettingError
from mnistlib.recipe import Optimizer, Recipe, Schedule, validated
from mnistlib.recipe_dict import digest, flatten, from_dict, to_dict, with_overrides

PLAIN = Recipe("narrow")
AUGMENTED = replace(PLAIN, label_smoothing=0.05, augment=Augment(degrees=9, scale=0.1, aspect=0.05, shear=8, translate=1.5))


@validated
class Longer(Recipe):
    """A recipe of another package, with a field and a trainer of its own."""

    patience: int = 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Recipe("narrow", epochs=0), ["Recipe.epochs", "0", "whole number", "1", "100"]),
        (lambda: Recipe("narrow", epochs=101), ["epochs", "101", "from 1 to 100"]),
        (lambda: Recipe("narrow", epochs=1.5), ["epochs", "1.5", "whole number"]),
        (lambda: Recipe("narrow", epochs=True), ["epochs", "True", "whole number"]),
        (lambda: Recipe("narrow", epochs=None), ["epochs", "None", "whole number"]),
        (lambda: Recipe("narrow", batch_size=1), ["batch_size", "60,000"]),
        (lambda: Recipe("narrow", dropout=float("nan")), ["dropout", "nan", "0.9"]),
        (lambda: Recipe("narrow", label_smoothing=float("inf")), ["label_smoothing", "inf", "0.9"]),
        (lambda: Recipe("narrow", ema_decay=1.0), ["ema_decay", "0.99999"]),
        (lambda: Recipe("narrow", augment={"degrees": 3, "scail": 1}), ["scail"]),
        (lambda: Recipe("narrow", augment=()), ["augment"]),
        (lambda: Recipe("narrow", schedule="cosine"), ["schedule", "cosine"]),
        (lambda: Recipe("narrow", optimizer=None), ["optimizer", "None"]),
        (lambda: Recipe(""), ["model", "''"]),
        (lambda: Recipe(3), ["model", "3"]),
        (lambda: Optimizer(name="adamw"), ["Optimizer.name", "adamw", "'sgd' or 'adam'", "Did you mean 'adam'"]),
        (lambda: Optimizer(lr=0), ["Optimizer.lr", "0", "100"]),
        (lambda: Optimizer(lr="0.1"), ["Optimizer.lr", "'0.1'", "number"]),
        (lambda: Optimizer(nesterov=1), ["nesterov", "True or False"]),
        (lambda: Optimizer(momentum=-0.1), ["momentum", "-0.1", "0.999"]),
        (lambda: Schedule(anneal="step"), ["Schedule.anneal", "step", "'cosine' or 'linear'"]),
        (lambda: Schedule(warmup=1), ["warmup", "0.9"]),
        (lambda: Augment(degrees=-1), ["Augment.degrees", "-1", "180"]),
        (lambda: Augment(translate="2"), ["translate", "'2'", "14"]),
        (lambda: Augment(elastic_cells=1), ["elastic_cells", "2", "14"]),
        (lambda: Recipe("narrow", epcohs=1), ["epcohs", "Did you mean 'epochs'"]),
        (lambda: Recipe(), ["model"]),
        (lambda: replace(PLAIN, epochs=0), ["Recipe.epochs", "0"]),
        (lambda: Longer("narrow", patience=0.5), ["Longer.patience", "0.5"]),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(make, words):
    with pytest.raises(SettingError) as caught:
        make()
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and "pydantic" not in sentence


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"model": "narrow", "epcohs": 1}, ["epcohs", "Did you mean 'epochs'"]),
        ({"model": "narrow", "optimizer": {"lr": 0.1, "momentun": 0.5}}, ["Optimizer", "momentun", "Did you mean 'momentum'"]),
        ({"model": "narrow", "augment": {"degrees": 181}}, ["Augment.degrees", "181", "180"]),
        ({"epochs": 1}, ["model"]),
        ({"model": "narrow", "class": "no.such:thing"}, ["recipe"]),
        ({"model": "narrow", "class": 7}, ["recipe"]),
        ({"model": "narrow", "class": "os:getcwd"}, ["recipe"]),
        ({"model": "narrow", "epochs": object()}, ["recipe"]),
    ],
)
def test_values_that_are_no_recipe_are_refused(value, words):
    with pytest.raises(SettingError) as caught:
        from_dict(value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"narrow"'])
def test_json_that_is_no_object_is_refused(text):
    with pytest.raises(SettingError, match="recipe"):
        from_dict(json.loads(text))


MANY = [step.recipe for step in steps.STEPS.values()] + [
    PLAIN,
    replace(PLAIN, optimizer=Optimizer("adam", lr=0.001, weight_decay=0.1, decay_norm_and_bias=True), schedule=None),
    replace(PLAIN, augment=Augment(), ema_decay=0.9, dropout=0.1, schedule=Schedule(0, "linear")),
    Longer("narrow", patience=5),
]


@pytest.mark.parametrize("recipe", MANY)
def test_a_recipe_survives_json(recipe):
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe
    assert type(from_dict(to_dict(recipe))) is type(recipe)


def test_a_recipe_is_frozen_and_can_be_hashed():
    with pytest.raises(FrozenInstanceError):
        PLAIN.epochs = 1
    assert len({*MANY, *MANY}) == len(set(MANY)) and hash(PLAIN) == hash(Recipe("narrow"))


def test_missing_fields_get_their_defaults():
    assert from_dict({"model": "narrow"}) == PLAIN and from_dict({"model": "narrow", "optimizer": {}}) == PLAIN


def test_fields_are_overridden_one_by_one():
    own = AUGMENTED
    tried = with_overrides(own, {"optimizer.lr": 0.05, "augment.degrees": 5, "dropout": 0.1, "schedule": None})
    assert tried == replace(
        own, optimizer=replace(own.optimizer, lr=0.05), augment=replace(own.augment, degrees=5), dropout=0.1, schedule=None
    )
    assert with_overrides(PLAIN, {"augment.translate": 1}) == replace(PLAIN, augment=Augment(translate=1))
    assert with_overrides(replace(PLAIN, schedule=None), {"schedule.warmup": 0.5}).schedule == Schedule(warmup=0.5)
    assert with_overrides(own, {}) == own and own.optimizer.lr == 0.1
    assert with_overrides(Longer("narrow"), {"patience": 9}) == Longer("narrow", patience=9)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"optimizer.lrr": 1}, ["Optimizer", "lrr", "Did you mean 'lr'"]),
        ({"optimizer.lr": -1}, ["Optimizer.lr", "-1"]),
        ({"lr": 1}, ["Recipe", "'lr'"]),
        ({"epochs.many": 1}, ["epochs"]),
        ({"augment": 3}, ["augment"]),
        ({"augmentt.degrees": 3}, ["augmentt", "Did you mean 'augment'"]),
        ({"class": "os:getcwd"}, ["class"]),
        ({"": 1}, ["''"]),
        ({1: 2}, ["1"]),
    ],
)
def test_overrides_that_the_recipe_does_not_have_are_named(overrides, words):
    with pytest.raises(SettingError) as caught:
        with_overrides(steps.get("03_augment").recipe, overrides)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_every_field_is_listed_by_its_dotted_name():
    flat = dict(flatten(AUGMENTED))
    assert flat["augment.degrees"] == 9 and flat["optimizer.name"] == "sgd" and flat["model"] == "narrow"
    assert dict(flatten(PLAIN))["augment"] is None
    assert with_overrides(PLAIN, flat) == AUGMENTED


OTHER = {bool: lambda value: not value, str: lambda value: {"sgd": "adam", "cosine": "linear"}.get(value, "skeleton")}


def test_a_digest_follows_every_field():
    full = replace(PLAIN, augment=Augment())
    digests = {digest(full), digest(PLAIN)}
    for name, value in flatten(full):
        changed = OTHER.get(type(value), lambda value: value + 1 if isinstance(value, int) or value == 1 else (value + 0.01) / 2)(value)
        digests.add(digest(with_overrides(full, {name: changed})))
    assert len(digests) == 2 + len(dict(flatten(full)))
    digests |= {digest(replace(PLAIN, schedule=None)), digest(Longer("narrow")), digest(Longer("narrow", patience=4))}
    assert len(digests) == 2 + len(dict(flatten(full))) + 3


def test_a_new_field_at_its_default_changes_no_digest():
    """Runs and reports are keyed by it: what a field adds must show only where it is used, in a part of a recipe as well."""

    @validated
    class Augment:
        degrees: float = 0.0
        aspect: float = 0.0
        new: int = 0

    old = replace(PLAIN, augment=augment.Augment(degrees=9))
    values = {field.name: getattr(old, field.name) for field in fields(old)}
    grown = make_dataclass(
        "Recipe", [("model", str), *((f.name, f.type, field(default=f.default)) for f in fields(Recipe)[1:]), ("new", int, 0)]
    )
    assert digest(grown(**values | {"augment": Augment(degrees=9)})) == digest(old)
    assert digest(grown(**values | {"new": 1})) != digest(old) != digest(grown(**values | {"augment": Augment(degrees=9, new=1)}))


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("n", [7, 100])
def test_the_learning_rate_rises_to_its_peak_and_anneals_to_zero(anneal, n):
    schedule = Schedule(warmup=0.25, anneal=anneal)
    factors = [schedule.lr_factor(step, n) for step in range(n)]
    peak = factors.index(max(factors))
    assert abs(peak - n / 4) <= 1 and 0.8 < factors[peak] <= 1 and 0 < factors[0] <= 2 / n
    assert factors[: peak + 1] == sorted(factors[: peak + 1]) and factors[peak:] == sorted(factors[peak:], reverse=True)
    assert 0 < factors[-1] < 1 / n
    assert Schedule(warmup=0, anneal=anneal).lr_factor(0, 1000) == pytest.approx(1, abs=1e-3)
    linear = Schedule(0.25, "linear")
    assert linear.lr_factor(0, 2) == pytest.approx(1) and linear.lr_factor(1, 2) == pytest.approx(1 / 3)
    assert Schedule(0.25, anneal, peak=5, end=0.1).lr_factor(999, 1000) == pytest.approx(0.5, abs=0.01)  # a tenth of the peak is left
    assert max(Schedule(0.25, anneal, peak=5, end=0.1).lr_factor(step, 1000) for step in range(1000)) == pytest.approx(5, abs=0.02)
    assert linear.lr_factor(0, 10) == pytest.approx(0.2) and linear.lr_factor(9, 10) == pytest.approx(1 / 15)
