"""Whole jobs with a slow board: the others wait at lower limits, the leader never does, and nobody is deceived by it."""

from __future__ import annotations

from typing import Any

import pytest

from carbonzeus_operator.learning.collector import Whole
from carbonzeus_operator.waiting import STRAGGLERS
from carbonzeus_operator.world.objects import Key
from tests.unit.learning.records import record
from tests.unit.learning.workshop import RATE, Workshop
from tests.unit.operator import world
from tests.unit.operator.world import A40

TRUTH = {float(limit): (float(watts), float(r)) for limit, watts, r in A40}
GRACE_S = 60.0
SLOW = 0.85
LEADER_SLOW = (SLOW, 1.0, 1.0)
OTHER_SLOW = (1.0, SLOW, 1.0)


def measured_profile(**more: Any) -> dict[Key, Any]:
    """Of three boards, the slow one among them."""
    points = [
        {"limitWatts": limit, "averageWatts": watts, "throughput": f"{RATE * SLOW * float(r):.4f}"}
        for limit, watts, r in A40
    ]
    profile = world.profile(**({"points": points, "throughputUnit": "Progress", "gpuCount": 3} | more))
    return {Key("ml", "a40"): profile}


def told(shop: Workshop) -> str | None:
    assert shop.decision is not None
    return next((finding.reason for finding in shop.decision.findings if finding.type == STRAGGLERS), None)


def steps_at_the_leaders_limits(shop: Workshop, speed: float) -> float:
    return sum((end - start).total_seconds() * RATE * speed * shop.at(limit_w)[1] for start, end, limit_w in shop.held)


def test_those_that_wait_go_lower_at_no_cost() -> None:
    """The job makes all the steps that its slow board can make at the plan's limits, and two boards draw less for it."""
    shop = Workshop(TRUTH, workers=3, speeds=LEADER_SLOW)
    shop.minutes(60)
    leader_w, *others_w = shop.limits()
    assert max(others_w) < leader_w - 10
    assert told(shop) == "Waiting"
    assert shop.steps == pytest.approx(steps_at_the_leaders_limits(shop, SLOW), rel=1e-6)
    assert shop.most_behind_s < GRACE_S
    before, joules = shop.now, dict(shop.joules)
    shop.minutes(60)
    minutes = [(max(start, before), end, limit_w) for start, end, limit_w in shop.held if end > before]
    waiting_j = sum((end - start).total_seconds() * (30 + SLOW * (shop.at(w)[0] - 30)) for start, end, w in minutes)
    assert shop.joules[1] - joules[1] < 0.97 * waiting_j


def test_bound_holds_when_the_slow_board_recovers() -> None:
    """Those that waited are the slow ones for a minute or two: so much is kept in hand. Then all are at the plan's limit."""
    shop = Workshop(TRUTH, workers=3, speeds=LEADER_SLOW)
    shop.minutes(118)
    assert told(shop) == "Waiting"
    before_s = shop.most_behind_s
    shop.speeds = (1.0, 1.0, 1.0)
    shop.minutes(5)
    assert len(set(shop.limits())) == 1
    assert told(shop) is None
    assert before_s <= shop.most_behind_s < GRACE_S


def test_bound_holds_where_a_board_is_slow_by_turns() -> None:
    """Half a day, two hours each: every recovery costs a little, and nothing else does."""
    shop = Workshop(TRUTH, workers=3)
    lost_s = {SLOW: 0.0, 1.0: 0.0}
    for speed in 3 * (SLOW, 1.0):
        shop.speeds = (speed, 1.0, 1.0)
        before, steps = shop.now, shop.steps
        shop.minutes(120)
        held = [(max(start, before), end, limit_w) for start, end, limit_w in shop.held if end > before]
        could = sum((end - start).total_seconds() * shop.at(limit_w)[1] for start, end, limit_w in held) * speed
        lost_s[speed] += (could - (shop.steps - steps) / RATE) / speed
    print(f"lost in 3 recoveries: {lost_s[1.0]:.1f} s; at most {shop.most_behind_s:.1f} s behind")
    assert lost_s[SLOW] == pytest.approx(0, abs=0.01)
    assert 0 < lost_s[1.0] < 3 * (1 - SLOW) * 128
    assert shop.most_behind_s < GRACE_S


