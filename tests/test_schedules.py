"""Learning rates and momenta: torch's own schedulers, step by step."""

from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Adam, Optimizer, lr_scheduler

from mnistlib.errors import SettingError
from mnistlib.published import schedulers
from mnistlib.published.schedulers import Cyclic, Moment, OneCycle, Plateau, Stepped
from mnistlib.recipe import Recipe, Steering

N_STEPS, EPOCHS, LR = 7, 15, 0.05
ACCURACIES = (0.5, 0.9, 0.9, 0.90001, 0.8, 0.91, 0.91, 0.91, 0.91, 0.92, 0.1, 0.1, 0.1, 0.1, 0.1)


def by_torch(make: Callable[[Optimizer], object], optimizer: Optimizer, per: str) -> tuple[list[float], list[float]]:
    """Return torch's learning rate and momentum at every step of a run."""
    schedule, rates, momenta = make(optimizer), [], []
    for done in range(N_STEPS * EPOCHS):
        group = optimizer.param_groups[0]
        rates.append(group["lr"])
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
        optimizer.step()
        last = (done + 1) % N_STEPS == 0
        if per == "accuracy" and last:
            schedule.step(ACCURACIES[done // N_STEPS])
        elif done + 1 < N_STEPS * EPOCHS and (per == "step" or (per == "epoch" and last)):
            schedule.step()
    return rates, momenta


def ours(schedule: object) -> tuple[list[float], list[float | None]]:
    moments = [Moment(epoch, step, N_STEPS, EPOCHS, ACCURACIES[:epoch]) for epoch in range(EPOCHS) for step in range(N_STEPS)]
    return [LR * schedule.at(moment) for moment in moments], [schedule.momentum(moment) for moment in moments]


def weights() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(1))]


CASES = [
    (Stepped(every=6, factor=0.1), lambda o: lr_scheduler.StepLR(o, 6, 0.1), "epoch", False),
    (Stepped(every=4, factor=0.4), lambda o: lr_scheduler.StepLR(o, 4, 0.4), "epoch", False),
    (OneCycle(), lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=N_STEPS * EPOCHS), "step", True),
    (Cyclic(base=0.1, up=10), lambda o: lr_scheduler.CyclicLR(o, LR / 10, LR, 10, cycle_momentum=False), "step", False),
    (Cyclic(base=0.1, up=10, low=0.8, high=0.9), lambda o: lr_scheduler.CyclicLR(o, LR / 10, LR, 10), "step", True),
    (Plateau(factor=0.1, patience=3), lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", 0.1, 3), "accuracy", False),
    (Plateau(factor=0.5, patience=0), lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", 0.5, 0), "accuracy", False),
]


@pytest.mark.parametrize(("schedule", "make", "per", "cycled"), CASES)
def test_rates_and_momenta_are_torchs_own(schedule, make, per, cycled):
    rates, momenta = by_torch(make, SGD(weights(), lr=LR, momentum=0.9), per)
    own_rates, own_momenta = ours(schedule)
    assert own_rates == pytest.approx(rates, rel=1e-9, abs=1e-15)
    assert len(set(rates)) > 1
    assert own_momenta == (pytest.approx(momenta, rel=1e-9) if cycled else [None] * len(momenta))


def test_one_cycle_moves_adams_first_beta_as_torch_does():
    _, betas = by_torch(lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=N_STEPS * EPOCHS), Adam(weights(), lr=LR), "step")
    assert ours(OneCycle())[1] == pytest.approx(betas, rel=1e-9) and min(betas) == pytest.approx(0.85, rel=1e-3)


def test_one_cycle_may_rise_for_one_step_only():
    """torch divides by zero there; the first step is the peak, and the rest goes down."""
    shares = [OneCycle(rise=0.1).at(Moment(0, step, 10, 1)) for step in range(10)]
    assert shares[0] == 1 and shares == sorted(shares, reverse=True) and shares[-1] == pytest.approx(1 / 25 / 1e4)


def test_a_plateau_says_which_images_it_goes_by():
    with pytest.raises(SettingError, match="needs a Steering"):
        Recipe("brisk", schedule=Plateau())
    assert Recipe("brisk", schedule=Plateau(), steering=Steering(by="validation")).steering.keep == "last"


@pytest.mark.parametrize("kind", schedulers.KINDS.values())
def test_fields_out_of_range_are_refused_in_a_sentence(kind):
    field = "every" if kind is Stepped else "rise" if kind is OneCycle else "up" if kind is Cyclic else "patience"
    with pytest.raises(SettingError, match=f"{kind.__name__}.{field} is -1; it must be"):
        kind(**{field: -1})
