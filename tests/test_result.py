"""Results: what is saved comes back, what was tampered with is refused, and only like is compared with like."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnistlib import data, files, models, steps
from mnistlib.augment import Augment
from mnistlib.errors import MnistlibError, ResultError, SettingError
from mnistlib.recipe import Recipe
from mnistlib.report import result as results
from mnistlib.runs import Run, cache, provenance
from mnistlib.stats import comparison
from mnistlib.train import History

N, EPOCHS = 1_000, 3
STEP = steps.Step("03_augment", "Augmentation", Recipe("narrow", augment=Augment(degrees=7), epochs=EPOCHS), "02_regularise")
BEFORE = steps.Step("02_regularise", "Regularisation", Recipe("narrow", epochs=EPOCHS), "01_capacity")
ORIGIN = provenance.collect(1_790_000_000.9, 61.26, "cpu", workers=2)


def mnist(**changed: object) -> data.Mnist:
    """Return a data set of blank images."""
    writers = np.arange(N) // 20
    part = data.ImageSet(
        torch.zeros(N, 28, 28, dtype=torch.uint8), torch.arange(N) % 10, np.arange(N), writers, np.where(writers < 25, data.STUDENTS, 0)
    )
    return replace(data.Mnist("test", None, part, part, "d" * 64), **changed)


def run(seed: int, n_wrong: int, epochs: int = EPOCHS, **changed: object) -> Run:
    """Return a finished seed that gets the first `n_wrong` images wrong after every epoch."""
    accuracy = [(N - n_wrong) / N] * epochs
    history = History([0.5] * epochs, [0.9] * epochs, [0.1] * epochs, accuracy, [0.05] * epochs, [1.25] * epochs)
    predictions = (np.arange(N) % 10).astype(np.uint8)
    predictions[:n_wrong] = (predictions[:n_wrong] + 1) % 10
    random = torch.Generator().manual_seed(seed)
    weights = {"norm.num": torch.tensor(3), "conv.weight": torch.randn(2, 3, 5, 5, generator=random).to(memory_format=torch.channels_last)}
    made = Run(seed, history, N, 0.999, None, weights, predictions, np.full(N, 0.9, np.float32), f"{seed:024x}", ORIGIN)
    return replace(made, **changed)


RUNS = [run(0, 4), run(1, 6), run(2, 8)]


def make(runs=RUNS, step=STEP, on=None, **given) -> results.Result:
    """Make a result of its step's own recipe."""
    return results.make(step, step.recipe, on or mnist(), runs, ORIGIN, **given)


MADE, MADE_BEFORE = make(), make(step=BEFORE)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rewrite(path: Path, change, sign: bool = True) -> None:
    """Change a result's JSON, with a fresh sha256 where `sign` is set."""
    value = json.loads(path.read_text())
    stored = value.pop("sha256")
    change(value)
    path.write_text(json.dumps(files.signed(value) if sign else value | {"sha256": stored}))


def refused(path: Path) -> str:
    """Return the sentence with which a result is refused."""
    with pytest.raises(ResultError) as caught:
        results.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Making


def test_a_result_holds_the_figures_of_its_runs():
    assert MADE.seeds == [0, 1, 2] and MADE.n_train == MADE.n_eval == N and MADE.epochs == EPOCHS
    assert MADE.summary.final_mean == 0.994 and MADE.summary.n_held == 2
    assert MADE.verdict == comparison.Verdict("within", "within", "at or above", "held")
    assert (MADE.n_parameters, MADE.n_macs) == (7_706, 432_160) and MADE.recipe == STEP.recipe
    assert MADE.gaps == pytest.approx([0.003, 0.005, 0.007]) and MADE.seconds == [3.75] * 3
    assert MADE.keys["data"] == "d" * 64 and MADE.keys["notebook"] == files.notebook_hash("03_augment")
    assert MADE.headline and MADE.difference is None


def test_no_verdict_on_a_part_of_the_training_images():
    limited, validation = make(on=mnist(train_limit=6_000)), make(on=mnist(split="validation"))
    assert limited.verdict is None and validation.verdict is not None
    assert not limited.headline and not validation.headline


