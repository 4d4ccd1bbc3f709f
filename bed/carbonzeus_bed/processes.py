"""Processes that outlive the command that started them, each known by a record on disk.

A record holds the process id together with the instant that process started, so that an id which the kernel gave to
somebody else in the meantime is never signalled.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StartFailed(Exception):
    """A process of the bed did not come up; the message ends with the end of its log."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one started process."""

    name: str
    pid: int
    started_ticks: int
    """Start time in clock ticks since boot, field 22 of /proc/PID/stat."""
    boot_id: str
    argv: tuple[str, ...]
    log: str


def started_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(") ")[2].split()
    return None if state in "ZX" else int(fields[18])


class Processes:
    """The processes of one state folder: records under `run/`, logs under `logs/`."""

    def __init__(self, state_dir: Path) -> None:
        self.run_dir = state_dir / "run"
        self.log_dir = state_dir / "logs"
        self._children: dict[tuple[int, int], subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Record:
        """Start a process in a session of its own (a terminal's Ctrl-C does not reach it), its output in its log."""
        if self.alive(name):
            raise StartFailed(f"{name} runs already")
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        log = self.log_dir / f"{name}.log"
        words = tuple(str(word) for word in argv)
        with log.open("ab") as output:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=env
            )
        record = Record(
            name=name,
            pid=child.pid,
            started_ticks=started_ticks(child.pid) or 0,
            boot_id=BOOT_ID.read_text(encoding="utf-8").strip(),
            argv=words,
            log=str(log),
        )
        self._children[record.pid, record.started_ticks] = child
        path = self.run_dir / f"{name}.json"
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)
        return record

    def records(self) -> list[Record]:
        """Every record, oldest process first, whether it still runs or not."""
        found = [_read(path) for path in self.run_dir.glob("*.json")]
        return sorted(filter(None, found), key=lambda record: (record.started_ticks, record.name))

    def record(self, name: str) -> Record | None:
        """The record of one name."""
        return _read(self.run_dir / f"{name}.json")

    def alive(self, name: str) -> bool:
        """Whether the recorded process still runs."""
        record = self.record(name)
        return record is not None and _is(record)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to the recorded process; False when it is gone."""
        record = self.record(name)
        if record is None:
            return False
        with _Handle(record) as handle:
            return handle.send(number)

    def stop(self, names: Sequence[str], grace_s: float) -> None:
        """SIGTERM to all at once, SIGKILL to those still there after the grace; their records go when they are gone."""
        records = [record for record in self.records() if record.name in names]
        deadline = time.monotonic() + grace_s
        for record in records:
            with _Handle(record) as handle:
                handle.send(signal.SIGTERM)
                handle.send(signal.SIGCONT)
        for record in records:
            with _Handle(record) as handle:
                if not handle.wait(deadline - time.monotonic()):
                    handle.send(signal.SIGKILL)
                    handle.wait(10)
            self._reap(record)
            (self.run_dir / f"{record.name}.json").unlink(missing_ok=True)
        # Children that another instance has stopped are still ours to bury.
        for key, child in list(self._children.items()):
            if child.poll() is not None:
                self._children.pop(key, None)

    def wait(self, name: str, timeout_s: float) -> bool:
        """Wait for the end of a process; False when it still runs after the timeout."""
        record = self.record(name)
        if record is None:
            return True
        with _Handle(record) as handle:
            ended = handle.wait(timeout_s)
        if ended:
            self._reap(record)
        return ended

    def exit_code(self, name: str) -> int | None:
        """The exit code of a process of ours that has ended (negative: the signal); None for anybody else's."""
        record = self.record(name)
        child = None if record is None else self._children.get((record.pid, record.started_ticks))
        return None if child is None else child.wait()

    def log_end(self, name: str, lines: int = 25) -> str:
        """The last lines of a process's log."""
        path = self.log_dir / f"{name}.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def failure(self, name: str, what: str) -> StartFailed:
        """The error for a process that did not come up, with the end of its log."""
        state = "runs" if self.alive(name) else "has ended"
        return StartFailed(f"{name} {what} (it {state}). The end of {self.log_dir / name}.log:\n{self.log_end(name)}")

    def _reap(self, record: Record) -> None:
        child = self._children.pop((record.pid, record.started_ticks), None)
        if child is not None:
            child.wait()


def _read(path: Path) -> Record | None:
    """A record, or None when its process was stopped by somebody else in this moment."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Record(**{**fields, "argv": tuple(fields["argv"])})


def _is(record: Record) -> bool:
    return (
        record.boot_id == BOOT_ID.read_text(encoding="utf-8").strip()
        and started_ticks(record.pid) == record.started_ticks
    )


class _Handle:
    """A file descriptor of the very process a record means: from the check on, its id cannot go to another."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._fd: int | None = None

    def __enter__(self) -> Self:
        try:
            self._fd = os.pidfd_open(self._record.pid)
        except ProcessLookupError:
            return self
        if not _is(self._record):
            os.close(self._fd)
            self._fd = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def send(self, number: signal.Signals) -> bool:
        if self._fd is None:
            return False
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout_s: float) -> bool:
        if self._fd is None:
            return True
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(max(0.0, timeout_s) * 1000))
