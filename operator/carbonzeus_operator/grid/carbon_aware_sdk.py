"""The Green Software Foundation's Carbon Aware SDK, asked through its WebAPI (version 1.8), whatever source stands behind it.

The SDK does not say in its answers which signal it gives: that is its own source's, and set with it. WattTime's is Marginal
and Direct, Electricity Maps' is Average and Lifecycle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    FiniteFloat,
    RootModel,
)

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import Strict, as_set
from carbonzeus_operator.grid.csvfile import YEARS
from carbonzeus_operator.grid.http import Http, Reply, Request, bearer, expect
from carbonzeus_operator.grid.merge import merged
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.spans import hour_of, pieces, stamp

NAME = "CarbonAwareSDK"
CALL_SPAN = timedelta(days=7)
"""Less than any source behind the SDK gives at once."""
BESIDE = timedelta(hours=25)
"""The SDK may answer with the last 24 hours where less was asked for; what is farther off was never asked for."""
MISSING = frozenset({-1.0, 0.0})
"""What the SDK writes where its source has no value: a zero cannot be told from that."""
SHOWN = 40
"""So much of a name is quoted in a message."""
TIME_SPAN = re.compile(r"(?:(\d{1,4})\.)?([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.0+)?", re.ASCII)
"""As .NET writes one: `00:05:00`, `1.00:00:00`."""


def _plausible(instant: datetime) -> datetime:
    if instant.year not in YEARS:  # 0001 is .NET's word for no time at all
        raise ValueError(f"a time in the year {instant.year}")
    return instant.astimezone(UTC)


def _span(text: Any) -> timedelta:
    match = TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("no duration such as 00:05:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


Instant = Annotated[AwareDatetime, AfterValidator(_plausible)]
"""UTC, of a year that can be meant."""


class Point(Strict):
    """One value of a forecast."""

    location: str
    """As the source behind the SDK names it."""
    timestamp: Instant
    """When it begins to hold."""
    duration: int = Field(0, ge=0, le=366 * 24 * 60)
    """For how long [minutes]; 0: not known."""
    value: FiniteFloat | None = None
    """[gCO2eq/kWh]; one of `MISSING`: not known."""

    @property
    def length(self) -> timedelta:
        """How long it holds."""
        return timedelta(minutes=self.duration)


class _Measured(Strict):
    """One value of the past."""

    location: str
    timestamp: Instant = Field(alias="time")
    length: Annotated[timedelta, BeforeValidator(_span)] = Field(timedelta(0), alias="duration")
    value: FiniteFloat | None = Field(None, alias="rating")


class _Forecast(Strict):
    location: str
    """As it was asked for."""
    generated_at: Instant = Field(alias="generatedAt")
    points: tuple[Point, ...] = Field(alias="forecastData")


class _Forecasts(RootModel[tuple[_Forecast, ...]]):
    """One a location."""


class _Past(RootModel[tuple[_Measured, ...]]):
    """Of one location."""


@dataclass(frozen=True, slots=True)
class CarbonAwareSdk:
    """A `Provider` of one signal. Its zones are locations of the SDK, such as `westus`."""

    http: Http
    url: str
    credential: Callable[[], str] | None = None
    """The bearer token of what stands before the SDK, read at each call; the SDK itself asks for none."""
    now: Callable[[], datetime] = utc_now
    signal: Signal = Signal.MARGINAL
    """What its source gives."""
    factor: Factor = Factor.DIRECT
    """What its source gives."""

    @property
    def signals(self) -> frozenset[Signal]:
        """Only what its source gives."""
        return frozenset({self.signal})

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The newest that its source issued. InvalidSpec where that makes none."""
        what = f"the forecast of zone {zone}"
        as_set(NAME, self.signal, signal)
        reply = await self._asked("/emissions/forecasts/current", {"location": zone})
        if reply.status == 501:
            raise InvalidSpec(f"{NAME} has no {what[4:]}: its source makes none; set another", reason="NoForecast")
        answer = () if reply.status == 204 else expect(reply, NAME, what, model=_Forecasts).root
        if len(answer) != 1 or not answer[0].points:
            raise Unavailable(f"{NAME} has {len(answer)} forecasts of zone {zone} with values in them, not one")
        found = answer[0]
        if found.location.casefold() != zone.casefold():
            raise Unavailable(f"{NAME} answered with location {found.location[:SHOWN]!r}, where {zone!r} was asked for")
        return self._series(zone, min(found.generated_at, reply.at), found.points)

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What was measured in [start, end) and is over. The SDK does not say which values are estimates."""
        what = f"the actual of zone {zone}"
        as_set(NAME, self.signal, signal)
        at = self.now()
        found: list[_Measured] = []
        # From a full hour on: what holds then began before.
        for begin, until in pieces(hour_of(start), min(end, at).astimezone(UTC), CALL_SPAN):
            span = {"time": stamp(begin), "toTime": stamp(until)}
            reply = await self._asked("/emissions/bylocation", {"location": zone, **span})
            answer = () if reply.status == 204 else expect(reply, NAME, what, model=_Past).root
            _as_asked(zone, begin, until, answer)
            found += answer
        over = (one for one in found if one.timestamp < end and start < one.timestamp + one.length <= at)
        return self._series(zone, at, over)

    async def _asked(self, path: str, params: Mapping[str, str]) -> Reply:
        return await self.http.get(Request(self.url + path, params, bearer(self.credential)))

    def _series(self, zone: str, at: datetime, points: Iterable[Point | _Measured]) -> Series:
        return Series(zone, self.signal, self.factor, NAME, at, intervals(NAME, zone, points))


def intervals(name: str, zone: str, points: Iterable[Point | _Measured]) -> tuple[Interval, ...]:
    """The points that have a value and a length, in order. InvalidSpec where they are of several places, or contradict.

    name: of the source, for messages.
    """
    known = tuple(points)
    places = sorted({one.location for one in known})
    if len(places) > 1:
        named = " and ".join(repr(place[:SHOWN]) for place in places[:2])
        raise InvalidSpec(f"{name} answered for zone {zone} with values of {named}", reason="InvalidGridData")
    return merged(
        name,
        zone,
        (
            Interval(one.timestamp, one.timestamp + one.length, one.value)
            for one in known
            if one.length and one.value is not None and one.value not in MISSING
        ),
    )


def _as_asked(zone: str, begin: datetime, until: datetime, answer: Iterable[_Measured]) -> None:
    """The SDK passes over parameters that it does not know and answers with the present."""
    times = [one.timestamp for one in answer]
    if times and not any(begin - BESIDE <= time <= until + BESIDE for time in times):
        raise InvalidSpec(
            f"{NAME} answered for zone {zone} with values of {min(times)}, where {begin} to {until} was asked for: "
            "see whether its url is a WebAPI of version 1",
            reason="InvalidGridData",
        )
