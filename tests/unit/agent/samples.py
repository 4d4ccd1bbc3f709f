"""Samples of one GPU at noon, and the builder that makes records of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from carbonzeus_agent.builder import RecordBuilder
from carbonzeus_agent.driver import Board, Reading
from carbonzeus_agent.plans import Aim
from carbonzeus_agent.records import Closed, Owner, Sample

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GPU = "GPU-1"
BOARD = Board(GPU, "Fake A40", 300.0, 100.0, 300.0, mig=False)
ALICE, BOB = Owner("team/alice", "uid-alice"), Owner("team/bob", "uid-bob")


def builder(*, every_s: float = 300, bridge_s: float = 300, blink_s: float = 5) -> RecordBuilder:
    every = timedelta(seconds=every_s)
    return RecordBuilder("GPU-1", every=every, bridge_s=bridge_s, blink_s=blink_s, ceiling_w=600)


def sample(
    at_s: float,
    energy_j: float | None,
    *,
    power_w: float | None = 200,
    limit_w: float = 300,
    set_s: float = 0,
    edge_w: float | None = None,
    since_s: float | None = None,
    sm_mhz: float = 1400,
    busy: float = 1,
) -> Sample:
    """A reading at noon + `at_s`; `set_s`: by how much the wall clock was set."""
    return Sample(
        at=at(at_s + set_s),
        boot_s=50 + at_s,
        limit_w=limit_w,
        reading=Reading(None if energy_j is None else round(energy_j * 1000), power_w, sm_mhz, 7000, busy),
        edge_w=edge_w,
        limit_since=None if since_s is None else at(since_s),
    )


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def observe(meter: RecordBuilder, *samples: Sample) -> list[Closed]:
    return [closed for it in samples for closed in meter.observe(it)]


def brief(record: Closed) -> tuple[float, float, int, str]:
    """Start and end [s after noon], energy [J], quality."""
    start, end = ((it - NOON).total_seconds() for it in (record.start, record.end))
    return start, end, record.energy_mj // 1000, str(record.quality)


def aim(limit_w: float | None, *ahead_w: float, pod_uid: str = "") -> Aim:
    """Of a plan at this limit; None: its steps have not begun."""
    ours_w = frozenset({*ahead_w, *([] if limit_w is None else [limit_w])})
    return Aim(planned=True, limit_w=limit_w, ahead_w=ours_w, pod_uid=pod_uid)
