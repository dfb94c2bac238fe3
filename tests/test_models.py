"""Every net: shape, gradients, first weights from the seed alone; every net of ours: no waste, and dropout of whole maps."""

import pytest
import torch

from mnistlib import models, steps
from mnistlib.errors import SettingError
from mnistlib.models import parts
from mnistlib.recipe import MAX_PARAMETERS
from mnistlib.report import model_summary

NETS = [(name, dropout) for name in models.NETS for dropout in (0.0, 0.1)]


@pytest.mark.parametrize(("name", "dropout"), NETS)
def test_a_net_gives_ten_logits_and_every_parameter_a_gradient(name, dropout):
    net = parts.initialise(models.build(name, dropout), 0)
    logits = net(torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (64, 10)
    logits.square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", models.OURS)
def test_a_net_of_ours_wastes_nothing(name):
    about = model_summary.of(models.build(name))
    assert [waste.sentence for waste in about.wasted] == []


@pytest.mark.parametrize("name", models.OURS)
def test_dropout_is_there_when_asked_for_and_costs_no_parameter(name):
    plain, dropping = models.build(name), models.build(name, 0.1)
    assert not any(isinstance(module, torch.nn.Dropout2d) for module in plain.modules())
    assert any(isinstance(module, torch.nn.Dropout2d) for module in dropping.modules())
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in dropping.parameters())


def test_from_capacity_on_the_steps_keep_the_parameter_limit():
    sizes = {name: model_summary.of(models.build(step.recipe.model)).n_parameters for name, step in steps.STEPS.items()}
    assert sizes["00_skeleton"] >= MAX_PARAMETERS  # the first step gives no thought to size
    assert all(size < MAX_PARAMETERS for name, size in sizes.items() if name != "00_skeleton")


def test_first_weights_come_from_the_seed_and_leave_the_global_random_state():
    nets = [models.build("early") for _ in range(3)]
    before = torch.get_rng_state()
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        parts.initialise(net, seed)
    assert torch.equal(before, torch.get_rng_state())
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_unknown_net_is_named_with_the_nearest():
    with pytest.raises(SettingError, match="no net 'erly'.*Did you mean 'early'"):
        models.build("erly")
