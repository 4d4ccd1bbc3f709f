/* libnvidia-ml.so.1 for emulated boards: the calls that a node agent makes, answered from a node's state file.
 *
 * CARBONZEUS_EMULATED_NODE names the folder that holds `gpus.bin` (state.h) and gets `writes.log`: one line for every call that would
 * change a power limit, `unix_ns pid uuid milliwatts RESULT`, refused ones too. Signatures and codes are those of NVML 13.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

#define EXPORT __attribute__((visibility("default")))
#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

typedef int nvmlReturn_t;
typedef struct gpu *nvmlDevice_t;

enum {
  SUCCESS = 0,
  UNINITIALIZED = 1,
  INVALID_ARGUMENT = 2,
  NOT_SUPPORTED = 3,
  NO_PERMISSION = 4,
  NOT_FOUND = 6,
  INSUFFICIENT_SIZE = 7,
  DRIVER_NOT_LOADED = 9,
  GPU_IS_LOST = 15,
  ARGUMENT_VERSION_MISMATCH = 25,
  UNKNOWN = 999,
};

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static struct node *node;
static uint32_t generation;
static char writes_path[4096];

/* Life cycle */

static nvmlReturn_t open_node(void) {
  const char *folder = getenv("CARBONZEUS_EMULATED_NODE");
  char path[4096];
  struct stat status;
  if (!folder || !*folder) return DRIVER_NOT_LOADED;
  if (snprintf(path, sizeof path, "%s/gpus.bin", folder) >= (int)sizeof path) return DRIVER_NOT_LOADED;
  if (snprintf(writes_path, sizeof writes_path, "%s/writes.log", folder) >= (int)sizeof writes_path) return DRIVER_NOT_LOADED;
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return DRIVER_NOT_LOADED;
  void *mapped = MAP_FAILED;
  if (fstat(file, &status) == 0 && status.st_size >= (off_t)sizeof(struct node))
    mapped = mmap(NULL, sizeof(struct node), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return DRIVER_NOT_LOADED;
  struct node *found = mapped;
  if (found->magic != STATE_MAGIC || found->version != STATE_VERSION || !LOAD(found->driver_loaded)) {
    munmap(mapped, sizeof(struct node));
    return DRIVER_NOT_LOADED;
  }
  generation = LOAD(found->driver_generation);
  node = found; /* an earlier mapping stays: a call of another thread may still be in it */
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  nvmlReturn_t result = SUCCESS;
  pthread_mutex_lock(&init_lock);
  if (users == 0) result = open_node();
  if (result == SUCCESS) users++;
  pthread_mutex_unlock(&init_lock);
  return result;
}

EXPORT nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

EXPORT nvmlReturn_t nvmlShutdown(void) {
  pthread_mutex_lock(&init_lock);
  nvmlReturn_t result = users ? SUCCESS : UNINITIALIZED;
  if (users) users--;
  pthread_mutex_unlock(&init_lock);
  return result;
}

/* What every call asks first. */

static nvmlReturn_t ready(void) {
  if (!users || !node) return UNINITIALIZED;
  if (!LOAD(node->driver_loaded)) return DRIVER_NOT_LOADED;
  if (LOAD(node->driver_generation) != generation) return UNINITIALIZED;
  return SUCCESS;
}

/* Identity comes from what the driver remembers: it neither hangs nor is lost. */
static nvmlReturn_t known(nvmlDevice_t gpu) {
  nvmlReturn_t result = ready();
  if (result != SUCCESS) return result;
  for (uint32_t slot = 0; slot < node->gpu_count; slot++)
    if (gpu == &node->gpus[slot]) return SUCCESS;
  return INVALID_ARGUMENT;
}

/* Everything else asks the board. */
static nvmlReturn_t answering(nvmlDevice_t gpu) {
  const struct timespec nap = {0, 5000000};
  nvmlReturn_t result = known(gpu);
  while (result == SUCCESS && (LOAD(gpu->faults) & FAULT_HUNG)) {
    nanosleep(&nap, NULL);
    result = known(gpu);
  }
  if (result != SUCCESS) return result;
  return LOAD(gpu->faults) & FAULT_LOST ? GPU_IS_LOST : SUCCESS;
}

#define ASK(check, gpu, pointer)                              \
  do {                                                        \
    if (!(pointer)) return INVALID_ARGUMENT;                  \
    nvmlReturn_t checked = check(gpu);                        \
    if (checked != SUCCESS) return checked;                   \
  } while (0)

static nvmlReturn_t copy(const char *text, char *buffer, unsigned length) {
  if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
  strcpy(buffer, text);
  return SUCCESS;
}

static const char *result_name(nvmlReturn_t result) {
  switch (result) {
    case SUCCESS: return "SUCCESS";
    case UNINITIALIZED: return "UNINITIALIZED";
    case INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case NOT_SUPPORTED: return "NOT_SUPPORTED";
    case NO_PERMISSION: return "NO_PERMISSION";
    case NOT_FOUND: return "NOT_FOUND";
    case INSUFFICIENT_SIZE: return "INSUFFICIENT_SIZE";
    case DRIVER_NOT_LOADED: return "DRIVER_NOT_LOADED";
    case GPU_IS_LOST: return "GPU_IS_LOST";
    case ARGUMENT_VERSION_MISMATCH: return "ARGUMENT_VERSION_MISMATCH";
    default: return "UNKNOWN";
  }
}

EXPORT const char *nvmlErrorString(nvmlReturn_t result) {
  switch (result) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    case ARGUMENT_VERSION_MISMATCH: return "Argument version mismatch";
    default: return "Unknown Error";
  }
}

