"""What a run is to have of a cloud, and what it will be given: values, checked before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mnistlib import formatting
from mnistlib.aws.s3 import Address
from mnistlib.errors import SettingError
from mnistlib.sweep.job import Job

MINUTES = (5, 24 * 60)  # that a run may be given


@dataclass(frozen=True)
class Wish:
    """What a run is to have of a cloud."""

    bucket: str
    instance_type: str
    region: str | None = None  # None: the one that AWS's settings name
    stack: str = "mnistlib"
    spot: bool = False
    minutes: int = 120  # after which it is stopped
    image: str | None = None  # None: the service's default
    price: float | None = None  # US dollars an hour; None: asked of AWS

    def __post_init__(self) -> None:
        low, high = MINUTES
        if not low <= self.minutes <= high:
            raise SettingError(f"minutes is {self.minutes}; it must be a whole number from {low} to {formatting.count(high)}.")
        if self.price is not None and not 0 <= self.price < 1000:
            raise SettingError(f"price is {self.price}; it must be US dollars an hour, from 0 to below 1,000.")


@dataclass(frozen=True)
class Plan:
    """A run, and the machine that it is to have; nothing of it exists yet."""

    unit: Job
    at: Address
    wish: Wish
    region: str
    image: str
    minutes: int  # that the machine may live, set-up included
    price: float | None  # US dollars an hour
    request: dict[str, Any]  # what the service is asked for

    def __str__(self) -> str:
        """Return what a reader should know before it is started."""
        cost = "cost not known" if self.price is None else f"{'at most ' * self.wish.spot}{formatting.dollars(self.price)} an hour"
        return (
            f"{self.unit.name}: {'spot ' * self.wish.spot}{self.wish.instance_type} in {self.region}, image {self.image}, {cost}, "
            f"at most {formatting.seconds(60 * self.minutes)}; everything goes to {self.at}"
        )
