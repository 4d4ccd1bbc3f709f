"""The real agent process leaves GPUs alone that it may not or cannot limit, and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from carbonzeus_bed.gpus import Fault, Mig

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage


def test_missing_privilege_is_refused_by_name(stage: Stage, agent: AgentProcess) -> None:
    """Without the privilege the pod's GPU is refused, and the agent is not ready."""
    stage.node.set_privileged(privileged=False)
    stage.pods(stage.pod("a"))
    reply = agent.push(agent.plan("a", (-1, 150)))
    assert [(it.gpu_uuid, it.reason) for it in reply.refused] == [(stage.gpus[0], "NoPermission")]
    assert agent.ready() == (False, ["NoPermission"])


def test_lost_gpu_is_refused_by_name(stage: Stage, agent: AgentProcess) -> None:
    """A board that fell off the bus is named; its neighbour in the same pod is limited all the same."""
    stage.pods(stage.pod("a", 2))
    stage.node.inject(0, Fault.LOST)
    reply = agent.push(agent.plan("a", (-1, 150)))
    assert [(it.gpu_uuid, it.reason) for it in reply.refused] == [(stage.gpus[0], "GPULost")]
    assert [(it.gpu_uuid, it.limit_watts) for it in reply.applied] == [(stage.gpus[1], 150)]
    assert agent.ready() == (False, ["GPULost"])


def test_shared_gpu_is_refused(make_stage: Callable[..., Stage], make_agent: Callable[..., AgentProcess]) -> None:
    """A time-sliced GPU is left alone even while a single pod holds a slice of it."""
    stage = make_stage(1, replicas=2)
    agent = make_agent(stage)
    stage.pods(stage.pod("a"))
    reply = agent.push(agent.plan("a", (-1, 150)))
    assert [(it.gpu_uuid, it.reason) for it in reply.refused] == [(stage.gpus[0], "SharedGPU")]
    stage.pods(stage.pod("a"), stage.pod("b", ip="127.0.0.2"))
    reply = agent.push(agent.plan("a", (-1, 150)), agent.plan("b", (-1, 150)))
    assert {it.reason for it in reply.refused} == {"SharedGPU"}
    assert stage.node.writes() == []


def test_mig_gpu_is_refused(make_stage: Callable[..., Stage], make_agent: Callable[..., AgentProcess]) -> None:
    """Instances of one GPU share its power limit."""
    stage = make_stage(1, "NVIDIA A100-SXM4-40GB")
    stage.node.set_mig(0, Mig.ENABLED)
    agent = make_agent(stage)
    stage.pods(stage.pod("a"))
    reply = agent.push(agent.plan("a", (-1, 250)))
    assert [(it.gpu_uuid, it.reason) for it in reply.refused] == [(stage.gpus[0], "MIG")]


def test_unknown_pod_is_refused(agent: AgentProcess) -> None:
    """A pod of another node, or one that is gone, holds no GPU here."""
    reply = agent.push(agent.plan("elsewhere", (-1, 150)))
    assert [(it.pod_uid, it.reason) for it in reply.refused] == [("uid-elsewhere", "UnknownPod")]
