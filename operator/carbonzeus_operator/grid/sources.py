"""Which sources the settings ask for, made into one provider. No I/O: what cannot work is said before anything begins."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from importlib import import_module
from typing import Any

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.breaker import Breaker
from carbonzeus_operator.grid.credential import Credential
from carbonzeus_operator.grid.entries import AnyEntry, Entry, ExporterEntry, FileEntry
from carbonzeus_operator.grid.fallback import Fallback, Link
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.renamed import Renamed
from carbonzeus_operator.grid.replay import Clock, Replay
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.settings import Settings

CALL_S = 10.0
"""How long one call to a service may take: three of them that hang leave time for the next source."""

MADE_BY = {
    "NESO": ("neso", "Neso"),
    "EnergyCharts": ("energy_charts", "EnergyCharts"),
    "ElectricityMaps": ("electricity_maps", "ElectricityMaps"),
    "WattTime": ("watttime", "WattTime"),
    "CarbonAwareSDK": ("carbon_aware_sdk", "CarbonAwareSdk"),
    "Prometheus": ("prometheus", "Prometheus"),
    "Exporter": ("exporter", "Exporter"),
}
"""Type to the module and class of the source. Only what is asked for is loaded."""


def provider_of(settings: Settings, http: Http) -> Provider:
    """Files as they are, files played back, or sources that stand in for each other.

    InvalidSpec where they cannot: the replay of what is no file, two of one name, factors that do not go together.
    """
    entries = settings.grid_providers
    if settings.replay is not None:
        return _replay(settings)
    labels = Counter(entry.label for entry in entries)
    if twice := [label for label, count in labels.items() if count > 1]:
        message = f"grid.providers has {twice[0]} more than once: give each a name of its own"
        raise InvalidSpec(message, reason="DuplicateName")
    links = [_link(entry, settings, http) for entry in entries]
    if len(entries) == 1 and isinstance(entries[0], FileEntry) and links[0].zones is None:
        return links[0].provider
    return Fallback(links, utc_now, settings.grid_stale_seconds)


def _replay(settings: Settings) -> Provider:
    assert settings.replay is not None
    entries = settings.grid_providers
    if len(entries) != 1 or not isinstance(entries[0], FileEntry):
        others = ", ".join(entry.label for entry in entries)
        raise InvalidSpec(
            f"grid.replay plays files back, but grid.providers has {others}: leave only File there, or take out grid.replay",
            reason="InvalidReplay",
        )
    clock = Clock(*settings.replay)
    lag = timedelta(seconds=settings.grid_publication_lag_seconds) * settings.grid_replay_speed
    recorded = FileProvider(settings.grid_dir, lambda: clock.to_recorded(utc_now()), lag, entries[0].factor)
    return Replay(recorded, clock)


def _link(entry: AnyEntry, settings: Settings, http: Http) -> Link:
    provider = _provider(entry, settings, http)
    zones: frozenset[str] | None = getattr(provider, "zones", None)
    if entry.only_zones:
        zones = frozenset(entry.only_zones)
    elif zones is not None:
        zones |= entry.zone_names.keys()
    signals: frozenset[Signal] = getattr(provider, "signals", frozenset(Signal))
    return Link(
        name=entry.label,
        provider=Renamed(provider, entry.zone_names) if entry.zone_names else provider,
        factor=provider.factor,
        signals=signals.intersection(entry.only_signals or signals),
        zones=zones,
        breaker=None if isinstance(entry, FileEntry | ExporterEntry) else Breaker(),
    )


def _provider(entry: AnyEntry, settings: Settings, http: Http) -> Any:
    """The entry's options are the arguments of its class, but for URL, credential and folder, which are looked up for it."""
    if isinstance(entry, FileEntry):
        lag = timedelta(seconds=settings.grid_publication_lag_seconds)
        return FileProvider(settings.grid_dir, utc_now, lag, entry.factor)
    options = {name: getattr(entry, name) for name in type(entry).model_fields.keys() - Entry.model_fields.keys()}
    if "url" in options:
        options["http"] = http
        url = options.pop("url").rstrip("/")
        options |= {"url": url} if url else {}
    if isinstance(entry, ExporterEntry):
        options["folder"] = settings.grid_dir
    if key := options.pop("secret_key", ""):
        options["credential"] = Credential(settings.grid_credentials_dir, key)
    module, name = MADE_BY[entry.type]
    return getattr(import_module(f"carbonzeus_operator.grid.{module}"), name)(now=utc_now, **options)
