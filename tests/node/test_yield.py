"""The real agent process, asked to leave a GPU to whoever sets its limit by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage


def test_foreign_write_is_yielded_to_where_asked(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """State, reply and metrics say so, no step and no end of the pod touches it, and the other GPU follows on."""
    agent = make_agent(stage, CARBONZEUS_FOREIGN_WRITES="Yield")
    stage.pods(stage.pod("a", 2))
    agent.push(agent.plan("a", (-1, 150)))
    stage.node.set_limit(0, 280)
    stage.waits(lambda: agent.node().gpus[0].faults, "the override is shown")
    reply = agent.push(agent.plan("a", (-1, 175), (0.3, 200)))
    assert {it.gpu_uuid: it.outcome for it in reply.applied} == {stage.gpus[1]: "Applied"}
    [refusal] = reply.refused
    assert (refusal.gpu_uuid, refusal.reason, refusal.message[:24]) == (
        stage.gpus[0],
        "LimitOverridden",
        "somebody else set 280 W ",
    )
    stage.waits(lambda: stage.limit_w(1) == 200, "the other GPU's next step")
    override = agent.node().gpus[0].override
    assert override is not None
    assert (override.limit_watts, override.yielded) == (280, True)
    assert agent.node().gpus[0].faults == (f"LimitOverridden: {override.message}",)
    assert f'carbonzeus_agent_overrides_total{{gpu="{stage.gpus[0]}"}} 1.0' in agent.metrics()
    assert f'carbonzeus_agent_fault{{gpu="{stage.gpus[0]}",reason="LimitOverridden"}} 1.0' in agent.metrics()
    assert agent.ready() == (True, [])
    stage.pods()
    stage.waits(lambda: stage.limit_w(1) == 300, "the other GPU is given back")
    assert agent.end() == 0
    assert stage.limit_w(0) == 280


def test_reloaded_driver_is_not_yielded_to(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """The default limits that it comes up with were set by nobody."""
    agent = make_agent(stage, CARBONZEUS_FOREIGN_WRITES="Yield")
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    stage.node.unload_driver()
    stage.node.load_driver()
    stage.waits(lambda: stage.limit_w(0) == 150, "the plan is enforced anew")


@pytest.mark.parametrize("end", ["kill", "end"])
def test_yield_outlives_a_restart(stage: Stage, make_agent: Callable[..., AgentProcess], end: str) -> None:
    """The next agent leaves the GPU alone from its start, and under the plan of the same pod, until that is withdrawn."""
    agent = make_agent(stage, CARBONZEUS_FOREIGN_WRITES="Yield")
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150), (60, 200)))
    stage.node.set_limit(0, 200)  # one of the plan's own, so that only the journal can tell
    stage.waits(lambda: agent.node().gpus[0].override, "the override is shown")
    getattr(agent, end)()
    agent.start()
    [refusal] = agent.push(agent.plan("a", (-1, 150))).refused
    assert (refusal.reason, stage.limit_w(0)) == ("LimitOverridden", 200)
    agent.push()
    agent.push(agent.plan("a", (-1, 150)))
    assert stage.limit_w(0) == 150
