"""What a GPU that waits for slower workers shows, and whether its signs agree. Pure.

Utilisation below that of the peers is the sure sign, and not enough: a GPU that is fed too slowly shows it as well, and sets the pace
all the same, while its peers spin in a collective and look busy. So the pace-setter must show why it is the slow one, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carbonzeus_operator.plan.curve import Curve

BUSY = 0.9
"""Where no GPU is so busy, something else than a GPU sets the pace."""
SLACK = 0.05
"""A GPU that is less busy than the pace-setter by this share waits; by less, it may be anything."""
POWER_SIGN = 0.25
"""So much of the slack must show in the power at least: a GPU that waits is far from drawing nothing."""
CLOCK_SIGN = 0.5
"""So much of the slack the pace-setter's clock must be lower by, to be the reason."""
ALIKE = 0.02
"""Clocks that differ by less are the same."""
WATT = 1.0
"""Limits that differ by no more are the same."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one GPU showed over a window at one limit, as an energy record tells it. None: not known."""

    product: str
    seconds: float
    limit_w: float | None
    average_w: float | None
    utilization: float | None
    """Share of the time (0 to 1)."""
    sm_mhz: float | None
    """Mean under load."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The same, complete, beside what the product's curve says of the limit."""

    product: str
    limit_w: float
    average_w: float
    utilization: float
    sm_mhz: float
    r: float
    """Throughput at the limit."""
    load: float
    """Average power, relative to the curve's."""

    @property
    def effort(self) -> float:
        """The pace in parts of this GPU's own speed at the reference limit: what it needs to be as fast as."""
        return self.utilization * self.r

    def compares_with(self, other: Sight) -> bool:
        """Whether both are the same product at the same limit."""
        return self.product == other.product and abs(self.limit_w - other.limit_w) <= WATT


def hardest(shown: Sequence[Shown], curves: Mapping[str, Curve]) -> Sight | None:
    """Of a pod's GPUs the one with the most to do; None where a figure of any is missing, or cannot be."""
    sights = [_complete(each, curves) for each in shown]
    whole = [sight for sight in sights if sight is not None]
    return max(whole, key=lambda sight: sight.effort) if whole and len(whole) == len(sights) else None


def waits_for(sight: Sight, setter: Sight) -> bool:
    """Whether a GPU clearly waits for the one that sets the pace. Both at the limits of the plan.

    It is less busy. And either the other's clock is lower at the same limit, by enough to be the reason; or it works less by its
    power, too, while the other draws what a GPU draws that works all the time.
    """
    slack = 1.0 - sight.utilization / setter.utilization
    if slack < SLACK:
        return False
    if sight.compares_with(setter):
        if sight.sm_mhz < (1.0 - ALIKE) * setter.sm_mhz:
            return False  # slower by its clock, and less busy: that is no waiting
        if setter.sm_mhz <= (1.0 - CLOCK_SIGN * slack) * sight.sm_mhz:
            return True
    least = 1.0 - POWER_SIGN * slack
    return sight.load <= least * setter.load and setter.load >= least


def _complete(shown: Shown, curves: Mapping[str, Curve]) -> Sight | None:
    curve = curves.get(shown.product)
    if curve is None or not (shown.limit_w and shown.average_w and shown.utilization and shown.sm_mhz):
        return None
    full_w, r = curve.at(shown.limit_w)
    load = shown.average_w / full_w
    return Sight(shown.product, shown.limit_w, shown.average_w, shown.utilization, shown.sm_mhz, r, load)
