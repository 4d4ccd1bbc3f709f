"""When a source is left alone, and when it is tried again."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.grid.breaker import FAILURES, LONGEST_OPEN_S, OPEN_S, Breaker, State
from tests.unit.grid.samples import T0, examples


def after(seconds: float):
    """A moment."""
    return T0 + timedelta(seconds=seconds)


def opened() -> Breaker:
    """Three failures at the beginning."""
    breaker = Breaker()
    opens = [breaker.failed("away", T0) for _ in range(FAILURES) if breaker.enter(T0)]
    assert opens == [False, False, True]
    return breaker


def test_failures_in_a_row_open_it() -> None:
    """And a success between them does not let them add up."""
    breaker = Breaker()
    for _ in range(20):
        assert breaker.enter(T0)
        assert not breaker.failed("away", T0)
        assert not breaker.failed("away", T0)
        breaker.succeeded()
    assert breaker.state(T0) is State.CLOSED
    breaker = opened()
    assert (breaker.state(T0), breaker.why, breaker.wait_s(T0)) == (State.OPEN, "away", OPEN_S)
    assert not breaker.enter(after(OPEN_S - 1))


def test_one_call_tries_it_again_and_closes_it() -> None:
    """All others wait for what becomes of it."""
    breaker = opened()
    assert breaker.state(after(OPEN_S)) is State.HALF_OPEN
    assert breaker.enter(after(OPEN_S))
    assert not breaker.enter(after(OPEN_S))
    breaker.succeeded()
    assert breaker.state(after(OPEN_S)) is State.CLOSED
    assert [breaker.enter(after(OPEN_S)) for _ in range(3)] == [True] * 3


def test_it_opens_for_twice_as_long_each_time() -> None:
    """Up to a bound, however long the source is away; one success and it begins anew."""
    breaker, now_s, waits = opened(), 0.0, []
    for _ in range(40):
        wait_s = breaker.wait_s(after(now_s))
        waits.append(wait_s)
        now_s += wait_s
        assert breaker.enter(after(now_s))
        assert breaker.failed("away", after(now_s))
    assert waits[:5] == [60, 120, 240, 300, 300]
    assert set(waits[3:]) == {LONGEST_OPEN_S}
    assert breaker.enter(after(now_s + LONGEST_OPEN_S))
    breaker.succeeded()
    assert [breaker.failed("away", T0) for _ in range(3)] == [False, False, True]
    assert breaker.wait_s(T0) == OPEN_S


def test_a_source_that_asks_for_it_is_left_alone_at_once() -> None:
    """For as long as it says."""
    breaker = Breaker()
    assert breaker.failed("too often", T0, retry_after_s=900)
    assert not breaker.enter(after(899))
    assert breaker.enter(after(900))
    assert not Breaker().failed("now is fine", T0, retry_after_s=0)


def test_calls_that_were_under_way_when_it_opened() -> None:
    """Say nothing new by failing, however many they are; what the source asks for counts."""
    breaker = opened()
    assert not any(breaker.failed("away", T0) for _ in range(50))
    assert breaker.wait_s(T0) == OPEN_S
    assert not breaker.failed("busy", T0, retry_after_s=90)
    assert breaker.wait_s(T0) == 90
    assert breaker.enter(after(90))
    assert breaker.failed("away", after(90))
    assert breaker.wait_s(after(90)) == 2 * OPEN_S


def test_a_try_that_was_given_up_leaves_it_to_another() -> None:
    """So that nothing stays shut because of a caller that went away."""
    breaker = opened()
    assert breaker.enter(after(OPEN_S))
    breaker.left()
    assert breaker.enter(after(OPEN_S))


@examples
@given(st.lists(st.tuples(st.sampled_from(["fail", "later", "succeed", "leave"]), st.floats(0, 1e6))))
def test_it_is_always_tried_again(steps: list[tuple[str, float]]) -> None:
    """Whatever happens, within the longest time that it or the source asked for."""
    breaker, now = Breaker(), T0
    for step, seconds in steps:
        now += timedelta(seconds=seconds)
        if not breaker.enter(now):
            continue
        match step:
            case "fail":
                breaker.failed("away", now)
            case "later":
                breaker.failed("busy", now, seconds)
            case "succeed":
                breaker.succeeded()
            case _:
                breaker.left()
        assert 0 <= breaker.wait_s(now) <= max(LONGEST_OPEN_S, 1e6)
    now += timedelta(seconds=max(LONGEST_OPEN_S, breaker.wait_s(now)))
    assert breaker.enter(now)
