"""The Carbon Aware SDK's WebAPI: what is asked, what is taken, what is left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.carbon_aware_sdk import CarbonAwareSdk
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.series import Factor, Interval, Signal
from tests.unit.grid.faults import FAULTS, meets, patience_s
from tests.unit.grid.fuzz import Canned, answered, bodies, invents_nothing, thousand
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer
from tests.unit.grid.samples import HOUR, T0, Watch, at, intervals

WESTUS = ("westus", Signal.MARGINAL)
FORECASTS, PAST = "/emissions/forecasts/current", "/emissions/bylocation"


def point(hours: float, value: float | None, *, minutes: int = 60, location: str = "CAISO_NORTH") -> dict[str, Any]:
    """A value of a forecast, as the SDK writes it."""
    return {"location": location, "timestamp": f"{at(hours).isoformat()}", "duration": minutes, "value": value}


def forecast(*points: dict[str, Any], location: str = "westus", generated: str | None = None) -> dict[str, Any]:
    """A forecast, as the SDK writes it."""
    return {
        "generatedAt": generated or at(-0.25).isoformat(),
        "requestedAt": at(0).isoformat(),
        "location": location,
        "dataStartAt": at(0).isoformat(),
        "dataEndAt": at(24).isoformat(),
        "windowSize": 60,
        "optimalDataPoints": list(points[:1]),
        "forecastData": list(points),
    }


def measured(
    hours: float, rating: float | None, span: str = "01:00:00", location: str = "CAISO_NORTH"
) -> dict[str, Any]:
    """A value of the past, as the SDK writes it."""
    return {"location": location, "time": at(hours).isoformat(), "rating": rating, "duration": span}


@pytest.fixture
async def sdk(server: ReplayServer, request: pytest.FixtureRequest) -> AsyncIterator[CarbonAwareSdk]:
    http = Http(timeout_s=patience_s(request), now=lambda: T0)
    yield CarbonAwareSdk(http, server.url, now=Watch(T0))
    await http.close()


# Forecasts


async def test_a_forecast(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Of the location, as old as its source made it; the best point is not data of its own."""
    server.answers[FORECASTS] = Answer([forecast(point(0, 532.02293146), point(1, 448.4451043375))])
    series = await sdk.forecast(*WESTUS)
    assert (series.zone, series.signal, series.factor, series.source) == (*WESTUS, Factor.DIRECT, "CarbonAwareSDK")
    assert series.issued_at == at(-0.25)
    assert series.intervals == intervals({0: 532.02293146, 1: 448.4451043375})
    assert [asked.query for asked in server.asked] == [{"location": "westus"}]


