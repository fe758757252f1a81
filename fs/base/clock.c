/* Owns the rate of the time-stamp counter, measured once against CLOCK_MONOTONIC. */
#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

#define CALIBRATE_NS      (2L * 1000 * 1000)
#define CALIBRATE_MOST_NS (1000UL * 1000 * 1000)
#define PAIR_TRIES        20

uint64_t clock_scale;

#ifdef __x86_64__

/* The kernel watches the counter from boot on, and keeps time by another clock where that goes wrong. */
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
	uint64_t ns = last.ns - first.ns, ticks = last.ticks - first.ticks;
	/* Stopped or paused meanwhile: the two clocks may not agree about that, and ns must fit its shift. */
	if (ns > 0 && ns < CALIBRATE_MOST_NS && (int64_t)ticks > 0)
		clock_scale = (ns << 32) / ticks;
}

#else

void clock_calibrate(void)
{
}

#endif
