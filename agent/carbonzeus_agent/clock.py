"""The two clocks of the agent: what time it is, and how much time has passed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where now comes from; tests bring their own."""

    def utc(self) -> datetime:
        """The time of day. It may jump."""

    def boot_s(self) -> float:
        """Seconds since some fixed moment. Never jumps, and counts through a suspend, so that no lease outlives one."""


class SystemClock:
    """The clocks of the machine."""

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def boot_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