/* The system */

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
  nvmlReturn_t result = ready();
  return result == SUCCESS ? copy(node->driver_version, version, length) : result;
}

EXPORT nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length) {
  char text[64];
  nvmlReturn_t result = ready();
  if (result != SUCCESS) return result;
  snprintf(text, sizeof text, "13.%s", node->driver_version);
  return copy(text, version, length);
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
  nvmlReturn_t result = version ? ready() : INVALID_ARGUMENT;
  if (result == SUCCESS) *version = 13000;
  return result;
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }

/* Finding a board */

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
  nvmlReturn_t result = count ? ready() : INVALID_ARGUMENT;
  if (result == SUCCESS) *count = node->gpu_count;
  return result;
}

static nvmlReturn_t found(struct gpu *gpu, nvmlDevice_t *device) {
  if (LOAD(gpu->faults) & FAULT_LOST) return GPU_IS_LOST;
  *device = gpu;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
  nvmlReturn_t result = device ? ready() : INVALID_ARGUMENT;
  if (result != SUCCESS) return result;
  for (uint32_t slot = 0; slot < node->gpu_count; slot++)
    if (LOAD(node->gpus[slot].index) == index) return found(&node->gpus[slot], device);
  return INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
  nvmlReturn_t result = uuid && device ? ready() : INVALID_ARGUMENT;
  if (result != SUCCESS) return result;
  for (uint32_t slot = 0; slot < node->gpu_count; slot++)
    if (strcmp(node->gpus[slot].uuid, uuid) == 0) return found(&node->gpus[slot], device);
  return NOT_FOUND;
}

static void bus_id(const struct gpu *gpu, char *text, size_t length) {
  snprintf(text, length, "%08X:%02X:00.0", 0u, 0x10 + gpu->minor);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *id, nvmlDevice_t *device) {
  char text[32];
  nvmlReturn_t result = id && device ? ready() : INVALID_ARGUMENT;
  if (result != SUCCESS) return result;
  for (uint32_t slot = 0; slot < node->gpu_count; slot++) {
    bus_id(&node->gpus[slot], text, sizeof text);
    if (strcasecmp(text, id) == 0) return found(&node->gpus[slot], device);
  }
  return NOT_FOUND;
}

