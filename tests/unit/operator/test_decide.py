from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from carbonzeus_operator.decide import JobDecision, reconcile, wanted_grid
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval, Signal
from carbonzeus_operator.plan.schedule import Plan, SlowdownKnob
from carbonzeus_operator.resources.report import ReportState
from carbonzeus_operator.world.objects import Key
from carbonzeus_operator.world.snapshot import JobView, Measured, NodeView, Snapshot
from carbonzeus_wire import Applied, Fence, Outcome, Override, PlanReply, Refusal, RefusalReason
from tests.unit.operator import world
from tests.unit.operator.world import NOON, RULES, ZONE

ELSEWHERE = {"n1": NodeView("n1", "moon-1", (world.gpu("GPU-1", "ml/w-0"),), problem=None)}
"""In a region that nobody has heard of."""


def decide(snapshot: Snapshot) -> JobDecision:
    (decision,) = reconcile(snapshot, RULES).jobs
    return decision


def reasons(decision: JobDecision) -> dict[str, tuple[bool, str]]:
    return {finding.type: (finding.ok, finding.reason) for finding in decision.findings}


def test_a_running_job_gets_a_plan_for_each_of_its_pods():
    """Policy, profile, forecast and GPUs are known: limits are pushed to the pod's node."""
    decision = decide(world.cluster())
    assert decision.state is ReportState.ENFORCING
    ((node, plan),) = decision.pod_plans
    assert (node, plan.pod, plan.pod_uid, plan.mode) == ("n1", "ml/w-0", "uid-w-0", "Enforce")
    assert plan.steps[0].at == NOON + RULES.switch_lead
    assert all(150 <= step.limit_watts <= 300 for step in plan.steps)
    assert min(step.limit_watts for step in plan.steps) < 300


def test_a_job_that_says_its_total_progress_is_planned_to_its_end():
    """72,000 steps at 10 a second are two hours of work: the plan follows the forecast to the latest end the bound allows."""
    told = world.job(progress="port=9100,metric=steps,total=72000")
    profile = world.profile(throughputUnit="Progress", points=_steps_a_second(10))
    snapshot = world.cluster(JobView(told, (world.pod("w-0", "n1"),)), profiles={Key("ml", "a40"): profile})
    plan = _plan(decide(snapshot))
    spent_s = (2 * 3600 + RULES.grace_s) * 1.03
    assert plan.horizon_end - plan.made_at == pytest.approx(timedelta(seconds=spent_s), abs=timedelta(seconds=60))
    relative = world.cluster(JobView(told, (world.pod("w-0", "n1"),)))
    assert _plan(decide(relative)).horizon_end == NOON + timedelta(hours=48)


def test_earlier_runs_of_the_workload_tell_what_to_expect():
    """Nobody said how long the job is. After runs of two hours, the dirty hour behind it is not waited for."""
    fresh = JobView(world.job(), (world.pod("w-0", "n1"),))
    taught = replace(fresh, past_work_s=(7200.0,) * 5)
    rising = tuple(
        Interval(NOON + timedelta(hours=hour), NOON + timedelta(hours=hour + 1), 200.0 + 20.0 * hour)
        for hour in range(9)
    )
    grid = world.grid()
    assert grid.forecast is not None
    view = {ZONE: replace(grid, forecast=replace(grid.forecast, intervals=rising))}
    speeds = [
        _plan(decide(world.cluster(one, grid=view))).step_at(NOON + RULES.switch_lead).r for one in (fresh, taught)
    ]
    assert speeds[1] < speeds[0]


def _steps_a_second(rate: float) -> list[dict[str, object]]:
    return [
        {"limitWatts": limit, "averageWatts": watts, "throughput": f"{rate * float(speed):.3f}"}
        for limit, watts, speed in world.A40
    ]


def _plan(decision: JobDecision) -> Plan:
    assert decision.active is not None
    return decision.active.plan


def test_all_workers_switch_at_the_same_instants():
    """Two workers on two nodes follow the same steps."""
    view = JobView(world.job(workers=2), (world.pod("w-0", "n1"), world.pod("w-1", "n2")))
    nodes = {
        "n1": NodeView("n1", None, (world.gpu("GPU-1", "ml/w-0"),), problem=None),
        "n2": NodeView("n2", None, (world.gpu("GPU-2", "ml/w-1"),), problem=None),
    }
    (_, one), (_, two) = decide(world.cluster(view, nodes=nodes)).pod_plans
    assert one.steps == two.steps


