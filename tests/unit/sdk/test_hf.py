"""Hugging Face's own Trainer. These run where it is installed: `make test-sdk` installs it in an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: see `make test-sdk`")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: see `make test-sdk`")

from carbonzeus import Progress  # noqa: E402 - only where there is something to call back
from carbonzeus.hf import CarbonzeusCallback  # noqa: E402
from tests.unit.sdk.asking import count_at, free_port, tells  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # theirs


class Line(torch.nn.Module):  # type: ignore[misc, name-defined]
    """y = ax + b."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, x: Any, labels: Any) -> dict[str, Any]:
        return {"loss": torch.nn.functional.mse_loss(self.line(x), labels)}


class Watcher(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
    """Asks the endpoint as the agent would, after each step; and fails where it is told to."""

    def __init__(self, port: int, fail_at: int | None = None) -> None:
        self.port, self.fail_at = port, fail_at
        self.seen: list[float | None] = []
        self.annotations: list[str] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seen.append(count_at(self.port))
        assert Progress._served is not None
        self.annotations.append(Progress._served.annotation)
        if state.global_step == self.fail_at:
            raise LookupError("of the training")


def trainer(folder: Path, watcher: Watcher, callback: CarbonzeusCallback) -> Any:
    """48 samples, 2 a batch, 4 batches a step: 6 steps an epoch, for two epochs."""
    data = [{"x": torch.tensor([float(i)]), "labels": torch.tensor([2.0 * i])} for i in range(48)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        save_strategy="steps",
        save_steps=5,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_num_workers=2,
        learning_rate=1e-5,
    )
    return transformers.Trainer(Line(), arguments, train_dataset=data, callbacks=[callback, watcher])


def test_optimizer_steps_are_counted(tmp_path: Path) -> None:
    """Not batches; while they are made, and not afterwards."""
    port = free_port()
    watcher = Watcher(port)
    one = trainer(tmp_path, watcher, CarbonzeusCallback(port=port))
    one.train()
    assert one.state.global_step == 12
    assert tells(watcher.seen, range(1, 13))
    assert watcher.annotations[0] == f"port={port},path=/metrics,metric=train_steps_total,total=12"
    assert count_at(port) is None


def test_what_the_checkpoint_has_is_not_counted_again(tmp_path: Path) -> None:
    """A training that goes on counts from 0, up to what is left."""
    port = free_port()
    callback = CarbonzeusCallback(port=port)
    with pytest.raises(LookupError, match="of the training"):
        trainer(tmp_path, Watcher(port, fail_at=7), callback).train()
    watcher = Watcher(port)
    trainer(tmp_path, watcher, callback).train(resume_from_checkpoint=True)
    assert tells(watcher.seen, range(1, 8))
    assert watcher.annotations[0].endswith(",total=7")


def test_a_failed_training_gives_way_to_the_next(tmp_path: Path) -> None:
    """As when a search for settings prunes one: nobody calls its callback back at the end."""
    port = free_port()
    with pytest.raises(LookupError, match="of the training"):
        trainer(tmp_path / "a", Watcher(port, fail_at=2), CarbonzeusCallback(port=port)).train()
    watcher = Watcher(port)
    trainer(tmp_path / "b", watcher, CarbonzeusCallback(port=port)).train()
    assert tells(watcher.seen, range(1, 13))


def test_a_callback_that_comes_late_is_no_harm(tmp_path: Path) -> None:
    """It was not there when the training began."""
    callback = CarbonzeusCallback(port=free_port())

    class Late(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.epoch == 0:
                one.add_callback(callback)

    one = trainer(tmp_path, Watcher(free_port()), CarbonzeusCallback(port=free_port()))
    one.callback_handler.callbacks = [Late()]
    one.train()
    assert callback._progress._done == 12
