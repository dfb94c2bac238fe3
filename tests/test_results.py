"""Results: what is saved comes back, what was tampered with is refused, and only like is compared with like."""

from __future__ import annotations

import getpass
import json
import math
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnistlib import data, files, steps
from mnistlib.errors import ResultError, SettingError
from mnistlib.recipe import Augment, Recipe
from mnistlib.report import results
from mnistlib.runs import checkpoints, provenance, storage
from mnistlib.stats import misclassified, summary

N_TEST, EPOCHS = 1_000, 3
STEP = steps.Step("03_augment", "Augmentation", Recipe("early", augment=Augment(rotate=7), epochs=EPOCHS), "02_regularise")
BEFORE = steps.Step("02_regularise", "Regularisation", Recipe("early", epochs=EPOCHS), "01_capacity")
ORIGIN = provenance.collect(1_790_000_000.9, 61.26, "cpu", workers=2)


def mnist(**changed: object) -> data.Mnist:
    """Return a data set of blank images."""
    labels = torch.arange(N_TEST) % 10
    writers = np.arange(N_TEST) // 20
    test = data.Part(torch.zeros(N_TEST, 28, 28, dtype=torch.uint8), labels, np.arange(N_TEST), writers, np.where(writers < 25, 4, 0))
    made = data.Mnist("mnist", "test", None, test, test, "d" * 64, "./data", ("A note.",))
    return replace(made, **changed)


def trial(seed: int, n_wrong: int, epochs: int = EPOCHS, **changed: object) -> storage.Trial:
    """Return a finished seed that gets the first `n_wrong` images wrong after every epoch."""
    accuracy = [(N_TEST - n_wrong) / N_TEST] * epochs
    history = storage.History([0.5] * epochs, [0.9] * epochs, [0.1] * epochs, accuracy, [0.05] * epochs, [1.25] * epochs)
    predictions = (np.arange(N_TEST) % 10).astype(np.uint8)
    predictions[:n_wrong] = (predictions[:n_wrong] + 1) % 10
    generator = torch.Generator().manual_seed(seed)
    weights = {
        "norm.num": torch.tensor(3),
        "conv.weight": torch.randn(2, 3, 5, 5, generator=generator).to(memory_format=torch.channels_last),
    }
    made = storage.Trial(f"{seed:024x}", seed, history, 0.999, weights, predictions, np.full(N_TEST, 0.9, np.float32), ORIGIN)
    return replace(made, **changed)


TRIALS = [trial(0, 4), trial(1, 6), trial(2, 8)]


def make(trials=TRIALS, step=STEP, on=None, **changed):
    """Make a result with anatomy figures of no importance."""
    given = {"n_parameters": 7_546, "n_macs": 834_000, "receptive_field": 28, "provenance": ORIGIN}
    return results.make(step, on or mnist(), trials, **(given | changed))


def rewrite(path: Path, change, sign: bool = True) -> None:
    """Change a result's JSON, with a fresh sha256 where `sign` is set."""
    value = json.loads(path.read_text())
    value.pop("sha256")
    change(value)
    path.write_text(json.dumps({**value, "sha256": files.sha256(files.canonical(value)) if sign else "0" * 64}))


def refused(path: Path) -> str:
    """Return the sentence with which a result is refused."""
    with pytest.raises(ResultError) as caught:
        results.read(path)
    return str(caught.value)


# Making


def test_a_result_holds_the_figures_of_its_trials():
    result = make()
    assert result.seeds == [0, 1, 2] and result.n_train == result.n_test == N_TEST and result.epochs == EPOCHS
    assert result.summary.final_mean == 0.994 and result.summary.n_held == 2 and result.summary.interval_by == "seeds and writers"
    assert result.verdict == summary.Verdict("kept", "kept", "reached", 2)
    assert result.runs[2].test_accuracy == (0.992,) * 3 and result.runs[2].status == "finished" and result.runs[2].key == f"{2:024x}"
    assert result.notes == ("A note.",) and result.headline and result.keys["data"] == "d" * 64


