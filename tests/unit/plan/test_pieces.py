"""From wanted throughputs to pieces that can be held."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group, JobCurve, Overhead
from carbonzeus_operator.plan.pieces import Piece, joined, lengthen, split_mixes

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


def test_equal_neighbours_are_one_piece() -> None:
    """A plan has a step only where the limit changes."""
    pieces = joined(np.array([0.0, 10.0, 10.0, 20.0]), np.array([0.9, 0.8, 0.9, 0.9]), 30.0)
    assert pieces == [Piece(0, 10, 0.9), Piece(10, 30, 0.9)]


def test_short_dip_is_raised_to_its_slower_neighbour() -> None:
    """It is never the job's time that pays for the dwell time."""
    pieces = [Piece(0, 100, 0.95), Piece(100, 110, 0.8), Piece(110, 300, 1.0), Piece(300, math.inf, 0.9)]
    assert lengthen(pieces, 60) == [Piece(0, 110, 0.95), Piece(110, 300, 1.0), Piece(300, math.inf, 0.9)]


def test_short_peak_goes_on_at_the_cost_of_what_follows() -> None:
    """The credit it was to earn is earned in full."""
    pieces = [Piece(0, 100, 0.9), Piece(100, 110, 1.0), Piece(110, 300, 0.9), Piece(300, math.inf, 0.95)]
    assert lengthen(pieces, 60) == [
        Piece(0, 100, 0.9),
        Piece(100, 160, 1.0),
        Piece(160, 300, 0.9),
        Piece(300, math.inf, 0.95),
    ]


@given(
    st.lists(st.tuples(st.floats(0.5, 300), st.sampled_from([0.5, 0.6, 0.8, 0.9, 1.0])), min_size=1, max_size=30),
    st.sampled_from([0.0, 60.0, 250.0]),
)
def test_lengthening_only_ever_raises_the_throughput(parts: list[tuple[float, float]], minimum_s: float) -> None:
    """At every moment; and no piece but the last is short; and nothing is lost in between."""
    edges = [0.0, *np.cumsum([seconds for seconds, _ in parts]).tolist()]
    pieces = [Piece(start, end, r) for (start, end), (_, r) in zip(pairwise(edges), parts, strict=True)]
    long = lengthen(pieces, minimum_s)
    assert long[0].start_s == 0
    assert long[-1].end_s == edges[-1]
    for left, right in pairwise(long):
        assert left.end_s == right.start_s
        assert left.end_s - left.start_s >= minimum_s - 1e-6
        assert left.r != right.r
    for instant in (start + share * (end - start) for start, end in pairwise(edges) for share in (0.001, 0.5, 0.999)):
        before = next(piece.r for piece in pieces if piece.start_s <= instant < piece.end_s)
        after = next(piece.r for piece in long if piece.start_s <= instant < piece.end_s)
        assert after >= before


def test_no_pieces_need_no_lengthening() -> None:
    """An empty forecast has none."""
    assert lengthen([], 60) == []
    assert joined(np.empty(0), np.empty(0), 0.0) == []
    assert split([]) == []
