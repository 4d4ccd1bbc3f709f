"""One GPU at its post: a worker thread that settles its limit and reads it, and what is known of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from carbonzeus_agent.actuator import Actuator, Settled
from carbonzeus_agent.clock import Clock
from carbonzeus_agent.driver import Board, Driver, DriverError, DriverFault, GpuLost, NvmlUnavailable
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.plans import RELEASE, Aim
from carbonzeus_agent.records import Sample
from carbonzeus_agent.worker import Worker
from carbonzeus_wire import Outcome, Override, RefusalReason

log = logging.getLogger(__name__)

OVERRIDE_SHOWN_S = 60.0
LOOK_EVERY_S = 0.005
LOOKS = 30
"""Boards move their counter every 20 to 100 ms; one that stands still for longer is read as it is."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of settling the limit: one of `settled` and `error` is there."""

    aim: Aim = RELEASE
    settled: Settled | None = None
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


@dataclass(frozen=True, slots=True)
class _Edge:
    """The counter moved to `energy_mj` just then."""

    at: datetime
    boot_s: float
    energy_mj: int

    def power_to(self, later: _Edge) -> float:
        """Mean power between two edges [W]."""
        return (later.energy_mj - self.energy_mj) / (later.boot_s - self.boot_s) / 1000


class Post:
    """One GPU. Everything but `_visit` runs on the event loop.

    `aim` is asked at every visit, in the worker thread and at the moment the visit starts; `on_visit` and then `on_sample`
    are told, on the event loop, what came back.
    """

    def __init__(
        self,
        board: Board,
        driver: Driver,
        journal: Journal,
        clock: Clock,
        aim: Callable[[], Aim],
        on_visit: Callable[[Post, Visit], None],
        on_sample: Callable[[Post, Sample], None],
        *,
        yields: bool = False,
    ) -> None:
        self.board = board
        self.latest: Visit | None = None
        """The newest visit that came back."""
        self.sample: Sample | None = None
        """The newest reading."""
        self._driver = driver
        self._clock = clock
        self._aim = aim
        self._on_visit = on_visit
        self._on_sample = on_sample
        self._actuator = Actuator(board, driver, journal, clock, yields=yields)
        self._worker: Worker[Visit] = Worker(f"gpu-{board.uuid[-8:]}", self._visit, clock)
        self._asked: asyncio.Future[Visit] | None = None
        self._sharp = True
        self._settled: Settled | None = None
        self._unread: DriverError | None = None
        self._foreign: tuple[float, str] | None = None
        """What somebody else last set [W], and what became of it."""
        self._foreign_s = 0.0
        """When that was found, on the boot clock."""

    @property
    def uuid(self) -> str:
        return self.board.uuid

    def request(self, *, sharp: bool = False) -> asyncio.Future[Visit]:
        """Settle the limit soon, and then read the GPU. The future, which is shared, is there when the limit is settled.

        `sharp`: a record ends about now, so wait for the counter to move, unless another visit is wanted meanwhile.
        """
        self._sharp = self._sharp or sharp
        future = self._worker.request()
        if future is not self._asked:
            self._asked = future
            future.add_done_callback(self._came_back)
        return future

    def tick(self, *, sharp: bool) -> None:
        """Time for a sample, unless a visit is under way."""
        self._sharp = self._sharp or sharp
        if not self._worker.busy_s:
            self.request()

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

    @property
    def override(self) -> Override | None:
        """What somebody else set under a plan, while it is left so or for a minute."""
        settled = self._settled
        if settled is not None and settled.yielded and settled.limit_w is not None:
            return Override(limit_watts=settled.limit_w, yielded=True, message=settled.message)
        if self._foreign is None or self._clock.boot_s() - self._foreign_s >= OVERRIDE_SHOWN_S:
            return None
        foreign_w, what = self._foreign
        message = (
            f"somebody else set {foreign_w:g} W within the last minute; {what}. "
            "Find out who sets limits on this node, or set agent.settings.foreignWrites to Yield"
        )
        return Override(limit_watts=foreign_w, yielded=False, message=message)

    def faults(self, hung_after_s: float) -> tuple[Fault, ...]:
        """What is wrong with this GPU now."""
        faults: list[Fault] = []
        busy_s = self._worker.busy_s
        if busy_s > hung_after_s:
            faults.append(Fault("Hung", f"a driver call has not come back for {busy_s:.0f} s"))
        elif self.latest is not None:
            faults += _faults_of(self.latest, self._unread)
        if self.override is not None:
            faults.append(Fault(str(RefusalReason.LIMIT_OVERRIDDEN), self.override.message, disables=False))
        if self.board.persistent is False:
            failure = self.board.persistence_failure
            why = "" if failure is None else f"; switching it on failed: {failure}"
            told = f"the driver forgets the limit when nobody uses the GPU{why}"
            faults.append(Fault("PersistenceOff", told, disables=False))
        return tuple(faults)

    def stop(self) -> None:
        self._worker.stop()

    def _visit(self, answer: Callable[[Visit], None]) -> None:
        """In the worker thread."""
        aim = self._aim()
        try:
            settled = self._actuator.settle(aim)
        except DriverError as error:
            answer(Visit(aim, error=error))
            return
        answer(Visit(aim, settled))
        try:
            sample = self._sample(settled)
        except DriverError as error:
            self._worker.tell(partial(self._not_read, error))
        else:
            self._worker.tell(partial(self._read, sample))

    def _sample(self, settled: Settled) -> Sample:
        """Read the GPU; where a record ends, at the moment the counter moves, at which it is true."""
        sharp, self._sharp = self._sharp or settled.written_at is not None, False
        reading = self._driver.read(self.uuid)
        at, boot_s = self._clock.utc(), self._clock.boot_s()
        sample = Sample(at, boot_s, settled.limit_w, reading, limit_since=settled.written_at)
        if not sharp or sample.reading.energy_mj is None:
            return sample
        first = self._edge(sample.reading.energy_mj)
        if first is None:
            return sample
        second = self._edge(first.energy_mj)
        reading = self._driver.read(self.uuid)
        # The power shown may be a mean over the second before; two edges say what the board draws now.
        power_w = reading.power_w if second is None else first.power_to(second)
        reading = replace(reading, energy_mj=first.energy_mj)
        return replace(sample, at=first.at, boot_s=first.boot_s, reading=reading, edge_w=power_w)

    def _edge(self, stale_mj: int) -> _Edge | None:
        """Wait for the counter to leave `stale_mj`; None if it does not, or if another visit is wanted.

        The very first reading is never cut short: everything is reckoned from it.
        """
        for _ in range(LOOKS):
            if self._worker.wanted and self.sample is not None:
                return None
            before_s = self._clock.boot_s()
            time.sleep(LOOK_EVERY_S)
            energy_mj = self._driver.energy_mj(self.uuid)
            if energy_mj != stale_mj:
                at, boot_s = self._clock.utc(), self._clock.boot_s()
                half_s = (boot_s - before_s) / 2
                return _Edge(at - timedelta(seconds=half_s), boot_s - half_s, energy_mj)
        return None

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
            if visit.settled.foreign_w is not None:
                again = visit.settled.written_at is not None
                what = "the plan's limit was set again" if again else "it is left so, and no plan goes above it"
                self._foreign, self._foreign_s = (visit.settled.foreign_w, what), self._clock.boot_s()
        self._on_visit(self, visit)

    def _read(self, sample: Sample) -> None:
        self.sample, self._unread = sample, None
        self._on_sample(self, sample)

    def _not_read(self, error: DriverError) -> None:
        self._unread = error


def _faults_of(visit: Visit, unread: DriverError | None) -> list[Fault]:
    error = visit.error or unread
    if isinstance(error, GpuLost):
        return [Fault("GPULost", str(error))]
    if isinstance(error, NvmlUnavailable):
        return [Fault("NvmlUnavailable", str(error))]
    if error is not None:
        return [Fault("DriverFault", str(error))]
    settled = visit.settled
    if settled is None or settled.outcome is not Outcome.FAULT or settled.refusal is RefusalReason.NOT_SUPPORTED:
        return []
    if settled.yielded:
        return []  # not a limit that would not take
    return [Fault(str(settled.refusal or "LimitNotTaken"), settled.message)]
