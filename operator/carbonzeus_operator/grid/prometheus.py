"""Carbon intensity from a Prometheus, or what speaks like one (Thanos, Mimir, VictoriaMetrics), by queries that users write.

An actual is a gauge over time: its value at each full step holds until the next step. A Prometheus knows no future, so a
forecast is one query at the present whose every element is one value and says in its label `start` when that begins to hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isinf, isnan
from typing import Annotated, Literal

from pydantic import Field

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import YEAR_2200_S, Strict, as_set, printable
from carbonzeus_operator.grid.csvfile import YEARS
from carbonzeus_operator.grid.file import ZONE
from carbonzeus_operator.grid.http import Http, Reply, Request, bearer, expect
from carbonzeus_operator.grid.merge import merged
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.spans import usual

NAME = "Prometheus"
PLACE = "$zone"
"""In a query: the zone that is asked for."""
STEP = timedelta(minutes=5)
"""How finely actuals are read. Energy records are no finer."""
CALL_STEPS = 10_000
"""A Prometheus gives at most 11,000 a call."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d{1,3})?|Inf|NaN)", re.ASCII)
SECONDS = re.compile(r"\d{1,10}(?:\.\d{1,9})?", re.ASCII)
SHOWN = 200
"""So much of a warning or a label is quoted."""
MAX_WARNINGS = 3
"""So many of one answer are passed on."""

Second = Annotated[float, Field(ge=0, lt=YEAR_2200_S, allow_inf_nan=False)]
"""Of Unix time, before the year 2200; milliseconds lie beyond."""
Sample = tuple[Second, str]
"""When, and the value as text: `NaN` and `+Inf` are no JSON."""


class _Element(Strict):
    """One value at the present."""

    metric: Mapping[str, str]
    value: Sample


class _Line(Strict):
    """Values over time."""

    metric: Mapping[str, str]
    values: tuple[Sample, ...]


class _Vector(Strict):
    kind: Literal["vector"] = Field(alias="resultType")
    result: tuple[_Element, ...]


class _Matrix(Strict):
    kind: Literal["matrix"] = Field(alias="resultType")
    result: tuple[_Line, ...]


class _Answer(Strict):
    status: str
    error: str = ""
    """What went wrong, where `status` is not `success`."""
    warnings: tuple[str, ...] = ()
    """What may be missing from `data`."""


class _Present(_Answer):
    data: _Vector | None = None


class _Over(_Answer):
    data: _Matrix | None = None


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A `Provider` of one signal, with as much of forecast and actual as there are queries for."""

    http: Http
    url: str
    """As far as before `/api/v1`."""
    credential: Callable[[], str] | None = None
    """The bearer token, read at each call; None: it asks for none."""
    now: Callable[[], datetime] = utc_now
    forecast_query: str = ""
    """PromQL with `$zone`: one element for each time ahead."""
    actual_query: str = ""
    """PromQL with `$zone`: one series."""
    signal: Signal = Signal.AVERAGE
    """What the queries give."""
    factor: Factor = Factor.LIFECYCLE
    """What the queries give."""

    def __post_init__(self) -> None:
        """InvalidSpec where a query would give every zone the same."""
        for option, query in (("forecastQuery", self.forecast_query), ("actualQuery", self.actual_query)):
            if query and PLACE not in query:
                raise InvalidSpec(
                    f"{option} of {NAME} has no {PLACE} in it: put it where the zone belongs", reason="NoZone"
                )
        if not self.forecast_query and not self.actual_query:
            raise InvalidSpec(f"{NAME} has neither a forecastQuery nor an actualQuery: give one", reason="NoQuery")

    @property
    def signals(self) -> frozenset[Signal]:
        """Only what the queries give."""
        return frozenset({self.signal})

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The newest issue, by the label `issued`; without that, as old as the value that holds the present."""
        what, now = f"the forecast of zone {zone}", self.now()
        query = self._query("forecast", self.forecast_query, zone, signal)
        reply = await self._asked("/api/v1/query", {"query": query, "time": f"{now.timestamp():.3f}"})
        answer = expect(reply, NAME, what, model=_Present)
        if answer.status != "success" or answer.data is None:
            raise _failed(answer, what)
        if not answer.data.result:
            raise _nothing(answer, what)
        issued_at, found = _newest(zone, answer.data.result)
        known = merged(NAME, zone, _intervals(zone, found))
        issued_at = _age(known, now) if issued_at is None else min(issued_at, now)
        return Series(zone, signal, self.factor, NAME, issued_at, known, _warnings(answer))

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """The steps of [start, end) that are over; where there was no value, there is none."""
        what, now = f"the actual of zone {zone}", self.now()
        query = self._query("actual", self.actual_query, zone, signal)
        found: list[Interval] = []
        warnings: list[str] = []
        for first, last in _calls(start, min(end - timedelta.resolution, now - STEP)):
            span = {"start": f"{first}", "end": f"{last}", "step": f"{STEP.total_seconds():g}"}
            reply = await self._asked("/api/v1/query_range", {"query": query, **span})
            answer = expect(reply, NAME, what, model=_Over)
            if answer.status != "success" or answer.data is None:
                raise _failed(answer, what)
            if len(answer.data.result) > 1:
                raise _several(zone, answer.data.result)
            found += [one for line in answer.data.result for one in _steps(zone, line, first, last)]
            warnings += _warnings(answer)
        return Series(zone, signal, self.factor, NAME, now, merged(NAME, zone, found), tuple(dict.fromkeys(warnings)))

    def _query(self, kind: str, query: str, zone: str, signal: Signal) -> str:
        as_set(NAME, self.signal, signal)
        if not query:
            raise InvalidSpec(
                f"{NAME} has no {kind}Query, so no {kind} of zone {zone}", reason=f"No{kind.capitalize()}"
            )
        if not ZONE.fullmatch(zone):
            raise InvalidSpec(f"{zone!r} is no name of a zone: letters, digits, - and _", reason="InvalidZone")
        return query.replace(PLACE, zone)

    async def _asked(self, path: str, params: Mapping[str, str]) -> Reply:
        return await self.http.get(Request(self.url + path, params, bearer(self.credential)))


