"""An address block of the loopback network for each bed, so that several run side by side with the same port numbers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from carbonzeus_bed.processes import Processes, started_ticks
from carbonzeus_bed.programs import cache_dir

FIRST_BLOCK, LAST_BLOCK = 32, 254
API_SERVER_PORT = 6443
ETCD_PORT = 2379


@dataclass(frozen=True, slots=True)
class Block:
    """127.NUMBER.0.0/16. Pods take addresses from its start, nodes in .254.0/24, the control plane listens on .255.1."""

    number: int
    state_dir: str
    short_dir: str
    """A link to the state folder with a path short enough for unix sockets (108 characters), wherever the folder lies."""
    claimant_pid: int
    claimant_ticks: int

    @property
    def control_plane_ip(self) -> str:
        return f"127.{self.number}.255.1"

    @property
    def pod_cidr(self) -> str:
        return f"127.{self.number}.0.0/17"

    def node_ip(self, index: int) -> str:
        """The address of the node with this index, from 0."""
        return f"127.{self.number}.{254 - (index + 1) // 256}.{(index + 1) % 256}"

    @property
    def alive(self) -> bool:
        """Whether the bed that claimed the block runs, or is still being started."""
        if started_ticks(self.claimant_pid) == self.claimant_ticks:
            return True
        processes = Processes(Path(self.state_dir))
        return any(processes.alive(record.name) for record in processes.records())


def claim(state_dir: Path) -> Block:
    """Take the first free block for a bed in `state_dir`, until `release`."""
    with _claims() as folder:
        for number in range(FIRST_BLOCK, LAST_BLOCK + 1):
            path = folder / f"{number}.json"
            if (taken := _read(path)) is not None:
                if taken.alive:
                    continue
                _forget(path, taken)
            if not _listenable(number):
                continue
            # The folder is the bed's own (mode 0700): nobody else can put something in the link's place.
            short = Path(tempfile.mkdtemp(prefix="cz-", dir="/tmp")) / "b"
            short.symlink_to(state_dir.resolve(), target_is_directory=True)
            pid = os.getpid()
            block = Block(number, str(state_dir.resolve()), str(short), pid, started_ticks(pid) or 0)
            path.write_text(json.dumps(asdict(block)) + "\n", encoding="utf-8")
            return block
    raise RuntimeError("no free address block in 127.0.0.0/8: stop a bed that is not needed any more")


def release(block: Block, *, last: Callable[[], None]) -> None:
    """Give the block back. `last` runs when no other bed of this user is left, to remove what beds share."""
    with _claims() as folder:
        path = folder / f"{block.number}.json"
        if _read(path) == block:
            _forget(path, block)
        if not any((other := _read(path)) is not None and other.alive for path in folder.glob("*.json")):
            last()


@contextlib.contextmanager
def _claims() -> Iterator[Path]:
    folder = cache_dir() / "beds"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _read(path: Path) -> Block | None:
    try:
        return Block(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _forget(path: Path, block: Block) -> None:
    link = Path(block.short_dir)
    link.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        link.parent.rmdir()
    path.unlink()


def _listenable(number: int) -> bool:
    """Whether nothing of another user listens where this block's control plane would."""
    for port in (API_SERVER_PORT, ETCD_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((f"127.{number}.255.1", port))
            except OSError:
                return False
    return True
