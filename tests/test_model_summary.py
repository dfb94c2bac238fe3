"""Model summaries, against figures worked out by hand, torch's own counts, and what nets do."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mnistlib import files, models
from mnistlib.errors import SettingError
from mnistlib.models import conv, drop, head
from mnistlib.report import model_summary
from selection import candidates

RESULTS = sorted((files.root() / "reports").rglob("results/*.json"))
NETS = {*models.NETS, *(made.change["model"] for step in candidates.CANDIDATES.values() for made in step if "model" in made.change)}


def flops(net: nn.Module, *size: int) -> int:
    """Return the floating-point operations that torch counts for one input."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, *size))
    return counter.get_total_flops()


def block(n_in: int, n_out: int, padding: int = 0) -> list[nn.Module]:
    """Return convolution without bias, normalization, ReLU as plain leaves."""
    return [nn.Conv2d(n_in, n_out, 3, padding=padding, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]


def canonical() -> nn.Sequential:
    """Return a well-known net of 13,808 parameters; its figures are worked out below."""
    return nn.Sequential(
        *block(1, 16), *block(16, 32), nn.Conv2d(32, 10, 1, bias=False), nn.MaxPool2d(2), *block(10, 16), *block(16, 16),
        *block(16, 16), *block(16, 16, 1), nn.AvgPool2d(6), nn.Conv2d(16, 10, 1, bias=False), nn.Flatten(),
    )  # fmt: skip


def four_pools() -> nn.Sequential:
    """Return a published net that pools four times, so that its last kernel stands on a 1x1 map."""
    layers: list[nn.Module] = []
    for n_in, n_out in [(1, 4), (4, 8), (8, 12), (12, 16)]:
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.15)]
    layers += [nn.Conv2d(16, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


def ours() -> nn.Sequential:
    """Return a net in the style of the series."""
    return nn.Sequential(conv(1, 8, 5, padding=0, pool=True), *drop(0.1), conv(8, 12), conv(12, 16, pool=True), head(16))


# By hand


def test_a_well_known_net_by_hand():
    found = model_summary.of(canonical())
    convolutions = [layer for layer in found.layers if layer.kind.startswith("conv")]
    assert [layer.n_parameters for layer in convolutions] == [144, 4608, 320, 1440, 2304, 2304, 2304, 160]
    by_hand = 144 * 26**2 + 4608 * 24**2 + 320 * 24**2 + 1440 * 10**2 + 2304 * 8**2 + 2304 * 6**2 + 2304 * 6**2 + 160
    assert (found.n_parameters, found.n_macs, found.receptive_field) == (13_808, by_hand, 22)
    assert [layer.receptive_field for layer in convolutions] == [3, 5, 5, 10, 14, 18, 22, 28]
    assert found.layers[-2].output == (10, 1, 1) and found.wasted == ()


def test_a_net_that_flattens_by_hand():
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10),
    )  # fmt: skip
    found = model_summary.of(net)
    sliding = [layer for layer in found.layers if "x" in layer.kind]
    assert [layer.receptive_field for layer in sliding] == [3, 5, 6, 10, 14, 16, 24, 24, 28]
    assert (found.n_parameters, found.receptive_field, found.layers[-1].n_macs) == (8194, 28, 1440)


def test_parts_are_rows():
    found = model_summary.of(ours())
    assert [(row.output, row.n_parameters, row.receptive_field) for row in found.layers] == [
        ((8, 12, 12), 216, 6), ((8, 12, 12), 0, 6), ((12, 12, 12), 888, 10), ((16, 6, 6), 1760, 16), ((10,), 170, 28),
    ]  # fmt: skip
    assert [row.n_macs for row in found.layers] == [200 * 24 * 24, 0, 864 * 144, 1728 * 144, 160]
    assert [found.layers[k].kind for k in (0, 1, 4)] == [
        "conv 1→8 5x5, max pool 2x2, norm, ReLU", "dropout 0.1", "global average, linear 16→10",
    ]  # fmt: skip
    assert found.receptive_field == 16


def test_the_longer_side_counts_and_dilation_spreads():
    found = model_summary.of(nn.Sequential(nn.Conv2d(1, 2, (1, 5), stride=(1, 2), bias=False), nn.Conv2d(2, 2, (3, 1), bias=False)))
    assert [(layer.output, layer.receptive_field) for layer in found.layers] == [((2, 28, 12), 5), ((2, 26, 12), 5)]
    assert found.layers[0].kind == "conv 1→2 1x5 stride 1x2"
    assert model_summary.of(nn.Sequential(nn.Conv2d(1, 2, 3, dilation=3), nn.AdaptiveAvgPool2d(11))).receptive_field == 8


