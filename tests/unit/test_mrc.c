/* pool/mrc: the curve against exact LRU, who gets a sample, deletion, memory, cost, threads, JSON. */
#include "check.h"
#include "pool/mrc.h"
#include "pool/sample.h"
#include "traces.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#define PAGE    UINT64_C(4096)
#define KEYS    4 /* each samples other pages */
#define FILE(n) ((n)*0x9e3779b97f4a7c15U)

static struct mrc *make_mrc(void)
{
	struct mrc *m = mrc_new(MRC_BYTES, PAGE);
	if (!m)
		abort();
	return m;
}

static void feed(struct mrc *m, uint64_t key, const struct trace *t)
{
	for (size_t i = 0; i < t->count; i++)
		mrc_access(m, key, t->page[i] * PAGE + i % PAGE, 1);
}

static double mean_error(const struct mrc_curve *c, const struct exact *e)
{
	double sum = 0;
	for (size_t i = 0; i < c->count; i++)
		sum += fabs(c->point[i].hit_ratio - exact_ratio(e, c->point[i].pool_bytes / PAGE));
	return sum / (double)c->count;
}

/* Between two points as someone reads it who looks at a plot with a logarithmic axis. */
static double read_curve(const struct mrc_curve *c, double bytes)
{
	size_t i = 1;
	while (i + 1 < c->count && (double)c->point[i].pool_bytes < bytes)
		i++;
	const struct mrc_point *a = &c->point[i - 1], *b = &c->point[i];
	double part = log(bytes / (double)a->pool_bytes) /
		      log((double)b->pool_bytes / (double)a->pool_bytes);
	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return a->hit_ratio + part * (b->hit_ratio - a->hit_ratio);
}

/* The same at 200 sizes in equal steps: how the SHARDS paper measures. */
static double mean_error_in_steps(const struct mrc_curve *c, const struct exact *e)
{
	double sum = 0;
	for (unsigned i = 1; i <= 200; i++) {
		double pages = (double)e->distinct * i / 200;
		sum += fabs(read_curve(c, pages * PAGE) - exact_ratio(e, (uint64_t)pages));
	}
	return sum / 200;
}

/* The errors of the mount's curve and of a file's, for several keys: none over 0.02, nor 0.03. */
static void check_trace(const char *name, const struct trace *t)
{
	struct exact e = exact_lru(t);
	double sum = 0, worst = 0, steps = 0, file_sum = 0;

	for (uint64_t key = 1; key <= KEYS; key++) {
		struct mrc *m = make_mrc();
		struct mrc_curve c;
		mrc_access(m, FILE(99), 0, 1); /* so that the file's curve comes from its own sample */
		feed(m, FILE(key), t);
		CHECK_EQ(mrc_curve(m, MRC_WHOLE, &c), 0);
		CHECK_EQ(c.references, t->count + 1);
		CHECK(c.count > MRC_POINTS / 2);
		CHECK(c.rate < 0.5);
		double error = mean_error(&c, &e);
		sum += error;
		worst = error > worst ? error : worst;
		steps += mean_error_in_steps(&c, &e);
		CHECK_EQ(mrc_curve(m, FILE(key), &c), 0);
		CHECK_EQ(c.references, t->count);
		file_sum += mean_error(&c, &e);
		mrc_free(m);
	}
	printf("# %s: %zu references, %zu pages; mean absolute error of the mount's curve %.4f (worst of %d: %.4f), "
	       "in equal steps %.4f, of a file's %.4f\n",
	       name, t->count, e.distinct, sum / KEYS, KEYS, worst, steps / KEYS, file_sum / KEYS);
	CHECK(worst < 0.02);
	CHECK(steps / KEYS < 0.02);
	CHECK(file_sum / KEYS < 0.03);
	exact_free(&e);
}

TEST(near_exact_lru_on_the_oltp_trace)
{
	struct trace t;
	if (!trace_oltp(&t))
		SKIP("no ../shared/traces/OLTP.lis.zst, or no zstd");
	check_trace("OLTP", &t);
	trace_free(&t);
}

TEST(near_exact_lru_on_a_zipf_pattern)
{
	struct trace t = trace_zipf(500000, 100000, 1);
	check_trace("Zipf", &t);
	trace_free(&t);
}

TEST(near_exact_lru_on_a_loop_beside_a_scan)
{
	struct trace t = trace_loop_and_scan(500000, 5000, 30000, 1);
	check_trace("loop and scan", &t);
	trace_free(&t);
}

