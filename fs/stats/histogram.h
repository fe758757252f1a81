/*
 * A histogram with power-of-two buckets: bucket 0 counts value 0, bucket b counts [2^(b-1), 2^b).
 * 65 buckets hold every uint64_t. The largest value is kept exactly. Additions are relaxed atomics,
 * from any thread; nothing here blocks, allocates or fails. Layer: stats.
 */
#ifndef ZCFS_STATS_HISTOGRAM_H
#define ZCFS_STATS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 65

/* Live; any thread adds, any thread reads. Zeroed memory is a valid empty one. */
struct histogram {
	_Atomic uint64_t bucket[HISTOGRAM_BUCKETS];
	_Atomic uint64_t max;
};

/* A copy of the values at one time; plain memory. Its max may lag behind the buckets (see .c). */
struct histogram_snapshot {
	uint64_t bucket[HISTOGRAM_BUCKETS];
	uint64_t max;
};

/* 0 for 0, else 1 + floor(log2(value)). */
static inline unsigned histogram_bucket(uint64_t value)
{
	return value ? 64U - (unsigned)__builtin_clzll(value) : 0U;
}

/* The least value that bucket b counts. b: 0..HISTOGRAM_BUCKETS-1. */
static inline uint64_t histogram_bucket_min(unsigned b)
{
	return b ? UINT64_C(1) << (b - 1) : 0;
}

/* h's max becomes value if that is larger. */
static inline void histogram_raise_max(struct histogram *h, uint64_t value)
{
	const memory_order relaxed = memory_order_relaxed;
	uint64_t max = atomic_load_explicit(&h->max, relaxed);
	while (value > max) {
		if (atomic_compare_exchange_weak_explicit(&h->max, &max, value, relaxed, relaxed))
			return;
	}
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	atomic_fetch_add_explicit(&h->bucket[histogram_bucket(value)], 1, memory_order_relaxed);
	histogram_raise_max(h, value);
}

/* Adds h's present values to *into (which the caller zeroed or filled before). */
void histogram_accumulate(const struct histogram *h, struct histogram_snapshot *into);

/* Moves every value of `from` into `to` and leaves zeros; no addition made meanwhile is lost. */
void histogram_move(struct histogram *from, struct histogram *to);

/* Zeroes h. Additions made meanwhile fall on either side. */
void histogram_reset(struct histogram *h);

/* Number of values in s. */
uint64_t histogram_count(const struct histogram_snapshot *s);

/*
 * The value that `fraction` (0..1; outside: clamped) of the values do not exceed, by nearest rank
 * (the k-th smallest, k = ceil(fraction * count)): its bucket is exact, inside the bucket it is
 * interpolated linearly. Never above the largest value seen; fraction 1 is that value. 0 for an
 * empty histogram.
 */
uint64_t histogram_percentile(const struct histogram_snapshot *s, double fraction);

#endif
