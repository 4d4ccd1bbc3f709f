"""The picture of the demo: intensity, limits and carbon over the replayed hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from carbonzeus_bed.demo.frame import Frame
from carbonzeus_bed.demo.recording import Recording, Replay
from carbonzeus_bed.demo.scenario import DAYS, DUO, JOBS, Job
from carbonzeus_bed.truth import Grid, Truth

COLOURS = {"resnet-solo": "#1f77b4", "resnet-duo": "#d95f02", "resnet-plain": "#888888"}
HOURS = 24 * DAYS


def draw(path: Path, recording: Recording, replay: Replay, truth: Truth, frames: Sequence[Frame]) -> None:
    """Writes the picture as PNG."""
    mpl.use("Agg")
    figure = Figure(figsize=(9.2, 7.4), dpi=130, layout="constrained")
    grid, limits, carbon = figure.subplots(3, 1, sharex=True, height_ratios=(1.0, 1.0, 1.1))
    _intensity(grid, recording, replay)
    _limits(limits, truth, replay)
    _carbon(carbon, frames)
    for axes in (grid, limits, carbon):
        axes.grid(axis="both", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    carbon.set_xlim(0, HOURS)
    carbon.set_xticks(range(0, HOURS + 1, 12))
    carbon.set_xlabel("replayed hours")
    figure.savefig(path)


def _intensity(axes: Axes, recording: Recording, replay: Replay) -> None:
    hours, values = _steps(recording.actual, replay)
    axes.plot(hours, values, color="black", linewidth=1.8, drawstyle="steps-post", label="actual")
    for number, (issued, intervals) in enumerate(recording.issues):
        following = [issue for issue, _ in recording.issues if issue > issued]
        end = min(following, default=intervals[-1].end)
        hours, values = _steps([each for each in intervals if each.start < end], replay)
        label = "forecast of each day" if number == 0 else None
        axes.plot(hours, values, color="#7b3294", linewidth=1.3, linestyle="--", drawstyle="steps-post", label=label)
    axes.set_ylabel("gCO$_2$eq/kWh")
    axes.set_title("Carbon intensity of California's grid", loc="left", fontsize=11)
    axes.legend(loc="upper right", ncols=2, frameon=False, fontsize=9)
    axes.set_ylim(bottom=0, top=1.18 * max(each.gco2_per_kwh for each in recording.actual))


def _limits(axes: Axes, truth: Truth, replay: Replay) -> None:
    for job in JOBS:
        hours, limits_w = _limits_of(truth, job, replay)
        width = 1.3 if job.managed else 1.8
        axes.plot(hours, limits_w, color=COLOURS[job.name], linewidth=width, drawstyle="steps-post", label=job.name)
    axes.set_ylabel("W")
    axes.set_title("Power limit of each GPU", loc="left", fontsize=11)
    axes.set_ylim(140, 340)
    axes.legend(loc="upper right", ncols=3, frameon=False, fontsize=9)


def _carbon(axes: Axes, frames: Sequence[Frame]) -> None:
    hours, carbon_g, baseline_g = [], [], []
    for frame in frames:
        report = frame.reports.get(DUO.name)
        if report is not None and report.baseline_ug is not None and frame.hours <= HOURS * 1.05:
            hours.append(frame.hours)
            carbon_g.append(report.carbon_ug / 1e6)
            baseline_g.append(report.baseline_ug / 1e6)
    axes.plot(hours, baseline_g, color="#888888", linewidth=1.8, linestyle="--", label="the same work at 300 W")
    axes.plot(hours, carbon_g, color=COLOURS[DUO.name], linewidth=1.8, label="with carbonzeus")
    axes.fill_between(hours, carbon_g, baseline_g, color="#1b9e77", alpha=0.3, linewidth=0)
    last = frames[-1].reports.get(DUO.name) if frames else None
    if last is not None and last.saved_ug is not None and hours:
        axes.text(
            0.98,
            0.08,
            f"saved {last.saved_ug / 1e6:.2f} g, {last.saved}:\n{last.efficiency} efficiency, {last.timing} timing",
            transform=axes.transAxes,
            ha="right",
            fontsize=10,
            color="#11694f",
        )
    axes.set_ylabel("gCO$_2$eq")
    axes.set_title(f"Carbon of {DUO.name} (2 workers, 2 GPUs each), summed up", loc="left", fontsize=11)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _steps(intervals: Iterable[Grid], replay: Replay) -> tuple[list[float], list[float]]:
    """Corners of the steps, as far as the picture goes."""
    end = replay.recorded_start + timedelta(hours=HOURS)
    intervals = [each for each in intervals if each.start < end]
    starts = [replay.hours(replay.wall(each.start)) for each in intervals]
    values = [each.gco2_per_kwh for each in intervals]
    return [*starts, replay.hours(replay.wall(intervals[-1].end))], [*values, values[-1]]


def _limits_of(truth: Truth, job: Job, replay: Replay) -> tuple[list[float], list[float]]:
    """Of one of the job's GPUs: they switch together."""
    stretches = truth.select(job=job.full_name)
    own = [stretch for stretch in stretches if stretch.uuid == stretches[0].uuid]
    moments = [datetime.fromtimestamp(stretch.start_ns / 1e9, tz=replay.wall_start.tzinfo) for stretch in own]
    return [replay.hours(moment) for moment in moments], [stretch.limit_w for stretch in own]
