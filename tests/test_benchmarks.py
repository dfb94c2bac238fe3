"""The benchmark: the baselines are the published nets, the goals are computed as stated, the page shows the committed record."""

import html
import re

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from benchmarks import __main__ as command
from benchmarks import baselines, goals, measure, page, processes, record, training_step
from mnistlib import data, files, steps
from mnistlib.errors import ResultError
from website.build import order

COMMITTED = files.root() / "reports" / "benchmarks.json"
MODEL_4, EXAMPLE = (baseline.title for baseline in baselines.BASELINES.values())


def row(*values, table="seed", case="one seed, all epochs", method=record.THIS_SERIES, unit="s", **more) -> record.Row:
    return record.Row(table, case, method, unit, values, **more)


def seconds(reached: bool = True) -> list[record.Row]:
    """Return tables seed and target of a made-up run."""
    target = {"table": "target", "case": "time to the target"}
    return [
        row(40.0, 50.0, 60.0, parts={"import": 2.0, "train": 48.0}, about={"step": "04_frontier"}),
        row(210.0, 200.0, 190.0, method=MODEL_4),
        row(400.0, method=EXAMPLE),
        row(20.0, **target, about={"reached": reached, "final_accuracy": [0.9951, 0.9941, 0.9936]}),
        row(200.0, **target, method=MODEL_4, about={"reached": False, "final_accuracy": [0.9931]}),
        row(400.0, **target, method=EXAMPLE, about={"reached": None, "final_accuracy": []}),
    ]


def made_up(rows: list[record.Row]) -> dict:
    about = {"started": "2026-03-04T05:06:07Z", "seconds": 61.0, "cpu": "A processor", "cores": 2, "instructions": "AVX2", "gpu": None}
    about |= {"system": "Linux x86_64", "torch": "2.0", "torchvision": "0.0", "python": "3.11.7", "commit": None}
    return record.update(record.EMPTY, rows, about) | {"goals": goals.check(rows)}


def values(rows: list[record.Row]) -> dict:
    return {(goal["table"], goal["goal"]): (goal["value"], goal["reached"]) for goal in goals.check(rows)}


def test_the_baselines_are_the_published_nets():
    for name, count in (("model4", 7_776), ("example", 1_199_882)):
        net = baselines.BASELINES[name].net()
        assert sum(value.numel() for value in net.parameters()) == count
        assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert [baseline.epochs for baseline in baselines.BASELINES.values()] == [15, 14]


def test_a_whole_schedule_is_the_start_and_all_its_epochs():
    run = {"seconds": 27.0, "epochs": [10.0, 14.0], "parts": {"import": 2.0, "data": 1.0, "train": 20.0, "evaluate": 4.0}}
    assert measure.whole_schedule(run, 15) == pytest.approx(3 + 15 * 12)
    assert measure.whole_parts(run, 15) == {"import": 2.0, "data": 1.0, "train": 150.0, "evaluate": 30.0}


def test_goals_are_ratios_of_medians_and_only_what_was_measured_counts():
    assert values(seconds()) == {
        ("seed", 4): (4.0, True),
        ("seed", 6): (4.0, False),
        ("target", 25): (10.0, False),
    }
    added = {"table": "notebook", "case": "overhead of the notebook"}
    assert values([row(4.9, **added)]) == {("notebook", 5): (4.9, True)}
    assert values([row(5.1, **added)]) == {("notebook", 5): (5.1, False)}


def test_a_baseline_counts_with_the_threads_that_suit_it_best():
    two = {"table": "throughput", "case": "two processes", "unit": "seeds per hour"}
    slower = [row(36.0, method=method, **two) for method in (MODEL_4, EXAMPLE)]  # 200 s per seed
    faster = [row(72.0, method=MODEL_4, **two), slower[1]]  # 100 s per seed
    for pair, expected in ((slower, (4.0, 10.0)), (faster, (2.0, 5.0))):
        found = values([*seconds(), *pair])
        assert (found["seed", 4][0], found["target", 25][0]) == expected


def test_a_time_counts_only_if_the_target_is_reached():
    found = values(seconds(reached=False))
    assert found["target", 25] == (0.0, False)
    assert measure.reached([0.9951, 0.9941, 0.9936]) and not measure.reached([0.9951, 0.9939, 0.9936])
    assert measure.reached([]) is None


def test_sentences_and_tables_hold_the_figures_of_the_record():
    found = made_up(seconds())
    headline = page.headline(found).text
    assert "One seed of 04_frontier" in headline and "50 s" in headline and "4.0 times" in headline
    assert "10.0 times" in headline and "1 of 3 goals" in headline
    shown = page.table(record.rows(found, "seed"), "One seed").text
    assert "40 s to 1 min 00 s" in shown and "3 min 20 s" in shown and "4.00" in shown and "2.0 s" in shown
    assert "lower bound" in page.table(record.rows(found, "target"), "Target").text
    bars = page.bars(record.rows(found, "seed"), "One seed")
    assert "3 min 20 s" in bars.alt and bars.caption.startswith("The least time is 50 s: this series. ")
    assert page.NOT_MEASURED in page.bars([], "Nothing").text and page.NOT_MEASURED in page.scaling(found).text


def test_more_work_may_take_less_time():
    kinds = {
        "as it is": ("", 10.0, 2.0),
        "net a": ("another net", 7.2, 2.48),
        "net b": ("another net", 15.0, 1.0),
        "net c": ("another net", 10.02, 1.999),
        "x": ("tried", 1.0, 2.0),
    }
    made = [
        row(ms, table="step", case=case, unit="ms", about={"kind": kind, "mflop_per_image": work})
        for case, (kind, ms, work) in kinds.items()
    ]
    said = page.work_and_time(made).text
    assert "net a: 24% more multiplications and 28% less time; net b: 50% fewer multiplications and 50% more time;" in said
    assert "net c: as many multiplications and as much time." in said
    assert page.work_and_time([]).text == ""


