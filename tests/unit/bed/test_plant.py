"""Boards and jobs in motion, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_bed.gpus import gpu_uuid, read_speeds
from carbonzeus_bed.physics import CURVES, IDLE_SM_MHZ
from carbonzeus_bed.plant import Board, NodeSpec, Plant
from carbonzeus_bed.pods import Pod
from carbonzeus_bed.truth import Truth, TruthLog

T0_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
RESNET = CURVES["a40-resnet50"]
FULL_W = RESNET.power_w(300)


def worker(name: str, node: str = "gpu-a", *, gpus: int = 1, job: str = "train", workers: int = 1) -> Pod:
    """A running worker of a job."""
    return Pod(
        uid=f"uid-{name}",
        namespace="team",
        name=name,
        node=node,
        ip="127.0.0.1",
        phase="Running",
        deleting=False,
        containers=(("pytorch", gpus),),
        job=f"team/{job}",
        job_uid=f"uid-{job}",
        workers=workers,
    )


class Bed:
    """A plant with two A40 on each of two nodes, without noise unless asked for."""

    def __init__(self, folder: Path, *, noise: float = 0.0, replicas: int = 1) -> None:
        self.folder = folder
        self.log = TruthLog(folder / "truth")
        nodes = [NodeSpec("gpu-a", 2, replicas=replicas), NodeSpec("gpu-b", 2)]
        self.plant = Plant(folder / "nodes", nodes, self.log, now_ns=T0_NS, seed=1, noise=noise)
        self.now_ns = T0_NS

    def pods(self, *pods: Pod) -> None:
        self.plant.update(pods, self.now_ns)

    def run(self, seconds: float, tick_s: float = 0.02) -> None:
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + round(tick_s * 1e9))
            self.plant.tick(self.now_ns)

    def board(self, node: str, index: int) -> Board:
        return next(board for board in self.plant.boards if board.uuid == gpu_uuid(node, index))

    def limit(self, node: str, index: int, limit_w: float, *, at_ns: int | None = None) -> None:
        """As the library does: the instant first, then the limit."""
        state = self.board(node, index).state
        state.limit_changed_ns = self.now_ns if at_ns is None else at_ns
        state.limit_mw = round(limit_w * 1000)

    def steps(self, job: str = "train") -> float:
        return self.plant.training.jobs[f"uid-{job}"].steps

    def truth(self) -> Truth:
        self.log.flush()
        return Truth.read(self.folder / "truth")

    def close(self) -> None:
        self.plant.close()
        self.log.close()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    bed = Bed(tmp_path)
    yield bed
    bed.close()


def test_idle_board_draws_idle_power(bed: Bed) -> None:
    """30 W, lowest clocks, no utilisation."""
    board = bed.board("gpu-a", 0)
    before_mj = board.energy_mj
    bed.run(2)
    assert board.energy_mj - before_mj == pytest.approx(60_000)
    assert (board.state.power_mw, board.state.sm_mhz, board.state.utilization) == (30_000, IDLE_SM_MHZ, 0)


def test_training_board_draws_its_curve_and_steps_at_full_speed(bed: Bed) -> None:
    """At the default limit a job does its steps per second at the curve's power."""
    board = bed.board("gpu-a", 0)
    before_mj = board.energy_mj
    bed.pods(worker("w0"))
    bed.run(10)
    assert bed.steps() == pytest.approx(1000)
    assert board.energy_mj - before_mj == pytest.approx(FULL_W * 10_000)
    assert board.state.utilization == 100


def test_limit_takes_effect_at_its_own_instant(bed: Bed) -> None:
    """A write between two ticks counts from when it was written, not from the tick."""
    bed.pods(worker("w0"))
    bed.run(1)
    board = bed.board("gpu-a", 0)
    before_mj, before_steps = board.energy_mj, bed.steps()
    bed.limit("gpu-a", 0, 200, at_ns=bed.now_ns + 300_000_000)
    bed.run(1, tick_s=1)
    expected_w = 0.3 * FULL_W + 0.7 * RESNET.power_w(200)
    assert board.energy_mj - before_mj == pytest.approx(expected_w * 1000)
    assert bed.steps() - before_steps == pytest.approx(100 * (0.3 + 0.7 * RESNET.speed(200)))
    (switch,) = bed.truth().switches(job="team/train")
    assert (switch.from_w, switch.to_w) == (300, 200)
    assert switch.at.timestamp() == pytest.approx(T0_NS / 1e9 + 1.3, abs=1e-5)


def test_counter_moves_every_100_ms(bed: Bed) -> None:
    """The counter is the exact energy of the last multiple of 100 ms, and still in between."""
    bed.pods(worker("w0"))
    bed.run(1)
    state = bed.board("gpu-a", 0).state
    at_second = state.counter_mj
    assert at_second == int(state.energy_mj)
    bed.run(0.08)
    assert state.counter_mj == at_second
    bed.run(0.04)
    assert state.counter_mj == pytest.approx(at_second + FULL_W * 100, abs=1)


