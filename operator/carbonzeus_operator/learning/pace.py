"""How fast a window went, where the job counts no steps: by its clocks. Pure.

What does not depend on a clock does not slow down with it: the lower of the SM and memory clock, each as a share of what it is
at the reference limit, bounds the throughput from below; of several GPUs the slowest does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carbonzeus_operator.learning.collector import Whole
from carbonzeus_wire import EnergyRecord, Quality

BUSY = 0.8
"""A window with less of the utilisation than at the reference limit is another phase: its clocks say nothing."""
FINE = 1000.0
"""So many steps a second at full clock: a clock has no grain."""
LOWERED = 0.97
"""A memory clock runs at fixed steps: only below this share it was lowered."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Mean clocks of one GPU under load at the reference limit."""

    sm_mhz: float
    memory_mhz: float
    utilization: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Steps of windows by the clocks of the job's GPUs."""

    references: Mapping[str, Clocks] = field(default_factory=dict)
    """By GPU UUID, from its first window at the reference limit."""

    def seen(self, whole: Whole, reference_limit_w: float) -> Pace:
        """After a window, which may be the first at the reference limit of some GPUs."""
        found = dict(self.references)
        for record in _records(whole):
            clocks = _clocks(record)
            limit_w = record.limit_watts
            if clocks is not None and record.gpu_uuid not in found and limit_w and limit_w >= reference_limit_w:
                found[record.gpu_uuid] = clocks
        return self if len(found) == len(self.references) else Pace(found)

    def steps(self, whole: Whole) -> float | None:
        """The steps of a window, in a unit of its own; None where a GPU did not tell, or did something else."""
        if not whole.complete:
            return None
        slowest = 1.5  # more than any clock may rise above that at the reference limit
        for record in _records(whole):
            reference, clocks = self.references.get(record.gpu_uuid), _clocks(record)
            if reference is None or clocks is None or clocks.utilization < BUSY * reference.utilization:
                return None
            slowest = min(slowest, clocks.sm_mhz / reference.sm_mhz)
            if clocks.memory_mhz < LOWERED * reference.memory_mhz:
                slowest = min(slowest, clocks.memory_mhz / reference.memory_mhz)
        return FINE * slowest * (whole.clock.end - whole.clock.start).total_seconds()


def _records(whole: Whole) -> tuple[EnergyRecord, ...]:
    return (whole.clock, *(record for found in whole.others.values() for record in found))


def _clocks(record: EnergyRecord) -> Clocks | None:
    values = (record.mean_sm_clock_mhz, record.mean_memory_clock_mhz, record.mean_utilization)
    sm_mhz, memory_mhz, utilization = values
    if record.quality is Quality.GAP or not sm_mhz or not memory_mhz or not utilization:
        return None
    return Clocks(sm_mhz, memory_mhz, utilization)
