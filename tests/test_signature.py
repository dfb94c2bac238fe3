"""The description of a net that goes into a run's key."""

import json

import pytest
import torch
from torch import nn

from mnistlib import models
from mnistlib.runs.signature import signature


def test_it_is_stable_json_and_says_what_a_layer_is():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 8, 5, bias=False)), nn.ReLU(inplace=True), nn.Linear(4, 2))
    conv, relu, linear = signature(net)
    assert json.loads(json.dumps(signature(net))) == signature(net.eval()) == signature(net.to(torch.float64))
    assert (conv["name"], conv["class"], conv["kernel_size"], conv["weights"]) == ("0.0", "Conv2d", [5, 5], {"weight": [8, 1, 5, 5]})
    assert relu == {"name": "1", "class": "ReLU", "weights": {}}
    assert linear["weights"] == {"weight": [2, 4], "bias": [2]}
    assert signature(models.build("skeleton")) != signature(models.build("skeleton", 0.1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, bias=False)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding=1)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, dilation=2)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=2)),
        (nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1)),
        (nn.MaxPool2d(2), nn.AvgPool2d(2)),
        (nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, ceil_mode=True)),
        (nn.BatchNorm2d(4), nn.BatchNorm2d(4, momentum=0.2)),
        (nn.Dropout2d(0.1), nn.Dropout2d(0.2)),
        (nn.PReLU(1), nn.PReLU(4)),
        (nn.GELU(), nn.GELU("tanh")),
    ],
)
def test_whatever_changes_the_arithmetic_changes_it(one, other):
    assert signature(nn.Sequential(one)) != signature(nn.Sequential(other))
    json.dumps(signature(nn.Sequential(one, other)))


def test_a_shared_layer_is_not_two_layers_alike():
    shared = nn.Conv2d(1, 1, 3)
    tied = signature(nn.Sequential(shared, shared))
    assert tied[1]["same_as"] == "0" and tied != signature(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)))


def test_working_in_place_changes_nothing():
    assert signature(nn.Sequential(nn.ReLU())) == signature(nn.Sequential(nn.ReLU(inplace=True)))
