"""Small jobs to account for: one hour marks, a curve of three points, records and intensities by the minute."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings

from carbonzeus_operator.account import Account, JobPod, Product, Terms, fold, observe
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_wire import EnergyRecord, Quality

examples = settings(max_examples=1000 if os.environ.get("CARBONZEUS_THOROUGH") else 60, deadline=None)
"""How many examples a property is tried with."""

CARBON = Path(__file__).resolve().parents[4] / "shared" / "data" / "carbon"
"""Where recorded grids are, beside the checkout."""
T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEDGER = "ledger-a"
POD = JobPod("uid-0", "train/job-0", "A40", 1, T0, leader=True)


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return T0 + timedelta(minutes=minutes)


@dataclass(frozen=True, slots=True)
class Line:
    """A curve through (limit [W], power [W], r) points, straight between them."""

    points: tuple[tuple[float, float, float], ...]

    def at(self, limit_w: float) -> tuple[float, float]:
        limit_w = min(max(limit_w, self.points[0][0]), self.points[-1][0])
        for left, right in zip(self.points, self.points[1:], strict=False):
            if limit_w <= right[0]:
                share = (limit_w - left[0]) / (right[0] - left[0])
                return left[1] + share * (right[1] - left[1]), left[2] + share * (right[2] - left[2])
        raise AssertionError

    def limit_for(self, r: float) -> float:
        for left, right in zip(self.points, self.points[1:], strict=False):
            if r <= right[2]:
                return left[0] + (r - left[2]) / (right[2] - left[2]) * (right[0] - left[0])
        return self.points[-1][0]


HALF = Line(((200, 150, 0.5), (300, 250, 1.0)))
"""At 200 W half the speed at 150 W; at 300 W, the reference limit, 250 W."""
A40 = Line(((200, 179.2, 1 / 1.068), (225, 198.4, 1 / 1.033), (250, 216.2, 1 / 1.017), (300, 244.3, 1.0)))
"""Zeus's A40 ResNet50 (Apache-2.0), NSDI'23 traces."""

TERMS = Terms(products={"A40": Product(300, HALF)})


def record(
    seq: int,
    start: float,
    end: float,
    *,
    limit_w: float | None = 300,
    watts: float = 250,
    millijoules: int | None = None,
    pod_uid: str | None = POD.uid,
    pod: str | None = POD.name,
    gpu: str = "GPU-0",
    progress: float | None = None,
    quality: Quality = Quality.COUNTER,
    sm: float | None = None,
    memory: float | None = None,
) -> EnergyRecord:
    """A record from minute `start` to minute `end`, drawing `watts` throughout."""
    drawn = round(watts * (at(end) - at(start)).total_seconds() * 1000) if millijoules is None else millijoules
    return EnergyRecord(
        seq=seq,
        gpu_uuid=gpu,
        pod_uid=pod_uid,
        pod=pod,
        start=at(start),
        end=at(end),
        limit_watts=limit_w,
        energy_millijoules=0 if quality is Quality.GAP else drawn,
        progress=progress,
        mean_sm_clock_mhz=sm,
        mean_memory_clock_mhz=memory,
        quality=quality,
    )


def series(*steps: tuple[float, float, float], estimated: bool = False, source: str = "File") -> Series:
    """Of (from minute, to minute, g/kWh)."""
    intervals = tuple(Interval(at(start), at(end), grams, estimated) for start, end, grams in steps)
    return Series("ZONE", Signal.AVERAGE, Factor.LIFECYCLE, source, T0, intervals)


def flat(grams: float, hours: float = 48) -> Series:
    """The same intensity for long, from an hour before noon."""
    return series((-60, hours * 60, grams))


def running(*pods: JobPod, since: datetime = T0) -> Account:
    """A new account of a job whose workers all run."""
    return observe(Account(), pods or (POD,), running_since=since, now=since)


def folded(
    records: Iterable[EnergyRecord], *, terms: Terms = TERMS, grid: Sequence[Series | None] = (), ledger: str = LEDGER
) -> Account:
    """A new account with one page of records in it."""
    return fold(running(), ledger, records, terms, series=grid)
