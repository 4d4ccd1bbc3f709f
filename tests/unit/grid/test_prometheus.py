"""Queries to a Prometheus: what is asked, what is taken, what is left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.prometheus import CALL_STEPS, STEP, Prometheus
from carbonzeus_operator.grid.series import Factor, Series, Signal
from tests.unit.grid.faults import FAULTS, meets, patience_s
from tests.unit.grid.fuzz import Canned, answered, bodies, thousand
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer, replay_server
from tests.unit.grid.samples import HOUR, KEY, T0, ZONE, Watch, at, intervals

INSTANT, RANGE = "/api/v1/query", "/api/v1/query_range"
FORECAST, ACTUAL = 'carbon_forecast{zone="$zone"}', 'carbon_intensity{zone="$zone"}'


def success(kind: str, result: Any, **more: Any) -> dict[str, Any]:
    """An answer, as Prometheus writes it."""
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


def element(hours: float, value: str, **labels: str) -> dict[str, Any]:
    """A value of a forecast that begins so many hours after noon."""
    return {"metric": {"start": at(hours).isoformat(), **labels}, "value": [T0.timestamp(), value]}


def line(values: Iterable[tuple[float, str]], **labels: str) -> dict[str, Any]:
    """Values over time, by hours after noon."""
    return {"metric": labels, "values": [[at(hours).timestamp(), value] for hours, value in values]}


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    async with replay_server() as running:
        yield running


@pytest.fixture
async def prometheus(server: ReplayServer, request: pytest.FixtureRequest) -> AsyncIterator[Prometheus]:
    http = Http(timeout_s=patience_s(request), now=lambda: T0)
    yield Prometheus(http, server.url, now=Watch(T0), forecast_query=FORECAST, actual_query=ACTUAL)
    await http.close()


# Forecasts


async def test_a_forecast(prometheus: Prometheus, server: ReplayServer) -> None:
    """An element for each time, in any order, as long as they are apart; as old as it says."""
    issued = at(-2).isoformat()
    found = [element(hours, f"{100 + hours}.5", issued=issued) for hours in (2, 0, 1)]
    server.answers[INSTANT] = Answer(success("vector", found))
    series = await prometheus.forecast(*KEY)
    assert (series.zone, series.signal, series.factor, series.source) == (*KEY, Factor.LIFECYCLE, "Prometheus")
    assert series.issued_at == at(-2)
    assert series.intervals == intervals({0: 100.5, 1: 101.5, 2: 102.5})
    [asked] = server.asked
    assert asked.query == {"query": 'carbon_forecast{zone="US-CAL-CISO"}', "time": f"{T0.timestamp():.3f}"}


@pytest.mark.parametrize("start", ["2026-11-24T12:00:00Z", "2026-11-24T13:00+01:00", "1795521600", "1795521600.0"])
async def test_how_a_start_is_written(prometheus: Prometheus, server: ReplayServer, start: str) -> None:
    """ISO 8601 with its offset, or seconds since 1970."""
    server.answers["*"] = Answer(success("vector", [element(0, "5") | {"metric": {"start": start}}, element(1, "6")]))
    assert (await prometheus.forecast(*KEY)).intervals == intervals({0: 5, 1: 6})


NO_TIMES = ["", "noon", "2026-11-24T12:00", "1795521600000", "-1", "NaN", "0001-01-01T00:00Z"]


@pytest.mark.parametrize(
    ("label", "text"),
    [("start", None), *(("start", text) for text in NO_TIMES), *(("issued", text) for text in NO_TIMES)],
)
async def test_what_is_no_time(prometheus: Prometheus, server: ReplayServer, label: str, text: str | None) -> None:
    """Says what to write."""
    made = element(0, "5", issued=at(-1).isoformat())
    made["metric"].pop(label)
    made["metric"] |= {} if text is None else {label: text}
    server.answers["*"] = Answer(success("vector", [made, element(1, "6", issued=at(-1).isoformat())]))
    with pytest.raises(InvalidSpec, match=rf"label {label} is .*: write it as 2026-11-24T12:00:00Z") as refused:
        await prometheus.forecast(*KEY)
    assert refused.value.reason == "InvalidGridData"


async def test_the_newest_issue(prometheus: Prometheus, server: ReplayServer) -> None:
    """Is followed; what an older one says is passed over."""
    old, new = at(-7).isoformat(), at(-1).isoformat()
    found = [element(hours, "1", issued=old) for hours in range(4)] + [
        element(hours, "2", issued=new) for hours in (1, 2)
    ]
    server.answers["*"] = Answer(success("vector", found))
    series = await prometheus.forecast(*KEY)
    assert series.issued_at == at(-1)
    assert series.intervals == intervals({1: 2, 2: 2})


async def test_issues_that_some_have(prometheus: Prometheus, server: ReplayServer) -> None:
    """And others do not, do not go together."""
    found = [element(0, "1", issued=at(-1).isoformat()), element(1, "2")]
    server.answers["*"] = Answer(success("vector", found))
    with pytest.raises(InvalidSpec, match="values with the label issued and others without"):
        await prometheus.forecast(*KEY)


async def test_an_issue_of_the_future(prometheus: Prometheus, server: ReplayServer) -> None:
    """Is of now."""
    found = [element(hours, "1", issued=at(5).isoformat()) for hours in (0, 1)]
    server.answers["*"] = Answer(success("vector", found))
    assert (await prometheus.forecast(*KEY)).issued_at == T0


@pytest.mark.parametrize(
    ("starts", "now", "issued"),
    [
        ((0, 0.5, 1), 0.75, 0.5),  # as old as the value of the present
        ((-9, 0, 9), 1.25, 1),  # which is said anew each hour
        ((-3, -2, -1), 1.25, 0),  # since all is over
        ((1, 2, 3), 0.75, 0.75),  # all lies ahead
        ((-3, -2, -1, 5), 2.25, 0),  # since the gap began
    ],
)
async def test_a_forecast_that_does_not_say_when(
    prometheus: Prometheus, server: ReplayServer, starts: tuple[float, ...], now: float, issued: float
) -> None:
    """Grows stale when its values end."""
    server.answers["*"] = Answer(success("vector", [element(hours, "1") for hours in starts]))
    assert (await replace(prometheus, now=Watch(at(now))).forecast(*KEY)).issued_at == at(issued)


async def test_gaps_and_values_between(prometheus: Prometheus, server: ReplayServer) -> None:
    """What is missing stays missing; what begins sooner ends what holds."""
    found = [element(hours, f"{hours}") for hours in (0, 1, 2, 4, 5, 5.5, 8)] + [element(3, "NaN")]
    server.answers["*"] = Answer(success("vector", found))
    series = await prometheus.forecast(*KEY)
    assert [(one.start, one.end) for one in series.intervals] == [
        (at(0), at(1)),
        (at(1), at(2)),
        (at(2), at(3)),
        (at(4), at(5)),
        (at(5), at(5.5)),
        (at(5.5), at(6.5)),
        (at(8), at(9)),
    ]


async def test_twice_and_contradictions(prometheus: Prometheus, server: ReplayServer) -> None:
    """Two exporters that say the same are one; that differ are none."""
    server.answers["*"] = Answer(
        success("vector", [element(0, "5", pod="a"), element(0, "5", pod="b"), element(1, "6")])
    )
    assert (await prometheus.forecast(*KEY)).intervals == intervals({0: 5, 1: 6})
    server.answers["*"] = Answer(
        success("vector", [element(0, "5", pod="a"), element(0, "7", pod="b"), element(1, "6")])
    )
    with pytest.raises(InvalidSpec, match="Prometheus contradicts itself for US-CAL-CISO: 5 g/kWh"):
        await prometheus.forecast(*KEY)


async def test_one_value_alone(prometheus: Prometheus, server: ReplayServer) -> None:
    """Has no length."""
    server.answers["*"] = Answer(success("vector", [element(0, "5")]))
    with pytest.raises(Unavailable, match="one time only for the forecast of zone US-CAL-CISO"):
        await prometheus.forecast(*KEY)


async def test_nothing(prometheus: Prometheus, server: ReplayServer) -> None:
    """Says where to look; a warning may be the reason."""
    server.answers["*"] = Answer(success("vector", [], warnings=["store\n2 is away"]))
    with pytest.raises(
        Unavailable, match=r"has nothing for the forecast of zone .*\(Prometheus warns: store 2 is away\)$"
    ):
        await prometheus.forecast(*KEY)


# Actuals


async def test_an_actual(prometheus: Prometheus, server: ReplayServer) -> None:
    """The steps that are over, from the one that holds the start."""
    server.answers[RANGE] = Answer(
        success("matrix", [line([(-2 + minutes / 60, f"{minutes}") for minutes in range(0, 125, 5)])])
    )
    series = await prometheus.actual(*KEY, at(-1.99), at(0.5))
    assert series.intervals == intervals({-2 + minutes / 60: minutes for minutes in range(0, 120, 5)}, STEP)
    assert series.issued_at == T0
    assert [asked.query for asked in server.asked] == [
        {
            "query": 'carbon_intensity{zone="US-CAL-CISO"}',
            "start": f"{at(-2).timestamp():.0f}",
            "end": f"{(T0 - STEP).timestamp():.0f}",
            "step": "300",
        }
    ]


async def test_the_end_is_not_part_of_it(prometheus: Prometheus, server: ReplayServer) -> None:
    """Half-open, as all intervals."""
    server.answers["*"] = Answer(success("matrix", [line([(-2, "1"), (-1, "2")])]))
    assert (await prometheus.actual(*KEY, at(-2), at(-1))).intervals == intervals({-2: 1}, STEP)
    assert server.asked[0].query["end"] == f"{(at(-1) - STEP).timestamp():.0f}"


async def test_what_is_no_number(prometheus: Prometheus, server: ReplayServer) -> None:
    """NaN is a gap, and so is a step without a value."""
    server.answers["*"] = Answer(success("matrix", [line([(-3, "1"), (-2, "NaN"), (-1, "2.5e2")])]))
    assert (await prometheus.actual(*KEY, at(-4), at(0))).intervals == intervals({-3: 1, -1: 250}, STEP)


@pytest.mark.parametrize("value", ["+Inf", "-Inf", "Inf", "1e999", "five", "", "1_0", "0x10", "infinity"])
async def test_what_is_no_intensity(prometheus: Prometheus, server: ReplayServer, value: str) -> None:
    """Is an error of the query."""
    server.answers["*"] = Answer(success("matrix", [line([(-3, "1"), (-2, value)])]))
    with pytest.raises(InvalidSpec, match=r"a query of Prometheus gives '.*' for zone US-CAL-CISO: mend the query"):
        await prometheus.actual(*KEY, at(-4), at(0))


async def test_negative_values(prometheus: Prometheus, server: ReplayServer) -> None:
    """Are refused by the check."""
    server.answers["*"] = Answer(success("matrix", [line([(-3, "-1")])]))
    series = await prometheus.actual(*KEY, at(-4), at(0))
    with pytest.raises(InvalidSpec, match=r"has -1.0 g/kWh"):
        checked(series, *KEY)


async def test_several_series(prometheus: Prometheus, server: ReplayServer) -> None:
    """Nobody knows which is meant; the labels say what to choose by."""
    both = [line([(-1, "1")], zone=ZONE, is_estimated=flag, job="x") for flag in ("true", "false")]
    server.answers["*"] = Answer(success("matrix", both))
    with pytest.raises(
        InvalidSpec, match="gives 2 series for zone US-CAL-CISO, which differ in is_estimated: "
    ) as refused:
        await prometheus.actual(*KEY, at(-4), at(0))
    assert refused.value.reason == "AmbiguousQuery"


async def test_estimates(prometheus: Prometheus, server: ReplayServer) -> None:
    """As the exporter of the Green Web Foundation marks them."""
    server.answers["*"] = Answer(success("matrix", [line([(-1, "1")], is_estimated="true")]))
    assert [one.estimated for one in (await prometheus.actual(*KEY, at(-4), at(0))).intervals] == [True]


async def test_no_series_yet(prometheus: Prometheus, server: ReplayServer) -> None:
    """Is nothing published."""
    server.answers["*"] = Answer(success("matrix", []))
    assert (await prometheus.actual(*KEY, at(-4), at(0))).intervals == ()


async def test_no_time_at_all_is_no_call(prometheus: Prometheus, server: ReplayServer) -> None:
    """Nor is a step that is not over."""
    for start, end in ((at(1), at(2)), (at(-1), at(-1)), (T0 - STEP + timedelta(seconds=1), T0)):
        later = replace(prometheus, now=Watch(T0 - timedelta(seconds=1)))
        assert (await later.actual(*KEY, start, end)).intervals == ()
    assert not server.asked


async def test_a_long_time_is_asked_for_in_pieces(prometheus: Prometheus, server: ReplayServer) -> None:
    """Of as many steps as a Prometheus gives, that meet."""

    def steps(asked: Asked) -> Answer:
        first, last = int(asked.query["start"]), int(asked.query["end"])
        assert last - first < CALL_STEPS * 300
        return Answer(
            success("matrix", [{"metric": {}, "values": [[at_s, "7"] for at_s in range(first, last + 1, 300)]}])
        )

    server.answers["*"] = steps
    series = await prometheus.actual(*KEY, T0 - timedelta(days=50), T0)
    assert len(server.asked) == 2
    assert len(series.intervals) == 50 * 288
    assert all(one.end == later.start for one, later in zip(series.intervals, series.intervals[1:], strict=False))


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_the_days_on_which_clocks_change(prometheus: Prometheus, server: ReplayServer, day: datetime) -> None:
    """Have 24 hours like any other in UTC."""
    first = (day - T0) // HOUR
    server.answers["*"] = Answer(success("matrix", [line([(first + hour, str(hour)) for hour in range(24)])]))
    series = await prometheus.actual(*KEY, day, day + timedelta(days=1))
    assert [one.gco2_per_kwh for one in series.intervals] == list(range(24))


async def test_values_that_were_not_asked_for(prometheus: Prometheus, server: ReplayServer) -> None:
    """Are left out."""
    server.answers["*"] = Answer(success("matrix", [line([(-9, "1"), (-2, "2"), (1, "3")])]))
    assert (await prometheus.actual(*KEY, at(-4), at(0))).intervals == intervals({-2: 2}, STEP)


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
