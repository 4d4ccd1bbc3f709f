"""Real profiling windows, noisy on purpose, and what is decided from them: by Zeus's rules, and by what is learned here."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from benchmarks.plan_cells import DATA

from carbonzeus_operator.plan.estimator import CONFIDENCE
from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_shape import concave
from carbonzeus_operator.plan.prior import Prior

REFERENCE_W, MINIMUM_W, FLOOR_R = 300.0, 150.0, 1 / 1.03
ETA = 0.5
"""Zeus's knob, its default."""


@dataclass(frozen=True, slots=True)
class Window:
    """A line of a log."""

    limit_w: float
    seconds: float
    average_w: float
    rate: float
    """Relative to the window at the reference limit."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is made of one log."""

    log: str
    backwards: int
    """How many windows look slower than one at a lower limit."""
    noise: float
    """Of a window, as its windows disagree with a rising curve (a standard deviation)."""
    by_cost_w: float
    """Zeus: the least eta energy + (1 - eta) 300 W time."""
    by_slowdown_w: float
    """Zeus: the lowest limit among the windows that are at most 3 % slower."""
    learned: tuple[tuple[float, float, float], ...]
    """(limit, r, what r is at least), falling."""
    ours_w: float
    """The lowest limit that is at most 3 % slower for sure."""


def logs() -> dict[str, list[Window]]:
    """By network and GPU count; limits fall."""
    found: dict[str, list[Window]] = defaultdict(list)
    with (DATA / "zeus" / "jit_profiles_a40.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            name = f"{row['network']}, {row['num_gpus']} GPU{'s' * (row['num_gpus'] != '1')}"
            numbers = (row["power_limit"], row["window_s"], row["avg_power_w_per_gpu"], row["rel_throughput"])
            found[name].append(Window(*map(float, numbers)))
    return {name: [each for each in windows if each.limit_w >= MINIMUM_W] for name, windows in found.items()}


def decisions() -> Iterator[Decision]:
    """One for each log."""
    for name, windows in logs().items():
        rates = np.array([window.rate for window in windows])
        watts = np.minimum.accumulate([window.average_w for window in windows]) + 0.02 * np.array(
            [window.limit_w for window in windows]
        )
        # How far the windows are from a curve that rises and bends down: the reference limit's own window is one of them.
        smooth = np.append(1.0, concave(watts, rates[1:], np.full(len(rates) - 1, 0.05)))
        noise = max(float(np.std(np.log(rates / smooth)) * math.sqrt(len(rates) / (len(rates) - 2))), 0.005)
        prior = Prior.of("NVIDIA A40", REFERENCE_W, MINIMUM_W)
        belief = Belief.before(prior)
        for window in windows:
            belief = belief.told(window.limit_w, math.log(window.rate), noise**2)
        r, deviations = belief.r, belief.deviations
        fitted = np.minimum(concave(watts, r, deviations), 1.0)
        lowest = np.minimum(r * np.exp(-CONFIDENCE * deviations), fitted)
        learned = tuple(zip(prior.limits_w, fitted.tolist(), lowest.tolist(), strict=True))
        cost = [(ETA * window.average_w + (1 - ETA) * REFERENCE_W) / window.rate for window in windows]
        quick = [window for window in windows if window.rate >= FLOOR_R]
        yield Decision(
            log=name,
            backwards=sum(
                any(window.rate < lower.rate for lower in windows[number + 1 :])
                for number, window in enumerate(windows)
            ),
            noise=noise,
            by_cost_w=windows[int(np.argmin(cost))].limit_w,
            by_slowdown_w=min(window.limit_w for window in quick),
            learned=learned,
            ours_w=min([limit_w for limit_w, _, low in learned if low >= FLOOR_R], default=REFERENCE_W),
        )
