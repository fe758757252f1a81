/* stats/counters: sums and histograms of one ledger, read, moved and zeroed while threads count. */
#include "check.h"
#include "stats/counters.h"

#include <pthread.h>
#include <string.h>

#define THREADS 4
#define ADDS    200000

TEST(zeroed_memory_reads_as_zero)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	counters_accumulate(&c, &s);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		CHECK_EQ(s.sum[i], 0);
	for (unsigned i = 0; i < HIST_COUNT; i++)
		CHECK_EQ(histogram_count(&s.hist[i]), 0);
	counters_fini(&c);
}

TEST(adds_to_the_row_that_is_named)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	counters_add(&c, CTR_DMA_BYTES, 4096);
	counters_add(&c, CTR_DMA_BYTES, 1);
	counters_add(&c, CTR_FSYNC_OPS, 3);
	(void)counters_observe(&c, HIST_READ_SIZE, 4096);
	counters_accumulate(&c, &s);
	CHECK_EQ(s.sum[CTR_DMA_BYTES], 4097);
	CHECK_EQ(s.sum[CTR_FSYNC_OPS], 3);
	CHECK_EQ(s.sum[CTR_WRITE_BYTES], 0);
	CHECK_EQ(histogram_count(&s.hist[HIST_READ_SIZE]), 1);
	CHECK_EQ(s.hist[HIST_READ_SIZE].max, 4096);
	CHECK_EQ(histogram_count(&s.hist[HIST_WRITE_SIZE]), 0);
	counters_fini(&c);
}

/* Each row of `first`..`last` counts in the total once, beside what was added to the total itself. */
static void check_total(enum counter total, enum counter first, enum counter last)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};
	uint64_t expected = 1000;

	counters_add(&c, total, expected);
	for (unsigned i = 0; i < CTR_COUNT; i++) {
		uint64_t n = UINT64_C(1) << (i % 50);
		bool is_part = i >= first && i <= last;
		if (is_part)
			expected += n;
		if (i != total)
			counters_add(&c, (enum counter)i, n);
	}
	counters_accumulate(&c, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[total], expected);
	counters_fini(&c);
}

TEST(totals_are_made_of_their_rows)
{
	check_total(CTR_READ_BYTES, CTR_READ_SPLICE_BYTES, CTR_READ_KERNEL_BYTES);
	check_total(CTR_WRITE_BYTES, CTR_WRITE_SPLICE_BYTES, CTR_WRITE_KERNEL_BYTES);
}

TEST(the_usual_is_in_the_totals_uncounted)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	CHECK(counters_observe(&c, HIST_READ_SIZE, 4096));
	CHECK(counters_observe(&c, HIST_WRITE_SIZE, 4096));
	counters_add(&c, CTR_READ_COPY_BYTES, 1);
	counters_add(&c, CTR_WRITE_COPY_BYTES, 10);
	counters_add(&c, CTR_READ_DIRECT_BYTES, 100);
	counters_add(&c, CTR_WRITE_DIRECT_BYTES, 1000);
	counters_add(&c, CTR_COPY_USER_BYTES, 5);
	counters_add(&c, CTR_COPY_KERNEL_BYTES, 7);
	counters_add(&c, CTR_SYSCALLS, (uint64_t)-1); /* one of the two was refused early */
	counters_accumulate(&c, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[CTR_SYSCALLS], 5);
	CHECK_EQ(s.sum[CTR_COPY_USER_BYTES], 2 * 11 + 1100 + 5);
	CHECK_EQ(s.sum[CTR_COPY_TOTAL_BYTES], 2 * 11 + 1100 + 5 + 7);
	counters_fini(&c);
}

/* A reset may come between the parts of one addition: then there is a difference to nothing. */
TEST(nothing_is_ever_below_zero)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	counters_add(&c, CTR_SYSCALLS, (uint64_t)-1);
	counters_add(&c, CTR_READ_SPLICE_BYTES, (uint64_t)-4096);
	counters_add(&c, CTR_POOL_DIRTY_BYTES, (uint64_t)-4096);
	counters_accumulate(&c, &s);
	counters_total(&s);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		CHECK_EQ(s.sum[i], 0);
	counters_fini(&c);
}

TEST(a_request_is_counted_by_its_size)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	CHECK(counters_observe(&c, HIST_READ_SIZE, 0));
	CHECK(counters_observe(&c, HIST_READ_SIZE, UINT64_MAX));
	CHECK(counters_observe(&c, HIST_WRITE_SIZE, 512));
	counters_add(&c, CTR_READ_OPS, 4); /* those for which memory was short */
	counters_accumulate(&c, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[CTR_READ_OPS], 6);
	CHECK_EQ(s.sum[CTR_WRITE_OPS], 1);
	counters_reset(&c);
	memset(&s, 0, sizeof(s));
	counters_accumulate(&c, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[CTR_READ_OPS] + s.sum[CTR_WRITE_OPS], 0);
	counters_fini(&c);
}

TEST(accumulate_adds_to_what_is_there)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	counters_add(&c, CTR_READ_OPS, 5);
	counters_accumulate(&c, &s);
	counters_accumulate(&c, &s);
	CHECK_EQ(s.sum[CTR_READ_OPS], 10);
	counters_fini(&c);
}

TEST(histograms_are_made_by_their_first_value)
{
	struct counters c = {0};

	counters_add(&c, CTR_READ_OPS, 1);
	for (unsigned i = 0; i < HIST_COUNT; i++)
		CHECK(!atomic_load(&c.hist[i]));
	(void)counters_observe(&c, HIST_READ_SIZE, 1);
	for (unsigned i = 0; i < HIST_COUNT; i++)
		CHECK_EQ(atomic_load(&c.hist[i]) != NULL, i == HIST_READ_SIZE);
	counters_fini(&c);
	CHECK(!atomic_load(&c.hist[HIST_READ_SIZE]));
}