def test_weights_that_two_parts_share_are_refused():
    shared = nn.Conv2d(1, 1, 3)
    with pytest.raises(SettingError, match="Layer '1' shares weights"):
        model_summary.of(nn.Sequential(nn.Sequential(shared), nn.Sequential(shared), models.head(1)))
    tied = nn.Conv2d(1, 1, 3)
    tied.weight = shared.weight
    with pytest.raises(SettingError, match="Layer '1' shares weights"):
        model_summary.of(nn.Sequential(shared, tied, models.head(1)))


def test_a_shared_layer_has_its_parameters_once_and_works_twice():
    shared = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    found = model_summary.of(nn.Sequential(shared, nn.ReLU(), shared))
    assert (found.n_parameters, found.n_macs, found.receptive_field) == (9, 2 * 9 * 784, 5)


# As torch counts


@pytest.mark.parametrize("name", sorted(NETS))
def test_every_net_as_torch_counts_it(name):
    net = models.build(name)
    found = model_summary.of(net)
    assert found.n_parameters == sum(parameter.numel() for parameter in net.parameters())
    assert 2 * found.n_macs == flops(net, 1, 28, 28)
    assert len(found.layers) <= 8 and found.wasted == ()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_net_is_what_its_result_says(path):
    made = json.loads(path.read_text())
    net = models.build(made["model"], made["recipe"]["dropout"])
    found = model_summary.of(net)
    assert [found.n_parameters, found.n_macs, found.receptive_field] == [made[n] for n in ("n_parameters", "n_macs", "receptive_field")]
    layers = nn.Sequential(*(part for part in net if not getattr(part, "moves_only", False)))  # moving the image has no weights to multiply
    assert 2 * found.n_macs == flops(layers, 1, 28, 28)


def test_a_linear_layer_on_a_map_works_at_every_position():
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Linear(26, 5), nn.Flatten(), nn.Linear(1040, 1))
    found = model_summary.of(net)
    assert found.layers[1].n_macs == 26 * 5 * 8 * 26 and 2 * found.n_macs == flops(net, 1, 28, 28)
    assert found.receptive_field == 3 and found.layers[1].receptive_field == 28  # it sees whole rows


# Waste


def test_four_pools_waste_most_of_the_last_kernel():
    found = model_summary.of(four_pools())
    assert (found.n_parameters, found.receptive_field) == (4506, 78)
    expected = [
        "cancels its 4 biases", "cancels its 8 biases", "cancels its 12 biases", "7x7 map", "cancels its 16 biases", "3x3 map",
        "cancels its 10 biases", "1,280 of 1,440 weights", "norm normalizes", "ReLU sets", "1x1 already",
    ]  # fmt: skip
    assert all(words in text for words, text in zip(expected, found.wasted, strict=True))


def test_an_average_pool_that_leaves_out_a_row():
    found = model_summary.of(nn.Sequential(nn.Conv2d(1, 4, 4, stride=2, bias=False), nn.AvgPool2d(12), nn.Flatten()))
    assert found.receptive_field == 4  # the pooling is a global one all the same
    (unread,) = found.wasted
    assert "13x13" in unread and "1 of the rows" in unread


def test_a_bias_is_redundant_only_where_the_norm_undoes_it():
    through = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    used = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    assert len(model_summary.of(through).wasted) == 1 and model_summary.of(used).wasted == ()
    images = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    first = through(images)
    with torch.no_grad():
        through[0].bias += torch.tensor([1.0, -2.0, 0.5, 3.0])
    torch.testing.assert_close(through(images), first, atol=1e-4, rtol=1e-4)


def test_what_still_changes_the_logits_is_named():
    after = [nn.Flatten(), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.1), nn.GELU(), nn.LogSoftmax(1)]
    net = nn.Sequential(nn.Conv2d(1, 10, 28, bias=False), *after)
    words = ["norm normalizes", "ReLU sets", "dropout 0.1 drops", "GELU bends"]
    assert all(effect in text for effect, text in zip(words, model_summary.of(net).wasted, strict=True))