def test_a_table_that_is_measured_later_replaces_the_old_one_and_says_when():
    nodes = [row(value, table="sweep", case=case, unit="runs per hour") for value, case in ((60.0, "one node"), (90.0, "two nodes"))]
    found = made_up([row(10.0), *nodes])
    later = found["provenance"]["seed"] | {"started": "2027-01-02T00:00:00Z"}
    new = record.update(found, [row(60.0, table="sweep", case=case) for case in ("one node", "two nodes")], later)
    merged = record.rows(new)
    assert [(one.table, one.median) for one in merged] == [("seed", 10.0), ("sweep", 60.0), ("sweep", 60.0)]
    assert values(merged) == {("sweep", 1.6): (1.0, False)} and new["provenance"] == found["provenance"] | {"sweep": later}
    assert "2027-01-02" in page.machine(new).text and "2027" not in page.machine(found).text


def test_a_run_that_is_stopped_keeps_what_it_measured_and_what_was_there(monkeypatch, tmp_path):
    def stopped(size):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "root", lambda: tmp_path)
    path = files.write_signed(tmp_path / "build" / "benchmarks.json", made_up([row(1.0, table="sweep"), row(2.0, table="step")]))
    monkeypatch.setattr(command, "TABLES", {"augmentation": measure.augmentation, "step": stopped})
    with pytest.raises(KeyboardInterrupt):
        command.benchmark.callback((), quick=True, goals_only=False)
    found = record.read(path)
    assert found["provenance"].keys() == {"sweep", "step", "augmentation"} == {one.table for one in record.rows(found)}
    assert record.rows(found, "step")[0].median == 2.0 and [goal["table"] for goal in found["goals"]] == ["augmentation"]
    files.write_signed(path, found | {"schema": 2})
    with pytest.raises(ResultError, match="another version of the benchmark"):
        command.benchmark.callback((), quick=True, goals_only=True)


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_committed_record_and_page_belong_together():
    found = record.read(COMMITTED)
    rows = record.rows(found)
    assert [one.to_json() | {"values": list(one.values)} for one in rows] == found["rows"]
    assert goals.check(rows) == found["goals"]
    content = COMMITTED.with_suffix(".html").read_text()
    text = words(content)
    assert f'<a href="{list(order(COMMITTED.parent))[-2]}.html" rel="prev">' in content, "whatever made the page"
    tables = [page.table(record.rows(found, table), table) for table in ("seed", "target", "step")]
    for shown in (page.headline(found), *tables, page.machine(found)):
        for line in re.findall(r"<(tr|p).*?>(.*?)</\1>", shown.html, flags=re.DOTALL):
            assert words(line[1]) in text, "benchmarks.html is stale; run `make pages`"
    assert found["provenance"].keys() == {one.table for one in rows}
    assert not any(about["changed"] for about in found["provenance"].values())


def test_no_name_and_no_value_beside_a_bar_is_cut_off():
    found = record.read(COMMITTED)
    for table in found["provenance"].keys() - {"scaling"}:  # it has tables alone
        drawn = page.bars(record.rows(found, table), table)
        axes = drawn.axes[0]
        texts = [*axes.get_yticklabels(), *axes.texts]
        boxes = [text.get_window_extent(FigureCanvasAgg(drawn).get_renderer()) for text in texts]
        assert all(box.x0 >= 0 and box.x1 <= drawn.bbox.width for box in boxes), table


@pytest.mark.slow
def test_the_page_is_the_executed_notebook(tmp_path):
    path = files.write_signed(tmp_path / "benchmarks.json", made_up(seconds()))
    text = page.build(path).read_text()
    assert "10.0 times" in text and "not measured" in text


@pytest.mark.slow
def test_baselines_run_as_processes_and_every_second_has_a_part(tmp_path):
    few = data.load(train_limit=200)
    for name, part in (("train", few.train), ("t10k", few.eval.subset(np.arange(200)))):
        measure.write_idx(tmp_path / "MNIST" / "raw" / f"{name}-images-idx3-ubyte", part.images.numpy())
        measure.write_idx(tmp_path / "MNIST" / "raw" / f"{name}-labels-idx1-ubyte", part.labels.numpy())
    arguments = (["benchmarks.baselines", name, "--folder", str(tmp_path), "--epochs", "2"] for name in baselines.BASELINES)
    for run in processes.run(*arguments):
        assert sum(run["parts"].values()) == pytest.approx(run["seconds"], rel=0.01)
        assert set(run["parts"]) == {"import", "data", "train", "evaluate", "rest"} and len(run["epochs"]) == 2 == len(run["accuracy"])
    with pytest.raises(SystemExit, match="code 2"):
        processes.whole("-c", "raise SystemExit(2)")


@pytest.mark.slow
def test_a_step_is_the_sum_of_its_parts_and_removing_an_optimisation_changes_no_result():
    measured = training_step.measure(training_step.train.new_model(steps.AUGMENT, 0), steps.AUGMENT, "as it is", 6)
    assert measured["step"] == pytest.approx(sum(measured[part] for part in ("prepare", "forward", "backward", "optimizer")), rel=0.5)
    assert 0 < measured["efficiency"] < 1
    pixels, net = torch.rand(4, 1, 28, 28), training_step.train.new_model(steps.AUGMENT, 0).eval()
    torch.testing.assert_close(training_step.activation_first(steps.AUGMENT).eval()(pixels), net(pixels))
