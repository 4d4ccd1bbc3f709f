"""A source that calls zones by other names than policies do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Series, Signal


@dataclass(frozen=True, slots=True)
class Renamed:
    """The same `Provider`, asked for zones by the names of policies."""

    inner: Provider
    names: Mapping[str, str]
    """Of policies to what the source says; what is not here is called the same by both."""

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """As the source has it."""
        its = self.names.get(zone, zone)
        return _renamed(await self.inner.forecast(its, signal), its, zone)

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """As the source has it."""
        its = self.names.get(zone, zone)
        return _renamed(await self.inner.actual(its, signal, start, end), its, zone)


def _renamed(series: Series, its: str, zone: str) -> Series:
    """An answer for a zone that was not asked for keeps its name, so that it is refused."""
    return replace(series, zone=zone) if series.zone == its else series
