/*
 * SIEVE: one queue in the order of arrival, and a hand that goes from the oldest to the newest: a page used since it came by stays
 * where it is, any other goes. (Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson, K. V. Rashmi, "SIEVE is Simpler than LRU: an Efficient
 * Turn-Key Eviction Algorithm for Web Caches", NSDI '24.)
 *
 *	newest ... [new pages, sifted at once] <- hand ... [pages that have been used] ... oldest
 */
#include <errno.h>

#include "pool/evict_slots.h"

struct sieve {
	struct slot_lists queue;
	slot_uses *uses; /* all that hit() touches */
	uint32_t hand; /* the next slot to look at; EVICT_NONE: the oldest */
};

static void sieve_free(struct sieve *s)
{
	slots_fini(&s->queue);
	free(s->uses);
	free(s);
}

static int sieve_init(struct evict *e)
{
	struct sieve *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->hand = EVICT_NONE;
	s->uses = calloc(e->capacity, sizeof(*s->uses));
	int err = s->uses ? slots_init(&s->queue, e->capacity) : -ENOMEM;
	if (err)
		sieve_free(s);
	else
		e->state = s;
	return err;
}

static void sieve_fini(struct evict *e)
{
	if (e->state)
		sieve_free(e->state);
}

static void sieve_hit(struct evict *e, uint32_t slot)
{
	const struct sieve *s = e->state;
	slot_use(&s->uses[slot], 1);
}

static void sieve_insert(struct evict *e, uint32_t slot, uint64_t key)
{
	(void)key;
	struct sieve *s = e->state;
	slot_uses_set(&s->uses[slot], 0);
	slots_add(&s->queue, 0, slot);
}

static void sieve_take(struct sieve *s, uint32_t slot)
{
	if (s->hand == slot)
		s->hand = slots_newer(&s->queue, slot);
	slots_take(&s->queue, 0, slot);
}

/* Moves the hand over at most n slots, to one that may go and was not used, or any if is_last_resort. */
static uint32_t sieve_on(struct evict *e, uint64_t n, bool is_last_resort)
{
	struct sieve *s = e->state;
	while (n-- > 0) {
		uint32_t slot = s->hand != EVICT_NONE ? s->hand : slots_oldest(&s->queue, 0);
		s->hand = slots_newer(&s->queue, slot);
		if (slot_uses_get(&s->uses[slot]) > 0 && !is_last_resort)
			slot_uses_set(&s->uses[slot], 0);
		else if (e->can_evict(e->ctx, slot))
			return slot;
	}
	return EVICT_NONE;
}

static uint32_t sieve_victim(struct evict *e, uint64_t incoming_key)
{
	(void)incoming_key;
	struct sieve *s = e->state;
	uint64_t count = s->queue.list[0].count;
	uint32_t slot = sieve_on(e, count * 2, false);
	if (slot == EVICT_NONE)
		slot = sieve_on(e, count, true);
	if (slot != EVICT_NONE)
		sieve_take(s, slot);
	return slot;
}

static void sieve_remove(struct evict *e, uint32_t slot)
{
	struct sieve *s = e->state;
	if (slots_has(&s->queue, slot))
		sieve_take(s, slot);
}

static size_t sieve_lists(const struct evict *e, struct evict_list *out)
{
	const struct sieve *s = e->state;
	out[0] = (struct evict_list){"queue", s->queue.list[0].count};
	return 1;
}

const struct evict_ops evict_sieve_ops = {
	.name = "sieve",
	.summary = "one queue and a hand that sifts new pages: good where few return, hits without a lock",
	.is_scan_resistant = true,
	.has_lockfree_hit = true,
	.init = sieve_init,
	.fini = sieve_fini,
	.hit = sieve_hit,
	.insert = sieve_insert,
	.victim = sieve_victim,
	.remove = sieve_remove,
	.lists = sieve_lists,
};
