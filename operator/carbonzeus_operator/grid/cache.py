"""One entry for each (zone, signal), whatever the number of jobs: asked for when due, kept when the source fails.

Calls run beside the round, forecast and actual each by itself. A round waits a little for those it began, then looks at what
is there: a source that is slow or hangs delays nothing but its own data.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import CarbonzeusError, Unavailable
from carbonzeus_operator.grid import keep
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.fallback import Fallback
from carbonzeus_operator.grid.part import Part
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Series, Signal
from carbonzeus_operator.grid.view import GridView

log = logging.getLogger(__name__)

ACTUAL_DAYS = timedelta(days=2)
"""For how long back the actual is asked for where no account needs more."""
UNWANTED = timedelta(hours=6)
"""An entry that nobody wanted for this long is dropped."""
PATIENCE_S = 3.0
"""A round waits at most this long for the calls it began; what comes later is there for the next round."""
PAST_EVERY_S = 3600.0
"""How long after an answer about the past the next such question may come."""
PAST_RETRY_S = 86_400.0
"""Nobody is in a hurry about the past: after many failures it is asked about once a day."""
PAST_DAYS = timedelta(days=10)
"""One call asks for no more of the past than this."""
CALL_LIMIT_S = 60.0
"""A call that takes longer is given up."""

Key = tuple[str, Signal]
Stretch = tuple[datetime, datetime]
"""[start, end)."""


@dataclass(slots=True)
class Entry:
    """What is known of one (zone, signal)."""

    forecast: Part
    actual: Part
    past: Part
    wanted: datetime
    """When somebody wanted it last."""


@dataclass(slots=True)
class GridCache:
    """`await refresh(...)` in every round, then look at `views()`; `await close()` at the end."""

    provider: Provider
    state_dir: Path | None
    """Where the last good data is kept; nowhere if None."""
    refresh_s: float
    """How often each forecast and each actual is asked for."""
    now: Callable[[], datetime] = utc_now
    patience_s: float = PATIENCE_S
    call_limit_s: float = CALL_LIMIT_S
    calls: int = 0
    errors: int = 0
    _entries: dict[Key, Entry] = field(default_factory=dict)
    _wanted: frozenset[Key] = frozenset()
    _past_wanted: frozenset[Key] = frozenset()

    async def refresh(
        self, wanted: Mapping[Key, datetime | None], past: Mapping[Key, Sequence[Stretch]] | None = None
    ) -> None:
        """Asks the source for what is wanted and due. `wanted` says from when on actuals are needed (None: recent ones).

        `past` says of which times long over the actuals are wanted once more, as they stand after revisions. They are asked
        for one at a time, at most `PAST_DAYS` of each, the first first; after a failure the next one has its turn.

        Never raises: a failure is kept as the problem beside the last good data. Takes no longer than `patience_s`, and is not
        kept waiting twice by the same call.
        """
        now = self.now()
        past = past or {}
        self._wanted, self._past_wanted = frozenset(wanted), frozenset(past)
        begun: list[asyncio.Task[None]] = []
        for key in self._wanted | self._past_wanted:
            entry = self._entries.get(key)
            if entry is None:
                parts = Part(*key, "forecast"), Part(*key, "actual"), Part(*key, "past")
                entry = self._entries[key] = Entry(*parts, now)
            entry.wanted = now
            if key in wanted:
                begun += self._begin(entry, min(wanted[key] or now, now - ACTUAL_DAYS), now)
            if past.get(key) and entry.past.is_due(now):
                begun.append(self._begin_past(entry.past, past[key]))
        for key in [key for key, entry in self._entries.items() if now - entry.wanted > UNWANTED]:
            _give_up(self._entries.pop(key))
        if begun:
            await asyncio.wait(begun, timeout=self.patience_s)

    def views(self) -> dict[Key, GridView]:
        """What is known now of all that was wanted last."""
        now = self.now()
        views = {key: _view(self._entries[key], now) for key in self._wanted}
        for key in self._past_wanted - self._wanted:
            past = self._entries[key].past
            views[key] = GridView(None, None, None, None, past=past.good, past_span=past.span)
        return views

    async def close(self) -> None:
        """Gives up the calls under way."""
        calls = [call for entry in self._entries.values() for call in _give_up(entry)]
        self._entries, self._wanted, self._past_wanted = {}, frozenset(), frozenset()
        if calls:
            await asyncio.wait(calls, timeout=self.patience_s)

    def _begin(self, entry: Entry, since: datetime, now: datetime) -> list[asyncio.Task[None]]:
        forecast, actual = entry.forecast, entry.actual
        zone, signal = forecast.zone, forecast.signal
        begun = []
        if forecast.is_due(now):
            begun.append(self._call(forecast, None, lambda: self.provider.forecast(zone, signal)))
        if actual.is_due(now, since):
            begun.append(self._call(actual, since, lambda: self.provider.actual(zone, signal, since, now)))
        return begun

    def _begin_past(self, part: Part, stretches: Sequence[Stretch]) -> asyncio.Task[None]:
        start, end = stretches[part.failures % len(stretches)]
        end = min(end, start + PAST_DAYS)
        part.call = asyncio.create_task(self._ask_past(part, (start, end)))
        part.call.add_done_callback(lambda _: _ended(part))
        return part.call

    async def _ask_past(self, part: Part, stretch: Stretch) -> None:
        self.calls += 1
        try:
            series = await self._answer(part, lambda: self.provider.actual(part.zone, part.signal, *stretch))
        except CarbonzeusError as error:
            self.errors += 1
            part.failed(error, self.now(), PAST_RETRY_S)
            return
        part.span = stretch
        part.succeeded(series, None, self.now(), PAST_EVERY_S)

    def _call(self, part: Part, since: datetime | None, ask: Callable[[], Awaitable[Series]]) -> asyncio.Task[None]:
        part.call = asyncio.create_task(self._ask(part, since, ask))
        part.call.add_done_callback(lambda _: _ended(part))
        return part.call

    async def _ask(self, part: Part, since: datetime | None, ask: Callable[[], Awaitable[Series]]) -> None:
        if part.due is None and self.state_dir is not None and part.kind != "past":
            kept = await asyncio.to_thread(keep.read, self.state_dir, part.kind, part.zone, part.signal)
            chain = self.provider
            part.good = kept if kept is None or not isinstance(chain, Fallback) or chain.may_have_given(kept) else None
        self.calls += 1
        try:
            series = await self._answer(part, ask)
        except CarbonzeusError as error:
            self.errors += 1
            part.failed(error, self.now(), self.refresh_s)
            return
        part.succeeded(series, since, self.now(), self.refresh_s)
        if self.state_dir is not None and part.kind != "past":
            await asyncio.to_thread(keep.write, self.state_dir, part.kind, series)

    async def _answer(self, part: Part, ask: Callable[[], Awaitable[Series]]) -> Series:
        try:
            async with asyncio.timeout(self.call_limit_s):
                series = checked(await ask(), part.zone, part.signal)
        except CarbonzeusError:
            raise
        except TimeoutError as error:
            raise Unavailable("the source did not answer in time") from error
        except Exception as error:
            log.exception("the source of %s (%s) failed in a way that it should not", part.zone, part.signal)
            raise Unavailable(f"the source failed unexpectedly: {error!r}; the log says where") from error
        if part.kind == "forecast" and not series.intervals:
            raise Unavailable(f"the forecast of {series.source} for {part.zone} is empty")
        # Of a source whose clock is ahead it would never grow old.
        return replace(series, issued_at=min(series.issued_at, self.now()))


def _give_up(entry: Entry) -> list[asyncio.Task[None]]:
    calls = [part.call for part in (entry.forecast, entry.actual, entry.past) if part.call is not None]
    for call in calls:
        call.cancel()
    return calls


def _ended(part: Part) -> None:
    part.call = None


def _view(entry: Entry, now: datetime) -> GridView:
    forecast, actual = entry.forecast, entry.actual
    age_s = max((now - forecast.good.issued_at).total_seconds(), 0.0) if forecast.good is not None else None
    past = entry.past
    return GridView(forecast.good, actual.good, forecast.problem, age_s, actual.problem, past.good, past.span)
