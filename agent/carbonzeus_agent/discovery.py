"""Which GPUs the driver lists: asked off the event loop, because listing may hang as any other call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from carbonzeus_agent.clock import Clock
from carbonzeus_agent.driver import Board, Driver, DriverError
from carbonzeus_agent.worker import Worker

log = logging.getLogger(__name__)

EVERY_S = 30.0


class Discovery:
    """Looks for GPUs that came, or came back; those that went are noticed by their own visits.

    Where asked to, it switches their persistence mode on: once after each load of the driver, so that whoever switches it off
    later has the last word.
    """

    def __init__(self, driver: Driver, clock: Clock, patience_s: float, *, persistence: bool = False) -> None:
        self.failure: str | None = "not asked yet"
        """Why not all GPUs can be listed; None while they can."""
        self._driver = driver
        self._clock = clock
        self._patience_s = patience_s
        self._persistence = persistence
        self._persisted: dict[str, int] = {}
        """The load of the driver since which persistence mode has been on, by GPU."""
        self._loads = 0
        self._worker: Worker[tuple[list[Board], list[str]]] = Worker("discovery", self._list, clock)
        self._done_s: float | None = None

    @property
    def due(self) -> bool:
        if self._done_s is None or self._driver.loads != self._loads:
            return True
        return self._clock.boot_s() - self._done_s >= EVERY_S

    async def look(self) -> list[Board]:
        """The boards that say what they are; none where the driver does not answer in time."""
        hung_s = self._worker.busy_s
        if hung_s:
            self.failure = f"listing the GPUs has not come back for {hung_s:.0f} s"
            return []
        search = self._worker.request()
        done, _ = await asyncio.wait([search], timeout=self._patience_s)
        if not done:
            return []
        boards: list[Board] = []
        try:
            boards, problems = search.result()
        except DriverError as error:
            problems = [str(error)]
        else:
            self._done_s = self._clock.boot_s()
            self._loads = self._driver.loads
        failure = "; ".join(problems) or None
        if failure is not None and failure != self.failure:
            log.warning("not all GPUs can be listed: %s", failure)
        self.failure = failure
        return boards

    def stop(self) -> None:
        self._worker.stop()

    def _list(self, answer: Callable[[tuple[list[Board], list[str]]], None]) -> None:
        """In the thread: the boards, and what is wrong with those that do not say what they are."""
        boards: list[Board] = []
        problems: list[str] = []
        for gpu in self._driver.uuids():
            try:
                boards.append(self._persist(self._driver.board(gpu)))
            except DriverError as error:
                problems.append(str(error))
        answer((boards, problems))

    def _persist(self, board: Board) -> Board:
        """In the thread: with persistence mode on, if we are to see to it and can."""
        loads = self._driver.loads
        if not self._persistence or self._persisted.get(board.uuid) == loads:
            return board
        failure = "the driver said yes, and it stayed off"
        if board.persistent is False:
            try:
                self._driver.enable_persistence(board.uuid)
                board = self._driver.board(board.uuid)
            except DriverError as error:
                failure = str(error)
        if board.persistent is False:
            log.warning("%s: persistence mode is off: %s", board.uuid, failure)
            return replace(board, persistence_failure=failure)
        self._persisted[board.uuid] = loads
        return board
