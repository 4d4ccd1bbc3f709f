"""Answers as Prometheus writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.unit.grid.samples import T0, at

INSTANT, RANGE = "/api/v1/query", "/api/v1/query_range"
FORECAST, ACTUAL = 'carbon_forecast{zone="$zone"}', 'carbon_intensity{zone="$zone"}'


def success(kind: str, result: Any, **more: Any) -> dict[str, Any]:
    """An answer, as Prometheus writes it."""
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


def element(hours: float, value: str, **labels: str) -> dict[str, Any]:
    """A value of a forecast that begins so many hours after noon."""
    return {"metric": {"start": at(hours).isoformat(), **labels}, "value": [T0.timestamp(), value]}


def line(values: Iterable[tuple[float, str]], **labels: str) -> dict[str, Any]:
    """Values over time, by hours after noon."""
    return {"metric": labels, "values": [[at(hours).timestamp(), value] for hours, value in values]}
