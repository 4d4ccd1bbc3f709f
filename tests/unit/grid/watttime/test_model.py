"""WattTime: forecast and actual are of one model."""

from __future__ import annotations

from typing import Any

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.grid.watttime import WattTime
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer
from tests.unit.grid.samples import at
from tests.unit.grid.watt import (
    AVERAGE,
    FORECAST,
    HISTORY,
    NORTH,
    answer,
    forecast,
    said,
)


def of(*days: int, history: bool = False) -> Any:
    """A route that has the models of these days of March: the newest unless another is asked for."""
    dates = {f"2026-03-{day:02}": day for day in days}

    def script(asked: Asked) -> Answer:
        wanted = asked.query.get("model", max(dates))
        if wanted not in dates:
            return Answer({"error": f"no model {wanted}"}, 400)
        body = (answer if history else forecast)((-1, dates[wanted]), model={"date": wanted})
        return Answer(body)

    return script


def models(server: ReplayServer, path: str) -> list[str | None]:
    return [asked.query.get("model") for asked in server.asked if asked.path == path]


async def test_the_actual_is_of_the_forecasts_model(watttime: WattTime, server: ReplayServer) -> None:
    """Though history has a newer one."""
    server.answers |= {FORECAST: of(1), HISTORY: of(1, 9, history=True)}
    await watttime.forecast(*NORTH)
    series = await watttime.actual(*NORTH, at(-2), at(0))
    assert (series.model, said(series)) == ("co2_moer 2026-03-01", [(at(-1), 1)])
    assert models(server, HISTORY) == ["2026-03-01"]


async def test_a_newer_forecast_takes_the_actual_with_it(watttime: WattTime, server: ReplayServer) -> None:
    """When WattTime brings a new model."""
    server.answers |= {FORECAST: of(1), HISTORY: of(1, 9, history=True)}
    await watttime.forecast(*NORTH)
    server.answers[FORECAST] = of(1, 9)
    assert (await watttime.forecast(*NORTH)).model == "co2_moer 2026-03-09"
    assert (await watttime.actual(*NORTH, at(-2), at(0))).model == "co2_moer 2026-03-09"


async def test_an_older_forecast_is_asked_for_again(watttime: WattTime, server: ReplayServer) -> None:
    """Where a server of theirs is behind, the newest model seen stays."""
    server.answers |= {FORECAST: of(9), HISTORY: of(1, 9, history=True)}
    await watttime.forecast(*NORTH)

    def behind(asked: Asked) -> Answer:
        made: Answer = of(1, 9)(asked) if "model" in asked.query else of(1)(asked)
        return made

    server.answers[FORECAST] = behind
    assert (await watttime.forecast(*NORTH)).model == "co2_moer 2026-03-09"
    assert models(server, FORECAST) == [None, None, "2026-03-09"]
    assert (await watttime.actual(*NORTH, at(-2), at(0))).model == "co2_moer 2026-03-09"


@pytest.mark.parametrize("ignored", [False, True])
async def test_forecasts_without_the_newest_model(watttime: WattTime, server: ReplayServer, ignored: bool) -> None:
    """History came first with one that forecasts do not have, or do not heed: then actuals are asked for with theirs."""
    server.answers |= {
        HISTORY: of(1, 9, history=True),
        FORECAST: Answer(forecast((0, 1), model={"date": "2026-03-01"})),
    }
    if not ignored:
        server.answers[FORECAST] = of(1)
    assert (await watttime.actual(*NORTH, at(-2), at(0))).model == "co2_moer 2026-03-09"
    assert (await watttime.forecast(*NORTH)).model == "co2_moer 2026-03-01"
    assert (await watttime.actual(*NORTH, at(-2), at(0))).model == "co2_moer 2026-03-01"
    assert (await watttime.forecast(*NORTH)).model == "co2_moer 2026-03-01"
    assert models(server, FORECAST) == [None, "2026-03-09", None]


async def test_one_question_is_of_one_model(watttime: WattTime, server: ReplayServer) -> None:
    """Also where it takes several calls, and a new model comes between."""

    def growing(asked: Asked) -> Answer:
        days = [1, 9][: len(models(server, HISTORY))]
        made: Answer = of(*days, history=True)(asked)
        return made

    server.answers[HISTORY] = growing
    series = await watttime.actual(*NORTH, at(-24 * 40), at(0))
    assert models(server, HISTORY) == [None, "2026-03-01"]
    assert series.model == "co2_moer 2026-03-01"


@pytest.mark.parametrize(("model", "said_of_it"), [({"date": "2026-03-09"}, "2026-03-09"), (None, "not said")])
async def test_an_actual_of_another_model(
    watttime: WattTime, server: ReplayServer, model: dict[str, str] | None, said_of_it: str
) -> None:
    """Is not mixed with the forecast."""
    server.answers |= {FORECAST: of(1), HISTORY: Answer(answer((-1, 5), model=model))}
    await watttime.forecast(*NORTH)
    with pytest.raises(InvalidSpec, match=f"its model is {said_of_it}, where that of 2026-03-01 was asked for"):
        await watttime.actual(*NORTH, at(-2), at(0))


async def test_no_model_at_all(watttime: WattTime, server: ReplayServer) -> None:
    """Is no name."""
    server.answers |= {FORECAST: Answer(forecast((0, 5), model=None)), HISTORY: Answer(answer((-1, 5), model=None))}
    assert (await watttime.forecast(*NORTH)).model == ""
    assert (await watttime.actual(*NORTH, at(-2), at(0))).model == ""


async def test_signals_and_zones_have_models_of_their_own(watttime: WattTime, server: ReplayServer) -> None:
    """What is asked of one says nothing of the other."""
    server.answers |= {FORECAST: of(1), HISTORY: Answer(answer((-1, 5), signal_type="co2_aoer"))}
    await watttime.forecast(*NORTH)
    await watttime.actual(*AVERAGE, at(-2), at(0))
    server.answers[HISTORY] = Answer(answer((-1, 5), region="PJM_NJ"))
    await watttime.actual("PJM_NJ", Signal.MARGINAL, at(-2), at(0))
    assert models(server, HISTORY) == [None, None]
