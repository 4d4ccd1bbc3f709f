"""The emulated boards of a node as Python sees them: the state file that libnvidia-ml.so.1 answers from.

The layout is that of bed/nvml/state.h. Every field has one kind of writer and is aligned, and ctypes stores it with one
machine store, so that no reader of another process sees half a value.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Self

from carbonzeus_bed.physics import PRODUCTS

NODE_VARIABLE = "CARBONZEUS_EMULATED_NODE"
"""The environment variable by which the library finds its node's folder."""
STATE_FILE = "gpus.bin"
WRITES_FILE = "writes.log"
SPEEDS_FILE = "speeds.json"
DRIVER_VERSION = "580.95.05"

_SOURCES = Path(__file__).parent.parent / "nvml"
_MAGIC = 0x55504743
_VERSION = 1
_MAXIMUM_GPUS = 16
_UUIDS = uuid.UUID("5b1f3a57-8f6b-4d4e-9d0e-2f3c8e1a7c40")
_START_MJ = 5e9
"""Boards have been up for a while: no counter starts at zero."""


class Fault(IntFlag):
    """What can be wrong with a board; several at once if need be."""

    LOST = 1
    HUNG = 2
    SET_FAILS = 4
    SET_IGNORED = 8
    NO_COUNTER = 16


class Mig(IntEnum):
    """Multi-instance mode of a board."""

    DISABLED = 0
    ENABLED = 1
    NOT_SUPPORTED = 2


def _fields(*groups: tuple[type, str]) -> list[tuple[str, type]]:
    return [(name, kind) for kind, names in groups for name in names.split()]


class GpuState(ctypes.Structure):
    """`struct gpu` of state.h. Attributes read and write the shared memory itself."""

    uuid: bytes
    name: bytes
    minor: int
    default_limit_mw: int
    min_limit_mw: int
    max_limit_mw: int
    index: int
    faults: int
    set_error: int
    mig: int
    instantaneous: int
    companion_mw: int
    counter_base_mj: int
    persistence: int
    limit_mw: int
    limit_changed_ns: int
    tick_ns: int
    energy_mj: float
    counter_mj: int
    clock_reasons: int
    power_mw: int
    average_power_mw: int
    sm_mhz: int
    mem_mhz: int
    utilization: int
    memory_utilization: int
    temperature_c: int
    busy: int
    _fields_ = (
        ("uuid", ctypes.c_char * 48),
        ("name", ctypes.c_char * 64),
        *_fields(
            (ctypes.c_uint32, "minor architecture default_limit_mw min_limit_mw max_limit_mw"),
            (ctypes.c_uint32, "max_sm_mhz max_mem_mhz memory_mib"),
            (ctypes.c_uint32, "index faults set_error mig instantaneous companion_mw"),
            (ctypes.c_uint64, "counter_base_mj"),
            (ctypes.c_uint32, "persistence limit_mw"),
            (ctypes.c_uint64, "limit_changed_ns tick_ns"),
            (ctypes.c_double, "energy_mj"),
            (ctypes.c_uint64, "counter_mj clock_reasons"),
            (ctypes.c_uint32, "power_mw average_power_mw sm_mhz mem_mhz"),
            (ctypes.c_uint32, "utilization memory_utilization temperature_c busy"),
        ),
    )


class NodeState(ctypes.Structure):
    """`struct node` of state.h."""

    magic: int
    version: int
    gpu_count: int
    privileged: int
    driver_loaded: int
    driver_generation: int
    driver_version: bytes
    gpus: ctypes.Array[GpuState]
    _fields_ = (
        *_fields((ctypes.c_uint32, "magic version gpu_count privileged driver_loaded driver_generation")),
        ("driver_version", ctypes.c_char * 40),
        ("gpus", GpuState * _MAXIMUM_GPUS),
    )


@dataclass(frozen=True, slots=True)
class Write:
    """A line of `writes.log`: somebody called nvmlDeviceSetPowerManagementLimit."""

    at_ns: int
    """Unix time."""
    pid: int
    uuid: str
    requested_mw: int
    result: str
    """SUCCESS, the name of the NVML error, or IGNORED: success was said and nothing done."""


def gpu_uuid(node: str, index: int) -> str:
    """The UUID of the board that is made as number `index` of `node`: always the same."""
    return f"GPU-{uuid.uuid5(_UUIDS, f'{node}/{index}')}"


