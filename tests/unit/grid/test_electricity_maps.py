"""Electricity Maps: its forecasts, and what of them is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.electricity_maps import ElectricityMaps
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.series import Factor, Signal
from tests.unit.grid.emaps import DE, FORECAST, TOKEN, forecast, past, row, said, stamp
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import at

# Forecasts


async def test_a_forecast(maps: ElectricityMaps, server: ReplayServer) -> None:
    """The present hour and what comes, as old as the source says."""
    server.answers[FORECAST] = Answer(forecast((0, 77), (1, 76.5)))
    series = await maps.forecast(*DE)
    assert (series.zone, series.signal, series.factor, series.source) == (*DE, Factor.LIFECYCLE, "Electricity Maps")
    assert series.issued_at == at(0.2)
    assert [(one.start, one.end, one.gco2_per_kwh, one.estimated) for one in series.intervals] == [
        (at(0), at(1), 77, False),
        (at(1), at(2), 76.5, False),
    ]
    [asked] = server.asked
    assert asked.headers["auth-token"] == TOKEN
    assert asked.query == {
        "zone": "DE",
        "disableCallerLookup": "true",
        "temporalGranularity": "hourly",
        "horizonHours": "72",
    }


async def test_a_shorter_horizon(http: Http, server: ReplayServer) -> None:
    """For plans that have no more."""
    server.answers["*"] = Answer(forecast((0, 77)))
    await ElectricityMaps(http=http, url=server.url, credential=lambda: TOKEN, horizon_hours=24).forecast(*DE)
    assert server.asked[0].query["horizonHours"] == "24"


async def test_another_token_is_used_at_once(http: Http, server: ReplayServer) -> None:
    """When the Secret changes."""
    server.answers["*"] = Answer(forecast((0, 77)))
    tokens = ["old", "new\n"]
    provider = ElectricityMaps(http=http, url=server.url, credential=lambda: tokens.pop(0))
    await provider.forecast(*DE)
    await provider.forecast(*DE)
    assert [asked.headers["auth-token"] for asked in server.asked] == ["old", "new"]


async def test_no_token(http: Http, server: ReplayServer) -> None:
    """Is asked for, not sent."""
    provider = ElectricityMaps(http=http, url=server.url, credential=lambda: " \n")
    with pytest.raises(Unavailable, match="the token of Electricity Maps is empty: put it into the Secret"):
        await provider.forecast(*DE)
    assert not server.asked


async def test_nulls_gaps_and_order(maps: ElectricityMaps, server: ReplayServer) -> None:
    """What is not known is absent, what is missing is missing, and time runs forward."""
    server.answers["*"] = Answer(forecast((5, 3), (1, None), (0, 7), (0, 7)))
    assert said(await maps.forecast(*DE)) == [(at(0), 7), (at(5), 3)]


@pytest.mark.parametrize(("granularity", "minutes"), [("5_minutes", 5), ("15_minutes", 15), ("hourly", 60)])
async def test_how_long_an_interval_is(
    maps: ElectricityMaps, server: ReplayServer, granularity: str, minutes: int
) -> None:
    """Says the answer, whatever was asked for."""
    server.answers["*"] = Answer(forecast((0, 7), (3, 8), temporalGranularity=granularity))
    series = await maps.forecast(*DE)
    assert {one.end - one.start for one in series.intervals} == {timedelta(minutes=minutes)}


@pytest.mark.parametrize("minutes", [5, 15, 60])
async def test_spacing_where_the_answer_does_not_say(maps: ElectricityMaps, server: ReplayServer, minutes: int) -> None:
    """Tells the length: of the rows, also of those that are null."""
    body = forecast((0, 7), (minutes / 60, None), (6, 8))
    del body["temporalGranularity"]
    server.answers["*"] = Answer(body)
    series = await maps.forecast(*DE)
    assert {one.end - one.start for one in series.intervals} == {timedelta(minutes=minutes)}


@pytest.mark.parametrize("values", [((0, 7),), ((0, 7), (2, 8)), ((0, 7), (0.1, 8))])
async def test_a_length_that_nobody_tells(
    maps: ElectricityMaps, server: ReplayServer, values: tuple[tuple[float, Any], ...]
) -> None:
    """Is not guessed."""
    server.answers["*"] = Answer(forecast(*values, temporalGranularity=None))
    with pytest.raises(InvalidSpec, match="for DE cannot be used: it does not say how long its intervals are"):
        await maps.forecast(*DE)


@pytest.mark.parametrize("granularity", ["daily", "", "hourly\x1b[31m"])
async def test_a_length_that_is_not_known(maps: ElectricityMaps, server: ReplayServer, granularity: str) -> None:
    """Is not guessed either."""
    server.answers["*"] = Answer(forecast((0, 7), (1, 8), temporalGranularity=granularity))
    with pytest.raises(InvalidSpec, match=r"its temporalGranularity is '.*', not one of 5_minutes") as refused:
        await maps.forecast(*DE)
    assert str(refused.value).isprintable()


async def test_two_lengths_in_one_answer(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Cannot be meant."""
    server.answers["*"] = Answer(past(row(-2, 7, temporalGranularity="15_minutes")))
    with pytest.raises(InvalidSpec, match="its temporalGranularity is '15_minutes' and 'hourly'"):
        await maps.actual(*DE, at(-3), at(0))


