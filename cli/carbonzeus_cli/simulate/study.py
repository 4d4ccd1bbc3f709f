"""Many starts, all policies: what each did with the same work."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.feed import Feed, Perfect
from carbonzeus_cli.simulate.job import Bound, Job
from carbonzeus_cli.simulate.learning import Learning, Lesson
from carbonzeus_cli.simulate.loop import simulate
from carbonzeus_cli.simulate.rivals import at_constant, at_default, by_eq6
from carbonzeus_cli.simulate.run import Run, Trace

POLICIES = ("default", "static", "eq6", "eq6_anytime", "ours", "ours_perfect", "optimum_anytime", "optimum_end")
INLINE = 2
"""Up to so many starts are not worth further processes."""

LEARNED = ("learned", "learned_again")
"""The same with a curve that nobody knows: in a first run, and in the next of the same workload."""

Runs = Mapping[str, Run]
"""The runs from one start, by policy."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is run: a job, what its planner is told, and what then came true."""

    job: Job
    actual: Actual
    feed: Feed
    with_optimum: bool
    learning: Learning | None = None
    """How the curve is learned; None: it is known."""

    def lessons(self, start: datetime) -> tuple[Lesson, Lesson]:
        """A first run of a workload from one start, and its next, from the same."""
        assert self.learning is not None
        return self.learning.runs(self.job, self.feed, start)

    def bound_of(self, ours: Trace) -> Bound:
        """What all are held to: the job's bound; under a carbonWeight the time that ours took, its late first plan as grace."""
        if self.job.slowdown is not None:
            return self.job.bound
        elapsed_s = float(ours.until_done(self.job.work_s).edges_s[-1])
        return Bound(elapsed_s / self.job.work_s - 1, self.job.rules.switch_lead.total_seconds())

    def constant_bound(self, bound: Bound) -> Bound:
        """What a constant limit may use. Over a length that nobody knows, the grace makes no limit lower."""
        return bound if self.job.known else Bound(bound.slowdown, 0.0)

    def traces(self, start: datetime) -> tuple[Bound, dict[str, Trace]]:
        """What each policy does from one start, and what all are held to."""
        job, actual = self.job, self.actual
        perfect = Perfect(actual, job.rules.horizon)
        ours = simulate(job, self.feed, start)
        bound = self.bound_of(ours)
        traces = {
            "default": at_default(job),
            "static": at_constant(job, self.constant_bound(bound)),
            "eq6": by_eq6(job, actual, start, bound, anytime=False),
            "eq6_anytime": by_eq6(job, actual, start, bound, anytime=True),
            "ours": ours,
            "ours_perfect": ours if isinstance(self.feed, Perfect) else simulate(job, perfect, start),
        }
        if self.with_optimum:
            # Not at the top: the solver is an optional extra.
            from carbonzeus_cli.simulate.optimum import optimum  # noqa: PLC0415

            traces["optimum_anytime"] = optimum(job, actual, start, bound, anytime=True)
            traces["optimum_end"] = optimum(job, actual, start, bound, anytime=False)
        return bound, traces

    def runs(self, start: datetime) -> Runs:
        """The figures of all policies from one start."""
        bound, traces = self.traces(start)
        work_s = self.job.work_s
        runs = {policy: Run.of(trace, self.actual, start, work_s, bound) for policy, trace in traces.items()}
        if self.learning is not None:
            for policy, lesson in zip(LEARNED, self.lessons(start), strict=True):
                runs[policy] = Run.of(lesson.trace, self.actual, start, work_s, bound, lesson.profiling_s)
        return runs

    def all_runs(self, starts: Sequence[datetime]) -> Iterator[Runs]:
        """From each start, in order; on all processors where there are many."""
        workers = min(os.cpu_count() or 1, len(starts))
        if len(starts) <= INLINE or workers == 1:
            yield from map(self.runs, starts)
            return
        # Not forked: the caller may have threads, such as one that draws a progress bar.
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(workers, context, _take, (self,)) as pool:
            yield from pool.map(_runs, starts)


_taken: list[Study] = []
"""In a worker process: what it was given once, since it may hold millions of rows."""


def _take(study: Study) -> None:
    _taken.append(study)


def _runs(start: datetime) -> Runs:
    return _taken[-1].runs(start)


def solver_installed() -> bool:
    """Whether HiGHS is there."""
    return importlib.util.find_spec("highspy") is not None