def test_no_verdict_on_anything_but_the_exercise():
    assert make(on=mnist(dataset="digits")).verdict is None
    assert make(on=mnist(limit=6_000)).verdict is None
    assert not any(make(on=mnist(**changed)).headline for changed in ({"dataset": "digits"}, {"limit": 9}, {"split": "validation"}))


def test_the_difference_is_that_of_the_same_images():
    worse = [trial(seed, 60 + seed) for seed in range(4)]
    before = make(worse, BEFORE)
    wrong = misclassified.wrong([run.predictions for run in worse], mnist().test.labels)
    result = make(before=before, wrong_before=wrong)
    assert result.difference.from_ == "02_regularise" and result.difference.mean == pytest.approx(0.0555)
    assert result.difference.direction == "better" and make().difference is None
    with pytest.raises(ResultError, match="no comparison with 02_regularise: its result is of limit none instead of 6,000"):
        make(on=mnist(limit=6_000), before=before, wrong_before=wrong)


@pytest.mark.parametrize(
    ("trials", "word"),
    [
        ([], "at least one seed"),
        ([TRIALS[0], TRIALS[0]], "each seed once"),
        ([trial(0, 4, epochs=2)], "2 epochs where the recipe asks for 3"),
    ],
)
def test_trials_that_make_no_result_are_refused(trials, word):
    with pytest.raises(ResultError, match=word):
        make(trials)


# Saving and reading


def test_what_is_saved_is_read_back(tmp_path):
    result = make(claims=[summary.Claim("So.", np.bool_(True), "1 of 2")], claim={"authors": "Ü", "accuracy": 0.994})
    path = results.save(result, TRIALS, tmp_path)
    assert path == tmp_path / "results" / "03_augment.json" and results.read(path) == result
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == [
        *(f"03_augment-seed{seed}.safetensors" for seed in range(3)),
        "03_augment.json",
    ]
    difference = summary.Difference("02_regularise", 0.1, (-0.1, 0.3))
    assert results.read(results.save(replace(result, difference=difference), TRIALS, tmp_path)).difference == difference


def test_the_json_has_the_fields_of_its_schema(tmp_path):
    value = json.loads(results.save(replace(make(), difference=summary.Difference("x", 0.1, (0.0, 0.2))), TRIALS, tmp_path).read_text())
    assert value["schema"] == 1 and list(value)[-1] == "sha256" and list(value["difference"]) == ["from", "mean", "interval"]
    asked = "step title dataset split n_train model n_parameters n_macs receptive_field epochs recipe claim runs summary verdict claims"
    assert {*asked.split(), "provenance"} <= set(value) and set(value["keys"]) == {"notebook", "recipe", "data", "reference"}
    run = "seed status train_loss train_accuracy train_accuracy_clean test_loss test_accuracy learning_rate seconds checkpoint sha256"
    assert set(run.split()) <= set(value["runs"][0]) and value["runs"][0]["checkpoint"] == "checkpoints/03_augment-seed0.safetensors"
    unsigned = {name: entry for name, entry in value.items() if name != "sha256"}
    assert value["sha256"] == files.sha256(files.canonical(unsigned))


def test_trials_can_be_rebuilt_but_for_their_predictions(tmp_path):
    result = results.read(results.save(make(), TRIALS, tmp_path))
    for (about, weights), was in zip(results.stored(result, tmp_path), TRIALS, strict=True):
        assert replace(was, **about) == was and about["history"] == was.history
        assert weights.keys() == was.weights.keys() and all(torch.equal(weights[name], value) for name, value in was.weights.items())
        assert all(weights[name].dtype == value.dtype for name, value in was.weights.items())


def test_a_diverged_seed_counts_and_is_told_apart(tmp_path):
    history = replace(trial(1, 900).history, test_loss=[0.1, math.nan, math.nan], train_loss=[0.1, math.inf, math.nan])
    trials = [trial(0, 4), trial(1, 900, history=history, train_accuracy_clean=math.nan)]
    path = results.save(make(trials), trials, tmp_path)
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    result = results.read(path)
    assert [run.status for run in result.runs] == ["finished", "diverged"] and result.summary.final_min == 0.1
    losses = result.runs[1].test_loss
    assert losses[0] == 0.1 and math.isnan(losses[2]) and math.isnan(result.runs[1].train_accuracy_clean)
    assert results.to_json(result) == json.loads(path.read_text())


