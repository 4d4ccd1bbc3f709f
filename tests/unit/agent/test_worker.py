"""A thread for calls that may hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from carbonzeus_agent.worker import Worker

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock


async def test_requests_join_what_is_queued_but_not_what_runs(clock: FakeClock) -> None:
    """However often one asks while a call hangs, one run follows, and it begins after the asking."""
    gate, begun = threading.Event(), threading.Event()
    runs: list[None] = []

    def job(answer: Callable[[int], None]) -> None:
        runs.append(None)
        begun.set()
        gate.wait()
        answer(len(runs))

    worker: Worker[int] = Worker("test", job, clock)
    first = worker.request()
    await asyncio.to_thread(begun.wait)
    second, third = worker.request(), worker.request()
    assert second is third
    assert second is not first
    assert worker.wanted
    gate.set()
    assert [await first, await second] == [1, 2]
    worker.stop()


async def test_hung_call_shows_and_holds_nobody(clock: FakeClock) -> None:
    """Who waits with a limit goes on; how long the call hangs can be read."""
    gate, begun = threading.Event(), threading.Event()

    def job(answer: Callable[[None], None]) -> None:
        begun.set()
        gate.wait()
        answer(None)

    worker: Worker[None] = Worker("test", job, clock)
    visit = worker.request()
    await asyncio.to_thread(begun.wait)
    clock.advance(7)
    done, _ = await asyncio.wait([visit], timeout=0.01)
    assert not done
    assert worker.busy_s == 7
    gate.set()
    await visit
    worker.stop()


async def test_error_of_the_job_reaches_who_waits(clock: FakeClock) -> None:
    """And the thread goes on."""
    results = iter([ValueError("bad"), None])

    def job(answer: Callable[[str], None]) -> None:
        if (error := next(results)) is not None:
            raise error
        answer("fine")

    worker: Worker[str] = Worker("test", job, clock)
    with pytest.raises(ValueError, match="bad"):
        await worker.request()
    assert await worker.request() == "fine"
    worker.stop()


async def test_answer_does_not_wait_for_what_the_job_does_next(clock: FakeClock) -> None:
    """Who asked goes on while the thread is still at it; what comes later is told."""
    gate, heard = threading.Event(), asyncio.Event()

    def job(answer: Callable[[str], None]) -> None:
        answer("settled")
        gate.wait()
        worker.tell(heard.set)

    worker: Worker[str] = Worker("test", job, clock)
    assert await worker.request() == "settled"
    assert not heard.is_set()
    gate.set()
    await heard.wait()
    worker.stop()
