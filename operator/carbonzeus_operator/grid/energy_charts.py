"""Energy-Charts of Fraunhofer ISE: countries of Europe, by the quarter or the whole hour, without a key.

A zone is a country's code (`DE`, `FR`). The grams cover the plants' whole life: factor Lifecycle.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat, model_validator

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import YEAR_2200_S, Strict, average_only
from carbonzeus_operator.grid.http import Http, Request, expect
from carbonzeus_operator.grid.merge import merged
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.spans import hour_of, usual

NAME = "EnergyCharts"
URL = "https://api.energy-charts.info"
ZONE = re.compile(r"[A-Za-z]{2,3}", re.ASCII)
AHEAD = timedelta(days=4)
"""So far ahead a forecast is asked for; it ends where it ends, mostly with the day or the next."""
STEPS_S = frozenset({900, 1800, 3600})
"""The spacings that countries publish in [s]; another one is in another unit."""
Second = Annotated[int, Field(ge=0, lt=YEAR_2200_S)]
"""Of Unix time; milliseconds lie beyond."""


class Answer(Strict):
    """Of `/co2eq`: three columns of one table."""

    unix_seconds: tuple[Second, ...]
    """When each interval begins."""
    co2eq: tuple[FiniteFloat | None, ...]
    """What was measured [g/kWh]; None where it is not published yet."""
    co2eq_forecast: tuple[FiniteFloat | None, ...]
    """What is expected [g/kWh]; None where it was measured already."""

    @model_validator(mode="after")
    def _of_one_length(self) -> Answer:
        if not len(self.unix_seconds) == len(self.co2eq) == len(self.co2eq_forecast):
            raise ValueError("unix_seconds, co2eq and co2eq_forecast differ in length")
        return self


@dataclass(frozen=True, slots=True)
class EnergyCharts:
    """A `Provider` of the signal Average."""

    signals: ClassVar[frozenset[Signal]] = frozenset({Signal.AVERAGE})
    factor: ClassVar[Factor] = Factor.LIFECYCLE

    http: Http
    url: str = URL
    now: Callable[[], datetime] = utc_now

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """What is expected from the last measured value on."""
        now = self.now()
        return await self._asked(zone, signal, now - timedelta(hours=1), now + AHEAD, forecast=True)

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What was measured in [start, end)."""
        return await self._asked(zone, signal, start, end, forecast=False)

    async def _asked(self, zone: str, signal: Signal, start: datetime, end: datetime, *, forecast: bool) -> Series:
        average_only(NAME, signal)
        if not ZONE.fullmatch(zone):
            raise InvalidSpec(f"{NAME} has no zone {zone!r}: a country's code, such as DE", reason="InvalidZone")
        query = {"country": zone.lower(), "start": _stamp(hour_of(start)), "end": _stamp(end)}
        reply = await self.http.get(Request(f"{self.url}/co2eq", query))
        what = f"the {'forecast' if forecast else 'actual'} of zone {zone}"
        answer = expect(reply, NAME, what, model=Answer)
        found = intervals(zone, answer.unix_seconds, answer.co2eq_forecast if forecast else answer.co2eq)
        if not forecast:
            found = [one for one in found if one.start < end and one.end > start]
        return Series(zone, signal, self.factor, NAME, reply.at, merged(NAME, zone, found))


def intervals(zone: str, starts_s: Iterable[int], values: Iterable[float | None]) -> list[Interval]:
    """Those that have a value, in the order that they came in; each as long as the usual spacing, or until the next begins.

    starts_s: Unix time [s]; values: [g/kWh], as many. Unavailable where the spacing is none that countries publish in.
    """
    rows = list(zip(starts_s, values, strict=True))
    distinct = sorted({start_s for start_s, _ in rows})
    step_s = usual(Counter(later - earlier for earlier, later in pairwise(distinct)))
    if step_s is None:
        return []  # how long a single one is, nobody says
    if step_s not in STEPS_S:
        raise Unavailable(
            f"{NAME} answered for zone {zone} with values {step_s} s apart, which cannot be: look at its url"
        )
    length_s = {earlier: min(step_s, later - earlier) for earlier, later in pairwise(distinct)} | {distinct[-1]: step_s}
    return [
        Interval(datetime.fromtimestamp(start_s, UTC), datetime.fromtimestamp(start_s + length_s[start_s], UTC), value)
        for start_s, value in rows
        if value is not None
    ]


def _stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
