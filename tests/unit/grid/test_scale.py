"""A thousand jobs, and a provider that is away for a day: what is asked, what is followed, what is said."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.decide import JobDecision, reconcile, wanted_grid
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.energy_charts import EnergyCharts
from carbonzeus_operator.grid.fallback import Fallback, Link
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.metrics import families
from carbonzeus_operator.grid.series import Factor, Signal
from carbonzeus_operator.resources.report import ReportState
from carbonzeus_operator.world.snapshot import JobView
from tests.unit.grid.replay_server import Answer, Asked, ReplayServer, replay_server
from tests.unit.grid.samples import Watch
from tests.unit.operator import world

COUNTRIES = ("at be bg ch cz de dk ee es fi fr gr hr hu it lt lv nl pl pt").upper().split()
DE = ("DE", Signal.AVERAGE)
QUARTER_S = 900
REFRESH_S = 300.0


def table(asked: Asked, now: datetime) -> Answer:
    """What Energy-Charts would say of the time that is asked for: measured up to an hour ago, expected for two days."""
    begin, end = (datetime.strptime(asked.query[name], "%Y-%m-%dT%H:%M%z").timestamp() for name in ("start", "end"))
    end = min(end, now.timestamp() + 48 * 3600)
    starts = range(int(begin) // QUARTER_S * QUARTER_S, int(end), QUARTER_S)
    known = now.timestamp() - 3600
    values = [200.0 + start // QUARTER_S % 7 for start in starts]
    return Answer(
        {
            "unix_seconds": list(starts),
            "co2eq": [value if start < known else None for start, value in zip(starts, values, strict=True)],
            "co2eq_forecast": [value if start >= known else None for start, value in zip(starts, values, strict=True)],
        }
    )


def expected(asked: Asked, now: datetime) -> bool:
    """Whether a forecast was asked for: nobody asks for actuals of the future."""
    return datetime.strptime(asked.query["end"], "%Y-%m-%dT%H:%M%z") > now


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    async with replay_server() as running:
        yield running


@pytest.fixture
def watch() -> Watch:
    return Watch(world.NOON)


@pytest.fixture
async def http(watch: Watch) -> AsyncIterator[Http]:
    made = Http(now=watch)
    yield made
    await made.close()


async def test_a_thousand_jobs_in_twenty_zones(server: ReplayServer, http: Http, watch: Watch) -> None:
    """Cost twenty forecasts and twenty actuals a refresh, whatever the number of rounds."""
    server.answers["/co2eq"] = lambda asked: table(asked, watch.now)
    names = {f"train-{number}": COUNTRIES[number % 20] for number in range(1000)}
    snapshot = world.cluster(
        jobs=tuple(
            JobView(world.job(name, policy=country.lower()), (world.pod(f"{name}-0", "n1", of=f"uid-{name}"),))
            for name, country in names.items()
        ),
        policies={country.lower(): world.policy(zone=country) for country in COUNTRIES},
    )
    wanted = wanted_grid(snapshot, world.RULES)
    assert (len(wanted), len(set(wanted.values()))) == (1000, 20)
    links = [Link("EnergyCharts", EnergyCharts(http, server.url, watch), Factor.LIFECYCLE)]
    cache = GridCache(Fallback(links, watch, 21_600), None, REFRESH_S, now=watch, patience_s=30)
    for refresh in range(1, 4):
        for _ in range(5):
            await cache.refresh(dict.fromkeys(wanted.values()))
        kinds = Counter((expected(asked, watch.now), asked.query["country"]) for asked in server.asked)
        assert kinds == {(kind, country.lower()): 1 for kind in (True, False) for country in COUNTRIES}
        assert (cache.calls, cache.errors, server.most_under_way) == (40 * refresh, 0, 1)
        views = cache.views()
        assert all(view.forecast is not None and view.problem is None for view in views.values())
        server.asked.clear()
        watch.pass_(REFRESH_S)
    await cache.close()


async def test_a_provider_that_hangs_holds_up_no_zone(server: ReplayServer, http: Http, watch: Watch) -> None:
    """Three calls find out that it does, one after the other; all others go on to the next provider at once."""
    never = asyncio.Event()
    server.answers["/co2eq"] = Answer(b"", until=never)
    short = Http(timeout_s=0.1, now=watch)
    async with replay_server() as other:
        other.answers["/co2eq"] = lambda asked: table(asked, watch.now)
        links = [
            Link(name, EnergyCharts(its_http, one.url, watch), Factor.LIFECYCLE)
            for name, one, its_http in (("First", server, short), ("Second", other, http))
        ]
        cache = GridCache(Fallback(links, watch, 21_600), None, REFRESH_S, now=watch, patience_s=30)
        await cache.refresh({(country, Signal.AVERAGE): None for country in COUNTRIES})
        views = cache.views()
        assert all(view.forecast is not None and view.actual is not None for view in views.values())
        assert {view.forecast.source for view in views.values() if view.forecast is not None} == {"Second"}
        assert len(server.asked) in {3, 4}  # the fourth had its turn when the third was given up
        assert len(other.asked) == 40
        never.set()
        await cache.close()
        await short.close()


# A day without a provider


@dataclass(slots=True)
class Day:
    """Two sources behind the cache, and one job that follows what they say."""

    first: ReplayServer
    second: ReplayServer
    watch: Watch
    cache: GridCache
    then: str = "HoldStatic"
    view: JobView = field(default_factory=lambda: JobView(world.job(), (world.pod("w-0", "n1"),)))

    def fail(self, server: ReplayServer, answer: Answer | None) -> None:
        """From now on; None: it is well again."""
        server.answers["/co2eq"] = answer or (lambda asked: table(asked, self.watch.now))

    async def round(self) -> JobDecision:
        """Five minutes pass, and the job is decided for."""
        self.watch.pass_(REFRESH_S)
        await self.cache.refresh({DE: None})
        policy = world.policy(zone="DE", staleForecast={"afterMinutes": 360, "then": self.then})
        snapshot = world.cluster(self.view, now=self.watch.now, policies={"gentle": policy}, grid=self.cache.views())
        (decision,) = reconcile(snapshot, world.RULES).jobs
        self.view = replace(self.view, active=decision.active)
        return decision

    def answering(self) -> dict[str, float]:
        """Who answers with the forecast, and since when, as dashboards see it."""
        name = "carbonzeus_grid_answered_since_seconds"
        found = (one for family in families(self.cache) for one in family.samples if one.name == name)
        return {one.labels["provider"]: one.value for one in found if one.labels["data"] == "forecast"}


def freshness(decision: JobDecision) -> tuple[bool, str, str]:
    """What the report says of the forecast."""
    (finding,) = (one for one in decision.findings if one.type == "ForecastFresh")
    return finding.ok, finding.reason, finding.message


@pytest.fixture
async def day(server: ReplayServer, http: Http, watch: Watch) -> AsyncIterator[Day]:
    async with replay_server() as other:
        links = [
            Link(name, EnergyCharts(http, one.url, watch), Factor.LIFECYCLE)
            for name, one in (("First", server), ("Second", other))
        ]
        cache = GridCache(Fallback(links, watch, 21_600), None, REFRESH_S, now=watch, patience_s=30)
        made = Day(server, other, watch, cache)
        made.fail(server, None)
        made.fail(other, None)
        yield made
        await cache.close()


ROUNDS_A_DAY = round(86_400 / REFRESH_S)


async def test_a_provider_that_is_away_for_a_day(day: Day) -> None:
    """The next one is followed all day, and told of; the first is tried again, and followed when it is back."""
    decision = await day.round()
    assert freshness(decision)[:2] == (True, "Fresh")
    assert "following the First forecast for DE" in freshness(decision)[2]
    day.fail(day.first, Answer(b"", 503))
    asked_before, began = len(day.first.asked), day.watch.now + timedelta(seconds=REFRESH_S)
    for _ in range(ROUNDS_A_DAY):
        decision = await day.round()
        fresh, reason, message = freshness(decision)
        assert (fresh, reason) == (True, "Fallback")
        assert decision.state is ReportState.ENFORCING
        assert "following the Second forecast for DE" in message
        since = f"{began:%Y-%m-%dT%H:%M:%SZ}"
        told = f"Second answers since {since}, because First fails since {since} (EnergyCharts answered the forecast of zone DE with 503)"
        assert message.endswith(told)
    assert day.answering() == {"Second": began.timestamp()}
    assert 50 < len(day.first.asked) - asked_before < 2 * ROUNDS_A_DAY + 10
    day.fail(day.first, None)
    reasons = [freshness(await day.round())[1] for _ in range(4)]
    assert reasons[-1] == "Fresh"
    assert list(day.answering()) == ["First"]


@pytest.mark.parametrize(("then", "slower"), [("HoldStatic", True), ("Restore", False)])
async def test_when_all_are_away_for_a_day(day: Day, then: str, slower: bool) -> None:
    """The last good forecast is followed until it is stale; then what the policy says; and all is well when one is back."""
    day.then = then
    await day.round()
    for server in (day.first, day.second):
        day.fail(server, Answer("<html>down for maintenance</html>"))
    began = day.watch.now + timedelta(seconds=REFRESH_S)
    for count in range(ROUNDS_A_DAY):
        decision = await day.round()
        fresh, reason, message = freshness(decision)
        still_good = (count + 1) * REFRESH_S < 6 * 3600
        assert (fresh, reason) == ((True, "LastGood") if still_good else (False, "ForecastStale"))
        since = f"{began:%Y-%m-%dT%H:%M:%SZ}"
        for name in ("First", "Second"):
            assert f"{name} fails since {since} (" in message
        assert "a web page, not JSON" in message
    assert day.answering() == {"none": began.timestamp()}
    assert decision.state is ReportState.HOLDING
    assert decision.active is not None
    speeds = {step.r for step in decision.active.plan.steps}
    assert len(speeds) == 1
    assert (min(speeds) < 1) is slower
    day.fail(day.second, None)
    for _ in range(4):
        decision = await day.round()
    assert freshness(decision)[0]
    assert decision.state is ReportState.ENFORCING
    assert list(day.answering()) == ["Second"]
