"""The only door to the driver: NVML through `pynvml`, behind the protocol of `driver.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import pynvml  # type: ignore[import-untyped]

from carbonzeus_agent.driver import (
    Board,
    DriverError,
    DriverFault,
    GpuLost,
    NoPermission,
    NotSupported,
    NvmlUnavailable,
    Reading,
)
from carbonzeus_wire import PowerScope

T = TypeVar("T")

# After one of these the library has to be initialised anew.
_CLOSED = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
_POWER = (pynvml.NVML_FI_DEV_POWER_AVERAGE, pynvml.NVML_FI_DEV_POWER_INSTANT)
_GPU, _MODULE = pynvml.NVML_POWER_SCOPE_GPU, pynvml.NVML_POWER_SCOPE_MODULE
MORE_MW = 10_000
"""A CPU and its memory draw at least so much."""
_NO_FIELD = frozenset({pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_INVALID_ARGUMENT})
"""A board or a driver that does not have a field or a scope."""
_KINDS: dict[int, type[DriverError]] = {
    pynvml.NVML_ERROR_UNINITIALIZED: NvmlUnavailable,
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: NvmlUnavailable,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: NvmlUnavailable,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: NvmlUnavailable,
    pynvml.NVML_ERROR_GPU_IS_LOST: GpuLost,
    pynvml.NVML_ERROR_RESET_REQUIRED: GpuLost,
    pynvml.NVML_ERROR_NOT_FOUND: GpuLost,
    pynvml.NVML_ERROR_GPU_NOT_FOUND: GpuLost,
    pynvml.NVML_ERROR_NOT_SUPPORTED: NotSupported,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: NotSupported,
    pynvml.NVML_ERROR_NO_PERMISSION: NoPermission,
}


def _whole(value: pynvml.c_nvmlFieldValue_t) -> int | None:
    if value.nvmlReturn in _NO_FIELD:
        return None
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(value.nvmlReturn)
    long = value.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    return int(value.value.ullVal if long else value.value.uiVal)


def _translate(error: pynvml.NVMLError, what: str) -> DriverError:
    return _KINDS.get(error.value, DriverFault)(f"{what}: {error}")


class Nvml:
    """The driver through libnvidia-ml.so.1. Safe to call from several threads.

    Handles are found by UUID and kept; an answer that says that they are stale (the driver was reloaded, the GPUs were
    re-ordered) makes them found again once before the error is believed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: dict[str, object] = {}
        self._modules: dict[str, bool] = {}
        """Whether a GPU shares a module with a CPU."""
        self._opened = 0
        """Counts the initialisations, so that of many threads that meet a reload one reopens."""

    @property
    def loads(self) -> int:
        return self._opened

    def uuids(self) -> tuple[str, ...]:
        """The GPUs of this machine, in the driver's order."""

        def listing() -> tuple[str, ...]:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            return tuple(str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles)

        return self._fresh("listing the GPUs", listing)

    def board(self, uuid: str) -> Board:
        limits = self._optional(uuid, "limit constraints", pynvml.nvmlDeviceGetPowerManagementLimitConstraints)
        default = self._optional(uuid, "default limit", pynvml.nvmlDeviceGetPowerManagementDefaultLimit)
        counter = self._counter(uuid)
        module = self._shares_module(uuid)
        mig = self._optional(uuid, "MIG mode", pynvml.nvmlDeviceGetMigMode)
        persistence = self._optional(uuid, "persistence mode", pynvml.nvmlDeviceGetPersistenceMode)
        return Board(
            uuid=uuid,
            product=str(self._ask(uuid, "product name", pynvml.nvmlDeviceGetName)),
            default_limit_w=None if default is None else default / 1000,
            minimum_limit_w=None if limits is None else limits[0] / 1000,
            maximum_limit_w=None if limits is None else limits[1] / 1000,
            minor=self._optional(uuid, "minor number", pynvml.nvmlDeviceGetMinorNumber),
            # A change of MIG mode is pending until the next reset: leave such a GPU alone as well.
            mig=mig is not None and pynvml.NVML_DEVICE_MIG_ENABLE in mig,
            counter_scope=None if counter is None else PowerScope.MODULE if module else PowerScope.GPU,
            foreign_limits=self._foreign_limits(uuid, limits) if module else None,
            persistent=None if persistence is None else persistence == pynvml.NVML_FEATURE_ENABLED,
        )

    def limit_w(self, uuid: str) -> float:
        """The power limit that is set [W]."""
        return float(self._ask(uuid, "power limit", pynvml.nvmlDeviceGetPowerManagementLimit)) / 1000

    def set_limit_w(self, uuid: str, limit_w: float) -> None:
        """Set the power limit [W], to the milliwatt. Read it back: a driver may say yes and do nothing."""
        milliwatts = round(limit_w * 1000)
        self._ask(
            uuid, "setting the power limit", lambda handle: pynvml.nvmlDeviceSetPowerManagementLimit(handle, milliwatts)
        )

    def enable_persistence(self, uuid: str) -> None:
        """Switch persistence mode on, until the driver is unloaded."""
        on = pynvml.NVML_FEATURE_ENABLED
        self._ask(uuid, "switching persistence mode on", lambda handle: pynvml.nvmlDeviceSetPersistenceMode(handle, on))

    def energy_mj(self, uuid: str) -> int:
        """Energy since the driver was loaded [mJ]; boards move this counter every 20 to 100 ms."""
        return int(self._ask(uuid, "energy counter", pynvml.nvmlDeviceGetTotalEnergyConsumption))

    def read(self, uuid: str) -> Reading:
        """Everything at once; the counter last, so that it belongs to the moment at which this returns.

        A counter of a whole module is as good as none: what its CPU draws is no energy of the GPU.
        """
        module = self._modules[uuid] if uuid in self._modules else self._shares_module(uuid)
        power = self._power_of_gpu(uuid) if module else self._optional(uuid, "power", pynvml.nvmlDeviceGetPowerUsage)
        rates = self._optional(uuid, "utilization", pynvml.nvmlDeviceGetUtilizationRates)
        return Reading(
            power_w=None if power is None else power / 1000,
            sm_clock_mhz=self._clock(uuid, pynvml.NVML_CLOCK_SM),
            memory_clock_mhz=self._clock(uuid, pynvml.NVML_CLOCK_MEM),
            utilization=None if rates is None else rates.gpu / 100,
            energy_mj=None if module else self._counter(uuid),
        )

    def close(self) -> None:
        with self._lock:
            self._shutdown()

    def _shares_module(self, uuid: str) -> bool:
        """Whether the GPU sits on a module with a CPU, as on a GH200: then the board tells of the module, and more than of the GPU.

        Drivers that know no scopes may give the GPU's power for any.
        """
        self._modules[uuid] = False
        for field in _POWER:
            gpu, module = self._fields(uuid, (field, _GPU), (field, _MODULE))
            if module:
                self._modules[uuid] = module > (gpu or 0) + MORE_MW
                break
        return self._modules[uuid]

    def _foreign_limits(self, uuid: str, limits: tuple[int, int] | None) -> str | None:
        """Limits that are read and set without a scope should be the GPU's; where the board tells other ones of it, they are not."""
        gpus = self._fields(
            uuid, (pynvml.NVML_FI_DEV_POWER_MIN_LIMIT, _GPU), (pynvml.NVML_FI_DEV_POWER_MAX_LIMIT, _GPU)
        )
        pairs = zip(limits or (), gpus, strict=False)
        if all(not of_gpu or abs(plain - of_gpu) < 1000 for plain, of_gpu in pairs):
            return None
        told = " to ".join(f"{mw / 1000:g} W" if mw else "unknown" for mw in gpus)
        plain = " to ".join(f"{mw / 1000:g} W" for mw in limits or ())
        return f"the driver takes limits of {plain}, but the GPU's own are {told}: they are of the whole module"

    def _power_of_gpu(self, uuid: str) -> int | None:
        """Power of the GPU alone [mW], the mean of a second where the board has it; None where it tells nothing."""
        return next((mw for field in _POWER for mw in self._fields(uuid, (field, _GPU)) if mw), None)

    def _fields(self, uuid: str, *wanted: tuple[int, int]) -> tuple[int | None, ...]:
        """Field values by id and scope, of one moment; None where the board or the driver does not have one."""

        def ask(handle: object) -> tuple[int | None, ...]:
            return tuple(_whole(value) for value in pynvml.nvmlDeviceGetFieldValues(handle, list(wanted)))

        return self._optional(uuid, "field values", ask) or (None,) * len(wanted)

    def _counter(self, uuid: str) -> int | None:
        return self._optional(uuid, "energy counter", pynvml.nvmlDeviceGetTotalEnergyConsumption)

    def _clock(self, uuid: str, kind: int) -> float | None:
        return self._optional(uuid, "clock", lambda handle: float(pynvml.nvmlDeviceGetClockInfo(handle, kind)))

    def _optional(self, uuid: str, what: str, call: Callable[[object], T]) -> T | None:
        try:
            return self._ask(uuid, what, call)
        except NotSupported:
            return None

    def _ask(self, uuid: str, what: str, call: Callable[[object], T]) -> T:
        return self._fresh(f"{what} of {uuid}", lambda: call(self._handle(uuid)))

    def _fresh(self, what: str, call: Callable[[], T]) -> T:
        """Call, and once more with new handles if the old ones have gone stale."""
        opened = self._open(self._opened, what)
        try:
            return call()
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_INVALID_ARGUMENT:
                self._handles = {}
            elif error.value not in _CLOSED:
                raise self._lost(error, what) from error
            else:
                self._open(opened, what, anew=True)
        try:
            return call()
        except pynvml.NVMLError as error:
            raise self._lost(error, what) from error

    def _lost(self, error: pynvml.NVMLError, what: str) -> DriverError:
        translated = _translate(error, what)
        if isinstance(translated, GpuLost):
            self._handles = {}  # whoever comes back may come back under another handle
        return translated

    def _handle(self, uuid: str) -> object:
        handle = self._handles.get(uuid)
        if handle is None:
            handle = self._handles[uuid] = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return handle

    def _open(self, seen: int, what: str, *, anew: bool = False) -> int:
        """Initialise where nobody has yet, or where `anew` and nobody else has since `seen`."""
        if self._opened and not anew:
            return self._opened
        with self._lock:
            if self._opened == seen:
                self._shutdown()
                try:
                    pynvml.nvmlInit()
                except pynvml.NVMLError as error:
                    raise _translate(error, what) from error
                self._opened = seen + 1
            return self._opened

    def _shutdown(self) -> None:
        self._handles = {}
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return  # it was not initialised, which is what we want
