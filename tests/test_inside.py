"""What a net has learned: maps and places are those of the net, tables count every image once, corruptions do what they say."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from example_results import result as example
from html_tables import Tables, rows
from torch import nn

import inside
from mnistlib import data, files, formatting, models, steps
from mnistlib.notebook import runner
from mnistlib.report import result as results
from mnistlib.stats import intervals, misclassified

NET = models.init_weights(models.build("narrow"), 0).eval()


class OnePixel(nn.Module):
    """A net that looks at one pixel alone: with ink there, the image is a seven."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(pixels), 10)
        logits[:, 7] = 8 * (pixels[:, 0, 10, 12] > 0)
        return logits


def test_the_page_says_whose_nets_it_shows():
    said = inside.whose(example())
    assert said.text == "These are the nets of 03_augment (Augmentation), 3 seeds; the first three figures show seed 0."
    assert '<a href="03_augment.html">03_augment</a>' in said.html


def test_kernels_and_maps_are_those_of_the_net(few):
    weights = next(NET.parameters()).detach()
    assert f"{float(weights.abs().max()):.2f}" in inside.kernels(NET).alt and "8 kernels" in inside.kernels(NET).alt
    shown = inside.maps(NET, few.eval.images[0])
    assert "8 × 12 × 12" in shown.alt and "16 × 4 × 4" in shown.alt and len(shown.axes[0].images) == 1 + 8 + 12 + 16 + 16 + 16
    image = data.normalise(few.eval.images[:1, None].float())
    signs = (weights > 0).flatten(1).any(1) & (weights < 0).flatten(1).any(1)
    assert inside.kernels(NET).caption.startswith(f"{int(signs.sum())} of 8 ")
    with torch.inference_mode():
        assert f"{(NET[0](image)[0].flatten(1).max(1).values > 0).float().mean():.0%} of the first layer's maps" in shown.caption
        np.testing.assert_allclose(shown.axes[0].images[1].get_array(), NET[0](image)[0, 0], rtol=1e-5)


def test_what_the_prediction_rests_on_is_where_hiding_it_changes_the_prediction():
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[10, 12] = 255
    sure, digit, lost = inside.occluded(OnePixel(), image)
    assert digit == 7 and sure > 0.99
    half = inside.PATCH // 2
    place = torch.zeros(28, 28, dtype=torch.bool)
    place[10 - half : 11 + half, 12 - half : 13 + half] = True
    assert torch.equal(lost > 0.5, place) and not lost[~place].any()
    shown = inside.occlusion(OnePixel(), torch.stack([image, 0 * image]), [7, 3])
    assert shown.caption.startswith("1 of 2 predictions ")
    assert "7 predicted as 7 with 100%" in shown.alt and "3 predicted as 0 with 10%" in shown.alt


def test_confidence_is_compared_with_accuracy_bin_by_bin():
    wrong = np.array([[False, False, True, False], [False, True, True, False]])
    confidences = np.array([[0.9995, 0.6, 0.6, 1.0], [0.9995, 0.6, 0.95, 1.0]])
    said = rows(inside.reliability(wrong, confidences))
    assert said["50.0 to 70.0%"] == ["1.5", "60.00%", "33.33%"] and said["99.9 to 100.0%"][0] == "2.0"
    assert sum(float(row[0]) for name, row in said.items() if "to" in name) == 4


def test_groups_have_the_interval_of_their_own_images(mnist):
    part = mnist.eval.subset(np.arange(0, 10_000, 50))
    wrong = np.zeros((2, len(part.labels)), bool)
    wrong[0, ::9] = True
    said = rows(inside.by_group(wrong, part))
    names = misclassified.group_names(part.groups)
    assert set(names) == set(misclassified.GROUPS)
    for name in misclassified.GROUPS:
        among = names == name
        made = intervals.accuracy(wrong[:, among], part.writers[among], part.groups[among])
        assert said[name][1:] == [formatting.count(among.sum()), formatting.percent(made.value), formatting.interval(made.interval)]


