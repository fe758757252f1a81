/* stats/histogram: bucket bounds, percentiles, and exact counts while threads add and move. */
#include "check.h"
#include "stats/histogram.h"

#include <pthread.h>

#define THREADS 4
#define ADDS    200000

/* The snapshot of a histogram that got `n` values, first, first + step, ... */
static struct histogram_snapshot filled(uint64_t first, uint64_t step, unsigned n)
{
	struct histogram h = {0};
	struct histogram_snapshot s = {0};

	for (unsigned i = 0; i < n; i++)
		histogram_add(&h, first + i * step);
	histogram_accumulate(&h, &s);
	return s;
}

TEST(buckets_are_powers_of_two)
{
	CHECK_EQ(histogram_bucket(0), 0);
	CHECK_EQ(histogram_bucket(1), 1);
	CHECK_EQ(histogram_bucket(2), 2);
	CHECK_EQ(histogram_bucket(3), 2);
	CHECK_EQ(histogram_bucket(4), 3);
	CHECK_EQ(histogram_bucket(4095), 12);
	CHECK_EQ(histogram_bucket(4096), 13);
	CHECK_EQ(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		CHECK_EQ(histogram_bucket(histogram_bucket_min(b)), b);
}

TEST(empty_has_no_percentile)
{
	struct histogram_snapshot s = {0};

	CHECK_EQ(histogram_count(&s), 0);
	CHECK_EQ(histogram_percentile(&s, 0.5), 0);
	CHECK_EQ(histogram_percentile(&s, 1), 0);
}

TEST(one_value_is_every_percentile)
{
	const uint64_t values[] = {0, 1, 2, 3, 4096, 5000, (UINT64_C(1) << 63) + 5, UINT64_MAX};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct histogram_snapshot s = filled(values[i], 0, 1);
		CHECK_EQ(histogram_percentile(&s, 0), values[i]);
		CHECK_EQ(histogram_percentile(&s, 0.5), values[i]);
		CHECK_EQ(histogram_percentile(&s, 1), values[i]);
	}
}

TEST(fraction_is_clamped)
{
	struct histogram_snapshot s = filled(1, 1, 100);

	CHECK_EQ(histogram_percentile(&s, -1), 1);
	CHECK_EQ(histogram_percentile(&s, __builtin_nan("")), 1);
	CHECK_EQ(histogram_percentile(&s, 7), 100);
}

/* The true percentile of 1..n is known; the bucket must be right, and the order of percentiles. */
TEST(percentile_lies_in_the_true_bucket)
{
	const unsigned n = 100000;
	struct histogram_snapshot s = filled(1, 1, n);
	uint64_t last = 0;

	CHECK_EQ(histogram_count(&s), n);
	for (unsigned permille = 1; permille <= 1000; permille++) {
		uint64_t value = histogram_percentile(&s, permille / 1000.0);
		uint64_t truth = (uint64_t)permille * n / 1000;
		CHECK_EQ(histogram_bucket(value), histogram_bucket(truth));
		CHECK(value >= last);
		last = value;
	}
	/* Values spread evenly, so interpolation inside a full bucket finds them nearly exactly. */
	CHECK(histogram_percentile(&s, 0.5) - 49990 <= 20); /* unsigned: below wraps */
	CHECK_EQ(histogram_percentile(&s, 1), n);
}

TEST(never_above_the_largest_value)
{
	struct histogram_snapshot s = filled(4097, 0, 1000);

	CHECK(histogram_percentile(&s, 0.5) <= 4097);
	CHECK_EQ(histogram_percentile(&s, 0.999), 4097);
}

/* A reader between the two steps of an addition sees the bucket without the maximum. */
TEST(a_maximum_that_lags_is_not_believed)
{
	struct histogram_snapshot s = {0};

	s.bucket[13] = 1;
	s.max = 7;
	CHECK_EQ(histogram_percentile(&s, 1), 8191);
}

TEST(accumulate_adds_and_keeps_the_larger_maximum)
{
	struct histogram_snapshot s = filled(10, 0, 3);
	struct histogram h = {0};

	histogram_add(&h, 5);
	histogram_accumulate(&h, &s);
	CHECK_EQ(histogram_count(&s), 4);
	CHECK_EQ(s.max, 10);
}

TEST(reset_leaves_nothing)
{
	struct histogram h = {0};
	struct histogram_snapshot s = {0};

	histogram_add(&h, 77);
	histogram_reset(&h);
	histogram_accumulate(&h, &s);
	CHECK_EQ(histogram_count(&s), 0);
	CHECK_EQ(s.max, 0);
}

struct shared {
	struct histogram histogram;
	atomic_uint n_running;
};

static void *add_many(void *arg)
{
	struct shared *shared = arg;

	for (uint64_t i = 1; i <= ADDS; i++)
		histogram_add(&shared->histogram, i);
	atomic_fetch_sub(&shared->n_running, 1);
	return NULL;
}

TEST(moves_lose_nothing_while_threads_add)
{
	struct shared shared = {.n_running = THREADS};
	struct histogram *from = &shared.histogram, to = {0};
	struct histogram_snapshot s = {0};
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&thread[i], NULL, add_many, &shared) == 0);
	while (atomic_load(&shared.n_running))
		histogram_move(from, &to);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	histogram_move(from, &to);

	histogram_accumulate(from, &s);
	CHECK_EQ(histogram_count(&s), 0);
	CHECK_EQ(s.max, 0);
	histogram_accumulate(&to, &s);
	CHECK_EQ(histogram_count(&s), THREADS * ADDS);
	CHECK_EQ(s.bucket[1], THREADS);
	CHECK_EQ(s.max, ADDS);
}
