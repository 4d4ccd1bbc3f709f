"""What is worth knowing of a job's length: nothing, how long earlier jobs took, or the length itself.

    .venv/bin/python -m benchmarks.plan_length [--every HOURS] [--hours 6,20,72]

A plan an hour from the forecasts that CarbonCast issued each day of August 2021, on curves of Zeus; throughputs are held as they are
wanted, not in whole watts. Prints a table. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import numpy as np
from benchmarks.plan_cells import DATA, ISSUED_GRIDS, curves, grid
from numpy.typing import NDArray

from carbonzeus_operator.plan.bound import credit_s
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.mixed import Group, JobCurve, Overhead
from carbonzeus_operator.plan.outlook import Outlook, look_ahead
from carbonzeus_operator.plan.spending import Task, for_known, for_unknown
from carbonzeus_operator.plan.survival import Unknown

Floats = NDArray[np.float64]
NETWORKS = (("A40", "resnet50", 128), ("V100", "resnet50", 128), ("A40", "deepspeech2", 192))
SLOWDOWNS = (0.01, 0.02, 0.03, 0.05, 0.10)
GRACE_S = 60.0
HOUR_S = 3600.0
HISTORY, SPREAD = 6, 0.1
"""So many earlier jobs, of lengths that differ by so much (sigma of the log)."""
Tell = Callable[["Job", float], Unknown]


@dataclass(frozen=True, slots=True)
class Job:
    """One job from one start, in hours of a recording."""

    zone: str
    curve: JobCurve
    slowdown: float
    hours: float
    start: int

    @property
    def work_s(self) -> float:
        return self.hours * HOUR_S

    @property
    def floor_r(self) -> float:
        return 1 / (1 + self.slowdown)


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=29, help="hours between starts")
    parser.add_argument("--hours", default="6,20,72", help="lengths of jobs")
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the measured curves and grids are not there: {DATA}")
    saved: dict[tuple[float, float], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs([float(hours) for hours in options.hours.split(",")], options.every):
        for policy, share in compare(job):
            saved[job.hours, job.slowdown][policy].append(share)
            saved[job.hours, 0.0][policy].append(share)
    told = ("constant", *TOLD, "known")
    print(
        "Saved as a share of what the optimum saves; in brackets the worst run against the best constant limit [points].\n"
    )
    print(f"| job | slowdown | optimum saves | {' | '.join(told)} |")
    print(f"|--:|--:|--:|{'--:|' * len(told)}")
    for (hours, slowdown), by_policy in sorted(saved.items()):
        best = np.mean(by_policy["optimum"])
        constant = np.array(by_policy["constant"])
        shares = [
            f"{100 * np.mean(by_policy[policy]) / best:.2f} ({100 * np.min(np.array(by_policy[policy]) - constant):+.2f})"
            for policy in told
        ]
        print(
            f"| {hours:g} h | {f'{slowdown:.0%}' if slowdown else 'all'} | {100 * best:.2f} % | {' | '.join(shares)} |"
        )


def jobs(lengths_h: list[float], every_h: int) -> Iterator[Job]:
    """On each grid and curve, under each bound, from starts at all hours of the day."""
    for zone in ISSUED_GRIDS:
        last = len(intensity(zone))
        for key in NETWORKS:
            curve = job_curve(curves()[key])
            for slowdown in SLOWDOWNS:
                for hours in lengths_h:
                    for start in range(0, int(last - hours * (1 + slowdown) - 3), every_h):
                        yield Job(zone, curve, slowdown, hours, start)


def job_curve(curve: Curve) -> JobCurve:
    return JobCurve.of({"GPU": Group(curve, 1)}, Overhead())


@cache
def intensity(zone: str) -> Floats:
    """What came true, by the hour."""
    return np.array([slot.gco2_per_kwh for slot in grid(f"2021 {zone}").actual.intervals(*_reach(zone))])


def _reach(zone: str) -> tuple[datetime, datetime]:
    actual = grid(f"2021 {zone}").actual
    return actual.start, actual.end


@cache
def outlook(zone: str, hour: int) -> Outlook:
    """What the newest forecast said at an hour."""
    where = grid(f"2021 {zone}")
    now = where.actual.start + timedelta(hours=hour)
    return look_ahead(where.feed.at(now).intervals, now)


def emitted(job: Job, seconds: float, watts: float) -> float:
    """Grams of a constant power from the job's start."""
    hourly = intensity(job.zone)[job.start :]
    passed = np.interp(seconds, np.arange(len(hourly) + 1) * HOUR_S, np.append(0.0, np.cumsum(hourly * HOUR_S)))
    return float(watts * passed / 3.6e6)


