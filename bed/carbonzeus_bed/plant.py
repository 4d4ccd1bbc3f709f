"""All boards and jobs of a bed in motion: what every GPU draws and how far every job comes, exact between any two moments.

Power and pace are constant between events (a limit changes, a pod comes or goes, the noise moves every 100 ms), so energy is a sum of products.
The plant gets the time from its caller and waits for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from carbonzeus_bed import physics
from carbonzeus_bed.gpus import GpuState, Node
from carbonzeus_bed.kubelet import Devices
from carbonzeus_bed.pods import Pod
from carbonzeus_bed.training import Job, Training
from carbonzeus_bed.truth import TruthLog

COUNTER_NS = 100_000_000
"""Boards refresh their energy counter ten times a second."""
NOISE_NS = 100_000_000
AVERAGE_NS = 1_000_000_000
TRUTH_NS = 250_000_000
_REASON_IDLE, _REASON_POWER_CAP = 0x1, 0x4


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node of `emulator.json`."""

    name: str
    gpus: int
    product: str = "NVIDIA A40"
    replicas: int = 1
    """Above 1: time slicing, every GPU is offered so many times."""


@dataclass(slots=True)
class Board:
    """One GPU: what it does now, and its energy up to `at_ns`."""

    state: GpuState
    node: str
    product: physics.Product
    power_noise: physics.Noise
    at_ns: int
    uuid: str = field(init=False)
    limit_mw: int = field(init=False)
    energy_mj: float = field(init=False)
    power_w: float = field(init=False)
    power_factor: float = field(init=False, default=1.0)
    speed: float = field(init=False, default=1.0)
    """Relative to a good board of its product."""
    owners: list[Pod] = field(init=False, default_factory=list)
    _window: deque[tuple[int, float]] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        self.uuid = self.state.uuid.decode()
        self.limit_mw = self.state.limit_mw
        self.energy_mj = self.state.energy_mj
        self.power_w = self.product.idle_w
        self._window.append((self.at_ns, self.energy_mj))

    @property
    def owner(self) -> str:
        return " ".join(sorted(pod.full_name for pod in self.owners))

    @property
    def job(self) -> str:
        return " ".join(sorted({pod.job for pod in self.owners}))

    def advance(self, to_ns: int) -> None:
        """Draws the present power until `to_ns`."""
        mark_ns = to_ns - to_ns % COUNTER_NS
        if mark_ns > self.at_ns:
            self.state.counter_mj = int(self.energy_mj + self.power_w * (mark_ns - self.at_ns) * 1e-6)
        self.energy_mj += self.power_w * (to_ns - self.at_ns) * 1e-6
        self.at_ns = to_ns

    def draw(self, jobs: list[tuple[physics.Load, float]]) -> None:
        """Takes up the work of `jobs`: each a load, and the share of the time that the board works on it."""
        busy = min(1.0, sum(share for _, share in jobs))
        idle_w = self.product.idle_w
        worked_w = sum(physics.shared_power_w(load.power_w, idle_w, share) - idle_w for load, share in jobs)
        self.power_w = (idle_w + worked_w) * self.power_factor
        state = self.state
        state.busy = bool(jobs)
        state.utilization = round(100 * busy)
        state.memory_utilization = round(60 * busy)
        state.temperature_c = round(30 + 45 * self.power_w / self.product.default_w)
        state.sm_mhz = max((load.sm_mhz for load, _ in jobs), default=physics.IDLE_SM_MHZ)
        state.mem_mhz = max((load.memory_mhz for load, _ in jobs), default=physics.IDLE_MEMORY_MHZ)
        capped = any(load.speed < self.speed for load, _ in jobs)
        state.clock_reasons = _REASON_POWER_CAP * capped if jobs else _REASON_IDLE

    def publish(self) -> None:
        """Shows callers of NVML where it stands."""
        state = self.state
        self._window.append((self.at_ns, self.energy_mj))
        while self._window[0][0] <= self.at_ns - AVERAGE_NS and self._window[1][0] <= self.at_ns - AVERAGE_NS:
            self._window.popleft()
        since_ns, since_mj = self._window[0]
        if self.at_ns > since_ns:
            state.average_power_mw = round((self.energy_mj - since_mj) / (self.at_ns - since_ns) * 1e9)
        state.power_mw = round(self.power_w * 1000)
        state.energy_mj = self.energy_mj
        state.tick_ns = self.at_ns


