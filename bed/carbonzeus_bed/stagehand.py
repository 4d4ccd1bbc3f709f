"""The process behind `stage.Stage`: emulated boards, training pods and kubelet of one node, told what to do line by line.

`python -m carbonzeus_bed.stagehand FOLDER PRODUCT COUNT REPLICAS` makes `FOLDER/node` (boards, `writes.log`, the PodResources socket) and
`FOLDER/truth`. Each line of stdin is a JSON object: `{"pods": [...]}` (all pods from now on) or `{"kubelet": false}`; each
is answered with a line once it is so.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from carbonzeus_bed.kubelet import SOCKET, Kubelet
from carbonzeus_bed.plant import NodeSpec, Plant
from carbonzeus_bed.pods import Pod
from carbonzeus_bed.training import Endpoints
from carbonzeus_bed.truth import TruthLog

TICK_S = 0.01


def pod_from(words: dict[str, Any]) -> Pod:
    name, uid = words.pop("name"), words.pop("uid")
    gpus, phase = words.pop("gpus"), words.pop("phase", "Running")
    return Pod(
        uid=uid,
        namespace="team",
        name=name,
        node="node",
        phase=phase,
        deleting=False,
        containers=(("main", gpus),),
        job=f"team/{name}",
        job_uid=f"job-{uid}",
        **words,
    )


async def tick(plant: Plant) -> None:
    while True:
        plant.tick(time.time_ns())
        await asyncio.sleep(TICK_S)


async def stage(folder: Path, product: str, count: int, replicas: int) -> None:
    os.chdir(folder)  # unix sockets have short names
    truth = TruthLog(Path("truth"))
    spec = NodeSpec("node", count, product, replicas)
    plant = Plant(Path(), [spec], truth, now_ns=time.time_ns(), seed=7, noise=0.01)
    endpoints = Endpoints(plant.training.jobs.get)
    kubelet = Kubelet(plant.devices["node"], Path("node") / SOCKET)
    await kubelet.start()
    ticking = asyncio.create_task(tick(plant))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    while line := await lines.readline():
        order = json.loads(line)
        if "pods" in order:
            pods = [pod_from(words) for words in order["pods"]]
            plant.update(pods, time.time_ns())
            await endpoints.sync(pods)
        if "kubelet" in order:
            await (kubelet.start() if order["kubelet"] else kubelet.stop())
        print("done", flush=True)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    await endpoints.close()
    await kubelet.stop()
    plant.close()
    truth.close()


if __name__ == "__main__":
    asyncio.run(stage(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