def test_every_image_and_every_mistake_is_counted_once():
    labels = np.zeros(6, int)
    predictions = np.array([[0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 0]])
    shown = inside.agreement(predictions, predictions != labels)
    said = rows(shown)
    assert [int(row[0]) for name, row in said.items() if "seed" in name or "half" in name] == [2, 1, 1, 1, 1]
    assert sum(int(row[1]) for name, row in said.items() if "seed" in name or "half" in name) == predictions.sum()
    assert "two seeds differ on 1.7 images" in repr(shown) and "a single seed" in repr(
        inside.agreement(predictions[:1], predictions[:1] > 0)
    )


def test_disputed_labels_stand_beside_what_the_seeds_say(mnist):
    predictions = np.stack([mnist.eval.labels.numpy()] * 3)
    predictions[0, 947] = 9
    said = rows(inside.disputed(predictions, mnist.eval.labels.numpy()))
    assert said["947"] == ["8", "another digit", "8 (2), 9 (1)"] and len(said) == 1 + len(misclassified.LABEL_ERRORS)


WARPS = steps.AUGMENT.augment


def test_corruptions_do_what_they_say(few):
    images = few.eval.images[:20, None].float()
    made = {(kind, strength): damage(images.clone()) for (kind, strength, _), damage in inside.corruptions(WARPS).items()}
    assert torch.equal(made["none", "as it is"], images) and all(one.min() > -0.01 and one.max() < 255.01 for one in made.values())
    torch.testing.assert_close(made["shift", "2.0 px"][..., 2:], images[..., :-2], atol=0.1, rtol=0)
    torch.testing.assert_close(made["contrast", "40%"], 0.4 * images)
    assert 15 < (made["noise", "sd 10% of white"] - images)[images > 60].std() < 30
    blurred = made["blur", "sd 1.5 px"]
    assert float(blurred.mean()) == pytest.approx(float(images.mean()), rel=0.02) and blurred.max() < images.max()
    apart = [float((made["rotation", f"{degrees}.0°"] - images).abs().mean()) for degrees in (10, 20, 40)]
    assert apart == sorted(apart) and apart[0] > 1


def test_damaged_images_are_evaluated_with_every_net(few):
    part = replace(few.eval)
    figure, shown = inside.damaged([NET, NET], part, WARPS)
    said = Tables(shown.html).rows[1:]
    plain = (inside.evaluate(NET, few.eval)[1] == few.eval.labels.numpy()).mean()
    assert said[0] == ["none", "as it is", "", formatting.percent(plain), "0.0"] and len(said) == len(inside.corruptions(WARPS))
    known = {(row[0], row[1]): row[2] for row in said}
    assert known["shift", "1.0 px"] == "yes" and known["rotation", "10.0°"] == "in kind, weaker" and known["blur", "sd 0.7 px"] == "no"
    assert "15 corruptions" in figure.alt and "2 seeds" in repr(shown)
    kind, strength = min(said, key=lambda row: float(row[3].rstrip("%")))[:2]
    assert figure.caption.startswith(f"{kind.capitalize()} ({strength}) costs most, ")


def test_the_committed_page_is_of_the_committed_nets():
    page = (files.root() / "reports" / "inside.html").read_text()
    shown = runner.parameters_of(files.notebook("inside"))["step"]
    made = json.loads((files.root() / "reports" / "results" / f"{shown}.json").read_text())
    assert made["keys"]["recipe"] in page and made["provenance"]["commit"] in page
    result = results.read(files.root() / "reports" / "results" / f"{shown}.json")
    first = result.runs[:5]
    assert inside.whose(result).html in page, "inside.html is stale; run `make pages`"
    (row,) = re.findall(r">none</th>.*?</tr>", page, flags=re.DOTALL)
    assert f">{formatting.percent(float(np.mean([run.final for run in first])))}<" in row
