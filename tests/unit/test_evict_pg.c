/* pool/evict_pg: as a naive clock-sweep has it, up to five uses. */
#include "policy.h"

extern const struct evict_ops evict_pg_ops;

static bool naive_pg(struct naive *m, uint64_t key)
{
	return naive_sweep(m, key, 5, 1);
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_pg_ops, naive_pg);
}

/* Two slots, the first used `uses` times: how many victims slot 1 gives before slot 0 goes. */
static int rounds_until_gone(int uses)
{
	struct evict e;
	int rounds = 0;
	if (evict_init(&e, &evict_pg_ops, 2, NULL, NULL))
		return -1;
	e.ops->insert(&e, 0, 100);
	e.ops->insert(&e, 1, 200);
	for (int i = 0; i < uses; i++)
		e.ops->hit(&e, 0);
	while (e.ops->victim(&e, 0) == 1 && rounds < 100) {
		e.ops->insert(&e, 1, 200);
		rounds++;
	}
	evict_fini(&e);
	return rounds;
}

TEST(five_uses_count_and_more_do_not)
{
	CHECK(rounds_until_gone(0) < rounds_until_gone(2));
	CHECK(rounds_until_gone(2) < rounds_until_gone(4));
	CHECK_EQ(rounds_until_gone(4), rounds_until_gone(5));
	CHECK_EQ(rounds_until_gone(4), rounds_until_gone(1000));
}
