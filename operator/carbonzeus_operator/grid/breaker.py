"""When a source that keeps failing is left alone, and when it is tried again. Pure: the time is an argument.

Closed: it is asked. After failures in a row it is Open: nobody asks it, so that nobody waits for it. When that time is over it is
HalfOpen: one call tries it, and what becomes of that closes it, or opens it for twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FAILURES = 3
"""So many in a row open it."""
OPEN_S = 60.0
"""For how long it is open the first time."""
LONGEST_OPEN_S = 300.0
"""It is tried again at least this often, unless the source itself wants more time."""


class State(StrEnum):
    """Whether a source is asked."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


@dataclass(slots=True)
class Breaker:
    """`enter` before a call; then one of `succeeded`, `failed` and `left`."""

    failures: int = 0
    """In a row."""
    why: str = ""
    """The last failure, in words."""
    openings: int = 0
    """In a row."""
    _until: datetime | None = None
    _trying: bool = False

    def state(self, now: datetime) -> State:
        """Of this moment."""
        if self._until is None:
            return State.CLOSED
        return State.OPEN if now < self._until else State.HALF_OPEN

    def enter(self, now: datetime) -> bool:
        """Whether a call may be made now."""
        state = self.state(now)
        if state is State.CLOSED:
            return True
        if state is State.OPEN or self._trying:
            return False
        self._trying = True
        return True

    def wait_s(self, now: datetime) -> float:
        """How long until a call may be made again [s]."""
        return max((self._until - now).total_seconds(), 0.0) if self._until is not None else 0.0

    def succeeded(self) -> None:
        """The source answered: whatever was before is forgotten."""
        self.failures, self.why, self.openings, self._until, self._trying = 0, "", 0, None, False

    def failed(self, why: str, now: datetime, retry_after_s: float | None = None) -> bool:
        """The source did not answer. `retry_after_s`: when it wants to be asked again, where it said. Whether this opens it."""
        self.failures += 1
        self.why = why
        tried, self._trying = self._trying, False
        wanted = now + timedelta(seconds=retry_after_s or 0.0)
        if self._until is not None and not tried:  # a call that began before it was opened
            self._until = max(self._until, wanted)
            return False
        if tried or self.failures >= FAILURES:
            usual_s = min(OPEN_S * 2.0 ** min(self.openings, 16), LONGEST_OPEN_S)
            self.openings += 1
            self._until = max(now + timedelta(seconds=usual_s), wanted)
        elif wanted > now:
            self._until = wanted
        return self._until is not None

    def left(self) -> None:
        """The caller gave up before there was an answer: another may try."""
        self._trying = False
