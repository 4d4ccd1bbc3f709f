"""What became of a job: a course of limits, cut where its work is done, and what it emitted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from carbonzeus_cli.simulate.actual import WATT_SECONDS_PER_KWH, Actual
from carbonzeus_cli.simulate.job import Bound

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """n stretches from the start of a job on; the last may reach beyond its end."""

    edges_s: Floats
    """(n + 1) seconds after the start."""
    r: Floats
    watts: Floats
    """Power of the whole job, overhead included."""

    @classmethod
    def constant(cls, seconds: float, r: float, watts: float) -> Trace:
        """One throughput all along."""
        return cls(np.array([0.0, seconds]), np.array([r]), np.array([watts]))

    def until_done(self, work_s: float) -> Trace:
        """Cut where the work is done; the last stretch goes on as long as that takes."""
        done_s = np.cumsum(self.r * np.diff(self.edges_s))
        # A millionth of a second of work is rounding noise, and no reason for another stretch.
        last = min(int(np.searchsorted(done_s, work_s - 1e-6)), len(done_s) - 1)
        end_s = self.edges_s[last + 1] + (work_s - done_s[last]) / self.r[last]
        return Trace(np.append(self.edges_s[: last + 1], end_s), self.r[: last + 1], self.watts[: last + 1])

    def most_behind_s(self, bound: Bound) -> float:
        """How far it is behind the bound's slowdown at its worst moment [s of work]."""
        behind_s = self.edges_s[1:] / (1 + bound.slowdown) - np.cumsum(self.r * np.diff(self.edges_s))
        return max(float(behind_s.max()), 0.0)


@dataclass(frozen=True, slots=True)
class Run:
    """A job that did all its work, from one start on."""

    start: datetime
    carbon_g: float
    energy_kwh: float
    hours: float
    slowdown: float
    """Elapsed over work, less one."""
    most_behind_s: float
    """How far it was behind the bound's slowdown at its worst moment [s of work]: the bound allows the grace."""
    profiling_s: float = 0.0
    """The time spent measuring the curve [s]; 0 where it is known."""

    @classmethod
    def of(
        cls, trace: Trace, actual: Actual, start: datetime, work_s: float, bound: Bound, profiling_s: float = 0.0
    ) -> Run:
        """The figures of a trace."""
        done = trace.until_done(work_s)
        elapsed_s = float(done.edges_s[-1])
        return cls(
            start=start,
            carbon_g=float(actual.grams(start, done.edges_s, done.watts).sum()),
            energy_kwh=float(done.watts @ np.diff(done.edges_s)) / WATT_SECONDS_PER_KWH,
            hours=elapsed_s / 3600,
            slowdown=elapsed_s / work_s - 1,
            most_behind_s=done.most_behind_s(bound),
            profiling_s=profiling_s,
        )
