/* pool/ghost: each ghost is near what its policy hits in a whole pool; resizing, resetting, threads, JSON. */
#include "check.h"
#include "pool/cachesim.h"
#include "pool/ghost.h"
#include "traces.h"

#include <math.h>
#include <pthread.h>

#define PAGE UINT64_C(4096)

/* All policies there are. */
static size_t all_policies(const struct evict_ops *out[GHOSTS_MAX])
{
	size_t count = 0;
	while (count < GHOSTS_MAX && evict_at(count)) {
		out[count] = evict_at(count);
		count++;
	}
	return count;
}

static void feed(struct ghost *g, uint64_t key, const struct trace *t)
{
	for (size_t i = 0; i < t->count; i++)
		ghost_access(g, key, t->page[i] * PAGE + i % PAGE, 1);
}

static double whole_ratio(const struct evict_ops *policy, uint32_t pages, const struct trace *t)
{
	struct cachesim *c;
	if (cachesim_new(policy, pages, &c))
		return -1;
	for (size_t i = 0; i < t->count; i++)
		(void)cachesim_access(c, t->page[i]);
	double ratio = (double)cachesim_stats(c).hits / (double)t->count;
	cachesim_free(c);
	return ratio;
}

/* Every ghost in a pool of so many pages within `allowed` of its policy. */
static void check_trace(const char *name, const struct trace *t, uint32_t pages, double allowed)
{
	const struct evict_ops *policy[GHOSTS_MAX];
	struct ghost_stats stats[GHOSTS_MAX];
	struct ghost *g;
	size_t count = all_policies(policy);

	REQUIRE(count >= 4);
	REQUIRE(ghost_new(policy, count, pages, PAGE, false, &g) == 0);
	feed(g, 1, t);
	CHECK_EQ(ghost_stats(g, stats), count);
	for (size_t i = 0; i < count; i++) {
		double whole = whole_ratio(policy[i], pages, t);
		printf("# %s, %u pages, %s: %.4f, whole %.4f\n", name, pages, policy[i]->name,
		       stats[i].hit_ratio, whole);
		CHECK_STR(stats[i].policy, policy[i]->name);
		CHECK_EQ(stats[i].references, t->count);
		CHECK(fabs(stats[i].hit_ratio - whole) < allowed);
	}
	ghost_free(g);
}

TEST(near_whole_policies_on_the_oltp_trace)
{
	struct trace t;
	if (!trace_oltp(&t))
		SKIP("no ../shared/traces/OLTP.lis.zst, or no zstd");
	check_trace("OLTP", &t, 15000, 0.02);
	trace_free(&t);
}

TEST(near_whole_policies_on_a_zipf_pattern)
{
	struct trace t = trace_zipf(500000, 200000, 1);
	check_trace("Zipf", &t, 20000, 0.02);
	trace_free(&t);
}

TEST(near_whole_policies_on_a_loop_beside_a_scan)
{
	struct trace t = trace_loop_and_scan(500000, 5000, 30000, 1);
	check_trace("loop and scan", &t, 12000, 0.03);
	trace_free(&t);
}

/* A small pool's pages are all sampled: nothing differs but what a policy makes of the pages' hashes. */
TEST(small_pools_are_exact)
{
	struct trace t = trace_zipf(200000, 20000, 3);
	check_trace("Zipf", &t, GHOST_SLOTS, 0.001);
	check_trace("Zipf", &t, 1, 0.001);
	trace_free(&t);
}

TEST(a_large_pool_is_sampled_at_its_rate)
{
	const struct evict_ops *lru = evict_find("lru");
	struct ghost_stats stats[GHOSTS_MAX];
	struct ghost *g;

	/* Twice as many pages as the pool has, round and round: LRU hits none; one page less than the pool has: all but the first. */
	for (uint64_t pages = 65536; pages <= 2 * UINT64_C(65536); pages *= 2) {
		REQUIRE(ghost_new(&lru, 1, 65536, PAGE, false, &g) == 0);
		for (uint64_t i = 0; i < 4 * pages; i++)
			ghost_access(g, 1, i % (pages == 65536 ? 60000 : pages) * PAGE, PAGE);
		CHECK_EQ(ghost_stats(g, stats), 1);
		double whole = pages == 65536 ? 1 - 60000.0 / (4 * 65536) : 0;
		CHECK(fabs(stats[0].hit_ratio - whole) < 0.05);
		ghost_free(g);
	}
}

