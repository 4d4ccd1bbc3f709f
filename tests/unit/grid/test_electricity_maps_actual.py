"""Electricity Maps: what is known of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.electricity_maps import ElectricityMaps
from tests.unit.grid.emaps import DE, HISTORY, PAST, past, row, said
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer
from tests.unit.grid.samples import HOUR, T0, at

# Actuals


async def test_the_last_day_is_history(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Which every plan has."""
    rows = [row(-3, 9), row(-2, 8), row(-1, 7, isEstimated=True, estimationMethod="FORECASTS_HIERARCHY"), row(0, 6)]
    server.answers[HISTORY] = Answer(past(*rows, key="history"))
    series = await maps.actual(*DE, at(-2.5), at(0.3))
    assert [(one.start, one.gco2_per_kwh, one.estimated) for one in series.intervals] == [
        (at(-3), 9, False),
        (at(-2), 8, False),
        (at(-1), 7, True),
    ]
    assert (series.issued_at, series.updated_at) == (at(0.3), at(0.5))
    assert [asked.path for asked in server.asked] == [HISTORY]
    assert server.asked[0].query["emissionFactorType"] == "lifecycle"


async def test_the_hour_that_is_not_over(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Has no actual yet, whatever they say of it."""
    server.answers["*"] = Answer(past(row(-1, 7), row(0, 6), row(1, 5), key="history"))
    assert said(await maps.actual(*DE, at(-5), at(2))) == [(at(-1), 7)]


async def test_what_does_not_say_that_it_was_measured(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is not taken as final."""
    unsaid = row(-1, 7)
    del unsaid["isEstimated"]
    server.answers["*"] = Answer(past(unsaid, row(-2, 8, isEstimated=None)))
    assert [one.estimated for one in (await maps.actual(*DE, at(-3), at(0))).intervals] == [True, True]


async def test_nulls_in_the_past(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Are neither zero nor a value, and zero is one."""
    server.answers["*"] = Answer(past(row(-3, 0), row(-2, None), row(-1, 7)))
    assert said(await maps.actual(*DE, at(-3), at(0))) == [(at(-3), 0), (at(-1), 7)]


async def test_what_was_not_asked_for(maps: ElectricityMaps, server: ReplayServer) -> None:
    """History tells more than was asked."""
    server.answers["*"] = Answer(past(*(row(hours, 1) for hours in range(-23, 1)), key="history"))
    series = await maps.actual(*DE, at(-10), at(-8))
    assert [one.start for one in series.intervals] == [at(-10), at(-9)]


async def test_older_times_are_asked_for_in_pieces(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Of ten days at most, that meet; revisions between two calls are no contradiction."""

    def days(asked: Asked) -> Answer:
        begin, until = (datetime.fromisoformat(asked.query[one]) for one in ("start", "end"))
        assert until - begin <= timedelta(days=10)
        first, last = (round((one - T0) / HOUR) for one in (begin, until))
        return Answer(past(*(row(hours, len(server.asked)) for hours in range(first, last + 1, 6))))

    server.answers[PAST] = days
    series = await maps.actual(*DE, at(-24 * 25 + 0.5), at(0.3))
    assert [(asked.query["start"], asked.query["end"]) for asked in server.asked] == [
        ("2026-10-30T12:00:00Z", "2026-11-09T12:00:00Z"),
        ("2026-11-09T12:00:00Z", "2026-11-19T12:00:00Z"),
        ("2026-11-19T12:00:00Z", "2026-11-24T12:18:00Z"),
    ]
    assert {asked.query["emissionFactorType"] for asked in server.asked} == {"lifecycle"}
    assert checked(series, *DE).intervals[0].start == at(-24 * 25)
    assert series.at(at(-24 * 15)) is not None
    assert series.at(at(-24 * 15)).gco2_per_kwh == 2  # type: ignore[union-attr]


async def test_an_end_between_two_seconds(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Leaves nothing out."""
    server.answers[PAST] = Answer(past(row(-49, 5), row(-48, 6)))
    end = at(-48) + timedelta(microseconds=5)
    assert said(await maps.actual(*DE, at(-49), end)) == [(at(-49), 5), (at(-48), 6)]
    assert server.asked[0].query["end"] == "2026-11-22T12:00:01Z"


async def test_no_time_at_all(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is no call."""
    assert (await maps.actual(*DE, at(1), at(1))).intervals == ()
    assert not server.asked


@pytest.mark.parametrize(("start", "path"), [(-23, HISTORY), (-23.01, PAST), (-24, PAST)])
async def test_where_history_ends(maps: ElectricityMaps, server: ReplayServer, start: float, path: str) -> None:
    """It has 24 values, the present hour's among them: what is older is asked for otherwise."""
    server.answers["*"] = Answer(past(row(-1, 7)))
    await maps.actual(*DE, at(start), at(0.3))
    assert [asked.path for asked in server.asked] == [path]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_plan_without_past_range(
    maps: ElectricityMaps, server: ReplayServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """Has the last 24 hours at least, which is said: with the data each time, in the log once."""
    server.answers[PAST] = Answer({"message": "You do not have access to this specific endpoint"}, status)
    server.answers[HISTORY] = Answer(past(row(-2, 8), row(-1, 7), key="history"))
    for _ in range(2):
        series = await maps.actual(*DE, at(-48), at(0.3))
        assert said(series) == [(at(-2), 8), (at(-1), 7)]
        assert "refuses past-range for zone DE" in series.warnings[0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_plan_without_past_range_and_what_is_long_over(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is no answer: an empty one would say that there is no such data."""
    server.answers[PAST] = Answer({"message": "You do not have access"}, 401)
    server.answers[HISTORY] = Answer(past(row(-2, 8), key="history"))
    with pytest.raises(Unavailable, match=r"when asked for the actual of zone DE: 401 \(You do not have access\)"):
        await maps.actual(*DE, at(-48), at(-3))


async def test_a_refusal_among_several_calls(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is not for the plan's sake, and throws nothing away that was there: all of it is asked for once more."""
    answers = [Answer(past(row(-24 * 12, 7))), Answer({"error": "Unauthorized"}, 401)]
    server.answers |= {PAST: lambda _: answers.pop(0), HISTORY: Answer(past(row(-1, 7), key="history"))}
    with pytest.raises(Unavailable, match=r"401 \(Unauthorized\)"):
        await maps.actual(*DE, at(-24 * 12), at(0.3))
    assert [asked.path for asked in server.asked] == [PAST, PAST]


async def test_a_wrong_token_for_the_past(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is refused for the last day, too, and so not mistaken for a small plan."""
    server.answers["*"] = Answer({"error": "Invalid auth-token"}, 401)
    with pytest.raises(Unavailable, match=r"401 \(Invalid auth-token\)"):
        await maps.actual(*DE, at(-48), at(0.3))


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_the_days_on_which_clocks_change(maps: ElectricityMaps, server: ReplayServer, day: datetime) -> None:
    """Have 24 hours in UTC."""
    hours = round((day - T0) / HOUR)
    server.answers["*"] = Answer(past(*(row(hours + hour, hour) for hour in range(24))))
    series = await maps.actual(*DE, day, day + timedelta(days=1))
    assert [one.gco2_per_kwh for one in series.intervals] == list(range(24))
    assert {one.end - one.start for one in series.intervals} == {HOUR}


async def test_local_times_on_such_a_day(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Are told apart by their offsets: two o'clock comes twice in October."""
    rows = [
        row(0, 1, datetime="2026-10-25T02:00:00+02:00"),
        row(0, 2, datetime="2026-10-25T02:00:00+01:00"),
        row(0, 3, datetime="2026-10-25T03:00:00+01:00"),
    ]
    server.answers["*"] = Answer(past(*rows))
    day = datetime(2026, 10, 25, tzinfo=UTC)
    series = await maps.actual(*DE, day, day + timedelta(days=1))
    assert said(series) == [(day, 1), (day + HOUR, 2), (day + 2 * HOUR, 3)]
    assert {one.start.utcoffset() for one in series.intervals} == {timedelta(0)}
