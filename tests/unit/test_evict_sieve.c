/* pool/evict_sieve: as a naive queue with a hand has it. */
#include "policy.h"

extern const struct evict_ops evict_sieve_ops;

static void evict_one(struct naive *m)
{
	struct naive_list *l = &m->list[0];
	size_t at = m->has_hand ? m->hand : l->n - 1;
	for (; l->page[at].uses; at = at ? at - 1 : l->n - 1)
		l->page[at].uses = 0;
	(void)naive_take(l, at);
	m->has_hand = at > 0;
	m->hand = at - m->has_hand;
}

static bool naive_sieve(struct naive *m, uint64_t key)
{
	struct naive_list *l = &m->list[0];
	size_t at = naive_find(l, key);
	if (at < l->n) {
		l->page[at].uses = 1;
		return true;
	}
	if (l->n == m->capacity)
		evict_one(m);
	naive_put(l, 0, naive_new(key));
	m->hand++;
	return false;
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_sieve_ops, naive_sieve);
}

/* The hand's own page goes by another way than as a victim: the hand stands at the next newer one. */
TEST(the_hand_outlives_its_page)
{
	struct evict e;
	REQUIRE(evict_init(&e, &evict_sieve_ops, 4, NULL, NULL) == 0);
	for (uint32_t slot = 0; slot < 4; slot++)
		e.ops->insert(&e, slot, slot);
	e.ops->hit(&e, 0);
	CHECK_EQ(e.ops->victim(&e, 9), 1); /* 0 was used; the hand is at 2 */
	e.ops->remove(&e, 2);
	CHECK_EQ(e.ops->victim(&e, 9), 3);
	CHECK_EQ(e.ops->victim(&e, 9), 0);
	CHECK_EQ(e.ops->victim(&e, 9), EVICT_NONE);
	evict_fini(&e);
}
