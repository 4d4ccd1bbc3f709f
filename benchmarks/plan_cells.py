"""What the benchmark of the planner runs: published curves on recorded grids, cell by cell."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.feed import Feed, Issued, Yesterday
from carbonzeus_cli.simulate.job import Bound, Job
from carbonzeus_cli.simulate.loop import simulate
from carbonzeus_cli.simulate.optimum import optimum
from carbonzeus_cli.simulate.rivals import at_constant, at_default, by_eq6
from carbonzeus_cli.simulate.run import Run, Trace
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid import csvfile
from carbonzeus_operator.grid.recording import from_us
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.world.snapshot import Rules

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# One batch size a network: that of the Zeus paper where it was measured on both GPUs.
NETWORKS = {"resnet50": 128, "bert_base_uncased": 128, "deepspeech2": 192, "ncf": 1024, "shufflenetv2": 1024}
GPUS = {"A40": 300.0, "V100": 250.0}
MINIMUM = 0.5
"""The lowest limit that a policy allows where it does not say otherwise, as a share of the reference limit."""
ISSUED_GRIDS = ("CISO", "PJM", "DE")
"""With the forecasts that CarbonCast issued each day of August 2021."""
YEAR_GRIDS = ("US-CAL-CISO", "US-MIDW-MISO", "GB", "DE", "FR", "PL")
"""Of 2022, without forecasts: planned as if every day were like the last 24 hours."""
SLOWDOWNS = (0.01, 0.02, 0.03, 0.05, 0.10)
HOURS = (20.0, 72.0)
REPLAN = timedelta(hours=3)
# The operator plans every 5 minutes and holds back what the curve may be wrong by until then: here no more.
RULES = Rules(replan=REPLAN, checked=Rules().replan)
RIVALS = ("static", "mix", "eq6", "eq6_anytime", "unknown", "known", "optimum")


@dataclass(frozen=True, slots=True)
class Grid:
    """A recorded grid, and when jobs start on it."""

    name: str
    forecast: str
    actual: Actual
    feed: Feed
    starts: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One curve on one grid under one bound."""

    gpu: str
    network: str
    grid: str
    slowdown: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each policy saved in each run of a cell, as shares of the default limit's carbon."""

    cell: Cell
    saved: Mapping[str, tuple[float, ...]]
    most_behind_s: Mapping[str, float]

    def mean(self, policy: str) -> float:
        return float(np.mean(self.saved[policy]))

    def share(self, policy: str) -> float | None:
        """Of what could be saved; None where that is nothing worth a ratio."""
        best = self.mean("optimum")
        return self.mean(policy) / best if best > 0.001 else None

    def worst_pp(self, policy: str) -> float:
        """Against the best constant limit, in the worst run [points]."""
        return 100 * float(np.min(np.array(self.saved[policy]) - np.array(self.saved[constant(policy)])))


def mixed(job: Job) -> Trace:
    """Two limits by turns, blind to the grid: what the curve's shape alone gives beyond one limit."""
    assert job.slowdown is not None
    r = job.whole.best_constant_r(1 / (1 + job.slowdown))
    return Trace.constant(job.work_s / r, r, job.whole.mixed_watts(r))


def constant(policy: str) -> str:
    """The best constant limit for the same knowledge: only where the length is known can it use the grace."""
    return "static_known" if policy == "known" else "static"


