"""Recipes are frozen, validated values; a schedule is a value one can plot."""

import json
from dataclasses import FrozenInstanceError, asdict

import pytest

from mnistlib import recipe, steps
from mnistlib.errors import SettingError
from mnistlib.recipe import Augment, Optimizer, Recipe, Schedule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Recipe("early", epochs=0), "Recipe.epochs is 0; it must be a whole number from 1 to 100"),
        (lambda: Recipe("early", epochs=101), "from 1 to 100"),
        (lambda: Recipe("early", epochs=1.5), "a whole number"),
        (lambda: Recipe("early", epochs=True), "a whole number"),
        (lambda: Recipe("early", batch_size=1), "from 2 to 60000"),
        (lambda: Recipe("early", dropout=float("nan")), "a number from 0 to 0.9"),
        (lambda: Recipe("early", averaging=1.0), "Recipe.averaging"),
        (lambda: Recipe("early", augment={"rotate": 3}), "None or an Augment"),
        (lambda: Recipe(""), "a name from mnistlib.models"),
        (lambda: Optimizer(lr=0), "Optimizer.lr is 0"),
        (lambda: Optimizer(nesterov=1), "True or False"),
        (lambda: Schedule(anneal="step"), "'cosine' or 'linear'"),
        (lambda: Augment(rotate=-1), "a number from 0 to 180 degrees"),
        (lambda: Augment(shift="2"), "a number from 0 to 14 pixels"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(make, words):
    with pytest.raises(SettingError, match=words):
        make()


def test_an_unknown_field_is_named_with_the_nearest():
    with pytest.raises(SettingError, match="no field 'epcohs'.*Did you mean 'epochs'"):
        recipe.from_dict({"model": "early", "epcohs": 1})


def test_a_recipe_is_frozen_and_survives_json():
    for step in steps.STEPS.values():
        with pytest.raises(FrozenInstanceError):
            step.recipe.epochs = 1
        assert recipe.from_dict(json.loads(json.dumps(asdict(step.recipe)))) == step.recipe


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_the_learning_rate_rises_to_its_peak_and_anneals_to_zero(anneal):
    schedule = Schedule(warmup=0.25, anneal=anneal)
    factors = [schedule.factor(step / 100) for step in range(101)]
    assert factors[0] == 0
    assert factors[25] == max(factors) == 1
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert factors[:26] == sorted(factors[:26])
    assert factors[25:] == sorted(factors[25:], reverse=True)
    assert Schedule(warmup=0, anneal=anneal).factor(0) == 1
