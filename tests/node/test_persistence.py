"""The real agent process on boards whose persistence mode is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage


def test_persistence_mode_is_switched_on_where_asked(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """At the start, and after the driver was loaded anew."""
    stage.node.gpu(0).persistence = 0
    agent = make_agent(stage, CARBONZEUS_PERSISTENCE="Enable")
    assert [stage.node.gpu(slot).persistence for slot in (0, 1)] == [1, 1]
    assert [gpu.faults for gpu in agent.node().gpus] == [(), ()]
    stage.node.unload_driver()
    stage.waits(lambda: "NvmlUnavailable" in agent.ready()[1], "readiness says so")
    for slot in (0, 1):
        stage.node.gpu(slot).persistence = 0
    stage.node.load_driver()
    stage.waits(lambda: [stage.node.gpu(slot).persistence for slot in (0, 1)] == [1, 1], "it is switched on anew")
    stage.waits(lambda: agent.ready() == (True, []), "readiness is back")


def test_persistence_mode_that_cannot_be_switched_on_is_a_fault(
    stage: Stage, make_agent: Callable[..., AgentProcess]
) -> None:
    """It says why, and the agent is ready all the same."""
    stage.node.gpu(0).persistence = 0
    stage.node.set_privileged(privileged=False)
    agent = make_agent(stage, CARBONZEUS_PERSISTENCE="Enable")
    faults = {gpu.uuid: gpu.faults for gpu in agent.node().gpus}
    [fault] = faults[stage.gpus[0]]
    assert fault.startswith(
        "PersistenceOff: the driver forgets the limit when nobody uses the GPU; switching it on failed"
    )
    assert "Insufficient Permissions" in fault
    assert agent.ready() == (True, [])
