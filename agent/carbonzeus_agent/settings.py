"""What the agent is told from outside: environment variables with the prefix `CARBONZEUS_`, set by the chart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65_535)]


class Settings(BaseSettings):
    """One field, one variable: `record_seconds` is `CARBONZEUS_RECORD_SECONDS`."""

    model_config = SettingsConfigDict(env_prefix="CARBONZEUS_", frozen=True, use_attribute_docstrings=True)

    node_name: str = Field(min_length=1)
    """Name of the Kubernetes node, from `spec.nodeName`."""

    pod_ip: str = Field(min_length=1)
    """The address that the API and the health port listen on, from `status.podIP`."""

    namespace: str = Field(default="carbonzeus", min_length=1)
    """Our namespace, from `metadata.namespace`: part of the names in the certificates of operator and agents."""

    tls_dir: Path = Path("/etc/carbonzeus/tls")
    """Where `ca.crt`, `tls.crt` and `tls.key` are mounted. Until they are there the API's port is closed."""

    state_dir: Path
    """A folder that outlives the pod (hostPath): the journal of prior limits and the energy ledger."""

    pod_resources_socket: Path = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
    """The kubelet's PodResources socket: which pod holds which GPU."""

    record_seconds: float = Field(default=300, ge=1, le=86_400)
    """Energy records end at the UTC multiples of this [s]."""

    sample_seconds: float = Field(default=1.0, ge=0.02, le=10)
    """How often each GPU is read, its limit compared with the plan, and training progress scraped [s]."""

    enforce_seconds: float = Field(default=1.0, ge=0.02, le=60)
    """How often the kubelet is asked who holds the GPUs, and leases and plans are looked through [s]."""

    owner_grace_seconds: float = Field(default=60, ge=0, le=3600)
    """For how long the last known owners hold while the kubelet does not answer [s]; then every GPU is released."""

    nvml_seconds: float = Field(default=5, gt=0, le=60)
    """A driver call that takes longer than this counts as hung [s]: a fault of its GPU, and of no other."""

    foreign_writes: Literal["Reassert", "Yield"] = "Reassert"
    """What follows when somebody else sets the limit of a GPU under a plan: the plan's is set again, or the GPU is left alone
    until its pod ends or the lease does. Either way it is told as `LimitOverridden`."""

    persistence: Literal["Report", "Enable"] = "Report"
    """Whether a GPU without persistence mode is only told of, or has it switched on at the start and after each load of the driver."""

    retention_days: float = Field(default=35, gt=0, le=400)
    """How long closed energy records are kept for the operator to fetch."""

    ledger_max_megabytes: float = Field(default=512, ge=1, le=1_000_000)
    """How large the file of the energy records may grow [10^6 bytes]; then the oldest go before their time."""

    requests_per_second: float = Field(default=50, ge=1, le=10_000)
    """How many connections and requests one address may make on average over four seconds; of more it is told to wait."""

    api_port: Port = 9810
    """Port of the API for the operator."""

    health_port: Port = 9811
    """Port of /healthz, /readyz and /metrics, which can change nothing."""

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)

    @property
    def ledger_max_bytes(self) -> int:
        return round(self.ledger_max_megabytes * 1e6)
