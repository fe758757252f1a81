/* Owns the rate of the time-stamp counter, measured once against CLOCK_MONOTONIC. */
#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

#define CALIBRATE_NS (2L * 1000 * 1000)
#define PAIR_TRIES   20

uint64_t clock_scale;

#ifdef __x86_64__

/* The kernel has watched the counter since boot; it drops it as its own clock source if it ever goes wrong. */
static bool is_tsc_trusted(void)
{
	char name[8] = "";
	int AUTO_FD fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
			      O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, name, sizeof(name) - 1) >= 4 && strncmp(name, "tsc\n", 4) == 0;
}

struct pair {
	uint64_t ticks, ns;
};

/* Both clocks at one moment: of several tries the one that took least, because nothing came between. */
static struct pair read_pair(void)
{
	struct pair best = {0};
	uint64_t least_ns = UINT64_MAX;
	for (int i = 0; i < PAIR_TRIES; i++) {
		uint64_t before_ns = clock_monotonic_ns();
		uint64_t ticks = __builtin_ia32_rdtsc();
		uint64_t took_ns = clock_monotonic_ns() - before_ns;
		if (took_ns >= least_ns)
			continue;
		least_ns = took_ns;
		best = (struct pair){.ticks = ticks, .ns = before_ns + took_ns / 2};
	}
	return best;
}

void clock_calibrate(void)
{
	const struct timespec pause = {.tv_nsec = CALIBRATE_NS};
	if (!is_tsc_trusted())
		return;
	struct pair first = read_pair();
	nanosleep(&pause, NULL);
	struct pair last = read_pair();
	if (last.ticks > first.ticks && last.ns > first.ns)
		clock_scale = ((last.ns - first.ns) << 32) / (last.ticks - first.ticks);
}

#else

void clock_calibrate(void)
{
}

#endif
