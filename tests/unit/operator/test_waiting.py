"""What is decided for workers that wait, and when nobody may be lower than the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from carbonzeus_operator.account import JobPod
from carbonzeus_operator.decide import JobDecision, reconcile
from carbonzeus_operator.plan.profiling import Why, Window
from carbonzeus_operator.plan.schedule import PlanStep, SlowdownKnob
from carbonzeus_operator.plan.stragglers import Need
from carbonzeus_operator.waiting import STRAGGLERS, counted, watched
from carbonzeus_operator.world.objects import Key
from carbonzeus_operator.world.snapshot import JobView, Measured, NodeView, Snapshot
from carbonzeus_wire import EnergyRecord
from tests.unit.learning.records import record
from tests.unit.operator import world
from tests.unit.operator.world import NOON, RULES

NEEDS = {"uid-w-0": Need(0.8), "uid-w-1": Need(0.8)}
PODS = tuple(world.pod(f"w-{number}", f"n{number}") for number in range(3))
NODES = {
    f"n{number}": NodeView(f"n{number}", "us-west-1", (world.gpu(f"GPU-{number}", f"ml/w-{number}"),), problem=None)
    for number in range(3)
}
COUNTS = {"progress": "port=9100,metric=steps"}


def view(**more: Any) -> JobView:
    """A job of three workers, of which two wait: the leader is one of them."""
    return replace(JobView(world.job(workers=3, **COUNTS), PODS, needs=NEEDS), **more)


def cluster(view: JobView, **more: Any) -> Snapshot:
    profiles = {Key("ml", "a40"): world.profile(throughputUnit="Progress", gpuCount=3)}
    return world.cluster(view, **({"nodes": NODES, "profiles": profiles} | more))


def decide(view: JobView, **more: Any) -> JobDecision:
    (decision,) = reconcile(cluster(view, **more), RULES).jobs
    return decision


def limits(decision: JobDecision) -> dict[str, list[float]]:
    return {plan.pod_uid: [step.limit_watts for step in plan.steps] for _, plan in decision.pod_plans}


def told(decision: JobDecision) -> tuple[str, str] | None:
    return next((((one.reason, one.message)) for one in decision.findings if one.type == STRAGGLERS), None)


def test_only_workers_are_lower_than_the_plan() -> None:
    """Never the leader, and nobody who does not wait."""
    decision = decide(view())
    found = limits(decision)
    assert decision.active is not None
    assert found["uid-w-0"] == found["uid-w-2"]
    assert max(found["uid-w-1"]) < min(found["uid-w-0"])
    assert told(decision) == ("Waiting", "1 of 3 workers wait for a slower one: held at 80% of the speed")


def test_equal_limits_are_one_step() -> None:
    """Where several steps of the plan come to the same for one that waits."""
    slow = view(needs={"uid-w-1": Need(0.8)})
    active = decide(slow).active
    assert active is not None
    timeline = tuple(PlanStep(NOON + timedelta(minutes=n), {"NVIDIA A40": 190.0 - 15 * n}, 0.98) for n in range(3))
    found = limits(decide(replace(slow, active=replace(active, timeline=timeline)), now=NOON + timedelta(minutes=1)))
    assert found["uid-w-0"] == [190.0, 175.0, 160.0]
    assert found["uid-w-1"] == [171.0, 160.0]


def test_a_need_asks_for_no_new_plan() -> None:
    """It changes what is pushed, not what is planned."""
    first = decide(view(needs={}))
    assert first.active is not None
    later = decide(view(active=first.active), now=NOON + timedelta(seconds=90))
    assert later.active is first.active
    assert limits(later)["uid-w-1"] != limits(first)["uid-w-1"]


def test_time_for_a_recovery_is_kept_in_hand() -> None:
    """A plan that begins while somebody waits has less credit to spend, by what a minute's record and a round may cost."""
    with_needs, without = decide(view()), decide(view(needs={}))
    knobs = [one.active.plan.knob for one in (with_needs, without) if one.active is not None]
    credit_s = [knob.credit_s for knob in knobs if isinstance(knob, SlowdownKnob)]
    told_s = 60 + 6 + 60 + 2
    assert credit_s[1] - credit_s[0] == pytest.approx((1 - 0.8) * told_s)


def test_no_more_than_half_of_the_grace_is_kept_in_hand() -> None:
    """Those that could be much lower are as low as that allows; without a bound there is nothing to keep."""
    some = limits(decide(view(needs={"uid-w-1": Need(0.75)})))
    much = limits(decide(view(needs={"uid-w-1": Need(0.5)})))
    assert min(some["uid-w-0"]) > max(some["uid-w-1"]) == max(much["uid-w-1"])
    weighs = {"gentle": world.policy(carbonWeight="0.1")}
    assert max(limits(decide(view(needs={"uid-w-1": Need(0.5)}), policies=weighs))["uid-w-1"]) == 150.0


