"""The grid of the bed tests: an intensity that changes every four seconds, and what Eq. 6 makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbonzeus_bed.truth import Grid
from tests.bed.manifests import A40

STEP = timedelta(seconds=4)
"""How long the intensity stays the same."""
LEVELS = (400.0, 160.0, 20.0, 160.0)
"""The forecast, over and over, gCO2eq/kWh. Far enough apart that Eq. 6 has a clear answer at each."""
ACTUAL = 1.1
"""What came, relative to the forecast."""
BEFORE = timedelta(minutes=16)
LASTS = timedelta(minutes=48)
"""The file holds whole quarters of an hour around any test: accounts are settled in such windows."""
CARBON_WEIGHT = 0.5
"""Of the policy `weighty`: by Eq. 6 every change of the intensity is one of the limit."""


@dataclass(frozen=True, slots=True)
class Carbon:
    """The grid from `start` on."""

    start: datetime
    step: timedelta = STEP
    """How long the intensity stays the same."""

    def forecast(self, at: datetime) -> float:
        """Intensity as forecast."""
        return LEVELS[(at - self.start) // self.step % len(LEVELS)]

    def boundaries(self, start: datetime, end: datetime) -> list[datetime]:
        """The instants in [start, end) at which the intensity changes."""
        first = -((self.start - start) // self.step)
        return [
            self.start + self.step * n
            for n in range(first, first + (end - start) // self.step + 2)
            if start <= self.start + self.step * n < end
        ]

    def actual(self) -> tuple[Grid, ...]:
        """What came."""
        starts = [self.start + self.step * n for n in range(LASTS // self.step)]
        return tuple(Grid(start, start + self.step, round(self.forecast(start) * ACTUAL, 2)) for start in starts)

    def csv(self, *, change: Callable[[list[str]], list[str]] = lambda rows: rows) -> str:
        """The file; `change` may spoil its rows."""
        issued = _stamp(self.start)
        rows = [
            f"{issued},{_stamp(each.start)},{self.forecast(each.start):g},{each.gco2_per_kwh:g}"
            for each in self.actual()
        ]
        return "\n".join(["issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh", *change(rows)]) + "\n"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def equation_6(intensity: float) -> float:
    """The limit [W] that minimises (eta P c + (1 - eta) P_max c_max) / r: the paper's formula on the profile's own figures."""
    points = [(float(limit), float(watts), float(speed) / 100) for limit, watts, speed in A40]
    most_w = max(watts for _, watts, _ in points)

    def cost(point: tuple[float, float, float]) -> float:
        _, watts, r = point
        return (CARBON_WEIGHT * watts * intensity + (1 - CARBON_WEIGHT) * most_w * max(LEVELS)) / r

    return min(points, key=cost)[0]
