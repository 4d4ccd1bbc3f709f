"""The last good data on disk, so that a restart while the source is down changes nothing."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal

log = logging.getLogger(__name__)


def write(folder: Path, key: tuple[str, Signal], forecast: Series, actual: Series) -> None:
    """Writes both, whole or not at all. A full disk is logged: the data is a convenience."""
    path = _path(folder, key)
    try:
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps({"forecast": _to_json(forecast), "actual": _to_json(actual)}), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        log.warning("the last good grid data of %s is not kept: %s", key[0], error)


def read(folder: Path, key: tuple[str, Signal]) -> tuple[Series, Series] | None:
    """(forecast, actual) as written last; None where there is none or it cannot be read."""
    path = _path(folder, key)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return _from_json(kept["forecast"]), _from_json(kept["actual"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read and is passed over: %s", path, error)
        return None


def _path(folder: Path, key: tuple[str, Signal]) -> Path:
    zone, signal = key
    return folder / f"grid-{zone.encode().hex() if '/' in zone or zone.startswith('.') else zone}-{signal.lower()}.json"


def _to_json(series: Series) -> dict[str, Any]:
    return {
        "zone": series.zone,
        "signal": series.signal.value,
        "factor": series.factor.value,
        "source": series.source,
        "issuedAt": series.issued_at.isoformat(),
        "intervals": [
            [one.start.isoformat(), one.end.isoformat(), one.gco2_per_kwh, one.estimated] for one in series.intervals
        ],
    }


def _from_json(kept: dict[str, Any]) -> Series:
    return Series(
        zone=kept["zone"],
        signal=Signal(kept["signal"]),
        factor=Factor(kept["factor"]),
        source=kept["source"],
        issued_at=datetime.fromisoformat(kept["issuedAt"]),
        intervals=tuple(
            Interval(datetime.fromisoformat(start), datetime.fromisoformat(end), float(value), bool(estimated))
            for start, end, value, estimated in kept["intervals"]
        ),
    )