@cache
def every_curve() -> dict[tuple[str, str, int], Curve]:
    """All measured curves that can be used, whole, by GPU, network and batch size."""
    points: dict[tuple[str, str, int], list[Point]] = defaultdict(list)
    with (DATA / "zeus" / "power_profiles_a40_v100.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["draw_exceeds_limit"] == "False":
                key = row["gpu"], row["network"], int(row["batch_size"])
                limit_w, average_w = float(row["power_limit_w"]), float(row["average_power_w"])
                points[key].append(Point(limit_w, average_w, 1 / float(row["time_per_epoch_s"])))
    found = {}
    for key, measured in points.items():
        # Some curves mix two trainings under one name, and cannot be repaired.
        with suppress(InvalidSpec):
            found[key] = Curve.from_points(measured, GPUS[key[0]], minimum_w=GPUS[key[0]] * MINIMUM)
    return found


def curves() -> dict[tuple[str, str, int], Curve]:
    """Those of the cells: one batch size a network."""
    return {key: curve for key, curve in every_curve().items() if key[2] == NETWORKS[key[1]]}


@cache
def grid(name: str) -> Grid:
    """A grid by the name of `grids`."""
    kind, zone = name.split(" ", 1)
    if kind == "2021":
        path = DATA / "carbon" / f"carboncast_2021-08_{zone}_lca_forecast96h_actual.csv"
        with path.open(encoding="utf-8", newline="") as lines:
            recording = csvfile.parse(path.name, lines)
        actual = Actual(from_us(recording.actuals.starts_us[0]), recording.step, np.array(recording.actuals.values))
        # Every start at another hour of the day.
        starts = _starts(actual, actual.start, timedelta(hours=102))
        return Grid(name, "as issued each day", actual, Issued(recording), starts)
    with (DATA / "carbon" / "emaps_2022_hourly_lca_6zones.csv").open(encoding="utf-8") as lines:
        values = [float(row[zone]) for row in csv.DictReader(lines)]
    actual = Actual(datetime(2022, 1, 1, tzinfo=UTC), timedelta(hours=1), np.array(values))
    starts = _starts(actual, actual.start + timedelta(days=3), timedelta(days=73, hours=7))
    return Grid(name, "like yesterday", actual, Yesterday(actual, RULES.horizon, slots=3), starts)


def grids() -> Iterator[str]:
    """The names of all grids."""
    yield from (f"2021 {zone}" for zone in ISSUED_GRIDS)
    yield from (f"2022 {zone}" for zone in YEAR_GRIDS)


def _starts(actual: Actual, first: datetime, every: timedelta) -> tuple[datetime, ...]:
    last = actual.end - timedelta(hours=max(HOURS) * (1 + max(SLOWDOWNS)) + 1)
    return tuple(first + every * number for number in range((last - first) // every + 1))


def cells() -> list[Cell]:
    """All of them."""
    return [
        Cell(gpu, network, name, slowdown) for name in grids() for gpu, network, _ in curves() for slowdown in SLOWDOWNS
    ]


def run(cell: Cell) -> Outcome:
    """Both lengths from every start."""
    curve = curves()[cell.gpu, cell.network, NETWORKS[cell.network]]
    where = grid(cell.grid)
    runs: list[Mapping[str, Run]] = [
        one(curve, hours, cell.slowdown, where, start) for hours in HOURS for start in where.starts
    ]
    return Outcome(
        cell,
        {
            policy: tuple(1 - each[policy].carbon_g / each["default"].carbon_g for each in runs)
            for policy in (*RIVALS, "static_known")
        },
        {policy: max(each[policy].most_behind_s for each in runs) for policy in RIVALS},
    )


def one(
    curve: Curve, hours: float, slowdown: float, where: Grid, start: datetime, rules: Rules = RULES
) -> dict[str, Run]:
    """All policies from one start."""
    unknown = Job(curve, hours * 3600, slowdown, rules=rules)
    known = Job(curve, hours * 3600, slowdown, known=True, rules=rules)
    bound, actual = unknown.bound, where.actual
    traces = {
        "default": at_default(unknown),
        "static": at_constant(unknown, Bound(slowdown, 0.0)),
        "static_known": at_constant(unknown, bound),
        "mix": mixed(unknown),
        "eq6": by_eq6(unknown, actual, start, bound, anytime=False),
        "eq6_anytime": by_eq6(unknown, actual, start, bound, anytime=True),
        "unknown": simulate(unknown, where.feed, start),
        "known": simulate(known, where.feed, start),
        "optimum": optimum(unknown, actual, start, bound, anytime=True),
    }
    return {policy: Run.of(trace, actual, start, unknown.work_s, bound) for policy, trace in traces.items()}
