/*
 * The values of one ledger and how they are counted. Rows come from counters.def. Layer: stats.
 *
 * Counting is relaxed atomic addition: exact sums, no order between them. Each addition costs time, so totals are not counted
 * but made of other rows when read (counters.c), and of what nearly every request costs only the difference to the usual is
 * added (modulo 2^64, it may be negative). A gauge goes down by adding -n; who adds to it holds a reference of the ledger until
 * it has taken off what it put on. Built with
 * -DZCFS_COUNTERS=0 the adding functions are empty (to measure what counting costs); reading then
 * yields zeros.
 */
#ifndef ZCFS_STATS_COUNTERS_H
#define ZCFS_STATS_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "stats/histogram.h"

#ifndef ZCFS_COUNTERS
#define ZCFS_COUNTERS 1
#endif

enum counter {
#define COUNTER(id, name, unit, help) CTR_##id,
#include "stats/counters.def"
	CTR_COUNT
};

/* What is usual, and so in the totals without being counted: system calls a request (receive, read or write, answer), and */
#define USUAL_SYSCALLS 3
/* copies a byte into or out of the daemon's memory, for bytes in R.copy_bytes (in, out), and in R.direct_bytes and R.pool_*_bytes (reply, receipt). */
#define USUAL_COPIES_COPY   2
#define USUAL_COPIES_DIRECT 1
#define USUAL_COPIES_POOL   1

enum hist {
#define HISTOGRAM(id, name, unit, help) HIST_##id,
#include "stats/counters.def"
	HIST_COUNT
};

/*
 * Live values; any thread adds, any thread reads. Zeroed memory is a valid empty one;
 * counters_fini() ends it. One histogram is larger than all the sums together, and most files need
 * one or two; so each is made by the first value it gets. Its pointer is set once and freed by
 * counters_fini() only.
 */
struct counters {
	_Atomic uint64_t sum[CTR_COUNT];
	_Atomic(struct histogram *) hist[HIST_COUNT];
};

/* A copy of the values at one time; plain memory. */
struct counters_snapshot {
	uint64_t sum[CTR_COUNT];
	struct histogram_snapshot hist[HIST_COUNT];
};

/*
 * Slow path of counters_observe(): the histogram, made if it is not there; NULL: memory is short.
 */
struct histogram *counters_make_hist(struct counters *c, enum hist id);

#if ZCFS_COUNTERS
/* Never blocks, never allocates: may be called with a lock held. */
static inline void counters_add(struct counters *c, enum counter id, uint64_t n)
{
	atomic_fetch_add_explicit(&c->sum[id], n, memory_order_relaxed);
}

/*
 * Not with a lock held: the first value of each histogram allocates it. False: memory is short, the value was dropped;
 * who needs it in a total adds it there.
 */
static inline bool counters_observe(struct counters *c, enum hist id, uint64_t value)
{
	/* acquire: pairs with the release that publishes the zeroed histogram */
	struct histogram *h = atomic_load_explicit(&c->hist[id], memory_order_acquire);
	if (__builtin_expect(!h, 0))
		h = counters_make_hist(c, id);
	if (__builtin_expect(!h, 0))
		return false;
	histogram_add(h, value);
	return true;
}
#else
static inline void counters_add(struct counters *c, enum counter id, uint64_t n)
{
	(void)c, (void)id, (void)n;
}

static inline bool counters_observe(struct counters *c, enum hist id, uint64_t value)
{
	(void)c, (void)id, (void)value;
	return true;
}
#endif

/* Makes all histograms now, so that c can be the target of counters_move(). 0 or -ENOMEM. */
int counters_prepare(struct counters *c) MUST_CHECK;

/* Frees what c holds. No other thread may use it any more. */
void counters_fini(struct counters *c);

/* Adds c's present values to *into (which the caller zeroed or filled before); the totals are still to be made. */
void counters_accumulate(const struct counters *c, struct counters_snapshot *into);

/* Makes the totals, once, when all that belongs to them has been accumulated. */
void counters_total(struct counters_snapshot *s);

/*
 * Moves every value but the gauges of `from` into `to` and leaves zeros: no addition made meanwhile is lost or
 * doubled. `to` was prepared; so nothing is allocated, and a lock may be held.
 */
void counters_move(struct counters *from, struct counters *to);

/* Zeroes every value but the gauges. Additions made meanwhile fall on either side. */
void counters_reset(struct counters *c);

#endif
