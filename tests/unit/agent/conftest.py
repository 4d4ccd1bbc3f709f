"""Clocks that tests turn, and a driver that does what it is told."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_agent.actuator import Actuator
from carbonzeus_agent.driver import Board, DriverError, Reading
from carbonzeus_agent.journal import Journal
from tests.unit.agent.samples import BOARD

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class FakeClock:
    """Both clocks go together, unless somebody sets the one of the wall."""

    def __init__(self) -> None:
        self.now = NOON
        self.boot = 1000.0

    def utc(self) -> datetime:
        return self.now

    def boot_s(self) -> float:
        return self.boot

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.boot += seconds

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.now += timedelta(seconds=seconds)


class FakeDriver:
    """Boards of 100 to 300 W. Errors by GPU or for all, sets that are ignored, calls that wait."""

    def __init__(self, *gpus: str) -> None:
        self.gpus = list(gpus)
        self.loads = 1
        self.persistent: dict[str, bool | None] = dict.fromkeys(gpus, True)
        self.persistence_asked: list[str] = []
        self.persistence_error: DriverError | None = None
        self.limits = dict.fromkeys(gpus, 300.0)
        self.energy = dict.fromkeys(gpus, 5_000_000)
        self.writes: list[tuple[str, float]] = []
        self.set_error: DriverError | None = None
        self.errors: dict[str, DriverError] = {}
        self.ignores = False
        self.rounds_to_w: float | None = None
        self.gates: dict[str, threading.Event] = defaultdict(_open_gate)

    def uuids(self) -> tuple[str, ...]:
        if "all" in self.errors:
            raise self.errors["all"]
        return tuple(self.gpus)

    def board(self, uuid: str) -> Board:
        self._ask(uuid)
        return replace(board(uuid), persistent=self.persistent[uuid])

    def enable_persistence(self, uuid: str) -> None:
        self.persistence_asked.append(uuid)
        if self.persistence_error is not None:
            raise self.persistence_error
        if not self.ignores:
            self.persistent[uuid] = True

    def limit_w(self, uuid: str) -> float:
        self._ask(uuid)
        return self.limits[uuid]

    def set_limit_w(self, uuid: str, limit_w: float) -> None:
        self._ask(uuid)
        self.writes.append((uuid, limit_w))
        if self.set_error is not None:
            raise self.set_error
        if not self.ignores:
            self.limits[uuid] = limit_w if self.rounds_to_w is None else limit_w // self.rounds_to_w * self.rounds_to_w

    def energy_mj(self, uuid: str) -> int:
        self._ask(uuid)
        self.energy[uuid] += 1000
        return self.energy[uuid]

    def read(self, uuid: str) -> Reading:
        return Reading(self.energy_mj(uuid), 100.0, 1400.0, 7000.0, 1.0)

    def _ask(self, uuid: str) -> None:
        self.gates[uuid].wait()
        if uuid in self.errors:
            raise self.errors[uuid]


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


def board(uuid: str) -> Board:
    return Board(uuid, "Fake A40", 300.0, 100.0, 300.0, mig=False)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def driver() -> FakeDriver:
    """One GPU."""
    return FakeDriver("GPU-1")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def make_clock() -> type[FakeClock]:
    return FakeClock


@pytest.fixture
def make_driver() -> type[FakeDriver]:
    return FakeDriver


@pytest.fixture
def actuator(driver: FakeDriver, journal: Journal, clock: FakeClock) -> Actuator:
    return Actuator(BOARD, driver, journal, clock)
