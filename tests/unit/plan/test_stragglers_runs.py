"""Whole runs of jobs with slow boards: what lowering the others costs in time, and what it saves."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.stragglers import Need, Waiting, limit_for
from carbonzeus_operator.plan.stragglers_signs import Shown
from tests.unit.plan.conftest import A40_RESNET50
from tests.unit.plan.strategies import THOROUGH

A40 = "NVIDIA A40"
POINTS = tuple(Point(limit_w, average_w, 1 / time) for limit_w, time, average_w in A40_RESNET50)
CURVE = Curve.from_points(POINTS, 300.0)
IDLE_W = 30.0
WINDOW_S = 300.0
LAG_S = 60.0
"""Of each window, before what was decided with the one before is in force."""
HOUR = 12
"""Windows."""


@dataclass(frozen=True)
class Weather:
    """What makes the figures of a run wander (standard deviations, relative)."""

    utilization: float = 0.0
    power: float = 0.005
    clock: float = 0.003
    steps: float = 0.003
    boards: float = 0.0
    """The true speed of each board, from window to window."""


@dataclass
class Run:
    """A job of so many workers with one GPU each, beside the same job with nobody lowered."""

    truth: Curve
    known: Curve
    weather: Weather = Weather()
    hot: bool = False
    """Slow boards are capped in their clock, so that low limits do not slow them down; else they are slow at every limit."""
    seed: int = 0
    elapsed_s: float = 0.0
    delay_s: float = 0.0
    joules: float = 0.0
    """For all the work, the delay's included."""
    joules_otherwise: float = 0.0
    waiting: Waiting = field(default_factory=Waiting)
    _held: dict[str, Need] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def go(self, speeds: Sequence[float], planned_w: float) -> None:
        """A window in which the boards have these speeds."""
        speeds = [speed * self._around(self.weather.boards) for speed in speeds]
        pods = [f"worker-{index}" for index in range(len(speeds))]
        needs = self.waiting.needs
        for in_force, seconds in ((self._held, LAG_S), (needs, WINDOW_S - LAG_S)):
            limits_w = [limit_for(planned_w, self.known, in_force.get(pod, Need())) for pod in pods]
            self._pass(speeds, planned_w, limits_w, seconds)
        self._held = needs
        pace = min(map(self._speed, speeds, limits_w))
        shown = {
            pod: [self._shown(speed, limit_w, pace)] for pod, speed, limit_w in zip(pods, speeds, limits_w, strict=True)
        }
        steps_per_s = 7.0 * pace * self._around(self.weather.steps)
        self.waiting = self.waiting.observe(shown, {A40: self.known}, steps_per_s=steps_per_s)

    @property
    def saved(self) -> float:
        """Share of the energy."""
        return 1 - self.joules / self.joules_otherwise

    def _pass(self, speeds: Sequence[float], planned_w: float, limits_w: Sequence[float], seconds: float) -> None:
        pace = min(map(self._speed, speeds, limits_w))
        otherwise = min(self._speed(speed, planned_w) for speed in speeds)
        self.elapsed_s += seconds
        self.delay_s += (1 - pace / otherwise) * seconds
        for speed, limit_w in zip(speeds, limits_w, strict=True):
            self.joules += seconds * otherwise / pace * self._power_w(speed, limit_w, pace)
            self.joules_otherwise += seconds * self._power_w(speed, planned_w, otherwise)

    def _speed(self, speed: float, limit_w: float) -> float:
        r = self.truth.at(limit_w)[1]
        return min(r, speed) if self.hot else r * speed

    def _power_w(self, speed: float, limit_w: float, pace: float) -> float:
        drawn_w = min(limit_w, self.truth.limit_for(speed)) if self.hot else limit_w
        return IDLE_W + pace / self._speed(speed, limit_w) * (self.truth.at(drawn_w)[0] - IDLE_W)

    def _shown(self, speed: float, limit_w: float, pace: float) -> Shown:
        own = self._speed(speed, limit_w)
        return Shown(
            product=A40,
            seconds=WINDOW_S - LAG_S,
            limit_w=limit_w,
            average_w=self._power_w(speed, limit_w, pace) * self._around(self.weather.power),
            utilization=min(pace / own * self._around(self.weather.utilization), 1.0),
            sm_mhz=1740.0 * own * self._around(self.weather.clock),
        )

    def _around(self, deviation: float) -> float:
        return max(1.0 + self._random.gauss(0.0, deviation), 0.01)


