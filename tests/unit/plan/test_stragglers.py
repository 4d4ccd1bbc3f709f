"""Workers that wait for a slower one: which signs count, how low they go, and when they come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.stragglers import LONGEST_REST, REST, WINDOWS, Need, Waiting, limit_for
from carbonzeus_operator.plan.stragglers_signs import Shown
from carbonzeus_operator.plan.stragglers_spread import FIRST, Spread
from tests.unit.plan.strategies import Board, boards

IDLE_W = 30.0
FULL_MHZ = 1740.0
A40 = "NVIDIA A40"


def shown(
    curve: Curve, share: float = 1.0, *, limit_w: float = 300.0, speed: float = 1.0, seconds: float = 300.0
) -> Shown:
    """A GPU that works for so much of the time, its clock as its speed is."""
    full_w, r = curve.at(limit_w)
    return Shown(A40, seconds, limit_w, IDLE_W + share * (full_w - IDLE_W), share, FULL_MHZ * r * speed)


def job(
    curve: Curve, waiting: Waiting, slow: float, *, limit_w: float = 300.0, pods: int = 4
) -> dict[str, list[Shown]]:
    """Pod `a` has a board of this speed, the others good ones; each at the limit that it needs."""
    limits_w = {pod: limit_for(limit_w, curve, waiting.needs.get(pod, Need())) for pod in "abcdefgh"[:pods]}
    speeds = {pod: (slow if pod == "a" else 1.0) for pod in limits_w}
    pace = min(speeds[pod] * curve.at(limits_w[pod])[1] for pod in limits_w)
    return {
        pod: [shown(curve, pace / (speeds[pod] * curve.at(at_w)[1]), limit_w=at_w, speed=speeds[pod])]
        for pod, at_w in limits_w.items()
    }


def told(
    curve: Curve, windows: int, slow: float = 0.85, waiting: Waiting | None = None, *, limit_w: float = 300.0
) -> Waiting:
    """After so many windows with a slow board in pod `a`."""
    waiting = Waiting() if waiting is None else waiting
    for _ in range(windows):
        waiting = waiting.observe(job(curve, waiting, slow, limit_w=limit_w), {A40: curve})
    return waiting


def repeated(curve: Curve, pods: dict[str, list[Shown]], windows: int = 5) -> Waiting:
    """After the same window so many times."""
    waiting = Waiting()
    for _ in range(windows):
        waiting = waiting.observe(pods, {A40: curve})
    return waiting


def lower(waiting: Waiting) -> set[str]:
    """The pods that may go lower."""
    return {pod for pod, need in waiting.needs.items() if need.is_lower}


def test_nobody_goes_lower_before_several_windows_agree(a40: Curve) -> None:
    """Two windows are not enough; after the third one the three good boards take a first step."""
    assert lower(told(a40, WINDOWS - 1)) == set()
    assert {pod: need.share for pod, need in told(a40, WINDOWS).needs.items()} == pytest.approx(
        {"a": 1.0, "b": 0.95, "c": 0.95, "d": 0.95}
    )


def test_waiting_pods_end_a_little_above_what_they_need(a40: Curve) -> None:
    """A board of 85 % sets the pace: the others stay between 2 and 3.5 % above that, and still wait a little."""
    waiting = told(a40, 20)
    assert all(0.87 <= waiting.needs[pod].share <= 0.885 for pod in "bcd")
    pods = job(a40, waiting, 0.85)
    assert pods["a"][0].utilization == 1.0
    assert all(0.95 < (pods[pod][0].utilization or 0) < 0.99 for pod in "bcd")


def test_equal_boards_are_left_alone(a40: Curve) -> None:
    """So are those that are less than 5 % apart."""
    assert lower(told(a40, 20, slow=1.0)) == set()
    assert lower(told(a40, 20, slow=0.96)) == set()


def test_straggler_that_recovers_brings_all_back_in_one_window(a40: Curve) -> None:
    """The lowered ones are the slow ones then: they work all the time, and the other one waits."""
    waiting = told(a40, 20)
    assert lower(told(a40, 1, 1.0, waiting)) == set()


def test_pod_that_becomes_slow_itself_comes_back_and_the_others_stay(a40: Curve) -> None:
    """Pod `b` waited, and now needs all it has."""
    waiting = told(a40, 20)
    pods = job(a40, waiting, 0.85)
    pods["b"] = [replace(pods["b"][0], utilization=1.0)]
    assert lower(waiting.observe(pods, {A40: a40})) == {"c", "d"}


def test_failed_try_is_repeated_later_and_later(a40: Curve) -> None:
    """A straggler that recovers whenever the others are lower: each rest is twice as long, up to a limit."""
    waiting, rests = Waiting(), []
    for _ in range(9):
        while not lower(waiting):
            waiting = told(a40, 1, waiting=waiting)
        waiting = told(a40, 1, 1.0, waiting)
        rests.append(waiting.workers["b"].rest)
    assert rests == [min(REST * 2**n, LONGEST_REST) for n in range(9)]


def test_long_success_is_remembered_longer_than_an_old_failure(a40: Curve) -> None:
    """After two failures and a long time at the lower limit, the next rest is the first one."""
    waiting = told(a40, WINDOWS)
    for _ in range(2):
        waiting = told(a40, 3 * REST + WINDOWS, 0.85, told(a40, 1, 1.0, waiting))
    assert waiting.workers["b"].last_rest == 2 * REST
    waiting = told(a40, 1, 1.0, told(a40, 100, waiting=waiting))
    assert waiting.workers["b"].last_rest == REST


@pytest.mark.parametrize("figure", ["limit_w", "average_w", "utilization", "sm_mhz"])
@pytest.mark.parametrize("pod", ["a", "b"])
def test_missing_figure_brings_all_back(a40: Curve, pod: str, figure: str) -> None:
    """Whose it is does not matter: who sets the pace cannot be told. It is nobody's fault, so there is no rest."""
    waiting = told(a40, 20)
    pods = job(a40, waiting, 0.85)
    pods[pod] = [replace(pods[pod][0], **{figure: None})]  # type: ignore[arg-type]
    waiting = waiting.observe(pods, {A40: a40})
    assert lower(waiting) == set()
    assert waiting.workers["b"].rest == 0


