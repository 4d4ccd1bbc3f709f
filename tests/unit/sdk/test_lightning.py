"""Lightning's own Trainer, of both packages. These run where it is installed: see `make test-sdk`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: see `make test-sdk`")
pytest.importorskip("lightning", reason="lightning is not installed: see `make test-sdk`")

from carbonzeus import Progress  # noqa: E402 - only where there is something to call back
from tests.unit.sdk.asking import count_at, free_port, tells  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # theirs


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request: pytest.FixtureRequest) -> Any:
    """Lightning under its two names."""
    return importlib.import_module(request.param)


def callback_of(pl: Any, port: int) -> Any:
    """Ours for that package."""
    name = "carbonzeus.lightning" if pl.__name__ == "lightning.pytorch" else "carbonzeus.pytorch_lightning"
    return importlib.import_module(name).CarbonzeusCallback(port=port)


def model(pl: Any, port: int, fail_at: int | None = None) -> Any:
    """A straight line; it asks the endpoint as the agent would, after each batch's steps but its last."""

    class Line(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(1, 1)
            self.seen: list[float | None] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(count_at(port))
            if self.global_step == fail_at:
                raise LookupError("of the training")
            return torch.nn.functional.mse_loss(self.line(batch), 2 * batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    return Line()


def data() -> Any:
    """24 batches of 2."""
    return torch.utils.data.DataLoader(torch.arange(48.0).reshape(48, 1), batch_size=2, num_workers=2)


def trainer(pl: Any, folder: Path, callback: Any, **settings: Any) -> Any:
    """4 batches a step: 6 steps an epoch, for two epochs."""
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=4,
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )


def test_optimizer_steps_are_counted(pl: Any, tmp_path: Path) -> None:
    """Not batches; while they are made, and not afterwards."""
    port = free_port()
    callback = callback_of(pl, port)
    line = model(pl, port)
    one = trainer(pl, tmp_path, callback, enable_checkpointing=False)
    one.fit(line, data())
    assert one.global_step == callback._progress._done == 12
    assert tells(line.seen, [batch // 4 for batch in range(48)])
    assert count_at(port) is None


def test_what_the_checkpoint_has_is_not_counted_again(pl: Any, tmp_path: Path) -> None:
    """A training that goes on counts from 0."""
    port = free_port()
    one = trainer(pl, tmp_path, callback_of(pl, port))
    one.fit(model(pl, port), data())
    one.save_checkpoint(tmp_path / "here.ckpt")
    line = model(pl, port)
    more = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        accumulate_grad_batches=4,
        callbacks=[callback_of(pl, port)],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    more.fit(line, data(), ckpt_path=tmp_path / "here.ckpt")
    assert more.global_step == 18
    assert tells(line.seen, [batch // 4 for batch in range(24)])


def test_a_failed_training_is_over(pl: Any, tmp_path: Path) -> None:
    """The error is the training's own, and the port is free."""
    port = free_port()
    with pytest.raises(LookupError, match="of the training"):
        trainer(pl, tmp_path, callback_of(pl, port)).fit(model(pl, port, fail_at=3), data())
    assert count_at(port) is None
    assert Progress._served is None


def test_steps_of_several_optimizers_count(pl: Any, tmp_path: Path) -> None:
    """Each, as Lightning counts them: what matters is that a batch always makes the same."""
    port = free_port()

    class Pair(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.lines = torch.nn.ModuleList([torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)])
            self.seen: list[float | None] = []

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.seen.append(count_at(port))
            for optimizer, line in zip(self.optimizers(), self.lines, strict=True):
                optimizer.zero_grad()
                self.manual_backward(torch.nn.functional.mse_loss(line(batch), 2 * batch))
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(line.parameters(), lr=1e-6) for line in self.lines]

    pair = Pair()
    pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[callback_of(pl, port)],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
    ).fit(pair, data())
    assert tells(pair.seen, range(0, 48, 2), step=2)
