from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from carbonzeus_operator.account import Account, JobPod, Span, coverage, fold, observe
from carbonzeus_operator.resources.ledger import MAX_PODS, MAX_SPANS
from tests.unit.account.books import LEDGER, POD, T0, TERMS, at, record

OTHER = JobPod("uid-1", "train/job-1", "A40", 1, T0)


def test_a_span_begins_with_the_last_worker_and_ends_with_the_first():
    """The second worker came at minute 2, one ended at minute 30; the fraction that Kubernetes cuts off is added."""
    account = observe(Account(), [POD, OTHER], running_since=at(2), now=at(3))
    ended = [POD, replace(OTHER, ended=at(30))]
    account = observe(account, ended, running_since=None, now=at(31))
    assert account.running == (Span(at(2), at(30) + timedelta(seconds=1)),)


def test_seeing_the_same_again_changes_nothing():
    """Rounds come and go; the account is the same."""
    account = observe(Account(), [POD, OTHER], running_since=at(2), now=at(3))
    assert observe(account, [POD, OTHER], running_since=at(2), now=at(4)) == account


def test_a_worker_that_was_restarted_opens_a_new_span():
    """Between two looks a pod ended and its successor started: the time between is nobody's."""
    account = observe(Account(), [POD], running_since=T0, now=at(1))
    shown = [replace(POD, ended=at(10)), JobPod("uid-9", POD.name, "A40", 1, at(12), leader=True)]
    account = observe(account, shown, running_since=at(12), now=at(13))
    assert account.running == (Span(T0, at(10) + timedelta(seconds=1)), Span(at(12)))


def test_a_suspended_job_stops_and_goes_on():
    """All pods deleted, later new ones: two spans."""
    account = observe(Account(), [POD], running_since=T0, now=at(1))
    account = observe(account, [], running_since=None, now=at(20))
    account = observe(account, [replace(POD, uid="uid-9", started=at(40))], running_since=at(40), now=at(41))
    assert account.running == (Span(T0, at(20)), Span(at(40)))


def test_a_pod_that_vanished_ended_when_it_was_missed():
    """Deleted together with its end: the account takes the time of the look, and mends it should the pod show again."""
    account = observe(Account(), [POD], running_since=T0, now=at(1))
    gone = observe(account, [], running_since=None, now=at(5))
    assert [pod.ended for pod in gone.pods] == [at(5)]
    back = observe(gone, [POD], running_since=T0, now=at(6))
    assert [pod.ended for pod in back.pods] == [None]


def test_what_the_fold_learnt_of_a_pod_is_kept():
    """The GPU that carries the steps is not known to the cluster: seeing the pod again must not lose it."""
    account = observe(Account(), [POD], running_since=T0, now=at(1))
    page = [record(1, 0, 1, limit_w=225, progress=5.0)]
    account = fold(account, LEDGER, page, replace(TERMS, progress=True))
    account = observe(account, [POD], running_since=T0, now=at(2))
    assert [(pod.clock_gpu, pod.clock_limit_w) for pod in account.pods] == [("GPU-0", 225)]


def test_running_pods_are_never_forgotten():
    """Beyond the bound the pods that ended first go, and their time stays in the coverage."""
    old = [JobPod(f"old-{n}", f"train/old-{n}", "A40", 2, T0, ended=at(1 + n / 100)) for n in range(MAX_PODS)]
    account = observe(Account(), old, running_since=T0, now=T0)
    account = observe(account, [POD, OTHER], running_since=T0, now=at(60))
    assert len(account.pods) == MAX_PODS
    assert {"uid-0", "uid-1"} <= {pod.uid for pod in account.pods}
    assert not {"old-0", "old-1"} & {pod.uid for pod in account.pods}
    assert account.retired_us == pytest.approx(2 * (1 + 1.01) * 60e6)


def test_spans_are_bounded():
    """A job that restarts for ever keeps its newest spans."""
    account = Account()
    for n in range(MAX_SPANS + 5):
        account = observe(account, [POD], running_since=at(2 * n), now=at(2 * n))
        account = observe(account, [], running_since=None, now=at(2 * n + 1))
    assert len(account.running) == MAX_SPANS
    assert account.running[-1] == Span(at(2 * (MAX_SPANS + 4)), at(2 * (MAX_SPANS + 4) + 1))


def test_time_whose_records_are_not_closed_yet_is_not_uncovered():
    """Records close every five minutes: until then their time counts for neither side."""
    account = observe(Account(), [POD], running_since=T0, now=at(1))
    account = fold(account, LEDGER, [record(1, 0, 5)], TERMS)
    assert coverage(account, at(9)).share == 1.0


def test_an_agent_that_is_silent_for_long_lowers_the_coverage():
    """After the allowance its time counts as run and not measured."""
    account = observe(Account(), [POD], running_since=T0, now=at(1))
    account = fold(account, LEDGER, [record(1, 0, 5)], TERMS)
    assert coverage(account, at(30)).share == pytest.approx(5 / 20)


def test_nothing_ran_nothing_is_covered():
    """Before the first pod there is no share at all."""
    assert coverage(Account(), T0).share is None
