"""What hypothesis draws for the planner's tests: boards, forecasts, and how many examples a release is judged by."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import strategies as st

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point

THOROUGH = bool(os.environ.get("CARBONZEUS_THOROUGH"))
"""Whether to run the long versions."""
REFERENCE_W = 300
MIDNIGHT = datetime.fromisoformat("2026-11-24T00:00:00+00:00")
Parts = list[tuple[float, float, float]]
"""(gap before, length, intensity) of intervals laid end to end, in seconds."""


@dataclass(frozen=True)
class Board:
    """A GPU as it is: what it really draws and does at each limit."""

    points: tuple[Point, ...]
    minimum_w: float | None = None

    @property
    def curve(self) -> Curve:
        """The truth."""
        return Curve.from_points(self.points, REFERENCE_W, minimum_w=self.minimum_w)

    def measured(self, rng: random.Random, error: float) -> Curve:
        """A curve up to `error` wrong in each point's speed, the reference limit's excepted; or overstating all of them."""
        lowest = rng.choice([-error, error])
        points = [
            Point(p.limit_w, p.average_w, p.throughput * (1 + rng.uniform(lowest, error)))
            for p in self.points
            if p.limit_w < REFERENCE_W
        ]
        return Curve.from_points([*points, self.points[-1]], REFERENCE_W, minimum_w=self.minimum_w)


def rising(low: float, high: float, count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=count, max_size=count).map(sorted)


@st.composite
def boards(draw: st.DrawFn, kinds: Sequence[str] = ("any", "any", "any", "useless", "free", "pinned")) -> Board:
    """Rising curves of two to eight points, convex or not; or useless (every limit draws the same), free (every limit is
    as fast), pinned (one point may be planned).
    """
    kind = draw(st.sampled_from(kinds))
    count = draw(st.integers(2, 8))
    limits = draw(st.lists(st.integers(60, REFERENCE_W - 1), min_size=count - 1, max_size=count - 1, unique=True))
    watts = [200.0] * count if kind == "useless" else draw(rising(50, 300, count))
    speeds = [0.8] * count if kind == "free" else draw(rising(0.2, 1.0, count))
    points = map(Point, [*sorted(limits), REFERENCE_W], watts, speeds)
    return Board(tuple(points), REFERENCE_W if kind == "pinned" else draw(st.none() | st.floats(60, REFERENCE_W)))


def forecasts() -> st.SearchStrategy[Parts]:
    """With gaps, with intervals of no length, clean hours and negative ones."""
    part = st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.0, 1_000.0]),
        st.sampled_from([0.0, 20.0, 300.0, 1_800.0, 3_600.0]),
        st.sampled_from([-20.0, 0.0, 200.0]) | st.floats(0, 900),
    )
    return st.lists(part, max_size=40)


def laid_out(parts: Parts, *, offset_s: float = 0.0) -> list[Interval]:
    """Beginning `offset_s` before midnight."""
    made, start = [], MIDNIGHT - timedelta(seconds=offset_s)
    for gap, seconds, value in parts:
        start += timedelta(seconds=gap)
        made.append(Interval(start, start + timedelta(seconds=seconds), value))
        start = made[-1].end
    return made
