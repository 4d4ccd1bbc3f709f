"""The arithmetic of slowdown and credit, and the bound itself over whole runs with everything going wrong."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.bound import credit_s, margin_s, slowdown
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import SlowdownKnob, make_plan
from carbonzeus_operator.plan.survival import Known, Length, Unknown

GRACE_S = 60.0
CYCLE_S = 300.0
UNSEEN_S = 3 * CYCLE_S
NOISE_S = 5.0


def test_credit_is_zero_exactly_at_the_bound() -> None:
    """There, elapsed = (1 + s)(work + grace)."""
    assert credit_s(elapsed_s=1.03 * 1060, work_s=1000, slowdown=0.03, grace_s=60) == pytest.approx(0)


def test_margin_is_held_back() -> None:
    """A curve that may be 10 % wrong can cost 10 % of the time until the next measurement, and the counter's grain."""
    margin = margin_s(r_error=0.1, unseen_s=300, resolution_s=2)
    assert margin == pytest.approx(32)
    assert credit_s(elapsed_s=0, work_s=0, slowdown=0.03, grace_s=60, margin_s=margin) == pytest.approx(28)


def test_slowdown_of_a_job_that_has_not_begun() -> None:
    """No time passed is no slowdown; time without work is an infinite one."""
    assert slowdown(elapsed_s=0, work_s=0) == 0
    assert slowdown(elapsed_s=10, work_s=0) == math.inf
    assert slowdown(elapsed_s=103, work_s=100) == pytest.approx(0.03)


class Run:
    """One job, one wrong curve, garbage for a forecast: what is true, and what the operator gets to see."""

    def __init__(self, seed: int, truth: Curve, *, error: float, noise_s: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.truth = truth
        self.noise_s = noise_s
        self.bound = self.rng.choice([0.01, 0.03, 0.05, 0.1])
        # The curve that is planned with overstates or understates each point's speed, full speed excepted.
        self.believed = Curve.from_points(
            [
                Point(v.limit_w, v.average_w, v.r * (1 if v.limit_w == 300 else 1 + self.rng.uniform(-error, error)))
                for v in truth.points
            ],
            300,
        )
        self.now = datetime.fromisoformat("2026-11-24T00:00:00+00:00")
        self.forecast = self.garbage()

    def garbage(self) -> list[Interval]:
        """A forecast that has nothing to do with anything, with gaps."""
        made, start = [], self.now
        for _ in range(self.rng.randint(0, 40)):
            end = start + timedelta(seconds=self.rng.choice([300, 1800, 3600]))
            if self.rng.random() < 0.9:
                made.append(Interval(start, end, self.rng.choice([0, self.rng.uniform(-50, 900)])))
            start = end
        return made

    def worst_overrun_s(self, cycles: int, margin: float) -> float:
        """The lowest true credit the job ever has, negated: what it is over its bound with grace."""
        elapsed = work = 0.0
        lowest = GRACE_S
        lengths: list[Length] = [Unknown(), Unknown(3_600.0), Known(cycles * CYCLE_S)]
        length = self.rng.choice(lengths)
        for _ in range(cycles):
            seen = credit_s(elapsed_s=elapsed, work_s=work, slowdown=self.bound, grace_s=GRACE_S, margin_s=margin)
            plan = make_plan(
                now=self.now,
                forecast=self.forecast,
                fleet={"GPU": Group(self.believed, 1)},
                knob=SlowdownKnob(self.bound, seen),
                length=length,
            )
            # At times the operator is away for longer, as long as an agent's lease lets the plan stand.
            away = CYCLE_S * (3 if self.rng.random() < 0.05 else 1)
            stuck = self.rng.random() < 0.1  # the limit does not take: the board stays as fast as it likes
            edges = [*(step.at for step in plan.steps if step.at < self.now + timedelta(seconds=away))]
            for begin, end, step in zip(
                edges, [*edges[1:], self.now + timedelta(seconds=away)], plan.steps, strict=False
            ):
                seconds = (end - begin).total_seconds()
                r = 1.0 if stuck else self.truth.at(step.limits_w["GPU"])[1]
                elapsed += seconds
                work += r * seconds
                lowest = min(lowest, credit_s(elapsed_s=elapsed, work_s=work, slowdown=self.bound, grace_s=GRACE_S))
            self.now += timedelta(seconds=away)
            if self.rng.random() < 0.2:
                self.forecast = self.garbage()
            if self.rng.random() < 0.02:
                # The job restarts: neither time nor work counts while its workers do not all run.
                self.now += timedelta(seconds=self.rng.uniform(1, 600))
        return -lowest


def test_bound_holds_with_a_right_curve_and_a_senseless_forecast(a40: Curve, thorough: bool) -> None:
    """The forecast can cost savings, never time."""
    for seed in range(2_000 if thorough else 60):
        assert Run(seed, a40, error=0.0).worst_overrun_s(40, margin=0.0) <= 1e-3


def test_bound_holds_with_a_wrong_curve_but_for_one_interval_without_measurement(a40: Curve, thorough: bool) -> None:
    """A curve up to 10 % wrong costs at most 10 % of the longest time without a measurement, once, and its noise."""
    for seed in range(4_000 if thorough else 60):
        overrun_s = Run(seed, a40, error=0.1, noise_s=NOISE_S).worst_overrun_s(40, margin=0.0)
        assert overrun_s <= 0.1 * UNSEEN_S + NOISE_S


def test_bound_holds_strictly_with_the_margin(a40: Curve, thorough: bool) -> None:
    """Holding back what the curve may be wrong by until the next measurement leaves no violation at all."""
    margin = margin_s(r_error=0.1, unseen_s=UNSEEN_S, resolution_s=NOISE_S)
    for seed in range(4_000 if thorough else 60):
        assert Run(seed, a40, error=0.1, noise_s=NOISE_S).worst_overrun_s(40, margin=margin) <= 1e-3
