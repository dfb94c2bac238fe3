"""Dropout of single values by drawing distances: each value silenced independently, as often as asked, forwards as backwards."""

import math
from types import SimpleNamespace

import pytest
import torch

from mnistlib.published import dropout
from mnistlib.published.dropout import Dropout

RATES = (0.01, 0.05, 0.15)
SHAPE = (200, 8, 12, 12)


def silenced(p: float, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> torch.Tensor:
    """Return which values are silenced, True or False."""
    torch.manual_seed(seed)
    return Dropout(p).train()(torch.ones(shape)) == 0


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize("p", [*RATES, 0.3])
@pytest.mark.parametrize("shape", [SHAPE, (20_000, 24)])
def test_as_many_are_silenced_as_asked_for(p, shape):
    mask = silenced(p, shape)
    assert mask.float().mean().item() == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / mask.numel()))
    counts = mask.flatten(1).float().sum(1)  # of an image: binomial
    n = mask[0].numel()
    assert counts.var().item() == pytest.approx(n * p * (1 - p), rel=6 * math.sqrt(2 / len(counts)))


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_neighbours_are_silenced_independently(p, axis):
    mask = silenced(p).float()
    n = mask.shape[axis]
    pair = torch.stack([mask.narrow(axis, 0, n - 1).flatten(), mask.narrow(axis, 1, n - 1).flatten()])
    assert abs(torch.corrcoef(pair)[0, 1].item()) < 5 / math.sqrt(pair.shape[1])


@pytest.mark.parametrize("p", RATES)
def test_every_place_is_silenced_as_often_as_another(p):
    """No place is favoured: the first and last ones of the drawing neither."""
    share = torch.stack([silenced(p, (1, 50), seed)[0] for seed in range(400)]).float().mean(0)
    assert (share - p).abs().max().item() < 5 * math.sqrt(p * (1 - p) / 400)


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_the_gradient_meets_the_mask_that_the_values_met_and_the_mean_is_kept(form):
    maps = torch.ones(SHAPE).contiguous(memory_format=form).requires_grad_()
    torch.manual_seed(1)
    out = Dropout(0.1).train()(maps)
    out.sum().backward()
    assert torch.equal(maps.grad, out.detach()) and out.unique().tolist() == pytest.approx([0, 1 / 0.9])
    assert out.mean().item() == pytest.approx(1, abs=0.005)
    other = torch.rand(SHAPE).requires_grad_()
    torch.manual_seed(1)
    weights = torch.rand(SHAPE)  # a gradient of another layout than the values
    torch.manual_seed(1)
    (Dropout(0.1).train()(other) * weights).sum().backward()
    assert torch.equal(other.grad == 0, out.detach() == 0)


def test_nothing_is_silenced_where_a_net_judges_or_the_rate_is_zero():
    maps = torch.rand(SHAPE)
    assert torch.equal(Dropout(0.1).eval()(maps), maps) and torch.equal(Dropout(0.0).train()(maps), maps)


def test_the_seed_decides_what_is_silenced():
    assert torch.equal(silenced(0.05, seed=3), silenced(0.05, seed=3)) and not torch.equal(silenced(0.05, seed=3), silenced(0.05, seed=4))


def test_a_drawing_that_falls_short_goes_on(monkeypatch):
    """Once in very many draws the distances do not reach the end; here the first ones are too few on purpose."""
    short = iter([-500.0])
    monkeypatch.setattr(dropout, "math", SimpleNamespace(sqrt=lambda value: next(short, math.sqrt(value)), log1p=math.log1p))
    torch.manual_seed(0)
    places = dropout.rare(100_000, 0.05)
    assert (places.diff() > 0).all() and places[-1] < 100_000
    assert [len(part) for part in (places[places < 50_000], places[places >= 50_000])] == pytest.approx([2_500, 2_500], abs=250)
