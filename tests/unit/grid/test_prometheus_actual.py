"""An actual from a Prometheus: one series over time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.prometheus import CALL_STEPS, STEP, Prometheus
from tests.unit.grid.prometheus_answers import RANGE, line, success
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer
from tests.unit.grid.samples import HOUR, KEY, T0, ZONE, Watch, at, intervals


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
