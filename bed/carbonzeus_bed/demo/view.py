"""The frames of the demo on a terminal: a live picture, or a line now and then where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from carbonzeus_bed.demo.frame import Frame
from carbonzeus_bed.demo.ledger import Report
from carbonzeus_bed.demo.scenario import DAYS, JOBS, Job

SPARKS = "▁▂▃▄▅▆▇█"
CLEAN, MIDDLING, DIRTY = "green", "yellow", "red"


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """One character a value, from `low` to `high`."""
    span = max(high - low, 1e-9)
    ranks = [round((value - low) / span * (len(SPARKS) - 1)) for value in values]
    return "".join(SPARKS[min(max(rank, 0), len(SPARKS) - 1)] for rank in ranks)


def clock(hours: float) -> str:
    """Recorded time as people count it: day 2, 14:00."""
    if hours < 0:
        return "before day 1"
    return f"day {int(hours // 24) + 1}, {int(hours % 24):02d}:00"


def render(frame: Frame, low: float, high: float) -> RenderableType:
    """The whole picture; `low` and `high` are the ends of the recording's intensity."""
    return Group(_grid(frame, low, high), _jobs(frame), _boards(frame))


def line(frame: Frame) -> str:
    """The most important of it in one line."""
    intensity = "-" if frame.intensity is None else f"{frame.intensity:.0f} g/kWh"
    parts = [f"{clock(frame.hours):13} {intensity:>9}"]
    for job in JOBS:
        report = frame.reports.get(job.name)
        if report is not None:
            state = f"{report.state} {report.limit}".strip()
            parts.append(f"{job.name} {state}, {report.slowdown or '-'} behind, saved {report.saved or '-'}")
        else:
            parts.append(f"{job.name} {frame.phases[job.name]}")
    return " | ".join(parts)


def _grid(frame: Frame, low: float, high: float) -> RenderableType:
    text = Text()
    if frame.intensity is not None:
        share = (frame.intensity - low) / max(high - low, 1e-9)
        colour = CLEAN if share < 1 / 3 else MIDDLING if share < 2 / 3 else DIRTY
        text.append(f"{frame.intensity:4.0f} gCO2eq/kWh now", style=f"bold {colour}")
    else:
        text.append("no intensity yet", style="dim")
    text.append("   forecast ")
    text.append(sparkline(frame.forecast, low, high), style="cyan")
    text.append(f"  ({low:.0f} to {high:.0f}, one bar is 3 h)", style="dim")
    return Panel(text, title=f"California's grid, {clock(frame.hours)} of {DAYS} days", title_align="left")


def _jobs(frame: Frame) -> RenderableType:
    table = Table(expand=True, title_justify="left")
    for name in ("Job", "State"):
        table.add_column(name)
    for name in ("Limit", "Slowdown", "Energy", "Carbon", "Saved", "Saved"):
        table.add_column(name, justify="right")
    for job in JOBS:
        table.add_row(job.name, *_row(job, frame))
    return table


def _row(job: Job, frame: Frame) -> tuple[str, ...]:
    report = frame.reports.get(job.name)
    if report is None:
        state = frame.phases[job.name]
        return (state if job.managed else f"{state}, not ours", "", "", "", "", "", "")
    return (
        report.state,
        report.limit,
        report.slowdown,
        f"{report.energy_mj / 3.6e6:.2f} Wh",
        f"{report.carbon_ug / 1e6:.2f} g",
        _saved_g(report),
        report.saved,
    )


def _saved_g(report: Report) -> str:
    return "" if report.saved_ug is None else f"{report.saved_ug / 1e6:.2f} g"


def _boards(frame: Frame) -> RenderableType:
    text = Text()
    for index, (node, limits_w) in enumerate(sorted(frame.limits_w.items())):
        text.append("\n" if index else "")
        text.append(f"{node}  ")
        for limit_w in limits_w:
            capped = limit_w < max(limits_w)
            text.append(f"{limit_w:5.0f} W", style="bold cyan" if capped else "dim")
    return Panel(text, title="power limits of the boards", title_align="left")
