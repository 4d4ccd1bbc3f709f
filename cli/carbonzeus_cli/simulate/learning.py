"""The closed loop of a job whose curve nobody knows: it is measured while the job trains, and planned with as far as it is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbonzeus_cli.simulate.feed import Feed
from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.loop import Progress
from carbonzeus_cli.simulate.run import Trace
from carbonzeus_cli.simulate.truth import USUAL_RECORD_S, Meter, Traits
from carbonzeus_operator.following import Course, follow
from carbonzeus_operator.learning.course import learned_rules, record_length_s
from carbonzeus_operator.plan import bound
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.estimator_ranges import ranges
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.prior import Prior
from carbonzeus_operator.plan.profiling import Means, Why, Window, next_window, relative_intensity
from carbonzeus_operator.plan.schedule import in_force
from carbonzeus_operator.world.snapshot import ActivePlan, Measured, Rules


@dataclass(frozen=True, slots=True)
class Taken:
    """A window that was measured."""

    begin_s: float
    window: Window


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A run, and what it taught."""

    trace: Trace
    learner: Learner
    windows: tuple[Taken, ...]

    @property
    def profiling_s(self) -> float:
        """The time spent in windows, but for the warm-up, in which a job would not be slowed anyway [s]."""
        return sum(taken.window.seconds for taken in self.windows if taken.window.why is not Why.WARM_UP)


@dataclass(frozen=True, slots=True)
class LearnedPoint:
    """What was learned of one limit, beside what is true. Whether it is `known` well enough to be planned with."""

    limit_w: float
    average_w: float | None
    """None where it was not measured."""
    r: float
    r_low: float
    """What it is at least; with this the bound is kept."""
    r_high: float
    true_r: float
    known: bool


def learned_points(truth: Curve, learner: Learner) -> list[LearnedPoint]:
    """One for each level, rising; the reference limit last."""
    return [
        LearnedPoint(
            each.limit_w,
            _average_w(learner, each.limit_w),
            each.r,
            each.low,
            each.high,
            truth.at(each.limit_w)[1],
            each.known,
        )
        for each in ranges(learner)
    ]


def _average_w(learner: Learner, limit_w: float) -> float | None:
    level = learner.levels.get(limit_w)
    return level.average_w if level is not None else None


@dataclass(frozen=True, slots=True)
class Learning:
    """How jobs are made to learn."""

    product: str
    traits: Traits

    def runs(self, job: Job, feed: Feed, start: datetime) -> tuple[Lesson, Lesson]:
        """A first run, and the next of the same workload. The same start has the same noise."""
        prior = Prior.of(self.product, job.curve.reference_limit_w, job.curve.lowest.limit_w)
        seeded = (random.Random(f"{start.isoformat()} {number}") for number in (1, 2))  # noqa: S311 - noise
        first, second = (Meter(job.curve, self.traits, rng) for rng in seeded)
        lesson = learn(job, feed, start, Learner.begin(prior), first)
        return lesson, learn(job, feed, start, lesson.learner.next_run(), second)


def learn(
    job: Job,
    feed: Feed,
    start: datetime,
    learner: Learner,
    meter: Meter,
    restarted: Callable[[Learner], Learner | None] = lambda _: None,
) -> Lesson:
    """Run a job from `start` until its work is done. job.curve is the truth: only `meter` knows it, and the work that is done.

    restarted: asked whenever a plan is due; what an operator that was started anew knows of the job, None where it goes on.
    """
    assert job.slowdown is not None
    progress, now = Progress(), start
    active: ActivePlan | None = None
    windows: list[Taken] = []
    while progress.work_s < job.work_s - 1e-6:
        remembered = restarted(learner)
        if remembered is not None:
            learner, active = remembered, None
        remaining_s = max(job.work_s - learner.work_s, 0.0) if job.known else job.rules.survival_s
        intensity = relative_intensity(feed.at(now).intervals, now)
        window = next_window(learner, means(learner, job.rules, job.slowdown, remaining_s, intensity))
        record_s = record_length_s(learner, measuring=window is not None) or USUAL_RECORD_S
        if window is not None:
            windows.append(Taken(progress.elapsed_s, window))
            held, active = [(window.seconds, window.limit_w)], None
        elif learner.careful is None:
            held, active = [(job.rules.replan.total_seconds(), job.curve.highest.limit_w)], None
        else:
            rules = learned_rules(job.rules, learner)
            measured = Measured(learner.elapsed_s, learner.work_s, now)
            course = _course(job, learner.careful)
            active = follow(active, measured, course, feed.at(now), rules, now, fresh=True)
            due, issue = active.plan.made_at + rules.replan, feed.next_issue(now)
            until = due if issue is None else min(due, issue)
            held = [
                ((end - begin).total_seconds(), step.limits_w[job.product] if step else job.curve.highest.limit_w)
                for begin, end, step in in_force(active.timeline, now, until)
            ]
        for seconds, limit_w in held:
            progress.add(seconds, job.curve.at(limit_w)[1], job.watts(limit_w), limit_w)
            for seen in meter.held(seconds, limit_w, record_s):
                learner = learner.observe(seen)
            now += timedelta(seconds=seconds)
    trace = Trace(np.array(progress.edges_s), np.array(progress.r), np.array(progress.watts))
    return Lesson(trace, learner, tuple(windows))


def _course(job: Job, curve: Curve) -> Course:
    return Course(
        fleet={job.product: Group(curve, job.gpus)},
        slowdown=job.slowdown,
        overhead=job.overhead,
        expected_work_s=job.work_s if job.known else None,
    )


def means(learner: Learner, rules: Rules, slowdown: float, remaining_s: float, intensity: float = 1.0) -> Means:
    """What a job can afford to measure with at the moment up to which it was told."""
    rules = learned_rules(rules, learner)
    margin_s = bound.margin_s(r_error=rules.curve_error, unseen_s=rules.unseen.total_seconds())
    credit_s = bound.credit_s(
        elapsed_s=learner.elapsed_s,
        work_s=learner.work_s,
        slowdown=slowdown,
        grace_s=rules.grace_s,
        margin_s=margin_s,
    )
    return Means(slowdown, credit_s, remaining_s, intensity=intensity)
