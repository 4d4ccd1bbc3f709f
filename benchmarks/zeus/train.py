"""The side of Zeus: a training loop on an emulated board, with the real package. Runs in an environment of its own, without carbonzeus.

    python benchmarks/zeus/train.py optimize BEAT RESULT PROFILE SELECTOR     ZeusMonitor and GlobalPowerLimitOptimizer, until it has chosen
    python benchmarks/zeus/train.py watch RESULT COUNT SECONDS                ZeusMonitor alone: so many windows, and one around all of them

It says `ready` on stdout, waits for a line on stdin, and writes RESULT (JSON) at the end. Which board it has, CUDA_VISIBLE_DEVICES says.
BEAT is the file in which the emulator says how far the training is (benchmarks/zeus_stage.py).
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
import time
from importlib.metadata import version
from pathlib import Path

from zeus.monitor import ZeusMonitor
from zeus.optimizer.power_limit import GlobalPowerLimitOptimizer, MaxSlowdownConstraint, ZeusCost

BEAT = struct.Struct("<QddqQ")
"""Number, steps, steps a second, unix ns, number again: as benchmarks/zeus_stage.py writes it."""
NAP_S = 0.0005
STEPS_AFTER = 3
SELECTORS = {"cost": lambda: ZeusCost(eta_knob=0.5), "slowdown": lambda: MaxSlowdownConstraint(factor=1.03)}


class Training:
    """An emulated training, whose steps the loop waits for as it would wait for a GPU."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), BEAT.size, access=mmap.ACCESS_READ)

    def _beat(self) -> tuple[float, float, int]:
        while True:
            before, steps, rate, at_ns, after = BEAT.unpack(self._memory[:])
            if before == after:
                return steps, rate, at_ns

    @property
    def steps(self) -> float:
        """How many were done when the emulator last looked."""
        return self._beat()[0]

    def wait_for(self, step: int) -> None:
        """Return as soon as so many steps are done."""
        while True:
            steps, rate, at_ns = self._beat()
            missing = step - steps - rate * (time.time_ns() - at_ns) / 1e9
            if missing <= 0:
                return
            # A limit may have changed a moment ago: no longer than the emulator takes to tell.
            time.sleep(max(min(missing / rate if rate > 0 else NAP_S, 10 * NAP_S), NAP_S / 10))


def optimize(beat: str, result: str, profile: str, selector: str) -> None:
    """Profile every limit and choose one, all else as Zeus has it by default: 1 step to wait, 10 to warm up, 40 measured, 25 W apart."""
    monitor = ZeusMonitor(gpu_indices=[0])
    optimizer = GlobalPowerLimitOptimizer(monitor, optimum_selector=SELECTORS[selector](), profile_path=profile)
    print("ready", flush=True)
    sys.stdin.readline()
    training = Training(Path(beat))
    step = int(training.steps)
    training.wait_for(step + 1)
    began_ns = chosen_ns = 0
    optimizer.on_epoch_begin()
    while True:
        step += 1
        optimizer.on_step_begin()
        state = type(optimizer.state).__name__
        if state != "Ready" and not began_ns:
            began_ns, began = time.time_ns(), step
        if state == "Done" and not chosen_ns:
            chosen_ns, chosen = time.time_ns(), step
        training.wait_for(step + 1)
        optimizer.on_step_end()
        if chosen_ns and step >= chosen + STEPS_AFTER:
            break
    optimizer.on_epoch_end()
    found = {
        "zeus": version("zeus"),
        "began_ns": began_ns,
        "chosen_ns": chosen_ns,
        "steps": chosen - began,
        "limits_w": [limit_mw // 1000 for limit_mw in optimizer.power_limits],
        "choice_w": optimizer.state.optimal_power_limit // 1000,
        "measurements": json.loads(Path(profile).read_text(encoding="utf-8"))["measurements"],
    }
    Path(result).write_text(json.dumps(found), encoding="utf-8")


def watch(result: str, count: str, seconds: str) -> None:
    """Measure energy, window after window."""
    monitor = ZeusMonitor(gpu_indices=[0])
    print("ready", flush=True)
    sys.stdin.readline()
    windows: list[dict[str, float]] = []
    whole_ns = time.time_ns()
    monitor.begin_window("all")
    for number in range(int(count)):
        begin_ns = time.time_ns()
        monitor.begin_window(f"window {number}")
        time.sleep(float(seconds))
        measured = monitor.end_window(f"window {number}")
        windows.append({"begin_ns": begin_ns, "end_ns": time.time_ns(), "joules": measured.total_energy})
    measured = monitor.end_window("all")
    windows.append({"begin_ns": whole_ns, "end_ns": time.time_ns(), "joules": measured.total_energy})
    Path(result).write_text(json.dumps({"zeus": version("zeus"), "windows": windows}), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "optimize":
        optimize(*sys.argv[2:])
    else:
        watch(*sys.argv[2:])
