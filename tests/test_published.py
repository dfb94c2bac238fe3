"""The sixteen published nets of seventeen models: layers, recipes and claims as their authors gave them, waste and all."""

import json
from dataclasses import fields

import pytest

from mnistlib import models, recipe_dict, steps
from mnistlib.errors import SettingError
from mnistlib.published import repository
from mnistlib.published.dropout import Dropout
from mnistlib.published.repository import ABLATIONS, MODELS, AmbiguityError, PublishedModel
from mnistlib.report import model_summary

# What the authors' layers come to, worked out on paper: parameters, receptive field, and millions of multiply-accumulates where known.
FIGURES = {
    "000-model-1": (13_808, 22, 3.39),
    "000-model-2": (5_636, 22, 0.87),
    "000-model-3": (8_392, 12, None),
    "000-model-4": (7_776, 22, 0.95),
    "001-relu": (8_194, 28, None),
    "001-batchnorm": (8_354, 28, None),
    "001-dropout": (8_354, 28, None),
    "001-gap": (6_790, 28, 1.31),
    "002-model-1": (26_698, None, None),
    "002-model-2": (15_106, None, None),
    "002-model-3": (4_506, None, None),
    "003-model-1": (5_732, 22, 0.75),
    "003-model-2": (7_316, 22, None),
    "003-model-3": (7_316, 22, None),
    "004-part-1": (8_716, 28, None),
    "004-part-2": (3_964, 16, None),
    "004-part-3": (7_926, 62, 2.1),
}
BENT = {  # the layers behind the last weights
    "001-gap": ["ReLU", "norm", "dropout"],
    "002-model-3": ["norm", "ReLU"],
    "003-model-1": ["norm", "ReLU"],
    "003-model-2": ["norm", "ReLU"],
    "003-model-3": ["norm", "ReLU"],
    "004-part-2": ["norm", "ReLU"],
}


def wasted(model: PublishedModel, words: str) -> list[str]:
    return [text for text in model_summary.of(models.build(model.recipe.model, model.recipe.dropout)).wasted if words in text]


def test_there_are_seventeen_models_of_sixteen_nets():
    assert list(MODELS) == list(FIGURES) and len({model.recipe.model for model in MODELS.values()}) == 16
    assert MODELS["003-model-2"].recipe.model == MODELS["003-model-3"].recipe.model


@pytest.mark.parametrize("name", FIGURES)
def test_a_net_is_the_published_one(name):
    model, (n_parameters, receptive_field, macs) = MODELS[name], FIGURES[name]
    found = model_summary.of(models.build(model.recipe.model, model.recipe.dropout))
    assert found.n_parameters == model.n_parameters == n_parameters
    assert receptive_field in (None, found.receptive_field)
    assert macs is None or found.n_macs / 1e6 == pytest.approx(macs, abs=0.05 if macs == 2.1 else 0.005)


def test_two_published_totals_are_wrong_and_recorded_as_such():
    assert {
        name: (model.published_parameters, model.n_parameters) for name, model in MODELS.items() if model.published_parameters is not None
    } == {
        "000-model-3": (13_808, 8_392),
        "001-relu": (7_824, 8_194),
    }


def test_the_waste_of_the_published_nets_stays_in_them_and_is_named():
    (dead,) = wasted(MODELS["002-model-3"], "only ever meet padding")
    assert "1,280" in dead
    assert {name for name, model in MODELS.items() if wasted(model, "only ever meet padding")} == {"002-model-3"}
    after = "After the last weights, the "
    bent = {name: [text.removeprefix(after).split()[0] for text in wasted(model, after)] for name, model in MODELS.items()}
    assert {name: layers for name, layers in bent.items() if layers} == BENT
    assert ["13x13" in text for text in wasted(MODELS["000-model-3"], "never reads")] == [True]
    assert not any(wasted(arm, after) for arm in ABLATIONS.values() if arm.name.endswith("plain-logits"))


@pytest.mark.parametrize("model", [*MODELS.values(), *ABLATIONS.values()], ids=lambda model: model.name)
def test_dropout_is_in_a_net_as_its_recipe_says(model):
    rates = {module.p for module in models.build(model.recipe.model, model.recipe.dropout).modules() if isinstance(module, Dropout)}
    assert rates == ({model.recipe.dropout} if model.recipe.dropout else set())


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_claim_agrees_with_its_own_curve(model):
    assert model.claim is model.claims[0] and model.repository.count("/") == 1 and len(model.seeds) in (3, 5)
    for claim in model.claims:
        figures = [figure for figure in (claim.best, claim.final) if figure is not None]
        assert claim.where and figures and max(figures) == claim.headline and 0.97 < min(figures) <= max(figures) < 1
        if claim.curve:
            assert len(claim.curve) == model.recipe.epochs
            assert (max(claim.curve), claim.curve[-1]) == (round(claim.best * repository.N_TEST), round(claim.final * repository.N_TEST))


