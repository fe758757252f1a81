/* pool/sample: exact while everything is sampled, near the truth when not, never more pages than its limit. */
#include "base/hash.h"
#include "check.h"
#include "pool/sample.h"
#include "traces.h"

#include <math.h>

static void feed(struct sample *s, const struct trace *t, uint64_t seed)
{
	for (size_t i = 0; i < t->count; i++)
		sample_access(s, hash_pair(seed, t->page[i]), (uint16_t)(t->page[i] % 2));
}

/* The mean difference of the hit ratios at the sizes that the sample chooses. */
static double mean_error(const struct sample *s, const struct trace *t, const struct exact *e)
{
	uint64_t size[64];
	double ratio[64], sum = 0;
	size_t count = sample_sizes(s, size, 64);
	sample_hits(s, t->count, size, count, ratio);
	for (size_t i = 0; i < count; i++)
		sum += fabs(ratio[i] - exact_ratio(e, size[i]));
	return sum / (double)count;
}

TEST(a_sample_of_everything_is_exact)
{
	struct sample s;
	struct trace t = trace_loop_and_scan(SAMPLE_EAGER - 1, 40, 50, 7);
	struct exact e = exact_lru(&t);
	const uint64_t sizes[] = {0, 1, 2, 3, 10, 40, 49, 60, 63, 64};
	double ratio[10];

	/* Those that never come again are 1600, and there is room for all. */
	REQUIRE(sample_init(&s, 4096, 4096, false) == 0);
	feed(&s, &t, 1);
	CHECK(sample_rate(&s) == 1);
	CHECK_EQ(s.pages, e.distinct);
	CHECK(sample_distinct(&s) == (double)e.distinct);
	CHECK(sample_references(&s) == (double)t.count);
	sample_hits(&s, t.count, sizes, 10, ratio);
	for (size_t i = 0; i < 10; i++)
		CHECK(fabs(ratio[i] - exact_ratio(&e, sizes[i])) < 1e-12);
	CHECK(mean_error(&s, &t, &e) < 0.001); /* buckets above 64 pages hold more than one size */
	sample_fini(&s);
	exact_free(&e);
	trace_free(&t);
}

TEST(sizes_within_a_bucket_are_interpolated)
{
	struct sample s;
	struct trace t = trace_zipf(SAMPLE_EAGER - 1, 2000, 2);
	struct exact e = exact_lru(&t);
	double worst = 0;

	REQUIRE(sample_init(&s, 4096, 4096, false) == 0);
	feed(&s, &t, 1);
	for (uint64_t size = 1000; size < 1024; size++) { /* 16 a bucket */
		double ratio;
		sample_hits(&s, t.count, &size, 1, &ratio);
		worst = fmax(worst, fabs(ratio - exact_ratio(&e, size)));
	}
	printf("# worst %.6f of a bucket with %.6f\n", worst,
	       exact_ratio(&e, 1024) - exact_ratio(&e, 1008));
	CHECK(worst < (exact_ratio(&e, 1024) - exact_ratio(&e, 1008)) / 4);
	sample_fini(&s);
	exact_free(&e);
	trace_free(&t);
}

TEST(one_page_again_and_again_hits_in_one_page)
{
	struct sample s;
	uint64_t size[64];
	double ratio[64];

	REQUIRE(sample_init(&s, 2, 2, false) == 0);
	for (int i = 0; i < 100; i++)
		sample_access(&s, 12345, 0);
	CHECK_EQ(sample_sizes(&s, size, 64), 1);
	CHECK_EQ(size[0], 1);
	sample_hits(&s, 100, size, 1, ratio);
	CHECK(fabs(ratio[0] - 0.99) < 1e-12);
	sample_fini(&s);
}

TEST(a_loop_hits_nothing_until_it_fits)
{
	struct sample s;
	const uint64_t sizes[] = {1, 30, 49, 50, 51, 1000};
	double ratio[6];

	REQUIRE(sample_init(&s, 64, 64, false) == 0);
	for (uint64_t i = 0; i < 5000; i++)
		sample_access(&s, hash_pair(3, i % 50), 0);
	sample_hits(&s, 5000, sizes, 6, ratio);
	for (size_t i = 0; i < 6; i++)
		CHECK(fabs(ratio[i] - (sizes[i] < 50 ? 0 : 0.99)) < 1e-12);
	sample_fini(&s);
}

TEST(no_reference_is_no_hit)
{
	struct sample s;
	uint64_t size[64];
	double ratio[64];

	REQUIRE(sample_init(&s, 64, 64, false) == 0);
	size_t count = sample_sizes(&s, size, 64);
	sample_hits(&s, 0, size, count, ratio);
	for (size_t i = 0; i < count; i++)
		CHECK(ratio[i] == 0);
	sample_fini(&s);
}

