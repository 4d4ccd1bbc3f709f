"""Steps of the `Trainer` of `pytorch_lightning`: `Trainer(callbacks=[CarbonzeusCallback()])`.

Trainers of Lightning's other package take the callback of `carbonzeus.lightning`: some know their own kind only.
"""

from __future__ import annotations

from pytorch_lightning import Callback

from carbonzeus.global_step import GlobalStep


class CarbonzeusCallback(GlobalStep, Callback):  # type: ignore[misc]
    """Counts optimizer steps, as `trainer.global_step` does, however many batches are accumulated for one."""
