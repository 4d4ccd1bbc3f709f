"""What Zeus asks of PyTorch, answered for an emulated board.

Zeus lets PyTorch wait until a GPU has done what it was sent, and asks it whether other processes train along. PyTorch itself finds no
CUDA device behind an emulated driver. Here a step is done when the training loop goes on, and there is one process.
"""

from __future__ import annotations

from types import SimpleNamespace

cuda = SimpleNamespace(is_available=lambda: True, synchronize=lambda _device: None)
distributed = SimpleNamespace(is_available=lambda: False)
