"""What a CarbonReport says, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one CarbonReport; None where it does not tell yet."""

    name: str
    job: str
    """The name of its job."""
    state: str
    limit: str
    slowdown: str
    saved: str
    efficiency: str
    timing: str
    energy_mj: int
    carbon_ug: int
    baseline_ug: int | None
    saved_ug: int | None
    settled: str
    """Energy whose carbon is final, in percent."""
    cells: int
    """Windows that are not settled."""
    conditions: tuple[tuple[str, str, str], ...]
    """Type, status and message."""

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Self:
        """Reads the API's JSON."""
        status = raw.get("status", {})
        realised = status.get("realised", {})
        return cls(
            name=raw["metadata"]["name"],
            job=raw["spec"]["jobRef"]["name"],
            state=status.get("state", "Pending"),
            limit=status.get("limit", ""),
            slowdown=status.get("slowdown", ""),
            saved=realised.get("saved", ""),
            efficiency=realised.get("efficiency", ""),
            timing=realised.get("timing", ""),
            energy_mj=realised.get("energyMillijoules", 0),
            carbon_ug=realised.get("carbonMicrograms", 0),
            baseline_ug=realised.get("baselineCarbonMicrograms"),
            saved_ug=realised.get("savedCarbonMicrograms"),
            settled=status.get("coverage", {}).get("settled", ""),
            cells=len(status.get("ledger", {}).get("cells", [])),
            conditions=tuple(
                (one["type"], one["status"], one.get("message", "")) for one in status.get("conditions", [])
            ),
        )

    @property
    def closed(self) -> bool:
        """Whether its job ended and all of its carbon is final."""
        return self.state == "Finished" and self.cells == 0 and self.energy_mj > 0
