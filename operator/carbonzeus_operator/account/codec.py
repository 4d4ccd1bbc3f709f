"""The account in the status of its report, and back: nothing that a later fold needs is lost on the way.

A cell is one line of numbers in base 36, since the status is bounded and an account may hold 1536 of them:
`start length energy host fixed constant hostBaseline elapsed work lag state intensity baselineIntensity`, then for each GPU
product `index:baseline:reference`, the index into the models of the ledger, and `@index` into its zones where the cell is not of
the job's zone. Units as in `Cell`; a lag of `-` is not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from carbonzeus_operator.account.lines import base36, checked
from carbonzeus_operator.account.model import (
    LAST_STAGE,
    Account,
    Cell,
    Cursor,
    Grid,
    JobPod,
    Model,
    Settled,
    Settlement,
    Span,
    State,
    Vintage,
)
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.ledger import (
    CursorStatus,
    GridStatus,
    Ledger,
    ModelStatus,
    PodStatus,
    SettledStatus,
    SettlementState,
    SpanStatus,
    VintageStatus,
)
from carbonzeus_operator.resources.quantity import format_decimal, parse_decimal

_STATES = {State.UNKNOWN: "u", State.FORECAST: "f", State.PROVISIONAL: "p", State.FINAL: "s"}
_STATE_OF = {letter: state for state, letter in _STATES.items()}


def encode(account: Account) -> Ledger:
    """The account as the part of a status."""
    # In the order in which they came: the lines of the history count on it.
    products = [*account.models, *sorted(set(account.settled.reference_pg) - set(account.models))]
    settled = account.settled
    zones = sorted({cell.zone for cell in account.cells if cell.zone})
    return Ledger(
        cursors=tuple(
            CursorStatus(ledger_id=ledger_id, seq=cursor.seq, until=cursor.until)
            for ledger_id, cursor in account.cursors.items()
        ),
        pods=tuple(
            PodStatus(
                uid=pod.uid,
                name=pod.name,
                product=pod.product,
                gpus=pod.gpus,
                started=pod.started,
                ended=pod.ended,
                leader=pod.leader,
                clock_gpu=pod.clock_gpu,
                clock_limit_watts=None if pod.clock_limit_w is None else format_decimal(pod.clock_limit_w, 6),
                zone=pod.zone,
            )
            for pod in account.pods
        ),
        running=tuple(SpanStatus(start=span.start, end=span.end) for span in account.running),
        energy_millijoules=str(account.energy_mj),
        modelled_nanojoules=str(account.modelled_nj),
        limited_nanojoules=str(account.limited_nj),
        measured_microseconds=str(account.measured_us),
        retired_microseconds=str(account.retired_us),
        elapsed_microseconds=str(account.elapsed_us),
        work_microseconds=str(account.work_us),
        frontier_lag_microseconds=str(account.frontier_lag_us),
        progress_thousandths=str(account.progress_milli),
        models=tuple(
            ModelStatus(
                product=product,
                baseline_nanojoules=str(account.models.get(product, Model()).baseline_nj),
                reference_nanojoules=str(account.models.get(product, Model()).reference_nj),
                settled_picograms=str(settled.reference_pg.get(product, 0)),
                constant_power=_power_text(account.relative_power.get(product)),
            )
            for product in products
        ),
        settled=SettledStatus(
            energy_nanojoules=str(settled.energy_nj),
            forced_nanojoules=str(settled.forced_nj),
            lost_nanojoules=str(settled.lost_nj),
            realised_picograms=str(settled.realised_pg),
            baseline_picograms=str(settled.baseline_pg),
            constant_picograms=str(settled.constant_pg),
        ),
        zones=tuple(zones),
        cells=tuple(_cell_to_line(cell, products, zones) for cell in account.cells),
        grids=tuple(GridStatus(zone=grid.zone, signal=grid.signal, factor=grid.factor) for grid in account.grids),
        history=account.history,
        settlements=tuple(_settlement(stage, one) for stage, one in sorted(account.settlements.items())),
    )


def decode(ledger: Ledger) -> Account:
    """The account of a status. InvalidSpec where somebody edited a cell into something that cannot be read."""
    products = [model.product for model in ledger.models]
    settled = ledger.settled
    return Account(
        cursors={cursor.ledger_id: Cursor(cursor.seq, cursor.until) for cursor in ledger.cursors},
        pods=tuple(
            JobPod(
                uid=pod.uid,
                name=pod.name,
                product=pod.product,
                gpus=pod.gpus,
                started=pod.started,
                ended=pod.ended,
                leader=pod.leader,
                clock_gpu=pod.clock_gpu,
                clock_limit_w=None if pod.clock_limit_watts is None else parse_decimal(pod.clock_limit_watts),
                zone=pod.zone,
            )
            for pod in ledger.pods
        ),
        running=tuple(Span(span.start, span.end) for span in ledger.running),
        energy_mj=int(ledger.energy_millijoules),
        modelled_nj=int(ledger.modelled_nanojoules),
        limited_nj=int(ledger.limited_nanojoules),
        measured_us=int(ledger.measured_microseconds),
        retired_us=int(ledger.retired_microseconds),
        elapsed_us=int(ledger.elapsed_microseconds),
        work_us=int(ledger.work_microseconds),
        frontier_lag_us=int(ledger.frontier_lag_microseconds),
        progress_milli=int(ledger.progress_thousandths),
        models={
            model.product: Model(int(model.baseline_nanojoules), int(model.reference_nanojoules))
            for model in ledger.models
        },
        relative_power={
            model.product: parse_decimal(model.constant_power)
            for model in ledger.models
            if model.constant_power is not None
        },
        cells=tuple(_cell_from_line(line, products, ledger.zones) for line in ledger.cells),
        grids=tuple(Grid(grid.zone, grid.signal, grid.factor) for grid in ledger.grids),
        history=checked(ledger.history, len(products)),
        settlements={one.stage: _settled_at(one) for one in ledger.settlements},
        settled=Settled(
            energy_nj=int(settled.energy_nanojoules),
            forced_nj=int(settled.forced_nanojoules),
            lost_nj=int(settled.lost_nanojoules),
            realised_pg=int(settled.realised_picograms),
            baseline_pg=int(settled.baseline_picograms),
            constant_pg=int(settled.constant_picograms),
            reference_pg={
                model.product: int(model.settled_picograms) for model in ledger.models if model.settled_picograms != "0"
            },
        ),
    )


def _power_text(value: float | None) -> str | None:
    return None if value is None else format_decimal(value, 9)


def _settlement(stage: int, one: Settlement) -> SettlementState:
    vintage = one.vintage
    return SettlementState(
        stage=stage,
        energy_nanojoules=str(one.energy_nj),
        estimated_nanojoules=str(one.estimated_nj),
        before_picograms=str(one.before_pg),
        after_picograms=str(one.after_pg),
        vintage=None
        if vintage is None
        else VintageStatus(
            retrieved_at=vintage.retrieved_at,
            updated_at=vintage.updated_at,
            source=vintage.source[:64],
            signal=vintage.signal,
            factor=vintage.factor,
            model=vintage.model[:128],
        ),
    )


def _settled_at(one: SettlementState) -> Settlement:
    vintage = one.vintage
    if one.stage > LAST_STAGE:
        raise InvalidSpec(
            f"status.ledger.settlements of the report holds stage {one.stage}, which no operator wrote: restore the status"
            " from a backup, or delete the report to begin a new account",
            reason="LedgerUnreadable",
        )
    return Settlement(
        energy_nj=int(one.energy_nanojoules),
        estimated_nj=int(one.estimated_nanojoules),
        before_pg=int(one.before_picograms),
        after_pg=int(one.after_picograms),
        vintage=None
        if vintage is None
        else Vintage(
            vintage.retrieved_at, vintage.updated_at, vintage.source, vintage.signal, vintage.factor, vintage.model
        ),
    )


def _cell_to_line(cell: Cell, products: Sequence[str], zones: Sequence[str]) -> str:
    words = [
        *map(
            base36,
            (
                cell.start_us,
                cell.end_us - cell.start_us,
                cell.energy_nj,
                cell.host_nj,
                cell.fixed_nj,
                cell.constant_nj,
                cell.host_baseline_nj,
                cell.elapsed_us,
                cell.work_us,
            ),
        ),
        "-" if cell.lag_us is None else base36(cell.lag_us),
        _STATES[cell.state],
        base36(cell.intensity_ngkwh),
        base36(cell.baseline_ngkwh),
        *(
            f"{base36(products.index(product))}:{base36(model.baseline_nj)}:{base36(model.reference_nj)}"
            for product, model in sorted(cell.models.items())
        ),
        *([f"@{base36(zones.index(cell.zone))}"] if cell.zone else []),
    ]
    return " ".join(words)


def _cell_from_line(line: str, products: Sequence[str], zones: Sequence[str]) -> Cell:
    try:
        (
            start,
            length,
            energy,
            host,
            fixed,
            constant,
            host_baseline,
            elapsed,
            work,
            lag,
            state,
            here,
            before,
            *models,
        ) = line.split(" ")
        zone = zones[int(models.pop()[1:], 36)] if models and models[-1].startswith("@") else ""
        start_us = int(start, 36)
        return Cell(
            start_us=start_us,
            end_us=start_us + int(length, 36),
            zone=zone,
            energy_nj=int(energy, 36),
            host_nj=int(host, 36),
            fixed_nj=int(fixed, 36),
            constant_nj=int(constant, 36),
            host_baseline_nj=int(host_baseline, 36),
            elapsed_us=int(elapsed, 36),
            work_us=int(work, 36),
            lag_us=None if lag == "-" else int(lag, 36),
            state=_STATE_OF[state],
            intensity_ngkwh=int(here, 36),
            baseline_ngkwh=int(before, 36),
            models={
                products[int(index, 36)]: Model(int(baseline, 36), int(reference, 36))
                for index, baseline, reference in (model.split(":") for model in models)
            },
        )
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidSpec(
            f"status.ledger.cells of the report holds {line!r}, which no operator wrote: restore the status from a backup,"
            " or delete the report to begin a new account",
            reason="LedgerUnreadable",
        ) from error
