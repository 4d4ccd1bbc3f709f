"""Steps of a trainer that tells its `global_step`: what the callbacks for Lightning's two packages share."""

from __future__ import annotations

from typing import Any

from carbonzeus.progress import PORT, Progress


class GlobalStep:
    """Hooks that count optimizer steps as `trainer.global_step` does, however many batches are accumulated for one."""

    def __init__(self, *, port: int = PORT) -> None:
        """`port`: as of `Progress`."""
        self._progress = Progress(port=port)
        self._global_step = 0

    def on_train_start(self, trainer: Any, *_: Any) -> None:
        """A training that goes on from a checkpoint has steps behind it, which were made before."""
        self._global_step = trainer.global_step
        self._progress.start()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """As many optimizer steps are done as the batch has led to."""
        global_step: int = trainer.global_step
        self._progress.step(global_step - self._global_step)
        self._global_step = global_step

    def on_train_end(self, *_: Any) -> None:
        """What follows is no training."""
        self._progress.close()

    def on_exception(self, *_: Any) -> None:
        """The training ended early."""
        self._progress.close()