class Node:
    """An open state file: the boards of one node, in the order they were made in (see `GpuState.index` for NVML's)."""

    def __init__(self, folder: Path) -> None:
        """Opens what `create` made. OSError when there is nothing, ValueError when it is of another version."""
        self.folder = folder
        self.name = folder.name
        with (folder / STATE_FILE).open("r+b") as file:
            memory = mmap.mmap(file.fileno(), ctypes.sizeof(NodeState))
        self._state: NodeState | None = NodeState.from_buffer(memory)
        if self.state.magic != _MAGIC or self.state.version != _VERSION:
            self.close()
            raise ValueError(f"{folder / STATE_FILE} is of another version: stop the bed and remove the folder")

    @classmethod
    def create(cls, folder: Path, product: str, count: int) -> Node:
        """The node of this folder, made anew unless there is one with these boards already (limits and energy stay)."""
        board = PRODUCTS[product]
        if count > _MAXIMUM_GPUS:
            raise ValueError(f"{folder.name}: {count} GPUs, a node has at most {_MAXIMUM_GPUS}")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not cls._holds(folder, product, count):
                state = NodeState(
                    magic=_MAGIC,
                    version=_VERSION,
                    gpu_count=count,
                    privileged=1,
                    driver_loaded=1,
                    driver_generation=1,
                    driver_version=DRIVER_VERSION.encode(),
                )
                for index in range(count):
                    state.gpus[index] = GpuState(
                        uuid=gpu_uuid(folder.name, index).encode(),
                        name=board.name.encode(),
                        minor=index,
                        architecture=board.architecture,
                        default_limit_mw=_milli(board.default_w),
                        min_limit_mw=_milli(board.minimum_w),
                        max_limit_mw=_milli(board.maximum_w),
                        max_sm_mhz=board.sm_mhz,
                        max_mem_mhz=board.memory_mhz,
                        memory_mib=board.memory_mib,
                        index=index,
                        set_error=999,
                        mig=Mig.DISABLED if board.mig else Mig.NOT_SUPPORTED,
                        instantaneous=not board.averaged,
                        persistence=1,
                        limit_mw=_milli(board.default_w),
                        energy_mj=_START_MJ * (1 + index),
                        counter_mj=int(_START_MJ * (1 + index)),
                        power_mw=_milli(board.idle_w),
                        average_power_mw=_milli(board.idle_w),
                        temperature_c=30,
                    )
                draft = folder / f"{STATE_FILE}.new"
                draft.write_bytes(bytes(state))
                draft.rename(folder / STATE_FILE)
        return cls(folder)

    @classmethod
    def _holds(cls, folder: Path, product: str, count: int) -> bool:
        try:
            node = cls(folder)
        except (OSError, ValueError):
            return False
        same = node.state.gpu_count == count and all(gpu.name == product.encode() for gpu in node)
        node.close()
        return same

    @property
    def state(self) -> NodeState:
        """The shared memory itself."""
        if self._state is None:
            raise ValueError(f"the state of {self.folder.name} is closed")
        return self._state

    def close(self) -> None:
        """Lets go of the memory: unmapped once nobody holds a GpuState of it any more."""
        self._state = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[GpuState]:
        return (self.state.gpus[slot] for slot in range(self.state.gpu_count))

    def gpu(self, which: int | str) -> GpuState:
        """A board by the number it was made as, or by its UUID. KeyError when there is none."""
        for slot, gpu in enumerate(self):
            if which in (slot, gpu.uuid.decode()):
                return gpu
        raise KeyError(f"{self.name} has no GPU {which}")

    def uuids(self) -> list[str]:
        return [gpu.uuid.decode() for gpu in self]

    def set_privileged(self, *, privileged: bool) -> None:
        """Whether callers may set anything: False answers every set with NO_PERMISSION."""
        self.state.privileged = privileged

    def inject(self, which: int | str, fault: Fault, *, set_error: int = 999) -> None:
        """Adds `fault`; `set_error` is the NVML code that SET_FAILS answers with."""
        gpu = self.gpu(which)
        gpu.set_error = set_error
        gpu.faults |= fault

    def clear(self, which: int | str, fault: Fault | None = None) -> None:
        """Takes `fault` away, or all of them."""
        gpu = self.gpu(which)
        gpu.faults = 0 if fault is None else gpu.faults & ~fault

    def set_mig(self, which: int | str, mode: Mig) -> None:
        self.gpu(which).mig = mode

    def set_instantaneous(self, which: int | str, *, instantaneous: bool) -> None:
        """Whether the power reading is the moment's, or the mean of the last second."""
        self.gpu(which).instantaneous = instantaneous

    def set_module(self, which: int | str, companion_w: float) -> None:
        """The GPU shares a module with something that draws so much: its counter and unscoped power are the module's from now on."""
        self.gpu(which).companion_mw = _milli(companion_w)

    def set_limit(self, which: int | str, limit_w: float) -> None:
        """What an admin's nvidia-smi would do, without a line in `writes.log`."""
        gpu = self.gpu(which)
        gpu.limit_changed_ns = time.time_ns()
        gpu.limit_mw = _milli(limit_w)

    def set_speed(self, which: int | str, speed: float) -> None:
        """How fast a board is from the emulator's next look on, relative to a good one: 0.85 for a hot or a poor one, 1 for a good one."""
        if not 0 < speed <= 1:
            raise ValueError(f"a board's speed is above 0 and at most 1, not {speed:g}")
        speeds = read_speeds(self.folder) | {self.gpu(which).uuid.decode(): speed}
        draft = self.folder / f"{SPEEDS_FILE}.new"
        draft.write_text(json.dumps(speeds), encoding="utf-8")
        draft.rename(self.folder / SPEEDS_FILE)

    def reset_counter(self, which: int | str) -> None:
        """The energy counter starts at zero again; the true energy goes on."""
        gpu = self.gpu(which)
        gpu.counter_base_mj = gpu.counter_mj

    def reorder(self, indices: list[int]) -> None:
        """From now on NVML lists the board made as number k under index `indices[k]`."""
        if sorted(indices) != list(range(self.state.gpu_count)):
            raise ValueError(f"{indices} is no order of {self.state.gpu_count} GPUs")
        for gpu, index in zip(self, indices, strict=True):
            gpu.index = index

    def unload_driver(self) -> None:
        """Until `load_driver`, every call says DRIVER_NOT_LOADED."""
        self.state.driver_loaded = 0

    def load_driver(self) -> None:
        """The driver comes up anew: default limits, counters at zero, and whoever had initialised must do so again."""
        for slot, gpu in enumerate(self):
            self.set_limit(slot, gpu.default_limit_mw / 1000)
            self.reset_counter(slot)
        self.state.driver_generation += 1
        self.state.driver_loaded = 1

    def writes(self) -> list[Write]:
        """Every call that would change a limit, in order."""
        return read_writes(self.folder)


