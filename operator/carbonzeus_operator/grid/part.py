"""The forecast, the actual or the past of one zone: its last good data, and how asking for it goes."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from carbonzeus_operator.errors import CarbonzeusError, Unavailable
from carbonzeus_operator.grid.keep import Kind
from carbonzeus_operator.grid.series import Series, Signal

log = logging.getLogger(__name__)

RETRY_S = 15.0
"""A source that failed once is asked again after this long, then after twice as long, up to the usual time."""
JITTER = 0.1
"""Share by which the next call is earlier at random, so that many operators do not call at once."""


@dataclass(slots=True)
class Part:
    """What is known, and when to ask again."""

    zone: str
    signal: Signal
    kind: Kind | Literal["past"]
    good: Series | None = None
    since: datetime | None = None
    """From when on `good` was asked for, where it is an actual."""
    span: tuple[datetime, datetime] | None = None
    """The time [start, end) that `good` was asked for, where it is of the past."""
    problem: str | None = None
    """Why the last call failed."""
    failures: int = 0
    """In a row."""
    due: datetime | None = None
    """When to ask again; None: now."""
    call: asyncio.Task[None] | None = None
    """The call under way."""

    def is_due(self, now: datetime, since: datetime | None = None) -> bool:
        """Whether to ask now: not while a call is under way; before its time only where more is needed than is there."""
        if self.call is not None:
            return False
        if self.due is None or now >= self.due:
            return True
        return self.failures == 0 and since is not None and self.since is not None and since < self.since

    def succeeded(self, series: Series, since: datetime | None, now: datetime, refresh_s: float) -> None:
        """Takes an answer."""
        if self.problem is not None:
            log.info("%s of %s (%s): all is well again", self.kind, self.zone, self.signal)
        self.good, self.since, self.problem, self.failures = series, since, None, 0
        self._wait(refresh_s, now)

    def failed(self, error: CarbonzeusError, now: datetime, refresh_s: float) -> None:
        """Keeps what was there, says why, and asks again soon; not before the source said."""
        if str(error) != self.problem:
            log.warning("%s of %s (%s): %s", self.kind, self.zone, self.signal, error)
        self.problem = str(error)
        self.failures += 1
        asked_for_s = error.retry_after_s if isinstance(error, Unavailable) else None
        self._wait(min(RETRY_S * 2.0 ** min(self.failures - 1, 32), refresh_s), now, asked_for_s or 0.0)

    def _wait(self, usual_s: float, now: datetime, at_least_s: float = 0.0) -> None:
        wait_s = max(usual_s * random.uniform(1 - JITTER, 1.0), at_least_s)  # noqa: S311 - no secret
        self.due = now + timedelta(seconds=wait_s)
