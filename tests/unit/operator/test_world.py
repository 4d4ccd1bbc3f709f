from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.world.cache import Store
from carbonzeus_operator.world.objects import Key, all_running_since, job_from_raw, key_of, pod_from_raw

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def raw(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ml", "name": name, "resourceVersion": str(version)}, **more}


def store() -> Store[int]:
    return Store(parse=lambda one: int(one["metadata"]["resourceVersion"]))


def test_a_list_removes_what_a_watch_failed_to_report_as_deleted():
    """A deletion missed while the watch was away is found by the next list."""
    seen = store()
    seen.observe(None, raw("gone", 3))
    assert seen.replace([raw("here", 4)], version=10) == {Key("ml", "gone"), Key("ml", "here")}
    assert set(seen.objects) == {Key("ml", "here")}


def test_an_old_list_does_not_undo_newer_events():
    """A list taken before an object came, or before it went, changes nothing about it."""
    seen = store()
    seen.observe("ADDED", raw("new", 12))
    seen.observe("ADDED", raw("old", 5))
    seen.observe("DELETED", raw("old", 13))
    seen.replace([raw("old", 5)], version=11)
    assert set(seen.objects) == {Key("ml", "new")}


def test_an_older_event_after_a_newer_one_is_ignored():
    """Events may be replayed after a relist."""
    seen = store()
    seen.observe("MODIFIED", raw("job", 9))
    assert not seen.observe("MODIFIED", raw("job", 8))
    assert seen.objects == {Key("ml", "job"): 9}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_the_store_ends_like_the_server_whatever_was_missed(changes: list[tuple[str, bool]]):
    """However events get lost, a list sets the picture right."""
    server: dict[str, int] = {}
    seen = store()
    for version, (name, alive) in enumerate(changes, start=1):
        event = "DELETED" if not alive else "MODIFIED"
        if alive:
            server[name] = version
        else:
            server.pop(name, None)
        if version % 3:
            seen.observe(event, raw(name, version))
    seen.replace([raw(name, version) for name, version in server.items()], version=len(changes))
    assert {key.name: version for key, version in seen.objects.items()} == server


def pod(name: str, *, started: datetime | None, finished: datetime | None = None) -> Any:
    state: dict[str, Any] = {"waiting": {}}
    phase = "Pending"
    if started is not None:
        state, phase = {"running": {"startedAt": started.isoformat()}}, "Running"
    if finished is not None and started is not None:
        state, phase = {"terminated": {"startedAt": started.isoformat(), "finishedAt": finished.isoformat()}}, "Failed"
    return pod_from_raw(
        {
            "metadata": {
                "namespace": "ml",
                "name": name,
                "uid": name,
                "labels": {
                    "training.kubeflow.org/job-name": "job",
                    "training.kubeflow.org/replica-type": "worker",
                    "training.kubeflow.org/replica-index": name[-1],
                },
            },
            "spec": {"nodeName": "n", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
            "status": {"phase": phase, "podIP": "127.0.1.9", "containerStatuses": [{"state": state}]},
        }
    )


def test_a_pod_is_read_with_its_gpus_role_and_start():
    """What the operator needs of a pod."""
    seen = pod("w-1", started=NOON)
    assert (seen.gpus, seen.role, seen.running, seen.started_at) == (2, "worker-1", True, NOON)


def test_odd_objects_read_as_idle_ones():
    """Whatever the API returns, parsing does not raise."""
    assert not pod_from_raw({"metadata": {}, "spec": None, "status": {"containerStatuses": [{}]}}).running
    assert job_from_raw({"spec": {"pytorchReplicaSpecs": None}}).workers == 0
    assert key_of({}) == Key("", "")


def test_a_job_knows_its_workload():
    """By what its pods run, or by the name that its owner gave it."""
    container = {"name": "pytorch", "image": "ghcr.io/lab/resnet-train:v3"}
    replicas = {"Worker": {"template": {"spec": {"containers": [container]}}}}
    first = job_from_raw(raw("monday", 1, spec={"pytorchReplicaSpecs": replicas}))
    again = job_from_raw(raw("tuesday", 7, spec={"pytorchReplicaSpecs": replicas, "runPolicy": {"suspend": True}}))
    assert (again.fingerprint, again.workload) == (first.fingerprint, first.workload)
    assert (len(first.fingerprint), first.workload) == (16, "resnet-train:v3")
    annotated = raw("named", 1, spec={"pytorchReplicaSpecs": replicas})
    annotated["metadata"]["annotations"] = {"carbonzeus.dev/workload": "resnet50-b128"}
    named = job_from_raw(annotated)
    assert named.workload == "resnet50-b128"
    assert named.fingerprint not in {"", first.fingerprint}
    assert job_from_raw(raw("odd", 1)).fingerprint == ""


def test_a_job_is_finished_when_its_condition_says_so():
    """Succeeded or Failed, with the time it ended."""
    job = job_from_raw(
        {
            "metadata": {"namespace": "ml", "name": "j", "uid": "u"},
            "spec": {"pytorchReplicaSpecs": {"Master": {"replicas": 1}, "Worker": {"replicas": 3}}},
            "status": {
                "completionTime": "2026-03-01T12:00:00Z",
                "conditions": [{"type": "Created", "status": "True"}, {"type": "Succeeded", "status": "True"}],
            },
        }
    )
    assert (job.workers, job.finished_at, job.succeeded) == (4, NOON, True)


def test_a_job_runs_since_its_last_worker_started():
    """Only the time in which all workers run counts."""
    minute = timedelta(minutes=1)
    one, two = pod("w-0", started=NOON), pod("w-1", started=NOON + minute)
    assert all_running_since([one], 2) is None
    assert all_running_since([one, two], 2) == NOON + minute
    ended = pod("w-1", started=NOON + minute, finished=NOON + 4 * minute)
    assert all_running_since([one, ended], 2) is None
