"""Several sources in the order of preference, as one: the first that has what is asked for answers.

Only sources of the same signal and the same factor stand in for each other: grams of one kind are no forecast of the other.
Sources of different factors may stand side by side where no zone is served by both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import combinations
from typing import Literal

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.breaker import Breaker
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Factor, Series, Signal

log = logging.getLogger(__name__)

NOT_ITS_MATTER = frozenset({"InvalidZone", "UnsupportedSignal", "NoActual", "NoForecast"})
"""Reasons with which a source says, without asking anybody, that it has no such zone, signal or kind of data: no failure of it."""

Kind = Literal["forecast", "actual"]
Matter = tuple[str, Signal, Kind]
"""(zone, signal, kind) that somebody asks for."""


@dataclass(slots=True, eq=False)
class Link:
    """One source of the chain, and how asking it goes."""

    name: str
    provider: Provider
    factor: Factor
    signals: frozenset[Signal] = frozenset(Signal)
    zones: frozenset[str] | None = None
    """The only ones that it is asked for; None: any."""
    breaker: Breaker | None = field(default_factory=Breaker)
    """None: it is never left alone, because a failure with one zone says nothing of the others."""
    calls: int = 0
    errors: int = 0
    under_way: set[asyncio.Future[Series]] = field(default_factory=set)

    def serves(self, zone: str, signal: Signal) -> bool:
        """Whether it is asked for these at all."""
        return signal in self.signals and (self.zones is None or zone in self.zones)

    def stands_beside(self, other: Link) -> bool:
        """Whether no zone is served by both with the same signal."""
        if not self.signals & other.signals:
            return True
        return self.zones is not None and other.zones is not None and not self.zones & other.zones


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers for a matter."""

    name: str
    """Empty: nobody."""
    since: datetime


class _LeftAlone(Unavailable):
    """It was not asked: its breaker is open."""


