"""A wall clock that one process alone sees, and that tests set: bed/clock/clock.c, preloaded."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from carbonzeus_bed.gpus import compile_library

_SOURCE = Path(__file__).parent.parent / "clock" / "clock.c"


class WrongClock:
    """Start a process with `environment`; from then on `set` sets its clock. It begins right."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "clock.bin"
        path.write_bytes(struct.pack("q", 0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        library = compile_library(folder / "libclock.so", [_SOURCE])
        self.environment = {"LD_PRELOAD": str(library), "CARBONZEUS_EMULATED_CLOCK": str(path)}

    def set(self, offset_s: float) -> None:
        """From now on it is so far ahead of the true one."""
        self._memory[:] = struct.pack("q", round(offset_s * 1e9))