def test_power_reading_averages_the_last_second(bed: Bed) -> None:
    """Half a second after training begins the mean is half way, and the moment already there."""
    bed.run(2)
    bed.pods(worker("w0"))
    bed.run(0.5)
    state = bed.board("gpu-a", 0).state
    assert state.power_mw == round(FULL_W * 1000)
    assert state.average_power_mw == pytest.approx((30 + FULL_W) / 2 * 1000, rel=0.02)
    bed.run(1)
    assert state.average_power_mw == pytest.approx(FULL_W * 1000, rel=0.001)


def test_two_workers_move_at_the_slower_ones_pace(bed: Bed) -> None:
    """One capped GPU sets the pace of all four; the others wait and draw proportionally less."""
    bed.pods(worker("w0", "gpu-a", gpus=2, workers=2), worker("w1", "gpu-b", gpus=2, workers=2))
    bed.run(1)
    assert bed.steps() == pytest.approx(100)
    bed.limit("gpu-b", 1, 150)
    bed.run(10)
    slow = RESNET.speed(150)
    assert bed.steps() == pytest.approx(100 + 1000 * slow)
    assert bed.board("gpu-b", 1).power_w == pytest.approx(RESNET.power_w(150))
    for node, index in (("gpu-a", 0), ("gpu-a", 1), ("gpu-b", 0)):
        board = bed.board(node, index)
        assert board.power_w == pytest.approx(30 + slow * (FULL_W - 30))
        assert board.state.utilization == round(100 * slow)


def test_slow_board_sets_the_pace_until_it_is_a_good_one_again(bed: Bed) -> None:
    """At the same limits everywhere: it works all the time at a lower clock, and the others wait for it."""
    bed.pods(worker("w0", "gpu-a", gpus=2, workers=2), worker("w1", "gpu-b", gpus=2, workers=2))
    bed.plant.set_speeds({gpu_uuid("gpu-b", 1): 0.85}, bed.now_ns)
    bed.run(10)
    slow, other = bed.board("gpu-b", 1), bed.board("gpu-a", 0)
    assert bed.steps() == pytest.approx(850)
    assert (slow.state.utilization, other.state.utilization) == (100, 85)
    assert slow.state.sm_mhz < 0.86 * other.state.sm_mhz
    assert slow.power_w == pytest.approx(FULL_W)
    assert other.power_w == pytest.approx(30 + 0.85 * (FULL_W - 30))
    bed.plant.set_speeds({}, bed.now_ns)
    bed.run(10)
    assert bed.steps() == pytest.approx(1850)


def test_speeds_are_kept_beside_the_boards(bed: Bed) -> None:
    """What was set of one board stays when another one is set; no board stands still or is faster than a good one."""
    node = bed.plant.nodes["gpu-a"]
    assert read_speeds(node.folder) == {}
    node.set_speed(0, 0.85)
    node.set_speed(gpu_uuid("gpu-a", 1), 0.9)
    node.set_speed(0, 1)
    assert read_speeds(node.folder) == {gpu_uuid("gpu-a", 0): 1, gpu_uuid("gpu-a", 1): 0.9}
    for speed in (0, 1.1):
        with pytest.raises(ValueError, match="speed is above 0"):
            node.set_speed(0, speed)


@pytest.mark.parametrize("change", [{"phase": "Pending"}, {"deleting": True}, None])
def test_job_stands_while_a_worker_is_missing(bed: Bed, change: dict[str, object] | None) -> None:
    """It trains only while all of its workers run; the GPUs it holds idle meanwhile."""
    first, second = worker("w0", workers=2), worker("w1", "gpu-b", workers=2)
    bed.pods(first, second)
    bed.run(1)
    bed.pods(first, *([] if change is None else [replace(second, **change)]))  # type: ignore[arg-type]
    bed.run(5)
    assert bed.steps() == pytest.approx(100)
    assert bed.board("gpu-a", 0).power_w == 30
    bed.pods(first, second)
    bed.run(1)
    assert bed.steps() == pytest.approx(200)


def test_elapsed_counts_only_while_all_workers_run(bed: Bed) -> None:
    """The truth's clock of a job stops with it."""
    first, second = worker("w0", workers=2), worker("w1", "gpu-b", workers=2)
    for pods, seconds in (([first, second], 3), ([first], 7), ([first, second], 2)):
        bed.pods(*pods)
        bed.run(seconds)
    bed.pods()
    last = bed.truth().progress["team/train"][-1]
    assert last.elapsed_s == pytest.approx(5, abs=0.01)
    assert last.steps == pytest.approx(500, abs=1)


