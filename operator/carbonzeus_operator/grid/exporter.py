"""The ConfigMap of the Kubernetes carbon intensity exporter (`carbon-intensity`), mounted as a folder: one location, forecast only.

The exporter fetches forecasts through a Carbon Aware SDK of its own and writes them as JSON in the key `data`, with a few words
beside it. What of a forecast lies in the past by now was never measured: it is no actual.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import RootModel, ValidationError

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import as_set, printable
from carbonzeus_operator.grid.carbon_aware_sdk import Point, intervals
from carbonzeus_operator.grid.series import Factor, Series, Signal

NAME = "Exporter"
FOLDER = Path("/etc/carbonzeus/grid")
"""Where the chart mounts grid.file.existingConfigMap."""
DATA = "data"
BESIDE = ("forecastDateTime", "lastHeartbeatTime", "message", "numOfRecords")
"""When the forecast begins, when it was written, what went wrong, how many values there are; each may be missing."""
MAX_BYTES = 2 * 1024 * 1024
"""No ConfigMap is larger than half of it."""
GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d{1,9})? ([+-]\d\d)(\d\d) .*", re.ASCII | re.DOTALL)
"""As Go writes one: `2023-03-30 23:57:26.041158869 +0000 UTC m=+10.861427049`."""
SHOWN = 200
"""So much of the exporter's own words is quoted."""


class _Points(RootModel[tuple[Point, ...]]):
    """Of one location. Go leaves out a field that is zero, so a value that is not there may have been one, or none."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A `Provider` of forecasts of one signal. Its zone is the location that stands in the data, such as `PJM_ROANOKE`."""

    folder: Path = FOLDER
    now: Callable[[], datetime] = utc_now
    signal: Signal = Signal.MARGINAL
    """What the exporter's source gives."""
    factor: Factor = Factor.DIRECT
    """What the exporter's source gives."""

    @property
    def signals(self) -> frozenset[Signal]:
        """Only what its source gives."""
        return frozenset({self.signal})

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """What was written last, as old as its beginning: the exporter renews its heartbeat also where it has nothing new."""
        as_set(NAME, self.signal, signal)
        content = await asyncio.to_thread(read, self.folder)
        return parse(content, zone, signal, self.factor, self.now())

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:  # noqa: ARG002
        """There is none: InvalidSpec."""
        as_set(NAME, self.signal, signal)
        raise InvalidSpec(
            f"the carbon intensity exporter writes forecasts only, so {zone} cannot be settled: have an actual of this zone from"
            " another provider",
            reason="NoActual",
        )


def read(folder: Path) -> dict[str, bytes]:
    """The keys of a mounted ConfigMap, all of the same version of it. Unavailable where it is not there."""
    version = folder / "..data"
    found: dict[str, bytes] = {}
    try:
        version = version.resolve(strict=True) if version.exists() else folder
        for key in (DATA, *BESIDE):
            path = version / key
            if key == DATA or path.exists():
                with path.open("rb") as file:
                    found[key] = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise Unavailable(
            f"the carbon intensity exporter's ConfigMap is not in {folder}: name it in grid.file.existingConfigMap"
        ) from None
    except OSError as error:
        raise Unavailable(f"the carbon intensity exporter's ConfigMap cannot be read: {error}") from error
    return found


def parse(content: Mapping[str, bytes], zone: str, signal: Signal, factor: Factor, now: datetime) -> Series:
    """The forecast in the content of a ConfigMap. InvalidSpec where it is broken, or of another location. Pure."""
    try:
        points = _Points.model_validate_json(content[DATA]).root
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the whole"
        raise InvalidSpec(
            f"the carbon intensity exporter's {DATA} cannot be read: {where}: {first['msg']}", reason="InvalidGridData"
        ) from None
    _whole(points, _text(content, "numOfRecords"))
    if not points:
        raise Unavailable("the carbon intensity exporter has no values")
    found = intervals(NAME, zone, points)
    location = points[0].location
    if location != zone:
        raise InvalidSpec(
            f"the carbon intensity exporter's ConfigMap is of {_shown(location)!r}, not of {zone}: let another provider have this"
            f" zone, or say that they are the same in zoneNames",
            reason="InvalidZone",
        )
    begins = _time(_text(content, "forecastDateTime")) or min(one.timestamp for one in points)
    written = _time(_text(content, "lastHeartbeatTime")) or now
    said = _shown(_text(content, "message")).strip()
    warnings = (f"the carbon intensity exporter says: {said}",) if said else ()
    return Series(zone, signal, factor, NAME, min(begins, written, now), found, warnings)


def _whole(points: tuple[Point, ...], told: str) -> None:
    if told.isdecimal() and told != str(len(points)):
        raise InvalidSpec(
            f"the carbon intensity exporter says that it has {told[:20]} values, but there are {len(points)}",
            reason="InvalidGridData",
        )


def _time(text: str) -> datetime | None:
    match = GO_TIME.fullmatch(text + " ")
    if match is None:
        return None
    day, clock, hours, minutes = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{clock}{hours}:{minutes}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(content: Mapping[str, bytes], key: str) -> str:
    return content.get(key, b"").decode("utf-8", "replace")


def _shown(text: str) -> str:
    return printable(text[:SHOWN])
