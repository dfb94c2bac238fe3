"""The anatomy of nets, against figures worked out by hand and against what the nets do."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mnistlib import models
from mnistlib.errors import SettingError
from mnistlib.models.parts import conv, drop, head
from mnistlib.report import model_summary


def block(n_in: int, n_out: int, *, groups: int = 1, padding: int = 0, dilation: int = 1, kernel: int = 3) -> list[nn.Module]:
    """Return convolution without bias, normalization, ReLU as plain leaves."""
    return [
        nn.Conv2d(n_in, n_out, kernel, padding=padding, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    ]


def canonical() -> nn.Sequential:
    """Return the course's well-known net of 13,808 parameters; its figures are worked out below."""
    return nn.Sequential(
        *block(1, 16), *block(16, 32), nn.Conv2d(32, 10, 1, bias=False), nn.MaxPool2d(2), *block(10, 16), *block(16, 16),
        *block(16, 16), *block(16, 16, padding=1), nn.AvgPool2d(6), nn.Conv2d(16, 10, 1, bias=False), nn.Flatten(),
    )  # fmt: skip


def four_pools() -> nn.Sequential:
    """Return a published net that pools four times, so that its last kernel stands on a 1x1 map."""
    layers: list[nn.Module] = []
    for n_in, n_out in [(1, 4), (4, 8), (8, 12), (12, 16)]:
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.15)]
    layers += [nn.Conv2d(16, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


def dilated() -> nn.Sequential:
    """Return a published net of 7,926 parameters: depthwise, pointwise and dilated convolutions, down to a 1x1 map."""

    def separable(n_in: int, n_out: int, padding: int = 1, kernel: int = 3) -> list[nn.Module]:
        depthwise = nn.Conv2d(n_in, n_in, kernel, padding=padding, groups=n_in, bias=False)
        return [depthwise, nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]

    def spread(n_in: int) -> list[nn.Module]:
        return block(n_in, 10, padding=1, dilation=2)

    return nn.Sequential(
        *separable(1, 10), *spread(10), *separable(10, 10), *spread(10), *separable(10, 10), *spread(10), *separable(10, 13),
        nn.MaxPool2d(2), *separable(13, 10, padding=0, kernel=1), *spread(10), *separable(10, 10), *spread(10), *separable(10, 13),
        *block(13, 13, padding=1, dilation=3), *separable(13, 13, padding=0), *separable(13, 10, padding=0, kernel=1)[:2],
        nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip


def ours() -> nn.Sequential:
    """Return a net in the style of the series."""
    return nn.Sequential(conv(1, 8, 5, padding=0, pool=True), *drop(0.1), conv(8, 12), conv(12, 16, pool=True), head(16))


class TestByHand:
    """Figures worked out on paper."""

    def test_canonical_net(self) -> None:
        """Its table agrees with the arithmetic: 3x3 layers add 2, after pooling 4; the average pool is the last glance."""
        found = model_summary.of(canonical())
        convolutions = [leaf for leaf in found.leaves if leaf.kind.startswith("conv")]
        assert [leaf.n_parameters for leaf in convolutions] == [144, 4608, 320, 1440, 2304, 2304, 2304, 160]
        assert found.n_parameters == 13_808
        by_hand = 144 * 26**2 + 4608 * 24**2 + 320 * 24**2 + 1440 * 10**2 + 2304 * 8**2 + 2304 * 6**2 + 2304 * 6**2 + 160
        assert found.n_macs == by_hand == 3_393_376
        assert [leaf.receptive_field for leaf in convolutions] == [3, 5, 5, 10, 14, 18, 22, 28]
        assert [leaf.jump for leaf in convolutions] == [1, 1, 1, 2, 2, 2, 2, None]
        assert found.receptive_field == 22
        assert found.leaves[-2].output == (10, 1, 1)
        assert found.wasted == ()

    def test_flattened_net(self) -> None:
        """A linear layer on a flattened map sees everything; the field counted is the map's."""
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10),
        )  # fmt: skip
        found = model_summary.of(net)
        pools_and_convolutions = [leaf for leaf in found.leaves if "x" in leaf.kind]
        assert [leaf.receptive_field for leaf in pools_and_convolutions] == [3, 5, 6, 10, 14, 16, 24, 24, 28]
        assert (found.n_parameters, found.receptive_field) == (8194, 28)
        assert found.leaves[-1].n_macs == 1440
        assert found.leaves[-1].jump is None

    def test_dilated_net(self) -> None:
        """Dilation spreads the kernel; on a map that is 1x1 already the field stays as it was, though it exceeds the image."""
        found = model_summary.of(dilated())
        assert (found.n_parameters, found.receptive_field) == (7926, 62)
        assert [waste.kind for waste in found.wasted] == ["idle pool"]

    def test_parts_are_rows(self) -> None:
        """A net of the series has a row for each part, whose leaves are one call away."""
        found = model_summary.of(ours())
        assert [(row.name, row.output, row.n_parameters, row.receptive_field, row.jump) for row in found.layers] == [
            ("0", (8, 12, 12), 216, 6, 2),
            ("1", (8, 12, 12), 0, 6, 2),
            ("2", (12, 12, 12), 888, 10, 2),
            ("3", (16, 6, 6), 1760, 16, 4),
            ("4", (10,), 170, 28, None),
        ]
        assert [row.n_macs for row in found.layers] == [200 * 24 * 24, 0, 864 * 144, 1728 * 144, 160]
        assert found.layers[0].kind == "conv 1→8 5x5, max pool 2x2, norm, ReLU"
        assert found.layers[1].kind == "dropout 0.1"
        assert found.layers[4].kind == "global maximum, linear 16→10"
        assert [leaf.name for leaf in found.layers[0].leaves] == ["0.conv", "0.pool", "0.norm", "0.relu"]
        assert [leaf.receptive_field for leaf in found.layers[0].leaves] == [5, 6, 6, 6]
        assert found.receptive_field == 16
        assert len(found.leaves) == 4 + 1 + 3 + 4 + 2

    def test_sides_may_differ(self) -> None:
        """Kernels need not be square; the longer side is the one told."""
        found = model_summary.of(nn.Sequential(nn.Conv2d(1, 2, (1, 5), stride=(1, 2), bias=False), nn.Conv2d(2, 2, (3, 1), bias=False)))
        assert [(leaf.output, leaf.receptive_field, leaf.jump) for leaf in found.leaves] == [((2, 28, 12), 5, 2), ((2, 26, 12), 5, 2)]
        assert found.leaves[0].kind == "conv 1→2 1x5 stride 1x2"

    def test_shared_layer_costs_once(self) -> None:
        """A layer that works twice has its parameters counted once and its multiplications twice."""
        shared = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        found = model_summary.of(nn.Sequential(shared, nn.ReLU(), shared))
        assert (found.n_parameters, found.n_macs, found.receptive_field) == (9, 2 * 9 * 784, 5)

    @pytest.mark.parametrize("name", models.NETS)
    def test_nets_by_name(self, name: str) -> None:
        """Every net of the library has the parameters torch counts, and every net of ours at most eight rows."""
        net = models.build(name)
        found = model_summary.of(net)
        assert found.n_parameters == sum(parameter.numel() for parameter in net.parameters())
        assert len(found.layers) <= 8 or name not in models.OURS


class TestWaste:
    """What costs and cannot help."""

    def test_four_pools(self) -> None:
        """The published net with four pools wastes eight of nine weights of its last kernel, all its biases, and more."""
        found = model_summary.of(four_pools())
        assert found.n_parameters == 4506
        assert [(waste.name, waste.n_parameters) for waste in found.wasted if waste.kind == "redundant bias"] == [
            ("0", 4), ("5", 8), ("10", 12), ("15", 16), ("20", 10),
        ]  # fmt: skip
        (dead,) = [waste for waste in found.wasted if waste.kind == "dead taps"]
        assert (dead.name, dead.n_parameters) == ("20", 1280)
        assert dead.sentence == "1,280 of 1,440 weights of the conv 16→10 3x3 with bias only ever meet padding: its map is 1x1."
        assert [waste.name for waste in found.wasted if waste.kind == "unread pixels"] == ["13", "18"]  # 7 to 3, 3 to 1
        assert [(waste.name, waste.n_parameters) for waste in found.wasted if waste.kind == "on the logits"] == [("21", 20), ("22", 0)]
        assert [waste.name for waste in found.wasted if waste.kind == "idle pool"] == ["23"]
        assert found.receptive_field == 78

    def test_average_pool_drops_a_row(self) -> None:
        """An average over twelve of thirteen rows is still the last glance, and leaves a row and a column unread."""
        found = model_summary.of(nn.Sequential(nn.Conv2d(1, 4, 4, stride=2, bias=False), nn.AvgPool2d(12), nn.Flatten()))
        assert found.receptive_field == 4
        (unread,) = found.wasted
        assert unread.sentence == "Of its 13x13 map, the average pool 12x12 never reads 1 of the rows and 1 of the columns."

    def test_a_relu_on_the_logits_keeps_them_above_zero_only_where_nothing_moves_them_after(self) -> None:
        """A normalization after it shifts what it flattened."""
        alone = model_summary.of(nn.Sequential(nn.Conv2d(1, 10, 28), nn.ReLU(), nn.Flatten()))
        shifted = model_summary.of(nn.Sequential(nn.Conv2d(1, 10, 28), nn.ReLU(), nn.BatchNorm2d(10), nn.Flatten()))
        assert [waste.sentence for waste in alone.wasted] == ["Past the last weights, the ReLU lets no logit fall below zero."]
        assert [waste.sentence for waste in shifted.wasted] == [
            "Past the last weights, the ReLU flattens the logits below zero.",
            "Past the last weights, the norm normalizes the logits over the batch.",
        ]

    def test_bias_is_redundant_only_where_the_norm_undoes_it(self) -> None:
        """Pooling lets a bias through to the norm; a ReLU in between makes use of it."""
        through = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
        used = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
        assert [waste.name for waste in model_summary.of(through).wasted] == ["0"]
        assert model_summary.of(used).wasted == ()

    def test_bias_makes_no_difference(self) -> None:
        """What is called a redundant bias changes nothing in training: that is what the word claims."""
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU())
        images = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        first = net(images)
        with torch.no_grad():
            net[0].bias += torch.tensor([1.0, -2.0, 0.5, 3.0])
        torch.testing.assert_close(net(images), first, atol=1e-4, rtol=1e-4)

    def test_logits(self) -> None:
        """Normalization, ReLU and dropout after the last weights are named; log-softmax is not."""
        after = [nn.Flatten(), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.1), nn.LogSoftmax(1)]
        net = nn.Sequential(nn.Conv2d(1, 10, 28, bias=False), *after)
        assert [(waste.name, waste.kind) for waste in model_summary.of(net).wasted] == [(name, "on the logits") for name in "234"]

    @given(
        size=st.integers(1, 9), kernel=st.integers(1, 5), stride=st.integers(1, 3), padding=st.integers(0, 4), dilation=st.integers(1, 3)
    )
    @settings(max_examples=60, deadline=None)
    def test_dead_and_unread_are_what_gradients_never_reach(self, size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
        """A weight is dead, and a pixel unread, exactly where the gradient of all outputs is zero."""
        if (kernel - 1) * dilation + 1 > size + 2 * padding:
            return
        layer = nn.Conv2d(2, 3, kernel, stride=stride, padding=padding, dilation=dilation, bias=False)
        nn.init.ones_(layer.weight)
        images = torch.ones(1, 2, size, size, requires_grad=True)
        layer(images).sum().backward()
        wasted = {waste.kind: waste for waste in model_summary.of(nn.Sequential(layer), (2, size, size)).wasted}
        n_dead = int((layer.weight.grad == 0).sum())
        assert (wasted["dead taps"].n_parameters if "dead taps" in wasted else 0) == n_dead
        unread_rows = int((images.grad[0, 0] == 0).all(1).sum())
        assert ("unread pixels" in wasted) == (unread_rows > 0)
        if unread_rows:
            assert f"never reads {unread_rows} of the rows" in wasted["unread pixels"].sentence


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


class TestMeasured:
    """The arithmetic agrees with what nets do."""

    @given(net=nets())
    @settings(max_examples=60, deadline=None)
    def test_receptive_field_by_gradients(self, net: nn.Sequential) -> None:
        """The rows from which a gradient comes back span the receptive field, and the next output's begin one jump later."""
        found = model_summary.of(net, (1, 300, 300))  # so large that no pool is a global one
        field, jump = found.leaves[-1].receptive_field, found.leaves[-1].jump
        size = 2 * field + 4 * jump + 8
        assume(size <= 120)
        rows = model_summary.of(net, (1, size, size)).leaves[-1].output[1]
        first, second = (rows_seen(net, size, rows // 2 + step) for step in (0, 1))
        assert first[0] > 0 and second[-1] < size - 1  # neither touches the border
        assert first[-1] - first[0] + 1 == field == found.receptive_field
        assert second[0] - first[0] == jump

    @given(net=nets())
    @settings(max_examples=30, deadline=None)
    def test_multiplications_as_torch_counts_them(self, net: nn.Sequential) -> None:
        """MACs are half of the floating-point operations that torch sees convolutions do."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 1, 40, 40))
        assert 2 * model_summary.of(net, (1, 40, 40)).n_macs == counter.get_total_flops()

    def test_multiplications_of_ours(self) -> None:
        """MACs of a net of the series, linear layer included, are half of torch's operations."""
        net = ours().eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 1, 28, 28))
        assert 2 * model_summary.of(net).n_macs == counter.get_total_flops()

    @pytest.mark.parametrize("training", [True, False])
    def test_looking_changes_nothing(self, training: bool) -> None:
        """A look leaves mode, weights, running statistics and the random state as they were."""
        net = ours().train(training)
        net[0].norm.eval()  # a mixed mode stays mixed
        before = {name: value.clone() for name, value in net.state_dict().items()}
        state = torch.get_rng_state()
        model_summary.of(net)
        assert torch.equal(torch.get_rng_state(), state)
        assert net[0].conv.training == training and not net[0].norm.training
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class TestRefusals:
    """What anatomy cannot tell, it says."""

    def test_shapes_that_do_not_fit(self) -> None:
        """The layer that cannot go on is named."""
        with pytest.raises(SettingError, match=r"Layer '1.conv'.*shape \(8, 28, 28\)"):
            model_summary.of(nn.Sequential(conv(1, 8), conv(9, 8)))

    def test_unknown_layer(self) -> None:
        """A layer that may look anywhere is refused, not guessed."""
        with pytest.raises(SettingError, match="'1' is a PixelShuffle; anatomy knows"):
            model_summary.of(nn.Sequential(conv(1, 8), nn.PixelShuffle(2)))

    def test_branches(self) -> None:
        """A container that is no Sequential is refused: its wiring cannot be seen."""

        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = conv(8, 8)

            def forward(self, maps: torch.Tensor) -> torch.Tensor:
                return maps + self.body(maps)

        with pytest.raises(SettingError, match="'1' is a Residual with layers of its own"):
            model_summary.of(nn.Sequential(conv(1, 8), Residual()))


class TestSignature:
    """The description that goes into a trial's key."""

    def test_is_stable_json(self) -> None:
        """It survives JSON, does not depend on mode, weights or device, and holds just what is said here for two leaves."""
        net = ours()
        signature = model_summary.signature(net)
        assert json.loads(json.dumps(signature)) == signature == model_summary.signature(ours().eval())
        assert signature[0] == {
            "name": "0.conv", "kind": "Conv2d", "in_channels": 1, "out_channels": 8, "kernel_size": [5, 5], "stride": [1, 1],
            "padding": [0, 0], "dilation": [1, 1], "groups": 1, "padding_mode": "zeros", "bias": False,
        }  # fmt: skip
        assert signature[-1] == {"name": "4.linear", "kind": "Linear", "in_features": 16, "out_features": 10, "bias": True}
        assert [entry["kind"] for entry in signature[:5]] == ["Conv2d", "MaxPool2d", "BatchNorm2d", "ReLU", "Dropout2d"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, bias=False)),
            (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding=1)),
            (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2)),
            (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, dilation=2)),
            (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=2)),
            (nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1)),
            (nn.MaxPool2d(2), nn.MaxPool2d(3)),
            (nn.MaxPool2d(2), nn.AvgPool2d(2)),
            (nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, ceil_mode=True)),
            (nn.BatchNorm2d(4), nn.BatchNorm2d(5)),
            (nn.BatchNorm2d(4), nn.BatchNorm2d(4, momentum=0.2)),
            (nn.Dropout2d(0.1), nn.Dropout2d(0.2)),
            (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),  # not a listed kind: told by its plain values
            (nn.PReLU(1), nn.PReLU(4)),
            (nn.GELU(), nn.GELU("tanh")),
        ],
    )
    def test_tells_what_differs(self, one: nn.Module, other: nn.Module) -> None:
        """Any attribute that changes the arithmetic changes the signature."""
        assert model_summary.signature(nn.Sequential(one)) != model_summary.signature(nn.Sequential(other))
        json.dumps(model_summary.signature(nn.Sequential(one, other)))

    def test_sharing_counts(self) -> None:
        """One layer used twice is not the same net as two layers alike."""
        shared = nn.Conv2d(1, 1, 3)
        tied = model_summary.signature(nn.Sequential(shared, shared))
        assert tied[1]["same_as"] == "0"
        assert tied != model_summary.signature(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)))

    def test_working_in_place_does_not_count(self) -> None:
        """A ReLU gives the same values in place or not."""
        assert model_summary.signature(nn.Sequential(nn.ReLU())) == model_summary.signature(nn.Sequential(nn.ReLU(inplace=True)))
