"""docs/teaching.md: its answers are what the committed results say, and its commands run in their order, with short trainings."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import html_tables
import pytest

from mnistlib import files
from mnistlib.report import result

ROOT = files.root()
LESSON = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
STEPS = {  # what the answers call each step
    "00_skeleton": "convolutions",
    "01_capacity": "capacity",
    "02_regularise": "batch normalization",
    "02b_anneal": "annealing",
    "03_augment": "augmentation",
}
RESULTS = {name: result.read(ROOT / "reports" / "results" / f"{name}.json") for name in STEPS}


def answers() -> dict[str, str]:
    """Return the answers of the lesson by their questions, in lower case."""
    parts = re.findall(r"\*\*Answers\*\*\n\n(.*?)\n\n(?!- )", LESSON, flags=re.DOTALL)
    found = {name: text for part in parts for name, text in re.findall(r"^- \*\*(.*?)\.\*\* (.*?)(?=\n- |\Z)", part, flags=re.S | re.M)}
    return {name: " ".join(text.lower().split()) for name, text in found.items()}


def outcomes(name: str, claim: str) -> list[str]:
    """Return the outcomes of the claims of a step that hold a phrase."""
    return [one.outcome for one in RESULTS[name].claims if claim in one.claim]


def test_the_answers_are_what_the_committed_claims_say():
    said = answers()
    for question, outcome in (("Gains", "supported"), ("Zero", "inconclusive")):
        told = said[question].split(". ")[0]
        assert {name for name, word in STEPS.items() if word in told} == {
            name for name in STEPS if outcomes(name, "more accurate than") == [outcome]
        }, question
    gains = {name: one.claims[0].effect.value for name, one in RESULTS.items()}
    assert max(gains, key=gains.get) == "00_skeleton" and "largest gain is that of convolutions over softmax" in said["Gains"]
    assert "softmax" in RESULTS["00_skeleton"].claims[0].claim
    second = RESULTS["01_capacity"].claims[1]
    assert "error on the clean training images is lower" in second.claim and f"it is {second.outcome}:" in said["Capacity"]
    assert second.effect.interval[0] > 0 and "fits its training images worse" in said["Capacity"]
    assert outcomes("03_augment", "gap between") == ["supported"] and "became smaller" in said["Gap"]


def test_five_seeds_said_what_the_lesson_tells():
    page = (ROOT / "reports" / "03_augment.html").read_text(encoding="utf-8")
    (table,) = re.findall(r"<table(?:(?!</table>).)*What the first 5 seeds alone(?:(?!</table>).)*</table>", page, flags=re.DOTALL)
    rows = {row[0]: row[1:] for row in html_tables.Tables(table).rows}
    five, all_of_them = rows["It is more accurate than 02b_anneal."]
    assert f"with five seeds the claim was {five}. with all of them it is {all_of_them}," in answers()["Five seeds"]
    won = [float(re.match(r"[+−]\d+(\.\d+)?", cell)[0].replace("−", "-")) for cell in rows["Difference from 02b_anneal"]]
    assert won[0] > won[1] and "the difference is smaller" in answers()["Five seeds"]


def blocks() -> list[str]:
    """Return the commands of each code block in their order; every training is short: few images, one epoch, one seed."""
    text = re.sub(r"-p train_limit \S+ -p epochs \S+ ", "", LESSON)
    text = re.sub(r"seeds: \[(\d)[\d, ]*\]", r"seeds: [\1]", text)
    text = re.sub(r"-p split validation$", "-p split validation -y 'seeds: [0]'", text, flags=re.MULTILINE)
    text = text.replace("-p split validation", "-p split validation -p train_limit 300 -p epochs 1")
    return re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.long
def test_the_commands_of_the_lesson_work(tmp_path):
    """In a copy of the repository whose environment has the packages of this one."""
    clone = tmp_path / "a clone"
    for name in ("mnistlib", "coursework", "cloud", "notebooks", ".ci", "reports/results"):
        shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, clone / name)
    bin_ = clone / ".venv" / "bin"
    venv.create(clone / ".venv")
    (packages,) = (clone / ".venv" / "lib").glob("python*/site-packages")
    (packages / "lesson.pth").write_text(f"{clone}\n{sysconfig.get_path('purelib')}\n")
    (clone / ".venv" / "share").symlink_to(Path(sys.prefix) / "share")  # Jupyter's templates
    (bin_ / "mnistlib").write_text('#!/bin/sh\nexec python -m mnistlib "$@"\n')
    (bin_ / "mnistlib").chmod(0o755)
    (clone / ".venv" / ".ready").write_text(f"{clone}\n")

    def run(block: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", f". .venv/bin/activate\n{block}"],
            cwd=clone,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    def saved(name: str) -> result.Result:
        return result.read(clone / "build" / "results" / f"{name}.json")

    activate, expected, three, more, copy, control, strong, chosen, at_home, clean = blocks()
    run(activate)
    assert run(expected).count("**Hypothesis:**") == len(STEPS)
    run(three)
    for name in ("02b_anneal", "03_augment", "again/03_augment"):
        assert f"`build/{name}.html`" in LESSON and (clone / "build" / f"{name}.html").is_file()
    assert "degrees=9.0" in run(copy)
    run(control)
    assert saved("04_mine").difference.effect.value == 0 and saved("04_mine").difference.from_ == "03_augment"
    for block, degrees in ((strong, 45), (chosen, 18)):
        run(block)
        assert saved("04_mine").recipe.augment.degrees == degrees and (clone / "build" / "04_mine.html").is_file()
    plain = re.compile(r" -[py] ('[^']*'|\S+ \S+)| --out \S+")  # what differs between commands that are otherwise those that ran
    ran = {plain.sub("", line) for block in (three, chosen) for line in block.splitlines()}
    assert {plain.sub("", line) for line in [*more.splitlines(), *at_home.splitlines()]} <= ran
    run(clean)
    assert not (clone / "build").exists() and not list((clone / "notebooks").glob("04_mine*"))
