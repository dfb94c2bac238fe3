"""The learning-rate schedulers of published recipes: torch's own, by their names and with their arguments."""

from typing import Annotated, Any, Literal

from pydantic import Field
from torch.optim import Optimizer, lr_scheduler

from mnistlib.errors import between, validated


@validated
class StepLR:
    """The learning rate times `gamma` after every `step_size` epochs."""

    step_size: Annotated[int, between(1, 100)]  # epochs
    gamma: Annotated[float, between(1e-6, 1)] = 0.1
    name: Literal["StepLR"] = "StepLR"


@validated
class OneCycleLR:
    """The learning rate up to the recipe's along a cosine, then down to almost zero; the momentum (Adam's first beta) down and up."""

    pct_start: Annotated[float, between(0.001, 0.999)] = 0.3  # fraction of all steps spent going up
    div_factor: Annotated[float, between(1, 1e9)] = 25.0  # the peak divided by this is the first learning rate
    final_div_factor: Annotated[float, between(1, 1e9)] = 1e4  # the first one divided by this is the last
    base_momentum: Annotated[float, between(0, 0.999)] = 0.85  # at the peak
    max_momentum: Annotated[float, between(0, 0.999)] = 0.95  # at both ends
    name: Literal["OneCycleLR"] = "OneCycleLR"


@validated
class ReduceLROnPlateau:
    """The learning rate times `factor` once the monitored accuracy has not improved for more than `patience` epochs."""

    factor: Annotated[float, between(1e-6, 0.999)] = 0.1
    patience: Annotated[int, between(0, 100)] = 10
    threshold: Annotated[float, between(0, 1)] = 1e-4  # relative improvement on the best accuracy that counts as one
    name: Literal["ReduceLROnPlateau"] = "ReduceLROnPlateau"


Scheduler = Annotated[StepLR | OneCycleLR | ReduceLROnPlateau, Field(discriminator="name")]


def make(scheduler: Scheduler, optimizer: Optimizer, total_steps: int) -> Any:
    """Return torch's scheduler of an optimizer whose learning rate is the recipe's."""
    arguments = {name: value for name, value in vars(scheduler).items() if name in type(scheduler).__dataclass_fields__ and name != "name"}
    peak = optimizer.param_groups[0]["lr"]
    more = {"OneCycleLR": {"max_lr": peak, "total_steps": total_steps}, "ReduceLROnPlateau": {"mode": "max"}}
    return getattr(lr_scheduler, scheduler.name)(optimizer, **arguments, **more.get(scheduler.name, {}))
