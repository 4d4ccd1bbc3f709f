"""The limit of one GPU: what it should be, written when it differs, read back, and given back in the end.

Runs in the GPU's own worker thread. Nothing is written before the journal holds the prior limit; a limit that somebody else
has set is never overwritten by a restore, and, where asked to yield, by no plan of the same pod either.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from carbonzeus_agent.clock import Clock
from carbonzeus_agent.driver import Board, Driver, DriverError, GpuLost, NoPermission, NotSupported
from carbonzeus_agent.journal import TOLERANCE_W, Entry, Journal, JournalFailed, same
from carbonzeus_agent.plans import Aim
from carbonzeus_wire import Outcome, RefusalReason

log = logging.getLogger(__name__)

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""How long a failed write waits for the next try."""
MANY = 64
"""An entry that names more limits than this is cut down to those that can still be on the board."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of an aim."""

    limit_w: float | None
    """As read from the board; None where it does not tell."""
    reference_w: float | None
    outcome: Outcome = Outcome.APPLIED
    refusal: RefusalReason | None = None
    message: str = ""
    written_at: datetime | None = None
    """When the board was told a new limit, if it was."""
    foreign_w: float | None = None
    """The limit that somebody else had set since our last write, if they had."""
    yielded: bool = False
    """The limit is left to somebody else."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A write that failed, kept until it is tried again."""

    wanted_w: float
    tries: int
    retry_at_s: float
    refusal: RefusalReason | None
    message: str