def read_writes(folder: Path) -> list[Write]:
    """The lines of a node's `writes.log`; none when nobody wrote."""
    try:
        lines = (folder / WRITES_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []
    writes = []
    for line in lines:
        at_ns, pid, uuid_, requested_mw, result = line.split(" ")
        writes.append(Write(int(at_ns), int(pid), uuid_, int(requested_mw), result))
    return writes


def read_speeds(folder: Path) -> dict[str, float]:
    """The speeds of a node's boards by UUID, as far as they were set."""
    try:
        speeds: dict[str, float] = json.loads((folder / SPEEDS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return speeds


def build_library(lib_dir: Path) -> Path:
    """Compiles libnvidia-ml.so.1 into `lib_dir` (for LD_LIBRARY_PATH) unless what is there is newer than the sources."""
    return compile_library(lib_dir / "libnvidia-ml.so.1", [_SOURCES / "nvml.c", _SOURCES / "state.h"])


def compile_library(library: Path, sources: list[Path]) -> Path:
    """Compiles the first of `sources`, which include the others, unless what is there is newer. RuntimeError says what is missing."""
    newest = max(source.stat().st_mtime_ns for source in sources)
    if library.exists() and library.stat().st_mtime_ns > newest:
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    draft = library.with_name(f"{library.name}.{os.getpid()}")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]
    command = ["gcc", *flags, f"-Wl,-soname,{library.name}", "-o", str(draft), str(sources[0]), "-pthread"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError("the emulated GPUs need a C compiler: install gcc and libc6-dev") from error
    if done.returncode != 0:
        raise RuntimeError(f"compiling {sources[0]} failed:\n{done.stderr}")
    draft.rename(library)
    return library


def _milli(value: float) -> int:
    return round(value * 1000)
