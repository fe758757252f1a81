/*
 * LRU: the page goes whose last use is the longest ago. One list, renewed at every hit.
 */
#include <errno.h>

#include "pool/evict_slots.h"

static int lru_init(struct evict *e)
{
	struct slot_lists AUTO_FREE *s = calloc(1, sizeof(*s));
	int err = s ? slots_init(s, e->capacity) : -ENOMEM;
	e->state = err ? NULL : take_ptr(&s);
	return err;
}

static void lru_fini(struct evict *e)
{
	if (e->state)
		slots_fini(e->state);
	free(e->state);
}

static void lru_hit(struct evict *e, uint32_t slot)
{
	if (slots_has(e->state, slot))
		slots_renew(e->state, 0, slot);
}

static void lru_insert(struct evict *e, uint32_t slot, uint64_t key)
{
	(void)key;
	slots_add(e->state, 0, slot);
}

static uint32_t lru_victim(struct evict *e, uint64_t incoming_key)
{
	(void)incoming_key;
	uint32_t slot = slots_claim(e->state, 0, e);
	if (slot != EVICT_NONE)
		slots_take(e->state, 0, slot);
	return slot;
}

static void lru_remove(struct evict *e, uint32_t slot)
{
	if (slots_has(e->state, slot))
		slots_take(e->state, 0, slot);
}

static size_t lru_lists(const struct evict *e, struct evict_list *out)
{
	const struct slot_lists *s = e->state;
	out[0] = (struct evict_list){"lru", s->list[0].count};
	return 1;
}

const struct evict_ops evict_lru_ops = {
	.name = "lru",
	.summary = "least recently used: simple, and emptied by one scan",
	.init = lru_init,
	.fini = lru_fini,
	.hit = lru_hit,
	.insert = lru_insert,
	.victim = lru_victim,
	.remove = lru_remove,
	.lists = lru_lists,
};
