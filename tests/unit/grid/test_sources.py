"""Which providers the settings ask for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.carbon_aware_sdk import CarbonAwareSdk
from carbonzeus_operator.grid.electricity_maps import ElectricityMaps
from carbonzeus_operator.grid.energy_charts import URL as CHARTS_URL
from carbonzeus_operator.grid.energy_charts import EnergyCharts
from carbonzeus_operator.grid.exporter import Exporter
from carbonzeus_operator.grid.fallback import Fallback
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.neso import Neso
from carbonzeus_operator.grid.prometheus import Prometheus
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.renamed import Renamed
from carbonzeus_operator.grid.replay import Replay
from carbonzeus_operator.grid.series import Factor, Signal
from carbonzeus_operator.grid.sources import MADE_BY, provider_of
from carbonzeus_operator.grid.watttime import WattTime
from carbonzeus_operator.settings import Settings
from tests.unit.grid.chain import Stub
from tests.unit.grid.replay_server import Answer, replay_server
from tests.unit.grid.samples import HOUR, KEY, T0, ZONE, Watch, at, plain, stamp


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http()
    yield made
    await made.close()


def made(http: Http, *entries: dict[str, Any], **settings: Any) -> Provider:
    """From the JSON of an environment variable."""
    return provider_of(Settings.model_validate({"grid_providers": json.loads(json.dumps(entries)), **settings}), http)


def chain(http: Http, *entries: dict[str, Any], **settings: Any) -> Fallback:
    """Where it is one."""
    provider = made(http, *entries, **settings)
    assert isinstance(provider, Fallback)
    return provider


# Files


async def test_files_as_they_are(tmp_path: Path, http: Http) -> None:
    """In real time, with the time that publication takes."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    rows = "".join(f"{stamp(begin + hour * HOUR)},{hour}\n" for hour in range(9))
    (tmp_path / f"{ZONE}.csv").write_text(f"start_utc,gco2_per_kwh\n{rows}")
    provider = provider_of(Settings(grid_dir=tmp_path, grid_publication_lag_seconds=7200), http)
    assert isinstance(provider, FileProvider)
    actual = await provider.actual(*KEY, begin, begin + 9 * HOUR)
    assert [one.gco2_per_kwh for one in actual.intervals] in ([0], [0, 1])  # the hour may end meanwhile
    assert (await provider.forecast(*KEY)).at(datetime.now(UTC)) is not None


async def test_files_played_back(tmp_path: Path, http: Http) -> None:
    """The recorded moment begins at the wall moment; publication takes as long on the wall as is set."""
    (tmp_path / f"{ZONE}.csv").write_text(plain(dict.fromkeys(range(10_000), 5.0)))
    began = datetime.now(UTC) - timedelta(seconds=10)
    settings = Settings(
        grid_dir=tmp_path,
        grid_replay_speed=3600,
        grid_replay_recorded_start=T0,
        grid_replay_wall_start=began,
        grid_publication_lag_seconds=4,
    )
    provider = provider_of(settings, http)
    assert isinstance(provider, Replay)
    before = datetime.now(UTC)
    actual = await provider.actual(*KEY, began, before + HOUR)
    after = datetime.now(UTC)
    assert actual.intervals[0].start == began
    lag = timedelta(seconds=4)
    assert before - lag - timedelta(seconds=1) <= actual.intervals[-1].end <= after - lag


def test_files_are_what_there_is_without_settings(http: Http) -> None:
    """As the chart has it."""
    provider = provider_of(Settings(), http)
    assert isinstance(provider, FileProvider)
    assert provider.factor is Factor.LIFECYCLE
    provider = made(http, {"type": "File", "factor": "Direct"})
    assert isinstance(provider, FileProvider)
    assert provider.factor is Factor.DIRECT


def test_nothing_but_files_is_played_back(http: Http) -> None:
    """A service knows nothing of another time."""
    replay = {"grid_replay_recorded_start": T0, "grid_replay_wall_start": T0}
    with pytest.raises(
        InvalidSpec, match=r"grid\.replay plays files back, but grid\.providers has File, NESO"
    ) as refused:
        made(http, {"type": "File"}, {"type": "NESO"}, **replay)
    assert refused.value.reason == "InvalidReplay"
    provider = made(http, {"type": "File", "factor": "Direct"}, **replay)
    assert isinstance(provider, Replay)
    assert isinstance(provider.inner, FileProvider)
    assert provider.inner.factor is Factor.DIRECT


# Services


def test_the_order_is_that_of_the_entries(http: Http, tmp_path: Path) -> None:
    """With the options of each, and the public address where none is given."""
    found = chain(
        http,
        {"type": "EnergyCharts", "onlyZones": ["DE", "FR"]},
        {"type": "NESO", "name": "ours", "url": "http://mirror.example/neso/", "zoneNames": {"London": "GB-13"}},
        {"type": "File", "onlyZones": ["DE"]},
        grid_dir=tmp_path,
    )
    charts, neso, files = found.links
    assert [link.name for link in found.links] == ["EnergyCharts", "ours", "File"]
    assert isinstance(charts.provider, EnergyCharts)
    assert charts.provider.url == CHARTS_URL
    assert charts.signals == {Signal.AVERAGE}
    assert charts.zones == frozenset({"DE", "FR"})
    assert isinstance(neso.provider, Renamed)
    assert isinstance(neso.provider.inner, Neso)
    assert neso.provider.inner.url == "http://mirror.example/neso"
    assert neso.zones is not None
    assert {"GB", "GB-1", "GB-17", "London"} <= neso.zones
    assert (charts.breaker is None, files.breaker is None) == (False, True)


