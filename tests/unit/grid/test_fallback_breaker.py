"""A source of the chain that keeps failing."""

from __future__ import annotations

import asyncio
import logging

import pytest

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.breaker import State
from carbonzeus_operator.grid.fallback import Fallback, Link
from carbonzeus_operator.grid.series import Factor
from tests.unit.grid.chain import AWAY, Chain, Stub
from tests.unit.grid.samples import KEY, ZONE


async def under_way() -> None:
    """Lets what was begun come to where it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def chain() -> Chain:
    return Chain()


async def test_a_source_that_keeps_failing_is_not_waited_for(chain: Chain) -> None:
    """It is tried now and then, and takes its place again when it answers."""
    chain.one.fails = AWAY
    for _ in range(10):
        assert (await chain.ask()).source == "Two"
    assert chain.one.asked == 3
    first = chain.fallback.links[0]
    assert first.breaker is not None
    assert first.breaker.state(chain.watch()) is State.OPEN
    chain.watch.pass_(60)
    await chain.ask()
    assert chain.one.asked == 4
    chain.one.fails = None
    chain.watch.pass_(120)
    assert (await chain.ask()).source == "One"
    assert first.breaker.state(chain.watch()) is State.CLOSED


async def test_all_that_are_left_alone(chain: Chain) -> None:
    """Are asked again when the first of them may be."""
    chain.one.fails = Unavailable("busy", retry_after_s=500)
    chain.two.fails = Unavailable("busier", retry_after_s=900)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"busy.*busier") as raised:
            await chain.ask()
        assert raised.value.retry_after_s == 500
    assert (chain.one.asked, chain.two.asked) == (1, 1)


async def test_who_waits_for_a_source_that_is_found_failing_goes_on_at_once(chain: Chain) -> None:
    """A source that hangs holds nobody but those that found out."""
    chain.one.waits = asyncio.Event()
    asking = [asyncio.create_task(chain.ask()) for _ in range(20)]
    await under_way()
    assert chain.one.asked == 20
    failing = Stub("One", chain.watch, fails=AWAY)
    chain.fallback.links[0].provider = failing
    for _ in range(3):
        await chain.ask()
    series = await asyncio.wait_for(asyncio.gather(*asking), 5)
    assert {one.source for one in series} == {"Two"}
    assert (chain.one.asked, failing.asked) == (20, 3)


async def test_a_call_that_is_given_up_gives_up_the_source(chain: Chain) -> None:
    """Nothing goes on behind the cache's back, and the try is another's."""
    chain.one.fails = AWAY
    for _ in range(3):
        await chain.ask()
    chain.watch.pass_(60)
    chain.one.fails, chain.one.waits = None, asyncio.Event()
    trying = asyncio.create_task(chain.ask())
    await under_way()
    assert chain.one.asked == 4
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    assert not chain.fallback.links[0].under_way
    chain.one.waits = None
    assert (await chain.ask()).source == "One"


async def test_a_source_without_breaker_is_always_asked(chain: Chain) -> None:
    """Files: that one is missing says nothing of the others."""
    links = [Link("One", chain.one, Factor.LIFECYCLE, breaker=None), chain.fallback.links[1]]
    fallback = Fallback(links, chain.watch, 60)
    chain.one.fails = AWAY
    for _ in range(10):
        assert (await fallback.forecast(*KEY)).source == "Two"
    assert chain.one.asked == 10


async def test_changes_are_logged_once(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Not in every round."""
    caplog.set_level(logging.WARNING)
    await chain.ask()
    chain.one.fails = AWAY
    for _ in range(10):
        await chain.ask()
    assert [record.getMessage() for record in caplog.records] == [
        f"forecast of {ZONE} (Average): Two answers",
        "One is left alone for 60 s: it answered with 503",
    ]
