"""WattTime: its forecasts and its past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.series import Factor, Signal
from carbonzeus_operator.grid.watttime import G_PER_KWH, WattTime
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer
from tests.unit.grid.samples import HOUR, T0, at
from tests.unit.grid.watt import (
    AVERAGE,
    FORECAST,
    HISTORY,
    LOGIN,
    NORTH,
    TOKEN,
    answer,
    forecast,
    said,
)


def paths(server: ReplayServer) -> list[str]:
    return [asked.path for asked in server.asked]


# Forecasts


async def test_a_forecast(watttime: WattTime, server: ReplayServer) -> None:
    """In grams a kilowatt-hour, as old as the source says, of a model that is named."""
    server.answers[FORECAST] = Answer(forecast((0, 1000), (5 / 60, 0)))
    series = await watttime.forecast(*NORTH)
    assert (series.zone, series.signal, series.factor, series.source) == (*NORTH, Factor.DIRECT, "WattTime")
    assert series.issued_at == at(5 / 60)
    assert series.model == "co2_moer 2026-03-01"
    assert [(one.start, one.end, one.estimated) for one in series.intervals] == [
        (at(0), at(5 / 60), False),
        (at(5 / 60), at(10 / 60), False),
    ]
    assert [one.gco2_per_kwh for one in series.intervals] == [pytest.approx(453.59237), 0]
    [login, asked] = server.asked
    assert login.path == LOGIN
    assert login.headers["authorization"].startswith("Basic ")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.query == {"region": "CAISO_NORTH", "signal_type": "co2_moer", "horizon_hours": "72"}


async def test_the_average_signal_has_no_forecast(watttime: WattTime, server: ReplayServer) -> None:
    """Which is said, not replaced by the other signal."""
    with pytest.raises(InvalidSpec, match="WattTime has no forecast of the signal Average") as refused:
        await watttime.forecast(*AVERAGE)
    assert refused.value.reason == "NoForecast"
    assert not server.asked


async def test_nulls_gaps_and_order(watttime: WattTime, server: ReplayServer) -> None:
    """What is not known is absent, what is missing is missing, and time runs forward."""
    server.answers["*"] = Answer(forecast((5, 3), (1, None), (0, 7), (0, 7)))
    assert said(await watttime.forecast(*NORTH)) == [(at(0), 7), (at(5), 3)]


# Actuals


async def test_an_actual(watttime: WattTime, server: ReplayServer) -> None:
    """What is published of the time that was asked for; what was imputed is an estimate."""
    body = answer((-1, 1000), (-0.5, 900), (-5 / 60, 700), (0, 600), (5 / 60, 500))
    body["data"][1]["imputed_data_used"] = True
    body["data"][2]["imputed_data_used"] = False
    server.answers[HISTORY] = Answer(body)
    series = await watttime.actual(*NORTH, at(-0.9), at(0.1))
    assert [(one.start, one.estimated) for one in series.intervals] == [
        (at(-0.5), True),
        (at(-5 / 60), False),
        (at(0), False),
    ]
    assert (series.issued_at, series.model) == (at(0.1), "co2_moer 2026-03-01")
    assert server.asked[-1].query == {
        "region": "CAISO_NORTH",
        "signal_type": "co2_moer",
        "start": "2026-11-24T11:00:00+00:00",
        "end": "2026-11-24T12:06:00+00:00",
        "include_imputed_marker": "true",
    }


async def test_the_average_signal(watttime: WattTime, server: ReplayServer) -> None:
    """Has a past, in hours in some regions: of the hour in which the question begins, too."""
    server.answers[HISTORY] = Answer(
        answer((-2, 800), (-1, 700), signal_type="co2_aoer", data_point_period_seconds=3600)
    )
    series = await watttime.actual(*AVERAGE, at(-1.5), at(0))
    assert said(series) == [(at(-2), 800), (at(-1), 700)]
    assert (series.signal, series.factor, series.model) == (Signal.AVERAGE, Factor.DIRECT, "co2_aoer 2026-03-01")
    assert server.asked[-1].query["signal_type"] == "co2_aoer"
    assert server.asked[-1].query["start"] == "2026-11-24T10:00:00+00:00"


async def test_what_is_not_over(watttime: WattTime, server: ReplayServer) -> None:
    """Has no actual."""
    server.answers[HISTORY] = Answer(answer((-1 / 12, 9), (0, 8), (1 / 12, 7), (2 / 12, 6)))
    assert said(await watttime.actual(*NORTH, at(-1), at(1))) == [(at(-1 / 12), 9), (at(0), 8)]


async def test_older_times_are_asked_for_in_pieces(watttime: WattTime, server: ReplayServer) -> None:
    """Of 32 days at most, that meet: both ends count, so that a point comes twice, perhaps revised."""

    def days(asked: Asked) -> Answer:
        begin, until = (datetime.fromisoformat(asked.query[one]) for one in ("start", "end"))
        assert timedelta(0) < until - begin < timedelta(days=32)
        first, last = ((one - T0) / HOUR for one in (begin, until))
        return Answer(answer(*((first + hours, len(server.asked)) for hours in range(0, round(last - first) + 1, 12))))

    server.answers[HISTORY] = days
    series = await watttime.actual(*NORTH, at(-24 * 70), at(0))
    assert [asked.query["start"] for asked in server.asked[1:]] == [
        "2026-09-15T12:00:00+00:00",
        "2026-10-15T12:00:00+00:00",
        "2026-11-14T12:00:00+00:00",
    ]
    assert checked(series, *NORTH).intervals[0].start == at(-24 * 70)
    assert len(series.intervals) == 140
    seam = series.at(at(-24 * 40))
    assert seam is not None
    assert seam.gco2_per_kwh == pytest.approx(3 * G_PER_KWH)


async def test_no_time_at_all(watttime: WattTime, server: ReplayServer) -> None:
    """Is no call."""
    assert (await watttime.actual(*NORTH, at(1), at(1))).intervals == ()
    assert not server.asked


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_the_days_on_which_clocks_change(watttime: WattTime, server: ReplayServer, day: datetime) -> None:
    """Have 24 hours in UTC."""
    hours = (day - T0) / HOUR
    server.answers[HISTORY] = Answer(answer(*((hours + step / 12, step) for step in range(288))))
    series = await watttime.actual(*NORTH, day, day + timedelta(days=1))
    assert [value for _, value in said(series)] == list(range(288))
    assert {one.end - one.start for one in checked(series, *NORTH).intervals} == {timedelta(minutes=5)}


async def test_local_times_on_such_a_day(watttime: WattTime, server: ReplayServer) -> None:
    """Are told apart by their offsets: two o'clock comes twice in October."""
    body = answer((0, 1), (0, 2), (0, 3))
    times = "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"
    for point, time in zip(body["data"], times, strict=True):
        point["point_time"] = time
    server.answers[HISTORY] = Answer(body)
    day = datetime(2026, 10, 25, tzinfo=UTC)
    series = await watttime.actual(*NORTH, day, day + timedelta(days=1))
    assert said(series) == [(day, 1), (day + HOUR, 2), (day + 2 * HOUR, 3)]
    assert {one.start.utcoffset() for one in series.intervals} == {timedelta(0)}


