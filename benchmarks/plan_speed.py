"""How fast plans are made: 1,000 jobs over 96 hours in intervals of five minutes, curves of nine points, on one core.

    .venv/bin/python benchmarks/plan_speed.py [--jobs N]

Every job has a curve, a bound, a credit and a length of its own; the forecast is shared, as that of a zone is.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from datetime import UTC, datetime, timedelta

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.outlook import look_ahead
from carbonzeus_operator.plan.schedule import SlowdownKnob, make_plan
from carbonzeus_operator.plan.survival import Known, Length, Unknown

NOW = datetime(2026, 11, 24, tzinfo=UTC)
INTERVALS = 1152
# Relative time and average power [W] at 100 to 300 W, ResNet50 on an A40 (ml-energy/zeus, Apache-2.0).
TIMES = (2.943, 2.30, 1.644, 1.194, 1.068, 1.033, 1.017, 1.010, 1.000)
WATTS = (115.0, 129.0, 144.4, 160.9, 179.2, 198.4, 216.2, 230.8, 244.3)


def forecast(rng: random.Random) -> list[Interval]:
    """A day and night with noise: no two intervals alike, so that nothing can be merged."""
    step = timedelta(minutes=5)
    made = []
    for index in range(INTERVALS):
        hour = index / 12 % 24
        value = 300 + 100 * (abs(hour - 12) / 12 - 0.5) + rng.gauss(0, 15)
        made.append(Interval(NOW + index * step, NOW + (index + 1) * step, value))
    return made


def curve(rng: random.Random) -> Curve:
    """The published curve with a measurement's noise."""
    points = [
        Point(100 + 25 * index, watts * rng.uniform(0.99, 1.01), rng.uniform(0.998, 1.002) / duration)
        for index, (duration, watts) in enumerate(zip(TIMES, WATTS, strict=True))
    ]
    return Curve.from_points(points, 300)


def main() -> None:
    """Plan, and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    jobs = parser.parse_args().jobs
    rng = random.Random(1)  # noqa: S311 the same load every time
    intervals = forecast(rng)
    load = []
    for _ in range(jobs):
        length: Length = Unknown() if rng.random() < 0.5 else Known(rng.uniform(3_600, 300_000))
        knob = SlowdownKnob(rng.choice([0.01, 0.03, 0.05, 0.1]), rng.uniform(-60, 600))
        load.append(({"NVIDIA A40": Group(curve(rng), rng.choice([1, 2, 8]))}, knob, length))
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, began_cpu = time.perf_counter(), time.process_time()
    outlook = look_ahead(intervals, NOW)
    plans = [
        make_plan(now=NOW, forecast=outlook, fleet=fleet, knob=knob, length=length) for fleet, knob, length in load
    ]
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    steps = sum(len(plan.steps) for plan in plans)
    print(f"{jobs} jobs x {INTERVALS} intervals x {len(TIMES)} points: {wall_s:.2f} s ({cpu_s:.2f} s of one core)")
    print(f"{steps} steps; peak memory {peak_mb:.0f} MB, {peak_mb - before_mb:.0f} MB of it for the plans")


if __name__ == "__main__":
    main()
