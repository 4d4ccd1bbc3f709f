"""What a CarbonReport says, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

LAST_RECORDS = timedelta(seconds=6)
"""For so long after the end of a pod the operator waits for its last record."""


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
    all_in: bool
    """Whether every agent's records were folded to well after the end of the job's pods."""
    conditions: tuple[tuple[str, str, str], ...]
    """Type, status and message."""

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Self:
        """Reads the API's JSON."""
        status = raw.get("status", {})
        realised, ledger = status.get("realised", {}), status.get("ledger", {})
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
            cells=len(ledger.get("cells", [])),
            all_in=_all_in(ledger),
            conditions=tuple(
                (one["type"], one["status"], one.get("message", "")) for one in status.get("conditions", [])
            ),
        )

    @property
    def closed(self) -> bool:
        """Whether its job ended, all of its energy is in and all of its carbon is final."""
        return self.state == "Finished" and self.cells == 0 and self.all_in


def _all_in(ledger: dict[str, Any]) -> bool:
    ends = [datetime.fromisoformat(pod["ended"]) if "ended" in pod else None for pod in ledger.get("pods", [])]
    known = [end for end in ends if end is not None]
    cursors = ledger.get("cursors", [])
    if not cursors or not known or len(known) < len(ends):
        return False
    last = max(known) + LAST_RECORDS
    return all("until" in one and datetime.fromisoformat(one["until"]) >= last for one in cursors)