/* Identity */

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t gpu, char *uuid, unsigned length) {
  ASK(known, gpu, uuid);
  return copy(gpu->uuid, uuid, length);
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t gpu, char *name, unsigned length) {
  ASK(known, gpu, name);
  return copy(gpu->name, name, length);
}

EXPORT nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t gpu, unsigned *index) {
  ASK(known, gpu, index);
  *index = LOAD(gpu->index);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t gpu, unsigned *minor) {
  ASK(known, gpu, minor);
  *minor = gpu->minor;
  return SUCCESS;
}

struct pci_info {
  char legacy_bus_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t gpu, struct pci_info *info) {
  ASK(known, gpu, info);
  memset(info, 0, sizeof *info);
  info->bus = 0x10 + gpu->minor;
  info->device_id = 0x223510DE;
  bus_id(gpu, info->bus_id, sizeof info->bus_id);
  snprintf(info->legacy_bus_id, sizeof info->legacy_bus_id, "%04X:%02X:00.0", 0u, info->bus);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t gpu, unsigned *architecture) {
  ASK(known, gpu, architecture);
  *architecture = gpu->architecture;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t gpu, int *major, int *minor) {
  ASK(known, gpu, major && minor);
  *major = gpu->architecture <= 6 ? 7 : gpu->architecture <= 8 ? 8 : 9; /* Volta, Turing 7; Ampere, Ada 8; Hopper 9 */
  *minor = 0;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t gpu, unsigned *is_mig) {
  ASK(known, gpu, is_mig);
  *is_mig = 0;
  return SUCCESS;
}

/* Power */

EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t gpu, unsigned *enabled) {
  ASK(answering, gpu, enabled);
  *enabled = 1;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t gpu, unsigned *limit) {
  ASK(answering, gpu, limit);
  *limit = LOAD(gpu->limit_mw);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t gpu, unsigned *limit) {
  return nvmlDeviceGetPowerManagementLimit(gpu, limit);
}

EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t gpu, unsigned *limit) {
  ASK(answering, gpu, limit);
  *limit = gpu->default_limit_mw;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t gpu, unsigned *low, unsigned *high) {
  ASK(answering, gpu, low && high);
  *low = gpu->min_limit_mw;
  *high = gpu->max_limit_mw;
  return SUCCESS;
}

