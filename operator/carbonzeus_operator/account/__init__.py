"""The carbon account of a job: pure functions over values. No clock, no I/O.

`observe` tells what runs, `fold` takes in energy records exactly once, `settle` applies the grid's intensity, `resettle` what
the grid's data became since, `figures` says what came of it, `encode` and `decode` carry the account through the status of the
job's CarbonReport.
"""

from carbonzeus_operator.account.cells import cuts
from carbonzeus_operator.account.codec import decode, encode
from carbonzeus_operator.account.folding import begin, fold, folded_until
from carbonzeus_operator.account.model import (
    Account,
    Cell,
    Cursor,
    Grid,
    JobPod,
    Settled,
    Settlement,
    Span,
    State,
    Vintage,
)
from carbonzeus_operator.account.observation import observe
from carbonzeus_operator.account.resettlement import AGES, next_due, overdue, resettle
from carbonzeus_operator.account.results import Coverage, Figures, coverage, figures, slowdown
from carbonzeus_operator.account.settlement import settle, wanted
from carbonzeus_operator.account.statement import (
    carbon_text,
    coverage_statement,
    energy_text,
    settlement_statements,
    statement,
)
from carbonzeus_operator.account.terms import LimitStep, PowerCurve, Product, Terms

__all__ = [
    "AGES",
    "Account",
    "Cell",
    "Coverage",
    "Cursor",
    "Figures",
    "Grid",
    "JobPod",
    "LimitStep",
    "PowerCurve",
    "Product",
    "Settled",
    "Settlement",
    "Span",
    "State",
    "Terms",
    "Vintage",
    "begin",
    "carbon_text",
    "coverage",
    "coverage_statement",
    "cuts",
    "decode",
    "encode",
    "energy_text",
    "figures",
    "fold",
    "folded_until",
    "next_due",
    "observe",
    "overdue",
    "resettle",
    "settle",
    "settlement_statements",
    "slowdown",
    "statement",
    "wanted",
]