speeds = st.just(1.0) | st.just(1.0) | st.floats(0.6, 1.0)


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[list[float]], list[float], int]:
    """The speeds of 2 to 8 boards and the plan's limit in each window of eight hours, and how often any board's speed changes."""
    workers, length = draw(st.integers(2, 8)), 8 * HOUR
    phases = draw(st.lists(st.lists(speeds, min_size=workers, max_size=workers), min_size=1, max_size=4))
    ends = sorted(draw(st.lists(st.integers(1, length - 1), min_size=len(phases) - 1, max_size=len(phases) - 1)))
    limits_w = draw(st.lists(st.sampled_from([150.0, 175.0, 200.0, 225.0, 250.0, 300.0]), min_size=16, max_size=16))
    if draw(st.booleans()):
        limits_w = limits_w[:1] * 16
    of_window = [phases[sum(window >= end for end in ends)] for window in range(length)]
    return of_window, [limits_w[window // 6] for window in range(length)], len(ends)


@settings(max_examples=1_000 if THOROUGH else 100)
@given(
    life=lives(),
    utilization=st.just(0.0) | st.floats(0.0, 0.03),
    error=st.sampled_from([0.0, 0.0, 0.03]),
    hot=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_lowering_those_who_wait_costs_next_to_no_time(
    life: tuple[list[list[float]], list[float], int],
    utilization: float,
    error: float,
    hot: bool,
    seed: int,
) -> None:
    """At most 0.1 % of the time, and a window for each time that speeds change: the curve wrong, the utilisation noisy, the plan moving."""
    of_window, limits_w, changes = life
    rng = random.Random(seed)
    wrong = [
        Point(p.limit_w, p.average_w, p.throughput * (1 + (p.limit_w < 300) * rng.uniform(-error, error)))
        for p in POINTS
    ]
    run = Run(CURVE, Curve.from_points(wrong, 300.0), Weather(utilization=utilization), hot=hot, seed=seed)
    for boards, planned_w in zip(of_window, limits_w, strict=True):
        run.go(boards, planned_w)
    assert run.delay_s <= 0.001 * run.elapsed_s + changes * WINDOW_S


def four(speeds_at: Callable[[int], Sequence[float]], weather: Weather, *, planned_w: float = 300.0) -> Run:
    """A day of four boards."""
    run = Run(CURVE, CURVE, weather, seed=1)
    for window in range(24 * HOUR):
        run.go(speeds_at(window), planned_w)
    return run


@pytest.mark.parametrize(
    ("planned_w", "noise", "least", "most"),
    [
        (300, 0.0, 0.155, 0.17),
        (300, 0.01, 0.15, 0.17),
        (300, 0.02, 0.13, 0.16),
        (300, 0.03, 0.03, 0.14),
        (250, 0.005, 0.09, 0.12),
        (200, 0.005, 0.004, 0.02),
    ],
)
def test_one_poor_board_of_four_saves_energy(planned_w: float, noise: float, least: float, most: float) -> None:
    """At 85 % of the others' speed, for a day: of the whole job's energy. The figures of docs/stragglers.md."""
    run = four(lambda _: (0.85, 1.0, 1.0, 1.0), Weather(utilization=noise), planned_w=planned_w)
    print(
        f"{planned_w:g} W, utilisation noise {noise:.1%}: saved {run.saved:.2%}, delay {run.delay_s / run.elapsed_s:.4%}"
    )
    assert least < run.saved < most
    assert run.delay_s <= 1e-4 * run.elapsed_s


def test_straggler_that_comes_and_goes_saves_less_and_costs_little() -> None:
    """Two hours slow, two hours not."""
    run = four(
        lambda window: (0.85 if window // (2 * HOUR) % 2 == 0 else 1.0, 1.0, 1.0, 1.0), Weather(utilization=0.005)
    )
    print(f"comes and goes every two hours: saved {run.saved:.2%}, delay {run.delay_s:.0f} s of {run.elapsed_s:.0f} s")
    assert run.saved > 0.01
    assert run.delay_s <= 6 * (WINDOW_S + LAG_S) * 0.15


def test_boards_whose_speed_really_wanders_lose_next_to_nothing() -> None:
    """One per cent from window to window, each by itself: what they need is kept a few deviations above what was seen."""
    run = four(lambda _: (0.85, 1.0, 1.0, 1.0), Weather(utilization=0.005, boards=0.01))
    print(f"speeds that wander by 1 %: saved {run.saved:.2%}, delay {run.delay_s / run.elapsed_s:.4%}")
    assert run.saved > 0.12
    assert run.delay_s <= 1e-3 * run.elapsed_s
