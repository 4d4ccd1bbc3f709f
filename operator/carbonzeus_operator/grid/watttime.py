"""WattTime, API v3: the marginal intensity of its regions in steps of five minutes, 72 hours ahead, by user and password.

Zones are WattTime's regions, such as `CAISO_NORTH`. The signal Marginal is its `co2_moer`, with forecast and actual; Average is
its `co2_aoer`, of which there are actuals only. Both are of the burning: factor Direct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, NoReturn

from pydantic import Field, FiniteFloat

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.answer import Moment, Strict, quoted
from carbonzeus_operator.grid.file import ZONE
from carbonzeus_operator.grid.http import Http, expect
from carbonzeus_operator.grid.merge import merged
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.spans import hour_of, pieces
from carbonzeus_operator.grid.watttime_login import NAME, Login

URL = "https://api.watttime.org"
SIGNAL_TYPES = {Signal.MARGINAL: "co2_moer", Signal.AVERAGE: "co2_aoer"}
UNITS = "lbs_co2_per_mwh"
G_PER_KWH = 0.45359237
"""Of one pound a megawatt-hour: the international pound has 453.59237 g."""
HORIZON_H = 72
"""WattTime forecasts no further [h]."""
CALL_SPAN = timedelta(days=30)
"""One call gives 32 days; both of its ends count."""


class _Model(Strict):
    date: date


class _Meta(Strict):
    region: str
    signal_type: str
    units: str
    step_s: int = Field(alias="data_point_period_seconds", gt=0, le=86_400)
    model: _Model | None = None


class _Point(Strict):
    start: Moment = Field(alias="point_time")
    value: FiniteFloat | None
    imputed: bool | None = Field(None, alias="imputed_data_used")
    """Made without all of what it is usually made of."""


class _Answer(Strict):
    data: tuple[_Point, ...]
    meta: _Meta


class _ForecastMeta(_Meta):
    generated_at: Moment


class _Forecast(_Answer):
    meta: _ForecastMeta


class Region(Strict):
    """A zone of WattTime's."""

    region: str
    """Its short name, which a policy says as its zone."""
    region_full_name: str


@dataclass(slots=True)
class WattTime:
    """A `Provider`. Forecast and actual of a zone are of the same model, whose date each series says."""

    signals: ClassVar[frozenset[Signal]] = frozenset(SIGNAL_TYPES)
    factor: ClassVar[Factor] = Factor.DIRECT

    http: Http
    credential: Callable[[], str] = field(repr=False)
    """`user:password` in one text, read for each call, so that a new one is used at once."""
    url: str = URL
    now: Callable[[], datetime] = utc_now
    _login: Login = field(init=False, repr=False)
    _pinned: dict[tuple[str, Signal], date] = field(init=False, default_factory=dict, repr=False)
    """The model that is asked for: the newest seen."""

    def __post_init__(self) -> None:
        self._login = Login(self.http, self.url, self.credential, self.now)

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The present five minutes and what comes. Of the signal Average there is none: InvalidSpec."""
        if signal is not Signal.MARGINAL:
            raise InvalidSpec(
                f"{NAME} has no forecast of the signal {signal} (co2_aoer is published afterwards only): "
                "follow the signal Marginal, or another provider",
                reason="NoForecast",
            )
        answer = await self._forecast(zone, None)
        model, pinned = _model(answer), self._pinned.get((zone, signal))
        if model is not None and pinned is not None and model < pinned:
            try:
                answer = await self._forecast(zone, pinned)
            except InvalidSpec:  # forecasts have no such model: then actuals are asked for with theirs
                self._pinned[zone, signal] = model
        elif model is not None:
            self._pinned[zone, signal] = model
        found = [one for point in answer.data if (one := _interval(point, answer.meta, estimated=False)) is not None]
        return self._series(zone, signal, answer.meta.generated_at, found, _model(answer))

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What is published of the intervals that are over."""
        now = self.now()
        model = self._pinned.get((zone, signal))
        found: list[Interval] = []
        for begin, until in _calls(start, end):
            answer = await self._history(zone, signal, (begin, until), model)
            model = _model(answer)
            found += [
                one
                for point in answer.data
                if begin <= point.start < until
                and (one := _interval(point, answer.meta, estimated=point.imputed is True)) is not None
                and start < one.end <= now
            ]
        if model is not None:
            self._pinned.setdefault((zone, signal), model)
        return self._series(zone, signal, now, found, model)

    async def region_at(self, latitude: float, longitude: float, signal: Signal = Signal.MARGINAL) -> Region:
        """In which of its regions a place lies. InvalidSpec where in none."""
        params = {"latitude": str(latitude), "longitude": str(longitude), "signal_type": SIGNAL_TYPES[signal]}
        reply = await self._login.get("/v3/region-from-loc", params)
        return expect(reply, NAME, f"the region at {latitude}, {longitude}", model=Region)

    async def _forecast(self, zone: str, model: date | None) -> _Forecast:
        params = {**_params(zone, Signal.MARGINAL, model), "horizon_hours": str(HORIZON_H)}
        reply = await self._login.get("/v3/forecast", params)
        answer = expect(reply, NAME, f"the forecast of zone {zone}", model=_Forecast)
        _check(answer, zone, Signal.MARGINAL, model)
        return answer

    async def _history(self, zone: str, signal: Signal, span: tuple[datetime, datetime], model: date | None) -> _Answer:
        begin, until = span
        params = {**_params(zone, signal, model), "start": _stamp(begin), "end": _stamp(until)}
        reply = await self._login.get("/v3/historical", {**params, "include_imputed_marker": "true"})
        answer = expect(reply, NAME, f"the actual of zone {zone}", model=_Answer)
        _check(answer, zone, signal, model)
        return answer

    def _series(self, zone: str, signal: Signal, at: datetime, found: list[Interval], model: date | None) -> Series:
        named = "" if model is None else f"{SIGNAL_TYPES[signal]} {model}"
        return Series(zone, signal, self.factor, NAME, at, merged(NAME, zone, found), model=named)


