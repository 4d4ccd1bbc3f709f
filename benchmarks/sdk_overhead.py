"""What a training pays for counting its steps.

    make bench-sdk       (.venv/bin/python -m benchmarks.sdk_overhead [--steps N])

A loop that counts is compared with the same loop that does not, in the same process, round about: with nobody asking, while the
count is read as an agent reads it (once in five seconds, and with a new connection each time), and while a client asks without
end, as no agent does. The last is the most that anybody can make a training pay, since the endpoint pauses after each answer.
The figure of a step is the median of the rounds; shares of a core are of the endpoint's thread, as the kernel counts it.
Needs Linux. Exit status 1: a step costs a microsecond or more while an agent reads.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from carbonzeus import Progress

GOAL_NS = 1000.0
ROUNDS = 25
AGENT_EVERY_S = 5.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def step_ns(progress: Progress, steps: int) -> float:
    """Time a step costs, less that of the loop around it: median of the rounds [ns]."""
    costs = []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        for _ in range(steps):
            pass
        bare_s = time.perf_counter() - start_s
        start_s = time.perf_counter()
        for _ in range(steps):
            progress.step()
        costs.append((time.perf_counter() - start_s - bare_s) / steps * 1e9)
    return statistics.median(costs)


def ask(port: int, every_s: float, answers: multiprocessing.Queue[int], stop: threading.Event) -> None:
    """Read the count until told to stop; tells how often it was read."""
    read = 0
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        connection.getresponse().read()
        connection.close()
        read += 1
        stop.wait(every_s)
    answers.put(read)


@contextmanager
def asked(port: int, every_s: float) -> Iterator[Callable[[], int]]:
    """A process that asks; the value tells how often it was answered, once it has ended."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[int] = context.Queue()
    stop = context.Event()
    client = context.Process(target=ask, args=(port, every_s, answers, stop))
    client.start()
    try:
        yield answers.get
    finally:
        stop.set()
        client.join()


def endpoint_cpu_s() -> float:
    """What the endpoint's thread has used so far."""
    (thread,) = [one for one in threading.enumerate() if one.name == "carbonzeus"]
    fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000_000, help="steps in a round")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {ROUNDS} rounds of {arguments.steps} steps")
    print(f"{'who asks':<28}{'a step':>12}{'answers':>14}{'endpoint':>20}")
    missed = False
    with Progress(port=0) as progress:
        port = int(dict(item.split("=") for item in progress.annotation.split(","))["port"])
        step_ns(progress, arguments.steps // 10)
        print(f"{'nobody':<28}{step_ns(progress, arguments.steps):>9.0f} ns{0:>12.1f}/s{0:>13.3f} % of a core")
        for who, every_s in (("an agent", AGENT_EVERY_S), ("a client without pause", 0.0)):
            with asked(port, every_s) as answered:
                time.sleep(1.0)
                start_s, cpu_s = time.monotonic(), endpoint_cpu_s()
                cost_ns = step_ns(progress, arguments.steps)
                watched_s, used_s = time.monotonic() - start_s, endpoint_cpu_s() - cpu_s
            read = answered() / (watched_s + 1.0)
            print(f"{who:<28}{cost_ns:>9.0f} ns{read:>12.1f}/s{used_s / watched_s * 100:>13.3f} % of a core")
            missed |= every_s > 0 and cost_ns >= GOAL_NS
    if missed:
        print(f"MISSED: a step shall cost less than {GOAL_NS:.0f} ns")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
