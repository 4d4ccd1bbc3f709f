"""One entry for each (zone, signal), whatever the number of jobs: asked for when due, kept when the source fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carbonzeus_operator.errors import CarbonzeusError, Unavailable
from carbonzeus_operator.grid import keep
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Series, Signal
from carbonzeus_operator.grid.view import GridView

log = logging.getLogger(__name__)

BACKOFF = 2.0
MAX_BACKOFF_S = 1800.0
JITTER = 0.1
"""Share by which the next call is moved at random, so that many operators do not call at once."""
ACTUAL_DAYS = timedelta(days=2)
"""For how long back the actual is asked for where no account needs more."""
UNWANTED = timedelta(hours=6)
"""An entry that nobody wanted for this long is dropped."""

Key = tuple[str, Signal]


@dataclass(slots=True)
class Entry:
    """What is known of one (zone, signal)."""

    forecast: Series | None = None
    actual: Series | None = None
    problem: str | None = None
    failures: int = 0
    """In a row."""
    due: datetime | None = None
    """When to ask again; None: now."""
    since: datetime | None = None
    """From when on the actual was asked for."""
    wanted: datetime | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class GridCache:
    """`await refresh(...)` in every round, then look at `views()`."""

    provider: Provider
    state_dir: Path | None
    refresh_s: float
    now: Callable[[], datetime] = _utc_now
    calls: int = 0
    errors: int = 0
    _entries: dict[Key, Entry] = field(default_factory=dict)

    async def refresh(self, wanted: Mapping[Key, datetime | None]) -> None:
        """Asks the source for what is wanted and due. `wanted` says from when on actuals are needed (None: recent ones).

        Never raises: a failure is kept as the entry's problem beside its last good data.
        """
        now = self.now()
        for key in wanted:
            self._entries.setdefault(key, self._kept(key)).wanted = now
        for key in [key for key, entry in self._entries.items() if now - (entry.wanted or now) > UNWANTED]:
            del self._entries[key]
        await asyncio.gather(*(self._ask(key, self._entries[key], since, now) for key, since in wanted.items()))

    def views(self) -> dict[Key, GridView]:
        """What is known now."""
        now = self.now()
        return {
            key: GridView(
                entry.forecast,
                entry.actual,
                entry.problem,
                (now - entry.forecast.issued_at).total_seconds() if entry.forecast is not None else None,
            )
            for key, entry in self._entries.items()
        }

    async def _ask(self, key: Key, entry: Entry, since: datetime | None, now: datetime) -> None:
        since = min(since or now - ACTUAL_DAYS, now - ACTUAL_DAYS)
        further_back = entry.since is not None and since < entry.since and entry.problem is None
        if entry.due is not None and now < entry.due and not further_back:
            return
        problems = []
        retry_after_s: float | None = None
        for part in ("forecast", "actual"):
            self.calls += 1
            try:
                if part == "forecast":
                    entry.forecast = await self.provider.forecast(*key)
                else:
                    entry.actual, entry.since = await self.provider.actual(*key, since, now), since
            except CarbonzeusError as error:
                self.errors += 1
                problems.append(str(error))
                if isinstance(error, Unavailable) and error.retry_after_s is not None:
                    retry_after_s = max(retry_after_s or 0.0, error.retry_after_s)
        self._reckon(key, entry, problems, retry_after_s, now)

    def _reckon(self, key: Key, entry: Entry, problems: list[str], retry_after_s: float | None, now: datetime) -> None:
        before = entry.problem
        entry.problem = "; ".join(dict.fromkeys(problems)) or None
        if entry.problem is not None and entry.problem != before:
            log.warning("%s %s: %s", key[0], key[1].value, entry.problem)
        entry.failures = entry.failures + 1 if problems else 0
        wait_s = min(self.refresh_s * BACKOFF ** min(entry.failures, 16), max(MAX_BACKOFF_S, self.refresh_s))
        if entry.failures <= 1:
            wait_s = self.refresh_s
        wait_s = max(wait_s * random.uniform(1 - JITTER, 1.0), retry_after_s or 0.0)  # noqa: S311 - no secret
        entry.due = now + timedelta(seconds=wait_s)
        if not problems and self.state_dir is not None and entry.forecast is not None and entry.actual is not None:
            keep.write(self.state_dir, key, entry.forecast, entry.actual)

    def _kept(self, key: Key) -> Entry:
        found = keep.read(self.state_dir, key) if self.state_dir is not None else None
        return Entry() if found is None else Entry(forecast=found[0], actual=found[1])
