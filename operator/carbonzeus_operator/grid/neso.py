"""NESO's Carbon Intensity API of Great Britain: half-hours, 48 hours ahead, without a key.

Zone `GB` is the whole, with forecast and actual. `GB-1` to `GB-17` are its regions by NESO's number, with forecasts only.
The grams are those of generation, without the plants' own making: factor Direct.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NoReturn

from pydantic import AwareDatetime, Field, FiniteFloat

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import Strict, average_only
from carbonzeus_operator.grid.http import Http, Request, expect
from carbonzeus_operator.grid.merge import merged
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.spans import pieces

NAME = "NESO"
URL = "https://api.carbonintensity.org.uk"
ZONE = re.compile(r"GB(?:-([1-9]|1[0-7]))?", re.ASCII)
WINDOW = timedelta(minutes=30)
INSIDE = timedelta(minutes=1)
"""Asked for a full or a half hour, NESO begins with the window that ends then: a minute later it is the one that begins."""
CALL_SPAN = timedelta(days=14)
"""One call gives no more."""


class _Expected(Strict):
    forecast: FiniteFloat | None


class _Known(Strict):
    forecast: FiniteFloat | None
    actual: FiniteFloat | None
    """None until the window is over."""


class _Window(Strict):
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")


class _NationalWindow(_Window):
    intensity: _Known


class _RegionalWindow(_Window):
    intensity: _Expected


class _National(Strict):
    data: tuple[_NationalWindow, ...]


class _Region(Strict):
    number: int = Field(alias="regionid")
    data: tuple[_RegionalWindow, ...]


class _Regional(Strict):
    data: _Region


@dataclass(frozen=True, slots=True)
class Neso:
    """A `Provider` of the signal Average."""

    signals: ClassVar[frozenset[Signal]] = frozenset({Signal.AVERAGE})
    factor: ClassVar[Factor] = Factor.DIRECT
    zones: ClassVar[frozenset[str]] = frozenset({"GB", *(f"GB-{number}" for number in range(1, 18))})

    http: Http
    url: str = URL
    now: Callable[[], datetime] = utc_now

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The present window and what comes in the 48 hours after it."""
        region = _region(zone, signal)
        begin = _stamp(_window_of(self.now()) + INSIDE)
        path = f"/intensity/{begin}/fw48h"
        if region is not None:
            path = f"/regional{path}/regionid/{region}"
        reply = await self.http.get(Request(self.url + path))
        windows: Iterable[_NationalWindow | _RegionalWindow]
        if region is None:
            windows = expect(reply, NAME, f"the forecast of zone {zone}", model=_National).data
        else:
            answer = expect(reply, NAME, f"the forecast of zone {zone}", model=_Regional).data
            if answer.number != region:
                raise Unavailable(f"{NAME} answered with region {answer.number}, where {zone} was asked for")
            windows = answer.data
        found = (_interval(window, window.intensity.forecast) for window in windows)
        return self._series(zone, reply.at, found)

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What was metered in the windows that are over. Of regions there is none: InvalidSpec."""
        if _region(zone, signal) is not None:
            raise InvalidSpec(
                f"{NAME} publishes no actual of regions, so {zone} cannot be settled: account for zone GB, "
                "or have an actual of this zone from another provider",
                reason="NoActual",
            )
        found: list[Interval | None] = []
        at = self.now()
        for begin, until in _calls(start, end):
            reply = await self.http.get(Request(f"{self.url}/intensity/{_stamp(begin)}/{_stamp(until)}"))
            answer = expect(reply, NAME, f"the actual of zone {zone}", model=_National)
            at = reply.at
            found += [
                _interval(window, window.intensity.actual)
                for window in answer.data
                if window.start < end and window.end > start
            ]
        return self._series(zone, at, found)

    def _series(self, zone: str, at: datetime, found: Iterable[Interval | None]) -> Series:
        known = (one for one in found if one is not None)
        return Series(zone, Signal.AVERAGE, self.factor, NAME, at, merged(NAME, zone, known))


def _region(zone: str, signal: Signal) -> int | None:
    """Its number; None: all of Great Britain."""
    average_only(NAME, signal)
    match = ZONE.fullmatch(zone)
    if match is None:
        _no_zone(zone)
    return int(match[1]) if match[1] else None


def _no_zone(zone: str) -> NoReturn:
    raise InvalidSpec(f"{NAME} has no zone {zone!r}: GB, or a region from GB-1 to GB-17", reason="InvalidZone")


def _interval(window: _Window, value: float | None) -> Interval | None:
    if value is None:
        return None
    return Interval(window.start.astimezone(UTC), window.end.astimezone(UTC), value)


def _calls(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) in pieces that one call gives, each from inside its first window."""
    for begin, until in pieces(_window_of(start), _window_of(end - timedelta.resolution) + WINDOW, CALL_SPAN):
        yield begin + INSIDE, until


def _window_of(instant: datetime) -> datetime:
    """When the window that holds it begins."""
    instant = instant.astimezone(UTC)
    return instant.replace(minute=instant.minute // 30 * 30, second=0, microsecond=0)


def _stamp(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%MZ}"
