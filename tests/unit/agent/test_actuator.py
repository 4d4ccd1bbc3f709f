"""The limit of one GPU: journaled, clamped, written, read back, given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carbonzeus_agent.actuator import Actuator
from carbonzeus_agent.driver import DriverFault, GpuLost, NoPermission, NotSupported
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.plans import RELEASE
from carbonzeus_wire import Outcome, RefusalReason
from tests.unit.agent.samples import GPU, aim

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock, FakeDriver


def test_limit_is_written_once_and_read_back(actuator: Actuator, driver: FakeDriver) -> None:
    """What is at its aim is not written again."""
    for _ in range(3):
        settled = actuator.settle(aim(200))
    assert (settled.outcome, settled.limit_w, settled.reference_w) == (Outcome.APPLIED, 200, 300)
    assert driver.writes == [(GPU, 200)]


def test_prior_limit_is_durable_before_the_first_write(
    actuator: Actuator, driver: FakeDriver, journal: Journal
) -> None:
    """When the board is told, the journal holds what to go back to, and every limit that the plan may ask for."""
    seen = []
    journaled = journal.entry

    def spy(uuid: str, limit_w: float) -> None:
        seen.append(journaled(uuid))
        driver.limits[uuid] = limit_w

    driver.set_limit_w = spy  # type: ignore[method-assign]
    actuator.settle(aim(200, 150, 250))
    [entry] = seen
    assert entry is not None
    assert (entry.prior_w, entry.ours_w) == (300, frozenset({150, 200, 250}))


def test_nothing_is_written_without_a_journal(
    actuator: Actuator, driver: FakeDriver, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk means no cap, and the reply says why."""
    _break(journal, monkeypatch)
    settled = actuator.settle(aim(200))
    assert (settled.outcome, settled.refusal) == (Outcome.FAULT, RefusalReason.JOURNAL_FAILED)
    assert driver.writes == []


def test_switch_inside_a_journaled_plan_needs_no_disk(
    actuator: Actuator, driver: FakeDriver, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits of all steps were journaled with the first."""
    actuator.settle(aim(200, 150))
    _break(journal, monkeypatch)
    assert actuator.settle(aim(150, 200)).outcome is Outcome.APPLIED
    assert driver.limits[GPU] == 150


def test_limit_is_clamped_to_board_and_reference(actuator: Actuator, driver: FakeDriver) -> None:
    """Never below what the board allows, never above what was there before us."""
    driver.limits[GPU] = 250
    assert actuator.settle(aim(300)).limit_w == 250
    settled = actuator.settle(aim(50))
    assert (settled.outcome, settled.limit_w) == (Outcome.CLAMPED, 100)
    assert "100 W" in settled.message


def test_reference_limit_holds_before_the_first_step(actuator: Actuator, driver: FakeDriver) -> None:
    """A plan without a step now brings the GPU back to its prior limit, and keeps the journal."""
    actuator.settle(aim(200))
    settled = actuator.settle(aim(None, 200))
    assert (settled.limit_w, settled.reference_w) == (300, 300)
    assert driver.writes[-1] == (GPU, 300)


def test_foreign_limit_under_a_plan_is_overwritten_and_said(actuator: Actuator, driver: FakeDriver) -> None:
    """The plan is enforced; the reference limit stays what it was."""
    actuator.settle(aim(200))
    driver.limits[GPU] = 280
    settled = actuator.settle(aim(200))
    assert (settled.limit_w, settled.foreign_w, settled.reference_w) == (200, 280, 300)


def test_foreign_limit_before_the_first_step_becomes_the_reference(actuator: Actuator, driver: FakeDriver) -> None:
    """Whoever lowers the limit while the plan asks for nothing sets the ceiling of what follows."""
    actuator.settle(aim(None, 200, 260))
    driver.limits[GPU] = 250
    actuator.settle(aim(None, 200, 260))
    assert actuator.settle(aim(260, 200)).limit_w == 250
    actuator.settle(aim(200, 260))
    actuator.settle(RELEASE)
    assert driver.limits[GPU] == 250


def test_ignored_set_is_a_fault_and_tried_again_later(actuator: Actuator, driver: FakeDriver, clock: FakeClock) -> None:
    """The driver said yes and did nothing; each try waits longer than the one before."""
    driver.ignores = True
    assert actuator.settle(aim(200)).outcome is Outcome.FAULT
    for _ in range(10):
        settled = actuator.settle(aim(200))
    assert "stayed 300 W" in settled.message
    assert len(driver.writes) == 1
    clock.advance(1)
    actuator.settle(aim(200))
    clock.advance(1)
    actuator.settle(aim(200))
    assert len(driver.writes) == 2
    driver.ignores = False
    clock.advance(1)
    assert actuator.settle(aim(200)).outcome is Outcome.APPLIED


def test_new_aim_is_tried_at_once(actuator: Actuator, driver: FakeDriver) -> None:
    """A failure of one limit is no reason to wait with another."""
    driver.ignores = True
    actuator.settle(aim(200))
    driver.ignores = False
    assert actuator.settle(aim(250)).limit_w == 250


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (NoPermission("no"), RefusalReason.NO_PERMISSION),
        (NotSupported("no"), RefusalReason.NOT_SUPPORTED),
        (DriverFault("no"), None),
    ],
)
def test_refused_set_says_why(
    actuator: Actuator, driver: FakeDriver, error: Exception, refusal: RefusalReason | None
) -> None:
    """Each refusal of the driver has its reason."""
    driver.set_error = error  # type: ignore[assignment]
    settled = actuator.settle(aim(200))
    assert (settled.outcome, settled.refusal, settled.limit_w) == (Outcome.FAULT, refusal, 300)


def test_board_without_limit_is_not_supported(actuator: Actuator, driver: FakeDriver) -> None:
    """A board that tells no limit is measured only."""
    driver.errors[GPU] = NotSupported("no")
    assert actuator.settle(aim(200)).refusal is RefusalReason.NOT_SUPPORTED


def test_lost_gpu_is_an_error_of_the_visit(actuator: Actuator, driver: FakeDriver) -> None:
    """There is nothing to settle on a GPU that does not answer."""
    driver.errors[GPU] = GpuLost("gone")
    with pytest.raises(GpuLost):
        actuator.settle(aim(200))


def test_limit_that_the_board_rounds_has_taken(actuator: Actuator, driver: FakeDriver) -> None:
    """Boards take whole watts; less than one is no fault, and not somebody else's write."""
    driver.rounds_to_w = 1.0
    settled = actuator.settle(aim(187.4))
    assert (settled.outcome, settled.limit_w) == (Outcome.APPLIED, 187)
    assert actuator.settle(aim(187.4)).foreign_w is None
    actuator.settle(RELEASE)
    assert driver.limits[GPU] == 300


def test_many_plans_do_not_make_the_journal_grow(actuator: Actuator, journal: Journal) -> None:
    """Limits that can no longer be on the board are dropped."""
    for tenth in range(1000, 3000, 15):
        actuator.settle(aim(tenth / 10))
    entry = journal.entry(GPU)
    assert entry is not None
    assert len(entry.ours_w) < 80


def _break(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the disk is full."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_connect", full)