def test_a_new_leader_holds_what_it_finds_until_its_first_plan_begins():
    """The agents still follow the plan of the leader before: no leap to the reference limit and back."""
    held = {"n1": NodeView("n1", "us-west-1", (world.gpu("GPU-1", "ml/w-0", limit_w=200.0),), problem=None)}
    measured = Measured(elapsed_s=7200.0, work_s=7000.0, until=NOON - timedelta(seconds=90))
    view = JobView(world.job(), (world.pod("w-0", "n1"),), measured)
    decision = decide(world.cluster(view, nodes=held))
    ((_, plan),) = decision.pod_plans
    assert (plan.steps[0].at, plan.steps[0].limit_watts) == (measured.until, 200.0)
    assert plan.steps[1].at >= NOON + RULES.switch_lead


def test_a_new_leader_counts_what_the_limits_it_finds_have_cost_since_the_last_record():
    """The time that nobody has measured yet was not at full speed: the bound holds over a change of the leader."""
    measured = Measured(elapsed_s=7200.0, work_s=7000.0, until=NOON - timedelta(seconds=90))
    view = JobView(world.job(), (world.pod("w-0", "n1"),), measured)
    credits_s = []
    for limit_w in (300.0, 200.0):
        nodes = {"n1": NodeView("n1", None, (world.gpu("GPU-1", "ml/w-0", limit_w=limit_w),), problem=None)}
        active = decide(world.cluster(view, nodes=nodes)).active
        assert active is not None
        assert isinstance(active.plan.knob, SlowdownKnob)
        credits_s.append(active.plan.knob.credit_s)
    passed_s = 90 + RULES.switch_lead.total_seconds()
    assert credits_s[1] - credits_s[0] == pytest.approx(passed_s * (0.936 - 1 / 1.03))


def test_only_rank_0_is_asked_for_progress():
    """The steps of a job are counted once."""
    asked = world.job(workers=2, progress="port=9100,metric=train_steps_total")
    view = JobView(asked, (world.pod("w-0", "n1"), world.pod("w-1", "n1")))
    nodes = {"n1": NodeView("n1", None, (world.gpu("GPU-1", "ml/w-0"), world.gpu("GPU-2", "ml/w-1")), problem=None)}
    (_, one), (_, two) = decide(world.cluster(view, nodes=nodes)).pod_plans
    assert one.progress is not None
    assert two.progress is None


def test_a_plan_is_kept_until_it_is_old_or_its_inputs_change():
    """No flapping: the same inputs give the same plan for the replan period."""
    snapshot = world.cluster()
    first = decide(snapshot)
    view = replace(first.view, active=first.active)
    assert decide(world.later(snapshot, view, minutes=1)).active is first.active
    assert decide(world.later(snapshot, view, minutes=6)).active is not first.active
    newer = {ZONE: world.grid(issued=NOON + timedelta(seconds=30))}
    assert decide(replace(world.later(snapshot, view, minutes=1), grid=newer)).active is not first.active


def test_a_new_plan_keeps_the_old_steps_until_it_begins():
    """What is pushed is in force at every instant: no worker falls back to its reference limit in between."""
    snapshot = world.cluster()
    first = decide(snapshot)
    later = world.later(snapshot, replace(first.view, active=first.active), minutes=6)
    second = decide(later)
    assert first.active is not None
    assert second.active is not None
    in_force = [step for step in second.active.timeline if step.at <= later.now][-1]
    assert in_force.limits_w == first.active.plan.step_at(later.now).limits_w
    assert second.active.plan.made_at == later.now + RULES.switch_lead


def test_a_job_far_behind_runs_at_its_reference_limit():
    """The bound comes first: negative credit is repaid at full speed."""
    measured = Measured(elapsed_s=7200, work_s=6000, until=NOON)
    view = JobView(world.job(), (world.pod("w-0", "n1"),), measured)
    decision = decide(world.cluster(view))
    assert decision.active is not None
    assert decision.active.plan.steps[0].r == 1.0


def test_a_bound_at_stake_asks_for_a_new_plan_at_once():
    """Measured credit that falls below half its margin does not wait for the next plan."""
    snapshot = world.cluster()
    first = decide(snapshot)
    assert first.active is not None
    slow = next(step for step in first.active.plan.steps if step.r < 1.0)
    at = slow.at + timedelta(seconds=30)
    behind = Measured(elapsed_s=3600, work_s=3400, until=at)
    view = replace(
        first.view, active=replace(first.active, plan=replace(first.active.plan, made_at=at)), measured=behind
    )
    again = decide(replace(snapshot, now=at, jobs=(view,)))
    assert again.active is not view.active