def _params(zone: str, signal: Signal, model: date | None) -> dict[str, str]:
    if not ZONE.fullmatch(zone):
        raise InvalidSpec(f"{NAME} has no region {zone!r}: letters, digits, - and _", reason="InvalidZone")
    params = {"region": zone, "signal_type": SIGNAL_TYPES[signal]}
    return params if model is None else {**params, "model": model.isoformat()}


def _check(answer: _Answer, zone: str, signal: Signal, model: date | None) -> None:
    """InvalidSpec where it is not of this region, signal, unit and model (None: any)."""
    meta = answer.meta
    if meta.region != zone:
        _refuse(zone, f"it is of region {quoted(meta.region)}", "InvalidZone")
    if meta.signal_type != SIGNAL_TYPES[signal]:
        _refuse(zone, f"it is of the signal {quoted(meta.signal_type)}, not {SIGNAL_TYPES[signal]!r}")
    if meta.units != UNITS:
        _refuse(zone, f"its units are {quoted(meta.units)}, not {UNITS!r}")
    if model is not None and _model(answer) != model:
        _refuse(zone, f"its model is {_model(answer) or 'not said'}, where that of {model} was asked for")


def _model(answer: _Answer) -> date | None:
    """The date of its model, where it says one."""
    return None if answer.meta.model is None else answer.meta.model.date


def _interval(point: _Point, meta: _Meta, *, estimated: bool) -> Interval | None:
    if point.value is None:
        return None
    return Interval(point.start, point.start + timedelta(seconds=meta.step_s), point.value * G_PER_KWH, estimated)


def _calls(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) in pieces that one call gives, from a full hour on: some regions have hours only."""
    return pieces(hour_of(start), end.astimezone(UTC), CALL_SPAN) if start < end else iter(())


def _stamp(instant: datetime) -> str:
    """By the second: points stand at full minutes, and the end counts."""
    return f"{instant:%Y-%m-%dT%H:%M:%S+00:00}"


def _refuse(zone: str, what: str, reason: str = "InvalidGridData") -> NoReturn:
    raise InvalidSpec(f"what {NAME} answered for {zone} cannot be used: {what}", reason=reason)
