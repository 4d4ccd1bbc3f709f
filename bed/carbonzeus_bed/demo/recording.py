"""The recorded grid of the demo, and the clock that replays it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from carbonzeus_bed.truth import Grid

ZONE = "US-CAL-CISO"
FILE = Path(__file__).parent / f"{ZONE}.csv"
STEP = timedelta(hours=3)
"""The length of an interval of the recording."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Forecasts as they were issued, and what came: intervals in order of time."""

    issues: tuple[tuple[datetime, tuple[Grid, ...]], ...]
    actual: tuple[Grid, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the columns issued_utc, start_utc, forecast_gco2eq_kwh, actual_gco2eq_kwh."""
        issues: dict[datetime, list[Grid]] = {}
        actual: dict[datetime, Grid] = {}
        for row in csv.DictReader(io.StringIO(text)):
            start = _utc(row["start_utc"])
            forecast = Grid(start, start + STEP, float(row["forecast_gco2eq_kwh"]))
            issues.setdefault(_utc(row["issued_utc"]), []).append(forecast)
            actual[start] = Grid(start, start + STEP, float(row["actual_gco2eq_kwh"]))
        return cls(
            tuple((issued, tuple(intervals)) for issued, intervals in sorted(issues.items())),
            tuple(actual[start] for start in sorted(actual)),
        )

    @property
    def start(self) -> datetime:
        """When the first forecast was issued."""
        return self.issues[0][0]

    def forecast(self, at: datetime) -> tuple[Grid, ...]:
        """The newest forecast issued up to `at`, the first one before that."""
        issued = [intervals for issue, intervals in self.issues if issue <= at]
        return issued[-1] if issued else self.issues[0][1]


@dataclass(frozen=True, slots=True)
class Replay:
    """Which real moment stands for which recorded one."""

    recorded_start: datetime
    wall_start: datetime
    speed: float

    def wall(self, recorded: datetime) -> datetime:
        """The real moment of a recorded one."""
        return self.wall_start + (recorded - self.recorded_start) / self.speed

    def recorded(self, wall: datetime) -> datetime:
        """The recorded moment of a real one."""
        return self.recorded_start + (wall - self.wall_start) * self.speed

    def hours(self, wall: datetime) -> float:
        """Recorded hours since the beginning."""
        return (self.recorded(wall) - self.recorded_start) / timedelta(hours=1)

    def on_wall(self, intervals: Iterable[Grid]) -> tuple[Grid, ...]:
        """The intensity over real time."""
        return tuple(Grid(self.wall(each.start), self.wall(each.end), each.gco2_per_kwh) for each in intervals)


def at(intervals: Iterable[Grid], moment: datetime) -> float | None:
    """The intensity at a moment; None where there is none."""
    return next((each.gco2_per_kwh for each in intervals if each.start <= moment < each.end), None)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
