"""The wall clock, for whoever is not told the time."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(UTC)