def test_records_are_short_while_somebody_waits() -> None:
    """So that a recovery is seen soon."""
    assert {plan.record_seconds for _, plan in decide(view()).pod_plans} == {60.0}
    assert {plan.record_seconds for _, plan in decide(view(needs={})).pod_plans} == {None}


def in_a_window(before: JobView) -> JobView:
    first = decide(before)
    assert first.active is not None
    return replace(before, active=replace(first.active, window=Window(250.0, 300.0, Why.WARM_UP)))


def behind(before: JobView) -> JobView:
    """Its bound is at stake."""
    first = decide(before)
    return replace(before, active=first.active, measured=Measured(10_000.0, 9_000.0, NOON))


def test_nobody_is_lower_while_a_limit_is_measured() -> None:
    """The window is the whole job's."""
    found = limits(decide(in_a_window(view()), now=NOON + timedelta(seconds=30)))
    assert found["uid-w-1"] == found["uid-w-0"]


def test_nobody_is_lower_when_the_bound_is_at_stake() -> None:
    """The job goes as fast as it can."""
    found = limits(decide(behind(view()), now=NOON + timedelta(seconds=30)))
    assert found["uid-w-1"] == found["uid-w-0"]


@pytest.mark.parametrize("then", ["Restore", "HoldStatic"])
def test_nobody_is_lower_when_a_stale_forecast_gives_limits_back(then: str) -> None:
    """A policy that holds a constant limit lets them wait."""
    policies = {"gentle": world.policy(staleForecast={"then": then})}
    found = limits(decide(view(), policies=policies, grid={}))
    assert (found["uid-w-1"] == found["uid-w-0"]) is (then == "Restore")


def test_nobody_is_lower_where_steps_tell_nothing_of_the_work() -> None:
    """No steps, or a profile of another number of GPUs: what lowering costs would be seen by nobody."""
    silent = limits(decide(view(job=world.job(workers=3))))
    assert silent["uid-w-1"] == silent["uid-w-0"]
    relative = limits(decide(view(), profiles={Key("ml", "a40"): world.profile()}))
    assert relative["uid-w-1"] == relative["uid-w-0"]


def test_report_says_once_more_that_nobody_waits() -> None:
    """Only where it ever told of somebody."""
    assert told(decide(view(needs={}))) is None
    again = told(decide(view(needs={}, told_waiting=True)))
    assert again is not None
    assert again[0] == "AllInStep"


def test_watching_needs_all_workers_and_their_gpus() -> None:
    """A job whose workers come and go begins anew."""
    seen = watched(None, view(), cluster(view()), RULES)
    assert seen is not None
    assert seen.crew.leader == "uid-w-0"
    assert seen.crew.gpus == {"GPU-0", "GPU-1", "GPU-2"}
    gone = view(pods=PODS[:2])
    assert watched(seen, gone, cluster(gone), RULES) is None
    assert watched(seen, view(), cluster(view(), nodes={}), RULES) is None


def pods(*uids: str) -> list[JobPod]:
    return [JobPod(uid, f"ml/{uid}", "NVIDIA A40", 1, NOON, leader=uid == "uid-GPU-0") for uid in uids]


def test_account_takes_those_that_wait_at_the_plans_limit() -> None:
    """Not the leader, nobody who never waited, nothing that the plan is too young to know, and no limit above the plan's."""
    timeline = (
        PlanStep(NOON, {"NVIDIA A40": 275.0}, 1.0),
        PlanStep(NOON + timedelta(minutes=5), {"NVIDIA A40": 225.0}, 1.0),
    )
    lowered = {"uid-GPU-0", "uid-GPU-1"}

    def limit(start_s: float, gpu: str, held_w: float | None) -> float | None:
        one: EnergyRecord = record(start_s, start_s + 60, gpu=gpu, limit_watts=held_w, seq=1)
        (found,) = counted((one,), pods("uid-GPU-0", "uid-GPU-1", "uid-GPU-2"), lowered, timeline)
        assert found.model_copy(update={"limit_watts": held_w}) == one
        return found.limit_watts

    assert limit(0, "GPU-1", 180.0) == 275.0
    assert limit(300, "GPU-1", 180.0) == 225.0
    assert limit(300, "GPU-1", 300.0) == 300.0
    assert limit(300, "GPU-1", None) is None
    assert limit(-120, "GPU-1", 180.0) == 180.0
    assert limit(0, "GPU-0", 180.0) == 180.0
    assert limit(0, "GPU-2", 180.0) == 180.0
