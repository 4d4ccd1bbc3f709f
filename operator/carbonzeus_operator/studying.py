"""Which jobs are learned of, and with what they begin: what their report keeps, what their profile keeps, or nothing. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.learning import memory
from carbonzeus_operator.learning.study import Study, Workers
from carbonzeus_operator.learning.subject import Subject
from carbonzeus_operator.resources.profile import PowerProfileStatus
from carbonzeus_operator.run import Run
from carbonzeus_operator.terms import gpus_of, is_learned, subject_of, terms_of
from carbonzeus_operator.world.objects import Key, Pod
from carbonzeus_operator.world.snapshot import NodeView, Rules, Snapshot

log = logging.getLogger(__name__)


def study(run: Run, pods: Iterable[Pod], snapshot: Snapshot, rules: Rules) -> None:
    """Lets a run begin to learn, or go on under the conditions of now. Never raises: what is wrong, the decision says."""
    pods = sorted(pods, key=lambda pod: pod.rank_order)
    _resume(run, rules)
    view = run.view(pods)
    try:
        terms = terms_of(view, snapshot)
        subject = subject_of(view, terms, snapshot) if terms is not None else None
        if terms is None or subject is None:
            return
        run.workers = workers_of(pods, snapshot.nodes)
        if run.study is not None:
            run.study = run.study.of(subject)
        elif is_learned(subject, terms, snapshot):
            run.study = _begun(run, subject, snapshot, rules)
    except InvalidSpec as problem:
        log.debug("nothing is learned of %s: %s", run.job.key, problem)


def workers_of(pods: Iterable[Pod], nodes: Mapping[str, NodeView]) -> Workers:
    """The GPUs of a job. pods: rank 0 first."""
    uuids = [[gpu.uuid for gpu in gpus_of(pod, nodes)] for pod in pods]
    everyone = frozenset(uuid for each in uuids for uuid in each)
    return Workers(everyone, min(uuids[0]) if uuids and uuids[0] else "")


def _resume(run: Run, rules: Rules) -> None:
    """Goes on with what the report keeps."""
    text, run.learned = run.learned, None
    if text is None:
        return
    try:
        run.study = memory.from_text(text, timelapse=rules.timelapse)
    except InvalidSpec as problem:
        log.warning("CarbonReport %s: %s", run.key, problem)


def _begun(run: Run, subject: Subject, snapshot: Snapshot, rules: Rules) -> Study:
    measured = run.measured
    if measured.elapsed_s > 0 and measured.until is not None:
        return Study.late(
            subject,
            timelapse=rules.timelapse,
            elapsed_s=measured.elapsed_s,
            work_s=measured.work_s,
            until=measured.until,
        )
    kept = snapshot.learned.get(Key(subject.namespace, subject.profile))
    if isinstance(kept, PowerProfileStatus) and kept.state is not None:
        try:
            return memory.next_run(kept.state, subject, timelapse=rules.timelapse)
        except InvalidSpec as problem:
            log.warning("PowerProfile %s/%s: %s", subject.namespace, subject.profile, problem)
    return Study.begin(subject, timelapse=rules.timelapse)
