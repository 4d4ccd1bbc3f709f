"""Energy records for tests of learning."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.operator.world import NOON


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def record(start_s: float, end_s: float, *, gpu: str = "GPU-0", watts: float = 240.0, **more: Any) -> EnergyRecord:
    """Of one GPU at 300 W that counts 20 steps a second."""
    seconds = end_s - start_s
    usual: dict[str, Any] = {
        "seq": int(start_s) + 1,
        "gpu_uuid": gpu,
        "pod_uid": f"uid-{gpu}",
        "start": at(start_s),
        "end": at(end_s),
        "limit_watts": 300.0,
        "energy_millijoules": round(watts * seconds * 1000),
        "progress": 20 * seconds,
        "mean_sm_clock_mhz": 1740.0,
        "mean_memory_clock_mhz": 7250.0,
        "mean_utilization": 0.97,
        "quality": Quality.COUNTER,
    }
    return EnergyRecord(**(usual | more))
