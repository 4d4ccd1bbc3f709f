"""One GPU at its post: a worker thread that settles its limit and reads it, and what is known of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from carbonzeus_agent.actuator import Actuator, Settled
from carbonzeus_agent.clock import Clock
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.nvml import Board, Driver, DriverError, DriverFault, GpuLost, NvmlUnavailable
from carbonzeus_agent.plans import RELEASE, Aim
from carbonzeus_agent.records import Sample
from carbonzeus_agent.worker import Worker
from carbonzeus_wire import Outcome, RefusalReason

log = logging.getLogger(__name__)

OVERRIDE_SHOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What one run of the worker found."""

    aim: Aim = RELEASE
    settled: Settled | None = None
    samples: tuple[Sample, ...] = ()
    error: DriverError | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, for people and for readiness."""

    reason: str
    """One CamelCase word."""
    message: str
    disables: bool = True
    """The agent cannot read or cannot enforce."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Post:
    """One GPU. Everything but `_visit` runs on the event loop.

    `aim` is asked at every visit, in the worker thread and at the moment the visit starts; `on_visit` is told, on the
    event loop, what came back.
    """

    def __init__(
        self,
        board: Board,
        driver: Driver,
        journal: Journal,
        clock: Clock,
        aim: Callable[[], Aim],
        on_visit: Callable[[Post, Visit], None],
    ) -> None:
        self.board = board
        self.latest: Visit | None = None
        """The newest visit that came back."""
        self._driver = driver
        self._clock = clock
        self._aim = aim
        self._on_visit = on_visit
        self._actuator = Actuator(board, driver, journal, clock)
        self._worker = Worker(f"gpu-{board.uuid[-8:]}", self._visit, clock)
        self._asked: asyncio.Future[Visit] | None = None
        self._settled: Settled | None = None
        self._overridden_s: float | None = None

    @property
    def uuid(self) -> str:
        return self.board.uuid

    def request(self) -> asyncio.Future[Visit]:
        """Settle the limit and read the GPU soon. The future is shared: wait for it, but do not cancel it."""
        future = self._worker.request()
        if future is not self._asked:
            self._asked = future
            future.add_done_callback(self._came_back)
        return future

    @property
    def busy_s(self) -> float:
        """For how long the present visit has been going on [s]."""
        return self._worker.busy_s

    @property
    def limit_w(self) -> float | None:
        """The limit last read [W]."""
        return self._settled.limit_w if self._settled is not None else None

    @property
    def reference_w(self) -> float | None:
        """The limit before our first write, or the present one where we wrote nothing [W]."""
        return self._settled.reference_w if self._settled is not None else None

    def faults(self, hung_after_s: float) -> tuple[Fault, ...]:
        """What is wrong with this GPU now."""
        faults: list[Fault] = []
        busy_s = self._worker.busy_s
        if busy_s > hung_after_s:
            faults.append(Fault("Hung", f"a driver call has not come back for {busy_s:.0f} s"))
        elif self.latest is not None:
            faults += _faults_of(self.latest)
        if self._overridden_s is not None and self._clock.boot_s() - self._overridden_s < OVERRIDE_SHOWN_S:
            faults.append(
                Fault("LimitOverridden", "somebody else set the limit within the last minute", disables=False)
            )
        return tuple(faults)

    def stop(self) -> None:
        self._worker.stop()

    def _visit(self) -> Visit:
        """In the worker thread."""
        aim = self._aim()
        settled: Settled | None = None
        samples: list[Sample] = []
        error: DriverError | None = None
        try:
            settled = self._actuator.settle(aim)
            if settled.wrote is not None:
                samples.append(settled.wrote)
            at, boot_s = self._clock.utc(), self._clock.boot_s()
            samples.append(Sample(at, boot_s, settled.limit_w, self._driver.read(self.uuid)))
        except DriverError as problem:
            error = problem
        return Visit(aim, settled, tuple(samples), error)

    def _came_back(self, future: asyncio.Future[Visit]) -> None:
        if future.cancelled():
            return
        problem = future.exception()
        if problem is None:
            visit = future.result()
        else:
            log.error("visit of %s failed", self.uuid, exc_info=problem)
            visit = Visit(error=DriverFault(f"{type(problem).__name__}: {problem}"))
        self.latest = visit
        if visit.settled is not None:
            self._settled = visit.settled
            if visit.settled.overridden:
                self._overridden_s = self._clock.boot_s()
        self._on_visit(self, visit)


def _faults_of(visit: Visit) -> list[Fault]:
    if isinstance(visit.error, GpuLost):
        return [Fault("GPULost", str(visit.error))]
    if isinstance(visit.error, NvmlUnavailable):
        return [Fault("NvmlUnavailable", str(visit.error))]
    if visit.error is not None:
        return [Fault("DriverFault", str(visit.error))]
    settled = visit.settled
    if settled is None or settled.outcome is not Outcome.FAULT or settled.refusal is RefusalReason.NOT_SUPPORTED:
        return []
    return [Fault(str(settled.refusal or "LimitNotTaken"), settled.message)]
