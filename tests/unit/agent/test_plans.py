"""Which GPU follows which plan, at which limit, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_agent.driver import Board, by_minor
from carbonzeus_agent.owners import Owners
from carbonzeus_agent.plans import RELEASE, UNHEARD, Standing, accept, assign, is_older, limit_at, next_switch
from carbonzeus_wire import Fence, PlanRequest, PodPlan, RefusalReason, Step

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOARDS = {gpu: Board(gpu, "Fake A40", 300.0, 100.0, 300.0, mig=False) for gpu in ("GPU-1", "GPU-2")}


def plan(pod: str = "team/a", *steps: tuple[float, float], mode: str = "Enforce") -> PodPlan:
    return PodPlan(
        pod_uid=f"uid-{pod}",
        pod=pod,
        job=pod,
        mode="Observe" if mode == "Observe" else "Enforce",
        steps=tuple(Step(at=NOON + timedelta(seconds=at), limit_watts=limit) for at, limit in steps),
    )


def request(*plans: PodPlan) -> PlanRequest:
    return PlanRequest(fence=Fence(term=1, revision=1), lease_seconds=60, plans=plans)


def test_limit_holds_from_its_instant_to_the_next() -> None:
    """Before the first step the reference limit holds; the last one holds on."""
    it = plan("team/a", (10, 200), (20, 150))
    limits = [limit_at(it, NOON + timedelta(seconds=at)) for at in (9.999, 10, 19.999, 20, 9999)]
    assert limits == [None, 200, 200, 150, 150]


def test_next_switch_is_strictly_ahead() -> None:
    """A switch that is due is not the next one."""
    it = plan("team/a", (10, 200), (20, 150))
    assert [next_switch(it, NOON + timedelta(seconds=at)) for at in (0, 10, 20)] == [
        NOON + timedelta(seconds=10),
        NOON + timedelta(seconds=20),
        None,
    ]


@given(st.lists(st.integers(1, 1000), unique=True, max_size=20), st.floats(0, 1100))
def test_limit_is_that_of_the_newest_step_that_is_due(instants: list[int], now_s: float) -> None:
    """The definition, without bisection."""
    it = plan("team/a", *((at, 100.0 + at) for at in sorted(instants)))
    now = NOON + timedelta(seconds=now_s)
    due = [at for at in sorted(instants) if NOON + timedelta(seconds=at) <= now]
    assert limit_at(it, now) == (100.0 + due[-1] if due else None)


def test_fences_order_terms_before_revisions() -> None:
    """The same fence again is the same request again, not an older one."""
    standing = Fence(term=3, revision=7)
    older = [Fence(term=2, revision=9), Fence(term=3, revision=6)]
    newer = [Fence(term=3, revision=7), Fence(term=3, revision=8), Fence(term=4, revision=0)]
    assert [is_older(fence, standing) for fence in older + newer] == [True, True, False, False, False]


def test_all_gpus_of_a_pod_follow_its_plan() -> None:
    """One plan, every GPU of the pod on this node."""
    standing = accept(request(plan()), NOON, 0, Owners.of([("team/a", "GPU-1"), ("team/a", "GPU-2")]), BOARDS)
    assert set(standing.followed) == {"GPU-1", "GPU-2"}
    assert standing.refusals == ()


def test_lease_is_over_by_the_clock_that_nobody_sets() -> None:
    """After it every GPU is released, whatever the time of day."""
    standing = accept(request(plan("team/a", (-5, 200))), NOON, 100, Owners.of([("team/a", "GPU-1")]), BOARDS)
    assert standing.aim("GPU-1", NOON, 159.9).limit_w == 200
    assert standing.aim("GPU-1", NOON - timedelta(hours=1), 160.0) is RELEASE


def test_plan_that_was_never_heard_has_not_ended() -> None:
    """Before the first push the GPU is released as well, but what was left to somebody else stays so."""
    assert Standing().aim("GPU-1", NOON, 1) is UNHEARD
    assert accept(request(), NOON, 0, Owners(), BOARDS).aim("GPU-1", NOON, 1) is RELEASE


def test_observed_pod_is_released() -> None:
    """Observe measures; a GPU that was capped before goes back."""
    standing = accept(
        request(plan("team/a", (-5, 200), mode="Observe")), NOON, 0, Owners.of([("team/a", "GPU-1")]), BOARDS
    )
    assert standing.aim("GPU-1", NOON, 1) is RELEASE
    assert set(standing.followed) == {"GPU-1"}


def test_aim_names_every_limit_ahead() -> None:
    """So that the journal can know them all."""
    standing = accept(request(plan("team/a", (5, 200), (9, 150))), NOON, 0, Owners.of([("team/a", "GPU-1")]), BOARDS)
    aim = standing.aim("GPU-1", NOON, 1)
    assert (aim.planned, aim.limit_w, aim.ahead_w) == (True, None, frozenset({150, 200}))


def reasons(devices: list[tuple[str, str]] | None, boards: dict[str, Board] = BOARDS) -> list[tuple[str | None, str]]:
    owners = None if devices is None else Owners.of(devices)
    standing = accept(request(plan("team/a"), plan("team/b")), NOON, 0, owners, boards)
    return [(it.gpu_uuid, it.reason) for it in standing.refusals if it.pod_uid == "uid-team/a"]


OWNERS = Owners.of([("team/a", "GPU-1")])


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_clock_that_is_set_moves_no_step(jump_s: float) -> None:
    """Steps go on by the time that passed since the plan came."""
    standing = accept(request(plan("team/a", (-5, 200), (10, 150))), NOON, 100, OWNERS, BOARDS)
    jumped = NOON + timedelta(seconds=jump_s)
    limits = [standing.aim("GPU-1", jumped + timedelta(seconds=at), 100 + at).limit_w for at in (0, 9.9, 10, 11)]
    assert limits == [200, 200, 150, 150]


def test_clock_that_is_slewed_is_followed() -> None:
    """Workers of a job switch together by their nodes' clocks, which are kept right by small corrections."""
    standing = accept(request(plan("team/a", (10, 150))), NOON, 100, OWNERS, BOARDS)
    assert standing.aim("GPU-1", NOON + timedelta(seconds=10), 106).limit_w == 150


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_node_with_a_wrong_clock_follows_the_operators(off_s: float) -> None:
    """The push says what time it is; by how much the clock is off is known from then on."""
    push = request(plan("team/a", (10, 150))).model_copy(update={"sent_at": NOON})
    wrong = NOON + timedelta(seconds=off_s)
    standing = accept(push, wrong, 100, OWNERS, BOARDS)
    assert standing.offset_s(wrong, 100) == off_s
    limits = [standing.aim("GPU-1", wrong + timedelta(seconds=at), 100 + at).limit_w for at in (9.9, 10)]
    assert limits == [None, 150]


