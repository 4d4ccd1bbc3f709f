"""The operator's settings: environment variables `CARBONZEUS_*`, set by the chart from its values."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from carbonzeus_operator.grid.entries import AnyEntry, FileEntry


class TlsMode(StrEnum):
    """Who makes the certificates of operator and agents."""

    OPERATOR = "Operator"
    CERT_MANAGER = "CertManager"


Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """All durations in seconds."""

    model_config = SettingsConfigDict(env_prefix="CARBONZEUS_", frozen=True, use_attribute_docstrings=True)

    namespace: str = "carbonzeus"
    """The operator's own namespace: its Lease and its agents are there."""
    pod_name: str = "carbonzeus-operator"
    """The identity in the Lease."""
    state_dir: Path | None = None
    """Where the last good grid data is kept over restarts; nowhere if unset."""

    cycle_seconds: Seconds = 60.0
    """How often energy is pulled, accounts are settled and leases renewed, when nothing happens."""
    replan_seconds: Seconds = 300.0
    """A plan older than this is made afresh from the measured credit."""
    relist_seconds: Seconds = 300.0
    """How often the picture of the cluster is checked against a full list."""
    lease_seconds: Seconds = 900.0
    """How long an agent follows its plans without hearing from the operator; then it restores the prior limits."""
    retention_seconds: Seconds = 100 * 86_400.0
    """A CarbonReport is deleted this long after its job ended and every window was settled."""

    grace_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How far a job may be behind beyond its maximum slowdown: start-up credit, at any time of its life."""
    survival_seconds: Seconds = 86_400.0
    """A job of unknown length is planned as if it ended at a constant rate with this mean."""
    minimum_dwell_seconds: Annotated[float, Field(ge=0)] = 60.0
    """No power limit is held for less than this."""
    switch_lead_seconds: Annotated[float, Field(ge=0)] = 2.0
    """A new plan begins this far ahead, so that every agent has it when it begins."""
    horizon_seconds: Seconds = 96 * 3_600.0
    """How far ahead a plan looks."""

    profile_retention_seconds: Seconds = 180 * 86_400.0
    """A PowerProfile that the operator measured is deleted this long after a job last taught it."""
    learning_timelapse: Annotated[float, Field(ge=1)] = 1.0
    """For emulations: each second stands for so many seconds of training where curves are learned. 1 on real GPUs."""

    grid_providers: Annotated[tuple[AnyEntry, ...], Field(min_length=1)] = (FileEntry(),)
    """Where carbon intensity comes from, in the order of preference, as JSON."""
    grid_credentials_dir: Path = Path("/etc/carbonzeus/grid-credentials")
    """The folder where the Secret with the providers' credentials is mounted."""
    grid_stale_seconds: Seconds = 6 * 3_600.0
    """A forecast older than this gives way to a newer one of the next provider."""
    grid_dir: Path = Path("/etc/carbonzeus/grid")
    """The folder of the file provider: `<ZONE>.csv`, `<ZONE>.marginal.csv`."""
    grid_publication_lag_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long after its end an interval's actual intensity counts as published, in files."""
    grid_refresh_seconds: Seconds = 300.0
    """How often a (zone, signal) is asked for again."""
    grid_replay_speed: Seconds = 1.0
    """Replays recorded grid data this many times faster than it was recorded, where `grid_replay_wall_start` is set."""
    grid_replay_recorded_start: AwareDatetime | None = None
    """The recorded moment that the replay begins with."""
    grid_replay_wall_start: AwareDatetime | None = None
    """The moment at which the replay begins. Unset: no replay."""
    zones: dict[str, str] = Field(default_factory=dict)
    """Cloud region (node label topology.kubernetes.io/region) to grid zone, as JSON."""

    tls_mode: TlsMode = TlsMode.OPERATOR
    """Who makes the certificates that operator and agents know each other by: this operator, or cert-manager."""
    agent_port: Annotated[int, Field(ge=1, le=65_535)] = 9810
    """Where agents serve the API, on their pod address."""
    agent_timeout_seconds: Seconds = 5.0
    """How long one call to one agent may take."""
    agent_concurrency: Annotated[int, Field(ge=1)] = 64
    """How many agents are called at the same time."""
    health_host: str = ""
    """The address of /healthz, /readyz and /metrics; all addresses if empty."""
    health_port: Annotated[int, Field(ge=1, le=65_535)] = 9812
    """The port of /healthz, /readyz and /metrics."""
    leader_lease_seconds: Seconds = 30.0
    """How long the operator's Lease is valid without renewal."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @model_validator(mode="after")
    def _whole_replay(self) -> Settings:
        if (self.grid_replay_wall_start is None) != (self.grid_replay_recorded_start is None):
            raise ValueError(
                "a replay needs both grid_replay_recorded_start and grid_replay_wall_start: set both or none"
            )
        return self

    @property
    def replay(self) -> tuple[datetime, datetime, float] | None:
        """(recorded start, wall start, speed) of the replay; None when grid data is live."""
        if self.grid_replay_wall_start is None or self.grid_replay_recorded_start is None:
            return None
        return self.grid_replay_recorded_start, self.grid_replay_wall_start, self.grid_replay_speed
