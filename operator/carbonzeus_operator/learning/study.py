"""A job being learned: its energy records in, its learner, its clock and its curve out. Pure.

The learner's clock runs while all workers run. Every second of it is told exactly once, in order of time: as a window with its
steps, or, where nobody can say how fast the job was, as time at a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

from carbonzeus_operator.learning.collector import Collector, Whole
from carbonzeus_operator.learning.pace import Pace
from carbonzeus_operator.learning.subject import Subject
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.estimator import WARM_UP_S, Learner
from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_memory import Memory
from carbonzeus_operator.plan.estimator_windows import Observation
from carbonzeus_operator.plan.profiling import Why, Window
from carbonzeus_wire import EnergyRecord, Quality

SILENT = timedelta(seconds=180)
"""A GPU that tells nothing for so long is not waited for."""
LEAST_S = 1e-3
"""Shorter stretches of time are rounding."""


class Span(Protocol):
    """[start, end) in which all workers ran; end None: still open."""

    @property
    def start(self) -> datetime: ...

    @property
    def end(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Workers:
    """The GPUs of a job now."""

    gpus: frozenset[str] = frozenset()
    """UUIDs."""
    clock_gpu: str = ""
    """The leader's first: its records carry the steps."""


@dataclass(frozen=True)
class Study:
    """What is known of one job."""

    subject: Subject
    learner: Learner
    timelapse: float = 1.0
    """For how many seconds of training each second stands; 1 but in emulations."""
    until: datetime | None = None
    """Up to when it was told; None before the first record."""
    limit_w: float | None = None
    """Of the last record."""
    windows: int = 0
    """Windows of this run with steps."""
    windows_before: int = 0
    """Of the runs before."""
    profiled_s: float = 0.0
    """Spent in windows that were held to measure [s of training]."""
    runs: int = 1
    """Runs of the workload that taught, this one included."""
    version: int = 1
    """Of the curve when this run began; each change of the job makes a new one."""
    pace: Pace = field(default_factory=Pace)
    collector: Collector = field(default_factory=Collector)

    @classmethod
    def begin(cls, subject: Subject, *, timelapse: float = 1.0) -> Study:
        """Nothing was measured yet. InvalidSpec where there is nothing to learn between the limits."""
        return cls(subject, Learner.begin(subject.prior), timelapse)

    @classmethod
    def late(cls, subject: Subject, *, timelapse: float, elapsed_s: float, work_s: float, until: datetime) -> Study:
        """Of a job that ran before without being learned of: that much time and work are behind it at `until`."""
        elapsed_s, work_s = elapsed_s * timelapse, work_s * timelapse
        before = Observation(0.0, elapsed_s, subject.reference_limit_w, 0.0, None)
        memory = Memory(Belief.before(subject.prior), elapsed_s)
        learner = Learner(memory, banked_s=work_s, last=before, begun_s=elapsed_s)
        return cls(subject, learner, timelapse, until)

    def of(self, subject: Subject) -> Study:
        """The same job from now on as another subject (more workers, another GPU, other limits): what is done stays done."""
        if subject == self.subject:
            return self
        if replace(self.subject, workload=subject.workload, fingerprint=subject.fingerprint) == subject:
            return replace(self, subject=subject)
        learner = self.learner.moved(subject.prior)
        return replace(self, subject=subject, learner=learner, windows=0, pace=Pace(), collector=Collector())

    def heard(self, records: Iterable[EnergyRecord], workers: Workers, running: Sequence[Span]) -> Study:
        """After more records of the job's GPUs, in any order. running: when all workers ran."""
        if not workers.clock_gpu:
            return self
        fresh = [record for record in records if self.until is None or record.end > self.until]
        collector = self.collector.with_records(fresh, workers.clock_gpu, workers.gpus)
        collector, told = collector.ready(workers.clock_gpu, workers.gpus, SILENT / self.timelapse)
        now = replace(self, collector=collector)
        for whole in told:
            now = now.told(whole, running)
        return now

    def taken(self, window: Window) -> Study:
        """After a window was decided on."""
        seconds = window.seconds if window.why is not Why.WARM_UP else 0.0
        return replace(self, profiled_s=self.profiled_s + seconds)

    @property
    def elapsed_s(self) -> float:
        """Time so far [s]."""
        return self.learner.elapsed_s / self.timelapse

    @property
    def work_s(self) -> float:
        """Work so far at least [s at the reference limit]."""
        return self.learner.work_s / self.timelapse

    @property
    def reference_rate(self) -> float | None:
        """Steps a second at the reference limit; None where it was not measured, or no steps are counted."""
        if not self.subject.counts or self.learner.referred_at_s is None:
            return None
        return self.learner.rate * self.timelapse

    @cached_property
    def whole(self) -> Curve:
        """All levels, for the account: as measured where they were, else as slow as can be."""
        learner = self.learner
        reference_w = learner.prior.reference_limit_w
        at_reference = learner.levels.get(reference_w)
        full_w = min(at_reference.average_w, reference_w) if at_reference is not None else reference_w
        points = [Point(reference_w, full_w, 1.0)]
        r, watts = 1.0, full_w
        for index, limit_w in enumerate(learner.prior.limits_w):
            if learner.is_measured(limit_w):
                r, watts = min(r, float(learner.belief.r[index])), min(watts, learner.levels[limit_w].average_w)
            else:
                r, watts = min(r, learner.lowest_r[limit_w]), min(watts, limit_w)
            points.append(Point(limit_w, max(watts, 1.0), max(r, 1e-3)))
        return Curve.from_points(points, reference_w)

    def told(self, whole: Whole, running: Sequence[Span]) -> Study:
        """After a window; they come in order of time."""
        record = whole.clock
        now = self
        if now.until is None:
            # Whoever comes late finds a job that ran at its reference limit.
            before_s = ran_s(running, None, record.start)
            now = now.passed(before_s, self.subject.reference_limit_w)
        elif record.start > now.until:
            now = now.passed(ran_s(running, now.until, record.start), now.limit_w or self.subject.reference_limit_w)
        start = max(record.start, now.until) if now.until is not None else record.start
        limit_w = record.limit_watts or now.limit_w or self.subject.reference_limit_w
        limit_w = min(limit_w, self.subject.reference_limit_w)
        seconds, whole_s = ran_s(running, start, record.end), (record.end - record.start).total_seconds()
        after = replace(now, until=record.end, limit_w=limit_w)
        if seconds < LEAST_S:
            return after
        steps, grain = None, None
        if seconds > whole_s - LEAST_S and record.quality is not Quality.GAP and record.limit_watts is not None:
            if not self.subject.counts:
                after = replace(after, pace=after.pace.seen(whole, self.subject.reference_limit_w))
            steps = record.progress if self.subject.counts else after.pace.steps(whole)
            grain = record.progress_grain if self.subject.counts else 0.0
        if steps is not None and not self._settled(running, record.start):
            steps = None
        seen = Observation(
            after.learner.elapsed_s,
            seconds * self.timelapse,
            limit_w,
            whole.average_w,
            steps or None,
            grain if grain is not None else 1.0,
        )
        return replace(after, learner=after.learner.observe(seen), windows=after.windows + bool(steps))

    def passed(self, seconds: float, limit_w: float) -> Study:
        """Time that no record tells of."""
        if seconds < LEAST_S:
            return self
        seen = Observation(self.learner.elapsed_s, seconds * self.timelapse, limit_w, 0.0, None)
        return replace(self, learner=self.learner.observe(seen))

    def _settled(self, running: Sequence[Span], start: datetime) -> bool:
        """Whether the workers have run for a while: what a job does in its first seconds teaches nothing."""
        begun = max((span.start for span in running if span.start <= start), default=start)
        return (start - begun).total_seconds() * self.timelapse >= WARM_UP_S


def ran_s(running: Sequence[Span], start: datetime | None, end: datetime) -> float:
    """How much of [start, end) all workers ran [s]; start None: since ever."""
    total_s = 0.0
    for span in running:
        low = span.start if start is None else max(span.start, start)
        high = end if span.end is None else min(span.end, end)
        total_s += max((high - low).total_seconds(), 0.0)
    return total_s