AVERAGE, MARGINAL = frozenset({Signal.AVERAGE}), frozenset({Signal.MARGINAL})
EVERY_TYPE: list[tuple[dict[str, Any], type, Factor, frozenset[Signal]]] = [
    ({"type": "NESO"}, Neso, Factor.DIRECT, AVERAGE),
    ({"type": "EnergyCharts"}, EnergyCharts, Factor.LIFECYCLE, AVERAGE),
    ({"type": "ElectricityMaps", "secretKey": "token", "horizonHours": 24}, ElectricityMaps, Factor.LIFECYCLE, AVERAGE),
    ({"type": "WattTime", "secretKey": "login"}, WattTime, Factor.DIRECT, MARGINAL),
    (
        {"type": "WattTime", "secretKey": "login", "onlySignals": ["Average", "Marginal"]},
        WattTime,
        Factor.DIRECT,
        AVERAGE | MARGINAL,
    ),
    ({"type": "CarbonAwareSDK", "url": "http://sdk"}, CarbonAwareSdk, Factor.DIRECT, MARGINAL),
    (
        {
            "type": "Prometheus",
            "url": "http://p",
            "secretKey": "token",
            "forecastQuery": 'x{zone="$zone"}',
            "signal": "Marginal",
        },
        Prometheus,
        Factor.LIFECYCLE,
        MARGINAL,
    ),
    ({"type": "Exporter"}, Exporter, Factor.DIRECT, MARGINAL),
    ({"type": "Exporter", "signal": "Average", "factor": "Lifecycle"}, Exporter, Factor.LIFECYCLE, AVERAGE),
]


@pytest.mark.parametrize(("entry", "kind", "factor", "signals"), EVERY_TYPE, ids=lambda one: str(one)[:40])
def test_every_type_is_made(
    http: Http, entry: dict[str, Any], kind: type, factor: Factor, signals: frozenset[Signal]
) -> None:
    """From its options, with what it gives known before it is asked."""
    (link,) = chain(http, entry).links
    assert isinstance(link.provider, kind)
    assert (link.factor, link.signals) == (factor, signals)


def test_every_type_is_tried_above() -> None:
    """None is forgotten when one is added."""
    assert {entry["type"] for entry, *_ in EVERY_TYPE} == set(MADE_BY)


async def test_average_and_marginal_of_different_sources(http: Http) -> None:
    """Each policy's signal has its own, whatever the factors."""
    found = chain(
        http,
        {"type": "ElectricityMaps", "secretKey": "token"},
        {"type": "WattTime", "secretKey": "login", "zoneNames": {"US-CAL-CISO": "CAISO_NORTH"}},
    )
    for signal, key in ((Signal.AVERAGE, "token"), (Signal.MARGINAL, "login")):
        with pytest.raises(Unavailable, match=f"has no entry {key}"):
            await found.forecast("US-CAL-CISO", signal)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"type": "NESO"}, {"type": "NESO"}], r"grid\.providers has NESO more than once: give each a name"),
        (
            [{"type": "NESO"}, {"type": "EnergyCharts"}],
            "NESO gives Direct grams and EnergyCharts gives Lifecycle grams",
        ),
        ([{"type": "File"}, {"type": "NESO"}], "File gives Lifecycle grams and NESO gives Direct grams"),
    ],
)
def test_what_cannot_go_together_is_refused_before_anything_begins(
    http: Http, entries: list[dict[str, Any]], words: str
) -> None:
    """In a sentence that says what to do."""
    with pytest.raises(InvalidSpec, match=words):
        made(http, *entries)


async def test_a_zone_by_another_name() -> None:
    """Is asked for as the source has it, and told as policies have it. Others keep their name, and a wrong one is refused."""
    stub = Stub("One", Watch())
    renamed = Renamed(stub, {"GB-LON": "GB-13"})
    for asked in ("GB-LON", "GB-13", "DE"):
        assert (await renamed.forecast(asked, Signal.AVERAGE)).zone == asked
        assert (await renamed.actual(asked, Signal.AVERAGE, at(0), at(1))).zone == asked
    assert stub.zones == ["GB-13", "GB-13", "GB-13", "GB-13", "DE", "DE"]
    stub.says = "FR"
    assert (await renamed.forecast("GB-LON", Signal.AVERAGE)).zone == "FR"


async def test_asked_by_the_name_of_the_policy_over_the_wire(http: Http) -> None:
    """From the settings to the path of the request."""
    async with replay_server() as server:
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        windows = [
            {"from": stamp(start), "to": stamp(start + HOUR / 2), "intensity": {"forecast": 5}}
            for start in (hour, hour + HOUR / 2, hour + HOUR)
        ]
        server.answers["/regional/*"] = Answer({"data": {"regionid": 13, "data": windows}})
        found = chain(http, {"type": "NESO", "url": f"{server.url}/", "zoneNames": {"London": "GB-13"}})
        series = await found.forecast("London", Signal.AVERAGE)
        assert (series.zone, series.intervals[0].gco2_per_kwh) == ("London", 5)
        assert server.asked[0].path.endswith("/fw48h/regionid/13")


# What is refused


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "NESO", "token": "abc"},
        {"type": "ElectricityMaps"},
        {"type": "ElectricityMaps", "secretKey": ".."},
        {"type": "ElectricityMaps", "secretKey": "a/b"},
        {"type": "Prometheus", "url": "prometheus:9090"},
        {"type": "NESO", "url": "https://x/?key=1"},
        {"type": "Unknown"},
        {},
    ],
)
def test_entries_that_are_none(http: Http, entry: dict[str, Any]) -> None:
    """The operator knows what the chart knows."""
    with pytest.raises(ValidationError):
        made(http, entry)