def test_pod_that_told_nothing_brings_all_back(a40: Curve) -> None:
    """No record at all is a missing figure, too; so is a product without a curve."""
    waiting = told(a40, 20)
    pods = job(a40, waiting, 0.85)
    assert lower(waiting.observe(pods | {"d": []}, {A40: a40})) == set()
    assert lower(waiting.observe(pods, {})) == set()


def test_other_workers_are_another_job(a40: Curve) -> None:
    """One more, one less, one anew: everything is learned again."""
    waiting = told(a40, 20)
    pods = job(a40, waiting, 0.85)
    for changed in (
        pods | {"e": pods["d"]},
        {pod: pods[pod] for pod in "abc"},
        {"z" if pod == "b" else pod: pods[pod] for pod in pods},
    ):
        after = waiting.observe(changed, {A40: a40})
        assert after.needs == dict.fromkeys(changed, Need())


def test_short_window_says_nothing(a40: Curve) -> None:
    """It changes nothing, whatever it shows."""
    waiting = told(a40, 20)
    pods = {pod: [shown(a40, 0.1, seconds=5.0)] for pod in "abcd"}
    assert waiting.observe(pods, {A40: a40}) == waiting


def test_job_that_no_gpu_holds_up_is_left_alone(a40: Curve) -> None:
    """The busiest one works for 80 % of the time: data or network set the pace."""
    assert lower(repeated(a40, {"a": [shown(a40, 0.8)], "b": [shown(a40, 0.6)], "c": [shown(a40, 0.6)]})) == set()


