"""Looking into a series, against looking at every interval."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.grid.series import Interval
from tests.unit.grid.samples import T0, at, examples, interval_lists, intervals, series

minutes = st.integers(-30, 2600).map(lambda minute: T0 + timedelta(minutes=minute))


@examples
@given(interval_lists(), minutes)
def test_at_finds_the_interval_that_holds_the_instant(found: tuple[Interval, ...], instant) -> None:
    """And nothing in gaps and outside."""
    holding = [one for one in found if one.start <= instant < one.end]
    assert series(found).at(instant) == (holding[0] if holding else None)


@examples
@given(interval_lists(), minutes, minutes)
def test_between_finds_every_interval_that_overlaps(found: tuple[Interval, ...], start, end) -> None:
    """Uncut and in order; a time without length overlaps nothing."""
    overlapping = tuple(one for one in found if max(one.start, start) < min(one.end, end))
    assert series(found).between(start, end) == overlapping


def test_half_open_at_the_border() -> None:
    """An instant belongs to the interval it begins."""
    one = series(intervals({0: 1.0, 1: 2.0}))
    assert one.at(at(1)) == one.intervals[1]
    assert one.between(at(0), at(1)) == one.intervals[:1]
    assert one.at(at(2)) is None
