/* pool/evict_lru: as a naive list has it. */
#include "policy.h"

extern const struct evict_ops evict_lru_ops;

static bool naive_lru(struct naive *m, uint64_t key)
{
	struct naive_list *l = &m->list[0];
	size_t at = naive_find(l, key);
	bool is_hit = at < l->n;
	if (is_hit)
		(void)naive_take(l, at);
	else if (l->n == m->capacity)
		(void)naive_take_oldest(l);
	naive_put(l, 0, naive_new(key));
	return is_hit;
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_lru_ops, naive_lru);
}
