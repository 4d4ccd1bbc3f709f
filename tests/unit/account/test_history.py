"""The closed hours of an account: joined where they were settled alike, written as lines, bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import decode
from carbonzeus_operator.account.history import MAX_CHARACTERS, added, bounded, coarser, merged
from carbonzeus_operator.account.lines import DAY_US, HOUR_US, STATES, Entry, checked, read, span_us, start_us, written
from carbonzeus_operator.account.model import State
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.ledger import MAX_HISTORY, MAX_LINE, Ledger
from tests.unit.account.books import examples

MIDNIGHT_US = 20_000 * DAY_US
MINUTE_US = 60_000_000
amounts = st.integers(0, 10**19)


def entry(minute: float, minutes: float = 60, grams: float = 100, **changes: object) -> Entry:
    """An hour (or less) that was settled with a published actual, from that minute after midnight on."""
    begin_us = MIDNIGHT_US + round(minute * MINUTE_US)
    made = Entry(begin_us, begin_us + round(minutes * MINUTE_US), 0, State.FINAL, 10**6, 0, round(grams * 1e9), 1000)
    return replace(made, **changes)  # type: ignore[arg-type]


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry: of minutes within an hour, in one of two days."""
    hour, start = draw(st.integers(0, 47)), draw(st.integers(0, 59))
    references = draw(st.lists(amounts, max_size=3))
    while references and not references[-1]:
        references.pop()
    return Entry(
        start_us=MIDNIGHT_US + hour * HOUR_US + start * MINUTE_US,
        end_us=MIDNIGHT_US + hour * HOUR_US + draw(st.integers(start + 1, 60)) * MINUTE_US,
        stage=draw(st.integers(0, 2)),
        state=draw(st.sampled_from(STATES)),
        pue_micro=draw(st.sampled_from([10**6, 1_234_567])),
        grid=draw(st.sampled_from([0, 15])),
        intensity_ngkwh=draw(st.sampled_from([0, 10**11]) | st.integers(0, 10**13)),
        energy_nj=draw(amounts),
        host_nj=draw(amounts),
        baseline_nj=draw(amounts),
        constant_nj=draw(amounts),
        reference_nj=tuple(references),
    )


def energies(found: list[Entry]) -> tuple[int, ...]:
    references = [[*one.reference_nj, 0, 0, 0][:3] for one in found]
    return (
        sum(one.energy_nj for one in found),
        sum(one.host_nj for one in found),
        sum(one.baseline_nj for one in found),
        sum(one.constant_nj for one in found),
        *(sum(one[product] for one in references) for product in range(3)),
    )


@examples
@given(st.lists(entries(), max_size=20))
def test_entries_survive_their_lines(found: list[Entry]):
    """Whatever they are: the very same ones, each in a line of its own day that says when it begins and ends."""
    known = merged(found)
    lines = written(known)
    assert checked(lines, 3) == lines
    assert sorted((one for line in lines for one in read(line)), key=repr) == sorted(known, key=repr)
    for line in lines:
        inside = read(line)
        assert span_us(line) == (inside[0].start_us, inside[-1].end_us)
        assert inside[0].start_us // DAY_US == (inside[-1].end_us - 1) // DAY_US
        assert len(line) <= MAX_LINE
    assert list(map(start_us, lines)) == sorted(map(start_us, lines))


@examples
@given(st.lists(entries(), max_size=20))
def test_joining_loses_no_energy(found: list[Entry]):
    """Neither as they are closed, nor when hours are made of parts."""
    assert energies(merged(found)) == energies(found)
    assert energies(coarser(found)) == energies(found)


