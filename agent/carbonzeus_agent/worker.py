"""A thread for calls that may hang: whoever waits for one waits as long as they like, and nobody else waits at all."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from carbonzeus_agent.clock import Clock

T = TypeVar("T")


class Worker(Generic[T]):
    """Runs one job, on request, in a thread of its own.

    A request joins one that is queued already, but not one that has begun: its job may have looked at the world before the
    request was made. So at most one run is under way and one queued, however long a call hangs.

    The job gets a function to answer with, once, and may go on after that; what it has to say later it says through `tell`.
    """

    def __init__(self, name: str, job: Callable[[Callable[[T], None]], None], clock: Clock) -> None:
        self._job = job
        self._clock = clock
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queued: asyncio.Future[T] | None = None
        self._orders: queue.SimpleQueue[asyncio.Future[T] | None] = queue.SimpleQueue()
        self._since_s: float | None = None
        # A daemon: a call that never comes back must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def request(self) -> asyncio.Future[T]:
        """Run the job soon; the future is its answer. It is shared: wait for it, but do not cancel it."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            if self._queued is None:
                self._queued = self._loop.create_future()
                self._orders.put(self._queued)
            return self._queued

    def tell(self, hear: Callable[[], None]) -> None:
        """From within the job: have the event loop call `hear`."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens any more
            self._loop.call_soon_threadsafe(hear)

    @property
    def wanted(self) -> bool:
        """Whether another run is asked for already."""
        return self._queued is not None

    @property
    def busy_s(self) -> float:
        """For how long the present run has been going on [s]; 0 when idle."""
        since_s = self._since_s
        return 0.0 if since_s is None else self._clock.boot_s() - since_s

    def stop(self) -> None:
        """End the thread after the run under way."""
        self._orders.put(None)

    def _run(self) -> None:
        while (future := self._orders.get()) is not None:
            with self._lock:
                self._queued = None
            self._since_s = self._clock.boot_s()
            try:
                self._job(self._answer(future))
            except Exception as error:  # noqa: BLE001 - whoever awaits the future gets it
                self._fail(future, error)
            self._since_s = None

    def _answer(self, future: asyncio.Future[T]) -> Callable[[T], None]:
        def answer(result: T) -> None:
            self.tell(lambda: None if future.done() else future.set_result(result))

        return answer

    def _fail(self, future: asyncio.Future[T], error: Exception) -> None:
        self.tell(lambda: None if future.done() else future.set_exception(error))
