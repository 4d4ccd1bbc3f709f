"""The benchmark of the planner as a page: docs/bench-plan.md, its picture and its table of all cells."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
import numpy as np
from benchmarks.plan_cells import GPUS, HOURS, ISSUED_GRIDS, NETWORKS, RIVALS, SLOWDOWNS, YEAR_GRIDS, Outcome, grid
from matplotlib.figure import Figure

GOALS = {"known": 0.997, "unknown": 0.99}
"""Of the any-time optimum."""
WORST_PP = -0.1
NAMES = {
    "static": "constant limit",
    "mix": "two limits mixed",
    "eq6": "Eq. 6, end only",
    "eq6_anytime": "Eq. 6, in bound",
    "unknown": "length unknown",
    "known": "length known",
    "optimum": "optimum",
}
COLOURS = {
    "static": "#888888",
    "mix": "#bbbbbb",
    "eq6": "#d95f02",
    "unknown": "#1f77b4",
    "known": "#7b3294",
    "optimum": "#1b9e77",
}


def short_of(outcome: Outcome, policy: str) -> list[str]:
    """What a cell does not reach."""
    found = []
    share, goal = outcome.share(policy), GOALS[policy]
    if share is not None and share < goal:
        found.append(f"{100 * share:.2f} % of the optimum")
    if outcome.worst_pp(policy) < WORST_PP:
        found.append(f"worst run {outcome.worst_pp(policy):+.2f} points")
    if share is not None and outcome.mean(policy) < outcome.mean("static"):
        found.append("mean below the constant limit")
    return found


INTRO = """\
# What the planner saves

Written by `make bench-plan`; every figure below is computed, none is typed.

