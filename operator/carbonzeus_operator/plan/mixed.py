"""Several GPU products in one job: one curve of the whole job, and back to limits per product.

All workers of a job move at the slowest one's pace, so products get limits of equal relative throughput and the job
has one curve: the sum of their powers over r. A job of one product is the same with one group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.curve import Curve, Vertex, lower_hull

Floats = NDArray[np.float64]

FULL = 2.0
"""A throughput nobody reaches: asks for the highest limits, whatever the curve says of lower ones."""


@dataclass(frozen=True, slots=True)
class Group:
    """The GPUs of one product in a job."""

    curve: Curve
    gpus: int


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a GPU's work costs beside the GPU: host power [W] for each GPU, and the site's power usage effectiveness."""

    host_w_per_gpu: float = 0.0
    pue: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """What is really held at n wanted throughputs: limits in whole watts, rounded up, so r may lie above the wanted."""

    limits_w: Floats
    """(products, n)."""
    r: Floats
    watts: Floats
    """Power of the whole job, overhead included."""


@dataclass(frozen=True, slots=True, eq=False)
class JobCurve:
    """Power of the whole job, overhead included, over its relative throughput."""

    products: tuple[str, ...]
    groups: tuple[Group, ...]
    overhead: Overhead
    r: Floats
    """Strictly rising: every throughput at which a product has a point."""
    watts: Floats
    hull: NDArray[np.intp]
    """The points on the lower convex hull in (r, watts)."""
    straight: NDArray[np.bool_]
    """For each stretch of the hull, whether one limit between its ends draws no more than mixing them."""

    @classmethod
    def of(cls, fleet: Mapping[str, Group], overhead: Overhead) -> JobCurve:
        """Raises InvalidSpec for an empty fleet, a GPU count below one or an overhead that cannot be meant."""
        _check(fleet, overhead)
        products = tuple(sorted(fleet))
        groups = tuple(fleet[product] for product in products)
        top = min(group.curve.highest.r for group in groups)
        bottom = min(max(group.curve.lowest.r for group in groups), top)
        wanted = sorted({vertex.r for group in groups for vertex in group.curve.points} | {top, bottom})
        r = np.array([value for value in wanted if bottom <= value <= top])
        watts = _watts(groups, overhead, _limits(groups, r))
        vertices = [Vertex(index, power, value) for index, (power, value) in enumerate(zip(watts, r, strict=True))]
        hull = np.array([int(vertex.limit_w) for vertex in lower_hull(vertices)])
        between = _watts(groups, overhead, _limits(groups, (r[hull[1:]] + r[hull[:-1]]) / 2))
        straight = between <= (watts[hull[1:]] + watts[hull[:-1]]) / 2 * (1 + 1e-9)
        return cls(products, groups, overhead, r, watts, hull, straight)

    @property
    def top_r(self) -> float:
        return float(self.r[-1])

    @property
    def top_w(self) -> float:
        """The power at the highest limits."""
        return self.overhead.pue * sum(
            group.gpus * (group.curve.highest.average_w + self.overhead.host_w_per_gpu) for group in self.groups
        )

    @property
    def most_w(self) -> float:
        """The power if every GPU drew its highest limit."""
        return self.overhead.pue * sum(
            group.gpus * (group.curve.highest.limit_w + self.overhead.host_w_per_gpu) for group in self.groups
        )

    def settings(self, r: Floats) -> Settings:
        """What to hold for n wanted throughputs; FULL: the highest limits, even where lower ones seem as fast."""
        limits_w = self._whole_limits(r)
        return Settings(limits_w, self._reached(limits_w), _watts(self.groups, self.overhead, limits_w))

    def held(self, r: Floats) -> Floats:
        """The throughputs of the `settings` for n wanted ones."""
        return self._reached(self._whole_limits(r))

    def _whole_limits(self, r: Floats) -> Floats:
        limits_w = _limits(self.groups, r)
        highest = np.array([[group.curve.highest.limit_w] for group in self.groups])
        # A hair above a whole watt is rounding noise, not a wish for the next one.
        return np.where(r >= FULL, highest, np.minimum(np.ceil(limits_w - 1e-6), highest))

    def _reached(self, limits_w: Floats) -> Floats:
        columns = [group.curve.columns for group in self.groups]
        reached = [np.interp(row, limits, r) for row, (limits, _, r) in zip(limits_w, columns, strict=True)]
        slowest: Floats = np.min(reached, axis=0)
        return slowest

    def named(self, *limits_w: float) -> Mapping[str, float]:
        """Limits by product, from one for each in the order of `products`."""
        return dict(zip(self.products, limits_w, strict=True))

    def mixed_watts(self, r: float) -> float:
        """The least mean power at mean throughput r, mixing two points in time."""
        return float(np.interp(r, self.r[self.hull], self.watts[self.hull]))

    def best_held_r(self, floor: float) -> float:
        """The throughput >= floor whose limits, in whole watts, take the least energy for the same work."""
        wanted = np.append(min(max(floor, float(self.r[0])), self.top_r), self.r[self.r > floor])
        held = self.settings(wanted)
        return float(wanted[np.argmin(held.watts / held.r)])

    def best_constant_r(self, floor: float) -> float:
        """The throughput >= floor with the least energy for the same work (of mixes; the top where none reaches)."""
        hull_r, hull_watts = self.r[self.hull], self.watts[self.hull]
        allowed = np.append(min(max(floor, float(hull_r[0])), float(hull_r[-1])), hull_r[hull_r > floor])
        return float(allowed[np.argmin(np.interp(allowed, hull_r, hull_watts) / allowed)])


def _limits(groups: tuple[Group, ...], r: Floats) -> Floats:
    return np.array([group.curve.limits_for(r) for group in groups])


def _watts(groups: tuple[Group, ...], overhead: Overhead, limits_w: Floats) -> Floats:
    total = np.zeros(limits_w.shape[1])
    for row, group in zip(limits_w, groups, strict=True):
        power = np.interp(row, *group.curve.columns[:2])
        total += group.gpus * (power + overhead.host_w_per_gpu)
    return total * overhead.pue


def _check(fleet: Mapping[str, Group], overhead: Overhead) -> None:
    if not fleet:
        raise InvalidSpec("the job has no GPUs to plan for", reason="NoGPUs")
    for product, group in fleet.items():
        if group.gpus < 1:
            raise InvalidSpec(f"the job has {group.gpus} GPUs of {product}; at least 1 is needed", reason="NoGPUs")
    if not (math.isfinite(overhead.host_w_per_gpu) and overhead.host_w_per_gpu >= 0):
        raise InvalidSpec(
            f"the host's power is {overhead.host_w_per_gpu:g} W per GPU; it must be 0 or more", reason="InvalidOverhead"
        )
    if not (math.isfinite(overhead.pue) and overhead.pue >= 1):
        raise InvalidSpec(
            f"the PUE is {overhead.pue:g}; it is facility power over IT power, 1.0 or more", reason="InvalidOverhead"
        )
