"""Every net: shape, gradients, first weights from the seed alone; dropout of whole maps."""

import pytest
import torch
from torch import nn

from mnistlib import models, steps
from mnistlib.errors import SettingError
from mnistlib.recipe import MAX_PARAMETERS


def n_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", models.NETS)
def test_a_net_gives_ten_logits_and_every_parameter_a_gradient(name):
    plain, dropping = (models.init_weights(models.build(name, dropout), 0) for dropout in (0.0, 0.1))
    for net in (plain, dropping):
        logits = net(torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
        assert logits.shape == (16, 10)
        logits.square().sum().backward()
        for key, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key
    assert not any(isinstance(module, nn.Dropout2d) for module in plain.modules())
    assert any(isinstance(module, nn.Dropout2d) for module in dropping.modules()) or name == "softmax"  # which has no feature maps
    assert n_parameters(plain) == n_parameters(dropping)


def test_the_parts_are_what_their_arguments_say():
    images = torch.randn(2, 3, 14, 14)
    assert models.conv(3, 5, 3)(images).shape == (2, 5, 14, 14)
    assert models.conv(3, 5, 5, padding=0, pool=True)(images).shape == (2, 5, 5, 5)
    assert models.conv(3, 5, 4, padding=0, stride=2)(images).shape == (2, 5, 6, 6)
    assert models.conv(3, 5)[0].bias is None
    torch.testing.assert_close(models.head(3)[0](images), images.mean((2, 3)))
    assert models.head(3, nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()))(images).shape == (2, 10)
    assert models.drop(0) == [] and models.drop(0.2)[0].p == 0.2


def test_the_floor_and_the_steps_keep_the_parameter_limit():
    sizes = {name: n_parameters(models.build(step.recipe.model)) for name, step in (steps.STEPS | steps.ABLATIONS).items()}
    assert sizes["softmax"] == 7_850 and all(size < MAX_PARAMETERS for size in sizes.values())
    assert sizes["00_skeleton"] < sizes["softmax"] < sizes["01_capacity"]  # the skeleton beats the floor with fewer parameters


def test_first_weights_come_from_the_seed_and_leave_the_global_random_state():
    nets = [models.build("narrow") for _ in range(3)]
    before = torch.get_rng_state()
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        models.init_weights(net, seed)
    assert torch.equal(before, torch.get_rng_state())
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_net_is_also_named_by_its_import_path():
    assert n_parameters(models.build("mnistlib.models:narrow", 0.1)) == n_parameters(models.build("narrow"))


@pytest.mark.parametrize("name", ["narow", "no_such_package:net", "mnistlib.models:no_such_net", "mnistlib.models:", ":", "", "a b:c"])
def test_an_unknown_net_is_refused(name):
    with pytest.raises(SettingError, match="no net"):
        models.build(name)


def test_the_nearest_net_is_named():
    with pytest.raises(SettingError, match="Did you mean 'narrow'"):
        models.build("narow")


@pytest.mark.parametrize("name", ["mnistlib.models:NETS", "math:sqrt"])
def test_what_is_no_net_is_refused(name):
    with pytest.raises(SettingError, match=name):
        models.build(name)


def test_a_net_that_takes_no_dropout_is_refused():
    with pytest.raises(SettingError, match="dropout"):
        models.build("mnistlib.models:GlobalAverage")
