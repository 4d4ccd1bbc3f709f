"""The real agent process, asked to leave a GPU to whoever sets its limit by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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
    assert {it.gpu_uuid: it.outcome for it in reply.applied} == {stage.gpus[0]: "Fault", stage.gpus[1]: "Applied"}
    assert "LimitOverridden: somebody else set 280 W" in "".join(it.message for it in reply.applied)
    stage.waits(lambda: stage.limit_w(1) == 200, "the other GPU's next step")
    told = "LimitOverridden: somebody else set 280 W; left so until the pod ends or its lease does"
    assert agent.node().gpus[0].faults == (told,)
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
