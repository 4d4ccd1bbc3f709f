"""Carbon intensity from a folder of CSV files, such as a mounted ConfigMap: `<ZONE>.csv`, `<ZONE>.marginal.csv`."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.csvfile import parse
from carbonzeus_operator.grid.recording import Recording, Stretch
from carbonzeus_operator.grid.series import Factor, Series, Signal

ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
MAX_BYTES = 128 * 1024 * 1024
"""About three million rows. What is larger is no table of carbon intensity."""
BEHIND = timedelta(days=1)
"""A forecast is given from this long before the last published actual on: energy of then may still come in."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was when it was read."""

    stamp: tuple[int, int, int, int]
    """Device, inode, modification time [ns] and size: a ConfigMap is replaced by changing where a link points."""
    result: Recording | InvalidSpec


@dataclass(slots=True)
class FileProvider:
    """Reads again what changed. A broken file raises InvalidSpec with its line, each time it is asked for."""

    folder: Path
    now: Callable[[], datetime]
    publication_lag: timedelta = timedelta(0)
    """How long after its end an interval's actual counts as published."""
    factor: Factor = Factor.LIFECYCLE
    _known: dict[str, _Read] = field(default_factory=dict)
    _reading: dict[str, asyncio.Task[Recording | InvalidSpec | Unavailable]] = field(default_factory=dict)

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """What the file forecasts by now."""
        recording = await self._recording(zone, signal)
        behind = self.publication_lag + BEHIND
        return self._series(zone, signal, await asyncio.to_thread(recording.forecast, self.now(), behind))

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """The rows whose interval is over, as long ago as publication takes."""
        recording = await self._recording(zone, signal)
        stretch = await asyncio.to_thread(recording.actual, start, end, self.now(), self.publication_lag)
        return self._series(zone, signal, stretch)

    def _series(self, zone: str, signal: Signal, found: Stretch) -> Series:
        return Series(zone, signal, self.factor, "File", found.issued_at, found.intervals, found.warnings)

    async def _recording(self, zone: str, signal: Signal) -> Recording:
        """The file's content. A read under way is joined: on a disk that hangs, it is one thread that hangs."""
        if not ZONE.fullmatch(zone):
            raise InvalidSpec(f"{zone!r} is no name of a zone: letters, digits, - and _", reason="InvalidZone")
        name = f"{zone}.csv" if signal is Signal.AVERAGE else f"{zone}.{signal.lower()}.csv"
        reading = self._reading.get(name)
        if reading is None:
            reading = self._reading[name] = asyncio.create_task(asyncio.to_thread(self._read, name))
            reading.add_done_callback(lambda _: self._reading.pop(name))
        found = await asyncio.shield(reading)
        if isinstance(found, InvalidSpec):
            raise InvalidSpec(str(found), reason=found.reason)
        if isinstance(found, Unavailable):
            raise found
        return found

    def _read(self, name: str) -> Recording | InvalidSpec | Unavailable:
        path = self.folder / name
        known = self._known.get(name)
        try:
            # What is no text in a cell makes that cell wrong, and so gets a line number.
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                stat = os.fstat(lines.fileno())
                stamp = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if known is None or known.stamp != stamp:
                    known = self._known[name] = _Read(stamp, _parsed(name, lines, stat.st_size))
        except FileNotFoundError:
            self._known.pop(name, None)
            return Unavailable(
                f"there is no file {name} in {self.folder}: add it to the chart's grid.file.data or to the ConfigMap"
            )
        except OSError as error:
            return Unavailable(f"{name} cannot be read: {error}")
        return known.result


def _parsed(name: str, lines: Iterable[str], size: int) -> Recording | InvalidSpec:
    if size > MAX_BYTES:
        message = f"{name} has {size} bytes, more than the {MAX_BYTES} that are read: cut off what is long past"
        return InvalidSpec(message, reason="InvalidGridData")
    try:
        return parse(name, lines)
    except InvalidSpec as error:
        return InvalidSpec(str(error), reason=error.reason)  # without the traceback and the rows it holds
