/* pool/cachesim: against a naive LRU cache with removals and resizes; counts; keys of any kind. */
#include "policy.h"

static struct cachesim *new_cache(const char *policy, uint32_t capacity)
{
	struct cachesim *c = NULL;
	CHECK_EQ(cachesim_new(evict_find(policy), capacity, &c), 0);
	return c;
}

/* Keys that differ in their low bits, in their high ones, or in a multiple of what tables are often long. */
static uint64_t any_key(size_t n)
{
	uint64_t key = below(n);
	switch (key % 4) {
	case 0:
		return key;
	case 1:
		return key << 48;
	case 2:
		return key * 3 * 256;
	default:
		return UINT64_MAX - key;
	}
}

static bool naive_access(struct naive_list *l, size_t capacity, uint64_t key)
{
	size_t at = naive_find(l, key);
	bool is_hit = at < l->n;
	if (is_hit)
		(void)naive_take(l, at);
	else if (l->n == capacity)
		(void)naive_take_oldest(l);
	naive_put(l, 0, naive_new(key));
	return is_hit;
}

TEST(as_a_naive_lru_cache_with_removals_and_resizes)
{
	static struct naive_list model;
	struct naive_list *l = &model;
	uint32_t capacity = 100;
	uint64_t hits = 0, accesses = 0;
	struct cachesim *c = new_cache("lru", capacity);
	bool is_same = true;
	REQUIRE(c);
	random_state = 7;
	for (int i = 0; is_same && i < 200000; i++) {
		uint64_t key = any_key(400);
		if (one_in(5000)) {
			capacity = (uint32_t)(1 + below(one_in(3) ? 5 : 300));
			while (l->n > capacity)
				(void)naive_take_oldest(l);
			CHECK_EQ(cachesim_resize(c, capacity), 0);
		} else if (one_in(20)) {
			if (naive_has(l, key))
				(void)naive_take(l, naive_find(l, key));
			cachesim_remove(c, key);
		} else {
			bool is_hit = naive_access(l, capacity, key);
			is_same = cachesim_access(c, key) == is_hit;
			hits += is_hit;
			accesses++;
		}
		struct cachesim_stats s = cachesim_stats(c);
		is_same = is_same && s.resident == l->n && s.capacity == capacity;
	}
	CHECK(is_same);
	CHECK_EQ(cachesim_stats(c).hits, hits);
	CHECK_EQ(cachesim_stats(c).misses, accesses - hits);
	cachesim_free(c);
}

/* Whatever the policy, what is in stays in when the cache grows, and as much as fits when it shrinks. */
TEST(a_resize_keeps_what_fits)
{
	for (size_t p = 0; evict_at(p); p++) {
		struct cachesim *c = new_cache(evict_at(p)->name, 100);
		struct references r = {.pages = 400};
		REQUIRE(c);
		for (int i = 0; i < 5000; i++)
			(void)cachesim_access(c, next_reference(&r));
		CHECK_EQ(cachesim_resize(c, 40), 0);
		CHECK_EQ(cachesim_stats(c).resident, 40);
		CHECK_EQ(cachesim_resize(c, 40), 0);
		CHECK_EQ(cachesim_resize(c, 8000), 0);
		struct cachesim_stats before = cachesim_stats(c);
		CHECK_EQ(before.resident, 40);
		CHECK_EQ(before.hits + before.misses, 5000);
		for (uint64_t key = 0; key < 6000; key++) /* every page there was */
			(void)cachesim_access(c, key);
		CHECK_EQ(cachesim_stats(c).hits - before.hits, 40);
		cachesim_free(c);
	}
}

/* The pages that a shrinking cache keeps are those that the policy would have evicted last. */
TEST(a_resize_keeps_the_best)
{
	struct cachesim *c = new_cache("s3fifo", 100);
	REQUIRE(c);
	for (int round = 0; round < 3; round++)
		for (uint64_t key = 0; key < 50; key++)
			(void)cachesim_access(c, key);
	for (uint64_t key = 1000; key < 1200; key++)
		(void)cachesim_access(c, key);
	CHECK_EQ(cachesim_resize(c, 50), 0);
	int n_kept = 0;
	for (uint64_t key = 50; key-- > 0;) /* a miss makes room at the other end */
		n_kept += cachesim_access(c, key);
	CHECK(n_kept >= 35); /* a tenth of the old cache is for new pages */
	cachesim_free(c);
}

TEST(a_removed_page_is_missed_and_leaves_room)
{
	for (size_t p = 0; evict_at(p); p++) {
		struct cachesim *c = new_cache(evict_at(p)->name, 3);
		REQUIRE(c);
		for (uint64_t key = 1; key <= 3; key++)
			CHECK(!cachesim_access(c, key));
		cachesim_remove(c, 2);
		cachesim_remove(c, 2);
		cachesim_remove(c, 99);
		CHECK_EQ(cachesim_stats(c).resident, 2);
		CHECK(!cachesim_access(c, 4));
		CHECK(cachesim_access(c, 1) && cachesim_access(c, 3) && cachesim_access(c, 4));
		CHECK(!cachesim_access(c, 2));
		CHECK_EQ(cachesim_stats(c).resident, 3);
		cachesim_free(c);
	}
	cachesim_free(NULL);
}

/* A cache as large as the trace misses each page once. */
TEST(everything_fits_a_large_cache)
{
	for (size_t p = 0; evict_at(p); p++) {
		struct cachesim *c = new_cache(evict_at(p)->name, 50000);
		REQUIRE(c);
		for (int round = 0; round < 2; round++)
			for (uint64_t key = 0; key < 50000; key++)
				(void)cachesim_access(c, key << 20);
		CHECK_EQ(cachesim_stats(c).misses, 50000);
		CHECK_EQ(cachesim_stats(c).hits, 50000);
		cachesim_free(c);
	}
}
