"""What energy records are made of: samples of a GPU, its owner, and the record while it is open and when it is closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from carbonzeus_agent.driver import Reading
from carbonzeus_wire import Quality


@dataclass(frozen=True, slots=True)
class Owner:
    """The one pod that holds a GPU; both None while it is idle, shared or unknown."""

    pod: str | None = None
    """`namespace/name`."""
    pod_uid: str | None = None
    """Known once a plan named it."""


NOBODY = Owner()


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of a GPU and its limit, stamped with both clocks."""

    at: datetime
    boot_s: float
    limit_w: float | None
    reading: Reading
    edge_w: float | None = None
    """The counter moved just then, so `reading.energy_mj` is the energy at `at`, and the board drew this power.
    None: the counter's value is up to 100 ms old."""
    limit_since: datetime | None = None
    """When we wrote the limit, if we did since the last sample."""


class Use(StrEnum):
    """Who drew energy: together they are the whole GPU's."""

    PLANNED = "Planned"
    """A pod that a plan names."""
    OTHER = "Other"
    """Any other pod."""
    IDLE = "Idle"
    """Nobody held the GPU alone: it was idle, shared, or nobody knows."""

    @classmethod
    def of(cls, owner: Owner) -> Use:
        """Of what `owner` drew."""
        if owner.pod_uid is not None:
            return cls.PLANNED
        return cls.IDLE if owner.pod is None else cls.OTHER


@dataclass(frozen=True, slots=True)
class Closed:
    """A finished record, but for its sequence number and progress."""

    gpu: str
    owner: Owner
    start: datetime
    end: datetime
    limit_w: float | None
    energy_mj: int
    quality: Quality
    mean_sm_clock_mhz: float | None = None
    mean_memory_clock_mhz: float | None = None
    mean_utilization: float | None = None


@dataclass(slots=True)
class _Mean:
    """A mean over time, of the loaded time where there is any: idle moments say nothing about a job's speed."""

    loaded: float = 0.0
    loaded_s: float = 0.0
    idle: float = 0.0
    idle_s: float = 0.0

    def add(self, value: float | None, seconds: float, *, busy: bool) -> None:
        if value is None:
            return
        if busy:
            self.loaded += value * seconds
            self.loaded_s += seconds
        else:
            self.idle += value * seconds
            self.idle_s += seconds

    def over_load(self) -> float | None:
        if self.loaded_s > 0:
            return self.loaded / self.loaded_s
        return self.idle / self.idle_s if self.idle_s > 0 else None

    def over_all(self) -> float | None:
        seconds = self.loaded_s + self.idle_s
        return (self.loaded + self.idle) / seconds if seconds > 0 else None


@dataclass(slots=True)
class OpenRecord:
    """The record under construction."""

    start: datetime
    owner: Owner
    limit_w: float | None
    gap: bool = False
    integrated: bool = False
    energy_mj: int = 0
    sm_clock: _Mean = field(default_factory=_Mean)
    memory_clock: _Mean = field(default_factory=_Mean)
    utilization: _Mean = field(default_factory=_Mean)

    def add(self, energy_mj: int, seconds: float, reading: Reading, *, integrated: bool) -> None:
        self.energy_mj += energy_mj
        self.integrated = self.integrated or integrated
        busy = bool(reading.utilization)
        self.sm_clock.add(reading.sm_clock_mhz, seconds, busy=busy)
        self.memory_clock.add(reading.memory_clock_mhz, seconds, busy=busy)
        self.utilization.add(reading.utilization, seconds, busy=busy)

    def closed(self, gpu: str, end: datetime) -> Closed:
        quality = Quality.GAP if self.gap else Quality.INTEGRATED if self.integrated else Quality.COUNTER
        return Closed(
            gpu=gpu,
            owner=self.owner,
            start=self.start,
            end=end,
            limit_w=self.limit_w,
            energy_mj=self.energy_mj,
            quality=quality,
            mean_sm_clock_mhz=_rounded(self.sm_clock.over_load(), 1),
            mean_memory_clock_mhz=_rounded(self.memory_clock.over_load(), 1),
            mean_utilization=_rounded(self.utilization.over_all(), 4),
        )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
