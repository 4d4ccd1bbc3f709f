"""Energy records of a job's GPUs, put together: a window is whole when all of its GPUs have told of it. Pure.

All workers switch at the same instant and records end at the same marks, so those of one window lie beside each other. One
GPU is the clock: the leader's first, whose records carry the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbonzeus_wire import EnergyRecord, Quality

COVERED = 0.9
"""A GPU whose records cover so much of a window has told of it."""
KEPT = 64
"""Records that wait, of each GPU, at most."""
WATT = 1.0
"""Limits that differ by no more are the same."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A record of the clock, and what the other GPUs did meanwhile."""

    clock: EnergyRecord
    others: Mapping[str, tuple[EnergyRecord, ...]]
    """By UUID, those that told of it; without the clock."""
    complete: bool
    """Whether all of them did."""

    @property
    def average_w(self) -> float:
        """Mean power of one GPU [W] at the clock's limit, over all GPUs that told of it.

        A worker that is held lower since it waits for others says nothing of that limit.
        """
        alike = [tuple(record for record in each if self._is_at_limit(record)) for each in self.others.values()]
        told = [(self.clock,), *(each for each in alike if _covers(each, self.clock))]
        return sum(_average_w(each, self.clock) for each in told) / len(told)

    def _is_at_limit(self, record: EnergyRecord) -> bool:
        limit_w, clock_w = record.limit_watts, self.clock.limit_watts
        return limit_w is None or clock_w is None or abs(limit_w - clock_w) <= WATT


@dataclass(frozen=True, slots=True)
class Collector:
    """Records that are not told yet."""

    clock: tuple[EnergyRecord, ...] = ()
    others: Mapping[str, tuple[EnergyRecord, ...]] = field(default_factory=dict)

    def with_records(self, records: Iterable[EnergyRecord], clock_gpu: str, gpus: frozenset[str]) -> Collector:
        """After more records; those of GPUs that are not the job's (any more) are dropped."""
        clock, others = list(self.clock), {uuid: list(found) for uuid, found in self.others.items() if uuid in gpus}
        for record in records:
            if record.gpu_uuid == clock_gpu:
                clock.append(record)
            elif record.gpu_uuid in gpus:
                others.setdefault(record.gpu_uuid, []).append(record)
        clock.sort(key=lambda record: record.start)
        return Collector(
            tuple(clock[-KEPT:]),
            {uuid: tuple(sorted(found, key=lambda record: record.start)[-KEPT:]) for uuid, found in others.items()},
        )

    def ready(self, clock_gpu: str, gpus: frozenset[str], patience: timedelta) -> tuple[Collector, tuple[Whole, ...]]:
        """What is whole by now, in order of time, and what is left.

        A GPU that stays silent is waited for until the clock is so far ahead; then the window goes without it.
        """
        if not self.clock:
            return self, ()
        wanted = gpus - {clock_gpu}
        newest = self.clock[-1].end
        told: list[Whole] = []
        for record in self.clock:
            found = {uuid: _within(self.others.get(uuid, ()), record) for uuid in wanted}
            covering = {uuid: each for uuid, each in found.items() if _covers(each, record)}
            complete = len(covering) == len(wanted)
            if not complete and newest - record.end < patience:
                break
            told.append(Whole(record, covering, complete))
        upto = told[-1].clock.end if told else None
        return replace(self, clock=self.clock[len(told) :], others=_after(self.others, upto)), tuple(told)


def _after(
    others: Mapping[str, tuple[EnergyRecord, ...]], upto: datetime | None
) -> Mapping[str, tuple[EnergyRecord, ...]]:
    if upto is None:
        return others
    return {uuid: tuple(record for record in found if record.end > upto) for uuid, found in others.items()}


def _within(records: Iterable[EnergyRecord], window: EnergyRecord) -> tuple[EnergyRecord, ...]:
    return tuple(record for record in records if record.start < window.end and record.end > window.start)


def overlap_s(record: EnergyRecord, window: EnergyRecord) -> float:
    """How much of a window a record tells of [s]."""
    return max((min(record.end, window.end) - max(record.start, window.start)).total_seconds(), 0.0)


def _covers(records: Iterable[EnergyRecord], window: EnergyRecord) -> bool:
    measured_s = sum(overlap_s(record, window) for record in records if record.quality is not Quality.GAP)
    return measured_s >= COVERED * (window.end - window.start).total_seconds()


def _average_w(records: Iterable[EnergyRecord], window: EnergyRecord) -> float:
    joules, seconds = 0.0, 0.0
    for record in records:
        if record.quality is Quality.GAP:
            continue
        inside_s, whole_s = overlap_s(record, window), (record.end - record.start).total_seconds()
        joules += record.energy_millijoules / 1000 * inside_s / whole_s
        seconds += inside_s
    return joules / seconds if seconds > 0 else 0.0
