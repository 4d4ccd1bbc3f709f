"""The account in the status of its report, and back: nothing that a later fold needs is lost on the way.

A cell is one line of numbers in base 36, since the status is bounded and an account may hold 1536 of them:
`start length energy host fixed constant hostBaseline elapsed work lag state intensity baselineIntensity`, then for each GPU
product `index:baseline:reference`, the index into the models of the ledger. Units as in `Cell`; a lag of `-` is not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from carbonzeus_operator.account.model import Account, Cell, Cursor, JobPod, Model, Settled, Span, State
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.ledger import CursorStatus, Ledger, ModelStatus, PodStatus, SettledStatus, SpanStatus
from carbonzeus_operator.resources.quantity import format_decimal, parse_decimal

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_STATES = {State.UNKNOWN: "u", State.FORECAST: "f", State.PROVISIONAL: "p"}
_STATE_OF = {letter: state for state, letter in _STATES.items()}


def encode(account: Account) -> Ledger:
    """The account as the part of a status."""
    products = sorted({*account.models, *account.settled.reference_pg})
    settled = account.settled
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
            )
            for pod in account.pods
        ),
        running=tuple(SpanStatus(start=span.start, end=span.end) for span in account.running),
        energy_millijoules=str(account.energy_mj),
        modelled_nanojoules=str(account.modelled_nj),
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
        cells=tuple(_cell_to_line(cell, products) for cell in account.cells),
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
            )
            for pod in ledger.pods
        ),
        running=tuple(Span(span.start, span.end) for span in ledger.running),
        energy_mj=int(ledger.energy_millijoules),
        modelled_nj=int(ledger.modelled_nanojoules),
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
        cells=tuple(_cell_from_line(line, products) for line in ledger.cells),
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


def _cell_to_line(cell: Cell, products: Sequence[str]) -> str:
    words = [
        *map(
            _base36,
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
        "-" if cell.lag_us is None else _base36(cell.lag_us),
        _STATES[cell.state],
        _base36(cell.intensity_ngkwh),
        _base36(cell.baseline_ngkwh),
        *(
            f"{_base36(products.index(product))}:{_base36(model.baseline_nj)}:{_base36(model.reference_nj)}"
            for product, model in sorted(cell.models.items())
        ),
    ]
    return " ".join(words)


def _cell_from_line(line: str, products: Sequence[str]) -> Cell:
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
        start_us = int(start, 36)
        return Cell(
            start_us=start_us,
            end_us=start_us + int(length, 36),
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


def _base36(value: int) -> str:
    if value < 0:
        return "-" + _base36(-value)
    digits = ""
    while True:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
        if not value:
            return digits