def test_leader_keeps_the_plans_limit_when_it_waits() -> None:
    """Its records are the clock of the account and of the learner. Nobody goes below the lowest limit that is known."""
    shop = Workshop(TRUTH, workers=3, speeds=OTHER_SLOW)
    shop.minutes(50)
    while shop.run.active is None or shop.run.active.window is not None:
        shop.minutes(1)  # while something is measured all are at one limit
    shop.minutes(1)
    leader_w, slow_w, waiting_w = shop.limits()
    assert leader_w == slow_w > waiting_w + 10
    assert shop.run.study is not None
    assert waiting_w >= min(shop.run.study.learner.known)
    assert shop.steps == pytest.approx(steps_at_the_leaders_limits(shop, SLOW), rel=1e-6)


def test_curve_is_learned_as_if_nobody_was_lower() -> None:
    """Throughput within 2 %; power not below that of the job with all boards at one limit, nor above that of a busy board."""
    shop = Workshop(TRUTH, workers=3, speeds=LEADER_SLOW)
    shop.minutes(240)
    study = shop.run.study
    assert study is not None
    assert study.learner.curve is not None
    for limit_w in study.learner.known:
        full_w, r = shop.at(limit_w)
        shared_w = (full_w + 2 * (30 + SLOW * (full_w - 30))) / 3
        watts, known_r = study.learner.curve.at(limit_w)
        assert known_r == pytest.approx(r, rel=0.02)
        assert 0.98 * shared_w <= watts <= 1.02 * full_w


def test_power_of_a_window_is_that_of_its_limit() -> None:
    """A worker at another limit is left out; one that changed within the window, too."""
    clock, same = record(0, 60, watts=240), record(0, 60, gpu="GPU-1", watts=220)
    lower = record(0, 60, gpu="GPU-2", watts=150, limit_watts=180.0)
    part = (record(0, 20, gpu="GPU-3", watts=200), record(20, 60, gpu="GPU-3", watts=150, limit_watts=180.0))
    whole = Whole(clock, {"GPU-1": (same,), "GPU-2": (lower,), "GPU-3": part}, complete=True)
    assert whole.average_w == pytest.approx(230)


def test_jobs_under_a_profile_wait_as_well() -> None:
    """Of its steps per second: then what lowering might cost is seen."""
    shop = Workshop(TRUTH, workers=3, speeds=LEADER_SLOW, annotations={"profile": "a40"}, profiles=measured_profile())
    shop.minutes(120)
    leader_w, *others_w = shop.limits()
    assert shop.run.study is None
    assert max(others_w) < leader_w - 10
    assert shop.most_behind_s < GRACE_S


def test_saving_of_those_that_wait_is_not_claimed() -> None:
    """The account takes them as being at the plan's limit: what the job did by its leader is what all of its energy did."""
    shop = Workshop(TRUTH, workers=3, speeds=LEADER_SLOW, annotations={"profile": "a40"}, profiles=measured_profile())
    shop.minutes(180)
    assert shop.run.lowered == {"uid-w-1", "uid-w-2"}
    account = shop.run.account
    assert account.work_s == pytest.approx(shop.work_s, rel=0.03)
    (model,) = account.models.values()
    mean_r = (
        sum((end - start).total_seconds() * shop.at(limit_w)[1] for start, end, limit_w in shop.held)
        / (shop.now - shop.begin).total_seconds()
    )
    assert model.baseline_nj / model.reference_nj == pytest.approx(mean_r, rel=0.003)


@pytest.mark.parametrize(
    "asked",
    [
        {"counts": False},
        {"policy": {"mode": "Recommend"}, "annotations": {"profile": "a40"}, "profiles": measured_profile()},
        {"annotations": {"profile": "a40"}, "profiles": {Key("ml", "a40"): world.profile()}},
        {"workers": 1, "speeds": (SLOW,)},
        {"speeds": (1.0, 1.0, 1.0)},
    ],
    ids=["counts no steps", "recommends", "relative profile", "one worker", "no slow board"],
)
def test_nobody_is_lower_where_it_cannot_be_told(asked: dict[str, Any]) -> None:
    """All boards follow the plan, and nothing is said of them."""
    given: dict[str, Any] = {"workers": 3, "speeds": LEADER_SLOW} | asked
    shop = Workshop(TRUTH, **given)
    for _ in range(20):
        shop.minutes(5)
        assert len(set(shop.limits())) == 1
        assert told(shop) is None


def test_operator_that_starts_anew_begins_at_the_plan() -> None:
    """And finds out again."""
    shop = Workshop(TRUTH, workers=3, speeds=LEADER_SLOW)
    shop.minutes(60)
    shop.operator_restarts()
    shop.round()
    assert len(set(shop.limits())) == 1
    shop.minutes(60)
    assert max(shop.limits()[1:]) < shop.limits()[0] - 10