class Plant:
    """Every node, GPU, allocation and job of a bed."""

    def __init__(
        self, folder: Path, nodes: Iterable[NodeSpec], log: TruthLog, *, now_ns: int, seed: int, noise: float
    ) -> None:
        """Makes the nodes' state files below `folder`. `noise`: standard deviation of power and speed, relative."""
        self.now_ns = now_ns
        self.training = Training()
        self.devices: dict[str, Devices] = {}
        self.nodes: dict[str, Node] = {}
        self.boards: list[Board] = []
        self._log = log
        self._paces: dict[str, float] = {}
        self._seed = seed
        self._noise = noise
        self._job_noises: dict[str, physics.Noise] = {}
        self._job_factors: dict[str, float] = {}
        self._written: dict[str, tuple[float, bool]] = {}
        self._noise_ns = now_ns
        self._truth_ns = now_ns
        for spec in nodes:
            node = Node.create(folder / spec.name, spec.product, spec.gpus)
            self.nodes[spec.name] = node
            self.devices[spec.name] = Devices(node.uuids(), spec.replicas)
            for state in node:
                uuid = state.uuid.decode()
                board = Board(
                    state=state,
                    node=spec.name,
                    product=physics.PRODUCTS[spec.product],
                    power_noise=physics.Noise(f"{seed}/{uuid}/power", noise),
                    at_ns=now_ns,
                )
                self.boards.append(board)
        self._settle()
        for board in self.boards:
            board.publish()
        self._write_truth()

    def update(self, pods: Iterable[Pod], now_ns: int) -> None:
        """The pods of the bed as they are from now on."""
        self.tick(now_ns)
        pods = list(pods)
        before = {board.uuid: board.owner for board in self.boards}
        running = self._running()
        for name, devices in self.devices.items():
            devices.update(pod for pod in pods if pod.node == name)
        self.training.update(pods)
        owners: dict[str, list[Pod]] = {}
        for devices in self.devices.values():
            for pod in devices.pods:
                for uuid in devices.uuids(pod):
                    owners.setdefault(uuid, []).append(pod)
        for board in self.boards:
            board.owners = owners.get(board.uuid, [])
        self._settle()
        if running != self._running() or before != {board.uuid: board.owner for board in self.boards}:
            self._write_truth()

    def tick(self, now_ns: int) -> None:
        """Brings everything up to `now_ns`, each change of a limit at its own moment."""
        now_ns = max(now_ns, self.now_ns)
        changed = [board for board in self.boards if board.state.limit_mw != board.limit_mw]
        for board in sorted(changed, key=lambda board: board.state.limit_changed_ns):
            at_ns = min(max(board.state.limit_changed_ns, self.now_ns), now_ns)
            self._advance(at_ns)
            board.limit_mw = board.state.limit_mw
            self._settle()
            self._write_gpu(board)
        self._advance(now_ns)
        if now_ns - self._noise_ns >= NOISE_NS:
            self._stir((now_ns - self._noise_ns) / 1e9)
            self._noise_ns = now_ns
        for board in self.boards:
            board.publish()
        if now_ns - self._truth_ns >= TRUTH_NS:
            self._write_truth()

    def set_speeds(self, speeds: Mapping[str, float], now_ns: int) -> None:
        """How fast boards are from now on, by UUID, relative to a good one; those not named are good ones."""
        changed = [board for board in self.boards if board.speed != speeds.get(board.uuid, 1.0)]
        if changed:
            self.tick(now_ns)
            for board in changed:
                board.speed = speeds.get(board.uuid, 1.0)
            self._settle()

    def close(self) -> None:
        """Writes the last lines of the truth and lets go of the boards."""
        self._write_truth()
        for node in self.nodes.values():
            node.close()

    def _running(self) -> set[str]:
        return {uid for uid, job in self.training.jobs.items() if job.running}

    def _advance(self, to_ns: int) -> None:
        if to_ns <= self.now_ns:
            return
        seconds = (to_ns - self.now_ns) / 1e9
        for board in self.boards:
            board.advance(to_ns)
        done = False
        for uid, pace in self._paces.items():
            job = self.training.jobs[uid]
            job.advance(seconds, pace)
            done = done or job.complete
        self.now_ns = to_ns
        if done:
            self._settle()
            self._write_truth()

    def _stir(self, seconds: float) -> None:
        for board in self.boards:
            board.power_factor = board.power_noise.step(seconds)
        for uid, job in self.training.jobs.items():
            # One noise a job: its reference speed stays what its pods say, however many GPUs it has.
            if uid not in self._job_noises:
                asked = next((pod.noise for pod in job.pods if pod.noise is not None), self._noise)
                self._job_noises[uid] = physics.Noise(f"{self._seed}/{job.name}", asked)
            self._job_factors[uid] = self._job_noises[uid].step(seconds)
        self._settle()

    def _settle(self) -> None:
        """What everything does until the next event: jobs at the pace of their slowest GPU, GPUs as busy as that needs."""
        work: dict[str, list[tuple[physics.Load, float]]] = {board.uuid: [] for board in self.boards}
        self._paces = {}
        held: dict[str, list[Board]] = {}
        for board in self.boards:
            for uid in {pod.job_uid for pod in board.owners}:
                held.setdefault(uid, []).append(board)
        for uid, job in self.training.jobs.items():
            boards = held.get(uid, [])
            if not boards or not job.running or not _holds_all(job, boards):
                continue
            curve = physics.CURVES[job.pods[0].network]
            loads = [physics.load(curve, board.product, board.limit_mw / 1000, board.speed) for board in boards]
            pace = min(load.speed / len(board.owners) for load, board in zip(loads, boards, strict=True))
            self._paces[uid] = pace * self._job_factors.get(uid, 1.0)
            for board, load in zip(boards, loads, strict=True):
                work[board.uuid].append((load, pace / load.speed))
        for board in self.boards:
            board.draw(work[board.uuid])

    def _write_truth(self) -> None:
        for board in self.boards:
            self._write_gpu(board, flush=False)
        for uid, job in self.training.jobs.items():
            running = uid in self._paces
            if running or self._written.get(uid) != (job.steps, running):
                self._log.job(self.now_ns, job.name, uid, job.steps, running=running)
                self._written[uid] = (job.steps, running)
        self._log.flush()
        self._truth_ns = self.now_ns

    def _write_gpu(self, board: Board, *, flush: bool = True) -> None:
        limit_w = board.limit_mw / 1000
        self._log.gpu(self.now_ns, board.uuid, board.node, board.owner, board.job, limit_w, board.energy_mj)
        if flush:
            self._log.flush()


def _holds_all(job: Job, boards: list[Board]) -> bool:
    """Whether every worker got the GPUs that it asked for."""
    asked = sum(pod.gpus for pod in job.pods if not pod.finished)
    return asked == sum(pod.job_uid == job.uid for board in boards for pod in board.owners)
