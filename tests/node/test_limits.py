"""The real agent process on emulated boards: limits are followed, guarded and given back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from carbonzeus_bed.gpus import Fault

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage


def test_plan_is_followed_by_the_agents_own_clock(stage: Stage, agent: AgentProcess) -> None:
    """Each step is written once and not before its instant, with nobody telling the agent when."""
    stage.pods(stage.pod("a"))
    plan = agent.plan("a", (-1, 200), (0.7, 150), (1.4, 225))
    reply = agent.push(plan)
    assert [(it.outcome, it.limit_watts) for it in reply.applied] == [("Applied", 200)]
    stage.waits(lambda: stage.limit_w(0) == 225, "the last step is reached")

    writes = stage.node.writes()
    assert [(it.uuid, it.requested_mw) for it in writes] == [(stage.gpus[0], mw) for mw in (200_000, 150_000, 225_000)]
    for write, step in zip(writes[1:], plan["steps"][1:], strict=True):
        assert write.at_ns / 1e9 >= datetime.fromisoformat(step["at"]).timestamp()


def test_gpus_without_a_plan_are_never_written(stage: Stage, agent: AgentProcess) -> None:
    """A neighbour's GPU and an idle one stay out of it, also at the end."""
    stage.pods(stage.pod("a"), stage.pod("neighbour"))
    agent.push(agent.plan("a", (-1, 200)))
    assert agent.end() == 0
    assert {it.uuid for it in stage.node.writes()} == {stage.gpus[0]}


def test_limit_outside_the_boards_range_is_clamped_and_said(stage: Stage, agent: AgentProcess) -> None:
    """The reply names the nearest limit that the board allows, as read back."""
    stage.pods(stage.pod("a"))
    [applied] = agent.push(agent.plan("a", (-1, 20))).applied
    assert (applied.outcome, applied.limit_watts) == ("Clamped", 100)


def test_admins_own_cap_is_never_raised(stage: Stage, agent: AgentProcess) -> None:
    """The limit found before our first write is the ceiling of every plan, and what is given back."""
    stage.node.set_limit(0, 250)
    stage.pods(stage.pod("a"))
    [applied] = agent.push(agent.plan("a", (-1, 300))).applied
    assert (applied.outcome, applied.limit_watts) == ("Clamped", 250)
    agent.push(agent.plan("a", (-1, 150)))
    assert agent.node().gpus[0].limit_watts == 150
    assert agent.node().gpus[0].reference_limit_watts == 250
    agent.push()
    assert stage.limit_w(0) == 250


def test_withdrawn_plan_gives_the_gpu_back(stage: Stage, agent: AgentProcess) -> None:
    """A push without the pod's plan restores the prior limit before the reply."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    agent.push()
    assert stage.limit_w(0) == 300


def test_lease_end_gives_the_gpu_back(stage: Stage, agent: AgentProcess) -> None:
    """A plan that nobody renews ends with its lease."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)), lease_s=0.5)
    assert stage.limit_w(0) == 150
    stage.waits(lambda: stage.limit_w(0) == 300, "the prior limit is back")


def test_gone_pod_gives_the_gpu_back_and_takes_its_plan_along(stage: Stage, agent: AgentProcess) -> None:
    """A new pod of the same name does not inherit the limits of the old one."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    stage.pods()
    stage.waits(lambda: stage.limit_w(0) == 300, "the prior limit is back")
    stage.pods(stage.pod("a", uid="another"))
    stage.waits(lambda: agent.node().gpus[0].pods == ("team/a",), "the new pod is seen")
    assert stage.limit_w(0) == 300


def test_end_gives_every_gpu_back(stage: Stage, agent: AgentProcess) -> None:
    """SIGTERM restores the prior limits and exits cleanly."""
    stage.pods(stage.pod("a", 2))
    agent.push(agent.plan("a", (-1, 150)))
    assert [stage.limit_w(0), stage.limit_w(1)] == [150, 150]
    assert agent.end() == 0
    assert [stage.limit_w(0), stage.limit_w(1)] == [300, 300]


def test_killed_agent_leaves_nothing_throttled_behind(stage: Stage, agent: AgentProcess) -> None:
    """After SIGKILL the next start restores at once, and follows plans again when they come."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    agent.kill()
    assert stage.limit_w(0) == 150
    agent.start()
    assert stage.limit_w(0) == 300
    agent.push(agent.plan("a", (-1, 175)))
    assert stage.limit_w(0) == 175
    assert agent.node().gpus[0].reference_limit_watts == 300


