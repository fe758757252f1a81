/* pool/evict_innodb: as a naive list has it; the second that an old page has to wait. */
#include "policy.h"

extern const struct evict_ops evict_innodb_ops;

static size_t n_old(const struct naive *m)
{
	return m->list[0].n * 3 / 8;
}

/* The old ones are the last three eighths, wherever they came from. */
static bool naive_innodb(struct naive *m, uint64_t key)
{
	struct naive_list *l = &m->list[0];
	size_t at = naive_find(l, key);
	bool is_hit = at < l->n, is_old = at >= l->n - n_old(m);
	if (is_hit) {
		int64_t quarter = (int64_t)(m->capacity * 5 / 8 / 4);
		bool is_among_first = !is_old && m->evictions - l->page[at].stamp < quarter;
		if (m->evictions == 0 || is_among_first)
			return true;
		struct naive_page page = naive_take(l, at);
		page.stamp = m->evictions;
		naive_put(l, 0, page);
		return true;
	}
	if (l->n == m->capacity) {
		(void)naive_take_oldest(l);
		m->evictions++;
	}
	size_t place = n_old(m) ? l->n - n_old(m) + 1 : 0;
	naive_put(l, place, (struct naive_page){.key = key, .stamp = INT64_MIN / 2});
	return false;
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_innodb_ops, naive_innodb);
}

static uint64_t read_ms(void *ctx)
{
	return *(const uint64_t *)ctx;
}

/* How many of 100 old pages, used again after_ms, outlive a scan. */
static int outlive(uint64_t start_ms, uint64_t after_ms)
{
	uint64_t now_ms = start_ms;
	struct cachesim *c;
	int n_hits = 0;
	if (cachesim_new(&evict_innodb_ops, 1000, &c))
		return -1;
	cachesim_set_clock(c, read_ms, &now_ms);
	for (uint64_t key = 0; key < 2000; key++)
		(void)cachesim_access(c, 100000 + key);
	for (uint64_t key = 0; key < 100; key++)
		CHECK(!cachesim_access(c, key));
	now_ms += after_ms;
	for (uint64_t key = 0; key < 100; key++)
		CHECK(cachesim_access(c, key));
	for (uint64_t key = 0; key < 10000; key++)
		(void)cachesim_access(c, 200000 + key);
	for (uint64_t key = 0; key < 100; key++)
		n_hits += cachesim_access(c, key);
	cachesim_free(c);
	return n_hits;
}

TEST(an_old_page_becomes_young_a_second_after_it_came)
{
	CHECK_EQ(outlive(0, 0), 0);
	CHECK_EQ(outlive(5000, 999), 0);
	CHECK_EQ(outlive(5000, 1000), 100);
	CHECK_EQ(outlive(UINT32_MAX - 500, 1000), 100);
	CHECK_EQ(outlive(UINT32_MAX - 500, 700), 0);
}

TEST(three_eighths_are_old)
{
	struct evict_list lists[EVICT_LISTS_MAX];
	struct evict e;
	REQUIRE(evict_init(&e, &evict_innodb_ops, 800, NULL, NULL) == 0);
	for (uint32_t slot = 0; slot < 800; slot++)
		e.ops->insert(&e, slot, slot);
	REQUIRE(e.ops->lists(&e, lists) == 2);
	CHECK_EQ(lists[0].count, 500);
	CHECK_EQ(lists[1].count, 300);
	evict_fini(&e);
}
