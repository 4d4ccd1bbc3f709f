"""What a source of carbon intensity can do. Each real API is one module that does this."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from carbonzeus_operator.grid.series import Series, Signal


class Provider(Protocol):
    """Forecasts and actuals of zones. Raises Unavailable (asked again later) or InvalidSpec (somebody must mend it).

    The cache asks for one forecast and one actual of a (zone, signal) at a time, checks what comes (`check.checked`), and
    cancels a call that takes too long.
    """

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The newest forecast that was issued by now."""
        ...

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What was published by now of [start, end); an interval that is not published yet is absent."""
        ...