def test_restore_after_a_kill_does_not_fight_what_somebody_set_since(stage: Stage, agent: AgentProcess) -> None:
    """A limit that is none of ours is left as it is found."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    agent.kill()
    stage.node.set_limit(0, 210)
    agent.start()
    assert agent.node().gpus[0].limit_watts == 210
    assert agent.end() == 0
    assert stage.limit_w(0) == 210


def test_deposed_leader_is_refused_even_after_a_restart(stage: Stage, agent: AgentProcess) -> None:
    """An older fence gets 409 with the standing one and changes nothing; the fence outlives the process."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)), fence=(3, 7))
    agent.kill()
    agent.start()
    for term, revision in ((2, 99), (3, 6)):
        body = {
            "fence": {"term": term, "revision": revision},
            "leaseSeconds": 60,
            "plans": [agent.plan("a", (-1, 120))],
        }
        status, text = agent.ask("PUT", "/v1/plans", json.dumps(body))
        assert (status, json.loads(text)["fence"]) == (409, {"term": 3, "revision": 7})
    assert stage.limit_w(0) == 300


def test_foreign_write_is_noticed_and_the_plan_enforced(stage: Stage, agent: AgentProcess) -> None:
    """Somebody else's limit on a planned GPU is overwritten within a sample, counted and shown."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    stage.node.set_limit(0, 280)
    stage.waits(lambda: stage.limit_w(0) == 150, "the plan is enforced")
    stage.waits(lambda: agent.node().gpus[0].faults, "the override is shown")
    assert agent.node().gpus[0].faults[0].startswith("LimitOverridden: somebody else set 280 W")
    override = agent.node().gpus[0].override
    assert override is not None
    assert (override.limit_watts, override.yielded, "the plan's limit was set again" in override.message) == (
        280,
        False,
        True,
    )
    assert f'carbonzeus_agent_overrides_total{{gpu="{stage.gpus[0]}"}} 1.0' in agent.metrics()
    assert agent.ready() == (True, [])


def test_board_without_persistence_mode_is_told_of(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """The driver would forget its limit; it is limited all the same, and the agent is ready."""
    stage.node.gpu(0).persistence = 0
    agent = make_agent(stage)
    faults = {gpu.uuid: gpu.faults for gpu in agent.node().gpus}
    assert [fault.split(":")[0] for fault in faults[stage.gpus[0]]] == ["PersistenceOff"]
    assert faults[stage.gpus[1]] == ()
    assert f'carbonzeus_agent_fault{{gpu="{stage.gpus[0]}",reason="PersistenceOff"}} 1.0' in agent.metrics()
    assert agent.ready() == (True, [])


def test_observed_pod_is_measured_and_not_written(stage: Stage, agent: AgentProcess) -> None:
    """Mode Observe touches no limit, whatever its steps say."""
    stage.pods(stage.pod("a"))
    [applied] = agent.push(agent.plan("a", (-1, 150), mode="Observe")).applied
    assert (applied.outcome, applied.limit_watts) == ("Observed", 300)
    assert stage.node.writes() == []


def test_hung_gpu_blocks_no_other(stage: Stage, agent: AgentProcess) -> None:
    """One GPU's call never comes back: the reply says so, the other GPU follows its plan, and the end is not held up."""
    stage.pods(stage.pod("a"), stage.pod("b"))
    agent.push(agent.plan("b", (-1, 250)))
    stage.node.inject(0, Fault.HUNG)
    reply = agent.push(agent.plan("a", (-1, 150)), agent.plan("b", (-1, 200), (0.5, 175)))
    outcomes = {it.gpu_uuid: it.outcome for it in reply.applied}
    assert outcomes == {stage.gpus[0]: "Fault", stage.gpus[1]: "Applied"}
    stage.waits(lambda: stage.limit_w(1) == 175, "the other GPU switches")
    stage.waits(lambda: agent.ready() == (False, ["Hung"]), "readiness says so")
    stage.node.clear(0)
    stage.waits(lambda: stage.limit_w(0) == 150, "the GPU follows when it answers again")
    stage.waits(lambda: agent.ready() == (True, []), "readiness is back")


