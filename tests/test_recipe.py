"""Recipes are frozen, validated values; a schedule is a value one can plot."""

import json
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from mnistlib import files, steps, written
from mnistlib.errors import SettingError
from mnistlib.recipe import Augment, Optimizer, Recipe, Schedule, Steering


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
        (lambda: Recipe("early", augment={"rotate": 3}), "None, an Augment or a tuple of transforms"),
        (lambda: Recipe("early", augment=()), "a tuple of transforms"),
        (lambda: Recipe("early", augment=(Augment(),)), "a tuple of transforms"),
        (lambda: Recipe("early", schedule="cosine"), "one of Schedule, Stepped, OneCycle, Cyclic, Plateau"),
        (lambda: Recipe("early", steering="judged"), "None or a Steering"),
        (lambda: Steering(by="test"), "'validation' or 'judged'"),
        (lambda: Steering(by="judged", stop_at=99.4), "Steering.stop_at is 99.4; it must be a number from 0 to 1"),
        (lambda: Optimizer(kind="adamw"), "'sgd' or 'adam'"),
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
        written.from_dict({"model": "early", "epcohs": 1})
    with pytest.raises(SettingError, match="no transform 'rotaton'.*Did you mean 'rotation'"):
        written.from_dict({"model": "early", "augment": [{"kind": "rotaton"}]})


def test_a_recipe_is_frozen_and_survives_json():
    for step in steps.STEPS.values():
        with pytest.raises(FrozenInstanceError):
            step.recipe.epochs = 1
        assert written.from_dict(json.loads(json.dumps(asdict(step.recipe)))) == step.recipe


def test_fields_that_came_later_change_no_older_key():
    """Trials and reports are keyed by a recipe's plain values: what a field adds must show only where it is used."""
    plain = written.as_dict(steps.SKELETON)
    assert list(plain["optimizer"]) == ["lr", "momentum", "nesterov", "weight_decay"] and "steering" not in plain
    assert files.sha256(files.canonical(plain)) == "6fa9ad7ed6abbcd285fa01db47a295675357df006ed636e39f30c43561110282"
    new = replace(steps.SKELETON, optimizer=Optimizer(kind="adam", decays="all"), steering=Steering(by="judged"))
    assert written.as_dict(new)["optimizer"]["kind"] == "adam" and written.as_dict(new)["steering"]["keep"] == "last"
    assert written.from_dict(written.as_dict(new)) == new and written.from_dict(plain) == steps.SKELETON


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


@pytest.mark.parametrize(
    ("part", "match"),
    [
        ({"schedule": {"kind": "one cylce"}}, "no schedule 'one cylce'; the kinds are .* Did you mean 'one cycle'"),
        ({"augment": [{"kind": "rotaton"}]}, "no transform 'rotaton'; .* Did you mean 'rotation'"),
        ({"augment": [7]}, "no transform 7"),
    ],
)
def test_an_unknown_kind_of_part_names_the_nearest(part, match):
    with pytest.raises(SettingError, match=match):
        written.from_dict(written.as_dict(steps.SKELETON) | part)
