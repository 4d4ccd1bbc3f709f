"""Real PyTorch training of two processes over gloo on the loopback interface. These run where it is installed: `make test-sdk`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.unit.sdk.asking import free_port

pytest.importorskip("torch", reason="PyTorch is not installed: see `make test-sdk`")

ROOT = Path(__file__).resolve().parents[3]
TRAINING = """\
import os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from carbonzeus import Progress
from tests.unit.sdk.asking import count_at, tells

PORT = int(os.environ["CARBONZEUS_PORT"])
WORKERS = int(os.environ.get("WORKERS", "2"))

def train():
    data = torch.arange(64.0).reshape(64, 1)
    batches = DataLoader(data, batch_size=2, sampler=DistributedSampler(data), num_workers=WORKERS)
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    seen = []
    with Progress(total_steps=2 * len(batches)) as progress:
        for epoch in range(2):
            for batch in batches:
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model(batch), 2 * batch).backward()
                optimizer.step()
                progress.step()
                dist.barrier()
                if dist.get_rank() == 0:
                    seen.append(count_at(PORT))
                dist.barrier()
    if dist.get_rank() == 0:
        assert tells(seen, range(1, 33)), seen
    dist.barrier()
    assert count_at(PORT) is None
    os.write(1, f"rank {dist.get_rank()} made {progress._done} and was served: {bool(seen)}\\n".encode())
"""
MADE = {"rank 0 made 32 and was served: True", "rank 1 made 32 and was served: False"}


def environment(**more: str) -> dict[str, str]:
    """Of a training on this machine alone, and of an endpoint for itself."""
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}",
        "CARBONZEUS_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        **more,
    }


def run(tmp_path: Path, *command: str, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a training to its end."""
    path = tmp_path / "train.py"
    path.write_text(script)
    return subprocess.run(
        [sys.executable, *command, str(path)],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def expect(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) >= MADE
    assert "carbonzeus: " not in done.stderr


def torchrun() -> tuple[str, ...]:
    return (
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        "--master_addr=127.0.0.1",
        f"--master_port={free_port()}",
    )


def test_two_processes_of_torchrun_count_as_one(tmp_path: Path) -> None:
    """Three lines in the loop of both; one of them is served."""
    script = TRAINING + textwrap.dedent("""
        dist.init_process_group("gloo")
        train()
        dist.destroy_process_group()
        """)
    expect(run(tmp_path, *torchrun(), script=script))


def test_two_pods_of_the_training_operator_count_as_one(tmp_path: Path) -> None:
    """It says the rank by RANK, and each pod runs its script without a launcher."""
    script = TRAINING + textwrap.dedent("""
        dist.init_process_group("gloo")
        train()
        dist.destroy_process_group()
        """)
    path = tmp_path / "train.py"
    path.write_text(script)
    common = environment(WORLD_SIZE="2")
    pods = [
        subprocess.Popen(
            [sys.executable, str(path)],
            env={**common, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [pod.communicate(timeout=240) for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0], said
    assert {line for out, _ in said for line in out.splitlines()} == MADE
    assert not any("carbonzeus: " in error for _, error in said)


def test_processes_that_a_script_spawns_count_as_one(tmp_path: Path) -> None:
    """All inherit the pod's RANK=0; torch knows better.

    Without workers of a data loader: PyTorch 2.15 waits for theirs for ever here, with and without us.
    """
    script = TRAINING + textwrap.dedent("""
        def main(rank):
            dist.init_process_group("gloo", rank=rank, world_size=2)
            train()
            dist.destroy_process_group()

        if __name__ == "__main__":
            torch.multiprocessing.spawn(main, nprocs=2)
        """)
    expect(run(tmp_path, script=script, RANK="0", WORKERS="0"))


def test_two_processes_of_the_hugging_face_trainer_count_as_one(tmp_path: Path) -> None:
    """Under torchrun, with the callback in both."""
    pytest.importorskip("transformers", reason="transformers is not installed: see `make test-sdk`")
    script = f"""
import os
import torch, transformers
from carbonzeus.hf import CarbonzeusCallback
from tests.unit.sdk.asking import count_at, tells

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
    def forward(self, x, labels):
        return {{"loss": torch.nn.functional.mse_loss(self.line(x), labels)}}

class Watcher(transformers.TrainerCallback):
    seen = []
    def on_step_end(self, args, state, control, **_):
        if state.is_world_process_zero:
            self.seen.append(count_at(int(os.environ["CARBONZEUS_PORT"])))

arguments = transformers.TrainingArguments(
    output_dir={str(tmp_path)!r}, num_train_epochs=2, per_device_train_batch_size=1, report_to=[], use_cpu=True,
    ddp_backend="gloo", save_strategy="no", disable_tqdm=True)
data = [{{"x": torch.tensor([float(i)]), "labels": torch.tensor([2.0 * i])}} for i in range(32)]
callback = CarbonzeusCallback()
trainer = transformers.Trainer(Line(), arguments, train_dataset=data, callbacks=[callback, Watcher()])
trainer.train()
rank = int(os.environ["RANK"])
assert tells(Watcher.seen, range(1, 33) if rank == 0 else ()), Watcher.seen
os.write(1, f"rank {{rank}} made {{callback._progress._done}} and was served: {{bool(Watcher.seen)}}\\n".encode())
"""
    expect(run(tmp_path, *torchrun(), script=script))


def test_two_processes_of_lightning_count_as_one(tmp_path: Path) -> None:
    """Lightning starts the second one itself, by pickling everything: the callback, too."""
    pytest.importorskip("lightning", reason="lightning is not installed: see `make test-sdk`")
    script = f"""
import os
import torch
import lightning.pytorch as pl
from carbonzeus import Progress
from carbonzeus.lightning import CarbonzeusCallback
from tests.unit.sdk.asking import count_at, tells

class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.seen = []
    def training_step(self, batch, batch_idx):
        if self.global_rank == 0:
            self.seen.append(count_at(int(os.environ["CARBONZEUS_PORT"])))
        return torch.nn.functional.mse_loss(self.line(batch), 2 * batch)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)
    def on_train_end(self):
        done = next(c for c in self.trainer.callbacks if isinstance(c, CarbonzeusCallback))._progress._done
        assert tells(self.seen, range(32) if self.global_rank == 0 else ()), self.seen
        os.write(1, f"rank {{self.global_rank}} made {{done}} and was served: {{bool(self.seen)}}\\n".encode())

if __name__ == "__main__":
    data = torch.utils.data.DataLoader(torch.arange(64.0).reshape(64, 1), batch_size=2)
    pl.Trainer(accelerator="cpu", devices=2, strategy="ddp_spawn", max_epochs=2, callbacks=[CarbonzeusCallback()],
        logger=False, enable_progress_bar=False, enable_checkpointing=False, default_root_dir={str(tmp_path)!r}
    ).fit(Line(), data)
"""
    expect(run(tmp_path, script=script))
