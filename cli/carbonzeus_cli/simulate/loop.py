"""The closed loop of one job: whenever a plan is due, the operator's own function makes one from the credit measured so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from carbonzeus_cli.simulate.feed import Feed
from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.run import Trace
from carbonzeus_operator.following import follow
from carbonzeus_operator.plan.schedule import in_force
from carbonzeus_operator.world.snapshot import ActivePlan, Measured


@dataclass(frozen=True, slots=True)
class Moment:
    """A plan was due here."""

    now: datetime
    before: ActivePlan | None
    measured: Measured
    active: ActivePlan
    """What is followed from now on."""


@dataclass(slots=True)
class Progress:
    """What has been run so far."""

    edges_s: list[float] = field(default_factory=lambda: [0.0])
    r: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    limits_w: list[float] = field(default_factory=list)
    work_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        return self.edges_s[-1]

    def add(self, seconds: float, r: float, watts: float, limit_w: float) -> None:
        if seconds <= 0:
            return
        self.work_s += r * seconds
        if self.limits_w and self.limits_w[-1] == limit_w:
            self.edges_s[-1] += seconds
            return
        self.edges_s.append(self.edges_s[-1] + seconds)
        self.r.append(r)
        self.watts.append(watts)
        self.limits_w.append(limit_w)


def simulate(job: Job, feed: Feed, start: datetime, moments: list[Moment] | None = None) -> Trace:
    """Run a job from `start` until its work is done. moments: receives every moment at which a plan was due.

    What the curve says comes true, and the meter tells it without delay: the credit is measured, the forecast is what `feed` gives.
    """
    course, rules = job.course, job.rules
    progress, active, now = Progress(), None, start
    while progress.work_s < job.work_s - 1e-6:
        measured = Measured(progress.elapsed_s, progress.work_s, now)
        before, active = active, follow(active, measured, course, feed.at(now), rules, now, fresh=True)
        if moments is not None:
            moments.append(Moment(now, before, measured, active))
        due = active.plan.made_at + rules.replan
        issue = feed.next_issue(now)
        until = due if issue is None else min(due, issue)
        for begin, end, step in in_force(active.timeline, now, until):
            # Until the first plan begins, nobody has touched the limit.
            limit_w = step.limits_w[job.product] if step is not None else job.curve.highest.limit_w
            r = step.r if step is not None else job.whole.top_r
            progress.add((end - begin).total_seconds(), r, job.watts(limit_w), limit_w)
        now = until
    return Trace(np.array(progress.edges_s), np.array(progress.r), np.array(progress.watts))