def test_collective_that_spins_is_not_seen(a40: Curve) -> None:
    """At 100 % utilisation nobody waits for sure, however little power is drawn."""
    spinning = replace(shown(a40, 0.8), utilization=1.0)
    assert lower(repeated(a40, {"a": [shown(a40)], "b": [spinning], "c": [spinning]})) == set()


def test_less_busy_pod_whose_peers_spin_is_left_alone(a40: Curve) -> None:
    """Pod `a` is fed too slowly and sets the pace. Its peers look busy, but draw less than who works, and their clocks are not lower."""
    fed_slowly, spinning = shown(a40, 0.7), replace(shown(a40, 0.85), utilization=1.0)
    assert lower(repeated(a40, {"a": [fed_slowly], "b": [spinning], "c": [spinning]})) == set()


def test_less_busy_pod_at_full_power_is_left_alone(a40: Curve) -> None:
    """The signs do not agree."""
    odd = replace(shown(a40), utilization=0.8)
    assert lower(repeated(a40, {"a": [shown(a40)], "b": [odd], "c": [odd]})) == set()


def test_less_busy_pod_with_a_lower_clock_is_left_alone(a40: Curve) -> None:
    """It is slower by its clock: it will not be the one that waits."""
    odd = replace(shown(a40, 0.8), sm_mhz=0.9 * FULL_MHZ)
    assert lower(repeated(a40, {"a": [shown(a40)], "b": [odd], "c": [odd]})) == set()


def test_hot_board_explains_itself_by_its_clock(a40: Curve) -> None:
    """It draws less than those that wait for it. Its clock, lower at the same limit, is the reason."""
    hot = replace(shown(a40, speed=0.8), average_w=150.0)
    good = shown(a40, 0.8)
    assert (good.average_w or 0.0) > 150.0
    assert lower(repeated(a40, {"a": [hot], "b": [good], "c": [good]})) == {"b", "c"}


def test_bigger_share_of_the_batch_is_explained_by_power(a40: Curve) -> None:
    """All clocks are the same, and the busy one draws what the curve says."""
    assert lower(repeated(a40, {"a": [shown(a40)], "b": [shown(a40, 0.8)]})) == {"b"}


def test_pod_needs_what_its_busiest_gpu_needs(a40: Curve) -> None:
    """A pod with one GPU that waits and one that sets the pace stays where it is."""
    slow, good = shown(a40, speed=0.85), shown(a40, 0.85)
    assert lower(repeated(a40, {"a": [good, slow], "b": [good, good]})) == {"b"}


def test_workers_of_two_products_are_compared_by_their_curves(a40: Curve) -> None:
    """Neither watts nor clocks of different boards say anything of each other; what each draws of its own curve's power does."""
    bigger = Curve.from_points([Point(400, 380, 1.0), Point(200, 190, 0.7)], 400.0)
    curves = {A40: a40, "bigger": bigger}
    setter = Shown("bigger", 300.0, 400.0, 380.0, 1.0, 1000.0)
    waiting = Waiting()
    for _ in range(WINDOWS):
        waiting = waiting.observe({"a": [setter], "b": [shown(a40, 0.8)], "c": [shown(a40)]}, curves)
    assert lower(waiting) == {"b"}
    slacking = replace(setter, average_w=300.0)
    waiting = Waiting()
    for _ in range(WINDOWS):
        waiting = waiting.observe({"a": [slacking], "b": [shown(a40, 0.8)]}, curves)
    assert lower(waiting) == set()


