"""Pure: who holds which GPU, as far as the kubelet tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_REPLICA = "::"
"""The device plugin's mark between the UUID and the number of a time-sliced or MPS replica."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One device of one pod, in the words of the device plugin or resource driver that handed it out.

    Known are NVIDIA's: `GPU-…`, `GPU-…::3` (a share by time slicing or MPS) and `MIG-…`. Of any other name nobody knows which
    GPU is meant, or whether it is a whole one: such a device is kept as a claim, so that its pod is refused with the reason.
    """

    pod: str
    """`namespace/name`."""
    device: str

    @property
    def mig(self) -> bool:
        return self.device.startswith("MIG-")

    @property
    def known(self) -> bool:
        """Whether the name tells which GPU is meant."""
        return self.device.startswith(("GPU-", "MIG-"))

    @property
    def replica(self) -> bool:
        return _REPLICA in self.device

    @property
    def gpu(self) -> str | None:
        """UUID of the whole GPU; None for a MIG device that does not name it, and for a name of unknown form."""
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
