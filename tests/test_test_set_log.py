"""The list of looks at the test set: signed, and only ever longer."""

from dataclasses import replace

import example_results
import pytest

from mnistlib import files
from mnistlib.errors import ResultError
from mnistlib.report import test_set_log

MADE = example_results.result()


def test_the_list_only_grows(tmp_path):
    path = tmp_path / "reports" / "test_looks.json"
    assert test_set_log.read(path) == [] and test_set_log.record(MADE, path)
    again = replace(MADE, provenance={**MADE.provenance, "started": "2030-01-01T00:00:00Z"})
    assert not test_set_log.record(again, path)  # the very same accuracies of the same seeds
    others = (example_results.result(n_wrong=(5, 5, 8)), example_results.result("02_regularise"), replace(MADE, runs=MADE.runs[:2]))
    assert all(test_set_log.record(other, path) for other in others)
    assert test_set_log.record(replace(MADE, runs=tuple(replace(run, seed=run.seed + 10) for run in MADE.runs)), path)
    first, *rest = test_set_log.read(path)
    assert len(rest) == 4 and first == {
        "date": "2026-03-04T05:06:07Z",
        "step": "03_augment",
        "recipe": MADE.keys["recipe"],
        "seeds": [0, 1, 2],
        "final": [0.996, 0.995, 0.992],
        "commit": "abc",
    }


@pytest.mark.parametrize("changed", [{"train_limit": 9}, {"split": "validation"}])
def test_only_full_runs_on_the_test_set_are_looks(tmp_path, changed):
    assert not test_set_log.record(replace(MADE, **changed), tmp_path / "test_looks.json")
    assert not (tmp_path / "test_looks.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1,"])
def test_a_damaged_list_is_not_overwritten(tmp_path, text):
    path = files.write(tmp_path / "test_looks.json", text)
    with pytest.raises(ResultError, match="restore"):
        test_set_log.record(MADE, path)
    assert path.read_text() == text


def test_a_changed_digit_is_refused(tmp_path):
    path = tmp_path / "test_looks.json"
    test_set_log.record(MADE, path)
    path.write_text(path.read_text().replace("0.995", "0.997"))
    with pytest.raises(ResultError, match="changed"):
        test_set_log.read(path)
    files.write_signed(path, {"schema": 2, "looks": []})
    with pytest.raises(ResultError, match="restore"):
        test_set_log.read(path)