def at_constant(job: Job, work_s: float) -> float:
    """Grams of so much work at the best constant limit."""
    r = job.curve.best_constant_r(job.floor_r)
    return emitted(job, work_s / r, job.curve.mixed_watts(r))


def at_reference(job: Job, work_s: float) -> float:
    return emitted(job, work_s, float(job.curve.watts[-1]))


def by_plans(job: Job, tell: Tell | None) -> float:
    """Grams in closed loop, a plan an hour; tell None: the length is known."""
    hourly, held_r = intensity(job.zone), job.curve.best_held_r(job.floor_r)
    elapsed_s = work_s = grams = 0.0
    hour = job.start
    while work_s < job.work_s - 1e-6:
        credit = credit_s(elapsed_s=elapsed_s, work_s=work_s, slowdown=job.slowdown, grace_s=GRACE_S)
        task = Task(job.curve, job.floor_r, max(credit, 0.0), held_r)
        if credit < -1e-3:
            r = min(job.curve.top_r, job.floor_r - credit / HOUR_S)
        elif tell is None:
            _, wanted = for_known(task, outlook(job.zone, hour), job.work_s - work_s)
            r = float(wanted[0])
        else:
            r = float(for_unknown(task, outlook(job.zone, hour), tell(job, work_s))[0])
        seconds = min(HOUR_S, (job.work_s - work_s) / r)
        grams += job.curve.mixed_watts(r) * float(hourly[hour]) * seconds / 3.6e6
        elapsed_s, work_s, hour = elapsed_s + seconds, work_s + r * seconds, hour + 1
    return grams


def optimum(job: Job) -> float:
    """Grams of who knows everything: the exact planner on what came true."""
    longest_h = int(job.hours * (1 + job.slowdown)) + 3
    start = grid(f"2021 {job.zone}").actual.start + timedelta(hours=job.start)
    true = grid(f"2021 {job.zone}").actual.intervals(start, start + timedelta(hours=longest_h))
    task = Task(job.curve, job.floor_r, GRACE_S, job.curve.best_held_r(job.floor_r))
    ahead, wanted = for_known(task, look_ahead(true, start), job.work_s)
    return float((task.hull_watts(wanted) * ahead.seconds) @ ahead.gco2_per_kwh / 3.6e6)


def earlier(hours: float) -> tuple[float, ...]:
    """The work of earlier jobs of the same kind."""
    rng = np.random.default_rng(int(hours))
    return tuple((hours * HOUR_S * np.exp(rng.normal(0, SPREAD, HISTORY))).tolist())


TOLD: dict[str, Tell] = {
    "nothing": lambda _, work_s: Unknown(worked_s=work_s),
    "earlier jobs": lambda job, work_s: Unknown(worked_s=work_s, past_work_s=earlier(job.hours)),
}


def compare(job: Job) -> Iterator[tuple[str, float]]:
    """What each policy saves against the reference limit, as a share."""
    reference = at_reference(job, job.work_s)
    yield "optimum", 1 - optimum(job) / reference
    yield "constant", 1 - at_constant(job, job.work_s) / reference
    for policy, tell in TOLD.items():
        yield policy, 1 - by_plans(job, tell) / reference
    yield "known", 1 - by_plans(job, None) / reference


if __name__ == "__main__":
    main()
