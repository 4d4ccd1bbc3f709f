"""Whenever an agent cannot read or cannot enforce, readiness is false, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from carbonzeus_agent.actuator import Settled
from carbonzeus_agent.driver import DriverFault, GpuLost, NoPermission, NvmlUnavailable
from carbonzeus_agent.outlook import troubles, warnings
from carbonzeus_agent.post import Visit, _faults_of
from carbonzeus_wire import Outcome, RefusalReason


@dataclass
class FakePost:
    """A GPU whose newest visit is told."""

    visit: Visit
    uuid: str = "GPU-1"

    def faults(self, hung_after_s: float) -> tuple[Any, ...]:
        return tuple(_faults_of(self.visit, None))


SOUND = Visit(settled=Settled(300, 300))


def agent(visit: Visit = SOUND, **broken: Any) -> Any:
    """One that is well, but for `broken`."""
    parts: dict[str, Any] = {"discovery": None, "journal": None, "meter": None} | broken
    return SimpleNamespace(
        discovery=SimpleNamespace(failure=parts["discovery"]),
        journal=SimpleNamespace(failure=parts["journal"]),
        meter=SimpleNamespace(failure=parts["meter"]),
        unanswered=parts.get("unanswered"),
        posts={"GPU-1": FakePost(visit)},
        settings=SimpleNamespace(nvml_seconds=5),
        clock_offset_s=lambda: parts.get("offset_s"),
    )


def failed(refusal: RefusalReason | None) -> Visit:
    return Visit(settled=Settled(300, 300, Outcome.FAULT, refusal, "why"))


CASES = {
    "no driver": (agent(discovery="no driver"), "NvmlUnavailable: no driver"),
    "silent kubelet": (agent(unanswered="no socket"), "KubeletSilent: no socket"),
    "journal": (agent(journal="disk full"), "JournalFailed: disk full"),
    "ledger": (agent(meter="disk full"), "LedgerFailed: disk full"),
    "driver went": (agent(Visit(error=NvmlUnavailable("gone"))), "NvmlUnavailable: GPU GPU-1: gone"),
    "lost GPU": (agent(Visit(error=GpuLost("off the bus"))), "GPULost: GPU GPU-1: off the bus"),
    "driver fault": (agent(Visit(error=DriverFault("odd"))), "DriverFault: GPU GPU-1: odd"),
    "cannot read": (agent(Visit(error=NoPermission("no"))), "DriverFault: GPU GPU-1: no"),
    "cannot write": (agent(failed(RefusalReason.NO_PERMISSION)), "NoPermission: GPU GPU-1: why"),
    "write not taken": (agent(failed(None)), "LimitNotTaken: GPU GPU-1: why"),
    "prior limit not kept": (agent(failed(RefusalReason.JOURNAL_FAILED)), "JournalFailed: GPU GPU-1: why"),
}


@pytest.mark.parametrize(("broken", "reason"), CASES.values(), ids=CASES)
def test_what_cannot_be_read_or_enforced_is_a_reason(broken: Any, reason: str) -> None:
    """One reason, with the words of whoever failed."""
    assert [str(fault) for fault in troubles(broken)] == [reason]


WELL = {
    "well": agent(),
    "board without limits": agent(failed(RefusalReason.NOT_SUPPORTED)),
    "wrong clock": agent(offset_s=3600.0),
}


@pytest.mark.parametrize("well", WELL.values(), ids=WELL)
def test_what_does_not_disable_leaves_it_ready(well: Any) -> None:
    """A board that has no limit to set, or a clock that is off, is no reason for a DaemonSet to stop."""
    assert troubles(well) == []


@pytest.mark.parametrize(("offset_s", "said"), [(None, False), (4.9, False), (5.1, True), (-5.1, True)])
def test_offset_is_a_warning_from_five_seconds_on(offset_s: float | None, said: bool) -> None:
    """A push may be under way for as long."""
    assert [it.reason for it in warnings(agent(offset_s=offset_s))] == (["ClockOffset"] if said else [])