class Actuator:
    """Holds one GPU at its aim; `settle` is called again and again."""

    def __init__(self, board: Board, driver: Driver, journal: Journal, clock: Clock, *, yields: bool = False) -> None:
        self._board = board
        self._driver = driver
        self._journal = journal
        self._clock = clock
        self._yields = yields
        self._under: str | None = None
        """The pod under whose plan somebody else has set a limit that is left so."""
        self._loads = driver.loads
        """Of the driver at our last write."""
        self._written_w: float | None = None
        """What the board showed after our last write; None before the first one of this process."""
        self._attempted_w: float | None = None
        """What a write asked for that said it failed: it may have taken all the same."""
        self._failure: _Failure | None = None

    def settle(self, aim: Aim) -> Settled:
        """Bring the limit to the aim if it is not there. Raises `DriverError` where the GPU does not even answer."""
        try:
            current_w = self._driver.limit_w(self._board.uuid)
        except NotSupported as error:
            return Settled(None, None, Outcome.FAULT, RefusalReason.NOT_SUPPORTED, str(error))
        entry = self._journal.entry(self._board.uuid)
        self._under = self._under or self._journal.yielded(self._board.uuid)
        try:
            if self._under is not None and not aim.unheard and not (self._yields and aim.pod_uid == self._under):
                self._journal.end_yield(self._board.uuid)
                self._under = None
            if aim.planned and self._yields and (self._under is not None or self._taken(current_w, entry)):
                return self._yield(aim, current_w)
            return self._follow(aim, current_w, entry) if aim.planned else self._release(current_w, entry)
        except JournalFailed as error:
            return self._without_journal(current_w, entry, str(error))

    def _follow(self, aim: Aim, current_w: float, entry: Entry | None) -> Settled:
        adopted = (
            entry is not None and self._foreign(current_w, entry) and (self._written_w is None or aim.limit_w is None)
        )
        if adopted:
            # Somebody else set it while the plan wanted nothing of its own: that is the limit to come back to.
            entry, self._written_w, self._attempted_w = None, None, None
        reference_w = entry.prior_w if entry is not None else current_w
        default_w = self._board.default_limit_w
        if (
            entry is None
            and self._journal.lost is not None
            and default_w is not None
            and current_w < default_w - TOLERANCE_W
        ):
            why = f"{self._journal.lost}; found at {current_w:g} W, below its default of {default_w:g} W: set the limit it shall have and start the agent anew"
            return Settled(current_w, current_w, Outcome.FAULT, RefusalReason.JOURNAL_FAILED, why)
        wanted_w, clamped = reference_w, False
        if aim.limit_w is not None:
            wanted_w = self._clamp(aim.limit_w, reference_w)
            clamped = not same(wanted_w, aim.limit_w)
        self._name_ours(reference_w, {self._clamp(limit_w, reference_w) for limit_w in aim.ahead_w}, entry)
        outcome = Outcome.CLAMPED if clamped else Outcome.APPLIED
        message = f"the board and the reference limit of {reference_w:g} W allow {wanted_w:g} W" if clamped else ""
        if same(current_w, wanted_w):
            self._failure = None
            return Settled(current_w, reference_w, outcome, message=message, foreign_w=current_w if adopted else None)
        return self._write(wanted_w, current_w, reference_w, outcome, message)

    def _yield(self, aim: Aim, current_w: float) -> Settled:
        """Leave the GPU to whoever has set its limit, also when the plan ends: there is nothing of ours to give back."""
        new, self._under = self._under is None, aim.pod_uid
        why = (
            f"somebody else set {current_w:g} W under the plan; left so until the pod ends or its lease does. "
            "To have the plan followed, keep others from setting limits, or set agent.settings.foreignWrites to Reassert"
        )
        if new:
            log.warning("%s: LimitOverridden: %s", self._board.uuid, why)
        self._journal.note_yield(self._board.uuid, aim.pod_uid)
        self._written_w = self._attempted_w = self._failure = None
        foreign_w = current_w if new else None
        refusal = RefusalReason.LIMIT_OVERRIDDEN
        return Settled(current_w, current_w, Outcome.FAULT, refusal, why, foreign_w=foreign_w, yielded=True)

    def _name_ours(self, reference_w: float, ahead_w: set[float], entry: Entry | None) -> None:
        """Have the journal name the prior limit and all that the plan may write, before any of it is written."""
        if entry is not None:
            known_w = entry.ours_w
            if self._written_w is not None and len(known_w) > MANY:
                known_w = frozenset({self._written_w})
            ahead_w = ahead_w | known_w
        if any(not same(limit_w, reference_w) for limit_w in ahead_w):
            self._journal.keep(self._board.uuid, reference_w, ahead_w)

    def _release(self, current_w: float, entry: Entry | None) -> Settled:
        if entry is None:
            self._written_w = self._attempted_w = self._failure = None
            return Settled(current_w, current_w)
        if self._foreign(current_w, entry):
            log.warning("%s: somebody set %g W, which is not ours; left as it is", self._board.uuid, current_w)
            foreign_w = current_w if self._written_w is not None else None
            self._forget()
            return Settled(current_w, current_w, foreign_w=foreign_w)
        settled = Settled(current_w, entry.prior_w)
        if not same(current_w, entry.prior_w):
            settled = self._write(entry.prior_w, current_w, entry.prior_w, Outcome.APPLIED, "")
        if settled.outcome is Outcome.APPLIED:
            log.info("%s: given back at its prior limit of %g W", self._board.uuid, entry.prior_w)
            self._forget()
        return settled

    def _without_journal(self, current_w: float, entry: Entry | None, why: str) -> Settled:
        """Nothing new may be capped; what is capped goes back, which the old entry still allows."""
        settled = Settled(current_w, entry.prior_w if entry is not None else current_w)
        if entry is not None and not same(current_w, entry.prior_w) and not self._foreign(current_w, entry):
            settled = self._write(entry.prior_w, current_w, entry.prior_w, Outcome.APPLIED, "")
        return replace(settled, outcome=Outcome.FAULT, refusal=RefusalReason.JOURNAL_FAILED, message=why)

    def _forget(self) -> None:
        self._journal.forget(self._board.uuid)  # first: if it fails, what is ours must still be told from what is not
        self._written_w = self._attempted_w = self._failure = None

    def _taken(self, current_w: float, entry: Entry | None) -> bool:
        """Whether somebody else has set the current limit under a plan, be it to the prior one.

        Not so where the driver forgot ours: reloaded, or without persistence mode and at the default.
        """
        if entry is None or self._driver.loads != self._loads:
            return False
        if self._written_w is None:
            return self._foreign(current_w, entry)
        default_w = self._board.default_limit_w
        if self._board.persistent is False and default_w is not None and same(current_w, default_w):
            return False
        return not any(same(current_w, ours_w) for ours_w in (self._written_w, self._attempted_w) if ours_w is not None)

    def _foreign(self, current_w: float, entry: Entry) -> bool:
        """Whether somebody else has set the current limit."""
        if same(current_w, entry.prior_w):
            return False
        if self._attempted_w is not None and same(current_w, self._attempted_w):
            return False
        if self._written_w is None:  # this process wrote nothing yet: what a killed one may have left behind counts
            return not entry.is_ours(current_w)
        return not same(current_w, self._written_w)

    def _clamp(self, limit_w: float, reference_w: float) -> float:
        low_w = self._board.minimum_limit_w or 0.0
        high_w = min(self._board.maximum_limit_w or reference_w, reference_w)
        return max(min(limit_w, high_w), min(low_w, high_w))

    def _write(self, wanted_w: float, current_w: float, reference_w: float, outcome: Outcome, message: str) -> Settled:
        failure = self._failure
        now_s = self._clock.boot_s()
        if failure is not None and failure.wanted_w == wanted_w and now_s < failure.retry_at_s:
            return Settled(current_w, reference_w, Outcome.FAULT, failure.refusal, failure.message)
        foreign_w = current_w if self._written_w is not None and not same(current_w, self._written_w) else None
        self._attempted_w = wanted_w
        refusal: RefusalReason | None = None
        try:
            self._driver.set_limit_w(self._board.uuid, wanted_w)
            written_at = self._clock.utc()
            read_w = self._driver.limit_w(self._board.uuid)
        except GpuLost:
            raise
        except DriverError as error:
            read_w, problem, written_at = current_w, str(error), self._clock.utc()
            if isinstance(error, NoPermission):
                refusal = RefusalReason.NO_PERMISSION
            elif isinstance(error, NotSupported):
                refusal = RefusalReason.NOT_SUPPORTED
        else:
            problem = (
                "" if same(read_w, wanted_w) else f"set {wanted_w:g} W, the driver said yes, and it stayed {read_w:g} W"
            )
        if problem:
            tries = failure.tries + 1 if failure is not None and failure.wanted_w == wanted_w else 1
            retry_at_s = now_s + BACKOFF_S[min(tries, len(BACKOFF_S)) - 1]
            self._failure = _Failure(wanted_w, tries, retry_at_s, refusal, problem)
            log.warning("%s: %s", self._board.uuid, problem)
            return Settled(read_w, reference_w, Outcome.FAULT, refusal, problem, written_at, foreign_w)
        self._failure = None
        self._written_w, self._attempted_w, self._loads = read_w, None, self._driver.loads
        return Settled(read_w, reference_w, outcome, None, message, written_at, foreign_w)