TEST(no_reference_no_hit_and_reset)
{
	const struct evict_ops *lru = evict_find("lru");
	struct ghost_stats stats[GHOSTS_MAX];
	struct ghost *g;

	REQUIRE(ghost_new(&lru, 1, 10, PAGE, false, &g) == 0);
	ghost_access(g, 1, 0, 0);
	CHECK_EQ(ghost_stats(g, stats), 1);
	CHECK_EQ(stats[0].references, 0);
	CHECK(stats[0].hit_ratio == 0);
	ghost_access(g, 1, 0, 4 * PAGE);
	ghost_access(g, 1, 0, 4 * PAGE);
	(void)ghost_stats(g, stats);
	CHECK_EQ(stats[0].references, 8);
	CHECK(stats[0].hit_ratio == 0.5);
	ghost_reset(g);
	(void)ghost_stats(g, stats);
	CHECK_EQ(stats[0].references, 0);
	CHECK(stats[0].hit_ratio == 0);
	ghost_access(g, 1, 0, 4 * PAGE); /* still in */
	ghost_access(g, 1, 20 * PAGE, 4 * PAGE);
	(void)ghost_stats(g, stats);
	CHECK(stats[0].hit_ratio == 0.5);
	REQUIRE(ghost_resize(g, 100) == 0);
	(void)ghost_stats(g, stats);
	CHECK_EQ(stats[0].references, 0);
	ghost_access(g, 1, 0, 50 * PAGE);
	ghost_access(g, 1, 0, 50 * PAGE);
	(void)ghost_stats(g, stats);
	CHECK(stats[0].hit_ratio == 0.5); /* 10 pages would have hit none */
	ghost_free(g);
}

TEST(json_is_one_array)
{
	const struct evict_ops *policies[] = {evict_find("lru"), evict_find("pg")};
	struct ghost *g;

	REQUIRE(ghost_new(policies, 2, 10, PAGE, false, &g) == 0);
	ghost_access(g, 1, 0, PAGE);
	ghost_access(g, 1, 0, PAGE);
	char AUTO_FREE *text = ghost_render_json(g);
	CHECK_STR(text, "[{\"policy\": \"lru\", \"references\": 2, \"hit_ratio\": 0.5000}, "
			"{\"policy\": \"pg\", \"references\": 2, \"hit_ratio\": 0.5000}]");
	ghost_free(g);
	REQUIRE(ghost_new(policies, 0, 10, PAGE, false, &g) == 0);
	char AUTO_FREE *none = ghost_render_json(g);
	CHECK_STR(none, "[]");
	ghost_free(g);
}

#define THREADS  4
#define ACCESSES UINT64_C(50000)

struct crowd {
	struct ghost *g;
	atomic_uint running;
};

static void *access_much(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t x = (uint64_t)(uintptr_t)&crowd | 1;

	for (uint64_t i = 0; i < ACCESSES; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		ghost_access(crowd->g, 1 + x % 3, (x >> 20) % 20000 * PAGE, PAGE);
	}
	atomic_fetch_sub(&crowd->running, 1);
	return NULL;
}

TEST(threads_lose_no_reference_and_a_resize_may_come)
{
	const struct evict_ops *policy[GHOSTS_MAX];
	struct crowd crowd = {.running = THREADS};
	struct ghost_stats stats[GHOSTS_MAX];
	pthread_t thread[THREADS];

	REQUIRE(ghost_new(policy, all_policies(policy), 5000, PAGE, true, &crowd.g) == 0);
	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&thread[i], NULL, access_much, &crowd) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	(void)ghost_stats(crowd.g, stats);
	CHECK_EQ(stats[0].references, THREADS * ACCESSES);
	atomic_store(&crowd.running, THREADS);
	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&thread[i], NULL, access_much, &crowd) == 0);
	for (uint64_t pages = 100; atomic_load(&crowd.running) > 0; pages = pages * 3 % 100003 + 1)
		CHECK_EQ(ghost_resize(crowd.g, pages), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	(void)ghost_stats(crowd.g, stats);
	CHECK(stats[0].references <= THREADS * ACCESSES);
	ghost_free(crowd.g);
}
