"""What the tests of providers run on: a server that answers as they say, and the providers that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from carbonzeus_operator.grid.electricity_maps import ElectricityMaps
from carbonzeus_operator.grid.energy_charts import EnergyCharts
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.neso import Neso
from carbonzeus_operator.grid.prometheus import Prometheus
from tests.unit.grid import emaps
from tests.unit.grid.faults import patience_s
from tests.unit.grid.prometheus_answers import ACTUAL, FORECAST
from tests.unit.grid.replay_server import ReplayServer, replay_server
from tests.unit.grid.samples import T0, Source, Watch, at


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    """On loopback, with nothing to say yet."""
    async with replay_server() as running:
        yield running


@pytest.fixture
async def http(request: pytest.FixtureRequest) -> AsyncIterator[Http]:
    """At noon; impatient where a test says that the source is slow."""
    made = Http(timeout_s=patience_s(request), now=lambda: T0)
    yield made
    await made.close()


@pytest.fixture
def watch() -> Watch:
    """At noon, until a test sets it."""
    return Watch()


@pytest.fixture
def source(watch: Watch) -> Source:
    """A source that does as it is told."""
    return Source(watch)


@pytest.fixture
def maps(http: Http, server: ReplayServer) -> ElectricityMaps:
    """Electricity Maps at the server."""
    return ElectricityMaps(http=http, url=server.url, credential=lambda: emaps.TOKEN, now=Watch(at(0.3)))


@pytest.fixture
def charts(http: Http, server: ReplayServer) -> EnergyCharts:
    """Energy-Charts at the server."""
    return EnergyCharts(http, server.url, Watch(at(0.1)))


@pytest.fixture
def neso(http: Http, server: ReplayServer) -> Neso:
    """NESO at the server."""
    return Neso(http, server.url, Watch(at(0.2)))


@pytest.fixture
def prometheus(http: Http, server: ReplayServer) -> Prometheus:
    """A Prometheus at the server."""
    return Prometheus(http, server.url, now=Watch(T0), forecast_query=FORECAST, actual_query=ACTUAL)
