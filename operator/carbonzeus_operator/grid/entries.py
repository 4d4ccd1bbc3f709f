"""The entries of `grid.providers`, as the chart's values have them: which sources there are, in the order of preference.

Each type has the options of its source and no others. A credential is never here, only the name of its entry in the Secret.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from carbonzeus_operator.grid.series import Factor, Signal

ZoneName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=512)]
UrlOrEmpty = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s?#]+)?$", max_length=512)]
SecretKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=253)]
"""As Kubernetes allows for the entries of a Secret; none that leads out of a folder."""
SecretKeyOrEmpty = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*)?$", max_length=253)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$|^$", max_length=63)]


class Entry(BaseModel):
    """What all have."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    type: str
    """Which source."""
    name: Name = ""
    """What it is called in conditions and metrics; its type if empty. Two of one type need names."""
    only_zones: tuple[ZoneName, ...] = ()
    """The only zones that it is asked for; empty: all that it has."""
    only_signals: tuple[Signal, ...] = ()
    """The only signals that it is asked for; empty: all that it has."""
    zone_names: dict[ZoneName, Annotated[str, StringConstraints(min_length=1, max_length=128)]] = Field(
        default_factory=dict
    )
    """Zone of policies to what this source calls it, where the two differ."""

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.type


class FileEntry(Entry):
    """CSV files in `grid.file`."""

    type: Literal["File"] = "File"
    factor: Factor = Factor.LIFECYCLE
    """What the files' grams cover."""


class NesoEntry(Entry):
    """NESO's Carbon Intensity API of Great Britain."""

    type: Literal["NESO"] = "NESO"
    url: UrlOrEmpty = ""
    """Where it is; the public one if empty."""


class EnergyChartsEntry(Entry):
    """Energy-Charts of Fraunhofer ISE."""

    type: Literal["EnergyCharts"] = "EnergyCharts"
    url: UrlOrEmpty = ""
    """Where it is; the public one if empty."""


class ElectricityMapsEntry(Entry):
    """Electricity Maps, v4."""

    type: Literal["ElectricityMaps"] = "ElectricityMaps"
    url: UrlOrEmpty = ""
    """Where it is; the public one if empty."""
    secret_key: SecretKey
    """The entry of the Secret that holds the token."""
    horizon_hours: Literal[6, 24, 48, 72] = 72
    """How far ahead to ask, as the plan with them allows."""


class WattTimeEntry(Entry):
    """WattTime, v3."""

    type: Literal["WattTime"] = "WattTime"
    url: UrlOrEmpty = ""
    """Where it is; the public one if empty."""
    secret_key: SecretKey
    """The entry of the Secret that holds `user:password`."""
    only_signals: tuple[Signal, ...] = (Signal.MARGINAL,)
    """The only signals that it is asked for. Of the average it has no forecast."""


class CarbonAwareSdkEntry(Entry):
    """The Web API of the Green Software Foundation's Carbon Aware SDK."""

    type: Literal["CarbonAwareSDK"] = "CarbonAwareSDK"
    url: Url
    """Where it is."""
    secret_key: SecretKeyOrEmpty = ""
    """The entry of the Secret that holds a bearer token; none if empty."""
    signal: Signal = Signal.MARGINAL
    """What the SDK's own data source gives."""
    factor: Factor = Factor.DIRECT
    """What its grams cover."""


class PrometheusEntry(Entry):
    """Queries to a Prometheus."""

    type: Literal["Prometheus"] = "Prometheus"
    url: Url
    """Where it is."""
    secret_key: SecretKeyOrEmpty = ""
    """The entry of the Secret that holds a bearer token; none if empty."""
    forecast_query: Annotated[str, StringConstraints(max_length=4096)] = ""
    """PromQL with `$zone`, of the forecast."""
    actual_query: Annotated[str, StringConstraints(max_length=4096)] = ""
    """PromQL with `$zone`, of the actual."""
    signal: Signal = Signal.AVERAGE
    """What the queries give."""
    factor: Factor = Factor.LIFECYCLE
    """What their grams cover."""


class ExporterEntry(Entry):
    """A copy of the ConfigMap that the Kubernetes carbon intensity exporter writes, as `grid.file.existingConfigMap`."""

    type: Literal["Exporter"] = "Exporter"
    signal: Signal = Signal.MARGINAL
    """What its source gives."""
    factor: Factor = Factor.DIRECT
    """What its grams cover."""


AnyEntry = Annotated[
    FileEntry
    | NesoEntry
    | EnergyChartsEntry
    | ElectricityMapsEntry
    | WattTimeEntry
    | CarbonAwareSdkEntry
    | PrometheusEntry
    | ExporterEntry,
    Field(discriminator="type"),
]
