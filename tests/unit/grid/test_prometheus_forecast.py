"""A forecast from a Prometheus: one element for each time ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.prometheus import Prometheus
from carbonzeus_operator.grid.series import Factor
from tests.unit.grid.prometheus_answers import INSTANT, element, success
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import KEY, T0, Watch, at, intervals


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