def test_job_with_planned_steps_ends_with_them(bed: Bed) -> None:
    """It stops at its last step, and its GPU idles until the pod is taken away."""
    bed.pods(replace(worker("w0"), steps=250))
    bed.run(4)
    job = bed.plant.training.jobs["uid-train"]
    assert (job.steps, job.complete, job.running) == (250, True, False)
    assert bed.board("gpu-a", 0).power_w == 30
    assert bed.truth().progress["team/train"][-1].running is False


def test_finished_pod_gives_its_gpu_back(bed: Bed) -> None:
    """A Succeeded pod holds nothing, and the next one gets the GPU."""
    bed.pods(worker("w0"))
    bed.run(1)
    bed.pods(replace(worker("w0"), phase="Succeeded"))
    assert bed.board("gpu-a", 0).owner == ""
    bed.pods(replace(worker("w0"), phase="Succeeded"), worker("next", job="other"))
    assert bed.board("gpu-a", 0).owner == "team/next"


def test_time_sliced_gpu_is_shared_by_its_pods(tmp_path: Path) -> None:
    """Two jobs on one GPU go half as fast each, and the GPU draws no more than one of them would."""
    bed = Bed(tmp_path, replicas=2)
    pods = [worker(f"w{index}", job=f"job{index}") for index in range(3)]
    bed.pods(*pods)
    bed.run(10)
    board = bed.board("gpu-a", 0)
    assert board.owner == "team/w0 team/w2"
    assert bed.steps("job0") == pytest.approx(500)
    assert bed.steps("job1") == pytest.approx(1000)
    assert board.power_w == pytest.approx(FULL_W)
    bed.close()


def test_slow_ticks_and_fast_ticks_give_the_same_energy(tmp_path: Path) -> None:
    """How often the emulator gets the processor does not change what was drawn."""
    energies = []
    for tick_s in (0.01, 0.7):
        bed = Bed(tmp_path / str(tick_s))
        bed.pods(worker("w0"))
        for limit_w in (250, 150, 300):
            bed.limit("gpu-a", 0, limit_w)
            bed.run(2.1, tick_s=tick_s)
        energies.append(bed.board("gpu-a", 0).energy_mj)
        bed.close()
    assert energies[0] == pytest.approx(energies[1])


def test_clock_that_jumps_back_loses_no_energy(bed: Bed) -> None:
    """Time that was lived already is not lived again, and nothing runs backwards."""
    bed.pods(worker("w0"))
    bed.run(2)
    before_mj = bed.board("gpu-a", 0).energy_mj
    bed.plant.tick(bed.now_ns - SECOND_NS)
    assert bed.board("gpu-a", 0).energy_mj == before_mj


@settings(max_examples=25, deadline=None)
@given(
    switches=st.lists(st.tuples(st.integers(0, 3), st.integers(100, 300), st.integers(1, 900)), max_size=12),
    noise=st.sampled_from([0.0, 0.01]),
)
def test_energy_is_the_integral_of_power(switches: list[tuple[int, int, int]], noise: float) -> None:
    """Over any switching, what the truth attributes to jobs and to idling adds up to the boards' energy, and to power x time."""
    with TemporaryDirectory() as folder:
        bed = Bed(Path(folder), noise=noise)
        start_mj = {board.uuid: board.energy_mj for board in bed.plant.boards}
        integral_mj = dict.fromkeys(start_mj, 0.0)
        bed.pods(worker("w0", gpus=2), worker("solo", "gpu-b", job="solo"))
        for slot, limit_w, wait_ms in switches:
            board = bed.plant.boards[slot]
            bed.limit(board.node, int(board.state.minor), limit_w)
            for _ in range(wait_ms):
                bed.now_ns += 1_000_000
                bed.plant.tick(bed.now_ns)
                for each in bed.plant.boards:
                    integral_mj[each.uuid] += each.state.power_mw / 1000
        bed.pods()
        truth = bed.truth()
        drawn_mj = {board.uuid: board.energy_mj - start_mj[board.uuid] for board in bed.plant.boards}
        for uuid, energy_mj in drawn_mj.items():
            assert truth.energy_mj(uuid=uuid) == pytest.approx(energy_mj, abs=0.01)
            assert integral_mj[uuid] == pytest.approx(energy_mj, rel=0.002, abs=300)
        owned_mj = truth.energy_mj(job="team/train") + truth.energy_mj(job="team/solo")
        assert owned_mj + truth.idle_energy_mj() == pytest.approx(sum(drawn_mj.values()), abs=0.01)
        bed.close()


def test_noise_leaves_the_reference_speed_where_it_is(tmp_path: Path) -> None:
    """However many GPUs a job has, its mean speed at the default limit is what its pods say."""
    bed = Bed(tmp_path, noise=0.01)
    bed.pods(worker("w0", "gpu-a", gpus=2, workers=2), worker("w1", "gpu-b", gpus=2, workers=2))
    bed.run(2000, tick_s=0.5)
    assert bed.steps() == pytest.approx(200_000, rel=0.002)
    bed.close()