def test_six_whole_logs_were_published():
    assert [(name, len(model.claims)) for name, model in MODELS.items() if any(claim.curve for claim in model.claims)] == [
        ("000-model-4", 2),
        ("003-model-1", 1),
        ("003-model-3", 2),
        ("004-part-3", 1),
    ]


@pytest.mark.parametrize("model", [*MODELS.values(), *ABLATIONS.values()], ids=lambda model: model.name)
def test_a_recipe_survives_json(model):
    assert recipe_dict.from_dict(json.loads(json.dumps(recipe_dict.to_dict(model.recipe)))) == model.recipe


ASKED = {
    "003-model-2-augmented": {"transforms"},
    "003-model-3-unaugmented": {"transforms"},
    "001-gap-half-dropout": {"dropout"},
    "001-gap-plain-logits": {"model"},
    "003-model-3-plain-logits": {"model"},
    "003-model-3-relu-logits": {"model"},
    "003-model-3-norm-logits": {"model"},
    "004-part-2-plain-logits": {"model"},
    "000-model-4-norm-first": {"model"},
    "000-model-4-group-norm": {"model"},
    "002-model-1-by-validation": {"early_stopping"},
    "002-model-2-by-validation": {"early_stopping"},
    "002-model-3-by-validation": {"early_stopping"},
    "002-model-3-augmented": {"transforms"},
    "002-model-3-slow-adam": {"optimizer"},
    "002-model-3-sgd": {"optimizer"},
}


def test_an_ablation_changes_what_its_study_asks_for_and_nothing_else():
    changed = {}
    for name, ablation in ABLATIONS.items():
        before = repository.get(ablation.before).recipe
        changed[name] = {field.name for field in fields(before) if getattr(ablation.recipe, field.name) != getattr(before, field.name)}
        assert ablation.n_parameters == model_summary.of(models.build(ablation.recipe.model, ablation.recipe.dropout)).n_parameters
        assert ablation.claim is None
    assert changed == ASKED
    assert ABLATIONS["001-gap-half-dropout"].recipe.dropout == MODELS["001-gap"].recipe.dropout / 2
    assert ABLATIONS["003-model-2-augmented"].recipe.transforms == MODELS["003-model-3"].recipe.transforms
    assert ABLATIONS["002-model-3-slow-adam"].recipe.optimizer.lr == pytest.approx(MODELS["002-model-3"].recipe.optimizer.lr / 10)
    monitored = {name: model.recipe.early_stopping.monitor for name, model in (MODELS | ABLATIONS).items() if model.recipe.early_stopping}
    assert {monitored[name] for name in monitored if name in MODELS} == {"eval"}
    assert {monitored[name] for name in monitored if name in ABLATIONS} == {"validation"}


@pytest.mark.parametrize("model", [*MODELS.values(), *ABLATIONS.values()], ids=lambda model: model.name)
def test_a_model_is_a_step(model):
    step = steps.get(model.name)
    assert (step.recipe, step.seeds, step.before, step.notebook) == (model.recipe, model.seeds, model.before, "published")
    assert (step.claim is None) == (model.before is not None)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Model_1", "002-model-1"),
        ("Model_3", "002-model-3"),
        ("NetGAP", "001-gap"),
        ("Net3", "000-model-3"),
        ("model 4", "000-model-4"),
        ("000 Model 4", "000-model-4"),
        ("gap", "001-gap"),
        ("004/part_3", "004-part-3"),
        ("002-model-3-sgd", "002-model-3-sgd"),
    ],
)
def test_a_row_is_found_by_the_names_it_goes_by(name, model):
    assert repository.get(name).name == model


def test_a_name_of_several_models_or_of_none_is_refused_with_the_list():
    with pytest.raises(AmbiguityError, match="000-model-1, 002-model-1, 003-model-1"):
        repository.get("Model 1")
    with pytest.raises(SettingError, match="Did you mean '003-model-1'.*000-model-1, .*004-part-3; .*002-model-3-sgd"):
        repository.get("003-modl-1")
    for name in (4, None):
        with pytest.raises(SettingError, match="000-model-1"):
            repository.get(name)


@pytest.mark.parametrize("values", [{}, {"best": 99.4}, {"best": 0.99, "final": 0.995}])
def test_a_claim_that_cannot_be_is_refused(values):
    with pytest.raises(SettingError, match="Claim|claim"):
        repository.Claim(**values)