TEST(the_sample_stays_within_its_limit)
{
	struct sample s;
	struct trace t = trace_zipf(200000, 50000, 1);
	struct exact e = exact_lru(&t);
	uint32_t most = 0;

	REQUIRE(sample_init(&s, 1024, 1024, false) == 0);
	for (size_t i = 0; i < t.count; i++) {
		sample_access(&s, hash_pair(1, t.page[i]), 0);
		most = s.pages > most ? s.pages : most;
	}
	CHECK(most <= 1024);
	CHECK(s.pages > 700);
	CHECK(sample_rate(&s) < 0.1);
	/* 1024 pages say how many there are to some percent. */
	CHECK(fabs(sample_distinct(&s) / (double)e.distinct - 1) < 0.15);
	sample_fini(&s);
	exact_free(&e);
	trace_free(&t);
}

TEST(a_sample_is_near_the_truth)
{
	struct trace t = trace_zipf(400000, 80000, 1);
	struct exact e = exact_lru(&t);
	double sum = 0;

	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct sample s;
		if (sample_init(&s, 4096, 4096, false))
			abort();
		feed(&s, &t, seed);
		sum += mean_error(&s, &t, &e);
		sample_fini(&s);
	}
	CHECK(sum / 8 < 0.012);
	exact_free(&e);
	trace_free(&t);
}

TEST(at_high_rates_fewer_pages_have_to_do)
{
	struct sample s;

	REQUIRE(sample_init(&s, 1024, 128, false) == 0);
	for (uint64_t i = 0; i < 127; i++)
		sample_access(&s, hash_pair(1, i), 0);
	CHECK(sample_rate(&s) == 1);
	for (uint64_t i = 0; i < 100000; i++) {
		sample_access(&s, hash_pair(1, i), 0);
		CHECK(s.pages <= 1024 && s.pages * sample_rate(&s) <= 128);
		if (i == 500) /* about the square root of 128 / 500 */
			CHECK(sample_rate(&s) > 0.35 && sample_rate(&s) < 0.6);
	}
	CHECK(s.pages > 700);
	sample_fini(&s);
}

TEST(the_rate_goes_down_in_the_long_run_unless_pages_are_few)
{
	struct sample s;

	REQUIRE(sample_init(&s, 4096, 4096, false) == 0);
	for (uint64_t i = 0; i < 200000; i++)
		sample_access(&s, hash_pair(1, i % 2000), 0);
	CHECK(sample_rate(&s) <= SAMPLE_STEADY && sample_rate(&s) > SAMPLE_STEADY / 2);
	CHECK(fabs(sample_references(&s) / 200000 - 1) < 0.15);
	CHECK(fabs(sample_distinct(&s) / 2000 - 1) < 0.15);
	sample_reset(&s);
	for (uint64_t i = 0; i < 200000; i++)
		sample_access(&s, hash_pair(1, i % SAMPLE_STEADY_PAGES), 0);
	CHECK(sample_rate(&s) == 1);
	sample_fini(&s);
}

static bool is_odd(uint16_t tag, const void *ctx)
{
	(void)ctx;
	return tag == 1;
}

TEST(pages_of_a_file_can_be_taken_out)
{
	struct sample s;
	const uint64_t sizes[] = {50, 51};
	double ratio[2];

	REQUIRE(sample_init(&s, 128, 128, true) == 0);
	for (uint64_t i = 0; i < 100; i++)
		sample_access(&s, hash_pair(1, i), (uint16_t)(i % 2));
	CHECK_EQ(s.pages, 100);
	sample_remove(&s, is_odd, NULL);
	CHECK_EQ(s.pages, 50);
	/* The even ones are still there, with half of the distance. */
	for (uint64_t i = 0; i < 100; i += 2)
		sample_access(&s, hash_pair(1, i), 0);
	sample_hits(&s, 150, sizes, 2, ratio);
	CHECK(fabs(ratio[0] - 50.0 / 150) < 1e-12);
	/* The odd ones come as new. */
	for (uint64_t i = 1; i < 100; i += 2)
		sample_access(&s, hash_pair(1, i), 1);
	sample_hits(&s, 200, sizes, 2, ratio);
	CHECK(fabs(ratio[1] - 50.0 / 200) < 1e-12);
	sample_fini(&s);
}

TEST(reset_starts_at_rate_1)
{
	struct sample s;

	REQUIRE(sample_init(&s, 64, 64, false) == 0);
	for (uint64_t i = 0; i < 10000; i++)
		sample_access(&s, hash_pair(1, i), 0);
	CHECK(sample_rate(&s) < 0.1);
	sample_reset(&s);
	CHECK(sample_rate(&s) == 1);
	CHECK_EQ(s.pages, 0);
	CHECK(sample_references(&s) == 0);
	sample_access(&s, 5, 0);
	CHECK_EQ(s.pages, 1);
	sample_fini(&s);
}

/* The largest distances go to the last bucket instead of beyond. */
TEST(tiny_rates_do_not_overflow)
{
	struct sample s;
	uint64_t size[64];

	REQUIRE(sample_init(&s, 16, 16, false) == 0);
	random_state = 1;
	for (int i = 0; i < 3000000; i++)
		sample_access(&s, next_random(), 0);
	for (int round = 0; round < 2; round++)
		for (uint64_t i = 1; i <= 10; i++)
			sample_access(&s, i, 0); /* below any threshold */
	CHECK(sample_rate(&s) < 1e-4);
	CHECK(sample_sizes(&s, size, 64) > 0);
	sample_fini(&s);
}
