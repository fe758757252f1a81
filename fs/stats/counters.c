/*
 * One ledger's values: reading, moving and zeroing them while other threads count.
 *
 * Each histogram pointer goes once from NULL to its final value; so who sees it may use it until
 * counters_fini(). Every function but counters_fini() is thread-safe.
 */
#include "stats/counters.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const bool is_gauge[CTR_COUNT] = {
#define COUNTER(id, name, unit, help) [CTR_##id] = false,
#define GAUGE(id, name, unit, help)   [CTR_##id] = true,
#include "stats/counters.def"
};

struct histogram *counters_make_hist(struct counters *c, enum hist id)
{
	struct histogram *fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return NULL;
	struct histogram *present = NULL;
	/* release publishes the zeroes; acquire, when another thread was first, sees its zeroes */
	if (atomic_compare_exchange_strong_explicit(&c->hist[id], &present, fresh,
						    memory_order_acq_rel, memory_order_acquire))
		return fresh;
	free(fresh);
	return present;
}

/* acquire: pairs with the release in counters_make_hist() */
static struct histogram *hist_of(const struct counters *c, unsigned id)
{
	return atomic_load_explicit(&c->hist[id], memory_order_acquire);
}

int counters_prepare(struct counters *c)
{
	for (unsigned i = 0; i < HIST_COUNT; i++)
		if (!hist_of(c, i) && !counters_make_hist(c, (enum hist)i))
			return -ENOMEM;
	return 0;
}

void counters_fini(struct counters *c)
{
	for (unsigned i = 0; i < HIST_COUNT; i++)
		free(atomic_exchange_explicit(&c->hist[i], NULL, memory_order_relaxed));
}

void counters_accumulate(const struct counters *c, struct counters_snapshot *into)
{
	for (unsigned i = 0; i < CTR_COUNT; i++)
		into->sum[i] += atomic_load_explicit(&c->sum[i], memory_order_relaxed);
	for (unsigned i = 0; i < HIST_COUNT; i++) {
		const struct histogram *h = hist_of(c, i);
		if (h)
			histogram_accumulate(h, &into->hist[i]);
	}
}

/* The sum of rows first..last. */
static uint64_t sum_of(const uint64_t *sum, enum counter first, enum counter last)
{
	uint64_t n = 0;
	for (unsigned i = first; i <= last; i++)
		n += sum[i];
	return n;
}

/* Below zero is a difference whose other half fell on the far side of a reset. */
static void raise_to_zero(uint64_t *n)
{
	if ((int64_t)*n < 0)
		*n = 0;
}

void counters_total(struct counters_snapshot *s)
{
	uint64_t *sum = s->sum;
	raise_to_zero(&sum[CTR_READ_SPLICE_BYTES]);
	raise_to_zero(&sum[CTR_COPY_KERNEL_BYTES]);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (is_gauge[i])
			raise_to_zero(&sum[i]); /* seen between a thread's step down and another's step up */
	/* Each request has one size, each byte went one way, each copy was made in one place. In this order. */
	sum[CTR_READ_OPS] += histogram_count(&s->hist[HIST_READ_SIZE]);
	sum[CTR_WRITE_OPS] += histogram_count(&s->hist[HIST_WRITE_SIZE]);
	sum[CTR_READ_BYTES] += sum_of(sum, CTR_READ_SPLICE_BYTES, CTR_READ_KERNEL_BYTES);
	sum[CTR_WRITE_BYTES] += sum_of(sum, CTR_WRITE_SPLICE_BYTES, CTR_WRITE_KERNEL_BYTES);
	sum[CTR_SYSCALLS] += USUAL_SYSCALLS * (sum[CTR_READ_OPS] + sum[CTR_WRITE_OPS]);
	sum[CTR_COPY_USER_BYTES] +=
		USUAL_COPIES_COPY * (sum[CTR_READ_COPY_BYTES] + sum[CTR_WRITE_COPY_BYTES]) +
		USUAL_COPIES_DIRECT * (sum[CTR_READ_DIRECT_BYTES] + sum[CTR_WRITE_DIRECT_BYTES]) +
		USUAL_COPIES_POOL * (sum_of(sum, CTR_READ_POOL_HIT_BYTES, CTR_READ_POOL_MISS_BYTES) +
				     sum_of(sum, CTR_WRITE_POOL_HIT_BYTES, CTR_WRITE_POOL_MISS_BYTES));
	raise_to_zero(&sum[CTR_SYSCALLS]);
	raise_to_zero(&sum[CTR_COPY_USER_BYTES]);
	sum[CTR_COPY_TOTAL_BYTES] += sum[CTR_COPY_USER_BYTES] + sum[CTR_COPY_KERNEL_BYTES];
}

void counters_move(struct counters *from, struct counters *to)
{
	for (unsigned i = 0; i < CTR_COUNT; i++) {
		/* Most sums are zero, and a load is many times cheaper than an exchange. */
		if (is_gauge[i] || !atomic_load_explicit(&from->sum[i], memory_order_relaxed))
			continue;
		uint64_t n = atomic_exchange_explicit(&from->sum[i], 0, memory_order_relaxed);
		atomic_fetch_add_explicit(&to->sum[i], n, memory_order_relaxed);
	}
	for (unsigned i = 0; i < HIST_COUNT; i++) {
		struct histogram *h = hist_of(from, i);
		if (!h)
			continue;
		struct histogram *target = hist_of(to, i);
		assert(target && "counters_move() into counters that were not prepared");
		histogram_move(h, target);
	}
}

void counters_reset(struct counters *c)
{
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (!is_gauge[i])
			atomic_store_explicit(&c->sum[i], 0, memory_order_relaxed);
	for (unsigned i = 0; i < HIST_COUNT; i++) {
		struct histogram *h = hist_of(c, i);
		if (h)
			histogram_reset(h);
	}
}