class Fallback:
    """A `Provider` made of others.

    stale_s: a forecast older than this [s] is used only if none of the sources has a newer one. InvalidSpec where links that
    give the same signal are of different factors.
    """

    def __init__(self, links: Sequence[Link], now: Callable[[], datetime], stale_s: float) -> None:
        _refuse_mixed_factors(links)
        self.links = tuple(links)
        self.answering: dict[Matter, Answering] = {}
        """Who answered last."""
        self._now = now
        self._stale = timedelta(seconds=stale_s)
        self._failing: dict[tuple[Matter, str], tuple[datetime, str]] = {}
        """Since when a link fails in a matter, and what it said last when it was asked."""

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """Of the first source that has one which covers the present and is not stale, else the newest."""
        return await self._first((zone, signal, "forecast"), lambda one: one.forecast(zone, signal))

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """Of the first source that answers."""
        return await self._first((zone, signal, "actual"), lambda one: one.actual(zone, signal, start, end))

    def may_have_given(self, series: Series) -> bool:
        """Whether it is of the factor that is used for its zone now, and not from before the sources were others."""
        links = (link for link in self.links if link.serves(series.zone, series.signal))
        return any(link.factor is series.factor for link in links)

    async def _first(self, matter: Matter, ask: Callable[[Provider], Awaitable[Series]]) -> Series:
        refusals: dict[str, CarbonzeusError] = {}
        stale: dict[str, Series] = {}
        for link in self.links:
            if not link.serves(matter[0], matter[1]):
                continue
            try:
                series = await self._ask(link, matter, ask)
                if matter[2] == "forecast" and self._now() - series.issued_at > self._stale:
                    stale[link.name] = series
                    raise Unavailable(f"its newest forecast is of {series.issued_at:%Y-%m-%dT%H:%M:%SZ}")
            except CarbonzeusError as error:
                refusals[link.name] = error
                self._note(matter, link.name, error)
                continue
            self._failing.pop((matter, link.name), None)
            return self._answered(matter, link.name, series, refusals)
        if stale:
            newest = max(stale, key=lambda name: stale[name].issued_at)
            del refusals[newest]
            return self._answered(matter, newest, stale[newest], refusals)
        self._turn_to(matter, "")
        raise self._nobody(matter, refusals)

    async def _ask(self, link: Link, matter: Matter, ask: Callable[[Provider], Awaitable[Series]]) -> Series:
        if link.breaker is not None and not link.breaker.enter(self._now()):
            raise self._left_alone(link, link.breaker)
        link.calls += 1
        try:
            series = self._of_this(link, matter, await self._answer(link, ask))
        except InvalidSpec as error:
            link.errors += error.reason not in NOT_ITS_MATTER
            raise
        except Unavailable:
            link.errors += 1
            raise
        return series

    async def _answer(self, link: Link, ask: Callable[[Provider], Awaitable[Series]]) -> Series:
        """What the source says. Who still waits for it when it is found failing goes on to the next one at once."""
        call = asyncio.ensure_future(_asked(link, ask))
        link.under_way.add(call)
        try:
            await asyncio.wait({call})
        except asyncio.CancelledError:
            call.cancel()
            if link.breaker is not None:
                link.breaker.left()
            raise
        finally:
            link.under_way.discard(call)
        breaker = link.breaker
        if call.cancelled():
            raise self._left_alone(link, breaker or Breaker())
        try:
            series = call.result()
        except Unavailable as error:
            if breaker is not None and breaker.failed(str(error), self._now(), error.retry_after_s):
                level = logging.WARNING if breaker.openings <= 1 else logging.DEBUG
                log.log(level, "%s is left alone for %.0f s: %s", link.name, breaker.wait_s(self._now()), error)
                for other in link.under_way:
                    other.cancel()
            raise
        except CarbonzeusError:
            if breaker is not None:
                breaker.succeeded()
            raise
        if breaker is not None:
            breaker.succeeded()
        return series

    def _of_this(self, link: Link, matter: Matter, series: Series) -> Series:
        """The same series, of the link's name. InvalidSpec or Unavailable where it is not what was asked for."""
        zone, signal, kind = matter
        checked(series, zone, signal)
        if series.factor is not link.factor:
            message = f"{link.name} gives {series.factor} grams, where {link.factor} was to be expected"
            raise InvalidSpec(message, reason="InvalidGridData")
        if kind == "forecast" and series.at(self._now()) is None:
            raise Unavailable(f"the forecast of {link.name} for {zone} does not cover the present")
        return replace(series, source=link.name)

    def _left_alone(self, link: Link, breaker: Breaker) -> _LeftAlone:
        message = f"{link.name} is left alone for a while: {breaker.why or 'it is being tried again'}"
        return _LeftAlone(message, retry_after_s=breaker.wait_s(self._now()))

    def _note(self, matter: Matter, name: str, error: CarbonzeusError) -> None:
        if not _its_failure(error):
            self._failing.pop((matter, name), None)
            return
        since, words = self._failing.get((matter, name), (self._now(), str(error)))
        self._failing[matter, name] = since, words if isinstance(error, _LeftAlone) else str(error)

    def _answered(self, matter: Matter, name: str, series: Series, refusals: dict[str, CarbonzeusError]) -> Series:
        self._turn_to(matter, name)
        words = [self._failure(matter, other, error) for other, error in refusals.items() if _its_failure(error)]
        if not words:
            return series
        since = self.answering[matter].since
        told = f"{name} answers since {since:%Y-%m-%dT%H:%M:%SZ}, because {'; '.join(words)}"
        return replace(series, warnings=(*series.warnings, told), stands_in=True)

    def _turn_to(self, matter: Matter, name: str) -> None:
        zone, signal, kind = matter
        before = self.answering.get(matter)
        if before is not None and before.name == name:
            return
        if before is not None or not name:
            log.warning("%s of %s (%s): %s answers", kind, zone, signal, name or "nobody")
        self.answering[matter] = Answering(name, self._now())

    def _failure(self, matter: Matter, name: str, error: CarbonzeusError) -> str:
        if (known := self._failing.get((matter, name))) is None:
            return str(error)
        since, words = known
        return f"{name} fails since {since:%Y-%m-%dT%H:%M:%SZ} ({words})"

    def _nobody(self, matter: Matter, refusals: dict[str, CarbonzeusError]) -> CarbonzeusError:
        zone, signal, kind = matter
        if not refusals:
            return InvalidSpec(
                f"no provider in grid.providers serves zone {zone} with the signal {signal}: add one that does",
                reason="InvalidZone",
            )
        if len(refusals) == 1:
            return next(iter(refusals.values()))
        words = "; ".join(self._failure(matter, name, error) for name, error in refusals.items())
        message = f"no provider has the {kind} of zone {zone}: {words}"
        failures = [error for error in refusals.values() if isinstance(error, Unavailable)]
        if not failures:
            return InvalidSpec(
                message, reason=next(one.reason for one in refusals.values() if isinstance(one, InvalidSpec))
            )
        waits = [error.retry_after_s for error in failures if error.retry_after_s is not None]
        return Unavailable(message, retry_after_s=min(waits) if len(waits) == len(failures) else None)


async def _asked(link: Link, ask: Callable[[Provider], Awaitable[Series]]) -> Series:
    try:
        return await ask(link.provider)
    except CarbonzeusError:
        raise
    except Exception as error:
        log.exception("%s failed in a way that it should not", link.name)
        raise Unavailable(f"{link.name} failed unexpectedly: {error!r}; the log says where") from error


def _its_failure(error: CarbonzeusError) -> bool:
    return not (isinstance(error, InvalidSpec) and error.reason in NOT_ITS_MATTER)


def _refuse_mixed_factors(links: Sequence[Link]) -> None:
    for one, other in combinations(links, 2):
        if one.factor is not other.factor and not one.stands_beside(other):
            raise InvalidSpec(
                f"grid.providers: {one.name} gives {one.factor} grams and {other.name} gives {other.factor} grams of the same "
                "signal, so that neither can stand in for the other: take one of them out, or keep them apart with onlyZones or onlySignals",
                reason="MixedFactors",
            )