TEST(prepare_makes_all_and_keeps_values)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	(void)counters_observe(&c, HIST_READ_SIZE, 9);
	REQUIRE(counters_prepare(&c) == 0);
	for (unsigned i = 0; i < HIST_COUNT; i++)
		CHECK(atomic_load(&c.hist[i]));
	counters_accumulate(&c, &s);
	CHECK_EQ(s.hist[HIST_READ_SIZE].max, 9);
	counters_fini(&c);
}

static bool is_gauge(unsigned id)
{
	return id == CTR_POOL_RESIDENT_BYTES || id == CTR_POOL_DIRTY_BYTES;
}

TEST(move_empties_one_and_adds_to_the_other)
{
	struct counters from = {0}, to = {0};
	struct counters_snapshot s = {0};

	REQUIRE(counters_prepare(&to) == 0);
	counters_add(&to, CTR_DMA_BYTES, 1);
	(void)counters_observe(&to, HIST_READ_LATENCY, 50);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		counters_add(&from, (enum counter)i, 100 + i);
	(void)counters_observe(&from, HIST_READ_LATENCY, 7);
	struct counters_snapshot before = {0};
	counters_accumulate(&from, &before);
	counters_move(&from, &to);

	counters_accumulate(&from, &s);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		CHECK_EQ(s.sum[i], is_gauge(i) ? before.sum[i] : 0);
	CHECK_EQ(histogram_count(&s.hist[HIST_READ_LATENCY]), 0);
	memset(&s, 0, sizeof(s));
	counters_accumulate(&to, &s);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		CHECK_EQ(s.sum[i], is_gauge(i) ? 0 : before.sum[i] + (i == CTR_DMA_BYTES));
	CHECK_EQ(histogram_count(&s.hist[HIST_READ_LATENCY]), 2);
	CHECK_EQ(s.hist[HIST_READ_LATENCY].max, 50);
	counters_fini(&from);
	counters_fini(&to);
}

TEST(reset_leaves_nothing)
{
	struct counters c = {0};
	struct counters_snapshot s = {0};

	counters_add(&c, CTR_FSYNC_OPS, 2);
	(void)counters_observe(&c, HIST_FSYNC_LATENCY, 1000);
	counters_reset(&c);
	counters_accumulate(&c, &s);
	CHECK_EQ(s.sum[CTR_FSYNC_OPS], 0);
	CHECK_EQ(histogram_count(&s.hist[HIST_FSYNC_LATENCY]), 0);
	counters_fini(&c);
}

/* What is in the pool stays there, whoever asks for zeroes: the steps down are still to come. */
TEST(a_gauge_is_a_level_that_nobody_zeroes)
{
	struct counters c = {0}, other = {0};
	struct counters_snapshot s = {0};

	REQUIRE(counters_prepare(&other) == 0);
	counters_add(&c, CTR_POOL_RESIDENT_BYTES, 16384);
	counters_add(&c, CTR_POOL_RESIDENT_BYTES, 16384);
	counters_reset(&c);
	counters_add(&c, CTR_POOL_RESIDENT_BYTES, (uint64_t)-16384);
	counters_move(&c, &other);
	counters_accumulate(&c, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[CTR_POOL_RESIDENT_BYTES], 16384);
	counters_add(&c, CTR_POOL_RESIDENT_BYTES, (uint64_t)-16384);
	memset(&s, 0, sizeof(s));
	counters_accumulate(&c, &s);
	counters_accumulate(&other, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[CTR_POOL_RESIDENT_BYTES], 0);
	counters_fini(&c);
	counters_fini(&other);
}

struct shared {
	struct counters counters;
	pthread_barrier_t start;
	atomic_uint n_running;
};

static void *count_many(void *arg)
{
	struct shared *shared = arg;

	pthread_barrier_wait(&shared->start);
	for (unsigned i = 0; i < ADDS; i++) {
		counters_add(&shared->counters, CTR_READ_COPY_BYTES, 4096);
		(void)counters_observe(&shared->counters, HIST_READ_SIZE, 4096);
	}
	atomic_fetch_sub(&shared->n_running, 1);
	return NULL;
}

/* All threads meet at the first value, which allocates; the main thread moves meanwhile. */
TEST(nothing_is_lost_while_threads_count)
{
	struct shared shared = {.n_running = THREADS};
	struct counters to = {0};
	struct counters_snapshot s = {0};
	pthread_t thread[THREADS];

	REQUIRE(counters_prepare(&to) == 0);
	REQUIRE(pthread_barrier_init(&shared.start, NULL, THREADS + 1) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&thread[i], NULL, count_many, &shared) == 0);
	pthread_barrier_wait(&shared.start);
	while (atomic_load(&shared.n_running))
		counters_move(&shared.counters, &to);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&shared.start);

	counters_accumulate(&shared.counters, &s);
	counters_accumulate(&to, &s);
	counters_total(&s);
	CHECK_EQ(s.sum[CTR_READ_OPS], THREADS * ADDS);
	CHECK_EQ(s.sum[CTR_READ_BYTES], UINT64_C(4096) * THREADS * ADDS);
	CHECK_EQ(s.hist[HIST_READ_SIZE].bucket[13], THREADS * ADDS);
	CHECK_EQ(s.hist[HIST_READ_SIZE].max, 4096);
	counters_fini(&shared.counters);
	counters_fini(&to);
}
