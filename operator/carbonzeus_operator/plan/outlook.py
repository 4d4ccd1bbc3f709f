"""A forecast laid out for planning: slots end to end from now to the horizon, as arrays. Shared by all jobs of a zone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Slots [start, start + seconds) after `now`, without holes, longer than zero."""

    now: datetime
    start_s: NDArray[np.float64]
    """Seconds after `now`."""
    seconds: NDArray[np.float64]
    gco2_per_kwh: NDArray[np.float64]
    gap: NDArray[np.bool_]
    """Where the forecast says nothing: its mean stands there, and nothing is planned on it."""
    forecast_slots: int
    """The slots up to the forecast's end. Those behind repeat its last day, so that credit keeps a value."""

    @property
    def begin_s(self) -> float:
        """Where the outlook begins [s after now]; 0 where it is empty."""
        return float(self.start_s[0]) if len(self.seconds) else 0.0

    @property
    def end_s(self) -> float:
        """Where the outlook ends [s after now]; 0 where it is empty."""
        return float(self.start_s[-1] + self.seconds[-1]) if len(self.seconds) else 0.0

    @property
    def forecast_end_s(self) -> float:
        """Where the forecast ends [s after now]; 0 where there is none."""
        last = self.forecast_slots - 1
        return float(self.start_s[last] + self.seconds[last]) if last >= 0 else 0.0

    @property
    def mean(self) -> float:
        """The mean intensity of what the forecast says [gCO2eq/kWh]; 1 where it says nothing."""
        said = np.where(self.gap, 0.0, self.seconds)[: self.forecast_slots]
        total = said.sum()
        return float(said @ self.gco2_per_kwh[: self.forecast_slots] / total) if total else 1.0

    def after(self, begin_s: float) -> Outlook:
        """The same from `begin_s` [s after now] on; times still count from `now`."""
        end_s = self.start_s + self.seconds
        skipped = int(np.searchsorted(end_s, begin_s, side="right"))
        start_s = np.maximum(self.start_s[skipped:], begin_s)
        return Outlook(
            self.now,
            start_s,
            end_s[skipped:] - start_s,
            self.gco2_per_kwh[skipped:],
            self.gap[skipped:],
            max(self.forecast_slots - skipped, 0),
        )

    def cut(self, end_s: float) -> Outlook:
        """The same up to `end_s` [s after now]."""
        count = int(np.searchsorted(self.start_s, end_s, side="left"))
        seconds = self.seconds[:count].copy()
        if count:
            seconds[-1] = min(seconds[-1], end_s - self.start_s[count - 1])
        return Outlook(
            self.now,
            self.start_s[:count],
            seconds,
            self.gco2_per_kwh[:count],
            self.gap[:count],
            min(self.forecast_slots, count),
        )


def look_ahead(forecast: Sequence[Interval], now: datetime, horizon: timedelta = timedelta(hours=96)) -> Outlook:
    """Lay out `forecast` (in time order, without overlap) from `now` to `now + horizon`."""
    if now.tzinfo is None:
        raise InvalidSpec(f"the time {now} has no time zone; plans are made in UTC", reason="InvalidTime")
    horizon_s = horizon.total_seconds()
    slots = list(_slots(forecast, now, horizon_s))
    said = [slot for slot in slots if not slot[3]]
    covered_s = sum(seconds for _, seconds, _, _ in said)
    mean = sum(seconds * value for _, seconds, value, _ in said) / covered_s if said else 1.0
    slots = [(start, seconds, mean if gap else value, gap) for start, seconds, value, gap in slots]
    forecast_slots = len(slots)
    if said:
        slots.extend(_repeat_last_day(slots, mean, horizon_s))
    columns = np.array([slot[:3] for slot in slots], dtype=np.float64).reshape(-1, 3)
    return Outlook(
        now,
        np.ascontiguousarray(columns[:, 0]),
        np.ascontiguousarray(columns[:, 1]),
        np.ascontiguousarray(columns[:, 2]),
        np.array([slot[3] for slot in slots], dtype=np.bool_),
        forecast_slots,
    )


_Slot = tuple[float, float, float, bool]


def _slots(forecast: Iterable[Interval], now: datetime, horizon_s: float) -> Iterable[_Slot]:
    """(start, seconds, intensity, gap) of the forecast and the gaps in and before it."""
    reached = 0.0
    for interval in forecast:
        start = max((interval.start - now).total_seconds(), reached)
        end = min((interval.end - now).total_seconds(), horizon_s)
        if end <= start:
            continue
        if start > reached:
            yield reached, start - reached, 0.0, True
        yield start, end - start, interval.gco2_per_kwh, False
        reached = end


def _repeat_last_day(slots: Sequence[_Slot], mean: float, horizon_s: float) -> Iterable[_Slot]:
    """What may come after the forecast: its last day over again, or its mean where it has no whole day."""
    end = slots[-1][0] + slots[-1][1]
    if end < DAY_S:
        if end < horizon_s:
            yield end, horizon_s - end, mean, False
        return
    day = [(max(start, end - DAY_S), start + seconds, value) for start, seconds, value, _ in slots]
    day = [part for part in day if part[1] > part[0]]
    shift = DAY_S
    while end + shift - DAY_S < horizon_s:
        for first, last, value in day:
            start, stop = first + shift, min(last + shift, horizon_s)
            if stop > start:
                yield start, stop - start, value, False
        shift += DAY_S
