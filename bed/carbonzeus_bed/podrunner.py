"""The pod runner: stands in for the kubelets' part of running carbonzeus' own pods, on all hollow nodes of a bed.

`python -m carbonzeus_bed.podrunner --dir STATE --lib-dir FOLDER --kubelet-ip IP`, a process of its own, started by the cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

from carbonzeus_bed.api import Object
from carbonzeus_bed.logserver import LogServer
from carbonzeus_bed.podprocesses import PREFIX
from carbonzeus_bed.podworker import PodWorker, delete_pod
from carbonzeus_bed.processes import Processes
from carbonzeus_bed.watching import AsyncApi, Listed

LOG = logging.getLogger(__name__)

SELECTOR = "app.kubernetes.io/name=carbonzeus"
LONGEST_GRACE_AT_STOP_S = 8.0
FORCED_GRACE_S = 2.0


class PodRunner:
    """Follows the pods and keeps one worker for each that runs."""

    def __init__(self, api: AsyncApi, root: Path, lib_dir: Path) -> None:
        self._api = api
        self._root = root
        self._lib_dir = lib_dir
        self._processes = Processes(root)
        self._workers: dict[str, PodWorker] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow the pods until cancelled; then end their processes."""
        leftovers = [record.name for record in self._processes.records() if record.name.startswith(PREFIX)]
        self._processes.stop(leftovers, LONGEST_GRACE_AT_STOP_S)
        try:
            async for change in self._api.follow("/api/v1/pods", labelSelector=SELECTOR):
                if isinstance(change, Listed):
                    self._see_all(change.items)
                elif change.type == "DELETED":
                    self._end(change.object["metadata"]["uid"], FORCED_GRACE_S, delete=False)
                else:
                    self._see(change.object)
        finally:
            for uid, worker in list(self._workers.items()):
                self._end(uid, min(_grace_s(worker.pod), LONGEST_GRACE_AT_STOP_S), delete=False)
            await asyncio.gather(*self._stops.values(), return_exceptions=True)

    def _see_all(self, pods: tuple[Object, ...]) -> None:
        there = {pod["metadata"]["uid"] for pod in pods}
        for uid in set(self._workers) - there:
            self._end(uid, FORCED_GRACE_S, delete=False)
        for pod in pods:
            self._see(pod)

    def _see(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            if uid in self._workers:
                self._end(uid, _grace_s(pod), delete=True)
            elif uid not in self._stops:
                self._keep(uid, delete_pod(self._api, pod))
        elif uid not in self._workers and uid not in self._stops and _has_started(pod):
            self._workers[uid] = PodWorker(self._api, self._processes, pod, root=self._root, lib_dir=self._lib_dir)

    def _end(self, uid: str, grace_s: float, *, delete: bool) -> None:
        if worker := self._workers.pop(uid, None):
            self._keep(uid, worker.stop(grace_s, delete=delete))

    def _keep(self, uid: str, stop: Any) -> None:
        task = asyncio.create_task(stop)
        self._stops[uid] = task
        task.add_done_callback(lambda _: self._stops.pop(uid, None))


def _has_started(pod: Object) -> bool:
    """Whether kwok gave the pod its address and it is not over."""
    return bool(pod.get("status", {}).get("phase") == "Running" and pod["status"].get("podIP"))


def _grace_s(pod: Object) -> float:
    grace = pod["metadata"].get("deletionGracePeriodSeconds", pod["spec"].get("terminationGracePeriodSeconds", 30))
    return float(max(grace, FORCED_GRACE_S))


async def serve(root: Path, lib_dir: Path, kubelet_ip: str) -> None:
    """Run until SIGTERM or SIGINT."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    logs = LogServer(root, kubelet_ip)
    await logs.start()
    async with AsyncApi(root / "kubeconfig") as api:
        try:
            await PodRunner(api, root, lib_dir).run()
        except asyncio.CancelledError:
            LOG.info("stopped")
        finally:
            await logs.stop()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the bed's state folder, by its short name")
    parser.add_argument("--lib-dir", type=Path, required=True, help="the folder of the emulated libnvidia-ml.so.1")
    parser.add_argument("--kubelet-ip", required=True, help="the address to serve logs on")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(args.dir, args.lib_dir, args.kubelet_ip))


if __name__ == "__main__":
    main()