async def test_minutes_are_minutes(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """The length that the SDK says, also of the last value."""
    server.answers["*"] = Answer([forecast(point(0, 5, minutes=5), point(1 / 12, 6, minutes=5))])
    assert (await sdk.forecast(*WESTUS)).intervals == intervals({0: 5, 1 / 12: 6}, timedelta(minutes=5))


async def test_dotnet_writes_seven_digits(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Of a second, and offsets of other countries."""
    made = forecast(
        {**point(0, 5), "timestamp": "2026-11-24T14:00:00.0000000+02:00"}, generated="2026-11-24T11:59:59.1234567Z"
    )
    server.answers["*"] = Answer([made])
    series = await sdk.forecast(*WESTUS)
    assert series.issued_at == datetime(2026, 11, 24, 11, 59, 59, 123456, UTC)
    assert series.intervals == intervals({0: 5})


async def test_what_has_no_value(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """-1, 0 and null are no intensities, and a value without a length holds for no time: absent, not filled."""
    made = forecast(point(0, -1), point(1, 0), point(2, None), point(3, 5, minutes=0), point(4, 6))
    server.answers["*"] = Answer([made])
    assert (await sdk.forecast(*WESTUS)).intervals == intervals({4: 6})


@pytest.mark.parametrize(
    "answer", [Answer([]), Answer(b"", 204), Answer([forecast()]), Answer([forecast(point(0, 1))] * 2)]
)
async def test_not_one_forecast(sdk: CarbonAwareSdk, server: ReplayServer, answer: Answer) -> None:
    """Is none."""
    server.answers["*"] = answer
    with pytest.raises(
        Unavailable, match=r"CarbonAwareSDK has [012] forecasts of zone westus with values in them, not one"
    ):
        await sdk.forecast(*WESTUS)


async def test_a_source_that_makes_no_forecast(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Is for somebody to mend."""
    server.answers["*"] = Answer({"title": "NotImplementedException", "status": 501}, 501)
    with pytest.raises(InvalidSpec, match="has no forecast of zone westus: its source makes none") as refused:
        await sdk.forecast(*WESTUS)
    assert refused.value.reason == "NoForecast"


async def test_a_forecast_of_nobody_knows_when(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Would never be stale."""
    server.answers["*"] = Answer([forecast(point(0, 5), generated="0001-01-01T00:00:00+00:00")])
    with pytest.raises(Unavailable, match=r"0\.generatedAt: .*a time in the year 1"):
        await sdk.forecast(*WESTUS)


async def test_a_clock_that_is_ahead(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Does not make a forecast younger than its arrival."""
    server.answers["*"] = Answer([forecast(point(0, 5), generated=at(7).isoformat())])
    assert (await sdk.forecast(*WESTUS)).issued_at == T0


async def test_a_forecast_of_another_location(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Is not taken; the SDK takes names in any case."""
    server.answers["*"] = Answer([forecast(point(0, 5), location="eastus")])
    with pytest.raises(Unavailable, match="answered with location 'eastus', where 'westus' was asked for"):
        await sdk.forecast(*WESTUS)
    server.answers["*"] = Answer([forecast(point(0, 5), location="WestUS")])
    assert (await sdk.forecast(*WESTUS)).intervals


async def test_values_of_two_places(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Are not one zone's."""
    server.answers["*"] = Answer([forecast(point(0, 5), point(1, 6, location="PJM_ROANOKE"))])
    with pytest.raises(InvalidSpec, match="with values of 'CAISO_NORTH' and 'PJM_ROANOKE'") as refused:
        await sdk.forecast(*WESTUS)
    assert refused.value.reason == "InvalidGridData"


# Actuals


async def test_an_actual(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """What is over of what was asked for; what overlaps its ends stays whole."""
    server.answers[PAST] = Answer([measured(hours, 100 + hours) for hours in range(-5, 1)])
    series = await sdk.actual(*WESTUS, at(-3.5), at(0.5))
    assert series.intervals == intervals({hours: 100 + hours for hours in range(-4, 0)})
    assert series.issued_at == T0
    assert [asked.query for asked in server.asked] == [
        {"location": "westus", "time": "2026-11-24T08:00:00Z", "toTime": "2026-11-24T12:00:00Z"}
    ]


@pytest.mark.parametrize(
    ("span", "length"),
    [
        ("00:05:00", timedelta(minutes=5)),
        ("01:00:00.0000000", HOUR),
        ("1.00:00:00", timedelta(days=1)),
        ("00:00:00", None),
    ],
)
async def test_a_span_of_dotnet(sdk: CarbonAwareSdk, server: ReplayServer, span: str, length: timedelta | None) -> None:
    """Days stand before the point."""
    server.answers["*"] = Answer([measured(-30, 5, span)])
    series = await sdk.actual(*WESTUS, at(-40), at(0))
    assert series.intervals == (() if length is None else (Interval(at(-30), at(-30) + length, 5),))


@pytest.mark.parametrize("span", ["5", 300, "24:00:00", "-01:00:00", "PT5M", None, "99999.00:00:00", ""])
async def test_what_is_no_span(sdk: CarbonAwareSdk, server: ReplayServer, span: Any) -> None:
    """Nobody knows how long that holds."""
    server.answers["*"] = Answer([measured(-2, 5, span)])
    with pytest.raises(Unavailable, match=r"0\.duration: .*no duration such as 00:05:00"):
        await sdk.actual(*WESTUS, at(-4), at(0))


async def test_what_was_not_measured(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Is a gap; a value without any length, too."""
    short = {key: value for key, value in measured(-1, 9).items() if key != "duration"}
    server.answers["*"] = Answer([measured(-5, -1), measured(-4, 0), measured(-3, None), measured(-2, 7), short])
    assert (await sdk.actual(*WESTUS, at(-5), at(0))).intervals == intervals({-2: 7})


async def test_nothing_is_an_answer(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """204: it is not published yet."""
    server.answers["*"] = Answer(b"", 204)
    assert (await sdk.actual(*WESTUS, at(-5), at(0))).intervals == ()


async def test_parameters_that_were_passed_over(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """The present is no answer for another time."""
    server.answers["*"] = Answer([measured(-1, 5)])
    with pytest.raises(InvalidSpec, match=r"with values of 2026-11-24 11:00:00\+00:00, where .* was asked for"):
        await sdk.actual(*WESTUS, at(-300), at(-280))
    server.answers["*"] = Answer([measured(hours, 5) for hours in range(-24, 0)])
    assert (await sdk.actual(*WESTUS, at(-3), at(-1))).intervals == intervals({-3: 5, -2: 5})
    server.answers["*"] = Answer([measured(hours, 5) for hours in range(-24, -20)])
    assert (await sdk.actual(*WESTUS, at(-1), at(0))).intervals == ()


async def test_a_long_time_is_asked_for_in_pieces(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """That meet; what both have stands once."""

    def hours(asked: Asked) -> Answer:
        begin, until = (datetime.fromisoformat(asked.query[name]) for name in ("time", "toTime"))
        assert until - begin <= timedelta(days=7)
        first, last = ((one - T0) // HOUR for one in (begin, until))
        return Answer([measured(hour, hour + 1000) for hour in range(first, last + 1)])

    server.answers["*"] = hours
    series = await sdk.actual(*WESTUS, at(-24 * 16), at(3))
    assert len(server.asked) == 3
    assert series.intervals == intervals({hour: hour + 1000 for hour in range(-24 * 16, 0)})
    assert checked(series, *WESTUS) is series


async def test_no_time_at_all_is_no_call(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """What lies ahead has no actual."""
    assert (await sdk.actual(*WESTUS, at(1), at(2))).intervals == ()
    assert not server.asked


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_the_days_on_which_clocks_change(sdk: CarbonAwareSdk, server: ReplayServer, day: datetime) -> None:
    """Have 24 hours like any other in UTC."""
    first = (day - T0) // HOUR
    server.answers["*"] = Answer([measured(first + hour, hour + 1) for hour in range(24)])
    series = await sdk.actual(*WESTUS, day, day + timedelta(days=1))
    assert [one.gco2_per_kwh for one in series.intervals] == list(range(1, 25))
    assert {one.end - one.start for one in series.intervals} == {HOUR}


async def test_twice_and_contradictions(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """The same twice stands once, in order, with its gaps; two values of one time are refused."""
    server.answers["*"] = Answer([measured(-1, 5), measured(-3, 6), measured(-1, 5)])
    assert (await sdk.actual(*WESTUS, at(-4), at(0))).intervals == intervals({-3: 6, -1: 5})
    server.answers["*"] = Answer([measured(-1, 5), measured(-1, 6)])
    with pytest.raises(InvalidSpec, match="contradicts itself for westus") as refused:
        await sdk.actual(*WESTUS, at(-4), at(0))
    assert refused.value.reason == "InvalidGridData"


async def test_negative_values(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Other than -1 mean nothing, so that the check refuses them."""
    server.answers["*"] = Answer([measured(-1, -7)])
    series = await sdk.actual(*WESTUS, at(-4), at(0))
    with pytest.raises(InvalidSpec, match=r"has -7.0 g/kWh"):
        checked(series, *WESTUS)


# Settings


async def test_its_source_gives_another_signal(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """As it is set; any other is refused."""
    averaging = replace(sdk, signal=Signal.AVERAGE, factor=Factor.LIFECYCLE)
    assert [*sdk.signals, *averaging.signals] == [Signal.MARGINAL, Signal.AVERAGE]
    server.answers["*"] = Answer([forecast(point(0, 5))])
    series = await averaging.forecast("westus", Signal.AVERAGE)
    assert (series.signal, series.factor) == (Signal.AVERAGE, Factor.LIFECYCLE)
    server.asked.clear()
    for asking in (averaging.forecast(*WESTUS), averaging.actual(*WESTUS, at(-1), at(0))):
        with pytest.raises(InvalidSpec, match="is set to the signal Average, not Marginal") as refused:
            await asking
        assert refused.value.reason == "UnsupportedSignal"
    assert not server.asked


async def test_a_token_for_what_stands_before_it(sdk: CarbonAwareSdk, server: ReplayServer) -> None:
    """Read at each call, and told to nobody."""
    tokens = iter(["first-token", "second-token"])
    guarded = replace(sdk, credential=lambda: next(tokens))
    server.answers["*"] = Answer({"error": "no second-token here"}, 401)
    for _ in range(2):
        with pytest.raises(Unavailable, match="refused the credential") as refused:
            await guarded.forecast(*WESTUS)
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first-token", "Bearer second-token"]
    assert "(no *** here)" in str(refused.value)


# Faults


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_of_a_forecast(sdk: CarbonAwareSdk, server: ReplayServer, fault: str) -> None:
    """Each is told as what it is."""
    await meets(server, fault, sdk.forecast(*WESTUS), "the forecast of zone westus")


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_of_an_actual(sdk: CarbonAwareSdk, server: ReplayServer, fault: str) -> None:
    """Each is told as what it is."""
    await meets(server, fault, sdk.actual(*WESTUS, at(-3), at(0)), "the actual of zone westus")


VALID = [forecast(point(0, 3), point(1, 4.5), point(2, -1))]
VALID_PAST = [measured(-3, 3), measured(-2, 4.5), measured(-1, -1)]


@thousand
@given(bodies(VALID))
def test_any_forecast(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = CarbonAwareSdk(Canned(body), "http://x", now=lambda: T0)
    assert invents_nothing(answered(lambda: provider.forecast(*WESTUS)), body)


@thousand
@given(bodies(VALID_PAST))
def test_any_past(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = CarbonAwareSdk(Canned(body), "http://x", now=lambda: T0)
    assert invents_nothing(answered(lambda: provider.actual(*WESTUS, at(-4), at(0))), body)


@pytest.mark.parametrize("valid", [VALID, VALID_PAST])
def test_what_is_mutated_is_good(valid: list[dict[str, Any]]) -> None:
    """Else the two tests above would show nothing."""
    provider = CarbonAwareSdk(Canned(json.dumps(valid).encode()), "http://x", now=lambda: T0)
    ask = (lambda: provider.forecast(*WESTUS)) if valid is VALID else (lambda: provider.actual(*WESTUS, at(-4), at(0)))
    series = answered(ask)
    assert series is not None
    assert [one.gco2_per_kwh for one in series.intervals] == [3, 4.5]


@pytest.mark.parametrize("body", [b"null", b"[null]", b'[{"location": null}]', b"[" * 100_000])
async def test_odd_bodies_over_a_connection(sdk: CarbonAwareSdk, server: ReplayServer, body: bytes) -> None:
    """As from memory."""
    server.answers["*"] = Answer(body)
    with pytest.raises(Unavailable, match="with something else"):
        await sdk.forecast(*WESTUS)
