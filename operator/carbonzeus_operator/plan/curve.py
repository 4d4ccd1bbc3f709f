"""A GPU's power and throughput over its power limit, repaired until it can be planned with.

Measured curves are noisy and hand-written ones are worse. `Curve.from_points` makes them monotone, normalises the
throughput to r = 1 at the reference limit, and keeps the lower convex hull in the (r, P) plane, since by alternating
between two limits every point on the line between them can be had. What it changed stands in `repairs`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec

Floats = NDArray[np.float64]
IMPLAUSIBLE = 0.15
"""A repair that has to move a figure by more than this share is no noise: the curve is refused."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement: at `limit_w` the GPU drew `average_w` and trained at `throughput` (any unit)."""

    limit_w: float
    average_w: float
    throughput: float


@dataclass(frozen=True, slots=True)
class Vertex:
    """A point of a repaired curve; `r` is the throughput relative to the reference limit."""

    limit_w: float
    average_w: float
    r: float


@dataclass(frozen=True)
class Curve:
    """A usable curve. `points` and `hull` rise in limit, in power and in r."""

    reference_limit_w: float
    points: tuple[Vertex, ...]
    """All limits that may be planned: the repaired points, and the ends of the allowed range where they lie between."""
    hull: tuple[Vertex, ...]
    """The points on the lower convex hull in (r, P), r strictly rising."""
    repairs: tuple[str, ...] = ()
    correction: float = 0.0
    """The largest share by which a repair moved a throughput: a hint at the measurement's error."""

    @classmethod
    def from_points(
        cls,
        points: Sequence[Point],
        reference_limit_w: float,
        *,
        minimum_w: float | None = None,
        maximum_w: float | None = None,
    ) -> Curve:
        """Make a curve of measured points.

        minimum_w, maximum_w [W]: the range a plan may use; the reference limit is always a ceiling.
        Raises InvalidSpec where no meaning can be had; its reason is TooFewPoints, InvalidPoint, InvalidReference,
        InvalidRange or ImplausibleCurve.
        """
        _check(points, reference_limit_w, minimum_w, maximum_w)
        repairs: list[str] = []
        merged = _merge_equal_limits(sorted(points, key=lambda point: point.limit_w), repairs)
        if len(merged) < 2:
            raise InvalidSpec(
                f"all points of the curve have the same limit {merged[0].limit_w:g} W; two different limits are needed",
                reason="TooFewPoints",
            )
        rising, correction = _make_rising(merged, repairs)
        below = _cut_at_reference(rising, reference_limit_w, repairs)
        vertices = [Vertex(point.limit_w, point.average_w, point.throughput / below[-1].throughput) for point in below]
        allowed = _cut_to_range(vertices, minimum_w, maximum_w)
        hull = lower_hull(allowed)
        skipped = [vertex for vertex in allowed if vertex not in hull]
        if skipped:
            repairs.append(f"not worth planning, others give more speed for the power: {_limits(skipped)}")
        return cls(reference_limit_w, tuple(allowed), tuple(hull), tuple(repairs), correction)

    @property
    def lowest(self) -> Vertex:
        return self.points[0]

    @property
    def highest(self) -> Vertex:
        """The fastest that is allowed: the reference limit unless a maximum lies below it."""
        return self.points[-1]

    @cached_property
    def columns(self) -> tuple[Floats, Floats, Floats]:
        """The limits [W], average powers [W] and r of the points."""
        limits_w, watts, r = np.array([(point.limit_w, point.average_w, point.r) for point in self.points]).T.copy()
        return limits_w, watts, r

    def at(self, limit_w: float) -> tuple[float, float]:
        """(average power [W], r) at a limit [W], interpolated; outside the range the nearest end's."""
        vertex = _interpolate(self.points, limit_w)
        return vertex.average_w, vertex.r

    def limit_for(self, r: float) -> float:
        """The lowest limit [W] that reaches r; the highest limit where none does."""
        return float(self.limits_for(np.array([r]))[0])

    def limits_for(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """`limit_for` of n throughputs; a billionth of throughput is taken for rounding noise."""
        if len(self.points) == 1:
            return np.full(len(r), self.lowest.limit_w)
        limits_w, _, speeds = self.columns
        index = speeds[1:-1].searchsorted(r - _TINY)
        rise = (speeds[1:] - speeds[:-1])[index]
        share = (r - speeds[index]) / np.where(rise > 0, rise, 1.0)
        # Of several limits as slow as the lowest, the lowest; above the fastest, the fastest.
        share[r > speeds[-1] + _TINY] = 1.0
        found: Floats = limits_w[index] + share.clip(0.0, 1.0) * (limits_w[1:] - limits_w[:-1])[index]
        return found


def _check(points: Sequence[Point], reference_limit_w: float, minimum_w: float | None, maximum_w: float | None) -> None:
    if len(points) < 2:
        raise InvalidSpec(f"a curve needs at least two points, this has {len(points)}", reason="TooFewPoints")
    for number, point in enumerate(points, start=1):
        for name, value in (
            ("limit", point.limit_w),
            ("average power", point.average_w),
            ("throughput", point.throughput),
        ):
            if not (math.isfinite(value) and value > 0):
                raise InvalidSpec(
                    f"point {number} of the curve: {name} is {value:g}, it must be a finite number above zero",
                    reason="InvalidPoint",
                )
    if not (math.isfinite(reference_limit_w) and reference_limit_w > 0):
        raise InvalidSpec(
            f"the reference limit is {reference_limit_w:g} W, it must be above zero", reason="InvalidReference"
        )
    smallest = min(point.limit_w for point in points)
    if smallest > reference_limit_w:
        raise InvalidSpec(
            f"the curve's smallest limit is {smallest:g} W, above the reference limit of {reference_limit_w:g} W; "
            "measure at least one point at or below it",
            reason="InvalidReference",
        )
    ceiling = reference_limit_w if maximum_w is None else min(maximum_w, reference_limit_w)
    if not ceiling > 0 or (minimum_w is not None and not minimum_w <= ceiling):
        raise InvalidSpec(
            f"the allowed limits from {minimum_w or 0:g} W to {ceiling:g} W are an empty range", reason="InvalidRange"
        )
    if smallest > ceiling:
        raise InvalidSpec(
            f"the curve's smallest limit is {smallest:g} W, above the allowed maximum of {ceiling:g} W",
            reason="InvalidRange",
        )


def _merge_equal_limits(points: Sequence[Point], repairs: list[str]) -> list[Point]:
    groups: dict[float, list[Point]] = {}
    for point in points:
        groups.setdefault(point.limit_w, []).append(point)
    repeated = [limit_w for limit_w, group in groups.items() if len(group) > 1]
    if repeated:
        repairs.append(f"several measurements averaged: {', '.join(f'{limit_w:g} W' for limit_w in repeated)}")
    return [
        Point(
            limit_w,
            sum(point.average_w for point in group) / len(group),
            sum(point.throughput for point in group) / len(group),
        )
        for limit_w, group in groups.items()
    ]


def _make_rising(points: Sequence[Point], repairs: list[str]) -> tuple[list[Point], float]:
    """Isotonic regression of throughput and of power over the limit. Returns also the largest throughput change."""
    throughput = isotonic([point.throughput for point in points])
    power = isotonic([point.average_w for point in points])
    largest = 0.0
    for name, before, after in (
        ("throughput", [point.throughput for point in points], throughput),
        ("average power", [point.average_w for point in points], power),
    ):
        changes = [abs(new - old) / old for old, new in zip(before, after, strict=True)]
        worst = max(range(len(changes)), key=changes.__getitem__)
        if changes[worst] > IMPLAUSIBLE:
            raise InvalidSpec(
                f"{name} at {points[worst].limit_w:g} W is {before[worst]:g}, which does not fit its neighbours: a "
                f"curve rising with the limit would have about {after[worst]:.4g} there; measure again",
                reason="ImplausibleCurve",
            )
        changed = [point for point, change in zip(points, changes, strict=True) if change > _TINY]
        if changed:
            repairs.append(
                f"{name} made to rise with the limit by averaging neighbours (up to {changes[worst]:.1%}): "
                f"{_limits(changed)}"
            )
        if name == "throughput":
            largest = changes[worst]
    return [Point(point.limit_w, p, t) for point, p, t in zip(points, power, throughput, strict=True)], largest


def isotonic(values: Sequence[float]) -> list[float]:
    """The nondecreasing sequence nearest to `values` in least squares (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] * count > total * pools[-1][1]:
            left_total, left_count = pools.pop()
            total, count = total + left_total, count + left_count
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


def _cut_at_reference(points: Sequence[Point], reference_limit_w: float, repairs: list[str]) -> list[Point]:
    """The points up to the reference limit, which is the last of them."""
    largest = points[-1]
    if reference_limit_w > largest.limit_w:
        repairs.append(
            f"the reference limit of {reference_limit_w:g} W was not measured: the figures of {largest.limit_w:g} W "
            "stand for it"
        )
        # Its limit moves, too: otherwise a plan at r = 1 would hold a limit whose speed was never compared.
        return [*points[:-1], replace(largest, limit_w=reference_limit_w)]
    below = [point for point in points if point.limit_w < reference_limit_w]
    right = points[len(below)]
    if right.limit_w == reference_limit_w:
        return [*below, right]
    left = below[-1]
    share = (reference_limit_w - left.limit_w) / (right.limit_w - left.limit_w)
    return [
        *below,
        Point(
            reference_limit_w,
            left.average_w + share * (right.average_w - left.average_w),
            left.throughput + share * (right.throughput - left.throughput),
        ),
    ]


def _interpolate(points: Sequence[Vertex], limit_w: float) -> Vertex:
    index = bisect_left(points, limit_w, key=lambda vertex: vertex.limit_w)
    if index == 0:
        return points[0]
    if index == len(points):
        return points[-1]
    left, right = points[index - 1], points[index]
    share = (limit_w - left.limit_w) / (right.limit_w - left.limit_w)
    return Vertex(
        limit_w, left.average_w + share * (right.average_w - left.average_w), left.r + share * (right.r - left.r)
    )


def _cut_to_range(points: Sequence[Vertex], minimum_w: float | None, maximum_w: float | None) -> list[Vertex]:
    low_w = points[0].limit_w if minimum_w is None else max(minimum_w, points[0].limit_w)
    high_w = points[-1].limit_w if maximum_w is None else min(maximum_w, points[-1].limit_w)
    inside = [point for point in points if low_w < point.limit_w < high_w]
    ends = [low_w] if low_w == high_w else [low_w, high_w]
    cut = [replace(_interpolate(points, limit_w), limit_w=limit_w) for limit_w in ends]
    return [cut[0], *inside, *cut[1:]]


def lower_hull(points: Sequence[Vertex]) -> list[Vertex]:
    """The points that no mix of others beats: lower convex hull in (r, P), without ends that save nothing."""
    hull: list[Vertex] = []
    for point in points:
        if hull and point.r <= hull[-1].r + _TINY:
            continue  # no faster than a lower limit
        while hull and point.average_w <= hull[-1].average_w:
            hull.pop()  # faster at no more power
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _above(left: Vertex, middle: Vertex, right: Vertex) -> bool:
    """Whether `middle` lies on or above the line from `left` to `right`."""
    rise = (middle.average_w - left.average_w) * (right.r - left.r)
    return rise >= (right.average_w - left.average_w) * (middle.r - left.r) * (1 - _TINY)


def _limits(points: Sequence[Point] | Sequence[Vertex]) -> str:
    return ", ".join(f"{point.limit_w:g} W" for point in points)
