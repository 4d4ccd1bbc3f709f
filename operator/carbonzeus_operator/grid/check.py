"""What a series must keep to, whoever made it: nothing else gets past the cache. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval, Series, Signal

MAX_GCO2_PER_KWH = 10_000.0
"""No power plant emits as much. What is above is in another unit, or no intensity."""


def checked(series: Series, zone: str, signal: Signal) -> Series:
    """The same series. InvalidSpec where it is not of this zone and signal, or not what `Series` promises."""
    if (series.zone, series.signal) != (zone, signal):
        _refuse(series, f"it is of {series.zone} ({series.signal}), where {zone} ({signal}) was asked for")
    if series.issued_at.utcoffset() is None:
        _refuse(series, f"its time of issue {series.issued_at} has no offset")
    before: datetime | None = None
    for interval in series.intervals:
        wrong = _wrong_with(interval, before)
        if wrong is not None:
            _refuse(series, f"the interval from {interval.start} {wrong}")
        before = interval.end
    return series


def _wrong_with(interval: Interval, before: datetime | None) -> str | None:
    if interval.start.utcoffset() is None or interval.end.utcoffset() is None:
        return "has no offset"
    if interval.end <= interval.start:
        return f"ends at {interval.end}"
    if before is not None and interval.start < before:
        return f"begins before the one ahead of it ends, at {before}"
    if not 0 <= interval.gco2_per_kwh <= MAX_GCO2_PER_KWH:  # also refuses what is no number
        return f"has {interval.gco2_per_kwh} g/kWh, which is not between 0 and {MAX_GCO2_PER_KWH:g}"
    return None


def _refuse(series: Series, what: str) -> NoReturn:
    raise InvalidSpec(f"what {series.source} says of {series.zone} cannot be used: {what}", reason="InvalidGridData")
