"""Recorded intensity, made ready to run jobs over: whole actuals, forecasts that cover the runs, starts within the data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count, takewhile

import numpy as np

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.feed import DAY, Feed, Issued, Perfect, Yesterday
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.recording import Recording, from_us

MAX_STARTS = 1000
"""More starts than this are a slip of the pen: they would run for hours."""


class Forecast(StrEnum):
    """What the planner is told of the time ahead."""

    GIVEN = "given"
    YESTERDAY = "yesterday"


@dataclass(frozen=True, slots=True)
class History:
    """A recording, and the forecasts to plan with."""

    recording: Recording
    actual: Actual
    forecast: Forecast

    @classmethod
    def of(cls, recording: Recording, forecast: Forecast) -> History:
        """InvalidSpec, with the line, for actuals with a gap; with none; or for forecasts where there are none."""
        return cls(recording, _actual(recording), forecast)

    def feed(self, horizon: timedelta) -> Feed:
        """The forecasts, as far as `horizon` ahead."""
        if self.forecast is Forecast.YESTERDAY:
            return Yesterday(self.actual, horizon)
        return Issued(self.recording) if self.recording.issues else Perfect(self.actual, horizon)

    def starts(self, first: datetime | None, every: timedelta | None, longest: timedelta) -> list[datetime]:
        """When to start: at `first` (None: as early as can be), and `every` so often while a run of `longest` fits.

        InvalidSpec where none fits, or where the forecasts in force would say nothing of some moment of a run.
        """
        name, earliest = self.recording.name, self._earliest
        begin = earliest if first is None else first
        if begin < earliest:
            raise InvalidSpec(
                f"{name}: a start at {_said(begin)} is before {self._why_earliest}; start at {_said(earliest)} or later",
                reason="InvalidStart",
            )
        latest = self.actual.end - longest
        if begin > latest:
            raise InvalidSpec(
                f"{name}: a run from {_said(begin)} may take until {_said(begin + longest)}, but the intensity ends at "
                f"{_said(self.actual.end)}; "
                + (f"start at {_said(latest)} or earlier" if latest >= earliest else "simulate fewer --hours"),
                reason="InvalidStart",
            )
        if every is None:
            starts = [begin]
        else:
            found = takewhile(lambda start: start <= latest, (begin + every * number for number in count()))
            starts = [start for start, _ in zip(found, range(MAX_STARTS + 1), strict=False)]
        if len(starts) > MAX_STARTS:
            raise InvalidSpec(
                f"{name}: one start every {every} makes more than {MAX_STARTS} runs; start less often",
                reason="InvalidStart",
            )
        for start in starts:
            self._check_forecasts(start, start + longest)
        return starts

    @property
    def _earliest(self) -> datetime:
        if self.forecast is Forecast.YESTERDAY:
            return self.actual.start + DAY
        return max([self.actual.start, *list(self.recording.issues)[:1]])

    @property
    def _why_earliest(self) -> str:
        if self.forecast is Forecast.YESTERDAY:
            return "there is a whole day of intensity to forecast from"
        if self.recording.issues and self._earliest > self.actual.start:
            return "the first forecast"
        return "the intensity begins"

    def _check_forecasts(self, start: datetime, end: datetime) -> None:
        feed = self.feed(timedelta(0))
        missing = feed.uncovered(start, end) if isinstance(feed, Issued) else None
        if missing is None:
            return
        issued, instant = missing
        line = self.recording.issues[issued].lines[-1]
        raise InvalidSpec(
            f"{self.recording.name}, line {line}: the forecast issued at {_said(issued)} says nothing of {_said(instant)}, and no "
            f"newer one does before; a run from {_said(start)} needs one until {_said(end)}: add forecasts, start earlier or "
            "simulate fewer --hours",
            reason="ForecastTooShort",
        )


def _actual(recording: Recording) -> Actual:
    rows, name, step = recording.actuals, recording.name, recording.step
    starts_us = np.frombuffer(rows.starts_us, dtype=np.int64) if rows.starts_us else np.empty(0, dtype=np.int64)
    if not len(starts_us):
        raise InvalidSpec(
            f"{name}, line 2: no row has an actual_gco2eq_kwh; without it there is nothing to account with",
            reason="InvalidGridData",
        )
    step_us = step // timedelta(microseconds=1)
    odd = np.flatnonzero(np.diff(starts_us) != step_us)
    if len(odd):
        after = int(odd[0]) + 1
        raise InvalidSpec(
            f"{name}, line {rows.lines[after]}: a gap: no actual intensity from {_said(from_us(int(starts_us[after - 1]) + step_us))} "
            f"to {_said(from_us(int(starts_us[after])))}; fill it, or cut the file there",
            reason="InvalidGridData",
        )
    return Actual(from_us(int(starts_us[0])), step, np.array(rows.values))


def _said(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%MZ}"
