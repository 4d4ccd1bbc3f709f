"""The demo's checks: they pass on a performance that kept every promise, and each fails on the one it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carbonzeus_bed.demo import checks
from carbonzeus_bed.demo.checks import Check, Evidence
from carbonzeus_bed.demo.ledger import Report
from carbonzeus_bed.demo.scenario import Job
from carbonzeus_bed.gpus import Write
from carbonzeus_bed.truth import Grid, Progress, Stretch, Truth

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DUO = Job("duo", managed=True, ends=timedelta(seconds=60), steps_per_second=100)
PLAIN = Job("plain", managed=False, ends=timedelta(seconds=60), steps_per_second=100)
LIMITS_W = (300.0, 250.0, 225.0, 200.0, 230.0, 175.0)
"""Each for ten seconds; after that the GPU is idle and at 300 W."""
POWER_W = 200.0
GPUS = {"GPU-1": "default/duo-0", "GPU-2": "default/duo-1"}


def ns(second: float) -> int:
    return round((BEGIN + timedelta(seconds=second)).timestamp()) * 10**9 + round(second % 1 * 1e9)


def stretch(uuid: str, start: float, end: float, limit_w: float, *, pod: str = "", job: str = "") -> Stretch:
    return Stretch(ns(start), ns(end), uuid, "gpu-a", pod, job, limit_w, POWER_W * (end - start) * 1000)


def of_gpu(uuid: str, *, late_s: float = 0.0, limits_w: tuple[float, ...] = LIMITS_W) -> list[Stretch]:
    """A minute of training and ten idle seconds; switches come `late_s` after the others'."""
    pod = GPUS[uuid]
    starts = [0.0, *(10.0 * index + late_s for index in range(1, len(limits_w)))]
    ends = [*starts[1:], 60.0]
    training = [
        stretch(uuid, start, end, limit_w, pod=pod, job="default/duo")
        for start, end, limit_w in zip(starts, ends, limits_w, strict=True)
    ]
    return [*training, stretch(uuid, 60.0, 70.0, 300.0)]


def progress(pace: float) -> tuple[Progress, ...]:
    """A sample a second, at `pace` of the reference speed."""
    return tuple(
        Progress(BEGIN + timedelta(seconds=second), 100 * pace * second, float(second), running=second < 60)
        for second in range(61)
    )


def truth(*, late_s: float = 0.0, limits_w: tuple[float, ...] = LIMITS_W, pace: float = 0.98) -> Truth:
    plain = stretch("GPU-3", 0.0, 60.0, 300.0, pod="default/plain-0", job="default/plain")
    duo = [*of_gpu("GPU-1", limits_w=limits_w), *of_gpu("GPU-2", late_s=late_s, limits_w=limits_w)]
    return Truth((*duo, plain), {"default/duo": progress(pace), "default/plain": progress(1.0)})


def report(job: str) -> Report:
    """24 kJ at 300 gCO2eq/kWh are 2 g."""
    return Report(
        name=f"{job}-12345678",
        job=job,
        state="Finished",
        limit="",
        slowdown="2%",
        saved="10%",
        efficiency="9%",
        timing="1%",
        energy_mj=24_000_000,
        carbon_ug=2_000_000,
        baseline_ug=2_200_000,
        saved_ug=200_000,
        settled="100%",
        cells=0,
        all_in=True,
        conditions=(),
    )


def kept() -> Evidence:
    """Every promise was kept."""
    return Evidence(
        jobs=(DUO, PLAIN),
        reports={"duo": report("duo")},
        truth=truth(),
        writes=(Write(ns(10), 1, "GPU-1", 250_000, "SUCCESS"),),
        grid=(Grid(BEGIN, BEGIN + timedelta(hours=1), 300.0),),
        prior_w={"GPU-1": 300.0, "GPU-2": 300.0, "GPU-3": 300.0},
        final_w={"GPU-1": 300.0, "GPU-2": 300.0, "GPU-3": 300.0},
        slowdown=0.03,
        grace_s=1.0,
    )


def with_report(**changes: object) -> Evidence:
    return replace(kept(), reports={"duo": replace(report("duo"), **changes)})  # type: ignore[arg-type]


def test_a_performance_that_kept_every_promise_passes_every_check() -> None:
    """All eight say ok, each with what it looked at."""
    verdicts = checks.check(kept())
    assert [(one.name, one.detail) for one in verdicts if not one.ok] == []
    assert len(verdicts) == 8
    assert all(one.detail for one in verdicts)


