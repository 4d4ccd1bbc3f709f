"""Whether the demo kept what the project promises. Pure: evidence in, one verdict a promise out.

The truth is the emulator's own log. Nothing here shares code with what it judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from carbonzeus_bed.demo.ledger import Report
from carbonzeus_bed.demo.scenario import Job
from carbonzeus_bed.gpus import Write
from carbonzeus_bed.truth import Grid, Progress, Switch, Truth

TOLERANCE = 0.005
TOGETHER = timedelta(milliseconds=250)
FEWEST_LIMITS = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is left when the curtain falls."""

    jobs: tuple[Job, ...]
    reports: Mapping[str, Report]
    """By name of the job."""
    truth: Truth
    writes: tuple[Write, ...]
    """Of all nodes."""
    grid: tuple[Grid, ...]
    """The actual intensity over real time."""
    prior_w: Mapping[str, float]
    """The limit of each GPU before carbonzeus came, by UUID."""
    final_w: Mapping[str, float]
    slowdown: float
    """The bound, as a share."""
    grace_s: float

    @property
    def managed(self) -> tuple[Job, ...]:
        return tuple(job for job in self.jobs if job.managed)


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and whether it was kept."""

    name: str
    ok: bool
    detail: str


def check(evidence: Evidence) -> list[Check]:
    """All checks, in the order in which a reader asks."""
    return [
        reports_settled(evidence),
        energy(evidence),
        carbon(evidence),
        plain_untouched(evidence),
        limits_restored(evidence),
        switched_together(evidence),
        bound_kept(evidence),
        plan_followed(evidence),
    ]


def reports_settled(evidence: Evidence) -> Check:
    """Each managed job has a report, finished and final; no other job has one."""
    troubles = []
    for job in evidence.jobs:
        report = evidence.reports.get(job.name)
        if job.managed and report is None:
            troubles.append(f"{job.name} has no report")
        elif job.managed and report is not None and not report.closed:
            troubles.append(f"{report.name} is {report.state} with {report.settled or 'nothing'} settled")
        elif not job.managed and report is not None:
            troubles.append(f"{job.name} has the report {report.name} without asking for one")
    names = ", ".join(job.name for job in evidence.managed)
    return _verdict("reports are finished and settled", troubles, names)


def energy(evidence: Evidence) -> Check:
    """The energy of each report against what its GPUs drew."""
    troubles: list[str] = []
    found: list[str] = []
    for job in evidence.managed:
        true_mj = evidence.truth.energy_mj(job=job.full_name)
        reported_mj = evidence.reports[job.name].energy_mj if job.name in evidence.reports else 0
        _compare(job.name, reported_mj / 3.6e6, true_mj / 3.6e6, "Wh", troubles, found)
    return _verdict(f"energy within {TOLERANCE:.1%} of the truth", troubles, ", ".join(found))


def carbon(evidence: Evidence) -> Check:
    """The carbon of each report against what its GPUs drew times the actual intensity of each moment."""
    troubles: list[str] = []
    found: list[str] = []
    for job in evidence.managed:
        true_g = evidence.truth.carbon_g(evidence.grid, job=job.full_name)
        reported_g = evidence.reports[job.name].carbon_ug / 1e6 if job.name in evidence.reports else 0.0
        _compare(job.name, reported_g, true_g, "g", troubles, found)
    return _verdict(f"carbon within {TOLERANCE:.1%} of energy x actual intensity", troubles, ", ".join(found))


def plain_untouched(evidence: Evidence) -> Check:
    """The GPUs of a job without the annotation were never written."""
    troubles, count = [], 0
    for job in evidence.jobs:
        if job.managed:
            continue
        uuids = {stretch.uuid for stretch in evidence.truth.select(job=job.full_name)}
        if not uuids:
            troubles.append(f"{job.name} never held a GPU")
        count += len(uuids)
        written = Counter(write.uuid for write in evidence.writes if write.uuid in uuids)
        troubles += [f"{uuid} of {job.name} was written {times} times" for uuid, times in sorted(written.items())]
    return _verdict("GPUs of the job without annotation never written", troubles, f"{count} of them")


def limits_restored(evidence: Evidence) -> Check:
    """Every GPU has the limit that it had before."""
    troubles = [
        f"{uuid} is at {evidence.final_w[uuid]:g} W, was at {prior_w:g} W"
        for uuid, prior_w in sorted(evidence.prior_w.items())
        if evidence.final_w[uuid] != prior_w
    ]
    return _verdict("every GPU back at its prior limit", troubles, f"{len(evidence.prior_w)} GPUs")


def switched_together(evidence: Evidence) -> Check:
    """All GPUs of a job take each new limit at the same moment."""
    troubles: list[str] = []
    largest, count = timedelta(0), 0
    for job in evidence.managed:
        switches = _while_training(evidence.truth, job)
        uuids = {stretch.uuid for stretch in evidence.truth.select(job=job.full_name)}
        by_gpu = {uuid: [one for one in switches if one.uuid == uuid] for uuid in sorted(uuids)}
        rounds = max((len(of_gpu) for of_gpu in by_gpu.values()), default=0)
        for number in range(rounds):
            together = [of_gpu[number] for of_gpu in by_gpu.values() if number < len(of_gpu)]
            first, last = min(one.at for one in together), max(one.at for one in together)
            largest, count = max(largest, last - first), count + 1
            limits = sorted({one.to_w for one in together})
            if len(together) < len(by_gpu) or len(limits) > 1 or last - first > TOGETHER:
                troubles.append(
                    f"{job.name} at {first:%H:%M:%S.%f}: {len(together)} of {len(by_gpu)} GPUs went to"
                    f" {', '.join(f'{limit_w:g}' for limit_w in limits)} W within {_ms(last - first)}"
                )
                break
    name = f"workers switch within {_ms(TOGETHER)} of each other"
    return _verdict(name, troubles, f"{count} switches, at most {_ms(largest)} apart")


def bound_kept(evidence: Evidence) -> Check:
    """At every moment: the work done is at least what the bound asks for, plus the grace."""
    troubles, found = [], []
    for job in evidence.managed:
        samples = evidence.truth.progress.get(job.full_name, ())
        if not samples or samples[-1].elapsed_s <= 0:
            troubles.append(f"{job.name} never trained")
            continue
        worst = min(samples, key=lambda sample: _spare_s(evidence, job, sample))
        spare_s = _spare_s(evidence, job, worst)
        if spare_s < 0:
            troubles.append(
                f"{job.name} was {-spare_s:.2f} s beyond its bound at {worst.at:%H:%M:%S} after {worst.elapsed_s:.1f} s"
            )
        last = samples[-1]
        behind = last.elapsed_s * job.steps_per_second / last.steps - 1
        found.append(f"{job.name} ended {behind:.2%} behind, never nearer than {spare_s:.2f} s")
    name = f"any-time bound of {evidence.slowdown:.0%} + {evidence.grace_s:g} s kept at every sample"
    return _verdict(name, troubles, ", ".join(found))


def plan_followed(evidence: Evidence) -> Check:
    """Limits moved, and that saved carbon: else nothing was shown."""
    troubles, found = [], []
    for job in evidence.managed:
        limits = {switch.to_w for switch in _while_training(evidence.truth, job)}
        saved_ug = evidence.reports[job.name].saved_ug if job.name in evidence.reports else None
        if len(limits) < FEWEST_LIMITS:
            troubles.append(f"{job.name} saw {len(limits)} different limits")
        if saved_ug is None or saved_ug <= 0:
            troubles.append(f"{job.name} saved {'nothing' if saved_ug is None else f'{saved_ug / 1e6:.3f} g'}")
        found.append(f"{job.name} {len(limits)} limits")
    return _verdict("limits followed the grid and saved carbon", troubles, ", ".join(found))


def _verdict(name: str, troubles: Sequence[str], found: str) -> Check:
    return Check(name, not troubles, "; ".join(troubles) if troubles else found)


def _compare(job: str, reported: float, true: float, unit: str, troubles: list[str], found: list[str]) -> None:
    if true <= 0:
        troubles.append(f"{job} drew no power")
        return
    error = reported / true - 1
    found.append(f"{job} {error:+.2%}")
    if abs(error) > TOLERANCE:
        troubles.append(f"{job} reports {reported:.4g} {unit}, the truth is {true:.4g} {unit} ({error:+.2%})")


def _while_training(truth: Truth, job: Job) -> list[Switch]:
    """The switches of a job's GPUs from its first step to its last."""
    ran = [sample.at for sample in truth.progress.get(job.full_name, ()) if sample.running]
    if not ran:
        return []
    end = next((sample.at for sample in truth.progress[job.full_name] if sample.at > ran[-1]), ran[-1])
    return [switch for switch in truth.switches(job=job.full_name) if ran[0] <= switch.at < end]


def _spare_s(evidence: Evidence, job: Job, sample: Progress) -> float:
    work_s = sample.steps / job.steps_per_second
    return work_s + evidence.grace_s - sample.elapsed_s / (1 + evidence.slowdown)


def _ms(length: timedelta) -> str:
    return f"{length / timedelta(milliseconds=1):.0f} ms"
