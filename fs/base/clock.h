/*
 * The clock that latencies are measured with: two readings a request are most of what counting costs, so it is the cheapest
 * the machine has. Layer: base.
 *
 * On x86-64, where the kernel itself keeps time by it (clock source "tsc": constant rate, the same on all CPUs), ticks are the
 * time-stamp counter's, read without waiting for earlier instructions (rdtsc: half the time of clock_gettime()); anywhere else
 * they are CLOCK_MONOTONIC's nanoseconds. Good to some ten nanoseconds and 0.1 %; not a time of day.
 */
#ifndef ZCFS_BASE_CLOCK_H
#define ZCFS_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds a tick of the time-stamp counter, times 2^32; 0: not in use. Written by clock_calibrate() only. */
extern uint64_t clock_scale;

/*
 * Finds out which clock there is and its rate; takes 2 ms. What the kernel thinks of the counter later is not asked again. Once,
 * before other threads exist and before any clock_ticks(); without it the clock is CLOCK_MONOTONIC.
 */
void clock_calibrate(void);

static inline uint64_t clock_read_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t clock_monotonic_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

/* The same, some milliseconds late, for next to nothing: for what is timed in tenths of a second. */
static inline int64_t clock_coarse_ns(void)
{
	return (int64_t)clock_read_ns(CLOCK_MONOTONIC_COARSE);
}

#ifdef __x86_64__

/* Now, in ticks from an arbitrary start. Any thread. */
static inline uint64_t clock_ticks(void)
{
	return __builtin_expect(clock_scale != 0, 1) ? __builtin_ia32_rdtsc() : clock_monotonic_ns();
}

/* A minute's ticks times the scale pass 64 bits. */
static inline uint64_t clock_ticks_to_ns(uint64_t ticks)
{
	__extension__ typedef unsigned __int128 wide;
	return clock_scale ? (uint64_t)((wide)ticks * clock_scale >> 32) : ticks;
}

#else

static inline uint64_t clock_ticks(void)
{
	return clock_monotonic_ns();
}

static inline uint64_t clock_ticks_to_ns(uint64_t ticks)
{
	return ticks;
}

#endif

/* Nanoseconds since clock_ticks() returned `since`. Any thread. */
static inline uint64_t clock_elapsed_ns(uint64_t since)
{
	uint64_t ticks = clock_ticks() - since;
	/* negative: read on another CPU, a few ticks apart */
	return (int64_t)ticks < 0 ? 0 : clock_ticks_to_ns(ticks);
}

#endif
