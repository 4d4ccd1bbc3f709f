"""Pure: who holds which GPU, as far as the kubelet tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

_REPLICA = "::"
"""The mark of NVIDIA's device plugin between the UUID and the number of a time-sliced or MPS replica."""
_FILE = re.compile(r"nvidia(?P<minor>0|[1-9][0-9]{0,4})(?P<instance>/gi[0-9]+)?(?P<share>/vgpu[0-9]+)?")
"""What GKE's device plugin hands out: the name of a file in `/dev`, a GPU instance of it, a share of either."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One device of one pod, in the words of the device plugin or resource driver that handed it out.

    Known are NVIDIA's: `GPU-…`, `GPU-…::3` (a share by time slicing or MPS) and `MIG-…`; and GKE's: `nvidia0`, `nvidia0/vgpu3` and
    `nvidia0/gi1`. Of any other name nobody knows which GPU is meant, or whether it is a whole one: such a device is kept as a
    claim, so that its pod is refused with the reason.
    """

    pod: str
    """`namespace/name`."""
    device: str
    of_file: str | None = None
    """UUID of the GPU behind a device file, where the driver knows one."""

    @property
    def mig(self) -> bool:
        file = _FILE.fullmatch(self.device)
        return self.device.startswith("MIG-") if file is None else file["instance"] is not None

    @property
    def known(self) -> bool:
        """Whether the form of the name tells which GPU is meant."""
        return self.device.startswith(("GPU-", "MIG-")) or self.minor is not None

    @property
    def replica(self) -> bool:
        file = _FILE.fullmatch(self.device)
        return _REPLICA in self.device if file is None else file["share"] is not None

    @property
    def minor(self) -> int | None:
        """N where the device goes by the name of its file, `nvidiaN`."""
        file = _FILE.fullmatch(self.device)
        return None if file is None else int(file["minor"])

    @property
    def gpu(self) -> str | None:
        """UUID of the whole GPU; None for a MIG device or a file that does not tell it, and for a name of unknown form."""
        if self.minor is not None:
            return self.of_file
        if not self.known:
            return None
        device = self.device.split(_REPLICA, 1)[0]
        if not self.mig:
            return device
        inner = device.removeprefix("MIG-").split("/", 1)[0]
        return inner if inner.startswith("GPU-") else None


@dataclass(frozen=True, slots=True)
class Owners:
    """All claims of a node."""

    claims: tuple[Claim, ...] = ()
    _by_gpu: Mapping[str, tuple[Claim, ...]] = field(init=False, repr=False, compare=False)
    _by_pod: Mapping[str, tuple[Claim, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_gpu: dict[str, tuple[Claim, ...]] = {}
        by_pod: dict[str, tuple[Claim, ...]] = {}
        for claim in self.claims:
            if claim.gpu is not None:
                by_gpu[claim.gpu] = (*by_gpu.get(claim.gpu, ()), claim)
            by_pod[claim.pod] = (*by_pod.get(claim.pod, ()), claim)
        object.__setattr__(self, "_by_gpu", by_gpu)
        object.__setattr__(self, "_by_pod", by_pod)

    @classmethod
    def of(cls, devices: Iterable[tuple[str, str]]) -> Owners:
        """From pairs of pod and id of a GPU or a part of one."""
        return cls(tuple(Claim(pod, device) for pod, device in sorted(set(devices))))

    def located(self, by_minor: Mapping[int, str]) -> Owners:
        """With the GPUs behind device files, by minor number; of a file that is not among them nobody knows."""
        return Owners(
            tuple(
                replace(claim, of_file=by_minor.get(claim.minor)) if claim.minor is not None else claim
                for claim in self.claims
            )
        )

    def pods_of(self, gpu: str) -> tuple[str, ...]:
        """All pods with a claim on the GPU or a part of it."""
        return tuple(sorted({claim.pod for claim in self._by_gpu.get(gpu, ())}))

    def claims_of(self, pod: str) -> tuple[Claim, ...]:
        return self._by_pod.get(pod, ())

    def sole_owner(self, gpu: str) -> str | None:
        """The pod that holds the whole GPU and nobody else a part of it."""
        claims = self._by_gpu.get(gpu, ())
        pods = {claim.pod for claim in claims}
        if len(pods) != 1 or any(claim.replica or claim.mig for claim in claims):
            return None
        return pods.pop()

    def first_gpu(self, pod: str) -> str | None:
        """The lowest UUID among the GPUs that the pod owns alone: its progress is booked there."""
        gpus = [claim.gpu for claim in self.claims_of(pod) if claim.gpu is not None and self.sole_owner(claim.gpu)]
        return min(gpus, default=None)
