"""The sixteen published nets and their seventeen rows: layers, recipes and claims as their authors gave them, waste and all."""

import json
from dataclasses import fields

import pytest

from mnistlib import models, written
from mnistlib.errors import SettingError
from mnistlib.published import registry
from mnistlib.published.dropout import Dropout
from mnistlib.published.registry import ARMS, ROWS
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
    "001-gap": ["9.relu", "9.norm", "11"],
    "002-model-3": ["4.norm", "4.relu"],
    "003-model-1": ["9.norm", "9.relu"],
    "003-model-2": ["9.norm", "9.relu"],
    "003-model-3": ["9.norm", "9.relu"],
    "004-part-2": ["13.norm", "13.relu"],
}


def wasted(row: registry.Row, kind: str) -> list:
    return [waste for waste in model_summary.of(models.build(row.recipe.model, row.recipe.dropout)).wasted if waste.kind == kind]


def test_there_are_seventeen_rows_of_sixteen_nets():
    assert list(ROWS) == list(FIGURES) and len({row.recipe.model for row in ROWS.values()}) == 16
    assert ROWS["003-model-2"].recipe.model == ROWS["003-model-3"].recipe.model


@pytest.mark.parametrize("name", FIGURES)
def test_a_net_is_the_published_one(name):
    row, (n_parameters, receptive_field, macs) = ROWS[name], FIGURES[name]
    found = model_summary.of(models.build(row.recipe.model, row.recipe.dropout))
    assert found.n_parameters == row.n_parameters == n_parameters
    assert receptive_field in (None, found.receptive_field)
    assert macs is None or found.n_macs / 1e6 == pytest.approx(macs, abs=0.05 if macs == 2.1 else 0.005)


def test_two_published_totals_are_wrong_and_recorded_as_such():
    assert {name: (row.said, row.n_parameters) for name, row in ROWS.items() if row.said is not None} == {
        "000-model-3": (13_808, 8_392),
        "001-relu": (7_824, 8_194),
    }


def test_the_waste_of_the_published_nets_stays_in_them_and_is_named():
    (dead,) = wasted(ROWS["002-model-3"], "dead taps")
    assert dead.n_parameters == 1_280 and "1,280 of 1,440 weights" in dead.sentence
    assert {name for name, row in ROWS.items() if wasted(row, "dead taps")} == {"002-model-3"}
    assert {name: bent for name, row in ROWS.items() if (bent := [waste.name for waste in wasted(row, "on the logits")])} == BENT
    assert [waste.sentence[:15] for waste in wasted(ROWS["000-model-3"], "unread pixels")] == ["Of its 13x13 ma"]
    assert not any(wasted(arm, "on the logits") for arm in ARMS.values() if arm.name.endswith("plain-logits"))


@pytest.mark.parametrize("row", [*ROWS.values(), *ARMS.values()], ids=lambda row: row.name)
def test_dropout_is_in_a_net_as_its_recipe_says(row):
    rates = {module.p for module in models.build(row.recipe.model, row.recipe.dropout).modules() if isinstance(module, Dropout)}
    assert rates == ({row.recipe.dropout} if row.recipe.dropout else set())


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_claim_agrees_with_its_own_curve(row):
    assert row.claim is row.claims[0] and row.system.count("/") == 1 and len(row.seeds) in (3, 5)
    for claim in row.claims:
        figures = [figure for figure in (claim.best, claim.final) if figure is not None]
        assert claim.where and figures and max(figures) == claim.headline and 0.97 < min(figures) <= max(figures) < 1
        if claim.curve:
            assert len(claim.curve) == row.recipe.epochs
            assert (max(claim.curve), claim.curve[-1]) == (round(claim.best * registry.N_TEST), round(claim.final * registry.N_TEST))


def test_six_whole_logs_were_published():
    assert [(name, len(row.claims)) for name, row in ROWS.items() if any(claim.curve for claim in row.claims)] == [
        ("000-model-4", 2),
        ("003-model-1", 1),
        ("003-model-3", 2),
        ("004-part-3", 1),
    ]


@pytest.mark.parametrize("row", [*ROWS.values(), *ARMS.values()], ids=lambda row: row.name)
def test_a_recipe_survives_json(row):
    assert written.from_dict(json.loads(json.dumps(written.as_dict(row.recipe)))) == row.recipe


ASKED = {
    "003-model-2-augmented": {"augment"},
    "003-model-3-unaugmented": {"augment"},
    "001-gap-half-dropout": {"dropout"},
    "001-gap-plain-logits": {"model"},
    "003-model-3-plain-logits": {"model"},
    "003-model-3-relu-logits": {"model"},
    "003-model-3-norm-logits": {"model"},
    "004-part-2-plain-logits": {"model"},
    "000-model-4-norm-first": {"model"},
    "000-model-4-group-norm": {"model"},
    "002-model-1-by-validation": {"steering"},
    "002-model-2-by-validation": {"steering"},
    "002-model-3-by-validation": {"steering"},
    "002-model-3-augmented": {"augment"},
    "002-model-3-slow-adam": {"optimizer"},
    "002-model-3-sgd": {"optimizer"},
}


def test_an_arm_changes_what_its_study_asks_for_and_nothing_else():
    changed = {}
    for name, arm in ARMS.items():
        before = registry.get(arm.of).recipe
        changed[name] = {field.name for field in fields(before) if getattr(arm.recipe, field.name) != getattr(before, field.name)}
        assert arm.n_parameters == model_summary.of(models.build(arm.recipe.model, arm.recipe.dropout)).n_parameters
        assert arm.step.before == arm.of and arm.claim is None
    assert changed == ASKED
    assert ARMS["001-gap-half-dropout"].recipe.dropout == ROWS["001-gap"].recipe.dropout / 2
    assert ARMS["003-model-2-augmented"].recipe.augment == ROWS["003-model-3"].recipe.augment
    assert ARMS["002-model-3-slow-adam"].recipe.optimizer.lr == pytest.approx(ROWS["002-model-3"].recipe.optimizer.lr / 10)
    assert {arm.recipe.steering.by for arm in ARMS.values() if arm.of.startswith("002")} == {"validation"}
    assert {row.recipe.steering.by for row in ROWS.values() if row.recipe.steering} == {"judged"}


@pytest.mark.parametrize(
    ("name", "row"),
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
def test_a_row_is_found_by_the_names_it_goes_by(name, row):
    assert registry.get(name).name == row


def test_a_name_of_several_rows_or_of_none_is_told_with_the_list():
    with pytest.raises(SettingError, match="several rows 'Model 1': 000-model-1, 002-model-1, 003-model-1. Name one of them"):
        registry.get("Model 1")
    with pytest.raises(SettingError, match="no row '003-modl-1'. Did you mean '003-model-1'.*The rows are 000-model-1, .*004-part-3; for"):
        registry.get("003-modl-1")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"best": None}, "Claim.best is None; it must be a fraction where final is None"),
        ({"best": 99.4}, "Claim.best is 99.4; it must be a number from 0 to 1"),
        ({"best": 0.99, "final": 0.995}, "at least the last epoch's accuracy"),
    ],
)
def test_a_claim_that_cannot_be_is_refused(fields, match):
    with pytest.raises(SettingError, match=match):
        registry.Claim("here", **fields)


def test_a_row_that_is_no_text_is_refused():
    for name in (4, None):
        with pytest.raises(SettingError, match=f"row is {name}; it must be a row's name, such as '000-model-1'"):
            registry.get(name)
