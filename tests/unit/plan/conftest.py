"""What the planner's tests share: a published curve, forecasts, and how many examples to try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point
from tests.unit.plan.strategies import THOROUGH

# CARBONZEUS_THOROUGH=1: the numbers of examples that a release is judged by.
settings.register_profile("quick", max_examples=200, deadline=None)
settings.register_profile("thorough", max_examples=2_000, deadline=None)
settings.load_profile("thorough" if THOROUGH else "quick")

# ResNet50, batch 128, on one A40: power limit [W], relative time, average power [W].
# Source: ml-energy/zeus, traces of the NSDI'23 paper, Apache-2.0.
A40_RESNET50 = (
    (300, 1.000, 244.3),
    (275, 1.010, 230.8),
    (250, 1.017, 216.2),
    (225, 1.033, 198.4),
    (200, 1.068, 179.2),
    (175, 1.194, 160.9),
    (150, 1.644, 144.4),
)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

MakeForecast = Callable[..., list[Interval]]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def a40() -> Curve:
    points = [Point(limit_w, average_w, 1 / time) for limit_w, time, average_w in A40_RESNET50]
    return Curve.from_points(points, 300.0)


@pytest.fixture
def hourly() -> MakeForecast:
    """Intervals of equal length from intensities."""

    def make(values: Sequence[float], start: datetime = NOW, seconds: float = 3600.0) -> list[Interval]:
        step = timedelta(seconds=seconds)
        return [Interval(start + step * i, start + step * (i + 1), value) for i, value in enumerate(values)]

    return make
