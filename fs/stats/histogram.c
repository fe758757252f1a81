/*
 * Log2 histograms: merging, moving, percentiles. Owns no state; every function is thread-safe.
 *
 * Counts are exact. A value and its maximum are two additions, so a reader or a move that comes
 * between them sees a bucket whose values exceed `max`; percentiles then take the bucket's own
 * bound instead.
 */
#include "stats/histogram.h"

void histogram_accumulate(const struct histogram *h, struct histogram_snapshot *into)
{
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		into->bucket[b] += atomic_load_explicit(&h->bucket[b], memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
	if (max > into->max)
		into->max = max;
}

void histogram_move(struct histogram *from, struct histogram *to)
{
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		/* Most buckets are empty, and a load is many times cheaper than an exchange. */
		if (!atomic_load_explicit(&from->bucket[b], memory_order_relaxed))
			continue;
		uint64_t n = atomic_exchange_explicit(&from->bucket[b], 0, memory_order_relaxed);
		atomic_fetch_add_explicit(&to->bucket[b], n, memory_order_relaxed);
	}
	histogram_raise_max(to, atomic_exchange_explicit(&from->max, 0, memory_order_relaxed));
}

void histogram_reset(struct histogram *h)
{
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		atomic_store_explicit(&h->bucket[b], 0, memory_order_relaxed);
	atomic_store_explicit(&h->max, 0, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram_snapshot *s)
{
	uint64_t count = 0;

	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		count += s->bucket[b];
	return count;
}

/* The rank (1..count) of the value at `fraction`; written so that a NaN is the least. */
static uint64_t rank_of(double fraction, uint64_t count)
{
	if (!(fraction > 0))
		return 1;
	if (fraction >= 1)
		return count;
	double exact = fraction * (double)count;
	uint64_t rank = (uint64_t)exact;
	if ((double)rank < exact)
		rank++;
	if (rank < 1)
		return 1;
	return rank < count ? rank : count;
}

uint64_t histogram_percentile(const struct histogram_snapshot *s, double fraction)
{
	uint64_t count = histogram_count(s);
	if (!count)
		return 0;

	uint64_t rank = rank_of(fraction, count);
	unsigned b = 0;
	while (rank > s->bucket[b])
		rank -= s->bucket[b++];

	uint64_t least = histogram_bucket_min(b);
	uint64_t most = b ? least + (least - 1) : 0;
	if (s->max >= least && s->max < most)
		most = s->max;
	double offset = (double)(most - least) * ((double)rank / (double)s->bucket[b]) + 0.5;
	/* Doubles round up near 2^64; compare before converting, or the sum would wrap. */
	if (offset >= (double)(most - least))
		return most;
	return least + (uint64_t)offset;
}
