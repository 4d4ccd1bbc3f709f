"""What is known of one zone's carbon intensity now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carbonzeus_operator.grid.series import Series


@dataclass(frozen=True, slots=True)
class GridView:
    """One (zone, signal) as the cache has it."""

    forecast: Series | None
    """The newest issue; the last good one where the source fails; None before the first."""
    actual: Series | None
    problem: str | None
    """Why the forecast could not be refreshed; None when all is well."""
    stale_for_s: float | None
    """Age of the forecast since its issue [s]; None without one."""
    actual_problem: str | None = None
    """Why the actual could not be refreshed; None when all is well."""
    past: Series | None = None
    """Actuals of a time that is long over, as they stand after revisions, for settling once more; None before the first."""
    past_span: tuple[datetime, datetime] | None = None
    """The time [start, end) that `past` was asked for: what it leaves out of that the source does not have."""
