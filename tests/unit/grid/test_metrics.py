"""What dashboards see of grid data."""

from __future__ import annotations

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.metrics import _grid
from tests.unit.grid.samples import KEY, ZONE, Source, Watch


async def test_age_problems_calls_and_errors() -> None:
    """The actual's problem is told apart from the forecast's."""
    watch = Watch()
    source = Source(watch, failing={"actual": Unavailable("away")})
    cache = GridCache(source, state_dir=None, refresh_s=300, now=watch)
    await cache.refresh({KEY: None})
    watch.pass_(60)
    zone = {"zone": ZONE, "signal": "Average"}
    assert [(one.name, one.labels, one.value) for family in _grid(cache) for one in family.samples] == [
        ("carbonzeus_forecast_age_seconds", zone, 60),
        ("carbonzeus_grid_problem", zone | {"data": "forecast"}, 0),
        ("carbonzeus_grid_problem", zone | {"data": "actual"}, 1),
        ("carbonzeus_grid_calls_total", {}, 2),
        ("carbonzeus_grid_errors_total", {}, 1),
    ]
