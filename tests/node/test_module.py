"""The real agent process on a GPU that shares a module with a CPU, as on a GH200."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage
    from carbonzeus_wire import EnergyRecord

COMPANION_W = 120.0


def test_energy_and_limits_are_of_the_gpu_alone(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """What the CPU draws is in no record, the node tells why, and the limit that is followed is the GPU's."""
    stage.node.set_module(0, COMPANION_W)
    agent = make_agent(stage)
    stage.pods(stage.pod("a"))
    [applied] = agent.push(agent.plan("a", (-1, 200))).applied
    assert (applied.outcome, applied.limit_watts, stage.limit_w(0)) == ("Applied", 200, 200)
    scopes = {gpu.uuid: (gpu.power_scope, gpu.counter_scope) for gpu in agent.node().gpus}
    assert scopes == {stage.gpus[0]: ("GPU", "Module"), stage.gpus[1]: ("GPU", "GPU")}

    since = datetime.now(UTC) + timedelta(seconds=1)  # by then a mean over a second knows the limit

    def recorded() -> list[EnergyRecord]:
        found = [it for it in agent.energy() if it.gpu_uuid == stage.gpus[0] and it.start > since]
        return found if len(found) > 2 else []

    records = stage.waits(recorded, "three records are closed")
    assert {it.quality for it in records} == {"Integrated"}
    truth = stage.truth(records[-1].end)
    edges_ns = [round(it.timestamp() * 1e9) for it in (records[0].start, records[-1].end)]
    truly_mj = sum(it.within(*edges_ns) for it in truth.stretches if it.uuid == stage.gpus[0])
    assert sum(it.energy_millijoules for it in records) == pytest.approx(truly_mj, rel=0.05)
