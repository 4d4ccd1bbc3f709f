"""What a plan is expected to do, from the forecast: never mixed with realised figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.mixed import JobCurve, Settings
from carbonzeus_operator.plan.outlook import Outlook

Floats = NDArray[np.float64]
WATT_SECONDS_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Planned:
    """From now until the plan's horizon ends. All grams are for the same work: what the plan does in that time."""

    grams: float
    reference_grams: float
    """The same work at the reference limits, done sooner."""
    static_grams: float
    """The same work at the best constant limit within the bound, or within the plan's own slowdown where none is set;
    mixing two limits where none fits exactly."""
    slowdown: float
    """Of the planned stretch alone."""


def planned(
    outlook: Outlook, curve: JobCurve, starts_s: Floats, settings: Settings, end_s: float, floor_r: float | None
) -> Planned:
    """The figures of a plan that holds `settings` from `starts_s` on, until `end_s` [s after now]."""
    begins = np.minimum(starts_s, end_s)
    seconds = np.diff(begins, append=end_s)
    work_s = float(settings.r @ seconds)
    static_r = curve.best_constant_r(floor_r if floor_r is not None else work_s / end_s if end_s > 0 else 0.0)
    passed = _intensity_so_far(outlook, np.append(begins, (end_s, work_s / curve.top_r, work_s / static_r)))
    return Planned(
        grams=float(settings.watts @ np.diff(passed[:-2])) / WATT_SECONDS_PER_KWH,
        reference_grams=curve.top_w * float(passed[-2]) / WATT_SECONDS_PER_KWH,
        static_grams=curve.mixed_watts(static_r) * float(passed[-1]) / WATT_SECONDS_PER_KWH,
        slowdown=end_s / work_s - 1 if work_s > 0 else 0.0,
    )


def _intensity_so_far(outlook: Outlook, at_s: Floats) -> Floats:
    """The intensity integrated from now to times [gCO2eq/kWh s]; after the outlook its mean goes on."""
    edges = np.append(0.0, outlook.start_s + outlook.seconds)
    integral = np.append(0.0, np.cumsum(outlook.seconds * outlook.gco2_per_kwh))
    beyond_s = np.maximum(at_s - edges[-1], 0.0)
    total: Floats = np.interp(at_s, edges, integral) + beyond_s * outlook.mean
    return total