def test_padding_that_wraps_around_leaves_no_dead_taps():
    assert model_summary.of(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")), (1, 1, 1)).wasted == ()
    assert model_summary.of(nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)), (1, 7, 7)).wasted == ()


@pytest.mark.slow
@given(size=st.integers(1, 9), kernel=st.integers(1, 5), stride=st.integers(1, 3), padding=st.integers(0, 4), dilation=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_dead_taps_and_unread_rows_are_those_that_no_position_of_the_window_reads(size, kernel, stride, padding, dilation):
    assume((kernel - 1) * dilation + 1 <= size + 2 * padding)
    layer = nn.Conv2d(2, 3, kernel, stride=stride, padding=padding, dilation=dilation, bias=False)
    n_out = (size + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1
    reads = [{tap * dilation - padding + stride * place for place in range(n_out)} & set(range(size)) for tap in range(kernel)]
    wasted = " ".join(model_summary.of(nn.Sequential(layer), (2, size, size)).wasted)
    n_dead = 6 * (kernel**2 - sum(map(bool, reads)) ** 2)
    assert ("meet padding" in wasted) == (n_dead > 0) and (not n_dead or f"{n_dead} of {6 * kernel**2} weights" in wasted)
    unread = size - len(set().union(*reads))
    assert ("never reads" in wasted) == (unread > 0) and (not unread or f"{unread} of the rows" in wasted)


# Measured


@st.composite
def nets(draw: st.DrawFn) -> nn.Sequential:
    """Draw a small net of convolutions, pools, norms and ReLUs whose weights are all positive."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "max", "average"]))
        if kind == "conv":
            kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
            padding = draw(st.integers(0, kernel))
            stride = draw(st.integers(1, 2))
            n_in = next((layer.out_channels for layer in reversed(layers) if isinstance(layer, nn.Conv2d)), 1)
            groups = draw(st.sampled_from([1, n_in]))
            layers.append(nn.Conv2d(n_in, 2 * groups, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=False))
            nn.init.constant_(layers[-1].weight, 0.5)
            layers += draw(st.sampled_from([[], [nn.ReLU()], [nn.BatchNorm2d(2 * groups).eval(), nn.ReLU()]]))
        else:
            kernel = draw(st.integers(1, 3))
            stride = draw(st.integers(1, kernel))
            layers.append((nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(kernel, stride, padding=draw(st.integers(0, kernel // 2))))
    return nn.Sequential(*layers)


def rows_seen(net: nn.Module, size: int, unit: int) -> list[int]:
    """Return the image rows on which an output in row `unit` depends: image i is bright in row i alone, so no maximum hides it."""
    images = torch.eye(size).reshape(size, 1, size, 1).expand(size, 1, size, size).clone().requires_grad_()
    outputs = net(images)
    outputs[:, :, unit, outputs.shape[3] // 2].sum().backward()
    return [row for row in range(size) if images.grad[row, 0, row].any()]


@pytest.mark.slow
@given(net=nets())
@settings(max_examples=30, deadline=None)
def test_a_gradient_comes_back_from_the_whole_receptive_field(net):
    field = model_summary.of(net, (1, 300, 300)).receptive_field  # so large that no pool is a global one
    size = 2 * field + 72
    assume(size <= 120)
    found = model_summary.of(net, (1, size, size))
    rows = rows_seen(net, size, found.layers[-1].output[1] // 2)
    assert rows[0] > 0 and rows[-1] < size - 1 and rows[-1] - rows[0] + 1 == field == found.receptive_field
    assert 2 * found.n_macs == flops(net, 1, size, size)


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(training):
    net = ours().train(training)
    net[0].norm.eval()  # a mixed mode stays mixed
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    model_summary.of(net)
    assert torch.equal(torch.get_rng_state(), state)
    assert net[0].conv.training == training and not net[0].norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# Refusals


class Residual(nn.Module):
    """A net with a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv(8, 8)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the maps with their convolution added."""
        return maps + self.body(maps)


@pytest.mark.parametrize(
    ("net", "word"),
    [
        (nn.Sequential(conv(1, 8), conv(9, 8)), "9 channels"),
        (nn.Sequential(conv(1, 8), nn.PixelShuffle(2)), "'1' is a PixelShuffle"),
        (nn.Sequential(conv(1, 8), Residual()), "'1' is a Residual"),
    ],
)
def test_what_cannot_be_summarised_is_refused(net, word):
    with pytest.raises(SettingError, match=word):
        model_summary.of(net)
