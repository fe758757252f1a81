/* pool/evict_s3fifo: as three naive queues have it. */
#include "policy.h"

extern const struct evict_ops evict_s3fifo_ops;

enum { SMALL, MAIN, GHOSTS };

static size_t small_max(const struct naive *m)
{
	return m->capacity / 10 ? m->capacity / 10 : 1;
}

static size_t ghosts_max(const struct naive *m)
{
	return m->capacity - small_max(m) ? m->capacity - small_max(m) : 1;
}

/* One step; true if a page went. */
static bool evict_small(struct naive *m)
{
	struct naive_page page = naive_take_oldest(&m->list[SMALL]);
	bool is_used = page.uses > 0;
	page.uses = 0;
	naive_put(&m->list[is_used ? MAIN : GHOSTS], 0, page);
	return !is_used;
}

static bool evict_main(struct naive *m)
{
	struct naive_page page = naive_take_oldest(&m->list[MAIN]);
	if (page.uses == 0)
		return true;
	page.uses--;
	naive_put(&m->list[MAIN], 0, page);
	return false;
}

static bool naive_s3fifo(struct naive *m, uint64_t key)
{
	struct naive_list *small = &m->list[SMALL], *main = &m->list[MAIN], *ghosts = &m->list[GHOSTS];
	for (int i = SMALL; i <= MAIN; i++) {
		size_t at = naive_find(&m->list[i], key);
		if (at == m->list[i].n)
			continue;
		m->list[i].page[at].uses += m->list[i].page[at].uses < 3;
		return true;
	}
	bool is_gone = small->n + main->n < m->capacity;
	while (!is_gone)
		is_gone = small->n > 0 && (small->n >= small_max(m) || main->n == 0) ? evict_small(m)
										     : evict_main(m);
	size_t at = naive_find(ghosts, key);
	bool is_ghost = at < ghosts->n;
	if (is_ghost)
		(void)naive_take(ghosts, at);
	while (ghosts->n > ghosts_max(m))
		(void)naive_take_oldest(ghosts);
	naive_put(is_ghost ? main : small, 0, naive_new(key));
	return false;
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_s3fifo_ops, naive_s3fifo);
}

/* A page that comes again soon after it went has a place in main; one that was dropped is forgotten. */
TEST(ghosts_are_of_victims_only)
{
	struct evict_list lists[EVICT_LISTS_MAX];
	struct evict e;
	REQUIRE(evict_init(&e, &evict_s3fifo_ops, 10, NULL, NULL) == 0);
	for (uint32_t slot = 0; slot < 10; slot++)
		e.ops->insert(&e, slot, slot);
	CHECK_EQ(e.ops->victim(&e, 100), 0);
	e.ops->remove(&e, 1);
	e.ops->insert(&e, 0, 0);
	e.ops->insert(&e, 1, 1);
	REQUIRE(e.ops->lists(&e, lists) >= 2);
	CHECK_STR(lists[1].name, "main");
	CHECK_EQ(lists[0].count, 9);
	CHECK_EQ(lists[1].count, 1);
	evict_fini(&e);
}
