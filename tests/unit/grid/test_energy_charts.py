"""Energy-Charts' table: what is asked, what is taken, what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.energy_charts import EnergyCharts
from carbonzeus_operator.grid.series import Factor, Signal
from tests.unit.grid.fuzz import Canned, answered, bodies, invents_nothing, thousand
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import T0, at

DE = ("DE", Signal.AVERAGE)
Row = tuple[float, float | None, float | None]


def table(*rows: Row) -> dict[str, Any]:
    """As Energy-Charts writes it: (hours after noon, measured, expected) rows."""
    return {
        "unix_seconds": [round(at(hours).timestamp()) for hours, _, _ in rows],
        "co2eq": [measured for _, measured, _ in rows],
        "co2eq_forecast": [expected for _, _, expected in rows],
        "deprecated": False,
    }


QUARTERS: Sequence[Row] = ((-0.5, 491.5, None), (-0.25, 497.4, None), (0, None, 505.0), (0.25, None, 508.0))


async def test_the_forecast_is_what_is_expected(charts: EnergyCharts, server: ReplayServer) -> None:
    """And nothing of what was measured."""
    server.answers["/co2eq"] = Answer(table(*QUARTERS))
    series = await charts.forecast(*DE)
    assert (series.zone, series.signal, series.factor, series.source) == (*DE, Factor.LIFECYCLE, "EnergyCharts")
    assert series.issued_at == T0
    assert [(one.start, one.end, one.gco2_per_kwh) for one in series.intervals] == [
        (at(0), at(0.25), 505.0),
        (at(0.25), at(0.5), 508.0),
    ]
    assert server.asked[0].query == {"country": "de", "start": "2026-11-24T11:00Z", "end": "2026-11-28T12:06Z"}


async def test_the_actual_is_what_was_measured(charts: EnergyCharts, server: ReplayServer) -> None:
    """And nothing of what is expected; what was not asked for is left out."""
    server.answers["/co2eq"] = Answer(table((-0.75, 480, None), *QUARTERS))
    series = await charts.actual(*DE, at(-0.4), at(0.1))
    assert [(one.start, one.gco2_per_kwh) for one in series.intervals] == [(at(-0.5), 491.5), (at(-0.25), 497.4)]
    assert server.asked[0].query == {"country": "de", "start": "2026-11-24T11:00Z", "end": "2026-11-24T12:06Z"}


@pytest.mark.parametrize("step", [0.25, 0.5, 1])
async def test_the_spacing_is_the_length(charts: EnergyCharts, server: ReplayServer, step: float) -> None:
    """Countries differ."""
    server.answers["/co2eq"] = Answer(table(*((count * step, None, 5.0) for count in range(4))))
    series = await charts.forecast(*DE)
    assert {one.end - one.start for one in series.intervals} == {timedelta(hours=step)}


async def test_gaps_stay(charts: EnergyCharts, server: ReplayServer) -> None:
    """Rows that are missing, and rows without a value."""
    rows: list[Row] = [(hours, None, value) for hours, value in ((0, 1), (1, 2), (4, 3), (5, None), (6, 4))]
    server.answers["/co2eq"] = Answer(table(*rows))
    series = await charts.forecast(*DE)
    assert [(one.start, one.end) for one in series.intervals] == [(at(h), at(h + 1)) for h in (0, 1, 4, 6)]


async def test_a_spacing_that_changes(charts: EnergyCharts, server: ReplayServer) -> None:
    """No interval reaches into the next, and none is longer than the usual one."""
    rows: list[Row] = [(hours, None, 1.0) for hours in (0, 1, 2, 3, 3.25, 3.5)]
    server.answers["/co2eq"] = Answer(table(*rows))
    series = await charts.forecast(*DE)
    assert checked(series, *DE).intervals[3].end == at(3.25)


@pytest.mark.parametrize("step", [0.01, 0.75, 2, 24])
async def test_another_spacing(charts: EnergyCharts, server: ReplayServer, step: float) -> None:
    """Is in another unit."""
    server.answers["/co2eq"] = Answer(table(*((count * step, None, 5.0) for count in range(4))))
    with pytest.raises(Unavailable, match=r"EnergyCharts answered for zone DE with values .* s apart"):
        await charts.forecast(*DE)


async def test_milliseconds(charts: EnergyCharts, server: ReplayServer) -> None:
    """Are not taken for seconds."""
    answer = table(*QUARTERS)
    answer["unix_seconds"] = [one * 1000 for one in answer["unix_seconds"]]
    server.answers["/co2eq"] = Answer(answer)
    with pytest.raises(Unavailable, match=r"something else: unix_seconds\.0: Input should be less than 7258118400"):
        await charts.forecast(*DE)


@pytest.mark.parametrize("column", ["unix_seconds", "co2eq", "co2eq_forecast"])
async def test_columns_of_different_length(charts: EnergyCharts, server: ReplayServer, column: str) -> None:
    """Nobody knows which value is whose."""
    answer = table(*QUARTERS)
    answer[column] = answer[column][1:]
    server.answers["/co2eq"] = Answer(answer)
    with pytest.raises(Unavailable, match="co2eq and co2eq_forecast differ in length"):
        await charts.forecast(*DE)


@pytest.mark.parametrize("rows", [(), QUARTERS[:1]])
async def test_too_little_to_tell(charts: EnergyCharts, server: ReplayServer, rows: Sequence[Row]) -> None:
    """Is nothing: how long a single row is, nobody says."""
    server.answers["/co2eq"] = Answer(table(*rows))
    assert (await charts.actual(*DE, at(-1), at(0))).intervals == ()


async def test_repeated_and_contradicting_rows(charts: EnergyCharts, server: ReplayServer) -> None:
    """The one is no harm, the other is."""
    rows: list[Row] = [(1, None, 6.0), (0, None, 5.0), (0, None, 5.0), (2, None, 7.0)]
    server.answers["/co2eq"] = Answer(table(*rows))
    assert [one.gco2_per_kwh for one in (await charts.forecast(*DE)).intervals] == [5, 6, 7]
    server.answers["/co2eq"] = Answer(table(*rows, (2, None, 8.0)))
    with pytest.raises(InvalidSpec, match="EnergyCharts contradicts itself for DE") as refused:
        await charts.forecast(*DE)
    assert refused.value.reason == "InvalidGridData"


async def test_a_negative_value(charts: EnergyCharts, server: ReplayServer) -> None:
    """Is not made anything else, so that the check refuses it."""
    server.answers["/co2eq"] = Answer(table((0, None, 5.0), (1, None, -1.0)))
    with pytest.raises(InvalidSpec, match=r"has -1\.0 g/kWh"):
        checked(await charts.forecast(*DE), *DE)


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_the_days_on_which_clocks_change(charts: EnergyCharts, server: ReplayServer, day: datetime) -> None:
    """Have 24 hours like any other in UTC."""
    hours = (day - T0) / timedelta(hours=1)
    server.answers["/co2eq"] = Answer(table(*((hours + count, float(count), None) for count in range(24))))
    series = await charts.actual(*DE, day, day + timedelta(days=1))
    assert [one.gco2_per_kwh for one in series.intervals] == list(range(24))
    assert {one.end - one.start for one in series.intervals} == {timedelta(hours=1)}


@pytest.mark.parametrize("zone", ["US-CAL-CISO", "D", "DEUT", "", "D1", "de\n", "../", "Ä"])
async def test_what_is_no_country(charts: EnergyCharts, server: ReplayServer, zone: str) -> None:
    """Is another provider's matter."""
    with pytest.raises(InvalidSpec, match="EnergyCharts has no zone") as refused:
        await charts.forecast(zone, Signal.AVERAGE)
    assert refused.value.reason == "InvalidZone"
    assert not server.asked


async def test_a_country_that_it_does_not_have(charts: EnergyCharts, server: ReplayServer) -> None:
    """In its own words."""
    server.answers["/co2eq"] = Answer({"detail": "'xx' is not the code for an available country"}, 400)
    with pytest.raises(InvalidSpec, match=r"the forecast of zone XX: 400 \('xx' is not the code for an available"):
        await charts.forecast("XX", Signal.AVERAGE)


async def test_the_marginal_signal(charts: EnergyCharts, server: ReplayServer) -> None:
    """Is not mixed with this one."""
    with pytest.raises(InvalidSpec, match="has only the signal Average, not Marginal"):
        await charts.actual("DE", Signal.MARGINAL, at(0), at(1))
    assert not server.asked


@thousand
@given(bodies(table(*QUARTERS)), st.booleans())
def test_any_answer(body: bytes, forecast: bool) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = EnergyCharts(Canned(body), now=lambda: T0)
    ask = (lambda: provider.forecast(*DE)) if forecast else (lambda: provider.actual(*DE, at(-1), at(1)))
    assert invents_nothing(answered(ask), body)
