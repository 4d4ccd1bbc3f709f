"""What of a file is known at a moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.recording import MAX_ROWS_AHEAD, Recording, Stretch, from_us, to_us
from tests.unit.grid.samples import HOUR, T0, at, examples, intervals, issues, plain, read

DAY = timedelta(days=1)
NO_LAG = timedelta(0)


def covers(found: Stretch, instant: datetime) -> bool:
    return any(one.start <= instant < one.end for one in found.intervals)


# A file without issues


@pytest.mark.parametrize(
    ("now", "issued", "covered"),
    [(1, 1, True), (1.75, 1, True), (2.99, 2, True), (3, 2, False), (9, 2, False), (300, 2, False)],
)
def test_a_plain_file_is_as_old_as_the_row_that_holds_the_present(now: float, issued: float, covered: bool) -> None:
    """While rows lie ahead it is fresh; when they end, it does not cover the present any more and grows old."""
    found = read(plain({0: 5, 1: 6, 2: 7})).forecast(at(now), DAY)
    assert found.issued_at == at(issued)
    assert covers(found, at(now)) is covered


def test_a_plain_file_of_long_rows_is_no_older_than_an_hour() -> None:
    """A daily mean is said of the whole day: it must not count as stale in the afternoon."""
    recording = read(plain({0: 5, 24: 6, 48: 7}))
    assert recording.forecast(at(20.5), DAY).issued_at == at(20)
    assert recording.forecast(at(24.5), DAY).issued_at == at(24)
    assert recording.forecast(at(80), DAY).issued_at == at(48)


def test_a_plain_file_whose_rows_ended_says_so_by_line() -> None:
    """The condition of a job tells where to go on."""
    found = read(plain({0: 5, 1: 6, 2: 7})).forecast(at(100), DAY)
    assert found.warnings == ("X.csv, line 4: the rows end at 2026-11-24T15:00:00+00:00",)
    assert found.intervals == intervals({2: 7})


def test_a_plain_file_that_begins_later_has_no_forecast_yet() -> None:
    """Nothing is known before its first row."""
    with pytest.raises(Unavailable, match=r"the rows begin at 2026-11-24T12:00:00.00:00, later than now"):
        read(plain({0: 5, 1: 6})).forecast(at(-1), DAY)


def test_a_present_in_a_gap_is_not_covered_and_the_gap_is_named() -> None:
    """No value is invented: the rows on both sides stay as long as they are."""
    found = read(plain({0: 5, 1: 6, 5: 7, 6: 8})).forecast(at(3), DAY)
    assert found.intervals == intervals({0: 5, 1: 6, 5: 7, 6: 8})
    assert found.issued_at == at(1)
    assert found.warnings == (
        "X.csv, line 4: nothing is said from 2026-11-24T14:00:00+00:00 to 2026-11-24T17:00:00+00:00",
    )


def test_gaps_that_are_over_are_no_news() -> None:
    """A gap of last year is no reason to warn of a forecast."""
    assert read(plain({0: 5, 1: 6, 5: 7, 6: 8})).forecast(at(5.5), DAY).warnings == ()


def test_many_gaps_are_counted() -> None:
    """The first ones are named."""
    found = read(plain({hour: 1 for hour in range(60) if hour % 5})).forecast(at(1), DAY)
    assert len(found.warnings) == 6
    assert found.warnings[0].startswith("X.csv, line 6: nothing is said from 2026-11-24T17:00:00+00:00 to ")
    assert found.warnings[-1] == "X.csv: 6 more gaps"


def test_a_long_file_gives_what_a_plan_may_need() -> None:
    """Not the years behind and ahead."""
    found = read(plain(dict.fromkeys(range(30_000), 100.0))).forecast(at(20_000.5), DAY)
    assert found.intervals[0].start == at(20_000 - 24)
    assert len([one for one in found.intervals if one.start > at(20_000)]) == 30_000 - 20_001
    found = read(plain(dict.fromkeys(range(30_000), 100.0))).forecast(at(100.5), DAY)
    assert len([one for one in found.intervals if one.start > at(100)]) == MAX_ROWS_AHEAD


# A file of issues


DAILY = read(
    issues(
        *((0.0, float(start), start, "") for start in range(48)),
        *((24.0, float(start), start + 100, "") for start in range(24, 72)),
    )
)


@pytest.mark.parametrize(("now", "issued", "first"), [(0, 0, 0), (23.99, 0, 23), (24, 24, 124), (30, 24, 130)])
def test_the_newest_issue_at_each_moment(now: float, issued: float, first: float) -> None:
    """From the moment of its issue on, and not before."""
    found = DAILY.forecast(at(now), timedelta(0))
    assert found.issued_at == at(issued)
    assert found.intervals[0].gco2_per_kwh == first
    assert found.warnings == ()


def test_no_issue_yet() -> None:
    """Before the first issue nothing is forecast."""
    with pytest.raises(Unavailable, match=r"X.csv: the first forecast is of 2026-11-24T12:00:00.00:00, later than now"):
        DAILY.forecast(at(-0.01), DAY)


def test_an_issue_goes_stale_when_no_newer_one_comes() -> None:
    """It keeps its age, and ends."""
    found = DAILY.forecast(at(24 + 50), DAY)
    assert found.issued_at == at(24)
    assert not covers(found, at(74))
    assert found.warnings == ("X.csv, line 97: the rows end at 2026-11-27T12:00:00+00:00",)


DAY_AHEAD = read(
    issues(
        *((-6.0, float(start), start, "") for start in range(24)),
        *((18.0, float(start), start, "") for start in range(24, 48)),
    )
)


def test_a_day_ahead_issue_leaves_the_rest_of_today_to_the_one_before() -> None:
    """The newest word on each moment; as old as the oldest word in it."""
    found = DAY_AHEAD.forecast(at(20), timedelta(hours=2))
    assert [one.gco2_per_kwh for one in found.intervals] == list(range(18, 48))
    assert found.issued_at == at(-6)
    assert DAY_AHEAD.forecast(at(24), DAY).issued_at == at(18)


def test_an_issue_that_ended_is_followed_on_by_one_that_reaches_further() -> None:
    """A short-term forecast that stopped coming leaves the long-term one."""
    recording = read(issues(*((0.0, float(start), 1, "") for start in range(10)), (2, 2, 2, ""), (2, 3, 2, "")))
    found = recording.forecast(at(5), DAY)
    assert found.issued_at == at(0)
    assert [one.gco2_per_kwh for one in found.intervals] == [1, 1, 2, 2, 1, 1, 1, 1, 1, 1]
    assert recording.forecast(at(3), timedelta(0)).intervals == intervals({3: 2})


def test_a_present_that_no_issue_covers_stays_uncovered() -> None:
    """The newest issue, with what is missing named."""
    recording = read(issues((0, 0, 1, ""), (0, 1, 1, ""), (2, 6, 2, ""), (2, 7, 2, "")))
    found = recording.forecast(at(4), DAY)
    assert found.issued_at == at(2)
    assert found.intervals == intervals({6: 2, 7: 2})
    assert not covers(found, at(4))


def test_shifted_issues_do_not_overlap_where_one_fills_the_other() -> None:
    """An older row that reaches into the newest issue is left out: no time has two intensities."""
    recording = read(issues((0, 0, 1, ""), (0, 1, 1, ""), (0, 2, 1, ""), (0.5, 1.5, 2, ""), (0.5, 2.5, 2, "")))
    assert recording.forecast(at(0.75), DAY).intervals == (*intervals({0: 1}), *intervals({1.5: 2, 2.5: 2}))


# Actuals


def test_an_actual_is_published_when_its_interval_is_over() -> None:
    """Not a moment earlier."""
    recording = read(plain({0: 5, 1: 6, 2: 7}))
    assert recording.actual(at(0), at(9), at(1.99), NO_LAG).intervals == intervals({0: 5})
    assert recording.actual(at(0), at(9), at(2), NO_LAG).intervals == intervals({0: 5, 1: 6})


def test_publication_takes_as_long_as_is_said() -> None:
    """After the end of the interval."""
    recording = read(plain({0: 5, 1: 6, 2: 7}))
    assert recording.actual(at(0), at(9), at(3.99), 2 * HOUR).intervals == intervals({0: 5})
    assert recording.actual(at(0), at(9), at(4), 2 * HOUR).intervals == intervals({0: 5, 1: 6})


def test_a_blank_actual_is_not_published() -> None:
    """Its time is a gap, named, and no zero."""
    recording = read(issues((0, 0, 1, 5), (0, 1, 1, ""), (0, 2, 1, 7)))
    found = recording.actual(at(0), at(9), at(9), NO_LAG)
    assert found.intervals == intervals({0: 5, 2: 7})
    assert found.warnings == (
        "X.csv, line 4: nothing is said from 2026-11-24T13:00:00+00:00 to 2026-11-24T14:00:00+00:00",
    )


def test_a_file_of_forecasts_alone_has_no_actual() -> None:
    """Which is no error."""
    assert read(issues((0, 0, 1, ""), (0, 1, 1, ""))).actual(at(0), at(9), at(9), NO_LAG).intervals == ()


# Against brute force

hours = st.integers(-10, 60).map(lambda quarter: at(quarter / 4))


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[float, float], Recording]:
    """Rows of an hour, with gaps; enough in a row that the step is an hour."""
    starts = sorted(draw(st.sets(st.integers(0, 12))) | set(range(14, 28)))
    values = {float(start): float(start) for start in starts}
    return values, read(plain(values))


@examples
@given(files(), hours, hours, hours, st.integers(0, 8))
def test_actuals_are_the_rows_that_overlap_and_are_published(
    file: tuple[dict[float, float], Recording], start: datetime, end: datetime, now: datetime, lag_quarters: int
) -> None:
    """Looked at one by one."""
    values, recording = file
    lag = lag_quarters * HOUR / 4
    expected = tuple(
        one for one in intervals(values) if max(one.start, start) < min(one.end, end) and one.end + lag <= now
    )
    assert recording.step == HOUR
    assert recording.actual(start, end, now, lag).intervals == expected


@examples
@given(files(), hours)
def test_forecasts_are_the_rows_from_a_while_ago_on(file: tuple[dict[float, float], Recording], now: datetime) -> None:
    """Every one of them is as the file says."""
    values, recording = file
    if now < at(min(values)):
        with pytest.raises(Unavailable):
            recording.forecast(now, HOUR)
        return
    expected = tuple(one for one in intervals(values) if one.end > now - HOUR)
    found = recording.forecast(now, HOUR)
    assert found.intervals == (expected or intervals(values)[-1:])
    assert found.issued_at <= now


@st.composite
def forecasts(draw: st.DrawFn) -> list[tuple[int, list[int]]]:
    """(issued, starts) of issues, in order, some shifted by less than an hour (in quarters of an hour), with gaps."""
    made = []
    for issued in sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=5))):
        first = draw(st.integers(issued - 8, issued + 16))
        chosen = {first + 4 * index for index in draw(st.sets(st.integers(0, 5)))}
        made.append((issued, sorted(chosen | {first + 4 * index for index in range(7, 15)})))
    return made


@examples
@given(forecasts(), st.integers(0, 60))
def test_a_forecast_says_the_newest_word_on_each_moment(made: list[tuple[int, list[int]]], now: int) -> None:
    """No overlap, nothing from later issues, nothing that no issue said, and the present wherever an issue may fill it."""
    recording = read(
        issues(*((issued / 4, start / 4, 1000.0 + issued, "") for issued, starts in made for start in starts))
    )
    assert recording.step == HOUR
    known = [(issued, starts) for issued, starts in made if issued <= now]
    if not known:
        with pytest.raises(Unavailable):
            recording.forecast(at(now / 4), DAY)
        return
    found = recording.forecast(at(now / 4), timedelta(days=30))
    for before, one in pairwise(found.intervals):
        assert before.end <= one.start
    words = {(round(one.gco2_per_kwh) - 1000, round((one.start - T0) / HOUR * 4)) for one in found.intervals}
    assert words <= {(issued, start) for issued, starts in known for start in starts}
    issued, newest = known[-1]
    assert {(issued, start) for start in newest} <= words
    holding = [start for _, starts in known for start in starts if start <= now < start + 4]
    free = [start for start in holding if start in newest or all(abs(start - other) >= 4 for other in newest)]
    assert covers(found, at(now / 4)) is bool(free)
    assert found.issued_at == at(min(issued for issued, _ in words) / 4)


@examples
@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - made aware below
def test_microseconds_go_there_and_back(naive: datetime) -> None:
    """To the microsecond."""
    instant = naive.replace(tzinfo=T0.tzinfo)
    assert from_us(to_us(instant)) == instant
