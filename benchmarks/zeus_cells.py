"""What the benchmark against Zeus runs: the same training on two kinds of board, one that Zeus profiles, one that we do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import zeus_account, zeus_ours
from benchmarks.zeus_account import Cost, Trail
from benchmarks.zeus_energy import SCRIPT
from benchmarks.zeus_stage import QuickStage

from carbonzeus_bed import physics
from carbonzeus_bed.truth import Truth

PRODUCT, NETWORK = "NVIDIA A40", "a40-resnet50"
SLOWDOWN = 0.03
SELECTORS = {"cost": "Zeus, eta 0.5 (its default)", "slowdown": "Zeus, at most 3 % slower"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One pace of training."""

    pace: float
    """Steps a second at the reference limit."""
    hours: float
    """Of the job, how long ours runs."""
    ours_speed: float
    zeus_speed: float
    """How much quicker than the job the clock on the wall sees it."""


PUBLISHED = 2.7
"""Steps a second of the run that the curve was published of: ImageNet's 1,281,167 images, 128 a step, in 3739.5 s at 300 W."""
CELLS = (Cell(20.0, 2.0, 20.0, 1.0), Cell(PUBLISHED, 2.0, 20.0, 4.0), Cell(0.2, 2.0, 20.0, 30.0))
"""Zeus's windows are of 40 steps: at a slow pace they take long enough to be read at a quicker clock as well."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What profiling did to a job."""

    profiling: Cost
    steps: float
    slowed: Cost
    """The part below the reference limit."""
    unwanted: Cost
    """The part at limits below what is then chosen, or planned."""
    most_behind_s: float
    """Of work, until the choice (Zeus) or at any time (ours)."""
    beyond_s: float
    """For how long it was behind by more than the grace."""
    whole: Cost
    """The job's first hours, profiling included."""


@dataclass(frozen=True, slots=True)
class ByZeus:
    """A run of Zeus."""

    selector: str
    version: str
    limits_w: tuple[int, ...]
    choice_w: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ByUs:
    """A run of ours."""

    outcome: Outcome
    refining: Cost
    """Of the windows at the reference limit after the last new limit was known."""
    settled_s: float
    """When the last new limit was known."""
    known_w: tuple[float, ...]
    first_saved_s: float
    """When the limit was first below the reference limit."""


def reference_w() -> float:
    """What the board draws at its default limit."""
    return at(physics.PRODUCTS[PRODUCT].default_w)[0]


def at(limit_w: float) -> tuple[float, float]:
    """Average power and r of the emulated board at a limit."""
    load = physics.load(physics.CURVES[NETWORK], physics.PRODUCTS[PRODUCT], limit_w)
    return load.power_w, load.speed


