"""Steps of the `Trainer` of `lightning.pytorch`: `Trainer(callbacks=[CarbonzeusCallback()])`.

Trainers of Lightning's other package take the callback of `carbonzeus.pytorch_lightning`: some know their own kind only.
"""

from __future__ import annotations

from lightning.pytorch import Callback

from carbonzeus.global_step import GlobalStep


class CarbonzeusCallback(GlobalStep, Callback):  # type: ignore[misc]
    """Counts optimizer steps, as `trainer.global_step` does, however many batches are accumulated for one."""
