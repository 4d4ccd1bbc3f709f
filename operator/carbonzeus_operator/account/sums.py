"""What is added to a cell while records are folded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from carbonzeus_operator.account.model import Cell, Model

CellKey = tuple[int, int, str]
"""(start [us], end [us], zone)"""


@dataclass(slots=True)
class Sum:
    """A cell that is being added to."""

    energy_nj: int = 0
    host_nj: int = 0
    fixed_nj: int = 0
    constant_nj: int = 0
    host_baseline_nj: int = 0
    elapsed_us: int = 0
    work_us: int = 0
    models: dict[str, Model] = field(default_factory=dict)

    def on(self, cell: Cell) -> Cell:
        """The cell with it."""
        models = dict(cell.models)
        for product, model in self.models.items():
            models[product] = models.get(product, Model()) + model
        return replace(
            cell,
            energy_nj=cell.energy_nj + self.energy_nj,
            host_nj=cell.host_nj + self.host_nj,
            fixed_nj=cell.fixed_nj + self.fixed_nj,
            constant_nj=cell.constant_nj + self.constant_nj,
            host_baseline_nj=cell.host_baseline_nj + self.host_baseline_nj,
            elapsed_us=cell.elapsed_us + self.elapsed_us,
            work_us=cell.work_us + self.work_us,
            models=models,
        )
