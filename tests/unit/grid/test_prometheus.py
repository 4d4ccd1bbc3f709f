"""Queries to a Prometheus: what it says besides values, what is refused, and its faults."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.prometheus import Prometheus
from carbonzeus_operator.grid.series import Factor, Series, Signal
from tests.unit.grid.faults import FAULTS, meets
from tests.unit.grid.fuzz import Canned, answered, bodies, thousand
from tests.unit.grid.prometheus_answers import ACTUAL, FORECAST, INSTANT, RANGE, element, line, success
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import KEY, T0, ZONE, at

# What it says besides


async def test_warnings(prometheus: Prometheus, server: ReplayServer) -> None:
    """Something may be missing: people see it."""
    server.answers[RANGE] = Answer(
        success("matrix", [line([(-1, "1")])], warnings=["store 2 is\x1b away"], infos=["x"])
    )
    server.answers[INSTANT] = Answer(success("vector", [element(0, "1"), element(1, "1")], warnings=["y"] * 9))
    assert (await prometheus.actual(*KEY, at(-4), at(0))).warnings == ("Prometheus warns: store 2 is  away",)
    assert (await prometheus.forecast(*KEY)).warnings == ("Prometheus warns: y",)


@pytest.mark.parametrize("data", [{}, {"data": {"resultType": "vector", "result": [element(0, "1"), element(1, "1")]}}])
async def test_an_error_in_a_success(prometheus: Prometheus, server: ReplayServer, data: dict[str, Any]) -> None:
    """What comes with it is not taken."""
    server.answers["*"] = Answer({"status": "error", "errorType": "execution", "error": "too many\nsamples", **data})
    with pytest.raises(Unavailable, match=r"answered the forecast of zone US-CAL-CISO with 'error': too many samples"):
        await prometheus.forecast(*KEY)


async def test_a_success_without_data(prometheus: Prometheus, server: ReplayServer) -> None:
    """Is none."""
    server.answers["*"] = Answer({"status": "success"})
    with pytest.raises(Unavailable, match="answered the actual of zone US-CAL-CISO with 'success': no data"):
        await prometheus.actual(*KEY, at(-4), at(0))


async def test_an_error_in_the_query(prometheus: Prometheus, server: ReplayServer) -> None:
    """In its own words."""
    answer = {"status": "error", "errorType": "bad_data", "error": '1:17: parse error: unexpected "}"'}
    server.answers["*"] = Answer(answer, 400)
    with pytest.raises(InvalidSpec, match=r"refuses the actual of zone US-CAL-CISO: 400 \(1:17: parse error"):
        await prometheus.actual(*KEY, at(-4), at(0))


@pytest.mark.parametrize("kind", ["scalar", "string", "matrix", "streams"])
async def test_another_kind_of_result(prometheus: Prometheus, server: ReplayServer, kind: str) -> None:
    """Is not what was asked for."""
    server.answers["*"] = Answer(success(kind, [1795521600, "5"]))
    with pytest.raises(Unavailable, match=r"data\.resultType: Input should be 'vector'"):
        await prometheus.forecast(*KEY)


async def test_histograms(prometheus: Prometheus, server: ReplayServer) -> None:
    """Are no values."""
    server.answers["*"] = Answer(success("matrix", [{"metric": {}, "histograms": [[1795521600, {"count": "1"}]]}]))
    with pytest.raises(Unavailable, match=r"data\.result\.0\.values: Field required"):
        await prometheus.actual(*KEY, at(-4), at(0))


# Settings


@pytest.mark.parametrize("zone", ['"} or vector(1)', "", "a b", "DE\n", "$zone", "-", "ä"])
async def test_no_query_is_made_of_what_is_no_zone(prometheus: Prometheus, server: ReplayServer, zone: str) -> None:
    """Names of zones come from policies."""
    for asking in (prometheus.forecast(zone, Signal.AVERAGE), prometheus.actual(zone, Signal.AVERAGE, at(-1), at(0))):
        with pytest.raises(InvalidSpec, match="is no name of a zone") as refused:
            await asking
        assert refused.value.reason == "InvalidZone"
    assert not server.asked


def test_a_query_for_all_zones_alike() -> None:
    """Is refused at the start, and so is none at all."""
    http = Http()
    with pytest.raises(InvalidSpec, match=r"forecastQuery of Prometheus has no \$zone in it: put it where"):
        Prometheus(http, "http://x", forecast_query="carbon_forecast", actual_query=ACTUAL)
    with pytest.raises(InvalidSpec, match=r"actualQuery of Prometheus has no \$zone in it: put it where") as refused:
        Prometheus(http, "http://x", actual_query="carbon_intensity")
    assert refused.value.reason == "NoZone"
    with pytest.raises(InvalidSpec, match="neither a forecastQuery nor an actualQuery") as refused:
        Prometheus(http, "http://x")
    assert refused.value.reason == "NoQuery"


async def test_one_query_alone(server: ReplayServer) -> None:
    """The other is another provider's matter."""
    http = Http()
    with pytest.raises(InvalidSpec, match="has no actualQuery, so no actual of zone US-CAL-CISO") as refused:
        await Prometheus(http, server.url, forecast_query=FORECAST).actual(*KEY, at(-1), at(0))
    assert refused.value.reason == "NoActual"
    with pytest.raises(InvalidSpec, match="has no forecastQuery, so no forecast of zone US-CAL-CISO") as refused:
        await Prometheus(http, server.url, actual_query=ACTUAL).forecast(*KEY)
    assert refused.value.reason == "NoForecast"
    assert not server.asked


