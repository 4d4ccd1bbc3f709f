"""What the benchmark of learned curves runs: published curves that nobody knows, measured while a simulated job trains."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import TypeVar

import numpy as np
from benchmarks import plan_cells
from benchmarks.plan_cells import GPUS, NETWORKS

from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.learning import learn
from carbonzeus_cli.simulate.loop import simulate
from carbonzeus_cli.simulate.rivals import at_default
from carbonzeus_cli.simulate.run import Run
from carbonzeus_cli.simulate.truth import Meter, Traits
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.prior import Prior
from carbonzeus_operator.world.snapshot import Rules

GRID, HOURS, SLOWDOWN, STARTS = "2021 CISO", 24.0, 0.03, 4
RULES = Rules(replan=timedelta(minutes=15), checked=Rules().replan)
NOISES = {0.0001: 0.0001, 0.0002: 0.0002, 0.0005: 0.0003, 0.002: 0.001, 0.01: 0.001}
"""Noise of a window of a minute, and by how much the job's own speed wanders in an hour."""
QUIET, USUAL = 0.0001, 0.0005
PACES = (50.0, 5.0, 0.5)
"""Steps a second, where they are counted whole."""
MEMORIES = ((0.0005, 30.0), (0.0005, 300.0), (0.002, 30.0), (0.002, 300.0))
"""Noise of a window of a minute that lasts, and how long [s]."""
CLOCKS = (1.0, 1.5, 2.0, 3.0)
"""A clock that goes with r to this power."""


Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Cell:
    """One published curve, and how hard it is to measure."""

    gpu: str
    network: str
    traits: Traits


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over the starts; savings as shares of the carbon at the reference limit."""

    cell: Cell
    known: float
    first: float
    second: float
    profiled_s: tuple[float, float]
    most_behind_s: float

    def share(self, saved: float) -> float | None:
        """Of what the known curve saves; None where that is nothing worth a ratio."""
        return saved / self.known if self.known > 0.001 else None


def networks() -> Iterator[tuple[str, str]]:
    """GPU and network of every published curve."""
    yield from ((gpu, network) for gpu, network, _ in sorted(plan_cells.curves()))


def run(cell: Cell) -> Outcome:
    """A first run and the next of the same workload, from every start."""
    rows = []
    where = plan_cells.grid(GRID)
    curve = plan_cells.curves()[cell.gpu, cell.network, NETWORKS[cell.network]]
    prior = Prior.of(cell.gpu, GPUS[cell.gpu], curve.lowest.limit_w)
    for number, start in enumerate(where.starts[:STARTS]):
        job = Job(curve, HOURS * 3600, SLOWDOWN, rules=RULES)
        learner, traces, profiled_s = Learner.begin(prior), [], []
        for seed in (number, number + 100):
            lesson = learn(job, where.feed, start, learner, Meter(curve, cell.traits, random.Random(seed)))  # noqa: S311 - noise
            learner = lesson.learner.next_run()
            traces.append(lesson.trace)
            profiled_s.append(lesson.profiling_s)
        default, *runs = (
            Run.of(trace, where.actual, start, job.work_s, job.bound)
            for trace in (at_default(job), simulate(job, where.feed, start), *traces)
        )
        saved = [1 - each.carbon_g / default.carbon_g for each in runs]
        rows.append([*saved, *profiled_s, max(each.most_behind_s for each in runs[1:])])
    found = np.array(rows)
    known, first, second, one_s, two_s, _ = found.mean(axis=0).tolist()
    return Outcome(cell, known, first, second, (one_s, two_s), float(found[:, -1].max()))


def traits_at(noise: float) -> Traits:
    """Of a job that is so noisy, and counts as the SDK does."""
    return Traits(noise=noise, wander=NOISES[noise])


def by_noise(pool: Executor) -> Mapping[float, Sequence[Outcome]]:
    """All curves at each noise."""
    return _by(pool, {noise: traits_at(noise) for noise in NOISES})


def by_memory(pool: Executor) -> Mapping[tuple[float, float], Sequence[Outcome]]:
    """All curves where noise lasts, at each size and time [s]."""
    return _by(pool, {(noise, time_s): replace(traits_at(noise), memory_s=time_s) for noise, time_s in MEMORIES})


def by_whole_steps(pool: Executor) -> Mapping[float, Sequence[Outcome]]:
    """All curves where whole steps are counted and nobody knows when they end, at each pace [steps/s]."""
    return _by(pool, {pace: replace(traits_at(USUAL), steps_per_s=pace, timed=False) for pace in PACES})


def without_progress(pool: Executor) -> Mapping[float, Sequence[Outcome]]:
    """All curves where only a clock is measured, at each power of r that it may go with."""
    # A clock is read off, many times a second: hardly any noise, and no stalls, since it is read under load.
    return _by(pool, {power: Traits(noise=0.0002, wander=0.0, counts=power, evaluates_s=0.0) for power in CLOCKS})


def _by(pool: Executor, kinds: Mapping[Key, Traits]) -> Mapping[Key, Sequence[Outcome]]:
    """All curves at each kind of job, by what tells the kinds apart."""
    outcomes = list(pool.map(run, [Cell(*each, traits) for traits, each in product(kinds.values(), networks())]))
    return {key: [each for each in outcomes if each.cell.traits == traits] for key, traits in kinds.items()}
