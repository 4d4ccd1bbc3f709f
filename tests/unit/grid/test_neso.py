"""NESO's half-hours: what is asked, what is taken, what is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.neso import Neso
from carbonzeus_operator.grid.series import Factor, Signal
from tests.unit.grid.fuzz import Canned, answered, bodies, invents_nothing, thousand
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer
from tests.unit.grid.samples import T0, Watch, at

GB = ("GB", Signal.AVERAGE)


def window(hours: float, forecast: float | None = None, actual: float | None = None, **more: Any) -> dict[str, Any]:
    """As NESO writes one that begins so many hours after noon."""
    begin, end = at(hours), at(hours + 0.5)
    return {
        "from": f"{begin:%Y-%m-%dT%H:%MZ}",
        "to": f"{end:%Y-%m-%dT%H:%MZ}",
        "intensity": {"forecast": forecast, "actual": actual, "index": "moderate"},
        **more,
    }


def regional(number: int, *windows: dict[str, Any]) -> dict[str, Any]:
    """As NESO writes a region."""
    for one in windows:
        del one["intensity"]["actual"]
    return {"data": {"regionid": number, "dnoregion": "UKPN London", "shortname": "London", "data": list(windows)}}


async def test_the_forecast_begins_with_the_present_window(neso: Neso, server: ReplayServer) -> None:
    """Asked for from within it: on the full half hour NESO would begin with the one before."""
    server.answers["/intensity/2026-11-24T12:01Z/fw48h"] = Answer({"data": [window(0, 266), window(0.5, 259, None)]})
    series = await neso.forecast(*GB)
    assert (series.zone, series.signal, series.factor, series.source) == (*GB, Factor.DIRECT, "NESO")
    assert series.issued_at == T0
    assert [(one.start, one.end, one.gco2_per_kwh) for one in series.intervals] == [
        (at(0), at(0.5), 266),
        (at(0.5), at(1), 259),
    ]


@pytest.mark.parametrize(("now", "asked"), [(0, "12:01"), (0.499, "12:01"), (0.5, "12:31"), (11.99, "23:31")])
async def test_which_window_is_the_present_one(neso: Neso, server: ReplayServer, now: float, asked: str) -> None:
    """To the second."""
    server.answers["*"] = Answer({"data": [window(0, 1)]})
    await Neso(neso.http, server.url, Watch(at(now))).forecast(*GB)
    assert server.asked[0].path == f"/intensity/2026-11-24T{asked}Z/fw48h"


async def test_the_actual_is_what_is_published(neso: Neso, server: ReplayServer) -> None:
    """Null until a window is over: absent, not zero and not the forecast."""
    server.answers["/intensity/2026-11-24T11:01Z/2026-11-24T12:30Z"] = Answer(
        {"data": [window(-1, 1, 263), window(-0.5, 2, 0), window(0, 3, None)]}
    )
    series = await neso.actual(*GB, at(-0.7), at(0.2))
    assert [(one.start, one.gco2_per_kwh, one.estimated) for one in series.intervals] == [
        (at(-1), 263, False),
        (at(-0.5), 0, False),
    ]


async def test_what_was_not_asked_for_is_left_out(neso: Neso, server: ReplayServer) -> None:
    """NESO may add a window at either end."""
    server.answers["*"] = Answer({"data": [window(hours, 1, hours) for hours in (0, 0.5, 1, 1.5, 2)]})
    series = await neso.actual(*GB, at(0.5), at(1.5))
    assert [one.start for one in series.intervals] == [at(0.5), at(1)]


async def test_a_long_time_is_asked_for_in_pieces(neso: Neso, server: ReplayServer) -> None:
    """Of fourteen days at most, that meet."""

    def days(asked: Asked) -> Answer:
        begin, until = (datetime.strptime(one, "%Y-%m-%dT%H:%M%z") for one in asked.path.split("/")[2:])
        assert until - begin < timedelta(days=14)
        first = (begin - T0) / timedelta(hours=1) - 1 / 60
        return Answer({"data": [window(first + half / 2, 1, half % 7) for half in range(0, 14 * 48, 6)]})

    server.answers["*"] = days
    series = await neso.actual(*GB, at(-24 * 33), at(0.1))
    assert len(server.asked) == 3
    assert series.intervals[0].start == at(-24 * 33)
    assert server.asked[-1].path.endswith("/2026-11-24T12:30Z")
    assert checked(series, *GB) is series


async def test_no_time_at_all_is_no_call(neso: Neso, server: ReplayServer) -> None:
    """And no answer either."""
    assert (await neso.actual(*GB, at(1), at(1))).intervals == ()
    assert not server.asked


async def test_a_region_has_a_forecast(neso: Neso, server: ReplayServer) -> None:
    """Of its own."""
    path = "/regional/intensity/2026-11-24T12:01Z/fw48h/regionid/13"
    server.answers[path] = Answer(regional(13, window(0, 266), window(0.5, None)))
    series = await neso.forecast("GB-13", Signal.AVERAGE)
    assert [one.gco2_per_kwh for one in series.intervals] == [266]
    assert series.zone == "GB-13"


async def test_a_region_has_no_actual(neso: Neso, server: ReplayServer) -> None:
    """Which is said, not passed over."""
    with pytest.raises(InvalidSpec, match="publishes no actual of regions, so GB-13 cannot be settled") as refused:
        await neso.actual("GB-13", Signal.AVERAGE, at(0), at(1))
    assert refused.value.reason == "NoActual"
    assert not server.asked


async def test_another_region_than_asked_for(neso: Neso, server: ReplayServer) -> None:
    """Is not taken."""
    server.answers["*"] = Answer(regional(3, window(0, 266)))
    with pytest.raises(Unavailable, match="NESO answered with region 3, where GB-13 was asked for"):
        await neso.forecast("GB-13", Signal.AVERAGE)


@pytest.mark.parametrize("zone", ["DE", "GB-0", "GB-18", "GB-01", "gb", "GB-", "GB\n", "GB/../x", ""])
async def test_other_zones(neso: Neso, server: ReplayServer, zone: str) -> None:
    """Are another provider's matter."""
    for ask in (neso.forecast(zone, Signal.AVERAGE), neso.actual(zone, Signal.AVERAGE, at(0), at(1))):
        with pytest.raises(InvalidSpec, match="NESO has no zone") as refused:
            await ask
        assert refused.value.reason == "InvalidZone"
    assert not server.asked