/* The kernel's time, also in a process whose own clock is a wrong one (bed/clock). */
static uint64_t unix_ns(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void log_write(const struct gpu *gpu, uint64_t at_ns, unsigned limit_mw, const char *result) {
  char line[256];
  int length = snprintf(line, sizeof line, "%llu %d %s %u %s\n", (unsigned long long)at_ns, (int)getpid(), gpu->uuid, limit_mw, result);
  int file = open(writes_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return;
  ssize_t written = write(file, line, (size_t)length); /* one write of one line: whole, also beside other processes */
  (void)written;
  close(file);
}

EXPORT nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t gpu, unsigned limit_mw) {
  nvmlReturn_t result = known(gpu);
  if (result != SUCCESS) return result;
  result = answering(gpu);
  uint32_t faults = LOAD(gpu->faults);
  uint64_t now_ns = unix_ns();
  if (result == SUCCESS && !LOAD(node->privileged)) result = NO_PERMISSION;
  if (result == SUCCESS && (limit_mw < gpu->min_limit_mw || limit_mw > gpu->max_limit_mw)) result = INVALID_ARGUMENT;
  if (result == SUCCESS && (faults & FAULT_SET_FAILS)) result = (nvmlReturn_t)LOAD(gpu->set_error);
  if (result == SUCCESS && (faults & FAULT_SET_IGNORED)) {
    log_write(gpu, now_ns, limit_mw, "IGNORED");
    return SUCCESS;
  }
  if (result == SUCCESS && limit_mw != LOAD(gpu->limit_mw)) {
    STORE(gpu->limit_changed_ns, now_ns);
    STORE(gpu->limit_mw, limit_mw);
  }
  log_write(gpu, now_ns, limit_mw, result_name(result));
  return result;
}

struct power_value {
  unsigned version;
  unsigned char scope;
  unsigned milliwatts;
};

EXPORT nvmlReturn_t nvmlDeviceSetPowerManagementLimit_v2(nvmlDevice_t gpu, struct power_value *value) {
  ASK(known, gpu, value);
  if (value->version != 0x0200000C) return ARGUMENT_VERSION_MISMATCH;
  if (value->scope != 0) return NOT_SUPPORTED;
  return nvmlDeviceSetPowerManagementLimit(gpu, value->milliwatts);
}

/* Of a module, as on a GH200, the counter counts the CPU too. Which of both the call for power without a scope gives nobody has
 * written down: here it is the module's, so that who needs the GPU's must ask for it. */

EXPORT nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t gpu, unsigned *milliwatts) {
  ASK(answering, gpu, milliwatts);
  *milliwatts = LOAD(gpu->companion_mw) + (LOAD(gpu->instantaneous) ? LOAD(gpu->power_mw) : LOAD(gpu->average_power_mw));
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t gpu, unsigned long long *millijoules) {
  ASK(answering, gpu, millijoules);
  if (LOAD(gpu->faults) & FAULT_NO_COUNTER) return NOT_SUPPORTED;
  uint64_t base = LOAD(gpu->counter_base_mj);
  uint64_t ticks = LOAD(gpu->tick_ns) / 100000000u; /* the counter moves every 100 ms */
  *millijoules = LOAD(gpu->counter_mj) - base + LOAD(gpu->companion_mw) * ticks / 10u;
  return SUCCESS;
}

/* Clocks, utilisation, modes */

EXPORT nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t gpu, unsigned kind, unsigned *mhz) {
  ASK(answering, gpu, mhz);
  switch (kind) {
    case 0: /* graphics */
    case 1: /* SM */
    case 3: /* video */
      *mhz = LOAD(gpu->sm_mhz);
      return SUCCESS;
    case 2:
      *mhz = LOAD(gpu->mem_mhz);
      return SUCCESS;
    default:
      return INVALID_ARGUMENT;
  }
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t gpu, unsigned kind, unsigned *mhz) {
  ASK(answering, gpu, mhz);
  if (kind > 3) return INVALID_ARGUMENT;
  *mhz = kind == 2 ? gpu->max_mem_mhz : gpu->max_sm_mhz;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t gpu, unsigned kind, unsigned id, unsigned *mhz) {
  if (id == 0) return nvmlDeviceGetClockInfo(gpu, kind, mhz);
  return id == 3 ? nvmlDeviceGetMaxClockInfo(gpu, kind, mhz) : NOT_SUPPORTED;
}

EXPORT nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
  ASK(answering, gpu, reasons);
  *reasons = LOAD(gpu->clock_reasons);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
  return nvmlDeviceGetCurrentClocksEventReasons(gpu, reasons);
}

struct utilization {
  unsigned gpu, memory;
};

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t gpu, struct utilization *rates) {
  ASK(answering, gpu, rates);
  if (LOAD(gpu->mig) == MIG_ENABLED) return NOT_SUPPORTED;
  rates->gpu = LOAD(gpu->utilization);
  rates->memory = LOAD(gpu->memory_utilization);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t gpu, unsigned sensor, unsigned *celsius) {
  ASK(answering, gpu, celsius);
  if (sensor != 0) return INVALID_ARGUMENT;
  *celsius = LOAD(gpu->temperature_c);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t gpu, unsigned *state) {
  ASK(answering, gpu, state);
  *state = LOAD(gpu->busy) ? 0 : 8;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t gpu, unsigned *current, unsigned *pending) {
  ASK(answering, gpu, current && pending);
  uint32_t mode = LOAD(gpu->mig);
  if (mode == MIG_NOT_SUPPORTED) return NOT_SUPPORTED;
  *current = *pending = mode;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t gpu, unsigned *count) {
  ASK(answering, gpu, count);
  *count = LOAD(gpu->mig) == MIG_NOT_SUPPORTED ? 0 : 7;
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t gpu, unsigned *mode) {
  ASK(answering, gpu, mode);
  *mode = LOAD(gpu->persistence);
  return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t gpu, unsigned mode) {
  nvmlReturn_t result = answering(gpu);
  if (result != SUCCESS) return result;
  if (!LOAD(node->privileged)) return NO_PERMISSION;
  if (mode > 1) return INVALID_ARGUMENT;
  STORE(gpu->persistence, mode);
  return SUCCESS;
}

