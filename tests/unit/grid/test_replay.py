"""Recorded data, played back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.replay import EARLIEST, LATEST, Clock, Replay
from carbonzeus_operator.grid.series import Series
from tests.unit.grid.samples import KEY, T0, ZONE, Watch, examples, issues, plain

BEGINS = datetime(2021, 8, 18, tzinfo=UTC)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - UTC is given
speeds = st.floats(0.5, 100_000)


@examples
@given(moments, moments, moments, speeds)
def test_there_and_back(recorded_start: datetime, wall_start: datetime, recorded: datetime, speed: float) -> None:
    """To the microsecond of wall time, which is `speed` microseconds of the recording."""
    clock = Clock(recorded_start, wall_start, speed)
    wall = clock.to_wall(recorded)
    assert abs(clock.to_recorded(wall) - recorded) <= timedelta(microseconds=speed / 2 + 1)
    assert abs(clock.to_wall(clock.to_recorded(wall)) - wall) <= timedelta(microseconds=1 / speed + 1)


@examples
@given(moments, moments, moments, moments, speeds)
def test_the_order_of_moments_stays(
    recorded_start: datetime, wall_start: datetime, one: datetime, other: datetime, speed: float
) -> None:
    """In both directions."""
    clock = Clock(recorded_start, wall_start, speed)
    assert clock.to_wall(min(one, other)) <= clock.to_wall(max(one, other))
    assert clock.to_recorded(min(one, other)) <= clock.to_recorded(max(one, other))


@examples
@given(moments, moments, moments, st.floats(1e-300, 1e300))
def test_no_speed_leaves_the_calendar(
    recorded_start: datetime, wall_start: datetime, one: datetime, speed: float
) -> None:
    """At any speed a moment stays a moment."""
    clock = Clock(recorded_start, wall_start, speed)
    assert EARLIEST <= clock.to_wall(one) <= LATEST
    assert EARLIEST <= clock.to_recorded(one) <= LATEST


def player(folder: Path, text: str, speed: float, watch: Watch) -> Replay:
    """A replay that begins at `BEGINS`, of a file that begins at `T0`."""
    (folder / f"{ZONE}.csv").write_text(text)
    clock = Clock(T0, BEGINS, speed)
    return Replay(FileProvider(folder, lambda: clock.to_recorded(watch())), clock)


FOUR_ISSUES = issues(*((6.0 * issue, 6.0 * issue + hour, 100 + issue, hour) for issue in range(4) for hour in range(6)))
SPEED = 3600.0


async def test_an_hour_takes_a_second(tmp_path: Path) -> None:
    """Issues and actuals come when they came, so much faster."""
    watch = Watch(BEGINS + timedelta(seconds=7.5))
    replay = player(tmp_path, FOUR_ISSUES, SPEED, watch)
    forecast = await replay.forecast(*KEY)
    assert forecast.issued_at == BEGINS + timedelta(seconds=6)
    holding = forecast.at(watch.now)
    assert holding is not None
    assert (holding.start, holding.end) == (BEGINS + timedelta(seconds=7), BEGINS + timedelta(seconds=8))
    assert holding.gco2_per_kwh == 101
    actual = await replay.actual(*KEY, BEGINS + timedelta(seconds=2), watch.now)
    assert [(one.start - BEGINS) / timedelta(seconds=1) for one in actual.intervals] == [2, 3, 4, 5, 6]


async def test_before_it_begins_there_is_what_was_before(tmp_path: Path) -> None:
    """Nothing, where the recording begins with the replay."""
    watch = Watch(BEGINS - timedelta(seconds=1))
    replay = player(tmp_path, FOUR_ISSUES, SPEED, watch)
    with pytest.raises(Unavailable, match="the first forecast is of"):
        await replay.forecast(*KEY)
    assert (await replay.actual(*KEY, BEGINS - timedelta(days=2), watch.now)).intervals == ()


async def test_after_its_end_the_forecast_is_old_and_the_actual_stays(tmp_path: Path) -> None:
    """Accounts can be settled, plans cannot be made."""
    watch = Watch(BEGINS + timedelta(days=3))
    replay = player(tmp_path, FOUR_ISSUES, SPEED, watch)
    forecast = await replay.forecast(*KEY)
    assert forecast.issued_at == BEGINS + timedelta(seconds=18)
    assert forecast.at(watch.now) is None
    assert "the rows end at" in forecast.warnings[0]
    assert len((await replay.actual(*KEY, BEGINS, watch.now)).intervals) == 24


async def test_years_of_replay_do_not_leave_the_calendar(tmp_path: Path) -> None:
    """A demonstration that was left running, and a span that reaches back before the first of all days."""
    watch = Watch(BEGINS + timedelta(days=365))
    replay = player(tmp_path, FOUR_ISSUES, 1e6, watch)
    assert len((await replay.actual(*KEY, watch.now - timedelta(days=400), watch.now)).intervals) == 24
    assert (await replay.forecast(*KEY)).at(watch.now) is None
    watch.now = BEGINS - timedelta(days=365)
    with pytest.raises(Unavailable):
        await replay.forecast(*KEY)


@pytest.mark.parametrize("speed", [1.0, 2880.0, 7919.7, 3.6e9, 1e12])
async def test_intervals_stay_in_order_at_any_speed(tmp_path: Path, speed: float) -> None:
    """End to end, without overlap; what is shorter than a microsecond is left out."""
    watch = Watch(BEGINS + timedelta(hours=30) / speed)
    replay = player(tmp_path, plain(dict.fromkeys(range(48), 5.0)), speed, watch)
    found = [await replay.forecast(*KEY), await replay.actual(*KEY, BEGINS, watch.now)]
    for one in found:
        assert isinstance(checked(one, *KEY), Series)
    assert bool(found[0].intervals) is (speed <= 3.6e9)
