"""Pure: closed records of one GPU on their way to the ledger, waiting in order for the progress that belongs to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from carbonzeus_agent.ledger import Entry
from carbonzeus_agent.progress import ProgressSeries
from carbonzeus_agent.records import Closed

PATIENCE_S = 3.0
"""How long a record waits for a look at the counter; a rise that comes later goes to the next record."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    closed: Closed
    series: ProgressSeries | None
    until_s: float


class Outbox:
    """The queue of one GPU. `series_of` says which progress a record carries, if any."""

    def __init__(self, series_of: Callable[[Closed], ProgressSeries | None]) -> None:
        self._series_of = series_of
        self._waiting: deque[_Waiting] = deque()

    def put(self, closed: Closed, boot_s: float) -> None:
        self._waiting.append(_Waiting(closed, self._series_of(closed), boot_s + PATIENCE_S))

    def ready(self, boot_s: float) -> list[Entry]:
        """Take out, in order, all records that need not wait any longer."""
        entries: list[Entry] = []
        while self._waiting:
            first = self._waiting[0]
            if first.series is not None and not first.series.covers(first.closed.end) and boot_s < first.until_s:
                break
            self._waiting.popleft()
            entries.append(_entry(first.closed, first.series))
        return entries

    def unfinished(self, still_open: Closed | None) -> list[Entry]:
        """What waits, and what is still open, with the progress known so far; nothing is taken out."""
        items = [(waiting.closed, waiting.series) for waiting in self._waiting]
        if still_open is not None:
            items.append((still_open, self._series_of(still_open)))
        forks: dict[int, ProgressSeries] = {}
        entries: list[Entry] = []
        for closed, series in items:
            fork = forks.setdefault(id(series), series.fork()) if series is not None else None
            entries.append(_entry(closed, fork))
        return entries


def _entry(closed: Closed, series: ProgressSeries | None) -> Entry:
    """A record with the progress that it takes, and how exact that is."""
    progress = series.take(closed.start, closed.end) if series is not None else None
    if series is None or progress is None:
        return Entry(closed)
    return Entry(closed, progress, series.grain_over(closed.start, closed.end))