def test_recommend_plans_and_writes_nothing():
    """The plan is there for the report; the agents only measure."""
    decision = decide(world.cluster(policies={"gentle": world.policy(mode="Recommend")}))
    assert decision.state is ReportState.RECOMMENDING
    assert decision.active is not None
    assert [(plan.mode, plan.steps) for _, plan in decision.pod_plans] == [("Observe", ())]


def test_observe_makes_no_plan():
    """Measured only."""
    decision = decide(world.cluster(policies={"gentle": world.policy(mode="Observe")}))
    assert decision.state is ReportState.OBSERVING
    assert decision.active is None
    assert [(plan.mode, plan.steps) for _, plan in decision.pod_plans] == [("Observe", ())]


@pytest.mark.parametrize(
    ("annotations", "more", "reason"),
    [
        ({"policy": "nowhere"}, {}, "PolicyNotFound"),
        ({"max_slowdown": "fast"}, {}, "InvalidAnnotation"),
        ({"max_slowdown": "9%"}, {}, "SlowdownNotAllowed"),
        ({"profile": "nowhere"}, {}, "ProfileNotFound"),
        ({}, {"policies": {"gentle": InvalidSpec("odd")}}, "PolicyInvalid"),
        ({}, {"profiles": {Key("ml", "a40"): InvalidSpec("odd")}}, "ProfileInvalid"),
        ({}, {"profiles": {Key("ml", "a40"): world.profile(gpuProduct="Tesla V100")}}, "ProfileMismatch"),
        ({}, {"policies": {"gentle": world.policy(zone=None)}, "nodes": ELSEWHERE}, "ZoneUnknown"),
    ],
)
def test_what_cannot_be_meant_leaves_the_job_at_its_reference_limit(annotations, more, reason):
    """A condition says why; the job is measured and never written to."""
    view = JobView(world.job(**annotations), (world.pod("w-0", "n1"),))
    decision = decide(world.cluster(view, **more))
    assert reasons(decision)["Accepted"] == (False, reason)
    assert [(plan.mode, plan.steps) for _, plan in decision.pod_plans] == [("Observe", ())]


def test_a_broken_job_does_not_touch_the_others():
    """Each job is decided by itself."""
    good = JobView(world.job(), (world.pod("w-0", "n1"),))
    bad = JobView(world.job("bad", policy="nowhere"), (world.pod("b-0", "n1", of="uid-bad"),))
    decisions = reconcile(replace(world.cluster(), jobs=(good, bad)), RULES)
    assert [decision.state for decision in decisions.jobs] == [ReportState.ENFORCING, ReportState.OBSERVING]


def test_a_waiting_worker_leaves_all_at_the_reference_limit():
    """While one worker is missing nobody is slowed down."""
    view = JobView(world.job(workers=2), (world.pod("w-0", "n1"), world.pod("w-1", "n1", running=False)))
    decision = decide(world.cluster(view))
    assert decision.state is ReportState.PENDING
    assert all(plan.steps == () for _, plan in decision.pod_plans)


def test_workers_that_all_ended_leave_the_last_word_to_the_plan():
    """Between the end of its pods and of the job nothing new is to be said of the plan."""
    ended = replace(world.pod("w-0", "n1", running=False), started_at=NOON, finished_at=NOON)
    decision = decide(world.cluster(JobView(world.job(), (ended,))))
    assert decision.state is ReportState.PENDING
    assert "Planned" not in reasons(decision)


def test_a_stale_forecast_holds_a_constant_limit_within_the_bound():
    """HoldStatic: one limit, no slower than the bound allows."""
    old = {ZONE: world.grid(issued=NOON - timedelta(hours=7))}
    decision = decide(world.cluster(grid=old))
    assert decision.state is ReportState.HOLDING
    assert reasons(decision)["ForecastFresh"] == (False, "ForecastStale")
    assert decision.active is not None
    assert all(step.r >= 1 / 1.03 for step in decision.active.plan.steps)
    assert len(decision.active.plan.steps) == 1


def test_a_stale_forecast_restores_where_the_policy_says_so():
    """Restore: back to the reference limit."""
    spec = world.policy(staleForecast={"afterMinutes": 60, "then": "Restore"})
    old = {ZONE: world.grid(issued=NOON - timedelta(hours=7))}
    decision = decide(world.cluster(grid=old, policies={"gentle": spec}))
    assert decision.active is not None
    assert [step.r for step in decision.active.plan.steps] == [1.0]


