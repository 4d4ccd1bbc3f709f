"""Why the planner saves less than who knows everything: what each thing it does not know costs, and how long it should expect a job to be.

Part of `make bench-plan`. On the grids with real forecasts, all curves, all bounds, the jobs and starts of the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import numpy as np
from benchmarks import plan_cells
from benchmarks.plan_cells import HOURS, ISSUED_GRIDS, NETWORKS, RULES, SLOWDOWNS, Cell, Outcome

from carbonzeus_cli.simulate.feed import Feed, Perfect
from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.loop import simulate
from carbonzeus_cli.simulate.rivals import at_default
from carbonzeus_cli.simulate.run import Run
from carbonzeus_operator.world.snapshot import Rules

BARE = replace(RULES, checked=timedelta(0))
SURVIVAL_H = (6.0, 12.0, 24.0, 48.0, 96.0)


@dataclass(frozen=True, slots=True)
class Stage:
    """What the planner is told."""

    rules: Rules
    known: bool
    perfect: bool


STAGES = {
    "all known, no reserve": Stage(BARE, known=True, perfect=True),
    "with the reserve (a wrong curve, a job that stands still)": Stage(RULES, known=True, perfect=True),
    "and with real forecasts": Stage(RULES, known=True, perfect=False),
    "and with the length unknown": Stage(RULES, known=False, perfect=False),
}


def losses(pool: Executor, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What keeps carbonzeus from the optimum, one thing after the other."""
    judged = _judged(outcomes)
    yield "## Where the rest goes"
    yield ""
    yield f"The {len(judged)} cells with real forecasts in which there is something to save: of what the optimum saves."
    yield ""
    yield f"| | {' | '.join(f'{100 * slowdown:g} %' for slowdown in SLOWDOWNS)} |"
    yield f"|---|{'--:|' * len(SLOWDOWNS)}"
    for name, stage in STAGES.items():
        saved = _saved(pool, judged, stage)
        yield f"| {name} | {' | '.join(f'{100 * share:.2f} %' for share in _shares(judged, saved))} |"


def survival(pool: Executor, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """How long a job of unknown length should be expected to run on."""
    judged = _judged(outcomes)
    yield "## How long to expect a job to run on"
    yield ""
    yield (
        "The same cells, the length unknown: it counts less what lies further ahead, by exp(-t / T). Of what the optimum saves; in how many cells"
        f" (of {len(judged)}) a run was more than 0.1 points below the best constant limit, and the worst of them."
    )
    yield ""
    yield f"| T | {' | '.join(f'{100 * slowdown:g} %' for slowdown in SLOWDOWNS)} | cells below | worst run |"
    yield f"|--:|{'--:|' * len(SLOWDOWNS)}--:|--:|"
    for hours in SURVIVAL_H:
        saved = _saved(pool, judged, Stage(replace(RULES, survival_s=hours * 3600), known=False, perfect=False))
        worst = np.array(
            [
                100 * np.min(np.array(each) - np.array(outcome.saved["static"]))
                for outcome, each in zip(judged, saved, strict=True)
            ]
        )
        shares = " | ".join(f"{100 * share:.2f} %" for share in _shares(judged, saved))
        yield f"| {hours:g} h | {shares} | {np.sum(worst < -0.1)} | {worst.min():+.2f} |"


def run(task: tuple[Cell, Stage]) -> tuple[float, ...]:
    """What carbonzeus saves in each run of a cell, as shares of the default limit's carbon."""
    cell, stage = task
    where = plan_cells.grid(cell.grid)
    feed: Feed = Perfect(where.actual, RULES.horizon) if stage.perfect else where.feed
    curve = plan_cells.curves()[cell.gpu, cell.network, NETWORKS[cell.network]]
    saved = []
    for hours, start in product(HOURS, where.starts):
        job = Job(curve, hours * 3600, cell.slowdown, known=stage.known, rules=stage.rules)
        ours, default = (
            Run.of(trace, where.actual, start, job.work_s, job.bound).carbon_g
            for trace in (simulate(job, feed, start), at_default(job))
        )
        saved.append(1 - ours / default)
    return tuple(saved)


def _judged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    issued = {f"2021 {zone}" for zone in ISSUED_GRIDS}
    return [each for each in outcomes if each.cell.grid in issued and each.share("known") is not None]


def _saved(pool: Executor, judged: Sequence[Outcome], stage: Stage) -> list[tuple[float, ...]]:
    if stage.rules == RULES and not stage.perfect:  # the cells themselves were run so
        return [outcome.saved["known" if stage.known else "unknown"] for outcome in judged]
    return list(pool.map(run, [(outcome.cell, stage) for outcome in judged], chunksize=5))


def _shares(judged: Sequence[Outcome], saved: Sequence[tuple[float, ...]]) -> Iterator[float]:
    """By slowdown: the means of all cells, as a share of those of the optimum."""
    for slowdown in SLOWDOWNS:
        of = [index for index, outcome in enumerate(judged) if outcome.cell.slowdown == slowdown]
        yield float(np.sum([np.mean(saved[index]) for index in of])) / sum(
            judged[index].mean("optimum") for index in of
        )