def test_offset_is_not_known_where_the_operator_does_not_tell_its_time() -> None:
    """An older operator sends none; and an agent that was told nothing follows its own clock."""
    assert accept(request(), NOON, 100, OWNERS, BOARDS).offset_s(NOON, 100) is None
    assert Standing().time(NOON, 100) == NOON


def test_two_pods_on_one_gpu_are_both_refused() -> None:
    """Nobody's limit may be another's."""
    standing = accept(
        request(plan("team/a"), plan("team/b")), NOON, 0, Owners.of([("team/a", "GPU-1"), ("team/b", "GPU-1")]), BOARDS
    )
    assert [it.reason for it in standing.refusals] == [RefusalReason.SHARED_GPU] * 2
    assert standing.followed == {}


def test_each_refusal_has_its_reason() -> None:
    """Replica, MIG device, MIG mode, GPU the driver does not know, silent kubelet, unknown pod."""
    assert reasons([("team/a", "GPU-1::0")]) == [("GPU-1", "SharedGPU")]
    assert reasons([("team/a", "MIG-GPU-1/3/0")]) == [("MIG-GPU-1/3/0", "MIG")]
    assert reasons([("team/a", "MIG-9b4d")]) == [("MIG-9b4d", "MIG")]
    mig = {"GPU-1": Board("GPU-1", "Fake A100", 300.0, 100.0, 300.0, mig=True)}
    assert reasons([("team/a", "GPU-1")], mig) == [("GPU-1", "MIG")]
    assert reasons([("team/a", "GPU-9")]) == [("GPU-9", "GPULost")]
    mute = {"GPU-1": Board("GPU-1", "Fake K80", None, None, None, mig=False)}
    assert reasons([("team/a", "GPU-1")], mute) == [("GPU-1", "NotSupported")]
    assert reasons(None) == [(None, "OwnerUnknown")]
    assert reasons([]) == [(None, "UnknownPod")]