async def test_another_signal(prometheus: Prometheus, server: ReplayServer) -> None:
    """Is refused: the queries give one."""
    marginal = replace(prometheus, signal=Signal.MARGINAL, factor=Factor.DIRECT)
    assert [*marginal.signals] == [Signal.MARGINAL]
    for asking in (marginal.forecast(*KEY), marginal.actual(*KEY, at(-1), at(0))):
        with pytest.raises(InvalidSpec, match="is set to the signal Marginal, not Average"):
            await asking
    assert not server.asked


async def test_a_token(prometheus: Prometheus, server: ReplayServer) -> None:
    """Read at each call, and told to nobody."""
    tokens = iter(["first-token", "second-token"])
    guarded = replace(prometheus, credential=lambda: next(tokens))
    server.answers["*"] = Answer({"error": "no second-token here"}, 401)
    for asking in (guarded.forecast(*KEY), guarded.actual(*KEY, at(-1), at(0))):
        with pytest.raises(Unavailable, match="refused the credential") as refused:
            await asking
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first-token", "Bearer second-token"]
    assert "(no *** here)" in str(refused.value)


# Faults


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_of_a_forecast(prometheus: Prometheus, server: ReplayServer, fault: str) -> None:
    """Each is told as what it is."""
    await meets(server, fault, prometheus.forecast(*KEY), f"the forecast of zone {ZONE}")


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_of_an_actual(prometheus: Prometheus, server: ReplayServer, fault: str) -> None:
    """Each is told as what it is."""
    await meets(server, fault, prometheus.actual(*KEY, at(-3), at(0)), f"the actual of zone {ZONE}")


VALID = success("vector", [element(0, "3", issued=at(-1).isoformat()), element(1, "4.5", issued=at(-1).isoformat())])
VALID_PAST = success("matrix", [line([(-3, "3"), (-2, "4.5"), (-1, "NaN")])])


def texts(node: Any) -> set[float]:
    """All numbers that stand in a JSON as text, as Prometheus writes values."""
    if isinstance(node, (dict, list)):
        return {number for child in (node.values() if isinstance(node, dict) else node) for number in texts(child)}
    try:
        return {float(node)} if isinstance(node, str) else set()
    except ValueError:
        return set()


def stands_in(series: Series | None, body: bytes) -> bool:
    """Whether every value does."""
    return series is None or {one.gco2_per_kwh for one in series.intervals} <= texts(json.loads(body))


def canned(body: bytes) -> Prometheus:
    """Answers everything with one body."""
    return Prometheus(Canned(body), "http://x", now=lambda: T0, forecast_query=FORECAST, actual_query=ACTUAL)


@thousand
@given(bodies(VALID))
def test_any_forecast(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    assert stands_in(answered(lambda: canned(body).forecast(*KEY)), body)


@thousand
@given(bodies(VALID_PAST))
def test_any_past(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    assert stands_in(answered(lambda: canned(body).actual(*KEY, at(-4), at(0))), body)


def test_what_is_mutated_is_good() -> None:
    """Else the two tests above would show nothing."""
    ahead = answered(lambda: canned(json.dumps(VALID).encode()).forecast(*KEY))
    past = answered(lambda: canned(json.dumps(VALID_PAST).encode()).actual(*KEY, at(-4), at(0)))
    for series in (ahead, past):
        assert series is not None
        assert [one.gco2_per_kwh for one in series.intervals] == [3, 4.5]


@pytest.mark.parametrize(
    "body", [b"null", b'{"status": null}', b'{"status": "success", "data": []}', b"[" * 100_000, b"NaN"]
)
async def test_odd_bodies_over_a_connection(prometheus: Prometheus, server: ReplayServer, body: bytes) -> None:
    """As from memory."""
    server.answers["*"] = Answer(body)
    for asking in (prometheus.forecast(*KEY), prometheus.actual(*KEY, at(-4), at(0))):
        with pytest.raises(Unavailable, match="with something else"):
            await asking
