"""A job's carbon from the raw ledgers, worked out a second time: plain sums, nothing shared with the operator's accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from carbonzeus_bed.truth import MILLIJOULES_PER_KWH, Grid
from carbonzeus_wire import EnergyRecord

Points = Sequence[tuple[float, float, float]]
"""(limit [W], power [W], speed), the reference limit first."""
SLICE = timedelta(milliseconds=10)
"""Time is summed in slices of this length."""


def carbon_g(records: Sequence[EnergyRecord], grid: Sequence[Grid]) -> float:
    """Each record's energy, evenly over its time, times the intensity of the moment."""
    grams = 0.0
    for record in records:
        for interval in grid:
            both = min(record.end, interval.end) - max(record.start, interval.start)
            if both > timedelta(0):
                share = both / (record.end - record.start)
                grams += record.energy_millijoules * share / MILLIJOULES_PER_KWH * interval.gco2_per_kwh
    return grams


def baseline_g(records: Sequence[EnergyRecord], grid: Sequence[Grid], points: Points, steps_per_second: float) -> float:
    """The same work at the reference limit, done when it would have been done there.

    Energy at limit p becomes E * P(ref) * r(p) / P(p), at the time of the record less how far the job was behind by then.
    """
    behind = _behind(records, steps_per_second)
    grams = 0.0
    for record in records:
        power_w, r = _at(points, record.limit_watts or points[0][0])
        work_mj = record.energy_millijoules * points[0][1] * r / power_w
        for middle, share in _slices(record):
            moment = middle - timedelta(seconds=_interpolated(behind, middle))
            grams += work_mj * share / MILLIJOULES_PER_KWH * _intensity(grid, moment)
    return grams


def _behind(records: Sequence[EnergyRecord], steps_per_second: float) -> list[tuple[datetime, float]]:
    """(moment, elapsed less work [s]) along the records that count steps."""
    counting = sorted((one for one in records if one.progress is not None), key=lambda one: one.start)
    steps = [one for one in counting if one.progress]
    first, last = steps[0], steps[-1]
    at, lag_s = first.end, 0.0
    found = [(first.start, 0.0), (at, 0.0)]
    for one in counting:
        if first.end <= one.start and one.end <= last.start:
            lag_s += (one.end - one.start).total_seconds() - (one.progress or 0.0) / steps_per_second
            found.append((one.end, lag_s))
    return found


def _interpolated(found: list[tuple[datetime, float]], at: datetime) -> float:
    for (low, before), (high, after) in pairwise(found):
        if low <= at < high:
            return before + (after - before) * ((at - low) / (high - low))
    return found[0][1] if at < found[0][0] else found[-1][1]


def _slices(record: EnergyRecord) -> Iterator[tuple[datetime, float]]:
    """(middle, share of the record) of each slice."""
    count = max(round((record.end - record.start) / SLICE), 1)
    for index in range(count):
        yield record.start + (record.end - record.start) * ((index + 0.5) / count), 1 / count


def _at(points: Points, limit_w: float) -> tuple[float, float]:
    """(power [W], speed relative to the reference limit), straight between the points."""
    for high, low in pairwise(points):
        if low[0] <= limit_w <= high[0]:
            share = (limit_w - low[0]) / (high[0] - low[0])
            power_w, speed = (low[n] + (high[n] - low[n]) * share for n in (1, 2))
            return power_w, speed / points[0][2]
    raise ValueError(f"{limit_w} W lies outside of the profile")


def _intensity(grid: Sequence[Grid], at: datetime) -> float:
    return next(each.gco2_per_kwh for each in grid if each.start <= at < each.end)
