"""Which GPUs there are, and their persistence mode where the agent is to see to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from carbonzeus_agent.discovery import EVERY_S, Discovery
from carbonzeus_agent.driver import NoPermission

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock, FakeDriver


async def test_persistence_mode_is_left_alone_unless_asked(driver: FakeDriver, clock: FakeClock) -> None:
    """Report is the default."""
    driver.persistent["GPU-1"] = False
    discovery = Discovery(driver, clock, 5)
    [board] = await discovery.look()
    discovery.stop()
    assert (board.persistent, board.persistence_failure, driver.persistence_asked) == (False, None, [])


@pytest.mark.parametrize("persistent", [True, None])
async def test_board_that_has_it_or_knows_none_is_not_asked(
    driver: FakeDriver, clock: FakeClock, persistent: bool | None
) -> None:
    """There is nothing to switch on."""
    driver.persistent["GPU-1"] = persistent
    discovery = Discovery(driver, clock, 5, persistence=True)
    [board] = await discovery.look()
    discovery.stop()
    assert (board.persistent, driver.persistence_asked) == (persistent, [])


async def test_persistence_mode_is_switched_on_once_a_load_of_the_driver(driver: FakeDriver, clock: FakeClock) -> None:
    """Who switches it off later has the last word until the driver is loaded anew, which makes a look due at once."""
    driver.persistent["GPU-1"] = False
    discovery = Discovery(driver, clock, 5, persistence=True)
    [board] = await discovery.look()
    assert (board.persistent, driver.persistence_asked) == (True, ["GPU-1"])
    driver.persistent["GPU-1"] = False
    [board] = await discovery.look()
    assert (board.persistent, discovery.due) == (False, False)
    driver.loads += 1
    assert discovery.due
    [board] = await discovery.look()
    discovery.stop()
    assert (board.persistent, driver.persistence_asked) == (True, ["GPU-1"] * 2)


@pytest.mark.parametrize("ignored", [False, True])
async def test_persistence_mode_that_cannot_be_switched_on_is_said_and_tried_again(
    driver: FakeDriver, clock: FakeClock, ignored: bool
) -> None:
    """The board is listed all the same, with the reason; a yes that changes nothing is a failure too."""
    driver.persistent["GPU-1"] = False
    driver.ignores, driver.persistence_error = ignored, None if ignored else NoPermission("no privilege")
    discovery = Discovery(driver, clock, 5, persistence=True)
    [board] = await discovery.look()
    assert board.persistence_failure == ("the driver said yes, and it stayed off" if ignored else "no privilege")
    assert discovery.failure is None
    driver.ignores, driver.persistence_error = False, None
    await asyncio.sleep(0.05)  # the thread comes to rest: it would look hung when the clock jumps
    clock.advance(EVERY_S)
    assert discovery.due
    [board] = await discovery.look()
    discovery.stop()
    assert (board.persistent, board.persistence_failure) == (True, None)
