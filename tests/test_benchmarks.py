"""The benchmark: its rivals are the published ones, its arithmetic is checked by hand, its page tells the committed record."""

import json
import struct

import pytest
import torch

from benchmarks import __main__ as benchmark
from benchmarks import goals, processes, rows, step
from benchmarks.rivals import RIVALS
from mnistlib import data, files, steps
from mnistlib.errors import ResultError
from mnistlib.report import markup, speed

RECORD = files.root() / "reports" / "benchmarks.json"
MODEL4, EXAMPLE = (rival.title for rival in RIVALS.values())


def some(*values: float, letter: str = "a", what: str = "a seed, all epochs", who: str = rows.OURS, unit: str = "s", **more) -> rows.Row:
    return rows.Row(letter, what, who, unit, values, **more)


def seconds(reached: bool = True) -> list[rows.Row]:
    """Return rows a and b of a made-up run."""
    return [
        some(40.0, 50.0, 60.0, parts={"import": 2.0, "train": 48.0}),
        some(210.0, 200.0, 190.0, who=MODEL4),
        some(400.0, who=EXAMPLE),
        some(20.0, letter="b", what="time to the target", about={"reached": reached, "final": [0.9951, 0.9941, 0.9936]}),
        some(200.0, letter="b", what="time to the target", who=MODEL4, about={"reached": False, "final": [0.9931]}),
        some(400.0, letter="b", what="time to the target", who=EXAMPLE, about={"reached": None, "final": []}),
    ]


def record(made: list[rows.Row]) -> dict:
    about = {"started": "2026-03-04T05:06:07Z", "seconds": 61.0, "cpu": "A processor", "cores": 2, "instructions": "AVX2", "gpu": None}
    about |= {"system": "Linux x86_64", "torch": "2.0", "torchvision": "0.0", "python": "3.11.7"}
    return {"schema": 1, "rows": [row.to_json() for row in made], "goals": goals.judge(made), "provenance": about}


def test_the_rivals_are_the_published_nets():
    for name, count in (("model4", 7_776), ("example", 1_199_882)):
        net = RIVALS[name].net()
        assert sum(value.numel() for value in net.parameters()) == count
        assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert (RIVALS["model4"].epochs, RIVALS["example"].epochs) == (15, 14)


def test_a_whole_schedule_is_the_start_and_all_its_epochs():
    run = {"seconds": 27.0, "epochs": [10.0, 14.0], "parts": {"import": 2.0, "data": 1.0, "train": 20.0, "evaluate": 4.0}}
    assert rows.schedule(run, 15) == pytest.approx(3 + 15 * 12)
    assert rows.scaled(run, 15) == {"import": 2.0, "data": 1.0, "train": 150.0, "evaluate": 30.0}


def test_goals_are_ratios_of_medians_and_can_be_missed():
    by_name = {(goal["row"], goal["goal"]): goal for goal in goals.judge(seconds())}
    assert by_name["a", 4]["value"] == 4.0 and by_name["a", 4]["reached"] and not by_name["a", 6]["reached"]
    assert by_name["b", 5]["value"] == 10.0 and by_name["b", 5]["reached"] and not by_name["b", 15]["reached"]
    assert set(by_name) == {("a", 4), ("a", 6), ("b", 5), ("b", 15)}  # nothing is judged that was not measured
    slower = some(9.9, letter="f", what="what the notebook adds")
    assert goals.judge([slower])[0]["reached"] and not goals.judge([some(10.1, letter="f", what="what the notebook adds")])[0]["reached"]


def test_a_rival_counts_in_as_many_threads_as_are_quickest_for_it():
    two = [some(36.0, letter="c", what="two processes", who=who, unit="seeds per hour") for who in (MODEL4, EXAMPLE)]  # 200 s a seed
    faster = [some(72.0, letter="c", what="two processes", who=MODEL4, unit="seeds per hour"), two[1]]  # 100 s a seed
    for pair, expected in ((two, (4.0, 10.0)), (faster, (2.0, 5.0))):
        judged = {(goal["row"], goal["goal"]): goal["value"] for goal in goals.judge([*seconds(), *pair])}
        assert (judged["a", 4], judged["b", 5]) == expected


def test_no_time_counts_for_a_schedule_that_does_not_arrive():
    late = [goal for goal in goals.judge(seconds(reached=False)) if goal["row"] == "b"]
    assert late and not any(goal["reached"] for goal in late)
    assert rows.reached([0.9951, 0.9941, 0.9936]) and not rows.reached([0.9951, 0.9939, 0.9936]) and rows.reached([]) is None


