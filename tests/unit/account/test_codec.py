from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import AGES, Account, Cell, Cursor, JobPod, Settled, Span, State, decode, encode
from carbonzeus_operator.account.model import LAST_STAGE, Grid, Model, Settlement, Vintage
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Factor, Signal
from carbonzeus_operator.resources.ledger import MAX_CELLS, Ledger, SettlementState
from tests.unit.account.books import POD, T0, examples

amounts = st.integers(0, 10**18)
signed = st.integers(-(10**12), 10**18)
instants = st.integers(0, 60 * 365 * 86_400 * 10**6).map(lambda us: T0 + timedelta(microseconds=us))
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
PRODUCTS = ("NVIDIA A40", "Tesla V100-SXM2-32GB", "other:board 80 GB")
products = st.sampled_from(PRODUCTS)
models = st.dictionaries(products, st.builds(Model, amounts, amounts), max_size=3)
pods = st.builds(
    JobPod,
    uid=words,
    name=words.map(lambda word: f"train/{word}"),
    product=products,
    gpus=st.integers(0, 16),
    started=instants,
    ended=st.none() | instants,
    leader=st.booleans(),
    clock_gpu=st.just("") | words,
    clock_limit_w=st.none() | st.integers(1, 10**7).map(lambda milliwatts: milliwatts / 1000),
    zone=st.sampled_from(["", "DE"]),
)
spans = st.builds(Span, instants, st.none() | instants)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    start_us = draw(st.integers(10**15, 4 * 10**15))
    return Cell(
        start_us=start_us,
        end_us=start_us + draw(st.integers(1, 900_000_000)),
        zone=draw(st.sampled_from(["", "", "DE", "US-CAL-CISO"])),
        energy_nj=draw(amounts),
        host_nj=draw(amounts),
        fixed_nj=draw(amounts),
        constant_nj=draw(amounts),
        host_baseline_nj=draw(amounts),
        models=draw(models),
        elapsed_us=draw(signed),
        work_us=draw(signed),
        lag_us=draw(st.none() | signed),
        state=draw(st.sampled_from(State)),
        intensity_ngkwh=draw(amounts),
        baseline_ngkwh=draw(amounts),
    )


vintages = st.builds(
    Vintage,
    retrieved_at=instants,
    updated_at=st.none() | instants,
    source=words,
    signal=st.sampled_from(Signal),
    factor=st.sampled_from(Factor),
    model=st.just("") | words,
)
settlements = st.builds(
    Settlement,
    energy_nj=amounts,
    estimated_nj=amounts,
    before_pg=st.integers(0, 10**30),
    after_pg=st.integers(0, 10**30),
    vintage=st.none() | vintages,
)
LINES = (
    "hogj8hn9c0 1njchs0 0 s lfls 0 100,8v0uaiosg0,,8v0uaiosg0,,8v0uaiosg0 400.25,5b,1",
    "hp 1 2 u lfls f 0,1,,,,2,3,4",
)
accounts = st.builds(
    Account,
    cursors=st.dictionaries(words, st.builds(Cursor, st.integers(0, 2**53 - 1), st.none() | instants), max_size=4),
    pods=st.lists(pods, max_size=4).map(tuple),
    running=st.lists(spans, max_size=4).map(tuple),
    energy_mj=amounts,
    modelled_nj=amounts,
    limited_nj=amounts,
    measured_us=amounts,
    retired_us=amounts,
    elapsed_us=amounts,
    work_us=amounts,
    frontier_lag_us=signed,
    progress_milli=amounts,
    models=st.permutations(PRODUCTS).map(lambda found: {product: Model(1, 2) for product in found}),
    relative_power=st.dictionaries(
        products, st.integers(0, 10**9).map(lambda billionths: billionths / 10**9), max_size=3
    ),
    cells=st.lists(cells(), max_size=5).map(tuple),
    grids=st.lists(st.builds(Grid, words, st.sampled_from(Signal), st.sampled_from(Factor)), max_size=3).map(tuple),
    history=st.lists(st.sampled_from(LINES), max_size=3).map(tuple),
    settlements=st.dictionaries(st.integers(0, 3), settlements, max_size=4),
    settled=st.builds(
        Settled,
        energy_nj=amounts,
        forced_nj=amounts,
        lost_nj=amounts,
        realised_pg=st.integers(0, 10**30),
        baseline_pg=st.integers(0, 10**30),
        constant_pg=amounts,
        reference_pg=st.dictionaries(products, st.integers(1, 10**30), max_size=3),
    ),
)


@examples
@given(accounts)
def test_an_account_survives_its_report(account: Account):
    """Through JSON as the API server stores it, and back: the very same account."""
    stored = json.dumps(encode(account).as_json())
    again = decode(Ledger.model_validate(json.loads(stored)))
    assert again == account
    # The lines of the history name products by their place.
    assert list(again.models) == list(account.models)


def test_a_new_report_holds_an_empty_account():
    """A status without a ledger is an account that was just opened."""
    assert decode(Ledger()) == Account()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1 2 3",
        "1 2 3 4 5 6 7 8 9 - x 1 1",
        "1 2 3 4 5 6 7 8 9 - f 1 1 7:1:1",
        "1 2 ? 4 5 6 7 8 9 - f 1 1",
        "1 2 3 4 5 6 7 8 9 - f 1 1 @0",
    ],
)
def test_a_cell_that_somebody_edited_is_named(line: str):
    """What no operator wrote is refused with the line, instead of being counted wrongly."""
    with pytest.raises(InvalidSpec, match="no operator wrote") as caught:
        decode(Ledger(cells=(line,)))
    assert caught.value.reason == "LedgerUnreadable"
    assert repr(line) in str(caught.value)


def test_a_stage_that_does_not_exist_is_named():
    """A settlement that somebody made up is refused, instead of stopping the operator."""
    made_up = SettlementState(
        stage=4, energy_nanojoules="1", estimated_nanojoules="0", before_picograms="0", after_picograms="1"
    )
    with pytest.raises(InvalidSpec, match="holds stage 4, which no operator wrote"):
        decode(Ledger(settlements=(made_up,)))
    assert len(AGES) == LAST_STAGE


def test_a_report_stays_far_below_what_etcd_takes():
    """The fullest report of one product, all cells in use with the figures of 64 GPUs: less than 256 KiB."""
    cell = Cell(
        start_us=1_795_000_000_000_000,
        end_us=1_795_000_900_000_000,
        energy_nj=64 * 300 * 900 * 10**9,
        host_nj=64 * 50 * 900 * 10**9,
        constant_nj=64 * 50 * 900 * 10**9,
        host_baseline_nj=64 * 48 * 900 * 10**9,
        models={"NVIDIA A40": Model(64 * 320 * 900 * 10**9, 64 * 330 * 900 * 10**9)},
        elapsed_us=900_000_000,
        work_us=873_123_456,
        lag_us=123_456_789_012,
        state=State.FORECAST,
        intensity_ngkwh=412_345_678_901,
        baseline_ngkwh=398_765_432_109,
    )
    account = Account(
        cursors={f"{n:032x}": Cursor(10**6, T0) for n in range(8)},
        pods=tuple(
            replace(POD, uid=f"{n:036x}", product="NVIDIA A40", gpus=8, started=T0 - timedelta(days=180))
            for n in range(8)
        ),
        models=cell.models,
        cells=(cell,) * MAX_CELLS,
    )
    stored = json.dumps(encode(account).as_json(), separators=(",", ":"))
    assert len(stored) < 256 * 1024
