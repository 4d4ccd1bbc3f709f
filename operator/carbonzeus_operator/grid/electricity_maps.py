"""Electricity Maps, API v4: the average intensity of zones all over the world, 72 hours ahead, by token.

Forecasts are of the plants' whole life, so actuals are asked for with the same factor: Lifecycle. What it calls an estimate
is one here; within hours or days it stands there as measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import ClassVar, Literal, NoReturn

from pydantic import AliasChoices, Field, FiniteFloat

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import Moment, Strict, average_only, quoted
from carbonzeus_operator.grid.file import ZONE
from carbonzeus_operator.grid.http import Http, Reply, Request, expect
from carbonzeus_operator.grid.merge import merged
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.spans import hour_of, pieces, stamp

log = logging.getLogger(__name__)

NAME = "Electricity Maps"
URL = "https://api.electricitymaps.com/v4"
STEPS = {"5_minutes": timedelta(minutes=5), "15_minutes": timedelta(minutes=15), "hourly": timedelta(hours=1)}
CALL_SPAN = timedelta(days=10)
"""One call of past-range gives no more."""
HISTORY = timedelta(hours=23)
"""History begins so long before the present hour. Every plan has it."""
LATELY = timedelta(hours=1)
"""A question that ends no longer ago is about the present, not about revisions of what is long over."""


class _Row(Strict):
    start: Moment = Field(alias="datetime")
    value: FiniteFloat | None = Field(alias="carbonIntensity")
    """None where it knows nothing."""
    zone: str | None = None
    estimated: bool | None = Field(None, alias="isEstimated")
    updated_at: Moment | None = Field(None, alias="updatedAt")
    factor: str | None = Field(None, alias="emissionFactorType")
    granularity: str | None = Field(None, alias="temporalGranularity")


class _Answer(Strict):
    rows: tuple[_Row, ...] = Field(validation_alias=AliasChoices("data", "history", "forecast"))
    zone: str | None = None
    factor: str | None = Field(None, alias="emissionFactorType")
    granularity: str | None = Field(None, alias="temporalGranularity")


class _Forecast(_Answer):
    updated_at: Moment = Field(alias="updatedAt")


@dataclass(frozen=True, slots=True)
class ElectricityMaps:
    """A `Provider` of the signal Average."""

    signals: ClassVar[frozenset[Signal]] = frozenset({Signal.AVERAGE})
    factor: ClassVar[Factor] = Factor.LIFECYCLE

    http: Http
    credential: Callable[[], str] = field(repr=False)
    """The token, read for each call, so that a new one is used at once."""
    url: str = URL
    now: Callable[[], datetime] = utc_now
    horizon_hours: Literal[6, 24, 48, 72] = 72
    """How far ahead to ask [h], as the plan has it."""
    _told: set[str] = field(default_factory=set, repr=False)
    """The zones of which the log says that the plan has no past-range."""

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The present hour and what comes."""
        _check(zone, signal)
        reply = await self._get("forecast", zone, horizonHours=str(self.horizon_hours))
        answer = expect(reply, NAME, f"the forecast of zone {zone}", model=_Forecast)
        found = (_interval(row, step, estimated=False) for row, step in _rows(answer, zone))
        return self._series(zone, answer.updated_at, found)

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What is known of the intervals that are over.

        Where past-range is refused, as in plans without it, a question about the present is answered with the last 24 hours
        and a warning; one about what is long over raises Unavailable.
        """
        _check(zone, signal)
        if start >= end:
            return self._series(zone, self.now(), ())
        present = hour_of(self.now())
        if start >= present - HISTORY:
            return await self._last_day(zone, start, end)
        answers: list[tuple[_Answer, datetime, datetime]] = []
        for begin, until in pieces(hour_of(start), _second_after(end), CALL_SPAN):
            reply = await self._get(
                "past-range", zone, start=stamp(begin), end=stamp(until), emissionFactorType="lifecycle"
            )
            if reply.status in {401, 403} and not answers and end > present - LATELY:
                return self._warned(await self._last_day(zone, start, end))
            answers.append((_actual(reply, zone), begin, until))
        return self._settled(zone, start, answers)

    async def _last_day(self, zone: str, start: datetime, end: datetime) -> Series:
        reply = await self._get("history", zone, emissionFactorType="lifecycle")
        return self._settled(zone, start, [(_actual(reply, zone), hour_of(start), end)])

    async def _get(self, what: str, zone: str, **more: str) -> Reply:
        token = self.credential().strip()
        if not token:
            raise Unavailable(f"the token of {NAME} is empty: put it into the Secret")
        # Asked for a zone that it does not know, it would answer with the zone of whoever asks.
        params = {"zone": zone, "disableCallerLookup": "true", "temporalGranularity": "hourly", **more}
        return await self.http.get(Request(f"{self.url}/carbon-intensity/{what}", params, {"auth-token": token}))

    def _settled(self, zone: str, start: datetime, answers: Iterable[tuple[_Answer, datetime, datetime]]) -> Series:
        """Of each answer the rows of its own [begin, until): at the seam, two may tell of different revisions."""
        now = self.now()
        rows = [
            (row, step)
            for answer, begin, until in answers
            for row, step in _rows(answer, zone)
            if begin <= row.start < until and start < row.start + step <= now
        ]
        found = [_interval(row, step, estimated=row.estimated is not False) for row, step in rows]
        updated = max((row.updated_at for row, _ in rows if row.updated_at is not None), default=None)
        return replace(self._series(zone, now, found), updated_at=updated)

    def _series(self, zone: str, at: datetime, found: Iterable[Interval | None]) -> Series:
        known = (one for one in found if one is not None)
        return Series(zone, Signal.AVERAGE, self.factor, NAME, at, merged(NAME, zone, known))

    def _warned(self, series: Series) -> Series:
        zone = series.zone
        message = (
            f"{NAME} refuses past-range for zone {zone}, so that no more than the last 24 hours can be settled: "
            "use a token whose plan has it"
        )
        if zone not in self._told:
            self._told.add(zone)
            log.warning(message)
        return replace(series, warnings=(message,))


def _check(zone: str, signal: Signal) -> None:
    average_only(NAME, signal)
    if not ZONE.fullmatch(zone):
        raise InvalidSpec(f"{NAME} has no zone {zone!r}: letters, digits, - and _", reason="InvalidZone")


def _actual(reply: Reply, zone: str) -> _Answer:
    return expect(reply, NAME, f"the actual of zone {zone}", model=_Answer)


def _rows(answer: _Answer, zone: str) -> Iterator[tuple[_Row, timedelta]]:
    """Each with the length of its interval. InvalidSpec where the answer is of another zone or another factor."""
    for found in {answer.zone, *(row.zone for row in answer.rows)} - {None, zone}:
        raise InvalidSpec(
            f"{NAME} answered with zone {quoted(found)}, where {zone} was asked for", reason="InvalidZone"
        )
    if answer.rows and answer.zone is None and any(row.zone is None for row in answer.rows):
        _refuse(zone, "it does not say of which zone it is")
    for factor in {answer.factor, *(row.factor for row in answer.rows)} - {None, "lifecycle"}:
        _refuse(zone, f"its factor is {quoted(factor)}, not 'lifecycle'")
    step = _step(answer, zone) if answer.rows else timedelta()
    return ((row, step) for row in answer.rows)


def _step(answer: _Answer, zone: str) -> timedelta:
    """How long an interval is: as the answer says, else as far as its rows are apart."""
    said = {answer.granularity, *(row.granularity for row in answer.rows)} - {None}
    if said:
        steps = {STEPS.get(word or "") for word in said}
        step = steps.pop()
        if step is None or steps:
            words = " and ".join(sorted(quoted(word) for word in said)[:3])
            _refuse(zone, f"its temporalGranularity is {words}, not one of {', '.join(STEPS)}")
        return step
    starts = sorted({row.start for row in answer.rows})
    step = min((after - before for before, after in pairwise(starts)), default=None)
    if step is None or step not in STEPS.values():
        _refuse(zone, "it does not say how long its intervals are")
    return step


def _interval(row: _Row, step: timedelta, *, estimated: bool) -> Interval | None:
    return None if row.value is None else Interval(row.start, row.start + step, row.value, estimated)


def _second_after(instant: datetime) -> datetime:
    """It, or the full second that comes next."""
    return instant.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=bool(instant.microsecond))


def _refuse(zone: str, what: str) -> NoReturn:
    raise InvalidSpec(f"what {NAME} answered for {zone} cannot be used: {what}", reason="InvalidGridData")
