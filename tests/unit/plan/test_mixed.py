"""Jobs on several GPU products."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import FULL, Group, JobCurve, Overhead
from carbonzeus_operator.plan.schedule import SlowdownKnob, make_plan

SMALL = Curve.from_points([Point(100, 90, 40), Point(150, 140, 80), Point(200, 190, 100)], 200)
LARGE = Curve.from_points([Point(200, 180, 60), Point(300, 270, 90), Point(400, 380, 100)], 400)
PLAIN = Overhead()


def test_products_get_limits_of_equal_throughput() -> None:
    """No worker waits for another."""
    job = JobCurve.of({"small": Group(SMALL, 2), "large": Group(LARGE, 1)}, PLAIN)
    settings = job.settings(np.array([0.9, 0.8]))
    assert job.products == ("large", "small")
    for large_w, small_w, r in zip(*settings.limits_w, (0.9, 0.8), strict=True):
        assert LARGE.at(large_w)[1] == pytest.approx(r, abs=0.01)
        assert SMALL.at(small_w)[1] == pytest.approx(r, abs=0.01)


def test_job_moves_at_its_slowest_product() -> None:
    """Rounded up to whole watts, the products differ a little; the job has the least of them."""
    job = JobCurve.of({"small": Group(SMALL, 2), "large": Group(LARGE, 1)}, PLAIN)
    settings = job.settings(np.array([0.87]))
    (large_w,), (small_w,) = settings.limits_w
    assert settings.r[0] == pytest.approx(min(LARGE.at(large_w)[1], SMALL.at(small_w)[1]))
    assert settings.r[0] >= 0.87 - 1e-9


def test_power_is_the_sum_over_all_gpus() -> None:
    """With host power for each GPU, and the site's PUE on top."""
    job = JobCurve.of({"small": Group(SMALL, 2), "large": Group(LARGE, 3)}, Overhead(host_w_per_gpu=50, pue=1.5))
    assert job.settings(np.array([FULL])).watts[0] == pytest.approx(1.5 * (2 * 190 + 3 * 380 + 5 * 50))
    assert job.most_w == pytest.approx(1.5 * (2 * 200 + 3 * 400 + 5 * 50))


def test_job_is_no_slower_than_its_least_flexible_product() -> None:
    """A product whose limit may not fall keeps the others up."""
    pinned = Curve.from_points([Point(100, 90, 40), Point(200, 190, 100)], 200, minimum_w=190)
    job = JobCurve.of({"pinned": Group(pinned, 1), "large": Group(LARGE, 1)}, PLAIN)
    assert job.r[0] == pytest.approx(0.94)


def test_job_is_no_faster_than_its_most_capped_product() -> None:
    """Where one product's ceiling is low, the others need not wait at full power."""
    capped = Curve.from_points([Point(100, 90, 40), Point(200, 190, 100)], 200, maximum_w=175)
    job = JobCurve.of({"capped": Group(capped, 1), "large": Group(LARGE, 1)}, PLAIN)
    assert job.top_r == pytest.approx(0.85)
    assert job.settings(np.array([0.85])).limits_w[0] == pytest.approx(175)


def test_products_without_a_common_throughput_still_have_a_plan() -> None:
    """One may not be fast, the other not slow: each comes as near as it can."""
    capped = Curve.from_points([Point(100, 90, 40), Point(200, 190, 100)], 200, maximum_w=120)
    pinned = Curve.from_points([Point(100, 90, 40), Point(200, 190, 100)], 200, minimum_w=190)
    job = JobCurve.of({"capped": Group(capped, 1), "pinned": Group(pinned, 1)}, PLAIN)
    assert len(job.r) == 1
    assert job.settings(job.r).limits_w.ravel().tolist() == pytest.approx([120, 190])


def test_plan_names_every_product(now: datetime, hourly: Callable[..., list[Interval]]) -> None:
    """All products switch at the same instants."""
    fleet = {"small": Group(SMALL, 2), "large": Group(LARGE, 1)}
    plan = make_plan(now=now, forecast=hourly([100, 900, 100]), fleet=fleet, knob=SlowdownKnob(0.05, 60))
    assert all(set(step.limits_w) == {"small", "large"} for step in plan.steps)
    assert len(plan.steps) > 2


def test_limits_round_up_to_whole_watts_but_never_past_the_highest() -> None:
    """Rounding costs no time, a hair above a whole watt is noise, and no cap is ever raised."""
    curve = Curve.from_points([Point(100, 100, 50), Point(300, 280, 100)], 249.5)
    job = JobCurve.of({"GPU": Group(curve, 1)}, PLAIN)
    wanted = np.array([curve.at(limit_w)[1] for limit_w in (200.0000000001, 200.01, 249.2)])
    assert job.settings(wanted).limits_w.ravel().tolist() == [200, 201, 249.5]


def test_best_constant_throughput_minimises_energy_for_the_same_work(a40: Curve) -> None:
    """It is the bound's own where slower is more efficient, and the most efficient where the bound allows more."""
    job = JobCurve.of({"A40": Group(a40, 1)}, PLAIN)
    assert job.best_constant_r(1 / 1.03) == pytest.approx(1 / 1.03)
    assert job.best_constant_r(1 / 1.5) == pytest.approx(a40.at(200)[1])
    assert job.best_constant_r(1.2) == 1.0


@pytest.mark.parametrize(
    ("fleet", "overhead", "reason"),
    [
        ({}, PLAIN, "NoGPUs"),
        ({"small": Group(SMALL, 0)}, PLAIN, "NoGPUs"),
        ({"small": Group(SMALL, 1)}, Overhead(host_w_per_gpu=-1), "InvalidOverhead"),
        ({"small": Group(SMALL, 1)}, Overhead(pue=0.9), "InvalidOverhead"),
        ({"small": Group(SMALL, 1)}, Overhead(pue=float("nan")), "InvalidOverhead"),
    ],
)
def test_fleet_that_cannot_be_meant_is_refused(fleet: dict[str, Group], overhead: Overhead, reason: str) -> None:
    """With a reason for the condition."""
    with pytest.raises(InvalidSpec) as refused:
        JobCurve.of(fleet, overhead)
    assert refused.value.reason == reason
