"""The truth reader on hand-written logs, whose sums anybody can do in the head."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_bed.truth import Grid, Truth, TruthLog

T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def ns(seconds: float) -> int:
    return int(T0.timestamp()) * 10**9 + round(seconds * 1e9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One GPU: idle at 30 W for 10 s, a job at 200 W for 10 s under 300 W and 10 s under 225 W at 150 W, then idle 10 s."""
    log = TruthLog(tmp_path)
    for seconds, owner, limit_w, energy_mj in (
        (0, "", 300, 5e9),
        (10, "team/train", 300, 5e9 + 300_000),
        (20, "team/train", 225, 5e9 + 2_300_000),
        (30, "", 225, 5e9 + 3_800_000),
        (35, "", 300, 5e9 + 3_950_000),
        (40, "", 300, 5e9 + 4_100_000),
    ):
        log.gpu(ns(seconds), "GPU-1", "gpu-a", owner and f"{owner}-worker-0", owner, limit_w, energy_mj)
    for seconds, steps, running in (
        (10, 0, True),
        (20, 1000, True),
        (22, 1200, False),
        (25, 1200, True),
        (30, 1700, False),
    ):
        log.job(ns(seconds), "team/train", "uid", steps, running=running)
    log.close()
    return tmp_path


def test_energy_is_found_by_job_pod_gpu_and_time(folder: Path) -> None:
    """Totals, and a range that cuts stretches."""
    truth = Truth.read(folder)
    assert truth.energy_mj(job="team/train") == pytest.approx(3_500_000)
    assert truth.energy_mj(pod="team/train-worker-0") == pytest.approx(3_500_000)
    assert truth.energy_mj(uuid="GPU-1") == pytest.approx(4_100_000)
    assert truth.energy_mj(job="team/train", start=at(15), end=at(22)) == pytest.approx(1_000_000 + 300_000)
    assert truth.idle_energy_mj() == pytest.approx(600_000)
    assert truth.energy_mj(job="team/other") == 0


def test_carbon_takes_the_intensity_of_each_moment(folder: Path) -> None:
    """Stretches are cut at the boundaries of the grid's intervals."""
    grid = [Grid(at(15), at(99), 100.0), Grid(at(-60), at(15), 500.0)]
    grams = (1_000_000 * 500 + 1_000_000 * 100 + 1_500_000 * 100) / 3.6e9
    assert Truth.read(folder).carbon_g(grid, job="team/train") == pytest.approx(grams)


@pytest.mark.parametrize(
    "grid",
    [[Grid(at(0), at(12), 500.0)], [Grid(at(0), at(60), 1.0), Grid(at(12), at(60), 1.0)]],
    ids=["gap", "overlap"],
)
def test_carbon_without_one_intensity_is_refused(folder: Path, grid: list[Grid]) -> None:
    """Nothing is assumed about a moment that the grid does not cover exactly once."""
    with pytest.raises(ValueError, match="no single intensity"):
        Truth.read(folder).carbon_g(grid, job="team/train")


def test_switches_are_the_changes_of_limit(folder: Path) -> None:
    """A new owner at the same limit is none; the job's own are told apart from the restore."""
    truth = Truth.read(folder)
    switches = [(switch.at, switch.from_w, switch.to_w, switch.job) for switch in truth.switches()]
    assert switches == [(at(20), 300, 225, "team/train"), (at(35), 225, 300, "")]
    assert [switch.at for switch in truth.switches(job="team/train")] == [at(20)]
    assert truth.limit_w("GPU-1") == 300


def test_elapsed_leaves_pauses_out(folder: Path) -> None:
    """20 s passed, 3 of them with a worker missing."""
    samples = Truth.read(folder).progress["team/train"]
    assert [sample.elapsed_s for sample in samples] == pytest.approx([0, 10, 12, 12, 17])
    assert samples[-1].steps == 1700


def test_second_run_of_a_name_starts_at_zero(folder: Path) -> None:
    """A job that was deleted and made anew has another UID."""
    log = TruthLog(folder)
    log.job(ns(50), "team/train", "uid-2", 0, running=True)
    log.job(ns(51), "team/train", "uid-2", 100, running=False)
    log.close()
    assert [sample.elapsed_s for sample in Truth.read(folder).progress["team/train"]] == [0, 1]


def test_line_that_is_being_written_is_left_out(folder: Path) -> None:
    """Reading beside the emulator sees whole lines only."""
    with (folder / "gpus.csv").open("a") as file:
        file.write(f"{ns(50)},GPU-1,gpu-a,,,300.0")
    assert Truth.read(folder).energy_mj() == pytest.approx(4_100_000)