TEST(few_pages_are_exact_and_requests_count_by_pages)
{
	struct mrc *m = make_mrc();
	struct mrc_curve c;

	CHECK_EQ(mrc_curve(m, MRC_WHOLE, &c), -ENODATA);
	CHECK_EQ(mrc_curve(m, FILE(1), &c), -ENODATA);
	mrc_access(m, FILE(1), 0, 0);
	CHECK_EQ(mrc_curve(m, MRC_WHOLE, &c), -ENODATA);
	for (int i = 0; i < 10; i++)
		mrc_access(m, FILE(1), PAGE - 1, 2 * PAGE + 2); /* pages 0 to 3 */
	REQUIRE(mrc_curve(m, FILE(1), &c) == 0);
	CHECK_EQ(c.references, 40);
	CHECK_EQ(c.sampled, 4);
	CHECK(c.rate == 1);
	CHECK_EQ(c.distinct_bytes, 4 * PAGE);
	CHECK_EQ(c.page_bytes, PAGE);
	REQUIRE(c.count == 4);
	CHECK_EQ(c.point[0].pool_bytes, PAGE);
	CHECK_EQ(c.point[3].pool_bytes, 4 * PAGE);
	CHECK(c.point[2].hit_ratio == 0);
	CHECK(fabs(c.point[3].hit_ratio - 0.9) < 1e-12);
	mrc_free(m);
}

TEST(curves_rise)
{
	struct trace t = trace_zipf(300000, 60000, 5);
	struct mrc *m = make_mrc();
	struct mrc_curve c;

	feed(m, FILE(1), &t);
	REQUIRE(mrc_curve(m, MRC_WHOLE, &c) == 0);
	for (size_t i = 0; i < c.count; i++) {
		CHECK(c.point[i].hit_ratio >= 0 && c.point[i].hit_ratio <= 1);
		CHECK(c.point[i].pool_bytes % PAGE == 0);
		if (i > 0) {
			CHECK(c.point[i].pool_bytes > c.point[i - 1].pool_bytes);
			CHECK(c.point[i].hit_ratio >= c.point[i - 1].hit_ratio);
		}
	}
	mrc_free(m);
	trace_free(&t);
}

TEST(the_most_active_files_have_samples)
{
	struct mrc *m = make_mrc();
	struct mrc_curve c;

	/* The first ones all have. */
	for (uint64_t f = 1; f <= 16; f++)
		mrc_access(m, FILE(f), 0, 1);
	for (uint64_t f = 1; f <= 16; f++)
		CHECK_EQ(mrc_curve(m, FILE(f), &c), 0);
	/* Three that are used much take the place of idle ones, among many that are used once; one that is used all along stays. */
	for (uint64_t i = 0; i < 200000; i++) {
		mrc_access(m, FILE(i % 2 ? 100 + i % 3 : 1000 + i), i % 500 * PAGE, 1);
		if (i % 4 == 0)
			mrc_access(m, FILE(1), 0, 1);
	}
	for (uint64_t f = 100; f < 103; f++)
		CHECK_EQ(mrc_curve(m, FILE(f), &c), 0);
	CHECK_EQ(mrc_curve(m, FILE(1), &c), 0);
	CHECK_EQ(c.references, 50001);
	CHECK_EQ(mrc_curve(m, FILE(2), &c), -ENODATA);
	CHECK_EQ(mrc_curve(m, FILE(1000), &c), -ENODATA);
	REQUIRE(mrc_curve(m, MRC_WHOLE, &c) == 0);
	CHECK_EQ(c.references, 16 + 250000);
	mrc_free(m);
}

TEST(a_deleted_file_leaves)
{
	struct mrc *m = make_mrc();
	struct mrc_curve c;

	mrc_access(m, FILE(1), 0, 100 * PAGE);
	mrc_access(m, FILE(2), 0, 50 * PAGE);
	mrc_forget(m, FILE(1));
	CHECK_EQ(mrc_curve(m, FILE(1), &c), -ENODATA);
	REQUIRE(mrc_curve(m, MRC_WHOLE, &c) == 0);
	CHECK_EQ(c.references, 150);
	CHECK_EQ(c.distinct_bytes, 50 * PAGE);
	/* Many at once. */
	for (uint64_t f = 10; f < 200; f++) {
		mrc_access(m, FILE(f), 0, PAGE);
		mrc_forget(m, FILE(f));
	}
	REQUIRE(mrc_curve(m, MRC_WHOLE, &c) == 0);
	CHECK_EQ(c.distinct_bytes, 50 * PAGE);
	mrc_free(m);
}

TEST(reset_of_a_file_and_of_all)
{
	struct mrc *m = make_mrc();
	struct mrc_curve c;

	mrc_access(m, FILE(1), 0, 10 * PAGE);
	mrc_access(m, FILE(2), 0, 10 * PAGE);
	mrc_reset(m, FILE(1));
	CHECK_EQ(mrc_curve(m, FILE(1), &c), -ENODATA);
	CHECK_EQ(mrc_curve(m, FILE(2), &c), 0);
	REQUIRE(mrc_curve(m, MRC_WHOLE, &c) == 0);
	CHECK_EQ(c.references, 20);
	mrc_access(m, FILE(1), 0, 3 * PAGE);
	REQUIRE(mrc_curve(m, FILE(1), &c) == 0);
	CHECK_EQ(c.references, 3);
	mrc_reset(m, MRC_WHOLE);
	CHECK_EQ(mrc_curve(m, FILE(2), &c), -ENODATA);
	CHECK_EQ(mrc_curve(m, MRC_WHOLE, &c), -ENODATA);
	mrc_access(m, FILE(2), 0, PAGE);
	REQUIRE(mrc_curve(m, MRC_WHOLE, &c) == 0);
	CHECK_EQ(c.references, 1);
	mrc_free(m);
}

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

