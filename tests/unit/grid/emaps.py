"""Answers as Electricity Maps writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from carbonzeus_operator.grid.series import Series, Signal
from tests.unit.grid.samples import at

DE = ("DE", Signal.AVERAGE)
TOKEN = "token-Zq81x"
FORECAST = "/carbon-intensity/forecast"
HISTORY = "/carbon-intensity/history"
PAST = "/carbon-intensity/past-range"


def stamp(hours: float) -> str:
    """As they write times."""
    return f"{at(hours):%Y-%m-%dT%H:%M:%S}.000Z"


def forecast(*values: tuple[float, Any], **more: Any) -> dict[str, Any]:
    """An answer with intensities by hours after noon."""
    rows = [{"carbonIntensity": value, "datetime": stamp(hours)} for hours, value in values]
    return {"zone": "DE", "forecast": rows, "updatedAt": stamp(0.2), "temporalGranularity": "hourly", **more}


def row(hours: float, value: Any, **more: Any) -> dict[str, Any]:
    """One of an answer about the past."""
    return {
        "zone": "DE",
        "carbonIntensity": value,
        "datetime": stamp(hours),
        "updatedAt": stamp(hours + 1.5),
        "createdAt": stamp(hours - 72),
        "emissionFactorType": "lifecycle",
        "flowTraced": True,
        "isEstimated": False,
        "estimationMethod": None,
        **more,
    }


def past(*rows: dict[str, Any], key: str = "data", **more: Any) -> dict[str, Any]:
    """An answer about the past."""
    return {"zone": "DE", key: list(rows), "temporalGranularity": "hourly", **more}


def said(series: Series) -> list[tuple[datetime, float]]:
    return [(one.start, one.gco2_per_kwh) for one in series.intervals]