# Regions


async def test_the_region_of_a_place(watttime: WattTime, server: ReplayServer) -> None:
    """Is what a policy says as its zone."""
    server.answers["/v3/region-from-loc"] = Answer(
        {"region": "ISONE_WCMA", "region_full_name": "ISONE Western/Central Massachusetts", "signal_type": "co2_moer"}
    )
    region = await watttime.region_at(42.372, -72.519)
    assert (region.region, region.region_full_name) == ("ISONE_WCMA", "ISONE Western/Central Massachusetts")
    assert server.asked[-1].query == {"latitude": "42.372", "longitude": "-72.519", "signal_type": "co2_moer"}


async def test_a_place_in_no_region(watttime: WattTime, server: ReplayServer) -> None:
    """Is refused in WattTime's own words."""
    server.answers["/v3/region-from-loc"] = Answer({"error": "Coordinates not found"}, 404)
    with pytest.raises(InvalidSpec, match=r"refuses the region at 0.0, -30.0: 404 \(Coordinates not found\)"):
        await watttime.region_at(0.0, -30.0, Signal.AVERAGE)
    assert server.asked[-1].query["signal_type"] == "co2_aoer"


# What is refused


@pytest.mark.parametrize("zone", ["", "CAISO NORTH", "A&region=B", "DE\n", "-"])
async def test_what_is_no_region(watttime: WattTime, server: ReplayServer, zone: str) -> None:
    """Is not asked for."""
    for ask in (watttime.forecast(zone, Signal.MARGINAL), watttime.actual(zone, Signal.AVERAGE, at(-1), at(0))):
        with pytest.raises(InvalidSpec, match="has no region") as refused:
            await ask
        assert refused.value.reason == "InvalidZone"
    assert not server.asked


@pytest.mark.parametrize(
    ("meta", "message", "reason"),
    [
        ({"region": "PJM_NJ"}, "it is of region 'PJM_NJ'", "InvalidZone"),
        ({"units": "kg_co2_per_mwh"}, "its units are 'kg_co2_per_mwh', not 'lbs_co2_per_mwh'", "InvalidGridData"),
        ({"units": "x\x1b[31m" * 50}, r"its units are 'x\\x1b\[31m.*\.\.\.', not", "InvalidGridData"),
        ({"signal_type": "health_damage"}, "of the signal 'health_damage', not 'co2_moer'", "InvalidGridData"),
    ],
)
async def test_another_answer_than_asked_for(
    watttime: WattTime, server: ReplayServer, meta: dict[str, Any], message: str, reason: str
) -> None:
    """Of another region, unit or signal: never converted, never taken."""
    server.answers[FORECAST] = Answer(forecast((0, 1), **meta))
    server.answers[HISTORY] = Answer(answer((-1, 1), **meta))
    for ask in (watttime.forecast(*NORTH), watttime.actual(*NORTH, at(-2), at(0))):
        with pytest.raises(
            InvalidSpec, match=f"what WattTime answered for CAISO_NORTH cannot be used: .*{message}"
        ) as no:
            await ask
        assert no.value.reason == reason
        assert str(no.value).isprintable()


async def test_a_contradiction(watttime: WattTime, server: ReplayServer) -> None:
    """Is refused: nobody knows which is right."""
    server.answers[FORECAST] = Answer(forecast((0, 3), (0, 4)))
    with pytest.raises(InvalidSpec, match="WattTime contradicts itself for CAISO_NORTH") as refused:
        await watttime.forecast(*NORTH)
    assert refused.value.reason == "InvalidGridData"


async def test_a_negative_value(watttime: WattTime, server: ReplayServer) -> None:
    """Is not made anything else, so that the check refuses it."""
    server.answers[FORECAST] = Answer(forecast((0, -10)))
    with pytest.raises(InvalidSpec, match=r"has -4.53"):
        checked(await watttime.forecast(*NORTH), *NORTH)


async def test_points_closer_than_they_last(watttime: WattTime, server: ReplayServer) -> None:
    """Are refused by the check: they would overlap."""
    server.answers[FORECAST] = Answer(forecast((0, 1), (1 / 60, 2)))
    with pytest.raises(InvalidSpec, match="begins before the one ahead of it ends"):
        checked(await watttime.forecast(*NORTH), *NORTH)
