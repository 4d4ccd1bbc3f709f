"""Curves: what is repaired, what is refused, and what a repaired curve promises."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.curve import Curve, Point, isotonic


def test_throughput_is_relative_to_the_reference_limit(a40: Curve) -> None:
    """Whatever the unit of throughput was, r is 1 at the reference limit."""
    points = [Point(200, 180, 50), Point(300, 250, 80), Point(400, 300, 100)]
    curve = Curve.from_points(points, 300)
    assert curve.at(300) == (250, 1.0)
    assert curve.at(200) == (180, 50 / 80)
    assert a40.at(300) == (244.3, 1.0)


def test_points_above_the_reference_limit_are_not_planned() -> None:
    """An admin's own cap is never raised."""
    curve = Curve.from_points([Point(200, 180, 50), Point(300, 250, 80), Point(400, 300, 100)], 300)
    assert curve.highest.limit_w == 300


def test_reference_between_two_points_is_interpolated() -> None:
    """The reference limit needs no point of its own."""
    curve = Curve.from_points([Point(200, 180, 50), Point(400, 300, 100)], 300)
    assert curve.highest.average_w == 240
    assert curve.at(200)[1] == pytest.approx(50 / 75)


def test_reference_above_the_largest_point_takes_its_figures_and_says_so() -> None:
    """Full speed then means the reference limit itself, whose speed is the only one that is sure to be 1."""
    curve = Curve.from_points([Point(200, 180, 50), Point(275, 240, 90)], 300)
    assert (curve.highest.limit_w, curve.highest.average_w, curve.highest.r) == (300, 240, 1)
    assert curve.at(275)[1] < 1
    assert any("300 W was not measured" in repair for repair in curve.repairs)


def test_clean_curve_needs_no_repair() -> None:
    """Nothing is said where nothing was done."""
    curve = Curve.from_points([Point(100, 100, 50), Point(200, 180, 80), Point(300, 280, 100)], 300)
    assert curve.repairs == ()
    assert curve.correction == 0


def test_speed_that_rises_at_a_lower_limit_is_repaired_and_named() -> None:
    """A window measured at 275 W that looks faster than 300 W is noise: both get the mean."""
    points = [Point(200, 180, 0.85), Point(275, 240, 1.02), Point(300, 250, 1.00)]
    curve = Curve.from_points(points, 300)
    assert curve.at(275)[1] == curve.at(300)[1] == 1.0
    assert curve.at(200)[1] == pytest.approx(0.85 / 1.01)
    assert any("throughput" in repair and "275 W" in repair and "300 W" in repair for repair in curve.repairs)
    assert curve.correction == pytest.approx(0.01, rel=0.1)


def test_power_that_falls_with_the_limit_is_repaired() -> None:
    """Power is made to rise with the limit, too."""
    curve = Curve.from_points([Point(200, 185, 0.8), Point(250, 180, 0.9), Point(300, 240, 1.0)], 300)
    assert curve.at(200)[0] == curve.at(250)[0] == 182.5
    assert any("average power" in repair for repair in curve.repairs)


def test_points_off_the_hull_are_kept_for_interpolation_but_not_planned(a40: Curve) -> None:
    """A mix of 250 W and 300 W beats 275 W by a hair; its figures are still the ones to interpolate with."""
    assert [vertex.limit_w for vertex in a40.hull] == [150, 175, 200, 225, 250, 300]
    assert a40.at(275) == pytest.approx((230.8, 1 / 1.010))
    assert any("275 W" in repair for repair in a40.repairs)


def test_several_measurements_of_a_limit_are_averaged() -> None:
    """Two windows at the same limit are one point."""
    curve = Curve.from_points([Point(200, 180, 0.8), Point(200, 190, 0.9), Point(300, 250, 1.0)], 300)
    assert curve.at(200) == pytest.approx((185, 0.85))


def test_allowed_range_ends_between_points() -> None:
    """minimum_w and maximum_w need not be measured limits."""
    points = [Point(100, 100, 50), Point(200, 180, 80), Point(300, 280, 100)]
    curve = Curve.from_points(points, 300, minimum_w=150, maximum_w=270)
    assert [vertex.limit_w for vertex in curve.points] == [150, 200, 270]
    assert curve.lowest.r == pytest.approx(0.65)
    assert curve.highest.r == pytest.approx(0.94)


def test_range_below_the_smallest_point_ends_there() -> None:
    """Nothing is extrapolated."""
    curve = Curve.from_points([Point(100, 100, 50), Point(300, 280, 100)], 300, minimum_w=50)
    assert curve.lowest.limit_w == 100


def test_range_of_one_limit_leaves_one_point() -> None:
    """A policy may pin the limit."""
    curve = Curve.from_points([Point(100, 100, 50), Point(300, 280, 100)], 300, minimum_w=300)
    assert [vertex.limit_w for vertex in curve.points] == [300]
    assert curve.limit_for(0.5) == 300
    assert curve.at(100) == (280, 1.0)


