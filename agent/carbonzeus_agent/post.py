"""One GPU at its post: a worker thread that settles its limit and reads it, and the records built from that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbonzeus_agent.actuator import RELEASE, Actuator, Aim, Settled
from carbonzeus_agent.builder import RecordBuilder
from carbonzeus_agent.clock import Clock
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.nvml import Board, Driver, DriverError, GpuLost, NvmlUnavailable
from carbonzeus_agent.records import Closed, Sample
from carbonzeus_agent.settings import Settings
from carbonzeus_agent.worker import Worker
from carbonzeus_wire import Outcome, RefusalReason

BLINKS = 5
"""A hole of so many samples is still a blink."""
OVERRIDE_SHOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What one run of the worker found."""

    aim: Aim
    settled: Settled | None = None
    samples: tuple[Sample, ...] = ()
    error: DriverError | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a GPU, for people and for readiness."""

    reason: str
    message: str
    disables: bool = True
    """The agent cannot read this GPU or cannot set its limit."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Post:
    """One GPU. Everything but `_visit` runs on the event loop."""

    def __init__(self, board: Board, driver: Driver, journal: Journal, clock: Clock, settings: Settings) -> None:
        self.board = board
        self.latest: Visit | None = None
        """The newest visit that came back."""
        self._driver = driver
        self._clock = clock
        self._nvml_s = settings.nvml_seconds
        self._aim: Callable[[], Aim] = lambda: RELEASE
        self._actuator = Actuator(board, driver, journal, clock)
        self._worker = Worker(f"gpu-{board.uuid[-12:]}", self._visit, clock)
        self._overridden_s: float | None = None
        self.builder = RecordBuilder(
            board.uuid,
            every=timedelta(seconds=settings.record_seconds),
            bridge_s=max(settings.record_seconds, 2 * BLINKS * settings.sample_seconds),
            blink_s=BLINKS * settings.sample_seconds,
            ceiling_w=2 * (board.maximum_limit_w or 1000.0),
        )

    @property
    def uuid(self) -> str:
        return self.board.uuid

    def follow(self, aim: Callable[[], Aim]) -> None:
        """Ask `aim` at every visit, in the worker thread and at the moment it starts, what the limit shall be."""
        self._aim = aim

    def request(self) -> asyncio.Future[Visit]:
        """Settle the limit and read the GPU soon; the visit is also for `take`."""
        return self._worker.request()

    def take(self, visit: Visit) -> list[Closed]:
        """Note what a visit found; returns the records that it closed."""
        self.latest = visit
        if visit.settled is not None and visit.settled.overridden:
            self._overridden_s = self._clock.boot_s()
        return [closed for sample in visit.samples for closed in self.builder.observe(sample)]

    def advance(self, now: datetime) -> list[Closed]:
        """Close what a silent GPU leaves open."""
        return self.builder.advance(now, self._clock.boot_s())

    @property
    def hung(self) -> bool:
        """A driver call has not come back in time."""
        return self._worker.busy_s > self._nvml_s

    @property
    def busy_s(self) -> float:
        return self._worker.busy_s

    @property
    def limit_w(self) -> float | None:
        """The limit last read [W]."""
        return self.latest.settled.limit_w if self.latest is not None and self.latest.settled is not None else None

    @property
    def reference_w(self) -> float | None:
        return self.latest.settled.reference_w if self.latest is not None and self.latest.settled is not None else None

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with this GPU now."""
        faults: list[Fault] = []
        if self.hung:
            faults.append(Fault("Hung", f"a driver call has not come back for {self._worker.busy_s:.0f} s"))
        if self.latest is not None:
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