def test_job_that_gets_slower_when_a_pod_goes_lower_has_it_back(a40: Curve) -> None:
    """Its curve was learned while it waited, and says so; its steps do not lie: the pod that looked as if it waited set the pace."""
    learned = Curve.from_points([Point(p.limit_w, 0.8 * p.average_w, p.r) for p in a40.points], 300.0)
    fed_slowly, spinning = shown(a40, 0.7), replace(shown(a40, 0.85), utilization=1.0)
    waiting = Waiting()
    for _ in range(WINDOWS):
        waiting = waiting.observe({"a": [fed_slowly], "b": [spinning]}, {A40: learned}, steps_per_s=10.0)
    assert lower(waiting) == {"a"}
    slower = replace(shown(a40, 0.71, limit_w=limit_for(300.0, learned, waiting.needs["a"])))
    steady = waiting.observe({"a": [slower], "b": [spinning]}, {A40: learned}, steps_per_s=9.95)
    assert lower(steady) == {"a"}
    after = waiting.observe({"a": [slower], "b": [spinning]}, {A40: learned}, steps_per_s=9.7)
    assert lower(after) == set()
    assert after.workers["a"].rest == REST
    less_w = replace(spinning, average_w=0.97 * (spinning.average_w or 0.0))
    assert lower(waiting.observe({"a": [slower], "b": [less_w]}, {A40: learned})) == set()


def test_pod_whose_limit_does_not_fall_gets_no_further_step(a40: Curve) -> None:
    """An agent that refuses: the pod stays at the first step, and nothing is asked for that nobody has seen."""
    waiting = repeated(a40, job(a40, Waiting(), 0.7), windows=30)
    assert [waiting.needs[pod].share for pod in "bcd"] == pytest.approx([0.95] * 3)


def test_need_seen_at_one_speed_is_not_trusted_below_it(a40: Curve) -> None:
    """A hot board is not slowed down by a limit that its clock does not reach; a poor one is. Before it is known which, the pods keep up
    with both.
    """
    need = Need(0.88, 1.0)
    assert need.r(1.0) == pytest.approx(0.88)
    assert need.r(0.95) == pytest.approx(0.88)
    assert need.r(0.85) == pytest.approx(0.85)
    waiting = told(a40, 20)
    slower = told(a40, WINDOWS, 0.85, waiting, limit_w=200.0)
    assert slower.needs["b"].seen_r == pytest.approx(a40.at(200.0)[1])
    assert limit_for(200.0, a40, slower.needs["b"]) < limit_for(200.0, a40, waiting.needs["b"])


def test_noise_keeps_pods_further_from_the_edge() -> None:
    """The deviation is measured; a jump now and then is no noise."""
    spread = Spread()
    assert spread.deviation == pytest.approx(FIRST)
    for number in range(48):
        spread = spread.with_pair(1.0, 1.1 if number % 8 == 0 else 1.001)
    assert spread.deviation < 0.001


needs = st.builds(Need, st.floats(0.01, 1.0), st.floats(0.1, 1.0))


@given(board=boards(), need=needs, planned=st.integers(60, 300))
def test_limit_is_never_above_the_plans_nor_off_the_curve(board: Board, need: Need, planned: int) -> None:
    """It is in whole watts, fast enough for the need, and not below the curve."""
    curve = board.curve
    planned_w = float(max(planned, curve.lowest.limit_w))
    limit_w = limit_for(planned_w, curve, need)
    assert curve.lowest.limit_w <= limit_w <= planned_w
    assert limit_w == planned_w or float(limit_w).is_integer()
    assert curve.at(limit_w)[1] >= min(need.r(curve.at(planned_w)[1]), curve.at(planned_w)[1]) - 1e-6


@given(shares=st.lists(st.lists(st.none() | st.floats(0.0, 1.0), min_size=3, max_size=3), max_size=30))
def test_whatever_is_shown_somebody_keeps_the_plans_limit(shares: Sequence[Sequence[float | None]]) -> None:
    """The pace is always set by a pod that is not lower, and no need is out of range."""
    curve = Curve.from_points([Point(100, 100, 0.5), Point(200, 180, 0.9), Point(300, 240, 1.0)], 300.0)
    waiting = Waiting()
    for window in shares:
        pods = {
            pod: [shown(curve, share or 0.5, limit_w=limit_for(300.0, curve, waiting.needs.get(pod, Need())))]
            if share is not None
            else []
            for pod, share in zip("abc", window, strict=True)
        }
        waiting = waiting.observe(pods, {A40: curve})
        assert len(lower(waiting)) < 3
        assert all(0.0 < need.share <= 1.0 for need in waiting.needs.values())
