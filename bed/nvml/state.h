/* The state of one node's GPUs, shared by mmap between the emulator, the library and whoever injects faults.
 *
 * carbonzeus_bed/gpus.py mirrors this layout with ctypes; a test compares the two. Every field has one kind of writer (named below)
 * and is naturally aligned, so that a store of it is atomic and no reader sees half of one. Change the layout: raise STATE_VERSION.
 */
#ifndef CARBONZEUS_STATE_H
#define CARBONZEUS_STATE_H

#include <stdint.h>

#define STATE_MAGIC 0x55504743u /* "CGPU" */
#define STATE_VERSION 1u
#define STATE_MAX_GPUS 16

enum fault {
  FAULT_LOST = 1,        /* the board fell off the bus: every call says GPU_IS_LOST */
  FAULT_HUNG = 2,        /* every call that asks the board sleeps until the fault is cleared */
  FAULT_SET_FAILS = 4,   /* a set returns `set_error` */
  FAULT_SET_IGNORED = 8, /* a set returns success and changes nothing */
  FAULT_NO_COUNTER = 16, /* the board has no total-energy counter */
};

enum mig { MIG_DISABLED = 0, MIG_ENABLED = 1, MIG_NOT_SUPPORTED = 2 };

struct gpu {
  /* what the board is: written once, before the file gets its name */
  char uuid[48];
  char name[64];
  uint32_t minor;
  uint32_t architecture;
  uint32_t default_limit_mw;
  uint32_t min_limit_mw;
  uint32_t max_limit_mw;
  uint32_t max_sm_mhz;
  uint32_t max_mem_mhz;
  uint32_t memory_mib;
  /* what tests and demos switch */
  uint32_t index; /* under which NVML lists it now */
  uint32_t faults;
  uint32_t set_error;
  uint32_t mig;
  uint32_t instantaneous; /* nvmlDeviceGetPowerUsage: 1 this moment, 0 the mean of the last second */
  uint32_t companion_mw; /* what else draws power on the GPU's module, as a Grace CPU does; 0: the board is no module */
  uint64_t counter_base_mj; /* taken off the counter: what it stood at when it was reset */
  /* what callers of NVML write */
  uint32_t persistence;
  uint32_t limit_mw;
  uint64_t limit_changed_ns; /* unix time; stored before limit_mw */
  /* what the emulator writes */
  uint64_t tick_ns; /* unix time up to which energy_mj is integrated */
  double energy_mj; /* exact */
  uint64_t counter_mj; /* energy_mj as of the last multiple of 100 ms */
  uint64_t clock_reasons;
  uint32_t power_mw;
  uint32_t average_power_mw;
  uint32_t sm_mhz;
  uint32_t mem_mhz;
  uint32_t utilization;
  uint32_t memory_utilization;
  uint32_t temperature_c;
  uint32_t busy;
};

struct node {
  uint32_t magic;
  uint32_t version;
  uint32_t gpu_count;
  uint32_t privileged;    /* 0: every set is refused with NO_PERMISSION */
  uint32_t driver_loaded; /* 0: nothing works */
  uint32_t driver_generation; /* rises when the driver is loaded anew: who initialised before must do so again */
  char driver_version[40];
  struct gpu gpus[STATE_MAX_GPUS];
};

#endif