def test_the_difference_is_that_of_the_same_images():
    worse = [run(seed, 60 + seed) for seed in range(4)]
    predictions = np.stack([one.predictions for one in worse])
    earlier = results.Earlier(make(worse, BEFORE), predictions)
    made = make(before=earlier, first=earlier)
    assert made.difference.from_ == "02_regularise" and made.difference.effect.value == pytest.approx(0.0555)
    tables = [np.stack([one.predictions for one in runs]) != mnist().eval.labels.numpy() for runs in (RUNS, worse)]
    known = comparison.difference(*tables, mnist().eval.writers, mnist().eval.groups, "02_regularise")
    assert made.difference == made.since_first == known


def test_of_an_epoch_that_was_kept_the_accuracy_counts():
    history = replace(RUNS[0].history, eval_accuracy=[0.99, 0.996, 0.95])
    made = make([replace(RUNS[0], history=history, kept_epoch=2)])
    assert made.runs[0].final == 0.996 == made.summary.final_mean


@pytest.mark.parametrize("runs", [[], [RUNS[0], RUNS[0]]])
def test_runs_that_make_no_result_are_refused(runs):
    with pytest.raises(ResultError, match="seed"):
        make(runs)


# Saving and reading


def test_what_is_saved_is_read_back(tmp_path):
    whole = replace(
        MADE,
        claims=(comparison.Claim("So.", "refuted", "1 of 2", MADE.summary.accuracy),),
        claim={"authors": "Ü", "accuracy": 0.994},
        difference=comparison.Difference("02_regularise", MADE.summary.accuracy, (-0.1, 0.3)),
    )
    path = results.save(whole, tmp_path)
    assert path == tmp_path / "results" / "03_augment.json"
    assert list(contents(tmp_path)) == [
        *(f"checkpoints/03_augment-seed{seed}.safetensors" for seed in range(3)),
        "predictions/03_augment.npz",
        "results/03_augment.json",
    ]
    read = results.read(path)
    light = [replace(one, weights=None, predictions=None, confidences=None, provenance={}) for one in whole.runs]
    assert read == replace(whole, runs=tuple(light))
    assert results.to_json(read) == json.loads(path.read_text())
    for again, was in zip(results.read_runs(read, tmp_path), RUNS, strict=True):
        assert (again.seed, again.key, again.history, again.provenance) == (was.seed, was.key, was.history, ORIGIN)
        assert np.array_equal(again.predictions, was.predictions) and again.confidences == pytest.approx(was.confidences, abs=1e-3)
        assert all(
            torch.equal(again.weights[name], value) and again.weights[name].dtype == value.dtype for name, value in was.weights.items()
        )


def test_a_result_without_weights_at_hand_is_published_from_its_files(tmp_path):
    results.save(MADE, tmp_path / "a")
    results.publish("03_augment", tmp_path / "a", tmp_path / "b")
    one, other = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert one.keys() == other.keys() and all(one[name] == other[name] for name in one if not name.endswith("npz"))
    results.read_runs(results.read(tmp_path / "b" / "results" / "03_augment.json"), tmp_path / "b")
    with pytest.raises(ResultError, match="02_regularise"):
        results.publish("02_regularise", tmp_path / "a", tmp_path / "b")


def test_fewer_seeds_leave_no_stale_checkpoints(tmp_path):
    results.save(MADE_BEFORE, tmp_path)
    results.save(MADE, tmp_path)
    results.save(make(RUNS[:1]), tmp_path)
    left = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert left == [*(f"02_regularise-seed{seed}.safetensors" for seed in range(3)), "03_augment-seed0.safetensors"]


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_on_a_full_disk_the_old_files_stay(tmp_path, monkeypatch, nth):
    results.save(make([run(0, 50), run(1, 60), run(2, 70)]), tmp_path)
    before, written, fsync = contents(tmp_path), [], os.fsync

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OSError, MnistlibError), match="space"):
        results.save(MADE, tmp_path)
    assert len(written) == nth and contents(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="file"):
        results.save(MADE, tmp_path / "file")


def first_run(**changed):
    return lambda value: value["runs"][0].update(changed)


