"""The last good data on disk, so that a restart while the source is down changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.series import Series, Signal

log = logging.getLogger(__name__)

Kind = Literal["forecast", "actual"]
_SERIES = TypeAdapter(Series)


def write(folder: Path, kind: Kind, series: Series) -> None:
    """Writes it whole or not at all. A full disk is logged: the data is a convenience."""
    path = _path(folder, kind, series.zone, series.signal)
    beside = path.with_name(f"{path.name}.new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(_SERIES.dump_json(series))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        log.warning("the last good %s of %s is not kept: %s", kind, series.zone, error)


def read(folder: Path, kind: Kind, zone: str, signal: Signal) -> Series | None:
    """As written last; None where there is none or it cannot be used."""
    path = _path(folder, kind, zone, signal)
    try:
        return checked(_SERIES.validate_json(path.read_bytes()), zone, signal)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, InvalidSpec) as error:
        log.warning("%s cannot be used and is passed over: %s", path, error)
        return None


def _path(folder: Path, kind: Kind, zone: str, signal: Signal) -> Path:
    return folder / f"grid-{quote(zone, safe='')}-{signal.lower()}-{kind}.json"
