"""Counts a training's steps, and tells the count to the node agent."""

from __future__ import annotations

import operator
import os
from time import perf_counter_ns
from types import TracebackType
from typing import ClassVar

from carbonzeus.endpoint import PATH, Endpoint
from carbonzeus.notice import log, warn
from carbonzeus.pace import Marks, thousandths, unmarked
from carbonzeus.rank import counts_here

METRIC = "train_steps_total"
"""The counter's name."""
PORT = 9100
"""Where it is served unless told otherwise."""


class Progress:
    """The steps of one training, from 0, whether it begins anew or goes on from a checkpoint.

    Served from `start` to `close`, or inside of `with`. What cannot be served is told in one warning, and the training goes
    on: no method raises, and `step` costs far less than a microsecond. A process serves one count, the one started last.
    Of a job's processes one serves; in the others this counts for nobody.

    What is served tells the step under way, too, once two have ended: `123.470` is 123 steps and 47 % of the time that the
    next one is expected to take, which waits at `124.000` for its end. It never falls. Nobody knows of a training that it
    made its last step until it is closed, or has made `total_steps`; until then one more is under way. After `close` none
    is: when it is started again, what was told last stands until the steps done have reached it.

    The environment variable CARBONZEUS_PORT has precedence over `port`; CARBONZEUS_DISABLED=1 serves nothing.
    """

    __slots__ = ("_endpoint", "_marks", "_port", "_told", "_total_steps")

    _served: ClassVar[Progress | None] = None
    """The one that this process serves."""

    def __init__(self, total_steps: int | None = None, *, port: int = PORT) -> None:
        """`total_steps`: how many this process will make, where that is known. `annotation` tells it, and after it none is under way."""
        self._endpoint: Endpoint | None = None
        self._marks: Marks = unmarked(0)
        """One value that `step` replaces: what the endpoint's thread reads of it belongs together."""
        self._port = port
        self._told = 0
        """Thousandths of steps. Of the endpoint's thread."""
        self._total_steps = total_steps if isinstance(total_steps, int) and total_steps > 0 else None

    @property
    def annotation(self) -> str:
        """What the job's annotation `carbonzeus.dev/progress` says when it says the same."""
        port = self._endpoint.port if self._endpoint is not None else self._wanted_port()
        total = f",total={self._total_steps}" if self._total_steps is not None else ""
        return f"port={port},path={PATH},metric={METRIC}{total}"

    def step(self, steps: int = 1) -> None:
        """So many steps are done. From one thread only."""
        if steps.__class__ is not int or steps < 1:
            steps = _whole(steps)
            if not steps:
                return
        done, end_ns, done_1, end_1_ns, _, _ = self._marks
        self._marks = (done + steps, perf_counter_ns(), done, end_ns, done_1, end_1_ns)

    def start(self) -> Progress:
        """Serve the count from now on; where another one of this process is served, instead of that. Returns itself."""
        if Progress._served is self or os.environ.get("CARBONZEUS_DISABLED", "0") not in {"", "0"} or not counts_here():
            return self
        if Progress._served is not None:
            Progress._served.close()
        self._marks = unmarked(self._done)
        try:
            self._endpoint = Endpoint(int(self._wanted_port()), self._text)
        except (OSError, RuntimeError, ValueError) as error:
            warn(
                "training goes on, but its steps cannot be told: port %s: %s. Set CARBONZEUS_PORT to a free port, and the"
                " port of the annotation carbonzeus.dev/progress to the same",
                self._wanted_port(),
                error,
            )
            return self
        Progress._served = self
        log.info("training steps are told by carbonzeus.dev/progress: %r", self.annotation)
        return self

    def close(self) -> None:
        """Serve it no longer. It may be started again, and then goes on from where it is."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None
        if Progress._served is self:
            Progress._served = None

    def __enter__(self) -> Progress:  # noqa: PYI034 - Self came with Python 3.11
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> tuple[int, int, int, int | None]:
        """A copy in another process counts on its own, and is not served until it is started there. Clocks differ, too."""
        return self._done, self._told, self._port, self._total_steps

    def __setstate__(self, state: tuple[int, int, int, int | None]) -> None:
        done, self._told, self._port, self._total_steps = state
        self._marks = unmarked(done)
        self._endpoint = None

    @property
    def _done(self) -> int:
        return self._marks[0]

    def _wanted_port(self) -> str:
        """As the environment or the script says it, which may be no port at all."""
        return os.environ.get("CARBONZEUS_PORT") or str(self._port)

    def _text(self) -> str:
        marks = self._marks  # before the clock is read: they are not of later
        self._told = max(self._told, thousandths(marks, perf_counter_ns(), self._total_steps))
        steps, parts = divmod(self._told, 1000)
        return (
            f"# HELP {METRIC} Training steps done, and the part of the next one's time that has passed.\n"
            f"# TYPE {METRIC} counter\n{METRIC} {steps}.{parts:03d}\n"
        )

    def _lose(self) -> None:
        if self._endpoint is not None:
            self._endpoint.abandon()
            self._endpoint = None

    @classmethod
    def _forked(cls) -> None:
        """In a child: the count and its port are the parent's."""
        served, cls._served = cls._served, None
        if served is not None:
            served._lose()  # noqa: SLF001 - it is one of us


def _whole(steps: object) -> int:
    """What is no count of steps is none, and no reason to end a training."""
    try:
        number = operator.index(steps)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        number = -1
    if number < 0:
        warn("step(%r) is not counted: it is not a whole number of steps from 0", steps)
        return 0
    return number


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Progress._forked)  # noqa: SLF001 - nobody else's business