@pytest.mark.parametrize(
    ("change", "sign", "word"),
    [
        (lambda value: value.update(n_parameters=99), False, "changed"),
        (lambda value: value["runs"][0]["history"]["eval_accuracy"].__setitem__(2, 0.9999), False, "changed"),
        (lambda value: value.update(schema=results.SCHEMA + 1), True, "schema"),
        (lambda value: value.pop("schema"), True, "schema"),
        (lambda value: value.pop("runs"), True, "fit"),
        (lambda value: value.update(runs=[]), True, "fit"),
        (lambda value: value.update(runs=value["runs"][:2]), True, "fit"),
        (lambda value: value.update(runs=3), True, "fit"),
        (lambda value: value["summary"].pop("n_held"), True, "fit"),
        (lambda value: value.update(summary=None), True, "fit"),
        (lambda value: value.update(colour="red"), True, "fit"),
        (lambda value: value.pop("title"), True, "fit"),
        (lambda value: value.update(n_parameters="many"), True, "fit"),
        (lambda value: value.update(step=3), True, "fit"),
        (lambda value: value.update(keys=[]), True, "fit"),
        (lambda value: value.update(recipe=[]), True, "fit"),
        (lambda value: value["recipe"].update(epochs=0), True, "fit"),
        (lambda value: value["recipe"].update({"class": "os:getcwd"}), True, "fit"),
        (first_run(seed="x"), True, "fit"),
        (first_run(history=None), True, "fit"),
        (first_run(kept_epoch=9), True, "fit"),
        (first_run(weights={}), True, "fit"),
        (lambda value: value["runs"][0].pop("checkpoint"), True, "fit"),
        (lambda value: value["runs"][0]["history"].update(eval_accuracy=["x"] * 3), True, "fit"),
        (lambda value: value["runs"][0]["history"].update(eval_accuracy=[0.5]), True, "fit"),
        (lambda value: value["runs"][0]["history"].update({name: [] for name in vars(RUNS[0].history)}), True, "fit"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path, change, sign, word):
    path = results.save(MADE, tmp_path)
    rewrite(path, change, sign)
    sentence = refused(path)
    assert word in sentence and "results/03_augment.json" in sentence


def test_a_file_that_is_no_result_is_refused(tmp_path):
    path = tmp_path / "results" / "03_augment.json"
    assert "no results/03_augment.json" in refused(path)
    path.mkdir(parents=True)
    assert "cannot be read" in refused(path)
    path = path.with_name("other.json")
    for text in ("{", "", "\xff", '{"schema": 3, "a": NaN, "sha256": ""}', "[]", "3", "null", '{"schema": 3}'):
        path.write_bytes(text.encode("latin-1"))
        assert "other.json" in refused(path)


def test_a_checkpoint_is_the_one_that_the_result_names(tmp_path):
    results.save(MADE, tmp_path)
    path = tmp_path / MADE.runs[1].checkpoint
    good = path.read_bytes()
    assert good == cache.pack(RUNS[1].weights) and files.sha256(good) == MADE.runs[1].sha256
    found, one, weights = results.of_checkpoint(path)
    assert (found.step, one.seed) == ("03_augment", 1) and torch.equal(weights["conv.weight"], RUNS[1].weights["conv.weight"])
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-8], b"", (tmp_path / MADE.runs[0].checkpoint).read_bytes()):
        path.write_bytes(bad)
        for ask in (lambda: results.of_checkpoint(path), lambda: results.read_runs(found, tmp_path)):
            with pytest.raises(ResultError, match=r"03_augment-seed1\.safetensors.*sha256"):
                ask()
    path.unlink()
    with pytest.raises(ResultError, match=r"03_augment-seed1\.safetensors is missing"):
        results.read_runs(found, tmp_path)
    stranger = files.write(path.with_name("03_augment-seed9.safetensors"), good)
    with pytest.raises(ResultError, match="seed9"):
        results.of_checkpoint(stranger)
    with pytest.raises(ResultError, match=r"README\.md is no checkpoint"):
        results.of_checkpoint(tmp_path / "README.md")


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "flipped", "other", "text"])
def test_predictions_are_those_that_the_result_was_made_with(tmp_path, damage):
    results.save(MADE, tmp_path)
    predictions, confidences = results.read_predictions(MADE, tmp_path)
    assert predictions.shape == confidences.shape == (3, N) and predictions.dtype == np.uint8 and confidences.dtype == np.float32
    path = tmp_path / "predictions" / "03_augment.npz"
    good = path.read_bytes()
    path.unlink()
    if damage == "other":
        np.savez_compressed(path, predictions=predictions, confidences=np.zeros_like(confidences, dtype=np.float16))
    elif damage != "missing":
        flipped = good[:90] + bytes(255 - byte for byte in good[90:120]) + good[120:]
        path.write_bytes({"empty": b"", "short": good[:-100], "flipped": flipped, "text": b"text"}[damage])
    with pytest.raises(ResultError, match=r"predictions/03_augment\.npz"):
        results.read_predictions(MADE, tmp_path)
    results.save(MADE, tmp_path)
    assert np.array_equal(results.read_predictions(MADE, tmp_path)[0], predictions)