def test_without_any_forecast_a_safe_limit_holds_and_the_condition_says_so():
    """No data at all is no reason to stop saving energy, nor to break the bound."""
    decision = decide(world.cluster(grid={}))
    assert decision.state is ReportState.HOLDING
    assert reasons(decision)["ForecastFresh"] == (False, "NoForecast")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            PlanReply(
                fence=Fence(term=1, revision=1),
                refused=(Refusal(pod_uid="uid-w-0", gpu_uuid="GPU-1", reason=RefusalReason.MIG, message="MIG is on"),),
            ),
            "MIG",
        ),
        (
            PlanReply(
                fence=Fence(term=1, revision=1),
                applied=(
                    Applied(pod_uid="uid-w-0", gpu_uuid="GPU-1", outcome=Outcome.FAULT, limit_watts=300, message="300"),
                ),
            ),
            "LimitNotTaken",
        ),
    ],
)
def test_what_agents_refuse_becomes_a_condition(reply, reason):
    """A cap that did not take is never silent."""
    nodes = {"n1": NodeView("n1", None, (world.gpu("GPU-1", "ml/w-0"),), problem=None, reply=reply)}
    assert reasons(decide(world.cluster(nodes=nodes)))["Enforced"] == (False, reason)


@pytest.mark.parametrize("yielded", [True, False])
def test_a_limit_that_somebody_else_set_becomes_a_condition(yielded):
    """Left so, the plan is not followed; set again, it is. Either way the report says so, and what to do."""
    override = Override(limit_watts=280, yielded=yielded, message="somebody else set 280 W: find out who")
    held = world.gpu("GPU-1", "ml/w-0").model_copy(update={"override": override})
    decision = decide(world.cluster(nodes={"n1": NodeView("n1", None, (held,), problem=None)}))
    assert reasons(decision)["Enforced"] == (not yielded, "LimitOverridden")
    [told] = [it.message for it in decision.findings if it.type == "Enforced"]
    assert told == "GPU-1: somebody else set 280 W: find out who"


def test_an_agent_that_does_not_answer_becomes_a_condition():
    """Its GPUs fall back by themselves when the lease ends."""
    nodes = {"n1": NodeView("n1", None, (world.gpu("GPU-1", "ml/w-0"),), problem="timeout")}
    assert reasons(decide(world.cluster(nodes=nodes)))["Enforced"] == (False, "AgentUnreachable")


def test_a_finished_job_has_no_plan():
    """Its pods are released."""
    done = replace(world.job(), finished_at=NOON, succeeded=True)
    decision = decide(world.cluster(JobView(done, (world.pod("w-0", "n1"),))))
    assert (decision.state, decision.pod_plans) == (ReportState.FINISHED, ())


def test_a_job_that_opts_out_is_measured_only():
    """Removing the annotation ends enforcement, not the account."""
    out = replace(world.job(), annotations={"carbonzeus.dev/policy": "none"})
    decision = decide(world.cluster(JobView(out, (world.pod("w-0", "n1"),))))
    assert reasons(decision)["Accepted"] == (False, "OptedOut")


def test_a_zone_comes_from_the_region_of_the_nodes_where_the_policy_names_none():
    """As shipped; the operator's settings add to that and overrule it, for all policies."""
    snapshot = world.cluster(policies={"gentle": world.policy(zone=None)})
    assert wanted_grid(snapshot, RULES) == {"uid-train": ZONE}
    rules = replace(RULES, zones={"us-west-1": "CAISO_NORTH"})
    assert wanted_grid(snapshot, rules) == {"uid-train": ("CAISO_NORTH", Signal.AVERAGE)}
    elsewhere = replace(snapshot, nodes=ELSEWHERE)
    assert wanted_grid(elsewhere, RULES) == {}
    assert wanted_grid(elsewhere, replace(RULES, zones={"moon-1": "US-CAL-CISO"})) == {"uid-train": ZONE}


def test_carbon_weight_plans_without_a_bound():
    """Eq. 6: the dirtier hour gets the lower limit."""
    decision = decide(world.cluster(policies={"gentle": world.policy(carbonWeight="0.5")}))
    assert decision.active is not None
    limits = [step.limits_w["NVIDIA A40"] for step in decision.active.plan.steps]
    assert min(limits) < max(limits)