async def test_the_marginal_signal(neso: Neso, server: ReplayServer) -> None:
    """Is not mixed with this one."""
    with pytest.raises(InvalidSpec, match="has only the signal Average, not Marginal"):
        await neso.forecast("GB", Signal.MARGINAL)
    assert not server.asked


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_the_days_on_which_clocks_change(neso: Neso, server: ReplayServer, day: datetime) -> None:
    """Have 48 half-hours like any other in UTC."""
    hours = (day - T0) / timedelta(hours=1)
    server.answers["*"] = Answer({"data": [window(hours + half / 2, 1, half) for half in range(48)]})
    series = await neso.actual(*GB, day, day + timedelta(days=1))
    assert [one.gco2_per_kwh for one in series.intervals] == list(range(48))
    assert {one.end - one.start for one in series.intervals} == {timedelta(minutes=30)}


async def test_gaps_stay_and_order_is_made(neso: Neso, server: ReplayServer) -> None:
    """Windows that are missing are missing, whatever the order of the others."""
    server.answers["*"] = Answer({"data": [window(2, 5), window(0, 3), window(0, 3)]})
    series = await neso.forecast(*GB)
    assert [(one.start, one.gco2_per_kwh) for one in series.intervals] == [(at(0), 3), (at(2), 5)]


async def test_a_contradiction(neso: Neso, server: ReplayServer) -> None:
    """Is refused: nobody knows which is right."""
    server.answers["*"] = Answer({"data": [window(0, 3), window(0, 4)]})
    with pytest.raises(InvalidSpec, match=r"NESO contradicts itself for GB: 3 g/kWh from .*, and 4 g/kWh") as refused:
        await neso.forecast(*GB)
    assert refused.value.reason == "InvalidGridData"


async def test_a_negative_value(neso: Neso, server: ReplayServer) -> None:
    """Is not made anything else, so that the check refuses it."""
    server.answers["*"] = Answer({"data": [window(0, -1)]})
    series = await neso.forecast(*GB)
    with pytest.raises(InvalidSpec, match=r"what NESO says of GB cannot be used: .* has -1.0 g/kWh"):
        checked(series, *GB)


async def test_the_error_that_neso_sends(neso: Neso, server: ReplayServer) -> None:
    """In its own words."""
    server.answers["*"] = Answer({"error": {"code": "400 Bad Request", "message": "Please enter a valid date"}}, 400)
    with pytest.raises(InvalidSpec, match=r"NESO refuses the forecast of zone GB: 400 \(Please enter a valid date\)"):
        await neso.forecast(*GB)


VALID = {"data": [window(0, 3, 5), window(0.5, 4, 6), window(1, 7, None)]}
VALID_REGION = regional(13, window(0, 3), window(0.5, 4), window(1, None))


@thousand
@given(bodies(VALID), st.booleans())
def test_any_answer_of_the_whole(body: bytes, forecast: bool) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = Neso(Canned(body), now=lambda: T0)
    ask = (lambda: provider.forecast(*GB)) if forecast else (lambda: provider.actual(*GB, T0, at(2)))
    assert invents_nothing(answered(ask), body)


@thousand
@given(bodies(VALID_REGION))
def test_any_answer_of_a_region(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = Neso(Canned(body), now=lambda: T0)
    assert invents_nothing(answered(lambda: provider.forecast("GB-13", Signal.AVERAGE)), body)