struct memory {
  unsigned long long total, free, used;
};

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t gpu, struct memory *memory) {
  ASK(answering, gpu, memory);
  memory->total = (unsigned long long)gpu->memory_mib << 20;
  memory->used = LOAD(gpu->busy) ? memory->total / 2 : 0;
  memory->free = memory->total - memory->used;
  return SUCCESS;
}

/* The emulated training has no process on the node. */
EXPORT nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t gpu, unsigned *count, void *processes) {
  (void)processes;
  ASK(answering, gpu, count);
  *count = 0;
  return SUCCESS;
}

/* Field values: the newer way to ask for power and energy. */

struct field_value {
  unsigned id, scope;
  long long timestamp_us, latency_us;
  unsigned value_type;
  nvmlReturn_t result;
  union {
    double as_double;
    unsigned as_uint;
    unsigned long long as_ull;
  } value;
};

enum { TYPE_UINT = 1, TYPE_ULL = 3 };

enum { SCOPE_GPU = 0, SCOPE_MODULE = 1, MODULE_HEADROOM_MW = 100000 }; /* a module's limits lie above its GPU's */

static nvmlReturn_t field(struct gpu *gpu, struct field_value *asked) {
  uint32_t companion_mw = LOAD(gpu->companion_mw), above_mw = 0;
  asked->value_type = TYPE_UINT;
  if (asked->scope == SCOPE_MODULE && companion_mw) {
    above_mw = asked->id >= 187 ? MODULE_HEADROOM_MW : companion_mw;
  } else if (asked->scope != SCOPE_GPU) {
    return NOT_SUPPORTED;
  }
  switch (asked->id) {
    case 83:  /* TOTAL_ENERGY_CONSUMPTION */
    case 191: /* ENERGY */
      asked->value_type = TYPE_ULL;
      return nvmlDeviceGetTotalEnergyConsumption(gpu, &asked->value.as_ull);
    case 185: asked->value.as_uint = LOAD(gpu->average_power_mw) + above_mw; return SUCCESS;
    case 186: asked->value.as_uint = LOAD(gpu->power_mw) + above_mw; return SUCCESS;
    case 187: asked->value.as_uint = gpu->min_limit_mw + above_mw; return SUCCESS;
    case 188: asked->value.as_uint = gpu->max_limit_mw + above_mw; return SUCCESS;
    case 189: asked->value.as_uint = gpu->default_limit_mw + above_mw; return SUCCESS;
    case 190: /* CURRENT_LIMIT */
    case 192: /* REQUESTED_LIMIT */
      asked->value.as_uint = LOAD(gpu->limit_mw) + above_mw;
      return SUCCESS;
    default:
      return NOT_SUPPORTED;
  }
}

EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t gpu, int count, struct field_value *values) {
  ASK(answering, gpu, count > 0 ? values : NULL);
  for (int each = 0; each < count; each++) {
    values[each].value.as_ull = 0;
    values[each].latency_us = 0;
    values[each].timestamp_us = (long long)(unix_ns() / 1000);
    values[each].result = field(gpu, &values[each]);
  }
  return SUCCESS;
}
