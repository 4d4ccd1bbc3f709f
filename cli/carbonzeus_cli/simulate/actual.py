"""The intensity as it was: whole, without gaps, and integrated over any stretch of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.grid.series import Interval

Floats = NDArray[np.float64]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WATT_SECONDS_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, eq=False)
class Actual:
    """Slots of equal length, end to end."""

    start: datetime
    step: timedelta
    gco2_per_kwh: Floats
    _passed: Floats = field(init=False)
    """The intensity integrated from `start` to each edge of a slot [gCO2eq/kWh s]."""

    def __post_init__(self) -> None:
        passed = np.append(0.0, np.cumsum(self.gco2_per_kwh)) * self.step.total_seconds()
        object.__setattr__(self, "_passed", passed)

    @property
    def end(self) -> datetime:
        return self.start + self.step * len(self.gco2_per_kwh)

    def grams(self, begin: datetime, edges_s: Floats, watts: Floats) -> Floats:
        """What each of n stretches emits [gCO2eq]. edges_s (n + 1): seconds after `begin`; watts (n)."""
        at = ((begin - self.start).total_seconds() + edges_s) / self.step.total_seconds()
        passed: Floats = np.diff(np.interp(at, np.arange(len(self._passed)), self._passed))
        return passed * watts / WATT_SECONDS_PER_KWH

    def slots(self, begin: datetime, seconds: float) -> tuple[Floats, Floats]:
        """(edges [s after begin] of n + 1, intensity of n): the slots of [begin, begin + seconds), cut to it."""
        offset_s, step_s = (begin - self.start).total_seconds(), self.step.total_seconds()
        first, last = int(offset_s // step_s), int(np.ceil((offset_s + seconds) / step_s))
        edges = np.clip(np.arange(first, last + 1) * step_s - offset_s, 0.0, seconds)
        return edges, self.gco2_per_kwh[first:last]

    def intervals(self, begin: datetime, end: datetime) -> tuple[Interval, ...]:
        """The slots that overlap [begin, end), as a provider would give them."""
        first = max((begin - self.start) // self.step, 0)
        last = min(-((self.start - end) // self.step), len(self.gco2_per_kwh))
        return tuple(
            Interval(self.start + self.step * slot, self.start + self.step * (slot + 1), float(self.gco2_per_kwh[slot]))
            for slot in range(first, last)
        )
