"""Energy records lie end to end, whatever is sampled and whatever fails."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from carbonzeus_agent.builder import boundaries
from carbonzeus_agent.records import NOBODY, Closed, Owner
from carbonzeus_wire import Quality
from tests.unit.agent.samples import ALICE, BOB, at, builder, sample

events = st.lists(
    st.tuples(
        st.floats(0.01, 40),  # seconds to the next sample
        st.floats(0, 400),  # power
        st.sampled_from([300.0, 300.0, 200.0, 150.0]),  # limit
        st.sampled_from([None, None, None, NOBODY, ALICE, BOB]),  # new owner
        st.booleans(),  # at an edge of the counter
    ),
    min_size=2,
    max_size=60,
)


@example(events=[(1.0, 0.0, 300.0, None, False), (1.0, 5e-324, 300.0, None, False)], every_s=1.0)  # next to no power
@given(events=events, every_s=st.sampled_from([1.0, 10.0, 60.0]))
def test_records_lie_end_to_end_and_sum_to_the_counter(
    events: list[tuple[float, float, float, Owner | None, bool]], every_s: float
) -> None:
    """Whatever happens: no hole, no overlap, no record across a boundary, and to the millijoule the counter's rise."""
    meter = builder(every_s=every_s, blink_s=1e9, bridge_s=1e9)
    records: list[Closed] = []
    now_s, energy_j = 0.123, 5000.0
    for gap_s, power_w, limit_w, owner, edge in events:
        if owner is not None:
            meter.own(at(now_s + gap_s / 3), owner)
        now_s += gap_s
        energy_j += power_w * gap_s
        found = sample(now_s, energy_j, power_w=power_w, limit_w=limit_w, edge_w=power_w if edge else None)
        records += meter.observe(found)
    records += meter.finish()
    first = 5000 + events[0][0] * events[0][1]
    assert sum(it.energy_mj for it in records) == round(energy_j * 1000) - round(first * 1000)
    assert all(it.energy_mj >= 0 and it.start < it.end for it in records)
    assert all(earlier.end == later.start for earlier, later in pairwise(records))
    every = timedelta(seconds=every_s)
    assert all(next(boundaries(it.start, it.end, every), it.end) == it.end for it in records)


moments = st.lists(
    st.tuples(
        st.floats(0.01, 30),
        st.sampled_from(["sample", "sample", "sample", "reset", "blind", "silence", "own", "cut"]),
    ),
    max_size=80,
)


@given(moments=moments)
def test_time_line_has_no_hole_whatever_fails(moments: list[tuple[float, str]]) -> None:
    """Resets, blind samples, silences and changes of hands leave records that lie end to end, and no negative energy."""
    meter = builder(every_s=60, bridge_s=20, blink_s=5)
    records: list[Closed] = []
    now_s, energy_j, owners = 0.0, 0.0, [ALICE, BOB]
    for gap_s, what in moments:
        now_s += gap_s
        energy_j = 0.0 if what == "reset" else energy_j + 200 * gap_s
        if what == "own":
            owners.reverse()
            meter.own(at(now_s), owners[0])
        elif what == "cut":
            meter.cut(at(now_s))
        elif what == "silence":
            records += meter.advance(at(now_s), 50 + now_s)
        elif what == "blind":
            records += meter.observe(sample(now_s, None, power_w=None))
        else:
            records += meter.observe(sample(now_s, energy_j))
    records += meter.finish()
    assert all(it.energy_mj >= 0 and it.start < it.end for it in records)
    assert all(earlier.end == later.start for earlier, later in pairwise(records))
    assert all(it.energy_mj == 0 for it in records if it.quality is Quality.GAP)