{cells} cells: the published power curves of {networks} on {gpus} (Zeus, NSDI '23, Apache-2.0), on {issued} grids with the forecasts that
CarbonCast really issued each day of August 2021, and on {year} grids of 2022 (Electricity Maps, ODbL) *without* forecasts, planned as if
every day to come were like the last 24 hours (persistence). Jobs of {hours} hours from {few} to {many} starts a grid, each at another hour
of the day: {runs} runs of every policy, in {minutes:.1f} minutes on 2 cores.

* *saved*: carbon against the same work at the default limit, mean of all runs.
* *constant limit*: the best constant limit within the slowdown. What it saves is efficiency; the rest is called timing.
* *two mixed*: the best mix of two limits within the slowdown, blind to the grid. Where it saves more than one limit does, the measured
  curve is not convex (275 W on the A40, say), and that part of what is called timing does not come from the grid.
* *Eq. 6*: *Chasing Low-Carbon Electricity* (arXiv 2303.02508), its weight found in hindsight for each run: *end only* is held to the
  slowdown at the end, as no user could; *in bound* is held to the bound at every moment, as carbonzeus is.
* *unknown*, *known*: carbonzeus, the job's length unknown or known, in closed loop on the operator's own code, with the forecasts named.
* *optimum*: the least carbon within the any-time bound (60 s of grace, as carbonzeus has) with everything known: a linear program,
  solved by HiGHS.
* *of optimum*: saved, as a share of what the optimum saves. *worst run*: saved less what the best constant limit saves, in points.

Goals: 99.7 % of the optimum with a known length, 99 % with an unknown one; no run more than 0.1 points below the best constant limit.
What falls short is **bold**.

![Carbon saved over the slowdown](bench-plan.png)

## Means over all curves
"""


def page(outcomes: Sequence[Outcome], *, sections: Iterable[str], minutes: float) -> str:
    """The whole page. sections: what follows the tables."""
    starts = {name: len(grid(name).starts) for name in dict.fromkeys(each.cell.grid for each in outcomes)}
    intro = INTRO.format(
        cells=len(outcomes),
        networks=", ".join(f"{network} (batch {batch})" for network, batch in NETWORKS.items()),
        gpus=" and ".join(GPUS),
        issued=len(ISSUED_GRIDS),
        year=len(YEAR_GRIDS),
        hours=" and ".join(f"{hours:g}" for hours in HOURS),
        few=min(starts.values()),
        many=max(starts.values()),
        runs=sum(starts[each.cell.grid] * len(HOURS) for each in outcomes),
        minutes=minutes,
    )
    lines = [
        intro,
        *_summary(outcomes),
        "",
        "All cells: [bench-plan.csv](bench-plan.csv).",
        "",
        "## What falls short",
        "",
        *_shortfalls(outcomes),
        "",
        *sections,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield (
        "| grid | forecast | slowdown | constant limit | two mixed | Eq. 6, end only | Eq. 6, in bound | unknown | known | optimum |"
        " of optimum: unknown | known | worst run: unknown | known |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    ordered = sorted(outcomes, key=lambda each: (each.cell.grid, each.cell.slowdown))
    for (name, slowdown), group in groupby(ordered, key=lambda each: (each.cell.grid, each.cell.slowdown)):
        same = list(group)
        means = {policy: float(np.mean([each.mean(policy) for each in same])) for policy in RIVALS}
        cells = [name, grid(name).forecast, f"{100 * slowdown:g} %"]
        cells += [f"{100 * means[policy]:.2f} %" for policy in RIVALS]
        cells += [_marked(f"{100 * share:.2f} %", short=share < goal) for share, goal in _shares(means)]
        worst = [min(each.worst_pp(policy) for each in same) for policy in ("unknown", "known")]
        cells += [_marked(f"{points:+.2f}", short=points < WORST_PP) for points in worst]
        yield f"| {' | '.join(cells)} |"


def _shares(means: dict[str, float]) -> Iterator[tuple[float, float]]:
    for policy in ("unknown", "known"):
        yield means[policy] / means["optimum"], GOALS[policy]


def _marked(text: str, *, short: bool) -> str:
    return f"**{text}**" if short else text


def _shortfalls(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for policy, goal in GOALS.items():
        judged = [each for each in outcomes if each.share(policy) is not None]
        below = [each for each in judged if (each.share(policy) or 0.0) < goal]
        worse = [each for each in outcomes if each.worst_pp(policy) < WORST_PP]
        under = [each for each in judged if each.mean(policy) < each.mean("static")]
        beaten = {
            rival: [each for each in judged if each.mean(policy) < each.mean(rival) - 1e-6]
            for rival in ("eq6", "eq6_anytime")
        }
        yield (
            f"* {NAMES[policy]}: {len(below)} of {len(judged)} cells below {100 * goal:g} % of the optimum; {len(worse)} of"
            f" {len(outcomes)} with a run more than 0.1 points below the best constant limit; {len(under)} with a mean below it;"
            f" {len(beaten['eq6'])} below Eq. 6 held to the end only, {len(beaten['eq6_anytime'])} below Eq. 6 held to the bound."
        )
    over = [each for each in outcomes if max(each.most_behind_s["known"], each.most_behind_s["unknown"]) > 60.0 + 1e-3]
    rival = max(each.most_behind_s["eq6"] for each in outcomes)
    yield (
        f"* any-time bound: broken by carbonzeus in {len(over)} of {len(outcomes)} cells (never more than 60 s behind, at any moment);"
        f" Eq. 6 held to the end only was up to {rival:.0f} s behind."
    )
    yield (
        f"* {sum(each.share('known') is None for each in outcomes)} cells are not judged by shares: even the optimum saves less than 0.1 %"
        " there, since the network draws less than its lowest limit."
    )
    worst = sorted(
        (each for each in outcomes if any(short_of(each, policy) for policy in GOALS)),
        key=lambda each: min(each.worst_pp("known"), each.worst_pp("unknown")),
    )
    if not worst:
        return
    yield ""
    yield "The ten cells with the worst runs among those that fall short:"
    yield ""
    yield "| GPU | network | grid | slowdown | unknown | known |"
    yield "|---|---|---|--:|---|---|"
    for each in worst[:10]:
        cell = each.cell
        said = [", ".join(short_of(each, policy)) or "reached" for policy in ("unknown", "known")]
        yield f"| {cell.gpu} | {cell.network} | {cell.grid} | {100 * cell.slowdown:g} % | {said[0]} | {said[1]} |"


def write_csv(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Every cell, one a row."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        saved = [f"saved_{policy}" for policy in RIVALS]
        judged = [f"{what}_{policy}" for policy in GOALS for what in ("of_optimum", "worst_pp", "short")]
        writer.writerow(["gpu", "network", "grid", "slowdown", *saved, *judged])
        for each in outcomes:
            cell = each.cell
            row: list[object] = [cell.gpu, cell.network, cell.grid, cell.slowdown]
            row += [f"{each.mean(policy):.6f}" for policy in RIVALS]
            for policy in GOALS:
                share = each.share(policy)
                row += [
                    "" if share is None else f"{share:.4f}",
                    f"{each.worst_pp(policy):.3f}",
                    "; ".join(short_of(each, policy)),
                ]
            writer.writerow(row)


def draw(path: Path, outcomes: Sequence[Outcome], gpu: str = "A40", network: str = "resnet50") -> None:
    """Saved, and what timing adds to it, over the slowdown: one curve on the grids with real forecasts."""
    mpl.use("Agg")
    figure = Figure(figsize=(10.5, 6.4), dpi=130, layout="constrained")
    axes = figure.subplots(2, len(ISSUED_GRIDS), sharex=True, sharey="row")
    percent = [100 * slowdown for slowdown in SLOWDOWNS]
    for column, zone in enumerate(ISSUED_GRIDS):
        mine = {
            each.cell.slowdown: each
            for each in outcomes
            if (each.cell.gpu, each.cell.network, each.cell.grid) == (gpu, network, f"2021 {zone}")
        }
        total, timing = axes[0, column], axes[1, column]
        for policy, colour in COLOURS.items():
            means = np.array([100 * mine[slowdown].mean(policy) for slowdown in SLOWDOWNS])
            constant = np.array([100 * mine[slowdown].mean("static") for slowdown in SLOWDOWNS])
            style = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.4, "label": NAMES[policy]}
            total.plot(percent, means, **style)
            timing.plot(percent, means - constant, **style)
        total.set_title(f"{zone}, August 2021", loc="left", fontsize=10)
        timing.set_xlabel("allowed slowdown, %")
        for each_axes in (total, timing):
            each_axes.grid(color="#dddddd", linewidth=0.6)
            each_axes.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("carbon saved, %")
    axes[1, 0].set_ylabel("by timing, points\nabove the constant limit")
    axes[1, 0].legend(frameon=False, fontsize=8)
    figure.suptitle(
        f"{network} on one {gpu}, real forecasts, mean of {' and '.join(f'{hours:g}' for hours in HOURS)} h jobs",
        fontsize=11,
    )
    figure.savefig(path)