def test_one_shared_gpu_does_not_spoil_the_others() -> None:
    """A pod's own GPU follows its plan though another one of it is shared."""
    devices = [("team/a", "GPU-1"), ("team/a", "GPU-2"), ("team/other", "GPU-2")]
    standing = accept(request(plan("team/a")), NOON, 0, Owners.of(devices), BOARDS)
    assert set(standing.followed) == {"GPU-1"}


def test_plan_of_a_gone_pod_is_dropped_for_good() -> None:
    """The same name later is another pod."""
    holding = Owners.of([("team/a", "GPU-1")])
    standing = accept(request(plan("team/a", (-5, 200))), NOON, 0, holding, BOARDS)
    standing = assign(standing, Owners(), BOARDS)
    standing = assign(standing, holding, BOARDS)
    assert standing.plans == {}
    assert standing.aim("GPU-1", NOON, 1) is RELEASE


def test_progress_is_booked_on_the_lowest_gpu_that_the_pod_owns_alone() -> None:
    """A shared one does not count."""
    owners = Owners.of([("team/a", "GPU-1"), ("team/b", "GPU-1"), ("team/a", "GPU-3"), ("team/a", "GPU-2")])
    assert owners.first_gpu("team/a") == "GPU-2"
    assert owners.first_gpu("team/b") is None


FORMS = {
    "uuid": ("GPU-1", None),
    "time slice or MPS share": ("GPU-1::0", "SharedGPU"),
    "MIG by UUID": ("MIG-9b4d", "MIG"),
    "MIG by place": ("MIG-GPU-1/3/0", "MIG"),
    "GKE": ("nvidia7", None),
    "GKE without such a GPU": ("nvidia1", "GPULost"),
    "GKE time slice": ("nvidia7/vgpu0", "SharedGPU"),
    "GKE MIG": ("nvidia7/gi0", "MIG"),
    "GKE MIG time slice": ("nvidia7/gi0/vgpu1", "MIG"),
    "padded": ("nvidia07", "NotSupported"),
    "trailing": ("nvidia7 ", "NotSupported"),
    "part of unknown form": ("nvidia7/xyz0", "NotSupported"),
    "a very long number": ("nvidia" + "7" * 5000, "NotSupported"),
    "index": ("0", "NotSupported"),
    "claim": ("gpu-0", "NotSupported"),
}


@pytest.mark.parametrize(("device", "reason"), FORMS.values(), ids=FORMS)
def test_ids_of_unknown_form_are_refused_and_never_guessed(device: str, reason: str | None) -> None:
    """What a device plugin calls a GPU is followed only where it is the UUID of a whole one, or the name of its file."""
    owners = Owners.of([("team/a", device)]).located({7: "GPU-1"})
    standing = accept(request(plan("team/a", (-5, 200))), NOON, 0, owners, BOARDS)
    assert [it.reason for it in standing.refusals] == ([] if reason is None else [reason])
    assert set(standing.followed) == ({"GPU-1"} if reason is None else set())


def test_gpu_behind_a_device_file_is_shared_like_any_other() -> None:
    """Who holds a slice or an instance of it stands beside who holds it whole, under whatever name."""
    for other in ("nvidia7/vgpu1", "nvidia7/gi1", "GPU-1"):
        owners = Owners.of([("team/a", "nvidia7"), ("team/other", other)]).located({7: "GPU-1"})
        assert (owners.pods_of("GPU-1"), owners.sole_owner("GPU-1")) == (("team/a", "team/other"), None)


def test_minor_number_that_two_gpus_bear_names_neither() -> None:
    """A board that went is remembered; its successor may have its number."""
    boards = [
        Board(gpu, "A40", 300.0, 100.0, 300.0, minor=minor)
        for gpu, minor in (("a", 0), ("b", 1), ("c", 0), ("d", None))
    ]
    assert by_minor(boards) == {1: "b"}