@examples
@given(st.lists(entries(), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_closing_does_not_matter(found: list[Entry], dice: object):
    """One at a time, in any order: the same lines as at once."""
    history: tuple[str, ...] = ()
    for one in sorted(found, key=lambda _: dice.random()):  # type: ignore[attr-defined]
        history = added(history, [one])
    assert history == added((), found)
    assert energies([one for line in history for one in read(line)]) == energies(found)


def test_a_plain_day_is_one_line():
    """24 hours that follow on one another need one beginning."""
    (line,) = written(entry(60 * hour, grams=100 + hour / 100) for hour in range(24))
    head = line.split(" ")
    assert len(head) == 6 + 24
    assert head[6:8] == ["100,rs", "100.01,rs"]
    assert span_us(line) == (MIDNIGHT_US, MIDNIGHT_US + DAY_US)


def test_intervals_of_the_source_stay_apart_until_they_were_revised():
    """Two half hours of one value may be revised to two values."""
    halves = [entry(0, 30), entry(30, 30), entry(0, 30)]
    assert [(one.energy_nj, one.end_us - one.start_us) for one in merged(halves)] == [
        (2000, HOUR_US // 2),
        (1000, HOUR_US // 2),
    ]


def test_cells_that_a_forecast_settled_are_joined_within_their_hour():
    """Quarters that touch, of one value, are one; another hour and another value are another."""
    forced = [entry(15 * number, 15, state=State.FORECAST) for number in range(6)]
    forced.append(entry(50, 10, 200, state=State.FORECAST))
    assert [(one.energy_nj, one.intensity_ngkwh // 10**9) for one in merged(forced)] == [
        (4000, 100),
        (1000, 200),
        (2000, 100),
    ]


def test_parts_that_fill_an_hour_become_an_hour():
    """With the mean over its time, each part by its length."""
    (whole,) = coarser([entry(0, 15, 100), entry(15, 45, 200)])
    assert (whole.end_us - whole.start_us, whole.intensity_ngkwh, whole.energy_nj) == (HOUR_US, 175 * 10**9, 2000)


@pytest.mark.parametrize(
    "parts",
    [
        [entry(0, 15), entry(30, 30)],
        [entry(0, 15, 100), entry(0, 30, 150), entry(30, 30, 100)],
        [entry(0, 30), entry(30, 30, stage=1)],
        [entry(0, 30), entry(30, 30, pue_micro=2 * 10**6)],
        [entry(0, 30), entry(30, 30, grid=1)],
        [entry(15, 45)],
    ],
)
def test_parts_that_do_not_fill_an_hour_stay_parts(parts: list[Entry]):
    """A gap, an overlap, or another stage, PUE or grid: no mean is made of these."""
    assert coarser(parts) == parts


def test_a_history_that_is_too_long_forgets_its_oldest_days():
    """By lines and by characters; the newest stay."""
    many = tuple(f"{number}" for number in range(MAX_HISTORY + 5))
    assert bounded(many) == many[5:]
    long = tuple(f"{number}".ljust(MAX_LINE) for number in range(200))
    kept = bounded(long)
    assert kept == long[-len(kept) :]
    assert MAX_CHARACTERS - MAX_LINE < sum(map(len, kept)) <= MAX_CHARACTERS


def test_only_the_days_concerned_are_read():
    """A line of an older day passes by untouched, whatever it holds."""
    old = "1 not even a line"
    assert added((old,), [entry(0)])[0] == old


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1 2 3",
        "1njchs0 1njchs0 0 s lfls 0",
        "1njchs0 1njchs0 3 s lfls 0 100,1",
        "1njchs0 1njchs0 0 x lfls 0 100,1",
        "1njchs0 1njchs0 0 s lfls 0 100,?",
        "1njchs0 1njchs0 0 s lfls 0 1e5,1",
        "1njchs0 1njchs0 0 s lfls 0 100,1,2,3,4,5",
    ],
)
def test_a_line_that_somebody_edited_is_named(line: str):
    """What no operator wrote is refused with the line, instead of being counted wrongly."""
    with pytest.raises(InvalidSpec, match="no operator wrote") as caught:
        decode(Ledger(history=(line,)))
    assert caught.value.reason == "LedgerUnreadable"
    assert repr(line) in str(caught.value)
