"""The result for programs: one JSON document."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from carbonzeus_cli.simulate.learning import Lesson, learned_points
from carbonzeus_cli.simulate.study import LEARNED, POLICIES
from carbonzeus_cli.simulate.summary import Row

if TYPE_CHECKING:
    from carbonzeus_cli.simulate.command import Report


def of(report: Report) -> str:
    """Shares are shares (0.15), not percent. A policy that could not be run is null."""
    summary = report.summary
    rows = {policy: _row(summary.rows[policy]) if policy in summary.rows else None for policy in POLICIES}
    found = {
        "inputs": _inputs(report),
        **rows,
        "efficiency": summary.efficiency,
        "timing": summary.timing,
        "of_optimum": summary.of_optimum,
        "worst_vs_static_pp": summary.worst_vs_static_pp,
        "notes": list(report.notes),
    }
    if report.lesson is not None:
        found["learned"] = _learned(report, report.lesson)
    return json.dumps(found, indent=2, allow_nan=False)


def _inputs(report: Report) -> dict[str, Any]:
    job, options = report.study.job, report.options
    return {
        "curve": report.curve_source,
        "intensity": report.intensity_source,
        "forecast": options.forecast.value,
        "slowdown": job.slowdown,
        "carbon_weight": job.eta if job.slowdown is None else None,
        "hours": options.hours,
        "length": "known" if job.known else "unknown",
        "gpus": job.gpus,
        "reference_limit_w": job.curve.reference_limit_w,
        "minimum_percent": options.minimum_percent,
        "host_watts_per_gpu": options.host_w_per_gpu,
        "pue": options.pue,
        "grace_s": options.grace_s,
        "replan_s": options.replan.total_seconds(),
    }


def _learned(report: Report, lesson: Lesson) -> dict[str, Any]:
    """Means over the starts; the points are those of the first."""
    summary = report.summary
    runs = {
        name: {
            **_row(summary.rows[policy]),
            "of_known_curve": summary.of_known(policy),
            "profiling_s": summary.rows[policy].profiling_s,
        }
        for name, policy in zip(("first_run", "second_run"), LEARNED, strict=True)
    }
    return {
        "product": report.options.product,
        "noise": report.options.noise,
        **runs,
        "points": [asdict(point) for point in learned_points(report.study.job.curve, lesson.learner)],
        "windows": [
            {
                "begin_s": taken.begin_s,
                "limit_w": taken.window.limit_w,
                "seconds": taken.window.seconds,
                "why": taken.window.why.value,
            }
            for taken in lesson.windows
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "carbon_g": row.carbon_g,
        "energy_kwh": row.energy_kwh,
        "hours": row.hours,
        "slowdown": row.slowdown,
        "saved": row.saved,
        "most_behind_s": row.most_behind_s,
        "runs": [
            {
                "start": f"{run.start:%Y-%m-%dT%H:%M:%SZ}",
                "carbon_g": run.carbon_g,
                "energy_kwh": run.energy_kwh,
                "hours": run.hours,
                "slowdown": run.slowdown,
                "saved": saved,
                "most_behind_s": run.most_behind_s,
            }
            for run, saved in zip(row.runs, row.saved_by_run, strict=True)
        ],
    }
