/* A wall clock that is wrong, for one process: LD_PRELOAD this, and CLOCK_REALTIME is off by what a file says.
 *
 * CARBONZEUS_EMULATED_CLOCK names a file of eight bytes, the offset [ns] as a signed integer; whoever changes it sets the clock. The
 * clocks that count from boot are left alone, as the kernel leaves them alone when somebody sets the time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define BILLION 1000000000ll

static int64_t *shared;

__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("CARBONZEUS_EMULATED_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) shared = mapped;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && shared && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t ns = now->tv_sec * BILLION + now->tv_nsec + __atomic_load_n(shared, __ATOMIC_ACQUIRE);
    now->tv_sec = ns / BILLION;
    now->tv_nsec = ns % BILLION;
  }
  return result;
}

EXPORT time_t time(time_t *out) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact = {0, 0};
  (void)zone;
  int result = clock_gettime(CLOCK_REALTIME, &exact);
  *now = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
  return result;
}
