"""What dashboards see of grid data."""

from __future__ import annotations

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.metrics import families
from tests.unit.grid.chain import AWAY, Chain
from tests.unit.grid.samples import KEY, T0, ZONE, Source, Watch


def samples(cache: GridCache, name: str) -> list[tuple[dict[str, str], float]]:
    """(labels, value) of all of a name."""
    return [(one.labels, one.value) for family in families(cache) for one in family.samples if one.name == name]


async def test_age_problems_calls_and_errors() -> None:
    """The actual's problem is told apart from the forecast's."""
    watch = Watch()
    source = Source(watch, failing={"actual": Unavailable("away")})
    cache = GridCache(source, state_dir=None, refresh_s=300, now=watch)
    await cache.refresh({KEY: None})
    watch.pass_(60)
    zone = {"zone": ZONE, "signal": "Average"}
    assert [(one.name, one.labels, one.value) for family in families(cache) for one in family.samples] == [
        ("carbonzeus_forecast_age_seconds", zone, 60),
        ("carbonzeus_grid_problem", zone | {"data": "forecast"}, 0),
        ("carbonzeus_grid_problem", zone | {"data": "actual"}, 1),
        ("carbonzeus_grid_calls_total", {}, 2),
        ("carbonzeus_grid_errors_total", {}, 1),
    ]


async def test_who_answers_since_when_and_who_is_left_alone() -> None:
    """Of each provider of a chain, and of each zone."""
    chain = Chain()
    cache = GridCache(chain.fallback, state_dir=None, refresh_s=300, now=chain.watch)
    zone = {"zone": ZONE, "signal": "Average"}
    await cache.refresh({KEY: None})
    since = "carbonzeus_grid_answered_since_seconds"
    assert samples(cache, since) == [
        ({**zone, "data": kind, "provider": "One"}, T0.timestamp()) for kind in ("forecast", "actual")
    ]
    chain.one.fails = AWAY
    for _ in range(3):
        chain.watch.pass_(300)
        await cache.refresh({KEY: None})
    assert samples(cache, since) == [
        ({**zone, "data": kind, "provider": "Two"}, T0.timestamp() + 300) for kind in ("forecast", "actual")
    ]
    chain.two.fails = AWAY
    chain.watch.pass_(300)
    await cache.refresh({KEY: None})
    assert samples(cache, since) == [
        ({**zone, "data": kind, "provider": "none"}, T0.timestamp() + 1200) for kind in ("forecast", "actual")
    ]
    assert samples(cache, "carbonzeus_grid_provider_breaker") == [
        ({"provider": name, "state": state}, float(state == now))
        for name, now in (("One", "Open"), ("Two", "Closed"))
        for state in ("Closed", "Open", "HalfOpen")
    ]
    calls = {labels["provider"]: value for labels, value in samples(cache, "carbonzeus_grid_provider_calls_total")}
    errors = {labels["provider"]: value for labels, value in samples(cache, "carbonzeus_grid_provider_errors_total")}
    assert (calls, errors) == (
        {"One": chain.one.asked, "Two": chain.two.asked},
        {"One": chain.one.asked - 2, "Two": 2},
    )
    await cache.close()