# Forecasts


def _newest(zone: str, elements: Iterable[_Element]) -> tuple[datetime | None, dict[datetime, list[float | None]]]:
    """(when it was issued, as far as that is said; its values [g/kWh] by when they begin, None for no number)."""
    issues: dict[datetime | None, dict[datetime, list[float | None]]] = {}
    for one in elements:
        issued = _instant(zone, "issued", one.metric["issued"]) if "issued" in one.metric else None
        start = _instant(zone, "start", one.metric.get("start", ""))
        issues.setdefault(issued, {}).setdefault(start, []).append(_number(zone, one.value))
    dated = {issued: found for issued, found in issues.items() if issued is not None}
    if dated and None in issues:
        raise InvalidSpec(
            f"the forecastQuery of {NAME} gives for zone {zone} values with the label issued and others without: give one kind",
            reason="InvalidGridData",
        )
    issued_at = max(dated, default=None)
    return issued_at, issues[issued_at]


def _intervals(zone: str, values: Mapping[datetime, Iterable[float | None]]) -> Iterator[Interval]:
    """As long as the usual spacing. What begins sooner after another ends that."""
    starts = sorted(values)
    step = usual(Counter(later - earlier for earlier, later in pairwise(starts)))
    if step is None:
        raise Unavailable(f"{NAME} gives one time only for the forecast of zone {zone}: nobody knows how long it holds")
    for start, later in zip(starts, [*starts[1:], None], strict=True):
        end = start + step if later is None else min(start + step, later)
        yield from (Interval(start, end, value) for value in values[start] if value is not None)


def _age(known: tuple[Interval, ...], now: datetime) -> datetime:
    """When a forecast that does not say it was issued: its value of the present says that it is good, for an hour at most."""
    begun = [one for one in known if one.start <= now]
    if not begun:
        return now
    if begun[-1].end <= now:
        return begun[-1].end
    return max(begun[-1].start, now.replace(minute=0, second=0, microsecond=0))


def _instant(zone: str, label: str, text: str) -> datetime:
    try:
        found = datetime.fromtimestamp(float(text), UTC) if SECONDS.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or found.year not in YEARS:
        raise InvalidSpec(
            f"the forecastQuery of {NAME} gives for zone {zone} a value whose label {label} is {text[:40]!r}: "
            "write it as 2026-11-24T12:00:00Z, or in seconds since 1970",
            reason="InvalidGridData",
        )
    return found.astimezone(UTC)


# Actuals


def _calls(start: datetime, last: datetime) -> Iterator[tuple[int, int]]:
    """The full steps [s since 1970] from the one that holds `start` to the one that holds `last`, in pieces of one call."""
    step_s = int(STEP.total_seconds())
    first_s, last_s = (int(instant.timestamp() // step_s) * step_s for instant in (start, last))
    for begin_s in range(first_s, last_s + 1, CALL_STEPS * step_s):
        yield begin_s, min(begin_s + (CALL_STEPS - 1) * step_s, last_s)


def _steps(zone: str, line: _Line, first: int, last: int) -> Iterator[Interval]:
    estimated = line.metric.get("is_estimated") == "true"
    for second, text in line.values:
        value = _number(zone, (second, text))
        if value is not None and first <= second <= last:
            start = datetime.fromtimestamp(second, UTC)
            yield Interval(start, start + STEP, value, estimated)


def _several(zone: str, lines: tuple[_Line, ...]) -> InvalidSpec:
    labels = [dict(sorted(line.metric.items())) for line in lines[:2]]
    differing = sorted({name for one in labels for name in one if labels[0].get(name) != labels[1].get(name)})
    return InvalidSpec(
        f"the actualQuery of {NAME} gives {len(lines)} series for zone {zone}, which differ in"
        f" {_shown(', '.join(differing)) or 'nothing'}: let it give one",
        reason="AmbiguousQuery",
    )


# Both


def _number(zone: str, sample: Sample) -> float | None:
    """None where it is NaN: there is no value."""
    text = sample[1]
    value = float(text) if NUMBER.fullmatch(text) else float("inf")
    if isinf(value):
        raise InvalidSpec(
            f"a query of {NAME} gives {text[:40]!r} for zone {zone}: mend the query", reason="InvalidGridData"
        )
    return None if isnan(value) else value


def _failed(answer: _Answer, what: str) -> Unavailable:
    return Unavailable(f"{NAME} answered {what} with {answer.status[:40]!r}: {_shown(answer.error) or 'no data'}")


def _nothing(answer: _Answer, what: str) -> Unavailable:
    warned = "".join(f" ({warning})" for warning in _warnings(answer)[:1])
    return Unavailable(f"{NAME} has nothing for {what}: see whether the query is right and its metric is there{warned}")


def _warnings(answer: _Answer) -> tuple[str, ...]:
    return tuple(f"{NAME} warns: {_shown(warning)}" for warning in list(dict.fromkeys(answer.warnings))[:MAX_WARNINGS])


def _shown(text: str) -> str:
    return printable(text[:SHOWN])
