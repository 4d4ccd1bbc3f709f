"""What a stretch of a job cost, from the emulator's own log: seconds, energy, work, and how far it fell behind. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_bed.truth import Truth

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """A job from its begin on, n moments in order; between two of them its speed and its power count as constant."""

    at_s: Floats
    """Seconds of the job; the first is 0."""
    work_s: Floats
    """Work done up to then [s at the reference limit]."""
    joules: Floats
    """Energy drawn up to then."""
    began_ns: int = 0
    """Unix time of the first moment."""
    speed: float = 1.0
    """Seconds of the job in one on the wall."""

    def moment_s(self, at_ns: int) -> float:
        """The job's time at a time on the wall."""
        return (at_ns - self.began_ns) / 1e9 * self.speed

    def behind_s(self, slowdown: float) -> Floats:
        """(n) how far it is behind a job that is `slowdown` slower all along [s of work]; negative: ahead."""
        behind: Floats = self.at_s / (1 + slowdown) - self.work_s
        return behind


@dataclass(frozen=True, slots=True)
class Cost:
    """What happened in some stretches of a job. Add up with `+`."""

    seconds: float = 0.0
    work_s: float = 0.0
    joules: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.work_s + other.work_s, self.joules + other.joules)

    @property
    def delay_s(self) -> float:
        """How much later the job ends than it would have at the reference limit [s]."""
        return self.seconds - self.work_s

    def extra_joules(self, reference_w: float) -> float:
        """The energy beyond what the same work takes at the reference limit, where it draws `reference_w`."""
        return self.joules - self.work_s * reference_w

    @property
    def slowdown(self) -> float:
        return self.seconds / self.work_s - 1

    def saved(self, reference_w: float) -> float:
        """Of the energy that the same work takes at the reference limit (a share)."""
        return 1 - self.joules / (self.work_s * reference_w)


def trail(truth: Truth, job: str, uuid: str, steps_per_s: float, speed: float) -> Trail:
    """What the emulator logged of a job on one board, in seconds of the job.

    steps_per_s: of the job's own time, at the reference limit. ValueError where the job never ran.
    """
    moments = [moment for moment in truth.progress.get(job, ()) if moment.running or moment.steps > 0]
    if len(moments) < 2:
        raise ValueError(f"{job} never trained")
    unix_s = np.array([moment.at.timestamp() for moment in moments])
    stretches = truth.select(uuid=uuid)
    edges_s = np.array([stretches[0].start_ns, *(each.end_ns for each in stretches)]) / 1e9
    joules = np.concatenate([[0.0], np.cumsum([each.energy_mj for each in stretches])]) / 1000
    drawn = np.interp(unix_s, edges_s, joules)
    steps = np.array([moment.steps for moment in moments])
    return Trail(
        at_s=(unix_s - unix_s[0]) * speed,
        work_s=(steps - steps[0]) / steps_per_s,
        joules=(drawn - drawn[0]) * speed,
        began_ns=round(unix_s[0] * 1e9),
        speed=speed,
    )


def spent(whole: Trail, begin_s: float, end_s: float) -> Cost:
    """What happened from one moment of the job to another."""
    begin_s, end_s = max(begin_s, 0.0), min(end_s, float(whole.at_s[-1]))
    work_s = np.interp([begin_s, end_s], whole.at_s, whole.work_s)
    joules = np.interp([begin_s, end_s], whole.at_s, whole.joules)
    return Cost(end_s - begin_s, float(work_s[1] - work_s[0]), float(joules[1] - joules[0]))


def total(whole: Trail, stretches: Sequence[tuple[float, float]]) -> Cost:
    """What happened in all of these (begin, end), which do not overlap."""
    return sum((spent(whole, begin_s, end_s) for begin_s, end_s in stretches), Cost())


def within(stretches: Sequence[tuple[float, float]], lead_s: float, end_s: float) -> list[tuple[float, float]]:
    """The same stretches so much later, up to an end."""
    moved = [(begin_s + lead_s, min(stop_s + lead_s, end_s)) for begin_s, stop_s in stretches]
    return [(begin_s, stop_s) for begin_s, stop_s in moved if begin_s < stop_s]


def most_behind_s(whole: Trail, slowdown: float, until_s: float = np.inf) -> float:
    """At the worst moment up to then [s of work]; the any-time bound allows the grace."""
    behind_s = whole.behind_s(slowdown)[whole.at_s <= until_s]
    return max(float(behind_s.max()), 0.0)


def beyond_s(whole: Trail, slowdown: float, grace_s: float, until_s: float = np.inf) -> float:
    """For how long it was further behind than the grace [s], up to then."""
    lengths_s = np.diff(whole.at_s)
    counted = (whole.behind_s(slowdown)[1:] > grace_s) & (whole.at_s[1:] <= until_s)
    return float(lengths_s[counted].sum())


@dataclass(frozen=True, slots=True)
class Reading:
    """The energy of one window [J], from two that read the same board, and from the board itself."""

    seconds: float
    zeus: float
    ours: float
    true: float

    @property
    def apart(self) -> float:
        """By how much ours is larger (a share)."""
        return self.ours / self.zeus - 1
