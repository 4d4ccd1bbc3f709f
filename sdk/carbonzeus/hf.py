"""Steps of Hugging Face's `Trainer`, and of the trainers built on it: `Trainer(..., callbacks=[CarbonzeusCallback()])`."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from carbonzeus.progress import PORT, Progress


class CarbonzeusCallback(TrainerCallback):  # type: ignore[misc]
    """Counts optimizer steps: as many as `max_steps`, however many batches are accumulated for one."""

    def __init__(self, *, port: int = PORT) -> None:
        """`port`: as of `Progress`."""
        self._port = port
        self._progress = Progress(port=port)

    def on_train_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """A training that goes on from a checkpoint has the rest to make."""
        self._progress.close()
        self._progress = Progress(total_steps=state.max_steps - state.global_step, port=self._port).start()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """An optimizer step is done."""
        self._progress.step()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """What follows is no training."""
        self._progress.close()
