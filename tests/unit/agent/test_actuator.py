"""The limit of one GPU: journaled, clamped, written, read back, given back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbonzeus_agent.actuator import Actuator
from carbonzeus_agent.driver import Board, DriverFault, GpuLost, NoPermission, NotSupported
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.plans import RELEASE, Aim
from carbonzeus_wire import Outcome, RefusalReason

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock, FakeDriver

GPU = "GPU-1"
BOARD = Board(GPU, "Fake A40", 300.0, 100.0, 300.0, mig=False)


def aim(limit_w: float | None, *ahead_w: float) -> Aim:
    return Aim(planned=True, limit_w=limit_w, ahead_w=frozenset({*ahead_w, *([] if limit_w is None else [limit_w])}))


@pytest.fixture
def actuator(driver: FakeDriver, journal: Journal, clock: FakeClock) -> Actuator:
    return Actuator(BOARD, driver, journal, clock)


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


def test_cap_goes_back_when_the_journal_fails(
    actuator: Actuator, driver: FakeDriver, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that cannot be journaled any more does not leave the GPU at the old cap either."""
    actuator.settle(aim(200))
    _break(journal, monkeypatch)
    assert actuator.settle(aim(150)).refusal is RefusalReason.JOURNAL_FAILED
    assert driver.limits[GPU] == 300


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


def test_release_gives_back_and_forgets(actuator: Actuator, driver: FakeDriver, journal: Journal) -> None:
    """The prior limit is restored once; afterwards the GPU is nobody's business."""
    actuator.settle(aim(200))
    actuator.settle(RELEASE)
    assert driver.limits[GPU] == 300
    assert journal.gpus() == ()
    driver.limits[GPU] = 220
    assert actuator.settle(RELEASE).reference_w == 220
    assert driver.writes == [(GPU, 200), (GPU, 300)]


def test_release_leaves_a_limit_that_somebody_else_set(
    actuator: Actuator, driver: FakeDriver, journal: Journal
) -> None:
    """An admin who set a limit since our last write keeps it."""
    actuator.settle(aim(200))
    driver.limits[GPU] = 180
    assert actuator.settle(RELEASE).overridden
    assert driver.limits[GPU] == 180
    assert journal.gpus() == ()


def test_foreign_limit_under_a_plan_is_overwritten_and_said(actuator: Actuator, driver: FakeDriver) -> None:
    """The plan is enforced; the reference limit stays what it was."""
    actuator.settle(aim(200))
    driver.limits[GPU] = 280
    settled = actuator.settle(aim(200))
    assert (settled.limit_w, settled.overridden, settled.reference_w) == (200, True, 300)


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


def test_set_that_failed_and_took_all_the_same_is_given_back(actuator: Actuator, driver: FakeDriver) -> None:
    """A limit that we asked for is ours, whatever the driver said."""
    actuator.settle(aim(200))
    driver.set_error = DriverFault("timed out")
    actuator.settle(aim(150))
    driver.limits[GPU], driver.set_error = 150, None
    actuator.settle(RELEASE)
    assert driver.limits[GPU] == 300


def test_limit_that_the_board_rounds_has_taken(actuator: Actuator, driver: FakeDriver) -> None:
    """Boards take whole watts; less than one is no fault, and not somebody else's write."""
    driver.rounds_to_w = 1.0
    settled = actuator.settle(aim(187.4))
    assert (settled.outcome, settled.limit_w) == (Outcome.APPLIED, 187)
    assert not actuator.settle(aim(187.4)).overridden
    actuator.settle(RELEASE)
    assert driver.limits[GPU] == 300


def test_successor_of_a_killed_agent_gives_back(driver: FakeDriver, journal: Journal, clock: FakeClock) -> None:
    """Any limit that the journal names as ours may be what the killed one left."""
    Actuator(BOARD, driver, journal, clock).settle(aim(200, 150))
    driver.limits[GPU] = 150  # written, and killed before it could note anything
    Actuator(BOARD, driver, journal, clock).settle(RELEASE)
    assert driver.limits[GPU] == 300


def test_successor_whose_first_restore_fails_tries_again(
    driver: FakeDriver, journal: Journal, clock: FakeClock
) -> None:
    """A failed restore does not make our own limit look like somebody else's."""
    Actuator(BOARD, driver, journal, clock).settle(aim(200))
    successor = Actuator(BOARD, driver, journal, clock)
    driver.set_error = DriverFault("busy")
    successor.settle(RELEASE)
    driver.set_error = None
    clock.advance(5)
    successor.settle(RELEASE)
    assert driver.limits[GPU] == 300


def test_many_plans_do_not_make_the_journal_grow(actuator: Actuator, journal: Journal) -> None:
    """Limits that can no longer be on the board are dropped."""
    for tenth in range(1000, 3000, 15):
        actuator.settle(aim(tenth / 10))
    entry = journal.entry(GPU)
    assert entry is not None
    assert len(entry.ours_w) < 80


steps = st.lists(
    st.one_of(
        st.builds(lambda w: ("plan", w), st.sampled_from([120.0, 150.0, 200.0, 300.0])),
        st.just(("hold", 0.0)),
        st.just(("release", 0.0)),
        st.just(("kill", 0.0)),
        st.just(("ignore", 0.0)),
        st.just(("heal", 0.0)),
    ),
    max_size=25,
)


@given(steps=steps)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it waits for disks
def test_whatever_happens_the_end_is_the_prior_limit(
    tmp_path_factory: pytest.TempPathFactory,
    make_driver: type[FakeDriver],
    make_clock: type[FakeClock],
    steps: list[tuple[str, float]],
) -> None:
    """Plans, holds, kills and faults in any order: once released by a healthy driver the GPU is as it was."""
    _run_to_the_end(tmp_path_factory.mktemp("state"), make_driver(GPU), make_clock(), steps)


def _run_to_the_end(state: Path, driver: FakeDriver, clock: FakeClock, steps: list[tuple[str, float]]) -> None:
    driver.limits[GPU] = 280
    journal = Journal(state / "journal.db")
    actuator = Actuator(BOARD, driver, journal, clock)
    for what, limit_w in steps:
        clock.advance(60)
        if what == "plan":
            actuator.settle(aim(limit_w))
            assert driver.ignores or driver.limits[GPU] == min(limit_w, 280)
        elif what == "hold":
            actuator.settle(aim(None, 150))
        elif what == "release":
            actuator.settle(RELEASE)
        elif what == "kill":
            journal.close()
            journal = Journal(state / "journal.db")
            actuator = Actuator(BOARD, driver, journal, clock)
            actuator.settle(RELEASE)
        else:
            driver.ignores = what == "ignore"
    driver.ignores = False
    clock.advance(60)
    actuator.settle(RELEASE)
    assert driver.limits[GPU] == 280
    assert journal.gpus() == ()
    journal.close()


def _break(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the disk is full."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_connect", full)


def test_gpu_of_unknown_past_is_not_capped(driver: FakeDriver, tmp_path: Path, clock: FakeClock) -> None:
    """After the loss of the journal a limit below the board's default may be ours: it must not become the reference."""
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 500)
    journal = Journal(tmp_path / "journal.db")
    actuator = Actuator(BOARD, driver, journal, clock)
    driver.limits[GPU] = 150
    settled = actuator.settle(aim(120))
    assert (settled.outcome, settled.refusal, driver.writes) == (Outcome.FAULT, RefusalReason.JOURNAL_FAILED, [])
    assert "found at 150 W, below its default of 300 W" in settled.message
    driver.limits[GPU] = 300
    assert actuator.settle(aim(120)).limit_w == 120
    journal.close()
