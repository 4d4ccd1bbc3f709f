"""What a source sent, in the order of time and once each. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval


def merged(name: str, zone: str, found: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sorted by start; what was said twice stands once. InvalidSpec where two say different things of the same start.

    name: of the source, for the message.
    """
    by_start: dict[float, Interval] = {}
    for one in found:
        known = by_start.setdefault(one.start.timestamp(), one)
        if (known.end, known.gco2_per_kwh, known.estimated) != (one.end, one.gco2_per_kwh, one.estimated):
            raise InvalidSpec(
                f"{name} contradicts itself for {zone}: {known.gco2_per_kwh:g} g/kWh from {known.start} to {known.end}, "
                f"and {one.gco2_per_kwh:g} g/kWh from {one.start} to {one.end}",
                reason="InvalidGridData",
            )
    return tuple(by_start[start] for start in sorted(by_start))
