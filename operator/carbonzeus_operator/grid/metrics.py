"""Figures of grid data for dashboards and alerts: how old, who answers since when, who fails."""

from __future__ import annotations

from collections.abc import Iterator, KeysView

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from carbonzeus_operator.grid.breaker import State
from carbonzeus_operator.grid.cache import GridCache, Key
from carbonzeus_operator.grid.fallback import Fallback, Kind

KINDS: tuple[Kind, Kind] = ("forecast", "actual")
NOBODY = "none"
"""The provider's label while none answers."""


def families(grid: GridCache) -> list[Metric]:
    """As of now."""
    age = GaugeMetricFamily(
        "carbonzeus_forecast_age_seconds", "Age of the forecast that is followed.", labels=("zone", "signal")
    )
    problem = GaugeMetricFamily(
        "carbonzeus_grid_problem", "1 where a zone's data could not be refreshed.", labels=("zone", "signal", "data")
    )
    views = grid.views()
    for (zone, signal), view in views.items():
        if view.stale_for_s is not None:
            age.add_metric((zone, signal.value), view.stale_for_s)
        problem.add_metric((zone, signal.value, "forecast"), 1.0 if view.problem else 0.0)
        problem.add_metric((zone, signal.value, "actual"), 1.0 if view.actual_problem else 0.0)
    return [
        age,
        problem,
        CounterMetricFamily("carbonzeus_grid_calls", "Calls to the source of grid data.", value=grid.calls),
        CounterMetricFamily("carbonzeus_grid_errors", "Such calls that failed.", value=grid.errors),
        *(_providers(grid.provider, grid, views.keys()) if isinstance(grid.provider, Fallback) else ()),
    ]


def _providers(chain: Fallback, grid: GridCache, keys: KeysView[Key]) -> Iterator[Metric]:
    calls = CounterMetricFamily("carbonzeus_grid_provider_calls", "Questions to a provider.", labels=("provider",))
    errors = CounterMetricFamily(
        "carbonzeus_grid_provider_errors", "Questions that it did not answer as it should.", labels=("provider",)
    )
    breaker = GaugeMetricFamily(
        "carbonzeus_grid_provider_breaker",
        "1 at the state of the provider's circuit breaker: while it is Open, the provider is left alone.",
        labels=("provider", "state"),
    )
    for link in chain.links:
        calls.add_metric((link.name,), link.calls)
        errors.add_metric((link.name,), link.errors)
        if link.breaker is not None:
            state = link.breaker.state(grid.now())
            for one in State:
                breaker.add_metric((link.name, one.value), float(one is state))
    since = GaugeMetricFamily(
        "carbonzeus_grid_answered_since_seconds",
        'Unix time since when this provider answers for a zone; provider "none" since none does.',
        labels=("zone", "signal", "data", "provider"),
    )
    for zone, signal in keys:
        for kind in KINDS:
            if (found := chain.answering.get((zone, signal, kind))) is not None:
                since.add_metric((zone, signal.value, kind, found.name or NOBODY), found.since.timestamp())
    yield from (calls, errors, breaker, since)
