"""An emulated node whose hardware is quicker than the job that it stands for, so that an hour of training takes minutes.

    python -m benchmarks.zeus_stage FOLDER PRODUCT COUNT SPEED

Boards, curves, kubelet and metrics are the bed's. At SPEED 20 a training that should make a step a second makes 20, and what a board does by
the clock (its counter moves, its noise wanders) is as much quicker; watts are watts. So whoever plays on it is unchanged, runs by
the clock on the wall, and one second of it is 20 of the job.

Each line of stdin is a JSON object `{"pods": [...]}`, answered by `done`. FOLDER/beats/POD says how far the pod's training is, for a loop that
waits for its steps.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from carbonzeus_bed import physics, plant
from carbonzeus_bed.gpus import NODE_VARIABLE, Node
from carbonzeus_bed.kubelet import SOCKET, Kubelet
from carbonzeus_bed.plant import NodeSpec, Plant
from carbonzeus_bed.pods import Pod
from carbonzeus_bed.stage import Stage
from carbonzeus_bed.stagehand import pod_from
from carbonzeus_bed.training import Endpoints
from carbonzeus_bed.truth import TruthLog

TICK_S = 0.005
NOISE = 0.003
"""Of power and speed, as the bed has it: a standard deviation that is forgotten within 5 seconds of the job."""
NOISE_MEMORY_S = 5.0
BEAT = struct.Struct("<QddqQ")
"""Number, steps, steps a second, unix ns, number again."""


class QuickStage(Stage):
    """`carbonzeus_bed.stage.Stage` with such a node."""

    def __init__(self, folder: Path, product: str, count: int, speed: float) -> None:
        self.folder = folder
        self.speed = speed
        command = [sys.executable, "-m", "benchmarks.zeus_stage", str(folder), product, str(count), str(speed)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[1]
        )
        assert self._read() == "ready"
        self.node = Node(folder / "node")
        self.gpus = self.node.uuids()

    def beat(self, pod: str) -> Path:
        """Where that pod's training says how far it is."""
        return self.folder / "beats" / pod

    def environment(self, lib_dir: Path, index: int) -> dict[str, str]:
        """Of a process that has one board of this node."""
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(lib_dir),
            NODE_VARIABLE: str(self.node.folder),
            "CUDA_VISIBLE_DEVICES": str(index),
        }


class Beat:
    """How far one training is, in a file that others map."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(BEAT.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), BEAT.size)
        self._number, self._steps, self._at_ns = 0, 0.0, 0

    def tell(self, steps: float, at_ns: int) -> None:
        passed_ns = at_ns - self._at_ns
        rate = (steps - self._steps) / passed_ns * 1e9 if self._at_ns and passed_ns > 0 else 0.0
        self._number, self._steps, self._at_ns = self._number + 1, steps, at_ns
        self._memory[:] = BEAT.pack(self._number, steps, rate, at_ns, self._number)


def quicken(speed: float) -> None:
    """What the bed's boards do by the clock, so much quicker. For this process."""
    plant.COUNTER_NS = round(plant.COUNTER_NS / speed)
    plant.NOISE_NS = round(plant.NOISE_NS / speed)
    plant.AVERAGE_NS = round(plant.AVERAGE_NS / speed)
    plant.TRUTH_NS = round(max(plant.TRUTH_NS / speed, 4 * TICK_S * 1e9))
    quick: Any = partial(physics.Noise, memory_s=NOISE_MEMORY_S / speed)
    vars(physics)["Noise"] = quick


async def tick(whole: Plant, beats: dict[str, Beat]) -> None:
    while True:
        now_ns = time.time_ns()
        whole.tick(now_ns)
        for uid, beat in beats.items():
            beat.tell(whole.training.jobs[uid].steps, now_ns)
        await asyncio.sleep(TICK_S)


async def main(folder: Path, product: str, count: int, speed: float) -> None:
    os.chdir(folder)  # unix sockets have short names
    quicken(speed)
    truth = TruthLog(Path("truth"))
    whole = Plant(Path(), [NodeSpec("node", count, product)], truth, now_ns=time.time_ns(), seed=11, noise=NOISE)
    endpoints = Endpoints(whole.training.jobs.get)
    kubelet = Kubelet(whole.devices["node"], Path("node") / SOCKET)
    await kubelet.start()
    beats: dict[str, Beat] = {}
    ticking = asyncio.create_task(tick(whole, beats))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    while line := await lines.readline():
        pods: list[Pod] = [pod_from(words) for words in json.loads(line)["pods"]]
        whole.update(pods, time.time_ns())
        await endpoints.sync(pods)
        for pod in pods:
            beats.setdefault(pod.job_uid, Beat(Path("beats") / pod.name))
        print("done", flush=True)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    await endpoints.close()
    await kubelet.stop()
    whole.close()
    truth.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
