"""Separable convolutions, what is used several times, and the parts of small nets."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnistlib import augment, data, models
from mnistlib.report import model_summary
from mnistlib.separable import recurrent
from selection.nets import BiasNorm, Deslant, HeConv, Residual, ScaleShift, recurrent_plain, residual, separable, tiny


def test_the_recurrent_net_uses_one_convolution_again_and_again_with_norms_of_its_own():
    net = recurrent(first=4, width=6, uses=3).eval()
    first, raised, repeated, last = net
    for norm in (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)):  # or all would be alike
        norm.running_mean.normal_()
        norm.weight.data.normal_()
    shared, _, *norms = repeated
    maps = raised(first(torch.randn(2, 1, 28, 28)))
    out = maps
    for norm in norms:
        mixed = F.conv2d(F.conv2d(out, shared.depthwise.weight, groups=6), shared.pointwise.weight)
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None]
        out = ((mixed - norm.running_mean[:, None, None]) * scale + norm.bias[:, None, None]).relu()
    torch.testing.assert_close(repeated(maps), out)
    assert len(norms) == 3 and last(out).shape == (2, 10)


def test_the_recurrent_net_counts_its_weights_once_and_its_work_every_time():
    found, more = (model_summary.of(recurrent(uses=uses)) for uses in (1, 4))
    assert more.n_parameters - found.n_parameters == 3 * 2 * 64 and more.n_parameters == 7_562
    assert more.layers[2].kind == "4 times: conv 64→64 3x3 64 groups, conv 64→64 1x1, norm, ReLU" and more.layers[2].output == (64, 4, 4)
    assert sum(value.numel() for name, value in recurrent().state_dict().items() if "running" not in name and "num" not in name) == 7_562
    assert more.layers[2].n_macs == (9 * 64 + 64 * 64) * (10**2 + 8**2 + 6**2 + 4**2)


def test_a_block_has_a_shortcut_where_shapes_stay_the_same():
    maps = torch.randn(2, 6, 9, 9)
    same, smaller, wider = separable(6, 6), separable(6, 6, 0), separable(6, 8)
    assert [isinstance(block, Residual) for block in (same, smaller, wider)] == [True, False, False]
    inner = F.conv2d(F.conv2d(maps, same.depthwise.weight, padding=1, groups=6), same.pointwise.weight)
    mean, var = inner.mean((0, 2, 3), keepdim=True), inner.var((0, 2, 3), unbiased=False, keepdim=True)
    torch.testing.assert_close(same(maps), maps + ((inner - mean) / (var + 1e-5).sqrt()).relu(), atol=1e-4, rtol=1e-4)
    assert smaller(maps).shape == (2, 6, 7, 7) and wider(maps).shape == (2, 8, 9, 9)


@pytest.mark.parametrize(("options", "n"), [({}, 7_658), ({"width": 33, "paddings": (0, 1, 0, 0, 0), "weighted": 4}, 7_846)])
def test_the_nets_have_the_parameters_that_the_layers_add_up_to(options, n):
    net = residual(**options)
    assert model_summary.of(net).n_parameters == sum(value.numel() for value in net.parameters()) == n
    assert net(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(("options", "n"), [({}, 997), ({"deslanted": True}, 997), ({"widths": (8, 17), "uses": 3}, 978)])
def test_a_tiny_net_shares_what_it_uses_more_than_once(options, n):
    net = tiny(**options)
    found = model_summary.of(net)
    assert found.n_parameters == sum(value.numel() for value in net.parameters()) == n and found.wasted == ()
    assert ("deslanting" in found.layers[0].kind) == options.get("deslanted", False)
    assert net(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_deslanting_undoes_a_shear_and_leaves_an_upright_digit_alone(mnist):
    bar = torch.zeros(1, 1, 28, 28)
    bar[:, :, 4:24, 13:15] = 255
    slanted = torch.cat([augment.warp(bar, augment.to_grid(_shear(degrees), 28)) for degrees in (-25.0, 25.0)])
    upright = Deslant()(data.normalise(bar.clone()))
    assert (upright - data.normalise(bar.clone())).abs().max() < 1e-4
    assert (Deslant()(data.normalise(slanted.clone())) - upright).abs().mean() < 0.25 * (
        data.normalise(slanted.clone()) - upright
    ).abs().mean()
    low = (Deslant()(data.normalise(slanted.roll(4, 2))) * data.SD + data.MEAN)[:, 0].sum(1)  # ink by column, of bars below the middle
    torch.testing.assert_close(
        low @ torch.arange(28.0) / low.sum(1), slanted[:, 0].sum(1) @ torch.arange(28.0) / slanted.sum((1, 2, 3)), atol=0.1, rtol=0
    )
    digits = data.normalise(mnist.eval.images[:200].unsqueeze(1).float())
    once = Deslant()(digits)
    assert np.abs(_slants(once)).mean() < 0.1 * np.abs(_slants(digits)).mean()
    blank = data.normalise(torch.zeros(1, 1, 28, 28))
    torch.testing.assert_close(Deslant()(blank), blank)


def _shear(degrees: float) -> augment.AffineParams:
    one = torch.ones(1)
    return augment.AffineParams(0 * one, one, one, degrees * one, torch.zeros(1, 2), None)


def _slants(pixels: torch.Tensor) -> list[float]:
    """Return the covariance of x and y of each digit's ink over the variance of y."""
    found = []
    for image in (pixels * data.SD + data.MEAN).clamp(min=0)[:, 0].double().numpy():
        y, x = np.indices(image.shape)
        cov = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=image.ravel())
        found.append(cov[0, 1] / cov[1, 1])
    return found


def test_a_norm_without_a_scale_is_one_whose_scales_are_one():
    values, plain, short = torch.randn(8, 3, 4, 4), nn.BatchNorm2d(3), BiasNorm(3)
    torch.testing.assert_close(short(values), plain(values))
    assert [name for name, _ in short.named_parameters()] == ["bias"]
    with torch.no_grad():
        short.bias += 1
    short.reset_parameters()
    assert not short.bias.any() and not short.running_mean.any()
    assert model_summary.describe(short) == "norm with bias only"


def test_the_net_without_normalization_has_its_layers_and_its_parameters():
    norm, plain = (models.init_weights(net(), 0) for net in (recurrent, recurrent_plain))
    assert [value.shape for value in plain.parameters()] == [value.shape for value in norm.parameters()]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())
    maps, scales = torch.randn(2, 3, 4, 4), ScaleShift(3)
    torch.testing.assert_close(scales(maps), maps)
    scales.weight.data, scales.bias.data = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 2.0])
    torch.testing.assert_close(scales(maps)[:, 2], 3 * maps[:, 2] + 2)
    for batch_norm, layer in zip(*(list(net.modules()) for net in (norm, plain)), strict=True):
        assert isinstance(layer, ScaleShift) == isinstance(batch_norm, nn.BatchNorm2d)


def test_without_normalization_only_he_initialization_lets_images_differ_at_the_output(few):
    pixels = data.normalise(few.train.images.unsqueeze(1).float())
    he, own = (models.init_weights(recurrent_plain(), 0) for _ in range(2))
    for layer in own.modules():
        if isinstance(layer, HeConv):
            nn.Conv2d.reset_parameters(layer)
    spread = {name: net(pixels).std(0).mean().item() for name, net in (("he", he), ("own", own))}
    assert spread["own"] < 1e-3 and spread["he"] > 0.05
