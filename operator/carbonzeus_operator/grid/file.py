"""Carbon intensity from a folder of CSV files, such as a mounted ConfigMap: `<ZONE>.csv`, `<ZONE>.marginal.csv`."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.csvfile import Recording, parse
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal

ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was when it was read."""

    stamp: tuple[str, int, int]
    """Resolved path, modification time [ns] and size: a ConfigMap is replaced by changing where a link points."""
    recording: Recording


@dataclass(slots=True)
class FileProvider:
    """Reads again what changed. A broken file raises InvalidSpec with its line, each time it is asked for."""

    folder: Path
    now: Callable[[], datetime]
    publication_lag: timedelta = timedelta(0)
    """How long after its end an interval's actual counts as published."""
    factor: Factor = Factor.LIFECYCLE
    _read: dict[str, _Read] = field(default_factory=dict)

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The newest issue by now. A file without issues is its own forecast, as old as the row that holds the present."""
        recording = await asyncio.to_thread(self._recording, zone, signal)
        now = self.now()
        if not recording.issues:
            starts = [start for start, _ in recording.actuals]
            current = starts[max(bisect_right(starts, now) - 1, 0)]
            return self._series(zone, signal, recording, min(current, now), recording.actuals)
        issued = max((at for at in recording.issues if at <= now), default=None)
        if issued is None:
            raise Unavailable(f"no forecast for {zone} was issued before {now.isoformat(timespec='seconds')}")
        return self._series(zone, signal, recording, issued, recording.issues[issued])

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """The rows whose interval is over, as long ago as publication takes."""
        recording = await asyncio.to_thread(self._recording, zone, signal)
        now = self.now()
        last = min(end, now - self.publication_lag - recording.step)
        low = bisect_right(recording.actuals, start - recording.step, key=lambda row: row[0])
        high = bisect_right(recording.actuals, last, key=lambda row: row[0])
        return self._series(zone, signal, recording, now, recording.actuals[low:high])

    def _series(
        self,
        zone: str,
        signal: Signal,
        recording: Recording,
        issued: datetime,
        rows: tuple[tuple[datetime, float], ...],
    ) -> Series:
        intervals = tuple(Interval(start, start + recording.step, value) for start, value in rows)
        return Series(zone, signal, self.factor, "File", issued, intervals, recording.warnings)

    def _recording(self, zone: str, signal: Signal) -> Recording:
        if not ZONE.fullmatch(zone):
            raise InvalidSpec(f"{zone!r} is no name of a zone: letters, digits, - and _", reason="InvalidZone")
        name = f"{zone}.csv" if signal is Signal.AVERAGE else f"{zone}.{signal.lower()}.csv"
        path = self.folder / name
        try:
            found = path.resolve()
            stat = found.stat()
            stamp = (str(found), stat.st_mtime_ns, stat.st_size)
            known = self._read.get(name)
            if known is None or known.stamp != stamp:
                with found.open(encoding="utf-8-sig", newline="") as lines:
                    known = self._read[name] = _Read(stamp, parse(name, lines))
        except FileNotFoundError as error:
            raise Unavailable(
                f"there is no file {name} in {self.folder}: add it to the chart's grid.file.data or to the ConfigMap"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"{path} cannot be read: {error}") from error
        return known.recording