def test_the_offline_sample_is_kept_apart(tmp_path):
    full = results.save(make(), TRIALS, tmp_path)
    offline = results.save(make(on=mnist(dataset="digits")), TRIALS, tmp_path)
    assert offline == tmp_path / "digits" / "results" / "03_augment.json" and results.read(full).dataset == "mnist"


def test_fewer_seeds_leave_no_stale_checkpoints(tmp_path):
    results.save(make(step=BEFORE), TRIALS, tmp_path)
    results.save(make(), TRIALS, tmp_path)
    results.save(make(TRIALS[:1]), TRIALS[:1], tmp_path)
    left = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert left == [*(f"02_regularise-seed{seed}.safetensors" for seed in range(3)), "03_augment-seed0.safetensors"]


def test_a_result_is_saved_with_its_own_weights_only(tmp_path):
    other = [*TRIALS[:2], replace(TRIALS[2], weights=TRIALS[0].weights)]
    with pytest.raises(ResultError, match="weights of seed 2"):
        results.save(make(), other, tmp_path)
    assert not list(tmp_path.rglob("*.json"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be written"):
        results.save(make(), TRIALS, tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "sign", "word"),
    [
        (lambda value: value.update(n_parameters=99), False, "was changed after it was written"),
        (lambda value: value["runs"][0]["test_accuracy"].__setitem__(2, 0.9999), False, "was changed after it was written"),
        (lambda value: value.update(schema=2), True, "has schema 2; this version reads schema 1"),
        (lambda value: value.pop("schema"), True, "has schema None"),
        (lambda value: value.pop("runs"), True, "does not fit schema 1"),
        (lambda value: value["summary"].pop("n_held"), True, "does not fit schema 1"),
        (lambda value: value.update(colour="red"), True, "does not fit schema 1"),
        (lambda value: value["recipe"].update(epochs=0), True, "does not fit schema 1"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path, change, sign, word):
    path = results.save(make(), TRIALS, tmp_path)
    rewrite(path, change, sign)
    assert word in refused(path) and "results/03_augment.json" in refused(path)


def test_a_file_that_is_no_result_is_refused(tmp_path):
    path = tmp_path / "results" / "03_augment.json"
    assert "There is no result results/03_augment.json" in refused(path)
    path.mkdir(parents=True)
    assert "cannot be read" in refused(path)
    path = path.with_name("other.json")
    for text, word in (
        ("{", "not JSON"),
        ("", "not JSON"),
        ("\xff", "not JSON"),
        ('{"schema": 1, "a": NaN}', "not JSON"),
        ("[]", "schema None"),
    ):
        path.write_bytes(text.encode("latin-1"))
        assert word in refused(path)


def test_a_checkpoint_is_the_one_the_result_names(tmp_path):
    result = make()
    results.save(result, TRIALS, tmp_path)
    path = tmp_path / result.runs[1].checkpoint
    good = path.read_bytes()
    assert good == checkpoints.pack(TRIALS[1].weights)
    found, run, weights = results.of_checkpoint(path)
    assert (found, run) == (result, result.runs[1]) and torch.equal(weights["conv.weight"], TRIALS[1].weights["conv.weight"])
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-8], b"", (tmp_path / result.runs[0].checkpoint).read_bytes()):
        path.write_bytes(bad)
        with pytest.raises(ResultError, match=r"03_augment-seed1\.safetensors is not the one its result was made with"):
            results.stored(result, tmp_path)
    path.unlink()
    with pytest.raises(ResultError, match=r"03_augment-seed1\.safetensors is missing"):
        results.stored(result, tmp_path)
    stranger = files.write(path.with_name("03_augment-seed9.safetensors"), good)
    with pytest.raises(ResultError, match="names no checkpoint"):
        results.of_checkpoint(stranger)


# Comparing


@pytest.mark.parametrize(
    ("changed", "epochs", "word"),
    [
        ({"dataset": "digits"}, EPOCHS, "dataset mnist instead of digits"),
        ({"split": "validation"}, EPOCHS, "split test instead of validation"),
        ({"limit": 6_000}, EPOCHS, "limit none instead of 6,000"),
        ({}, 15, "epochs 3 instead of 15"),
        ({"limit": 9}, 1, "epochs 3 instead of 1 and limit none instead of 9"),
    ],
)
def test_only_like_is_compared_with_like(changed, epochs, word):
    sentence = results.obstacle(results.conditions(mnist(**changed), epochs), make(step=BEFORE))
    assert sentence == f"There is no comparison with 02_regularise: its result is of {word}."


def test_the_data_matters_where_it_decides_who_is_judged():
    test, validation = make(), make(on=mnist(split="validation"))
    assert not results.obstacle(test.conditions, make(on=mnist(sha256="e" * 64)))
    assert not results.obstacle(validation.conditions, make(on=mnist(split="validation")))
    assert "other validation images" in results.obstacle(validation.conditions, make(on=mnist(split="validation", sha256="e" * 64)))


def test_a_step_may_change_the_number_of_epochs_where_both_ran_what_their_recipes_say():
    short, before = steps.get("05_short"), steps.get("04_speed").recipe.epochs
    assert steps.epochs_before(short, short.recipe.epochs) == before > short.recipe.epochs
    assert steps.epochs_before(short, 2) == 2 and steps.epochs_before(steps.get("00_skeleton"), 7) == 7


def test_a_readers_own_result_comes_before_the_committed_one(tmp_path):
    mine, reports = tmp_path / "mine", tmp_path / "reports"
    wanted = results.conditions(mnist(), EPOCHS)
    nothing = results.find("02_regularise", wanted, mine, reports)
    assert nothing.result is None and "no result of 02_regularise to compare with" in nothing.sentence
    assert "first step" in results.find(None, wanted, mine, reports).sentence
    committed = make(step=BEFORE)
    results.save(committed, TRIALS, reports)
    assert results.find("02_regularise", wanted, mine, reports) == results.Found(committed, reports)
    own = make(TRIALS[:2], BEFORE)
    results.save(own, TRIALS[:2], mine)
    assert results.find("02_regularise", wanted, mine, reports) == results.Found(own, mine)
    short = results.find("02_regularise", replace(wanted, epochs=2), mine, reports)
    assert short.result is None and short.sentence == "There is no comparison with 02_regularise: its result is of epochs 3 instead of 2."
    (mine / own.runs[0].checkpoint).unlink()
    assert results.find("02_regularise", wanted, mine, reports).place == reports
    rewrite(reports / "results" / "02_regularise.json", lambda value: value.update(title="x"), sign=False)
    broken = results.find("02_regularise", wanted, mine, reports)
    assert broken.result is None and "is missing" in broken.sentence and "was changed" in broken.sentence


# Provenance


def test_provenance_names_versions_and_machine_but_no_person_and_no_place():
    made = provenance.collect(0.0, 61.26, "cpu", workers=2, threads=1)
    assert made["started"] == "1970-01-01T00:00:00Z" and made["seconds"] == 61.3 and (made["workers"], made["threads"]) == (2, 1)
    assert made["torch"] == torch.__version__ and made["numpy"] == np.__version__ and made["python"] == platform.python_version()
    assert made["gpu"] is None and made["cores"] >= 1 and made["instructions"] and provenance.version("no-such-package") is None
    text = json.dumps(made)
    assert platform.node() not in text and str(Path.home()) not in text and str(files.root()) not in text
    assert getpass.getuser() == "root" or getpass.getuser() not in text


def git(folder: Path, *words: str) -> str:
    """Run git in a folder as nobody in particular."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_is_that_of_the_tracked_code(tmp_path):
    assert provenance.revision(tmp_path) == (None, None)
    git(tmp_path, "init", "-q")
    assert provenance.revision(tmp_path) == (None, None)
    (tmp_path / "code.py").write_text("a")
    files.write(tmp_path / "reports" / "index.html", "a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "new.py").write_text("not tracked")
    files.write(tmp_path / "reports" / "index.html", "written by a series")
    assert provenance.revision(tmp_path) == (head, False)
    (tmp_path / "code.py").write_text("b")
    assert provenance.revision(tmp_path) == (head, True)
    assert provenance.revision(tmp_path / "reports") == (None, None)  # a folder inside someone else's repository
