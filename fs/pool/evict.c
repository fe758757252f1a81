/*
 * The policies by name. Which there are is meson's list `policies`.
 */
#include "pool/evict.h"

#include <assert.h>
#include <string.h>

#define POLICY(name) extern const struct evict_ops evict_##name##_ops;
#include "policies.def"
#undef POLICY

static const struct evict_ops *const policies[] = {
#define POLICY(name) &evict_##name##_ops,
#include "policies.def"
#undef POLICY
};

const struct evict_ops *evict_at(size_t i)
{
	return i < sizeof(policies) / sizeof(policies[0]) ? policies[i] : NULL;
}

const struct evict_ops *evict_find(const char *name)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	return NULL;
}

static bool may_always_go(void *ctx, uint32_t slot)
{
	(void)ctx;
	(void)slot;
	return true;
}

int evict_init(struct evict *e, const struct evict_ops *ops, uint32_t capacity,
	       bool (*can_evict)(void *ctx, uint32_t slot), void *ctx)
{
	assert(capacity > 0 && capacity <= EVICT_CAPACITY_MAX);
	*e = (struct evict){
		.ops = ops,
		.capacity = capacity,
		.can_evict = can_evict ? can_evict : may_always_go,
		.ctx = ctx,
	};
	return ops->init(e);
}

void evict_fini(struct evict *e)
{
	e->ops->fini(e);
	e->state = NULL;
}
