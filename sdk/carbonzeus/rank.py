"""Which of a job's processes is the one that counts."""

from __future__ import annotations

import os
import sys

_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
"""As torchrun and the training operator, Open MPI, and MPICH and Intel MPI tell it."""


def counts_here() -> bool:
    """Whether this process is the one of its pod that tells its steps: rank 0, as torch.distributed knows it once it is set up.

    Under torchrun it is the first process of each pod. All of them make the same steps; only the job's first pod is asked;
    and when torchrun is elastic, rank 0 may be in any pod.
    """
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        return os.environ.get("LOCAL_RANK", "0") == "0"
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return next((rank for rank in map(os.environ.get, _RANKS) if rank), "0") == "0"