def test_the_page_shows_every_row_and_goal_and_loads_nothing(tmp_path):
    path = files.write_json(tmp_path / "benchmarks.json", record(seconds()))
    page = speed.build(path).read_text()
    assert "50 s" in page and "40 s to 1 min 00 s" in page and "3 min 20 s" in page and "import 2.0 s" in page
    assert "not reached, a lower bound" in page and "median accuracy 99.41% over 3 seeds" in page and "2 of 4" in page
    assert page.count('class="verdict missed"') == 2 and not markup.addresses(page)
    (tmp_path / "benchmarks.json").write_text("{")
    with pytest.raises(ResultError, match="benchmarks.json cannot be read.*make bench"):
        speed.build(path)


def test_a_table_measured_later_takes_its_place_and_says_when(tmp_path):
    early = record([some(10.0, letter="a"), some(60.0, letter="i", what="one node"), some(90.0, letter="i", what="two nodes")])
    about = early["provenance"] | {"started": "2027-01-02T00:00:00Z"}
    pair = [some(60.0, letter="i", what=what, unit="runs an hour") for what in ("one node", "two nodes")]
    value = benchmark.merged(early, pair, about)
    assert [(row["row"], row["median"]) for row in value["rows"]] == [("a", 10.0), ("i", 60.0), ("i", 60.0)]
    assert [(goal["row"], goal["value"], goal["reached"]) for goal in value["goals"]] == [("i", 1.0, False)]
    assert value["provenance"] == early["provenance"] and value["later"] == {"i": about}
    page = speed.page(value)
    assert "Table i on 2027-01-02" in page and "Runs an hour" in page and "Table i on" not in speed.page(early)
    assert benchmark.merged(value, [], {**about, "cpu": "Another"}) == value  # judged anew, nothing measured
    assert "cores of Another" in speed.page(benchmark.merged(early, pair, {**about, "cpu": "Another", "cores": 2}))


def images(path, array) -> None:
    """Write an IDX file of bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
    path.write_bytes(header + array.astype("uint8").tobytes())


@pytest.mark.slow
def test_rivals_run_as_processes_and_every_second_has_a_part(tmp_path):
    few = data.load("digits", limit=200)
    for name, part in (("train", few.train), ("t10k", few.test)):
        images(tmp_path / "MNIST" / "raw" / f"{name}-images-idx3-ubyte", part.images.numpy())
        images(tmp_path / "MNIST" / "raw" / f"{name}-labels-idx1-ubyte", part.labels.numpy())
    for run in processes.run(*(["benchmarks.rivals", name, "--folder", str(tmp_path), "--epochs", "2"] for name in RIVALS)):
        assert sum(run["parts"].values()) == pytest.approx(run["seconds"], rel=0.01)
        assert set(run["parts"]) == {"import", "data", "train", "evaluate", "rest"} and len(run["epochs"]) == 2 == len(run["accuracy"])
    with pytest.raises(SystemExit, match="benchmarks.rivals nobody ended with code 2"):
        processes.run(["benchmarks.rivals", "nobody"])


@pytest.mark.slow
def test_every_variant_of_a_step_runs_and_undoing_an_economy_changes_no_result():
    pixels = torch.rand(4, 1, 28, 28)
    for name in step.VARIANTS:
        if name != "torch.compile":  # needs a C++ compiler
            (made,) = processes.run(["benchmarks.step", "04_speed", "--variant", name, "--rounds", "3"])
            assert made["step"] == pytest.approx(sum(made[part] for part in ("prepare", "forward", "backward", "optimizer")), rel=0.5)
            assert 0 < made["share"] < 1
    net = step.train.fresh(steps.SPEED, 0).eval()
    first = step.activation_first(steps.SPEED).eval()
    torch.testing.assert_close(first(pixels), net(pixels))


def test_the_committed_record_and_its_page_belong_together():
    value = json.loads(RECORD.read_text())
    made = [rows.from_json(row) for row in value["rows"]]
    assert json.loads(json.dumps([row.to_json() for row in made])) == value["rows"]
    assert goals.judge(made) == value["goals"] and {goal["row"] for goal in value["goals"]} >= set("abcdef")
    assert speed.page(value) == RECORD.with_suffix(".html").read_text(), "benchmarks.html is stale; run `make pages`"
    assert not any(about["changed"] for about in (value["provenance"], *value.get("later", {}).values()))
