/*
 * What poolhits and rocks_cache share, in C and in C++: threads that look pages up in a cache where all of them are, and the time
 * that takes. tests/bench/pool starts one process for each cache and has them work by turns, by lines on stdin:
 *
 *   zipf|uniform THREADS MILLISECONDS      answered by      LOOKUPS-A-SECOND LOOKUPS-A-SECOND-OF-CPU-TIME MISSES
 *
 * each the sum of the threads' own rates.
 *
 * A page number is drawn beforehand: a thread goes round in a list of its own of DRAWN numbers, the same for every cache. Thread i
 * stays on the i-th processor.
 */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "poolzipf.h"

#define LOAD_DRAWN       (1U << 18)
#define LOAD_BATCH       1024U /* lookups between two looks at the clock */
#define LOAD_THREADS_MAX 16
#define LOAD_THETA       0.99
#define LOAD_ENTRY_BYTES 4096U
/* A cache is made so much larger than its pages, as its shards do not get equally many. */
#define LOAD_ROOM_PERCENT 125U

/* A cache under test, filled with pages 0 .. pages-1. */
struct load_cache {
	uint32_t pages;
	void *(*begin)(void); /* what a thread needs; NULL: it failed */
	uint32_t (*lookup)(void *thread, const uint32_t *page, uint32_t count); /* how many were there */
	void (*end)(void *thread);
};

struct load_thread {
	const struct load_cache *cache;
	uint32_t *drawn;
	pthread_barrier_t *start;
	uint64_t run_ns;
	unsigned cpu;
	double rate, cpu_rate; /* a second, and a second of CPU time */
	uint64_t misses;
};

static inline uint64_t load_now_ns(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* To the i-th processor of those this process may use, if there are so many. */
static inline void load_stay_on(unsigned i)
{
	cpu_set_t all, one;
	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && i-- == 0) {
			CPU_SET(cpu, &one);
			(void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
			return;
		}
}

static inline void *load_thread_run(void *arg)
{
	struct load_thread *t = (struct load_thread *)arg;
	void *state = t->cache->begin();
	load_stay_on(t->cpu);
	/* Others worked before: the processor's caches fill first. */
	for (uint32_t i = 0; state && i < LOAD_DRAWN; i += LOAD_BATCH)
		(void)t->cache->lookup(state, t->drawn + i, LOAD_BATCH);
	pthread_barrier_wait(t->start);
	uint64_t cpu_ns = load_now_ns(CLOCK_THREAD_CPUTIME_ID);
	uint64_t done = 0, start_ns = load_now_ns(CLOCK_MONOTONIC), ns = 0;
	while (state && ns < t->run_ns) {
		const uint32_t *page = t->drawn + done % LOAD_DRAWN;
		t->misses += LOAD_BATCH - t->cache->lookup(state, page, LOAD_BATCH);
		done += LOAD_BATCH;
		ns = load_now_ns(CLOCK_MONOTONIC) - start_ns;
	}
	cpu_ns = load_now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	t->rate = ns > 0 ? (double)done * 1e9 / (double)ns : 0;
	t->cpu_rate = cpu_ns > 0 ? (double)done * 1e9 / (double)cpu_ns : 0;
	if (state)
		t->cache->end(state);
	else
		t->misses = 1;
	return NULL;
}

static inline bool load_draw(struct load_thread *t, unsigned count, double theta)
{
	struct pages pages;
	bool is_ready = pages_init(&pages, t[0].cache->pages, theta);
	for (unsigned i = 0; is_ready && i < count; i++) {
		uint64_t seed = i + 1;
		t[i].drawn = (uint32_t *)malloc(LOAD_DRAWN * sizeof(uint32_t));
		is_ready = t[i].drawn != NULL;
		for (uint32_t n = 0; is_ready && n < LOAD_DRAWN; n++)
			t[i].drawn[n] = pages_next(&pages, &seed);
	}
	pages_fini(&pages);
	return is_ready;
}

/* The sums over all threads, into *sum. False: it could not be done. */
static inline bool load_measure(const struct load_cache *cache, double theta, unsigned threads,
				unsigned ms, struct load_thread *sum)
{
	struct load_thread t[LOAD_THREADS_MAX];
	pthread_t id[LOAD_THREADS_MAX];
	pthread_barrier_t start;
	memset(t, 0, sizeof(t));
	memset(sum, 0, sizeof(*sum));
	pthread_barrier_init(&start, NULL, threads);
	for (unsigned i = 0; i < threads; i++) {
		t[i].cache = cache;
		t[i].start = &start;
		t[i].run_ns = (uint64_t)ms * 1000000U;
		t[i].cpu = i;
	}
	if (!load_draw(t, threads, theta))
		return false;
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, load_thread_run, &t[i]) != 0)
			return false;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		sum->rate += t[i].rate;
		sum->cpu_rate += t[i].cpu_rate;
		sum->misses += t[i].misses;
		free(t[i].drawn);
	}
	pthread_barrier_destroy(&start);
	return true;
}

/* Serves lines until stdin ends. main()'s status. */
static inline int load_serve(const struct load_cache *cache)
{
	char line[128], word[16];
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned threads = 0, ms = 0;
		struct load_thread sum;
		int fields = sscanf(line, "%15s %u %u", word, &threads, &ms);
		if (fields != 3 || threads < 1 || threads > LOAD_THREADS_MAX || ms < 1) {
			fprintf(stderr, "wanted: zipf|uniform THREADS MILLISECONDS\n");
			return 2;
		}
		double theta = strcmp(word, "zipf") == 0 ? LOAD_THETA : 0;
		if (!load_measure(cache, theta, threads, ms, &sum)) {
			fprintf(stderr, "cannot start threads, or memory is short\n");
			return 1;
		}
		printf("%.0f %.0f %llu\n", sum.rate, sum.cpu_rate, (unsigned long long)sum.misses);
		fflush(stdout);
	}
	return 0;
}
