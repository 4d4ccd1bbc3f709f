"""What a board is and shows, from the calls of NVML: of the GPU alone, also where it shares a module with a CPU."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pynvml  # type: ignore[import-untyped]
import pytest

from carbonzeus_agent.driver import GpuLost
from carbonzeus_agent.nvml import Nvml
from carbonzeus_wire import PowerScope

GPU, MODULE = pynvml.NVML_POWER_SCOPE_GPU, pynvml.NVML_POWER_SCOPE_MODULE
AVERAGE, INSTANT = pynvml.NVML_FI_DEV_POWER_AVERAGE, pynvml.NVML_FI_DEV_POWER_INSTANT
MINIMUM, MAXIMUM = pynvml.NVML_FI_DEV_POWER_MIN_LIMIT, pynvml.NVML_FI_DEV_POWER_MAX_LIMIT
GH200 = {(AVERAGE, GPU): 400_000, (AVERAGE, MODULE): 520_000, (MINIMUM, GPU): 100_000, (MAXIMUM, GPU): 900_000}
Fields = dict[tuple[int, int], int]


class Driver:
    """A board of 100 to 900 W: `fields` by id and scope, the unscoped power and the counter."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.fields: Fields = {}
        self.missing = pynvml.NVML_ERROR_NOT_SUPPORTED
        self.scopes = True
        answers: dict[str, Callable[..., object]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetHandleByUUID": str,
            "nvmlDeviceGetName": lambda _: "Fake GH200",
            "nvmlDeviceGetMinorNumber": lambda _: 3,
            "nvmlDeviceGetPowerManagementLimitConstraints": lambda _: [100_000, 900_000],
            "nvmlDeviceGetPowerManagementDefaultLimit": lambda _: 900_000,
            "nvmlDeviceGetTotalEnergyConsumption": lambda _: 7_000_000,
            "nvmlDeviceGetPowerUsage": lambda _: 520_000,
            "nvmlDeviceGetMigMode": lambda _: [0, 0],
            "nvmlDeviceGetPersistenceMode": lambda _: 1,
            "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=50),
            "nvmlDeviceGetClockInfo": lambda _, __: 1400,
            "nvmlDeviceGetFieldValues": lambda _, wanted: [self.value(*one) for one in wanted],
        }
        for name, answer in answers.items():
            patch.setattr(pynvml, name, answer)

    def value(self, field: int, scope: int) -> pynvml.c_nvmlFieldValue_t:
        found = self.fields.get((field, scope if self.scopes else GPU))
        value = pynvml.c_nvmlFieldValue_t(nvmlReturn=self.missing if found is None else 0, valueType=1)
        value.value.uiVal = found or 0
        return value


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(monkeypatch)


@pytest.mark.parametrize(
    "fields", [GH200, {(INSTANT, GPU): 400_000, (INSTANT, MODULE): 520_000}], ids=["mean", "moment"]
)
def test_of_a_module_only_the_gpus_share_is_read(driver: Driver, fields: Fields) -> None:
    """Its counter counts the CPU too, so it is told of and not read; power is asked for with the GPU's scope."""
    driver.fields = fields
    nvml = Nvml()
    board, reading = nvml.board("GPU-1"), nvml.read("GPU-1")
    assert (board.counter_scope, board.foreign_limits, board.minor) == (PowerScope.MODULE, None, 3)
    assert (reading.power_w, reading.energy_mj) == (400, None)


@pytest.mark.parametrize(
    "fields",
    [{}, {(AVERAGE, GPU): 520_000}, {(AVERAGE, GPU): 520_000, (AVERAGE, MODULE): 0, (INSTANT, MODULE): 0}],
    ids=["no fields", "no module", "zero is no reading"],
)
def test_of_any_other_board_the_counter_is_read(driver: Driver, fields: Fields) -> None:
    """Where the board tells of no module, counter and power are the GPU's."""
    driver.fields = fields
    nvml = Nvml()
    board, reading = nvml.board("GPU-1"), nvml.read("GPU-1")
    assert (board.counter_scope, reading.power_w, reading.energy_mj) == (PowerScope.GPU, 520, 7_000_000)


@pytest.mark.parametrize("field", [AVERAGE, INSTANT])
def test_driver_that_knows_no_scopes_makes_no_module(driver: Driver, field: int) -> None:
    """It gives the GPU's power whatever is asked for."""
    driver.fields, driver.scopes = {(field, GPU): 400_000}, False
    assert Nvml().board("GPU-1").counter_scope is PowerScope.GPU


def test_module_is_found_also_without_a_look_at_the_board(driver: Driver) -> None:
    """A reading may come first."""
    driver.fields = GH200
    assert Nvml().read("GPU-1").power_w == 400


def test_power_of_a_module_is_not_taken_for_the_gpus(driver: Driver) -> None:
    """Where nobody tells the GPU's, nothing is known."""
    driver.fields = {(AVERAGE, MODULE): 520_000}
    reading = Nvml().read("GPU-1")
    assert (reading.power_w, reading.energy_mj) == (None, None)


def test_limits_of_a_whole_module_are_told_of(driver: Driver) -> None:
    """They could not be compared with what the GPU draws."""
    driver.fields = GH200 | {(MAXIMUM, GPU): 700_000}
    told = Nvml().board("GPU-1").foreign_limits
    assert told is not None
    assert "limits of 100 W to 900 W, but the GPU's own are 100 W to 700 W" in told


def test_lost_gpu_is_lost_to_fields_too(driver: Driver) -> None:
    """An error of a single field is not taken for a field that is not there."""
    driver.missing = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(GpuLost):
        Nvml().board("GPU-1")
