"""Jobs that name no profile, round by round: what is measured, planned and kept, and what goes wrong with one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from carbonzeus_operator.learning import profiles
from carbonzeus_operator.learning.course import RECORD_S, WHOLE_RECORD_S
from carbonzeus_operator.learning.memory import as_text
from carbonzeus_operator.resources.learning import LearningPhase
from carbonzeus_operator.resources.profile import PowerProfileSpec, PowerProfileStatus, ProfileSource
from carbonzeus_operator.resources.report import ReportState
from carbonzeus_operator.world.objects import Key
from tests.unit.learning.workshop import Workshop
from tests.unit.operator import world
from tests.unit.operator.world import A40

TRUTH = {float(limit): (float(watts), float(r)) for limit, watts, r in A40}
GRACE_S = 60.0


def reasons(shop: Workshop) -> dict[str, str]:
    assert shop.decision is not None
    return {finding.type: finding.reason for finding in shop.decision.findings}


def test_a_curve_is_found_within_a_quarter_of_an_hour() -> None:
    """Every limit that may be planned with lies within 2 % of the truth, and the job lost less than 0.3 % of a day by it."""
    shop = Workshop(TRUTH)
    shop.minutes(15)
    study = shop.run.study
    assert study is not None
    assert study.learner.known[:4] == (275.0, 250.0, 225.0, 200.0)
    curve = study.learner.curve
    assert curve is not None
    for limit_w in study.learner.known:
        assert curve.at(limit_w)[1] == pytest.approx(shop.at(limit_w)[1], rel=0.02)
        assert curve.at(limit_w)[0] == pytest.approx(shop.at(limit_w)[0], rel=0.02)
    lost_s = (shop.now - shop.begin).total_seconds() - shop.work_s
    assert lost_s < 0.003 * 86_400
    assert reasons(shop)["CurveKnown"] == LearningPhase.LEARNED
    assert shop.decision is not None
    assert shop.decision.state is ReportState.ENFORCING


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("counts", [True, False])
def test_the_bound_holds_from_the_first_minute_on(workers: int, counts: bool) -> None:
    """With steps or with clocks alone, on one GPU or on several, and an operator that starts anew now and then."""
    shop = Workshop(TRUTH, workers=workers, counts=counts, noise=0.001)
    for _ in range(6):
        shop.minutes(20)
        shop.operator_restarts()
    shop.round()
    assert shop.most_behind_s < GRACE_S
    assert min(limit_w for _, _, limit_w in shop.held) < 250
    study = shop.run.study
    assert study is not None
    assert study.elapsed_s == pytest.approx((shop.now - shop.begin).total_seconds(), abs=400)
    assert study.work_s <= shop.work_s


def test_clocks_bound_the_speed_from_below() -> None:
    """A job that counts nothing is planned with what its clocks say, which is less than it does."""
    shop = Workshop(TRUTH, counts=False)
    shop.minutes(30)
    study = shop.run.study
    assert study is not None
    assert study.learner.known
    assert study.learner.curve is not None
    for limit_w in study.learner.known:
        assert study.learner.curve.at(limit_w)[1] == pytest.approx(shop.at(limit_w)[1] ** 2, rel=0.005)


def test_a_job_that_is_too_noisy_keeps_its_reference_limit() -> None:
    """And is told why, with what to do."""
    shop = Workshop(TRUTH, noise=0.04)
    shop.minutes(60)
    assert reasons(shop)["CurveKnown"] == LearningPhase.TOO_NOISY
    assert {limit_w for _, _, limit_w in shop.held} == {300.0}
    assert shop.decision is not None
    told = next(finding.message for finding in shop.decision.findings if finding.type == "CurveKnown")
    assert "carbonzeus.dev/profile" in told


def test_the_next_run_begins_with_what_the_last_one_learned() -> None:
    """It plans after its reference limit was measured, and no level is measured to find the curve."""
    first = Workshop(TRUTH)
    first.minutes(120)
    assert first.run.study is not None
    key, kept = _kept(first)
    second = Workshop(TRUTH, seed=2, profiles={key: kept[0]}, learned={key: kept[1]})
    second.minutes(15)
    study = second.run.study
    assert study is not None
    assert study.runs == 2
    assert set(first.run.study.learner.known) == set(study.learner.known)
    assert study.profiled_s < first.run.study.profiled_s / 2
    assert second.most_behind_s < GRACE_S


def test_a_profile_that_somebody_made_theirs_is_followed_and_not_learned() -> None:
    """Its owner set source to User: it counts as if the job had named it."""
    first = Workshop(TRUTH)
    first.minutes(60)
    key, (spec, status) = _kept(first)
    pinned = spec.model_copy(update={"source": ProfileSource.USER})
    shop = Workshop(TRUTH, profiles={key: pinned}, learned={key: status})
    shop.minutes(5)
    assert shop.run.study is None
    assert "CurveKnown" not in reasons(shop)
    assert shop.decision is not None
    assert shop.decision.curves is not None
    assert shop.decision.curves.profile == key.name


@pytest.mark.parametrize("mode", ["Recommend", "Observe"])
def test_nothing_is_measured_where_nothing_may_be_written(mode: str) -> None:
    """Without a profile nothing can be said; with one that was measured before, plans are made with it."""
    shop = Workshop(TRUTH, policy={"mode": mode})
    shop.minutes(5)
    assert shop.run.study is None
    assert reasons(shop)["Accepted"] == "NoProfile"
    first = Workshop(TRUTH)
    first.minutes(60)
    key, (spec, status) = _kept(first)
    again = Workshop(TRUTH, policy={"mode": mode}, profiles={key: spec}, learned={key: status})
    again.minutes(5)
    assert reasons(again)["Accepted"] == "PolicyFound"
    assert {limit_w for _, _, limit_w in again.held} == {300.0}


def test_a_named_profile_is_not_learned() -> None:
    """As ever: the job follows the curve that it names."""
    shop = Workshop(TRUTH, annotations={"profile": "a40"}, profiles={Key("ml", "a40"): world.profile()})
    shop.minutes(5)
    assert shop.run.study is None
    assert shop.decision is not None
    assert shop.decision.state is ReportState.ENFORCING


def test_a_job_that_grows_keeps_the_work_it_has_done() -> None:
    """More workers: another subject, whose curve is learned anew, with all time and work so far."""
    shop = Workshop(TRUTH, workers=2)
    shop.minutes(60)
    before = shop.run.study
    assert before is not None
    shop.workers, shop.job = 3, replace(shop.job, workers=3)
    shop.run.job = shop.job
    shop.minutes(120)  # what was spent on the old curve's word is earned back first
    after = shop.run.study
    assert after is not None
    assert after.subject.gpus == 3
    assert after.elapsed_s > before.elapsed_s
    assert after.work_s > before.work_s
    assert shop.most_behind_s < GRACE_S
    assert after.learner.known


def test_a_report_that_cannot_be_read_does_not_forget_the_time_so_far() -> None:
    """What was learned is lost; what the account says was done stays done, and nothing is given away for free."""
    shop = Workshop(TRUTH)
    shop.minutes(60)
    account = shop.run.account
    shop.operator_restarts()
    shop.run.learned = '{"version": 99}'
    shop.minutes(5)
    study = shop.run.study
    assert study is not None
    assert study.elapsed_s >= account.elapsed_s
    assert study.work_s <= shop.work_s
    shop.minutes(60)
    assert shop.most_behind_s < GRACE_S


def test_a_weight_policy_learns_too() -> None:
    """It has no bound to keep; its limits come from the learned curve."""
    shop = Workshop(TRUTH, policy={"carbonWeight": "0.5"})
    shop.minutes(40)
    assert shop.run.study is not None
    assert shop.run.study.learner.known
    assert shop.limit_at(shop.now) < 300


def test_records_are_asked_for_shorter_only_while_something_is_measured() -> None:
    """Half a minute each to measure with, then a minute, since its steps are counted whole."""
    shop = Workshop(TRUTH)
    shop.minutes(2)
    assert shop.pushed["uid-w-0"].record_seconds == RECORD_S
    shop.minutes(58)
    assert shop.run.active is not None
    assert shop.run.active.window is None
    assert shop.pushed["uid-w-0"].record_seconds == WHOLE_RECORD_S


def test_emulated_time_is_learned_from_as_real_time_is() -> None:
    """At 20 seconds of training a second there is a curve within a minute."""
    rules = replace(
        Workshop(TRUTH).rules,
        timelapse=20.0,
        grace_s=3.0,
        replan=timedelta(seconds=5),
        switch_lead=timedelta(seconds=0.2),
        minimum_dwell=timedelta(seconds=1),
    )
    shop = Workshop(TRUTH, rules=rules, noise=0.0001, every_s=0.5)
    shop.minutes(1)
    assert shop.run.study is not None
    assert shop.run.study.learner.known[:2] == (275.0, 250.0)
    assert shop.most_behind_s < 3.0


def _kept(shop: Workshop) -> tuple[Key, tuple[PowerProfileSpec, PowerProfileStatus]]:
    """What its profile holds at its end."""
    study = shop.run.study
    assert study is not None
    spec = profiles.spec_of(study)
    assert spec is not None
    status = profiles.status_of(study, PowerProfileStatus(), shop.now)
    assert status.state == as_text(study)
    return Key("ml", study.subject.profile), (spec, status)


@settings(max_examples=10, phases=[Phase.generate])
@given(
    drops=st.lists(st.floats(0.0, 0.08), min_size=5, max_size=5).map(sorted),
    noise=st.sampled_from([0.0003, 0.001, 0.004]),
    workers=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_bound_holds_for_any_board(drops: list[float], noise: float, workers: int, seed: int) -> None:
    """Whatever the curve, round by round as the operator makes them, and through its restarts.

    The learner and its windows are tried on thousands of runs by the simulator; here it is the way through records and plans.
    """
    truth, r = {300.0: (260.0, 1.0)}, 1.0
    for limit_w, drop in zip((275.0, 250.0, 225.0, 200.0, 150.0), drops, strict=True):
        r -= drop
        truth[limit_w] = (min(260.0, limit_w * 0.97), r)
    shop = Workshop(truth, workers=workers, noise=noise, seed=seed)
    for _ in range(3):
        shop.minutes(30)
        shop.operator_restarts()
    shop.round()
    assert shop.most_behind_s < GRACE_S
    study = shop.run.study
    assert study is not None
    assert study.work_s <= shop.work_s
    assert study.elapsed_s > 80 * 60
