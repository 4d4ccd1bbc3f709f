"""Answers as WattTime writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from carbonzeus_operator.grid.series import Series, Signal
from carbonzeus_operator.grid.watttime import G_PER_KWH
from tests.unit.grid.replay_server import Answer, Asked
from tests.unit.grid.samples import at

NORTH = ("CAISO_NORTH", Signal.MARGINAL)
AVERAGE = ("CAISO_NORTH", Signal.AVERAGE)
USER, PASSWORD = "ada-Zq81x", "pass:word-Yw73v"
CREDENTIAL = f"{USER}:{PASSWORD}"
TOKEN = "token-Xr92t"
LOGIN = "/login"
FORECAST = "/v3/forecast"
HISTORY = "/v3/historical"


def stamp(hours: float) -> str:
    """As they write times."""
    return at(hours).isoformat()


def answer(*values: tuple[float, Any], **meta: Any) -> dict[str, Any]:
    """Points by hours after noon [lb/MWh]."""
    return {
        "data": [{"point_time": stamp(hours), "value": value} for hours, value in values],
        "meta": {
            "data_point_period_seconds": 300,
            "region": "CAISO_NORTH",
            "signal_type": "co2_moer",
            "model": {"date": "2026-03-01"},
            "units": "lbs_co2_per_mwh",
            "warnings": [{"type": "EXAMPLE_WARNING", "message": "This is just an example"}],
            **meta,
        },
    }


def forecast(*values: tuple[float, Any], **meta: Any) -> dict[str, Any]:
    """A forecast of five past noon."""
    return answer(*values, **{"generated_at": stamp(5 / 60), "generated_at_period_seconds": 300, **meta})


def logins(*tokens: str) -> Any:
    """A route that gives these tokens, one after the other, and the last one for ever."""
    left = list(tokens)
    return lambda _: Answer({"token": left.pop(0) if len(left) > 1 else left[0]})


def good_for(*tokens: str, body: Any) -> Any:
    """A route that knows these tokens only."""

    def script(asked: Asked) -> Answer:
        if asked.headers.get("authorization") in {f"Bearer {token}" for token in tokens}:
            return Answer(body)
        return Answer({"error": "Invalid token"}, 401)

    return script


def said(series: Series) -> list[tuple[datetime, Any]]:
    """Starts and pounds a megawatt-hour."""
    return [(one.start, pytest.approx(one.gco2_per_kwh / G_PER_KWH)) for one in series.intervals]