async def test_rows_closer_than_their_length(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Are refused by the check: they would overlap."""
    server.answers["*"] = Answer(forecast((0, 7), (0.25, 8)))
    with pytest.raises(InvalidSpec, match="begins before the one ahead of it ends"):
        checked(await maps.forecast(*DE), *DE)


# What is refused


async def test_the_marginal_signal(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is not to be had."""
    for ask in (maps.forecast("DE", Signal.MARGINAL), maps.actual("DE", Signal.MARGINAL, at(-1), at(0))):
        with pytest.raises(InvalidSpec, match="has only the signal Average, not Marginal") as refused:
            await ask
        assert refused.value.reason == "UnsupportedSignal"
    assert not server.asked


@pytest.mark.parametrize("zone", ["", "D E", "DE&zone=FR", "DE\n", "-"])
async def test_what_is_no_zone(maps: ElectricityMaps, server: ReplayServer, zone: str) -> None:
    """Is not asked for."""
    with pytest.raises(InvalidSpec, match="has no zone") as refused:
        await maps.forecast(zone, Signal.AVERAGE)
    assert refused.value.reason == "InvalidZone"
    assert not server.asked


async def test_the_zone_of_whoever_asks(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is not the zone that was asked for, though it looks like a good answer."""
    server.answers["*"] = Answer(forecast((0, 77), zone="DK-DK2"))
    with pytest.raises(InvalidSpec, match="answered with zone 'DK-DK2', where DE was asked for") as refused:
        await maps.forecast(*DE)
    assert refused.value.reason == "InvalidZone"


async def test_a_row_of_another_zone(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is noticed as well."""
    server.answers["*"] = Answer(past(row(-2, 7), row(-1, 8, zone="FR")))
    with pytest.raises(InvalidSpec, match="answered with zone 'FR'"):
        await maps.actual(*DE, at(-3), at(0))


async def test_an_answer_of_no_zone(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Could be of any."""
    server.answers["*"] = Answer(forecast((0, 77), zone=None))
    with pytest.raises(InvalidSpec, match="it does not say of which zone it is"):
        await maps.forecast(*DE)


async def test_the_zone_in_the_rows_only(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is enough."""
    server.answers["*"] = Answer({"data": [row(-2, 7), row(-1, 8)]})
    assert said(await maps.actual(*DE, at(-3), at(0))) == [(at(-2), 7), (at(-1), 8)]


async def test_direct_emissions(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Are another number: never settled with where plans follow lifecycle emissions."""
    server.answers["*"] = Answer(past(row(-2, 7), row(-1, 8, emissionFactorType="direct")))
    with pytest.raises(InvalidSpec, match="its factor is 'direct', not 'lifecycle'") as refused:
        await maps.actual(*DE, at(-3), at(0))
    assert refused.value.reason == "InvalidGridData"


async def test_a_contradiction(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is refused: nobody knows which is right."""
    server.answers["*"] = Answer(forecast((0, 3), (0, 4)))
    with pytest.raises(InvalidSpec, match="Electricity Maps contradicts itself for DE: 3 g/kWh") as refused:
        await maps.forecast(*DE)
    assert refused.value.reason == "InvalidGridData"


async def test_a_negative_value(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is not made anything else, so that the check refuses it."""
    server.answers["*"] = Answer(forecast((0, -1)))
    with pytest.raises(InvalidSpec, match=r"has -1.0 g/kWh"):
        checked(await maps.forecast(*DE), *DE)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"updatedAt": None}, "updatedAt: Input should be a valid datetime"),
        ({"updatedAt": 1_764_000_000}, "updatedAt: "),
        ({"updatedAt": "2026-11-24T12:00:00"}, "updatedAt: Input should have timezone info"),
        ({"updatedAt": "9999-12-31T23:59:59-12:00"}, "updatedAt: Value error, not between 1970 and 2200"),
        ({"forecast": [{"carbonIntensity": "77", "datetime": stamp(0)}]}, r"forecast\.0\.carbonIntensity: "),
        ({"forecast": [{"carbonIntensity": True, "datetime": stamp(0)}]}, r"forecast\.0\.carbonIntensity: "),
        ({"forecast": [{"datetime": stamp(0)}]}, r"forecast\.0\.carbonIntensity: Field required"),
        ({"forecast": None}, "forecast: "),
    ],
)
async def test_another_shape(maps: ElectricityMaps, server: ReplayServer, change: dict[str, Any], where: str) -> None:
    """Is named by the first field that is wrong."""
    server.answers["*"] = Answer({**forecast((0, 77)), **change})
    with pytest.raises(Unavailable, match=f"answered the forecast of zone DE with something else: {where}"):
        await maps.forecast(*DE)


async def test_numbers_that_are_none(maps: ElectricityMaps, server: ReplayServer) -> None:
    """JSON knows no infinity."""
    for number in ("NaN", "Infinity", "1e999"):
        server.answers["*"] = Answer(
            f'{{"zone":"DE","updatedAt":"2026-11-24T12:00Z","forecast":[{{"datetime":"2026-11-24T12:00Z","carbonIntensity":{number}}}]}}'
        )
        with pytest.raises(Unavailable, match="carbonIntensity"):
            await maps.forecast(*DE)
