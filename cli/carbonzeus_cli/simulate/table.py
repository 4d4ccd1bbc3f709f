"""The result for people: a table, and what it says in a sentence. Plain where it is not a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from carbonzeus_cli.simulate.learning import Lesson, learned_points
from carbonzeus_cli.simulate.rivals import constant_r
from carbonzeus_cli.simulate.study import LEARNED
from carbonzeus_cli.simulate.summary import Row

if TYPE_CHECKING:
    from carbonzeus_cli.simulate.command import Report

PLAIN_WIDTH = 120


def show(report: Report, console: Console) -> None:
    """Prints it."""
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH, file=console.file, no_color=True)
    for line in _heading(report):
        console.print(line, soft_wrap=True, markup=False)
    console.print(_table(report, plain=not console.is_terminal))
    for line in _findings(report):
        console.print(line, soft_wrap=True, markup=False)


def _heading(report: Report) -> list[str]:
    job, starts = report.study.job, report.starts
    knob = f"carbon weight {job.eta:g}, without a bound"
    if job.slowdown is not None:
        knob = f"at most {100 * job.slowdown:g} % slower at every moment ({job.rules.grace_s:g} s of grace)"
    length = "known" if job.known else "unknown"
    when = f"started {starts[0]:%Y-%m-%dT%H:%MZ}"
    if len(starts) > 1:
        when = f"{len(starts)} starts, {starts[0]:%Y-%m-%dT%H:%MZ} to {starts[-1]:%Y-%m-%dT%H:%MZ}"
    gpus = f"{job.gpus} GPU{'s' * (job.gpus > 1)}"
    return [
        f"curve      {report.curve_source}",
        f"intensity  {report.intensity_source}",
        f"job        {job.work_s / 3600:g} h of work on {gpus}, {knob}, length {length}; {when}",
        *(f"note       {note}" for note in report.notes),
    ]


def _table(report: Report, *, plain: bool) -> Table:
    table = Table(box=box.ASCII2 if plain else box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("same work, mean of all starts" if len(report.starts) > 1 else "same work")
    for column in ("carbon", "saved", "energy", "time", "slower", "most behind"):
        table.add_column(column, justify="right", no_wrap=True)
    rows = report.summary.rows
    names = _names(report)
    for policy, row in rows.items():
        style = "bold green" if policy == "ours" else ""
        table.add_row(names[policy], *_cells(row), style=style)
    if "optimum_anytime" not in rows:
        table.add_row(escape("optimum: pip install 'carbonzeus[optimum]'"), *["-"] * 6, style="dim")
    return table


def _names(report: Report) -> dict[str, str]:
    study, job = report.study, report.study.job
    names = {
        "default": f"default limit ({job.curve.highest.limit_w:g} W)",
        "static": "best constant limit",
        "eq6": "Eq. 6, tuned in hindsight",
        "eq6_anytime": "Eq. 6, tuned in hindsight, never behind",
        "ours": "carbonzeus",
        "ours_perfect": "carbonzeus with perfect foresight",
        "optimum_anytime": "optimum, never behind",
        "optimum_end": "optimum in the same time",
        "learned": "carbonzeus, learning the curve",
        "learned_again": "carbonzeus, in the next run of it",
    }
    if job.slowdown is None:
        return names
    limit_w = job.curve.limit_for(constant_r(job, study.constant_bound(job.bound)))
    return names | {
        "static": f"best constant limit ({limit_w:.0f} W)",
        "eq6": "Eq. 6, tuned in hindsight for the end",
        "eq6_anytime": "Eq. 6, tuned in hindsight to keep the bound",
        "optimum_anytime": "optimum within the bound at every moment",
        "optimum_end": "optimum within the bound at the end only",
    }


def _cells(row: Row) -> list[str]:
    carbon = f"{row.carbon_g / 1000:.3f} kg" if row.carbon_g >= 1000 else f"{row.carbon_g:.1f} g"
    return [
        carbon,
        f"{100 * row.saved:.2f} %",
        f"{row.energy_kwh:.3f} kWh",
        f"{row.hours:.2f} h",
        f"{100 * row.slowdown:.2f} %",
        f"{row.most_behind_s:.0f} s",
    ]


def _findings(report: Report) -> list[str]:
    summary, job = report.summary, report.study.job
    efficiency, timing = (
        f"{100 * summary.efficiency:.2f} % as the best constant limit does",
        f"{100 * summary.timing:.2f} % by timing",
    )
    worst = summary.worst_vs_static_pp
    compared = f"{abs(worst):.2f} points {'more' if worst >= 0 else 'less'} than the best constant limit"
    lines = [
        f"carbonzeus saves {100 * summary.rows['ours'].saved:.2f} % of the carbon: {efficiency}, {timing}.",
        f"{'In the worst of these starts it saves' if len(report.starts) > 1 else 'That is'} {compared}.",
    ]
    how = "within the bound" if job.slowdown is not None else "in the same time"
    if summary.of_optimum is not None:
        lines.append(f"It reaches {100 * summary.of_optimum:.2f} % of what could be saved {how} with everything known.")
    if report.lesson is not None:
        lines += _lessons(report, report.lesson)
    grace_s = job.bound.grace_s
    broken = [
        name
        for policy, name in _names(report).items()
        if policy in summary.rows and summary.rows[policy].most_behind_s > grace_s + 1e-3
    ]
    if job.slowdown is not None and broken:
        lines.append(f"More than {grace_s:g} s behind the bound at some moment: {'; '.join(broken)}.")
    return lines


def _lessons(report: Report, lesson: Lesson) -> list[str]:
    """What learning the curve costs, and what was learned."""
    rows = report.summary.rows
    said = []
    for policy, which in zip(LEARNED, ("Learning the curve", "The next run of the same workload"), strict=True):
        share = report.summary.of_known(policy)
        kept = f"{100 * share:.2f} % of the savings with the known curve" if share is not None else "nothing"
        said.append(f"{which} saves {kept}, after {rows[policy].profiling_s / 60:.0f} minutes of measuring.")
    points = learned_points(report.study.job.curve, lesson.learner)
    told = ", ".join(
        f"{point.limit_w:g} W {point.r:.4f} ({point.r_low:.4f} to {point.r_high:.4f}; true {point.true_r:.4f})"
        for point in points
        if point.known
    )
    return [*said, f"Learned in the first run, speed relative to the reference limit: {told}."]
