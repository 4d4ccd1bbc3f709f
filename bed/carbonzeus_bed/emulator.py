"""`python -m carbonzeus_bed.emulator --dir .bed`: the GPUs, kubelets and trainings of all nodes of a bed, in one process.

Reads `emulator.json` of that folder, `{"nodes": [{"name", "gpus", "product", "replicas"}], "seed", "noise", "kubeconfig", "lib_dir"}`,
compiles libnvidia-ml.so.1 into `lib_dir`, makes `nodes/NAME/gpus.bin`, serves `nodes/NAME/pod-resources/kubelet.sock`, writes `truth/` and, once all that is there, `emulator.ready`. Stops on
SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from carbonzeus_bed.gpus import build_library, read_speeds
from carbonzeus_bed.kubelet import SOCKET, STOPPED, Kubelet
from carbonzeus_bed.plant import NodeSpec, Plant
from carbonzeus_bed.pods import PodWatch
from carbonzeus_bed.training import Endpoints
from carbonzeus_bed.truth import TruthLog

CONFIG = "emulator.json"
READY = "emulator.ready"
NODES = "nodes"
TRUTH = "truth"
TICK_S = 0.02
SYNC_S = 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """`emulator.json`."""

    nodes: tuple[NodeSpec, ...]
    kubeconfig: Path
    lib_dir: Path
    seed: int = 0
    noise: float = 0.003

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the file of a bed's folder; relative paths are meant from there."""
        raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        nodes = tuple(NodeSpec(**node) for node in raw.pop("nodes"))
        return cls(nodes, folder / raw.pop("kubeconfig"), folder / raw.pop("lib_dir"), **raw)


class Emulator:
    """Runs a plant by the clock, with the pods of the API server."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._folder = folder
        (folder / READY).unlink(missing_ok=True)
        build_library(config.lib_dir)
        self._log = TruthLog(folder / TRUTH)
        self._plant = Plant(
            folder / NODES, config.nodes, self._log, now_ns=time.time_ns(), seed=config.seed, noise=config.noise
        )
        self._watch = PodWatch(config.kubeconfig, frozenset(node.name for node in config.nodes), self._changed)
        self._endpoints = Endpoints(self._plant.training.jobs.get)
        self._kubelets = {
            name: Kubelet(devices, folder / NODES / name / SOCKET) for name, devices in self._plant.devices.items()
        }
        self._pods_changed = asyncio.Event()
        self._told: set[str] = set()

    async def run(self) -> None:
        """Runs until cancelled, then closes what it opened."""
        try:
            await self._sync_kubelets()
            (self._folder / READY).write_text(f"{os.getpid()}\n", encoding="utf-8")
            async with asyncio.TaskGroup() as tasks:
                for loop in (self._tick(), self._watch.run(), self._sync(), self._finish()):
                    tasks.create_task(loop)
        finally:
            (self._folder / READY).unlink(missing_ok=True)
            await self._endpoints.close()
            for kubelet in self._kubelets.values():
                await kubelet.stop()
            self._plant.close()
            self._log.close()

    def _changed(self) -> None:
        self._plant.update(self._watch.pods.values(), time.time_ns())
        self._pods_changed.set()

    async def _tick(self) -> None:
        while True:
            self._plant.tick(time.time_ns())
            await asyncio.sleep(TICK_S)

    async def _sync(self) -> None:
        """Endpoints follow the pods; kubelets and the speeds of boards follow the files that tell of them."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SYNC_S):  # wait_for of Python 3.11 can swallow a cancellation
                    await self._pods_changed.wait()
            self._pods_changed.clear()
            await self._endpoints.sync(self._watch.pods.values())
            await self._sync_kubelets()
            self._sync_speeds()

    def _sync_speeds(self) -> None:
        speeds: dict[str, float] = {}
        for name in self._plant.nodes:
            speeds |= read_speeds(self._folder / NODES / name)
        self._plant.set_speeds(speeds, time.time_ns())

    async def _sync_kubelets(self) -> None:
        for name, kubelet in self._kubelets.items():
            stopped = (self._folder / NODES / name / STOPPED).exists()
            if stopped and kubelet.serving:
                await kubelet.stop()
            elif not stopped and not kubelet.serving:
                await kubelet.start()

    async def _finish(self) -> None:
        """Pods of a complete job end well, as their training script would."""
        while True:
            await asyncio.sleep(TICK_S)
            for job in list(self._plant.training.jobs.values()):
                if job.complete and job.uid not in self._told and job.pods:
                    self._told.add(job.uid)
                    log.info("job %s is complete after %d steps", job.name, job.steps)
                    await self._watch.succeed(list(job.pods))


async def _main(folder: Path) -> None:
    emulator = asyncio.create_task(Emulator(folder, Config.read(folder)).run())
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, emulator.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await emulator


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="carbonzeus_bed.emulator", description="Emulated GPUs, kubelets and training."
    )
    parser.add_argument("--dir", type=Path, required=True, help="the bed's folder")
    folder = parser.parse_args().dir
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.chdir(folder)  # unix sockets have short names, a bed may lie deep: from here on every path is relative
    asyncio.run(_main(Path()))


if __name__ == "__main__":
    main()
