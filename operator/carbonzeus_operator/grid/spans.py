"""Time as sources are asked for it: from full hours on, in pieces of one call, and how far apart values usually are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

Spacing = TypeVar("Spacing", int, timedelta)


def hour_of(instant: datetime) -> datetime:
    """When the hour that holds it begins, UTC."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def pieces(begin: datetime, end: datetime, longest: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """[begin, end) end to end, each piece no longer than that; nothing where it is no time."""
    while begin < end:
        until = min(begin + longest, end)
        yield begin, until
        begin = until


def usual(counts: Counter[Spacing]) -> Spacing | None:
    """The spacing that is there most often, of several the shortest; None where there is none."""
    return min(counts, key=lambda spacing: (-counts[spacing], spacing), default=None)


def stamp(instant: datetime) -> str:
    """A UTC instant by the second, as most sources write it."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