def zeus(cell: Cell, folder: Path, lib_dir: Path, zeus_python: str, grace_s: float) -> list[ByZeus]:
    """One run with each selector, side by side. RuntimeError where Zeus's process fails."""
    stage = QuickStage(folder, PRODUCT, len(SELECTORS), cell.zeus_speed)
    try:
        runs = [
            subprocess.Popen(
                [zeus_python, str(SCRIPT), "optimize", str(stage.beat(name)), *_files(folder, name), name],
                env=stage.environment(lib_dir, index),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for index, name in enumerate(SELECTORS)
        ]
        for run in runs:
            assert run.stdout is not None
            if run.stdout.readline().strip() != "ready":
                raise RuntimeError("Zeus's process ended early: see its message above")
        pods = [
            stage.pod(name, network=NETWORK, steps_per_second=cell.pace * cell.zeus_speed, metrics_port=0)
            for name in SELECTORS
        ]
        stage.pods(*pods)
        for run in runs:
            assert run.stdin is not None
            run.stdin.write("go\n")
            run.stdin.flush()
        for run in runs:
            run.communicate()
            if run.returncode != 0:
                raise RuntimeError(f"Zeus's process ended with {run.returncode}")
    finally:
        stage.close()
    return list(_judged(cell, folder, stage.gpus, grace_s))


def _files(folder: Path, name: str) -> tuple[str, str]:
    return str(folder / f"{name}.json"), str(folder / f"{name}.profile.json")


def _judged(cell: Cell, folder: Path, gpus: list[str], grace_s: float) -> Iterator[ByZeus]:
    truth = Truth.read(folder / "truth")
    for name, gpu in zip(SELECTORS, gpus, strict=True):
        found = json.loads(Path(_files(folder, name)[0]).read_text(encoding="utf-8"))
        trail = zeus_account.trail(truth, f"team/{name}", gpu, cell.pace, cell.zeus_speed)
        begin_s, end_s = trail.moment_s(found["began_ns"]), trail.moment_s(found["chosen_ns"])
        profiling = zeus_account.spent(trail, begin_s, end_s)
        # The first limit that it profiles is the reference limit, for as many steps as any.
        first_s = found["steps"] / len(found["limits_w"]) / cell.pace
        watts, r = at(found["choice_w"])
        after_s = cell.hours * 3600 - end_s
        yield ByZeus(
            name,
            found["zeus"],
            tuple(found["limits_w"]),
            found["choice_w"],
            Outcome(
                profiling=profiling,
                steps=found["steps"],
                slowed=zeus_account.spent(trail, begin_s + first_s, end_s),
                unwanted=zeus_account.total(trail, list(_below(trail, truth, gpu, found))),
                most_behind_s=zeus_account.most_behind_s(trail, SLOWDOWN, end_s),
                beyond_s=zeus_account.beyond_s(trail, SLOWDOWN, grace_s, end_s),
                whole=zeus_account.spent(trail, 0.0, end_s) + Cost(after_s, r * after_s, watts * after_s),
            ),
        )


def _below(trail: Trail, truth: Truth, gpu: str, found: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """When a profile held limits below its choice."""
    for each in truth.select(uuid=gpu):
        if each.limit_w < found["choice_w"] and found["began_ns"] <= each.start_ns < found["chosen_ns"]:
            yield trail.moment_s(each.start_ns), trail.moment_s(each.end_ns)


def ours(cell: Cell, folder: Path, lib_dir: Path, grace_s: float) -> ByUs:
    """A run of ours, with the agent's own process."""
    job = zeus_ours.start(folder, lib_dir, PRODUCT, NETWORK, cell.pace, cell.ours_speed, SLOWDOWN)
    try:
        job.run(cell.hours * 3600)
    finally:
        job.agent.close()
        job.stage.close()
    truth, gpu = Truth.read(folder / "truth"), job.stage.gpus[0]
    trail = zeus_account.trail(truth, f"team/{zeus_ours.POD}", gpu, cell.pace, cell.ours_speed)
    lead_s = trail.moment_s(job.began_ns)
    top_w = physics.PRODUCTS[PRODUCT].default_w
    end_s = cell.hours * 3600
    measured = zeus_account.within(zeus_ours.profiled(job.windows, job.settled_s, top_w), lead_s, end_s)
    later = zeus_account.within(zeus_ours.refined(job.windows, job.settled_s, top_w), lead_s, end_s)
    slowed = zeus_account.within(zeus_ours.below(job.windows, top_w), lead_s, end_s)
    unwanted = zeus_account.within(zeus_ours.below(job.windows, min(job.chosen_w, top_w)), lead_s, end_s)
    profiling = zeus_account.total(trail, measured)
    first = next((it.at.timestamp() for it in truth.switches(uuid=gpu) if it.to_w < top_w), None)
    return ByUs(
        outcome=Outcome(
            profiling=profiling,
            steps=profiling.work_s * cell.pace,
            slowed=zeus_account.total(trail, slowed),
            unwanted=zeus_account.total(trail, unwanted),
            most_behind_s=zeus_account.most_behind_s(trail, SLOWDOWN),
            beyond_s=zeus_account.beyond_s(trail, SLOWDOWN, grace_s),
            whole=zeus_account.spent(trail, 0.0, end_s),
        ),
        refining=zeus_account.total(trail, later),
        settled_s=job.settled_s + lead_s,
        known_w=job.learner.known,
        first_saved_s=trail.moment_s(round(first * 1e9)) if first is not None else end_s,
    )
