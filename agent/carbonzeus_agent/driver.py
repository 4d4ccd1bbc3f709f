"""What the agent asks of a driver: GPUs by UUID, in watts, millijoules and megahertz, with errors split by what they mean for us.

DriverError
├── NvmlUnavailable   no library, no driver, or it was unloaded: true for every GPU, asked again later
├── GpuLost           this GPU fell off the bus or needs a reset
├── NotSupported      this board does not do that
├── NoPermission      the process may not do that
└── DriverFault       anything else the driver says

Calls may block for seconds or for ever when a board or the driver is sick: they belong in a GPU's own worker thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from carbonzeus_wire import PowerScope


class DriverError(Exception):
    """The driver refused. The message names the call and what the driver said."""


class NvmlUnavailable(DriverError):
    """The driver or its library is not there."""


class GpuLost(DriverError):
    """The GPU is not reachable."""


class NotSupported(DriverError):
    """The board does not have this."""


class NoPermission(DriverError):
    """The process lacks the privilege."""


class DriverFault(DriverError):
    """The driver failed in another way."""


@dataclass(frozen=True, slots=True)
class Board:
    """What a GPU is. Limits in watts and of the GPU alone, also where it shares a module; None where the board does not tell."""

    uuid: str
    product: str
    default_limit_w: float | None
    minimum_limit_w: float | None
    maximum_limit_w: float | None
    minor: int | None = None
    """N of its device file `/dev/nvidiaN`; not the index in the driver's order, which may change."""
    mig: bool = False
    """MIG mode is on: the power limit is shared by its instances."""
    counter_scope: PowerScope | None = PowerScope.GPU
    """What the energy counter counts; None where there is none."""
    foreign_limits: str | None = None
    """Why the limits are not those of the GPU alone, where they are not."""
    persistent: bool | None = None
    """Persistence mode: without it the driver lets go of a board that nobody uses, and forgets its limit."""
    persistence_failure: str | None = None
    """Why it could not be switched on, where the agent was asked to."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a GPU shows right now, of the GPU alone; None where the board does not tell."""

    energy_mj: int | None
    power_w: float | None
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    utilization: float | None
    """Share of the last moments in which a kernel ran, in [0, 1]."""


def by_minor(boards: Iterable[Board]) -> dict[int, str]:
    """GPUs by their minor numbers. A number that two bear, as when one was replaced, is left out: nobody knows which is meant."""
    found: dict[int, str] = {}
    twice: set[int] = set()
    for board in boards:
        if board.minor is not None:
            twice |= {board.minor} & found.keys()
            found[board.minor] = board.uuid
    return {minor: gpu for minor, gpu in found.items() if minor not in twice}


class Driver(Protocol):
    """What the agent asks of a driver; `Nvml` is the real one."""

    @property
    def loads(self) -> int:
        """Counts how often the driver was found anew: it rises when it was reloaded, and has forgotten what was set."""

    def uuids(self) -> tuple[str, ...]: ...
    def board(self, uuid: str) -> Board: ...
    def limit_w(self, uuid: str) -> float: ...
    def set_limit_w(self, uuid: str, limit_w: float) -> None: ...
    def enable_persistence(self, uuid: str) -> None: ...
    def energy_mj(self, uuid: str) -> int: ...
    def read(self, uuid: str) -> Reading: ...
