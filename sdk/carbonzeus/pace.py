"""How much of the step under way is done, as far as one can tell from when the last ones ended: pure."""

from __future__ import annotations

Marks = tuple[int, int, int, int, int, int, int, int]
"""The last four ends of steps, the newest first, each as the steps done by then and when that was [ns]; 0 is no time."""


def unmarked(done: int) -> Marks:
    """So many steps are done, and it is not known when."""
    return done, 0, 0, 0, 0, 0, 0, 0


def thousandths(marks: Marks, now_ns: int, total: int | None = None) -> int:
    """Steps done, and as much of those under way as their time has passed, in thousandths of a step.

    The next call of `step` is taken to tell as many steps as the smallest of the last three, at their median pace, so that
    one pause or one hasty step is not taken for the pace. While it takes longer than that, it is as good as done. Without
    two ends there is no pace, and beyond `total` there is no step.
    """
    done, end_ns = marks[:2]
    paces_ns, numbers = [], []
    for newer in (0, 2, 4):
        steps, at_ns, steps_before, before_ns = marks[newer : newer + 4]
        if before_ns:
            numbers.append(steps - steps_before)
            paces_ns.append((at_ns - before_ns) // numbers[-1])
    if not numbers:
        return 1000 * done
    pace_ns = sorted(paces_ns)[(len(paces_ns) - 1) // 2] or 1
    number = min(numbers) if total is None else max(min(*numbers, total - done), 0)
    return 1000 * done + min(1000 * (now_ns - end_ns) // pace_ns, 1000 * number)
