"""From wanted throughputs to pieces that can be held."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group, JobCurve, Overhead
from carbonzeus_operator.plan.pieces import Pieces, lengthen, split_mixes

JOB = JobCurve.of(
    {"GPU": Group(Curve.from_points([Point(100, 90, 50), Point(200, 160, 90), Point(300, 290, 100)], 300), 1)},
    Overhead(),
)


def split(r: list[float], *, curve: JobCurve = JOB, may_split: bool = True) -> list[tuple[float, float]]:
    """Hours of the wanted throughputs, as (start, r)."""
    count = len(r)
    hours = 3600.0 * np.arange(count, dtype=np.float64)
    starts, speeds = split_mixes(curve, hours, np.full(count, 3600.0), np.array(r), np.full(count, may_split))
    return list(zip(np.round(starts, 6).tolist(), np.round(speeds, 9).tolist(), strict=True))


def test_mix_on_the_way_down_becomes_two_pieces_faster_first() -> None:
    """There the limit changes once in any case; faster first keeps the credit inside the hour."""
    assert split([1.0, 0.95, 0.9]) == [(0, 1.0), (3600, 1.0), (5400, 0.9), (7200, 0.9)]


def test_mix_elsewhere_becomes_one_limit_in_between() -> None:
    """Two more switches an hour would gain nothing."""
    assert split([0.9, 0.95, 1.0]) == [(0, 0.9), (3600, 0.95), (7200, 1.0)]
    assert split([0.95, 0.95]) == [(0, 0.95), (3600, 0.95)]


def test_mix_across_a_point_off_the_hull_is_always_two_pieces() -> None:
    """A limit in between would draw more than the mix."""
    points = [Point(100, 90, 50), Point(200, 199, 75), Point(300, 200, 100)]
    curve = JobCurve.of({"GPU": Group(Curve.from_points(points, 300), 1)}, Overhead())
    assert split([0.75], curve=curve) == [(0, 1.0), (1800, 0.5)]


def test_mix_with_a_flat_stretch_of_the_curve_between_is_always_two_pieces() -> None:
    """Where 100 W and 200 W are equally fast, a limit between 200 W and 300 W loses what 100 W saves."""
    points = [Point(100, 90, 50), Point(200, 190, 50), Point(300, 290, 100)]
    curve = JobCurve.of({"GPU": Group(Curve.from_points(points, 300), 1)}, Overhead())
    assert split([0.75], curve=curve) == [(0, 1.0), (1800, 0.5)]


def test_held_slots_are_never_split() -> None:
    """In a gap of the forecast one limit is held."""
    assert split([0.95], may_split=False) == [(0, 0.95)]


def pairs(pieces: Pieces) -> list[tuple[float, float]]:
    """As (start, r)."""
    return list(zip(pieces.start_s.tolist(), pieces.r.tolist(), strict=True))


def test_equal_neighbours_are_one_piece() -> None:
    """A plan has a step only where the limit changes."""
    pieces = Pieces.of((0, 0.9), (10, 0.8), (20, 0.9), (30, 0.9))
    assert pairs(pieces.joined()) == [(0, 0.9), (10, 0.8), (20, 0.9)]


def test_short_dip_is_raised_to_its_slower_neighbour() -> None:
    """It is never the job's time that pays for the dwell time."""
    pieces = Pieces.of((0, 0.95), (100, 0.8), (110, 1.0), (300, 0.9))
    assert pairs(lengthen(pieces, 60)) == [(0, 0.95), (110, 1.0), (300, 0.9)]


def test_short_peak_goes_on_at_the_cost_of_what_follows() -> None:
    """The credit it was to earn is earned in full."""
    pieces = Pieces.of((0, 0.9), (100, 1.0), (110, 0.9), (300, 0.95))
    assert pairs(lengthen(pieces, 60)) == [(0, 0.9), (100, 1.0), (160, 0.9), (300, 0.95)]


def test_short_peak_swallows_a_piece_that_ends_within_its_time() -> None:
    """And the held piece begins later, if it comes to that."""
    pieces = Pieces.of((0, 1.0), (10, 0.8), (40, 0.9), (50, 0.7))
    assert pairs(lengthen(pieces, 60)) == [(0, 1.0), (60, 0.7)]


def held(pieces: Pieces, instants: NDArray[np.float64]) -> NDArray[np.float64]:
    """The throughput at instants."""
    at: NDArray[np.float64] = pieces.r[np.searchsorted(pieces.start_s, instants, side="right") - 1]
    return at


@given(
    st.lists(st.tuples(st.floats(0.5, 300), st.sampled_from([0.5, 0.6, 0.8, 0.9, 1.0])), min_size=1, max_size=30),
    st.sampled_from([0.0, 60.0, 250.0]),
)
def test_lengthening_only_ever_raises_the_throughput(parts: list[tuple[float, float]], minimum_s: float) -> None:
    """At every moment; and no piece but the last is short; and nothing is lost in between."""
    edges = [0.0, *np.cumsum([seconds for seconds, _ in parts]).tolist()]
    pieces = Pieces(np.array(edges[:-1]), np.array([r for _, r in parts])).joined()
    long = lengthen(pieces, minimum_s)
    assert long.start_s[0] == 0
    assert np.all(np.diff(long.start_s) >= minimum_s - 1e-6)
    assert np.all(np.diff(long.r) != 0)
    instants = np.array([left + share * (right - left) for left, right in pairwise(edges) for share in (0.001, 0.999)])
    assert np.all(held(long, instants) >= held(pieces, instants))


def test_no_slots_make_no_pieces() -> None:
    """A forecast may be empty."""
    assert split([]) == []