def test_set_that_does_not_take_is_a_fault(stage: Stage, agent: AgentProcess) -> None:
    """The driver says yes and does nothing: reply, readiness and metrics say so, until it takes."""
    stage.pods(stage.pod("a"))
    stage.node.inject(0, Fault.SET_IGNORED)
    [applied] = agent.push(agent.plan("a", (-1, 150))).applied
    assert (applied.outcome, applied.limit_watts) == ("Fault", 300)
    assert "stayed 300 W" in applied.message
    assert agent.ready() == (False, ["LimitNotTaken"])
    assert f'carbonzeus_agent_fault{{gpu="{stage.gpus[0]}",reason="LimitNotTaken"}} 1.0' in agent.metrics()
    stage.node.clear(0)
    stage.waits(lambda: stage.limit_w(0) == 150, "it is tried again")
    stage.waits(lambda: agent.ready() == (True, []), "readiness is back")


def test_silent_kubelet_is_not_an_empty_node(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """While the socket is gone the last owners hold for the grace; after that every GPU is given back."""
    agent = make_agent(stage, CARBONZEUS_OWNER_GRACE_SECONDS="1.5")
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    stage.kubelet(up=False)
    stage.waits(lambda: agent.ready() == (False, ["KubeletSilent"]), "readiness says so")
    assert [it.limit_watts for it in agent.push(agent.plan("a", (-1, 175))).applied] == [175]
    stage.waits(lambda: stage.limit_w(0) == 300, "the GPU is given back after the grace")
    assert [it.reason for it in agent.push(agent.plan("a", (-1, 150))).refused] == ["OwnerUnknown"]
    stage.kubelet(up=True)
    stage.waits(lambda: agent.ready() == (True, []), "the kubelet is heard again")
    assert [it.limit_watts for it in agent.push(agent.plan("a", (-1, 150))).applied] == [150]


def test_reordered_gpus_keep_their_plans(stage: Stage, agent: AgentProcess) -> None:
    """Everything goes by UUID: a new order of the driver's indices changes nothing."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    stage.node.reorder([1, 0])
    agent.push(agent.plan("a", (-1, 175)))
    assert [stage.limit_w(0), stage.limit_w(1)] == [175, 300]


def test_reloaded_driver_is_taken_up_again(stage: Stage, agent: AgentProcess) -> None:
    """While the driver is away the agent is not ready; afterwards the plan is enforced anew."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    stage.node.unload_driver()
    stage.waits(lambda: "NvmlUnavailable" in agent.ready()[1], "readiness says so")
    stage.node.load_driver()
    stage.waits(lambda: stage.limit_w(0) == 150, "the plan is enforced anew")
    stage.waits(lambda: agent.ready() == (True, []), "readiness is back")


def test_agent_waits_for_a_driver_that_is_not_there_yet(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """On a node whose driver comes later the agent starts, is not ready, and finds the GPUs when they come."""
    stage.node.unload_driver()
    agent = make_agent(stage)
    assert agent.ready()[1] == ["NvmlUnavailable"]
    stage.node.load_driver()
    stage.waits(lambda: len(agent.node().gpus) == 2, "the GPUs are found")
    stage.waits(lambda: agent.ready() == (True, []), "readiness is there")