TEST(memory_stays_within_its_bound)
{
	size_t before = allocated();
	struct mrc *m = make_mrc();

	CHECK(mrc_bytes(m) <= MRC_BYTES);
	CHECK(mrc_bytes(m) > MRC_BYTES / 2);
	for (uint64_t i = 0; i < 300000; i++)
		mrc_access(m, FILE(i % 1000), i / 1000 * PAGE, 1);
	size_t grown = allocated() - before;
	printf("# asked for %zu, allocated %zu bytes\n", mrc_bytes(m), grown);
	/* A sanitizer's allocator says nothing. */
	CHECK(grown == 0 || (grown >= mrc_bytes(m) && grown <= MRC_BYTES));
	mrc_free(m);
	m = mrc_new(MRC_BYTES_MIN, PAGE);
	REQUIRE(m != NULL);
	CHECK(mrc_bytes(m) <= MRC_BYTES_MIN);
	mrc_free(m);
}

static double ns_per_access(struct mrc *m, uint64_t pages)
{
	const unsigned n = 1000000;
	struct timespec from, to;
	random_state = 1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	for (unsigned i = 0; i < n; i++)
		mrc_access(m, FILE(1), next_random() % pages * PAGE, PAGE);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / n;
}

/* Figures to read; what is judged is that a reference outside the sample is cheaper by far. */
TEST(references_outside_the_sample_are_cheap)
{
	struct mrc *m = make_mrc();

	double sampled = ns_per_access(m, SAMPLE_STEADY_PAGES);
	(void)ns_per_access(m, UINT64_C(1) << 40); /* the rate falls */
	double unsampled = ns_per_access(m, UINT64_C(1) << 40);
	printf("# %.1f ns a reference that is not sampled, %.1f ns one that is, by mount and file\n",
	       unsampled, sampled);
	CHECK(unsampled < sampled);
	mrc_free(m);
}

struct crowd {
	struct mrc *m;
	atomic_uint running;
};

#define THREADS  4
#define ACCESSES 100000

static void *access_much(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t x = (uint64_t)(uintptr_t)&crowd | 1;

	for (uint64_t i = 0; i < ACCESSES; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		mrc_access(crowd->m, FILE(1 + x % 40), (x >> 20) % 5000 * PAGE, 1);
	}
	atomic_fetch_sub(&crowd->running, 1);
	return NULL;
}

TEST(threads_lose_no_reference)
{
	struct crowd crowd = {.m = make_mrc(), .running = THREADS};
	pthread_t thread[THREADS];
	struct mrc_curve c;

	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&thread[i], NULL, access_much, &crowd) == 0);
	for (uint64_t f = 1; atomic_load(&crowd.running) > 0; f = f % 40 + 1) {
		(void)!mrc_curve(crowd.m, FILE(f), &c);
		if (f % 8 == 0)
			mrc_forget(crowd.m, FILE(f));
		if (f % 9 == 0)
			mrc_reset(crowd.m, FILE(f));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	REQUIRE(mrc_curve(crowd.m, MRC_WHOLE, &c) == 0);
	CHECK_EQ(c.references, THREADS * ACCESSES);
	mrc_free(crowd.m);
}

TEST(json_has_every_point)
{
	struct mrc *m = make_mrc();
	char *text = NULL;

	CHECK_EQ(mrc_render_json(m, MRC_WHOLE, 0, &text), -ENODATA);
	mrc_access(m, FILE(1), 0, 2 * PAGE);
	mrc_access(m, FILE(1), 0, 2 * PAGE);
	REQUIRE(mrc_render_json(m, MRC_WHOLE, 0, &text) == 0);
	CHECK_STR(text, "{\"page_bytes\": 4096, \"references\": 4, \"sampled\": 2, \"rate\": 1, \"distinct_bytes\": 8192, "
			"\"pool_bytes\": null, \"points\": [[4096, 0.0000], [8192, 0.5000]]}\n");
	free(text);
	REQUIRE(mrc_render_json(m, FILE(1), 1048576, &text) == 0);
	CHECK(strstr(text, "\"pool_bytes\": 1048576, ") != NULL);
	free(text);
	mrc_free(m);
}

TEST(a_file_has_a_key_that_is_not_the_mounts)
{
	struct ledger a = {.hash = 1, .key = {.btime_ns = 5}}, b = {.hash = 1, .key = {.btime_ns = 6}};

	CHECK(mrc_file_key(&a) != MRC_WHOLE);
	CHECK(mrc_file_key(&a) != mrc_file_key(&b));
	CHECK(mrc_file_key(&a) == mrc_file_key(&a));
}
