"""Which jobs are learned of, as what, and what is said of those that are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from carbonzeus_operator.decide import reconcile
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.reports import events_of
from carbonzeus_operator.resources.base import Condition
from carbonzeus_operator.terms import subject_of, terms_of
from carbonzeus_operator.world.objects import Job
from carbonzeus_operator.world.snapshot import JobView, NodeView, Snapshot
from tests.unit.operator import world
from tests.unit.operator.world import NOON, RULES


def unnamed(**annotations: str) -> Job:
    """A job that names no profile."""
    job = world.job(workers=2, **annotations)
    kept = {key: value for key, value in job.annotations.items() if not key.endswith("/profile")}
    return replace(job, annotations=kept, fingerprint="f" * 16, workload="resnet:v1")


def cluster(job: Job, *, other: str = "NVIDIA A40", reference_w: float | None = 300.0) -> Snapshot:
    """Two workers on two nodes."""
    gpus = [world.gpu("GPU-0", "ml/w-0"), world.gpu("GPU-1", "ml/w-1")]
    gpus[1] = gpus[1].model_copy(update={"product": other})
    gpus = [gpu.model_copy(update={"reference_limit_watts": reference_w}) for gpu in gpus]
    nodes = {f"n{number}": NodeView(f"n{number}", "us-west-1", (gpu,), problem=None) for number, gpu in enumerate(gpus)}
    view = JobView(job, (world.pod("w-0", "n0"), world.pod("w-1", "n1")))
    return world.cluster(view, nodes=nodes)


def subject(snapshot: Snapshot):
    (view,) = snapshot.jobs
    terms = terms_of(view, snapshot)
    assert terms is not None
    return subject_of(view, terms, snapshot)


def test_a_job_is_learned_of_by_what_it_runs_on() -> None:
    """Workload, product, number of GPUs, the limits that may be planned, and whether it counts its steps."""
    found = subject(cluster(unnamed(progress="port=9100,metric=steps")))
    assert found is not None
    assert (found.workload, found.product, found.gpus, found.counts) == ("resnet:v1", "NVIDIA A40", 2, True)
    assert (found.reference_limit_w, found.minimum_w) == (300.0, 150.0)
    silent = subject(cluster(unnamed()))
    assert silent is not None
    assert not silent.counts
    assert silent.profile != found.profile


def test_a_job_on_several_products_is_told_why_nothing_is_learned() -> None:
    """And what to do."""
    with pytest.raises(InvalidSpec, match=r"several GPU products \(NVIDIA A40, NVIDIA H100\)") as raised:
        subject(cluster(unnamed(), other="NVIDIA H100"))
    assert raised.value.reason == "MixedProducts"
    (decision,) = reconcile(cluster(unnamed(), other="NVIDIA H100"), RULES).jobs
    assert decision.findings[0].reason == "MixedProducts"
    assert all(plan.mode == "Observe" for _, plan in decision.pod_plans)


def test_a_board_that_tells_no_limit_cannot_be_learned_of() -> None:
    """Nothing can be tried on it."""
    with pytest.raises(InvalidSpec, match="tells no power limit"):
        subject(cluster(unnamed(), reference_w=None))


def test_a_job_that_cannot_be_told_from_others_is_not_learned_of() -> None:
    """Without containers there is no fingerprint."""
    assert subject(cluster(replace(unnamed(), fingerprint=""))) is None


def test_learning_makes_no_noise() -> None:
    """A condition that says that something is being measured is no trouble; that nothing can be learned is."""
    job = unnamed()

    def condition(status: str, reason: str) -> Condition:
        return Condition(type="CurveKnown", status=status, reason=reason, message="", last_transition_time=NOON)

    def events(before: Condition | None, after: Condition) -> list[str]:
        found = events_of(job, [before] if before else [], [after], NOON + timedelta(minutes=1))
        return [f"{event['type']} {event['reason']}" for event in found]

    warming, measuring = condition("False", "WarmingUp"), condition("False", "Measuring")
    assert events(None, warming) == []
    assert events(warming, measuring) == []
    assert events(measuring, condition("True", "Learned")) == ["Normal Learned"]
    assert events(measuring, condition("False", "TooNoisy")) == ["Warning TooNoisy"]
