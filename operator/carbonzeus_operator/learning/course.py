"""What a job does whose curve is being learned: the window that is due, or the plan as far as the curve is known. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from carbonzeus_operator.following import Course, continued, credit_now, follow
from carbonzeus_operator.grid.series import Series
from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.profiling import Means, Window, as_plan, learned_grace_s, next_window, relative_intensity
from carbonzeus_operator.plan.schedule import PlanStep, SlowdownKnob, reference_plan
from carbonzeus_operator.world.snapshot import ActivePlan, Measured, Rules

UNBOUND = 0.1
"""The slowdown that measuring is made for where the policy sets none."""
RECORD_S = 20.0
"""Windows are told as records of this length: long enough to tell a speed, short enough to tell a stall from it; and how they differ tells the noise."""
WHOLE_RECORD_S = 60.0
"""So long at most where steps are counted whole: of a longer record a part spent in an evaluation is not told from a grain."""
LEAST_ERROR = 0.002
"""Plans allow for a learned curve that overstates the throughput by this share, at least: work is counted anew with each record, and that asks for no new plan."""
EDGE = timedelta(seconds=0.5)
"""A record that ends so shortly before a window's end is its last."""


def studied(
    active: ActivePlan | None,
    study: Study,
    course: Course,
    forecast: Series | None,
    rules: Rules,
    now: datetime,
    *,
    fresh: bool,
    held: PlanStep | None = None,
) -> ActivePlan:
    """The plan of a job that is learned of: the one it has, a window, or a new plan. As `following.follow`."""
    measured = measured_of(study)
    rules = learned_rules(rules, study.learner, study.timelapse)
    if active is not None and is_measuring(active, study, rules, now):
        return active
    curve = study.learner.curve
    follows = active is not None and active.window is None and curve is not None
    aged = active is None or now - active.plan.made_at >= rules.replan
    if aged or not follows:
        window = next_window(study.learner, means(active, study, course, forecast, rules, now))
        if window is not None:
            return _measuring(active, study, course, window, rules, now, measured)
    if curve is None:
        return _resting(active, course, rules, now, measured)
    if active is not None and not aged:
        course = _steady(course, active)
    return follow(active, measured, course, forecast, rules, now, fresh=fresh, held=held)


def learned_rules(rules: Rules, learner: Learner, timelapse: float = 1.0) -> Rules:
    """The rules for a learned curve: what it may be wrong by, as it says itself, and what of the grace plans may spend."""
    return replace(
        rules,
        curve_error=max(learner.r_error, LEAST_ERROR),
        grace_s=learned_grace_s(rules.grace_s, learner, timelapse),
    )


def measured_of(study: Study) -> Measured:
    """Time, and the work done in it at least, as the study knows them now."""
    return Measured(study.elapsed_s, study.work_s, study.until)


def planned(study: Study, maximum_percent: int) -> Curve | None:
    """What may be planned with; None before anything is known."""
    curve, reference_w = study.learner.careful, study.subject.reference_limit_w
    if curve is None or maximum_percent >= 100:
        return curve
    points = [Point(point.limit_w, point.average_w, point.r) for point in curve.points]
    return Curve.from_points(points, reference_w, maximum_w=reference_w * maximum_percent / 100)


def record_seconds(active: ActivePlan, study: Study) -> float | None:
    """How long the records of the job's GPUs should be; None: as they usually are."""
    training_s = record_length_s(study.learner, measuring=active.window is not None)
    return training_s / study.timelapse if training_s is not None else None


def record_length_s(learner: Learner, *, measuring: bool) -> float | None:
    """The same [s of training]. measuring: whether a window is held."""
    if measuring or not learner.known:
        return RECORD_S
    return WHOLE_RECORD_S if learner.grain > 0 else None


def window_end(active: ActivePlan, study: Study) -> datetime:
    """When the window of a plan is over."""
    assert active.window is not None
    return active.plan.made_at + timedelta(seconds=active.window.seconds / study.timelapse)


def is_measuring(active: ActivePlan, study: Study, rules: Rules, now: datetime) -> bool:
    """Whether a window is under way, or its last record is still to come."""
    if active.window is None:
        return False
    end = window_end(active, study)
    if now < end:
        return True
    heard = study.until is not None and study.until >= end - EDGE
    return not heard and now < end + rules.replan


def means(
    active: ActivePlan | None,
    study: Study,
    course: Course,
    forecast: Series | None,
    rules: Rules,
    now: datetime,
) -> Means:
    """What the job can afford to measure with, in seconds of training."""
    remaining_s = rules.survival_s
    if course.expected_work_s is not None:
        remaining_s = max(course.expected_work_s - study.work_s, 0.0)
    remaining_s *= study.timelapse
    intensity = relative_intensity(forecast.intervals, now) if forecast is not None else 1.0
    if course.slowdown is None:
        return Means(UNBOUND, float("inf"), remaining_s, intensity=intensity)
    credit_s = credit_now(active, measured_of(study), course.slowdown, rules, now + rules.switch_lead)
    return Means(course.slowdown, credit_s * study.timelapse, remaining_s, intensity=intensity)


def _measuring(
    active: ActivePlan | None,
    study: Study,
    course: Course,
    window: Window,
    rules: Rules,
    now: datetime,
    measured: Measured,
) -> ActivePlan:
    begin = now + rules.switch_lead
    knob = SlowdownKnob(course.slowdown if course.slowdown is not None else UNBOUND, 0.0)
    passing = replace(window, seconds=window.seconds / study.timelapse)
    lowest_r = study.learner.lowest_r[window.limit_w]
    plan = as_plan(passing, course.fleet, begin, knob, lowest_r)
    return replace(continued(active, plan, ("window", window.why), measured.until), window=window)


def _resting(active: ActivePlan | None, course: Course, rules: Rules, now: datetime, measured: Measured) -> ActivePlan:
    """Nothing is known and nothing can be measured: the reference limit."""
    basis = ("nothing known", course.pods)
    if active is not None and active.basis == basis and now - active.plan.made_at < rules.replan:
        return active
    knob = SlowdownKnob(course.slowdown if course.slowdown is not None else UNBOUND, 0.0)
    plan = reference_plan(now=now + rules.switch_lead, fleet=course.fleet, knob=knob)
    return continued(active, plan, basis, measured.until)


def _steady(course: Course, active: ActivePlan) -> Course:
    """A curve gets better with every record; a plan is made anew with it when it is due."""
    before = active.basis[-1] if isinstance(active.basis, tuple) else None
    if not isinstance(before, Course) or before.fleet.keys() != course.fleet.keys():
        return course
    return replace(course, fleet=before.fleet, expected_work_s=before.expected_work_s)


def fleet_of(study: Study, maximum_percent: int) -> dict[str, Group]:
    """The one group of the job: what is planned with, or, while nothing is known, what is measured with."""
    curve = planned(study, maximum_percent) or study.whole
    return {study.subject.product: Group(curve, study.subject.gpus)}
