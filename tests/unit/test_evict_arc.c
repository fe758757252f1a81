/* pool/evict_arc: as figure 4 of the paper has it, taken literally. */
#include "policy.h"

extern const struct evict_ops evict_arc_ops;

enum { T1, T2, B1, B2 };

static double larger(double a, double b)
{
	return a > b ? a : b;
}

/* REPLACE(x, p) */
static void replace(struct naive *m, bool is_in_b2)
{
	struct naive_list *t1 = &m->list[T1];
	bool is_t1 = t1->n >= 1 && ((double)t1->n > m->p || (is_in_b2 && (double)t1->n == m->p));
	struct naive_page page = naive_take_oldest(&m->list[is_t1 ? T1 : T2]);
	naive_put(&m->list[is_t1 ? B1 : B2], 0, page);
}

/* Case IV: the page is nowhere. */
static void make_room(struct naive *m)
{
	const size_t c = m->capacity;
	struct naive_list *l = m->list;
	size_t all = l[T1].n + l[T2].n + l[B1].n + l[B2].n;
	if (l[T1].n + l[B1].n == c) {
		if (l[T1].n < c) {
			(void)naive_take_oldest(&l[B1]);
			replace(m, false);
		} else {
			(void)naive_take_oldest(&l[T1]);
		}
	} else if (all >= c) {
		if (all == 2 * c)
			(void)naive_take_oldest(&l[B2]);
		replace(m, false);
	}
}

static bool naive_arc(struct naive *m, uint64_t key)
{
	struct naive_list *l = m->list;
	double b1 = (double)l[B1].n, b2 = (double)l[B2].n;
	size_t at[4], to = T2;
	for (int i = 0; i < 4; i++)
		at[i] = naive_find(&l[i], key);
	bool is_hit = at[T1] < l[T1].n || at[T2] < l[T2].n;
	if (is_hit) {
		unsigned from = at[T1] < l[T1].n ? T1 : T2;
		(void)naive_take(&l[from], at[from]);
	} else if (at[B1] < l[B1].n) {
		m->p += larger(b2 / b1, 1);
		m->p = m->p < (double)m->capacity ? m->p : (double)m->capacity;
		replace(m, false);
		(void)naive_take(&l[B1], naive_find(&l[B1], key));
	} else if (at[B2] < l[B2].n) {
		m->p = larger(0, m->p - larger(b1 / b2, 1));
		replace(m, true);
		(void)naive_take(&l[B2], naive_find(&l[B2], key));
	} else {
		make_room(m);
		to = T1;
	}
	naive_put(&l[to], 0, naive_new(key));
	return is_hit;
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_arc_ops, naive_arc);
}

static uint64_t list_count(const struct evict *e, const char *name)
{
	struct evict_list lists[EVICT_LISTS_MAX];
	size_t n = e->ops->lists(e, lists);
	for (size_t i = 0; i < n; i++)
		if (strcmp(lists[i].name, name) == 0)
			return lists[i].count;
	CHECK(!"there is such a list");
	return 0;
}

static bool refuse(void *ctx, uint32_t slot)
{
	(void)slot;
	return *(bool *)ctx;
}

/* The target moves with a victim that was found, not with each attempt. */
TEST(a_search_that_found_nothing_teaches_nothing)
{
	struct evict e;
	bool may_go = true;
	REQUIRE(evict_init(&e, &evict_arc_ops, 4, refuse, &may_go) == 0);
	for (uint32_t slot = 0; slot < 4; slot++)
		e.ops->insert(&e, slot, slot);
	e.ops->hit(&e, 3);
	CHECK_EQ(e.ops->victim(&e, 10), 0);
	e.ops->insert(&e, 0, 10);
	may_go = false;
	for (int i = 0; i < 5; i++)
		CHECK_EQ(e.ops->victim(&e, 0), EVICT_NONE); /* page 0 is a ghost */
	CHECK_EQ(list_count(&e, "once_target"), 0);
	may_go = true;
	CHECK_EQ(e.ops->victim(&e, 0), 1);
	CHECK_EQ(list_count(&e, "once_target"), 1);
	CHECK_EQ(list_count(&e, "once_ghosts"), 2);
	e.ops->insert(&e, 1, 0);
	CHECK_EQ(list_count(&e, "once_ghosts"), 1);
	CHECK_EQ(list_count(&e, "often"), 2);
	evict_fini(&e);
}

/* One list has only pages that may not go: the other gives the victim, whatever the target. */
static bool is_odd(void *ctx, uint32_t slot)
{
	(void)ctx;
	return slot % 2;
}

TEST(the_other_list_helps_out)
{
	struct evict e;
	REQUIRE(evict_init(&e, &evict_arc_ops, 4, is_odd, NULL) == 0);
	for (uint32_t slot = 0; slot < 4; slot++)
		e.ops->insert(&e, slot, slot);
	e.ops->hit(&e, 1);
	e.ops->hit(&e, 3);
	CHECK_EQ(list_count(&e, "once"), 2);
	CHECK_EQ(e.ops->victim(&e, 10), 1);
	CHECK_EQ(e.ops->victim(&e, 10), 3);
	CHECK_EQ(e.ops->victim(&e, 10), EVICT_NONE);
	CHECK_EQ(list_count(&e, "once"), 2);
	evict_fini(&e);
}
