"""The same board read by Zeus's monitor and by our agent, in real time, while a plan changes its limit."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.zeus_account import Reading
from benchmarks.zeus_stage import QuickStage

from carbonzeus_bed.agentprocess import AgentProcess
from carbonzeus_wire import EnergyRecord

SCRIPT = Path(__file__).resolve().parent / "zeus" / "train.py"
POD, WINDOWS, WINDOW_S = "worker", 4, 60.0
LIMITS_W, CHANGE_EVERY_S = (300.0, 200.0, 275.0, 150.0, 225.0, 175.0, 250.0), 17.0
SETTLED_S = 3.0


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read, window by window, and of all of them."""

    windows: tuple[Reading, ...]
    whole: Reading
    changes: int
    """Of the limit, meanwhile."""


def ledger_joules(records: Iterable[EnergyRecord], begin_ns: int, end_ns: int) -> float:
    """The energy of records inside a window; of a record that reaches beyond it, the part by time."""
    total_j = 0.0
    for record in records:
        begin, end = record.start.timestamp() * 1e9, record.end.timestamp() * 1e9
        inside = max(min(end, end_ns) - max(begin, begin_ns), 0.0)
        total_j += record.energy_millijoules / 1000 * inside / (end - begin)
    return total_j


def read_both(folder: Path, lib_dir: Path, zeus_python: str) -> Readings:
    """Four minutes. RuntimeError where Zeus's process fails."""
    stage = QuickStage(folder, "NVIDIA A40", 1, 1.0)
    agent = AgentProcess(stage, lib_dir, folder / "agent.log")
    try:
        stage.pods(stage.pod(POD))
        agent.start()
        result = folder / "windows.json"
        command = [zeus_python, str(SCRIPT), "watch", str(result), str(WINDOWS), str(WINDOW_S)]
        environment = stage.environment(lib_dir, 0)
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as zeus:
            assert zeus.stdout is not None
            if zeus.stdout.readline().strip() != "ready":
                raise RuntimeError("Zeus's process ended early: see its message above")
            length_s = WINDOWS * WINDOW_S + 2 * SETTLED_S
            count = int(length_s / CHANGE_EVERY_S) + 2
            steps = [(number * CHANGE_EVERY_S, LIMITS_W[number % len(LIMITS_W)]) for number in range(count)]
            # Never two equal ones in a row: each ends a record, also the last one that reaches into the windows.
            agent.push(agent.plan(POD, *steps), lease_s=900)
            time.sleep(SETTLED_S)
            zeus.communicate("go\n")
            if zeus.returncode != 0:
                raise RuntimeError(f"Zeus's process ended with {zeus.returncode}")
        found = json.loads(result.read_text(encoding="utf-8"))["windows"]
        last = _utc(found[-1]["end_ns"])
        records = stage.waits(lambda: _reaching(agent.energy(), last), "the ledger reaches the last window")
        truth = stage.truth(last)
    finally:
        agent.close()
        stage.close()
    readings = [
        Reading(
            (each["end_ns"] - each["begin_ns"]) / 1e9,
            each["joules"],
            ledger_joules(records, each["begin_ns"], each["end_ns"]),
            truth.energy_mj(uuid=stage.gpus[0], start=_utc(each["begin_ns"]), end=_utc(each["end_ns"])) / 1000,
        )
        for each in found
    ]
    switches = truth.switches(uuid=stage.gpus[0])
    return Readings(
        tuple(readings[:-1]), readings[-1], sum(_utc(found[-1]["begin_ns"]) < it.at < last for it in switches)
    )


def _reaching(records: list[EnergyRecord], moment: datetime) -> list[EnergyRecord]:
    return records if records and records[-1].end >= moment else []


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_ns // 1000)
