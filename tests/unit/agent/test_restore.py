"""The limit of one GPU is given back: at the end of a plan, by a successor, and whatever happens in between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbonzeus_agent.actuator import Actuator
from carbonzeus_agent.driver import DriverFault
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.plans import RELEASE
from carbonzeus_wire import Outcome, RefusalReason
from tests.unit.agent.samples import BOARD, GPU, aim

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock, FakeDriver


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
    assert actuator.settle(RELEASE).foreign_w == 180
    assert driver.limits[GPU] == 180
    assert journal.gpus() == ()


def test_set_that_failed_and_took_all_the_same_is_given_back(actuator: Actuator, driver: FakeDriver) -> None:
    """A limit that we asked for is ours, whatever the driver said."""
    actuator.settle(aim(200))
    driver.set_error = DriverFault("timed out")
    actuator.settle(aim(150))
    driver.limits[GPU], driver.set_error = 150, None
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


def test_cap_goes_back_when_the_journal_fails(
    actuator: Actuator, driver: FakeDriver, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that cannot be journaled any more does not leave the GPU at the old cap either."""
    actuator.settle(aim(200))
    _break(journal, monkeypatch)
    assert actuator.settle(aim(150)).refusal is RefusalReason.JOURNAL_FAILED
    assert driver.limits[GPU] == 300


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


def _break(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the disk is full."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_connect", full)


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