def test_weights_that_do_not_fit_the_net_any_more_say_so():
    weights = models.build("narrow").state_dict()
    assert results.load_model(BEFORE.recipe, weights).state_dict().keys() == weights.keys()
    for other in (
        weights | {"0.conv.weight": torch.zeros(3, 1, 5, 5)},
        dict(list(weights.items())[1:]),
        weights | {"more": torch.zeros(1)},
    ):
        with pytest.raises(ResultError, match="'narrow'"):
            results.load_model(BEFORE.recipe, other)


# Comparing


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"split": "validation"}, ["split test instead of validation"]),
        ({"train_limit": 6_000}, ["train_limit none instead of 6,000"]),
        ({"epochs": 15}, ["epochs 3 instead of 15"]),
        ({"epochs": 1, "train_limit": 9}, ["epochs 3 instead of 1", "train_limit none instead of 9"]),
    ],
)
def test_only_like_is_compared_with_like(changed, words):
    wanted = results.conditions(MADE_BEFORE)
    results.check_comparable(wanted, "d" * 64, MADE_BEFORE)
    with pytest.raises(ResultError) as caught:
        results.check_comparable(wanted | changed, "d" * 64, MADE_BEFORE)
    assert all(word in str(caught.value) for word in [*words, "02_regularise"])


def test_the_data_matters_where_it_decides_who_is_evaluated():
    validation = make(on=mnist(split="validation"))
    results.check_comparable(results.conditions(MADE), "e" * 64, MADE)
    results.check_comparable(results.conditions(validation), "d" * 64, validation)
    with pytest.raises(ResultError, match="other validation images"):
        results.check_comparable(results.conditions(validation), "e" * 64, validation)


def test_a_step_may_change_the_number_of_epochs_where_both_ran_what_their_recipes_say(monkeypatch):
    monkeypatch.setitem(steps.STEPS, "short", steps.Step("short", "Short", replace(steps.AUGMENT, epochs=10), "03_augment"))
    short, before = steps.get("short"), steps.get("03_augment").recipe.epochs
    assert steps.epochs_before(short, short.recipe.epochs) == before > short.recipe.epochs
    assert steps.epochs_before(short, 2) == 2 and steps.epochs_before(steps.get("00_skeleton"), 7) == 7


def test_a_readers_own_result_comes_before_the_committed_one(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", lambda: tmp_path)
    mine, reports, wanted = tmp_path / "mine", tmp_path / "reports", results.conditions(MADE_BEFORE)

    def find(step="02_regularise", **changed):
        return results.find(step, wanted | changed, "d" * 64, mine)

    assert find()[0] is None and "02_regularise" in find()[1]
    assert "first step" in find(None)[1]
    results.save(MADE_BEFORE, reports / "published")
    assert find()[0].result.seeds == [0, 1, 2] and find()[0].predictions.shape == (3, N) and find()[1] == ""
    results.save(make(RUNS[1:], BEFORE), reports)
    assert find()[0].result.seeds == [1, 2]
    results.save(make(RUNS[:2], BEFORE), mine)
    assert find()[0].result.seeds == [0, 1]
    assert find(epochs=2)[0] is None and "epochs 3 instead of 2" in find(epochs=2)[1]
    (mine / "predictions" / "02_regularise.npz").unlink()
    assert find()[0].result.seeds == [1, 2]
    for place in (reports, reports / "published"):
        rewrite(place / "results" / "02_regularise.json", lambda value: value.update(title="x"), sign=False)
    found, sentence = find()
    assert found is None and "missing" in sentence and "changed" in sentence


def test_an_unknown_step_is_named_with_the_nearest():
    with pytest.raises(SettingError, match="03_augmnt.*Did you mean '03_augment'"):
        steps.get("03_augmnt")
