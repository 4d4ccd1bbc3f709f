"""The job that is simulated: its curve, its length, its knob."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta

from carbonzeus_operator.following import Course
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.mixed import Group, JobCurve, Overhead
from carbonzeus_operator.plan.schedule import NO_OVERHEAD
from carbonzeus_operator.world.snapshot import Rules


@dataclass(frozen=True, slots=True)
class Job:
    """One job on GPUs of one product."""

    curve: Curve
    """Cut to the limits that may be planned."""
    work_s: float
    """How long it takes at the reference limit [s]."""
    slowdown: float | None
    """The bound as a share; None: `eta` counts instead."""
    eta: float = 0.0
    known: bool = False
    """Whether the planner knows `work_s`."""
    gpus: int = 1
    overhead: Overhead = NO_OVERHEAD
    rules: Rules = field(default_factory=Rules)
    product: str = "GPU"
    whole: JobCurve = field(init=False, compare=False)
    """Power of the whole job, overhead included, over its throughput."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", JobCurve.of({self.product: Group(self.curve, self.gpus)}, self.overhead))

    @property
    def course(self) -> Course:
        """The same, as the operator's planner takes it."""
        return Course(
            fleet={self.product: Group(self.curve, self.gpus)},
            slowdown=self.slowdown,
            eta=self.eta,
            overhead=self.overhead,
            expected_work_s=self.work_s if self.known else None,
        )

    @property
    def bound(self) -> Bound:
        """How far it may fall behind. Without one (under a carbonWeight), as far as its slowest limit goes."""
        if self.slowdown is not None:
            return Bound(self.slowdown, self.rules.grace_s)
        return Bound(1 / float(self.whole.r[0]) - 1, 0.0)

    @property
    def longest(self) -> timedelta:
        """How long a run may take. A minute is added for the plan that begins late and the whole watt."""
        return timedelta(seconds=math.ceil(self.bound.latest_s(self.work_s)) + 60)

    def watts(self, limit_w: float) -> float:
        """Power of the whole job [W] with every GPU at a limit."""
        average_w, _ = self.curve.at(limit_w)
        return self.overhead.pue * self.gpus * (average_w + self.overhead.host_w_per_gpu)


@dataclass(frozen=True, slots=True)
class Bound:
    """At every moment: elapsed <= (1 + slowdown) (work + grace)."""

    slowdown: float
    grace_s: float

    def latest_s(self, work_s: float) -> float:
        """When so much work must be done [s after the start]."""
        return (1 + self.slowdown) * (work_s + self.grace_s)