@pytest.mark.parametrize(
    ("judge", "evidence", "says"),
    [
        (checks.reports_settled, replace(kept(), reports={}), "duo has no report"),
        (checks.reports_settled, with_report(cells=3, settled="90%"), "Finished with 90% settled"),
        (checks.reports_settled, with_report(all_in=False), "duo-12345678 is Finished"),
        (checks.reports_settled, with_report(state="Enforcing"), "duo-12345678 is Enforcing"),
        (
            checks.reports_settled,
            replace(kept(), reports={"duo": report("duo"), "plain": report("plain")}),
            "without asking",
        ),
        (checks.energy, with_report(energy_mj=24_130_000), "+0.54%"),
        (checks.energy, with_report(energy_mj=23_870_000), "-0.54%"),
        (checks.energy, replace(kept(), reports={}), "-100.00%"),
        (checks.carbon, with_report(carbon_ug=2_011_000), "+0.55%"),
        (
            checks.plain_untouched,
            replace(kept(), writes=(Write(ns(10), 1, "GPU-3", 300_000, "SUCCESS"),)),
            "GPU-3 of plain was written 1 times",
        ),
        (
            checks.plain_untouched,
            replace(kept(), writes=(Write(ns(10), 1, "GPU-3", 300_000, "NO_PERMISSION"),)),
            "GPU-3",
        ),
        (
            checks.limits_restored,
            replace(kept(), final_w={"GPU-1": 300.0, "GPU-2": 250.0, "GPU-3": 300.0}),
            "GPU-2 is at 250 W, was at 300 W",
        ),
        (checks.switched_together, replace(kept(), truth=truth(late_s=0.3)), "within 300 ms"),
        (checks.bound_kept, replace(kept(), truth=truth(pace=0.95)), "beyond its bound"),
        (checks.bound_kept, replace(kept(), truth=Truth(truth().stretches, {})), "never trained"),
        (checks.plan_followed, replace(kept(), truth=truth(limits_w=(300.0, 200.0))), "saw 1 different limits"),
        (checks.plan_followed, with_report(saved_ug=-1000), "saved -0.001 g"),
        (checks.plan_followed, with_report(saved_ug=None), "saved nothing"),
    ],
)
def test_a_broken_promise_fails_its_check(judge: Callable[[Evidence], Check], evidence: Evidence, says: str) -> None:
    """And the detail says what was wrong."""
    verdict = judge(evidence)
    assert not verdict.ok
    assert says in verdict.detail


def test_switches_apart_by_less_than_the_tolerance_pass() -> None:
    """200 ms are together."""
    verdict = checks.switched_together(replace(kept(), truth=truth(late_s=0.2)))
    assert verdict.ok
    assert verdict.detail == "5 switches, at most 200 ms apart"


def test_a_worker_that_misses_a_switch_fails() -> None:
    """The other worker's GPU stays behind at the last limit."""
    stretches = (*of_gpu("GPU-1"), *of_gpu("GPU-2", limits_w=(*LIMITS_W[:-1], LIMITS_W[-2])))
    verdict = checks.switched_together(replace(kept(), truth=Truth(stretches, {"default/duo": progress(0.98)})))
    assert not verdict.ok
    assert "1 of 2 GPUs went to 175 W" in verdict.detail


def test_a_limit_given_back_after_the_last_step_is_no_switch_of_the_training() -> None:
    """Workers end one after the other: the first one's GPU may be restored while the second still holds its own."""
    late = [
        *of_gpu("GPU-1")[:-1],
        stretch("GPU-1", 60.0, 61.0, 175.0, pod=GPUS["GPU-1"], job="default/duo"),
        stretch("GPU-1", 61.0, 70.0, 300.0, pod=GPUS["GPU-1"], job="default/duo"),
    ]
    evidence = replace(kept(), truth=Truth((*late, *of_gpu("GPU-2")), {"default/duo": progress(0.98)}))
    assert checks.switched_together(evidence).ok


def test_the_bound_holds_at_every_moment_not_only_at_the_end() -> None:
    """A job that catches up in the end was behind in the middle."""
    slow_then_fast = tuple(
        replace(sample, steps=100 * (0.9 * sample.elapsed_s if sample.elapsed_s < 40 else sample.elapsed_s))
        for sample in progress(1.0)
    )
    verdict = checks.bound_kept(replace(kept(), truth=Truth(truth().stretches, {"default/duo": slow_then_fast})))
    assert not verdict.ok
    assert "after 39.0 s" in verdict.detail
