/* pool/evict_clock: as a naive clock has it. */
#include "policy.h"

extern const struct evict_ops evict_clock_ops;

static bool naive_clock(struct naive *m, uint64_t key)
{
	return naive_sweep(m, key, 1, 0);
}

TEST(as_the_naive_one)
{
	policy_check_model(&evict_clock_ops, naive_clock);
}
