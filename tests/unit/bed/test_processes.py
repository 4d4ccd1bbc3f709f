"""Recorded processes: only the very process that a record means is ever touched."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbonzeus_bed.processes import Processes, StartFailed

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes of a folder, all stopped afterwards."""
    table = Processes(tmp_path)
    yield table
    table.stop([record.name for record in table.records()], 0)


def test_a_stopped_process_and_its_record_are_gone(processes: Processes) -> None:
    """After `stop` nothing is left of a process but its log."""
    processes.start("sleeper", SLEEP)
    assert processes.alive("sleeper")
    processes.stop(["sleeper"], 10)
    assert not processes.alive("sleeper")
    assert processes.records() == []
    assert (processes.log_dir / "sleeper.log").exists()


def test_a_process_that_ignores_sigterm_is_killed(processes: Processes) -> None:
    """SIGKILL follows when the grace is over."""
    record = processes.start("stubborn", STUBBORN)
    while "deaf" not in processes.log_end("stubborn"):
        pass
    processes.stop(["stubborn"], 0.05)
    assert not Path(f"/proc/{record.pid}").exists()


def test_another_instance_stops_what_the_first_one_started(processes: Processes, tmp_path: Path) -> None:
    """The record on disk is enough, as after a crash of the starter."""
    processes.start("sleeper", SLEEP)
    Processes(tmp_path).stop(["sleeper"], 10)
    assert not processes.alive("sleeper")


def test_a_recycled_process_id_is_never_signalled(processes: Processes) -> None:
    """A record whose start time differs from the process's means a process that is long gone."""
    record = processes.start("innocent", SLEEP)
    stale = {**json.loads((processes.run_dir / "innocent.json").read_text()), "name": "stale"}
    stale["started_ticks"] -= 1
    (processes.run_dir / "stale.json").write_text(json.dumps(stale))
    assert not processes.alive("stale")
    assert not processes.signal("stale", signal.SIGKILL)
    processes.stop(["stale"], 0)
    assert processes.alive("innocent")
    assert Path(f"/proc/{record.pid}").exists()


def test_a_record_of_another_boot_means_no_process(processes: Processes) -> None:
    """Clock ticks count from the boot, so a record from before a reboot is void."""
    processes.start("sleeper", SLEEP)
    path = processes.run_dir / "sleeper.json"
    ours = path.read_text()
    path.write_text(json.dumps({**json.loads(ours), "boot_id": "another"}))
    assert not processes.alive("sleeper")
    path.write_text(ours)


def test_a_name_runs_once(processes: Processes) -> None:
    """A second start under the name of a running process is refused."""
    processes.start("sleeper", SLEEP)
    with pytest.raises(StartFailed, match="runs already"):
        processes.start("sleeper", SLEEP)


def test_the_failure_carries_the_end_of_the_log(processes: Processes) -> None:
    """Whoever meets the error sees what the process said last."""
    processes.start("talker", [sys.executable, "-c", "print('no such disk')"])
    assert processes.wait("talker", 10)
    assert "no such disk" in str(processes.failure("talker", "ended early"))
    assert "has ended" in str(processes.failure("talker", "ended early"))
