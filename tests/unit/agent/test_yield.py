"""A limit that somebody else sets under a plan, where the agent is asked to yield to it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from carbonzeus_agent.actuator import Actuator
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.plans import RELEASE, UNHEARD
from carbonzeus_wire import RefusalReason
from tests.unit.agent import samples
from tests.unit.agent.samples import BOARD, GPU

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock, FakeDriver

aim = partial(samples.aim, pod_uid="uid-a")


@pytest.fixture
def yielding(driver: FakeDriver, journal: Journal, clock: FakeClock) -> Actuator:
    return Actuator(BOARD, driver, journal, clock, yields=True)


@pytest.mark.parametrize("foreign_w", [280.0, 300.0, 150.0])
def test_yielded_gpu_is_left_alone_until_its_plan_ends(
    yielding: Actuator, driver: FakeDriver, journal: Journal, foreign_w: float
) -> None:
    """No step and no restore fights it, be it the prior limit or one of the plan's own; it is counted once, and said all the time."""
    yielding.settle(aim(200, 150))
    driver.limits[GPU] = foreign_w
    found = [yielding.settle(it) for it in (aim(200, 150), aim(150), aim(None, 150))]
    assert [it.foreign_w for it in found] == [foreign_w, None, None]
    assert {(it.yielded, it.refusal, it.limit_w) for it in found} == {(True, RefusalReason.LIMIT_OVERRIDDEN, foreign_w)}
    assert found[-1].message.startswith(f"somebody else set {foreign_w:g} W under the plan; left so until")
    assert journal.gpus() == ()
    assert not yielding.settle(RELEASE).yielded
    assert (driver.limits[GPU], driver.writes) == (foreign_w, [(GPU, 200)])


def test_yielded_gpu_follows_the_next_plan_below_the_foreign_limit(yielding: Actuator, driver: FakeDriver) -> None:
    """After the end of the lease, and for the next pod even where nobody saw the end of the first: it is the ceiling then."""
    yielding.settle(aim(200))
    driver.limits[GPU] = 250
    yielding.settle(aim(200))
    yielding.settle(RELEASE)
    assert yielding.settle(aim(275)).limit_w == 250
    assert yielding.settle(aim(150)).limit_w == 150
    driver.limits[GPU] = 220
    yielding.settle(aim(150))
    settled = yielding.settle(aim(130, pod_uid="uid-b"))
    assert (settled.limit_w, settled.reference_w) == (130, 220)
    yielding.settle(RELEASE)
    assert driver.limits[GPU] == 220


def test_limit_that_a_reloaded_driver_forgot_is_nobodys(yielding: Actuator, driver: FakeDriver) -> None:
    """It is set again, and so it is on a board without persistence mode that is found at its default."""
    yielding.settle(aim(200))
    driver.limits[GPU], driver.loads = 300, 2
    assert yielding.settle(aim(200)).limit_w == 200
    driver.limits[GPU] = 300
    assert yielding.settle(aim(200)).yielded


def test_limit_that_a_board_without_persistence_forgot_is_nobodys(
    driver: FakeDriver, journal: Journal, clock: FakeClock
) -> None:
    """Its default is what the driver sets when the board was let go of; any other limit is somebody's."""
    forgetful = Actuator(replace(BOARD, persistent=False), driver, journal, clock, yields=True)
    forgetful.settle(aim(200))
    driver.limits[GPU] = 300
    assert forgetful.settle(aim(200)).limit_w == 200
    driver.limits[GPU] = 280
    assert forgetful.settle(aim(200)).yielded


def test_journal_that_fails_while_yielding_restores_nothing(
    yielding: Actuator, driver: FakeDriver, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the foreign limit is one that the plan names too."""
    yielding.settle(aim(200, 150))
    driver.limits[GPU] = 150

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_connect", full)
        yielding.settle(aim(200, 150))
        yielding.settle(RELEASE)
    yielding.settle(RELEASE)
    assert (driver.limits[GPU], journal.gpus()) == (150, ())


@pytest.mark.parametrize("foreign_w", [280.0, 150.0])
def test_yield_outlives_the_agent(
    yielding: Actuator, driver: FakeDriver, journal: Journal, clock: FakeClock, tmp_path: Path, foreign_w: float
) -> None:
    """The next agent restores nothing, waits for the plans, and leaves the GPU alone under that of the same pod."""
    yielding.settle(aim(200, 150))
    driver.limits[GPU] = foreign_w
    yielding.settle(aim(200, 150))
    journal.close()
    again = Journal(tmp_path / "journal.db")
    successor = Actuator(BOARD, driver, again, clock, yields=True)
    for _ in range(2):
        assert successor.settle(UNHEARD).limit_w == foreign_w
    found = successor.settle(aim(200, 150))
    assert (found.yielded, found.foreign_w, driver.writes) == (True, None, [(GPU, 200)])
    successor.settle(RELEASE)
    assert (again.yielded(GPU), successor.settle(aim(120)).limit_w) == (None, 120)
    again.close()


@pytest.mark.parametrize(
    ("yields", "pod_uid"), [(True, "uid-b"), (False, "uid-a")], ids=["next pod", "asked to reassert"]
)
def test_yield_that_nobody_asks_for_ends(
    yielding: Actuator, driver: FakeDriver, journal: Journal, clock: FakeClock, yields: bool, pod_uid: str
) -> None:
    """Under another pod's plan, or where plans are to be enforced again, the next agent follows, below the foreign limit."""
    yielding.settle(aim(200))
    driver.limits[GPU] = 250
    yielding.settle(aim(200))
    successor = Actuator(BOARD, driver, journal, clock, yields=yields)
    settled = successor.settle(aim(150, pod_uid=pod_uid))
    assert (settled.limit_w, settled.reference_w, journal.yielded(GPU)) == (150, 250, None)
