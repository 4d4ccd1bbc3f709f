"""What the node agent costs and how punctual it is, on eight emulated GPUs.

    make bench-agent       (.venv/bin/python -m benchmarks.bench_agent [--seconds N] [--switches N])

The agent runs with the settings of the chart: every GPU is read once a second, two pods of four GPUs count their steps, the
operator pushes once a minute. First it follows a plan that stands still, which is what it does nearly all of the time: that gives
its share of a core, its memory and its wake-ups. Then every GPU switches twice a second; lateness is from the planned instant
to the moment at which the board itself took the limit, as the emulated driver stamped it.

Emulator and benchmark share the machine's cores with the agent. Exit status 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from carbonzeus_bed.agentprocess import AgentProcess, free_ports
from carbonzeus_bed.gpus import build_library
from carbonzeus_bed.stage import Stage

GPUS, PODS = 8, 2
PUSH_EVERY_S = 60.0
SWITCH_EVERY_S = 0.5
LIMITS_W = (250.0, 150.0, 200.0, 175.0)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

GOAL_LATE_S = 0.1
GOAL_CPU = 0.01
GOAL_RSS_MB = 80.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it started."""

    at_s: float
    cpu_s: float
    wakeups: int
    """Voluntary context switches of all threads: each is a wait that ended."""
    rss_mb: float
    threads: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Linux only: from /proc."""
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        tasks = [_status(task / "status") for task in Path(f"/proc/{pid}/task").iterdir()]
        return cls(
            at_s=time.monotonic(),
            cpu_s=(int(fields[11]) + int(fields[12])) * TICK_S,
            wakeups=sum(int(task["voluntary_ctxt_switches"]) for task in tasks),
            rss_mb=int(_status(Path(f"/proc/{pid}/status"))["VmRSS"].split()[0]) / 1024,
            threads=len(tasks),
        )


def _status(path: Path) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value.strip() for name, value in pairs}


def steady(pid: int, push: Callable[[], object], seconds: float) -> tuple[Usage, Usage]:
    """What the agent uses over `seconds` of a plan without switches, pushed anew every minute."""
    first = Usage.of(pid)
    end_s = first.at_s + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        push()
        time.sleep(min(PUSH_EVERY_S, left_s))
    return first, Usage.of(pid)


def lateness_s(stage: Stage, push: Callable[..., object], switches: int) -> list[float]:
    """From each planned instant to the board's new limit, rising. RuntimeError where a switch is missing."""
    count = switches // GPUS
    lead_s = 2.0
    began_ns = time.time_ns()
    steps = [(lead_s + SWITCH_EVERY_S * k, LIMITS_W[k % len(LIMITS_W)]) for k in range(count)]
    instants_ns = push(*steps)
    assert isinstance(instants_ns, list)
    time.sleep(lead_s + SWITCH_EVERY_S * (count + 1))
    late: list[float] = []
    for gpu in stage.gpus:
        writes = [write for write in stage.node.writes() if write.uuid == gpu and write.at_ns > began_ns]
        for at_ns, (_, limit_w) in zip(instants_ns, steps, strict=True):
            found = [w.at_ns for w in writes if w.at_ns >= at_ns and w.requested_mw == round(limit_w * 1000)]
            if not found:
                raise RuntimeError(f"{gpu} never took {limit_w:g} W")
            late.append((min(found) - at_ns) / 1e9)
    return sorted(late)


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of `values`, which rise, do not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> int:
    """Run both parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the agent is watched at rest")
    parser.add_argument("--switches", type=int, default=1000, help="how many switches of a board are timed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cz-bench-") as name:
        folder = Path(name)
        stage = Stage(folder, "NVIDIA A40", GPUS, 1)
        agent = AgentProcess(stage, build_library(folder / "lib").parent, folder / "agent.log")
        try:
            return report(stage, agent, arguments.seconds, arguments.switches)
        finally:
            agent.close()
            stage.close()


def report(stage: Stage, agent: AgentProcess, seconds: float, switches: int) -> int:
    """Print what was measured; 1 where a goal was missed."""
    ports = free_ports(PODS)
    pods = [f"worker-{index}" for index in range(PODS)]
    stage.pods(*(stage.pod(pod, GPUS // PODS, metrics_port=port) for pod, port in zip(pods, ports, strict=True)))
    agent.start()
    assert agent.process is not None

    def push(*steps: tuple[float, float]) -> list[int]:
        plans = [
            agent.plan(pod, *steps, podIP="127.0.0.1", progress={"port": port, "metric": "train_steps_total"})
            for pod, port in zip(pods, ports, strict=True)
        ]
        for plan in plans[1:]:
            plan["steps"] = plans[0]["steps"]
        agent.push(*plans, lease_s=900)
        return [_unix_ns(step["at"]) for step in plans[0]["steps"]]

    push((-1, 200.0))
    time.sleep(5)
    first, last = steady(agent.process.pid, lambda: push((-1, 200.0)), seconds)
    watched_s = last.at_s - first.at_s
    late_s = lateness_s(stage, push, switches)
    peak = Usage.of(agent.process.pid)
    rows = (
        ("switch, median", quantile(late_s, 0.5) * 1000, "ms", None),
        ("switch, 99 of 100", quantile(late_s, 0.99) * 1000, "ms", GOAL_LATE_S * 1000),
        ("switch, latest", late_s[-1] * 1000, "ms", None),
        ("share of a core at rest", (last.cpu_s - first.cpu_s) / watched_s * 100, "%", GOAL_CPU * 100),
        ("memory (resident)", peak.rss_mb, "MB", GOAL_RSS_MB),
        ("wake-ups at rest", (last.wakeups - first.wakeups) / watched_s, "/s", None),
        ("threads", float(peak.threads), "", None),
    )
    print(
        f"{GPUS} GPUs, {len(late_s)} switches, {watched_s:.0f} s at rest; {os.cpu_count()} cores, Python "
        f"{platform.python_version()}"
    )
    for what, value, unit, goal in rows:
        verdict = "" if goal is None else f"  goal < {goal:g} {unit}{'' if value < goal else '  MISSED'}"
        print(f"{what:<26}{value:9.2f} {unit:<3}{verdict}".rstrip())
    return int(any(goal is not None and value >= goal for _, value, _, goal in rows))


def _unix_ns(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1e6) * 1000


if __name__ == "__main__":
    sys.exit(main())
