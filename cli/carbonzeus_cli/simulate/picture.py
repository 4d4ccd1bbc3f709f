"""The first run as a picture: intensity, limits, and what following the grid adds to the best constant limit."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.feed import Feed, Perfect
from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.run import Trace
from carbonzeus_cli.simulate.study import Study

Floats = NDArray[np.float64]
DRAWN = {
    "static": ("best constant limit", "#888888"),
    "eq6": ("Eq. 6, tuned in hindsight", "#d95f02"),
    "ours": ("carbonzeus", "#1f77b4"),
    "optimum_anytime": ("optimum within the bound", "#1b9e77"),
}
POINTS = 600


def draw(path: Path, study: Study, start: datetime, title: str) -> None:
    """Writes the picture as PNG."""
    mpl.use("Agg")
    job = study.job
    _, traces = study.traces(start)
    done = {policy: trace.until_done(job.work_s) for policy, trace in traces.items()}
    hours = max(trace.edges_s[-1] for trace in done.values()) / 3600
    figure = Figure(figsize=(9.2, 7.6), dpi=130, layout="constrained")
    grid, limits, saved = figure.subplots(3, 1, sharex=True, height_ratios=(1.0, 1.0, 1.1))
    _intensity(grid, study.actual, study.feed, start, hours)
    grid.set_title(fill(title, 100), loc="left", fontsize=10)
    for policy in ("static", "ours"):
        _limit(limits, job, done[policy], *DRAWN[policy])
    for policy, style in DRAWN.items():
        if policy in done:
            _saved(saved, study.actual, start, done["static"], done[policy], *style)
    limits.set_ylabel("W")
    limits.margins(y=0.1)
    limits.set_title("Power limit of each GPU", loc="left", fontsize=10)
    saved.set_ylabel("gCO$_2$eq")
    saved.set_title("Carbon saved so far, against the same work at the best constant limit", loc="left", fontsize=10)
    saved.set_xlabel(f"hours after {start:%Y-%m-%d %H:%M} UTC")
    saved.set_xlim(0, hours)
    for axes in (grid, limits, saved):
        axes.grid(axis="both", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="best", frameon=False, fontsize=9)
    figure.savefig(path)


def _intensity(axes: Axes, actual: Actual, feed: Feed, start: datetime, hours: float) -> None:
    edges_s, values = actual.slots(start, hours * 3600)
    axes.stairs(values, edges_s / 3600, color="black", linewidth=1.6, label="actual", baseline=None)
    if not isinstance(feed, Perfect):
        now, label = start, "forecast in force"
        while (now - start) / timedelta(hours=1) < hours:
            following = feed.next_issue(now) or start + timedelta(hours=hours)
            told = [one for one in feed.at(now).intervals if one.end > now and one.start < following]
            at_hours = [(at - start) / timedelta(hours=1) for at in (*(one.start for one in told), told[-1].end)]
            values = np.array([one.gco2_per_kwh for one in told])
            axes.stairs(values, at_hours, baseline=None, color="#7b3294", linewidth=1.1, linestyle="--", label=label)
            now, label = following, "_again"
    axes.set_ylabel("gCO$_2$eq/kWh")
    axes.set_ylim(bottom=0)


def _limit(axes: Axes, job: Job, trace: Trace, label: str, colour: str) -> None:
    axes.stairs(
        job.curve.limits_for(trace.r), trace.edges_s / 3600, baseline=None, color=colour, linewidth=1.5, label=label
    )


def _saved(axes: Axes, actual: Actual, start: datetime, constant: Trace, trace: Trace, label: str, colour: str) -> None:
    """At equal work: what the constant limit had emitted when it had done as much, less what this trace has."""
    work_s = np.linspace(0, float(trace.r @ np.diff(trace.edges_s)), POINTS)
    grams = [_grams_by_work(actual, start, one, work_s) for one in (constant, trace)]
    at_s = np.interp(work_s, _work_s(trace), trace.edges_s)
    axes.plot(at_s / 3600, grams[0] - grams[1], color=colour, linewidth=1.5, label=label)


def _work_s(trace: Trace) -> Floats:
    done: Floats = np.append(0.0, np.cumsum(trace.r * np.diff(trace.edges_s)))
    return done


def _grams_by_work(actual: Actual, start: datetime, trace: Trace, work_s: Floats) -> Floats:
    """What is emitted when so much work is done."""
    at_s = np.interp(work_s, _work_s(trace), trace.edges_s)
    middle = (at_s[1:] + at_s[:-1]) / 2
    piece = np.clip(np.searchsorted(trace.edges_s, middle, side="right") - 1, 0, len(trace.watts) - 1)
    total: Floats = np.append(0.0, np.cumsum(actual.grams(start, at_s, trace.watts[piece])))
    return total
