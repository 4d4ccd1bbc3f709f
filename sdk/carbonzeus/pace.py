"""How much of the step under way is done, as far as one can tell from when the last ones ended: pure."""

from __future__ import annotations

Marks = tuple[int, int, int, int, int, int]
"""The last three ends of steps, the newest first, each as the steps done by then and when that was [ns]; 0 is no time."""


def unmarked(done: int) -> Marks:
    """So many steps are done, and it is not known when."""
    return done, 0, 0, 0, 0, 0


def thousandths(marks: Marks, now_ns: int, total: int | None = None) -> int:
    """Steps done, and as much of those under way as their time has passed, in thousandths of a step.

    The next call of `step` is taken to tell as many steps as the smaller of the last two, at the faster pace of the two: a
    pause before one of them is not taken for the pace. While it takes longer than that, it is as good as done. Without
    two ends there is no pace, and beyond `total` there is no step.
    """
    done, end_ns, done_1, end_1_ns, done_2, end_2_ns = marks
    if not end_1_ns:
        return 1000 * done
    number = done - done_1
    pace_ns = (end_ns - end_1_ns) // number
    if end_2_ns:
        pace_ns = min(pace_ns, (end_1_ns - end_2_ns) // (done_1 - done_2))
        number = min(number, done_1 - done_2)
    if total is not None:
        number = max(min(number, total - done), 0)
    return 1000 * done + min(1000 * (now_ns - end_ns) // max(pace_ns, 1), 1000 * number)