def test_limit_for_is_the_inverse_of_at(a40: Curve) -> None:
    """The lowest limit that reaches a throughput."""
    for limit_w in (150.0, 163.0, 200.0, 290.0, 300.0):
        assert a40.limit_for(a40.at(limit_w)[1]) == pytest.approx(limit_w)
    assert a40.limit_for(0.1) == 150
    assert a40.limit_for(1.5) == 300


def test_limit_for_a_speed_on_a_flat_stretch_is_its_lowest_limit() -> None:
    """And a faster one lies above the stretch, not between its ends."""
    curve = Curve.from_points([Point(100, 100, 50), Point(200, 180, 50), Point(300, 280, 100)], 300)
    assert curve.limit_for(0.5) == 100
    assert curve.limit_for(0.75) == 250
    flat_on_top = Curve.from_points([Point(100, 100, 50), Point(200, 180, 100), Point(300, 280, 100)], 300)
    assert flat_on_top.limit_for(1.0) == 200
    assert flat_on_top.limit_for(1.5) == 300


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([], "TooFewPoints"),
        ([Point(300, 250, 1)], "TooFewPoints"),
        ([Point(300, 250, 1), Point(300, 251, 1)], "TooFewPoints"),
        ([Point(200, 180, 0), Point(300, 250, 1)], "InvalidPoint"),
        ([Point(200, 180, -1), Point(300, 250, 1)], "InvalidPoint"),
        ([Point(200, math.nan, 1), Point(300, 250, 1)], "InvalidPoint"),
        ([Point(200, 180, math.inf), Point(300, 250, 1)], "InvalidPoint"),
        ([Point(0, 180, 0.9), Point(300, 250, 1)], "InvalidPoint"),
        ([Point(310, 180, 0.9), Point(350, 250, 1)], "InvalidReference"),
        ([Point(200, 180, 3), Point(300, 250, 1)], "ImplausibleCurve"),
        ([Point(200, 380, 0.9), Point(300, 250, 1)], "ImplausibleCurve"),
    ],
)
def test_curve_that_means_nothing_is_refused_with_a_reason(points: list[Point], reason: str) -> None:
    """The reason becomes a condition, the message tells what to do."""
    with pytest.raises(InvalidSpec) as refused:
        Curve.from_points(points, 300)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("reference_w", "minimum_w", "maximum_w", "reason"),
    [
        (math.nan, None, None, "InvalidReference"),
        (0, None, None, "InvalidReference"),
        (300, 310, None, "InvalidRange"),
        (300, 250, 200, "InvalidRange"),
        (300, None, 90, "InvalidRange"),
        (300, None, -1, "InvalidRange"),
        (300, math.nan, None, "InvalidRange"),
    ],
)
def test_range_that_is_empty_is_refused(
    reference_w: float, minimum_w: float | None, maximum_w: float | None, reason: str
) -> None:
    """A range nobody can plan in is an error of whoever wrote it, not a silent full speed."""
    points = [Point(100, 100, 50), Point(300, 280, 100)]
    with pytest.raises(InvalidSpec) as refused:
        Curve.from_points(points, reference_w, minimum_w=minimum_w, maximum_w=maximum_w)
    assert refused.value.reason == reason


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=12))
def test_isotonic_fit_rises_and_keeps_the_mean(values: list[float]) -> None:
    """The two marks of a least-squares isotonic fit that are easy to check."""
    fitted = isotonic(values)
    assert all(left <= right * (1 + 1e-12) for left, right in pairwise(fitted))
    assert sum(fitted) == pytest.approx(sum(values))


@given(
    st.lists(
        st.tuples(st.integers(50, 400), st.floats(0.93, 1.07), st.floats(0.93, 1.07)),
        min_size=2,
        max_size=12,
        unique_by=lambda point: point[0],
    ),
    st.integers(60, 450),
)
def test_noisy_curves_are_usable_or_refused(noisy: list[tuple[int, float, float]], reference_w: int) -> None:
    """Every curve that is not refused rises, is convex on its hull and says r = 1 at the top."""
    points = [Point(limit, limit * noise_p, limit**0.3 * noise_t) for limit, noise_p, noise_t in noisy]
    try:
        curve = Curve.from_points(points, reference_w)
    except InvalidSpec as refused:
        assert refused.reason in {"InvalidReference", "ImplausibleCurve"}  # noqa: PT017 either outcome is right
        return
    assert curve.highest.limit_w == reference_w
    assert curve.highest.r == 1.0
    for left, right in pairwise(curve.points):
        assert left.limit_w < right.limit_w
        assert left.r <= right.r
        assert left.average_w <= right.average_w * (1 + 1e-12)
    slopes = [(right.average_w - left.average_w) / (right.r - left.r) for left, right in pairwise(curve.hull)]
    assert all(slope > 0 for slope in slopes)
    assert all(left <= right * (1 + 1e-6) for left, right in pairwise(slopes))
