/*
 * The hand of clock and pg. hit() may run beside everything else: it touches the uses only, and a use that reaches a slot that has
 * just been freed is wiped by the next insert().
 */
#include "pool/evict_sweep.h"

#include <errno.h>

int sweep_init(struct evict *e, uint8_t most, uint8_t first)
{
	struct sweep *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct sweep){.most = most, .first = first};
	w->uses = calloc(e->capacity, sizeof(*w->uses));
	w->is_resident = calloc(e->capacity, sizeof(*w->is_resident));
	e->state = w;
	if (w->uses && w->is_resident)
		return 0;
	sweep_fini(e);
	e->state = NULL;
	return -ENOMEM;
}

void sweep_fini(struct evict *e)
{
	struct sweep *w = e->state;
	if (w) {
		free(w->uses);
		free(w->is_resident);
	}
	free(w);
}

void sweep_hit(struct evict *e, uint32_t slot)
{
	const struct sweep *w = e->state;
	slot_use(&w->uses[slot], w->most);
}

void sweep_insert(struct evict *e, uint32_t slot, uint64_t key)
{
	(void)key;
	struct sweep *w = e->state;
	slot_uses_set(&w->uses[slot], w->first);
	w->is_resident[slot] = true;
	w->count++;
}

void sweep_remove(struct evict *e, uint32_t slot)
{
	struct sweep *w = e->state;
	w->count -= w->is_resident[slot];
	w->is_resident[slot] = false;
}

/* Moves the hand over at most n slots, to one that may go and that has no uses left, or any uses if is_last_resort. */
static uint32_t sweep_on(struct evict *e, uint64_t n, bool is_last_resort)
{
	struct sweep *w = e->state;
	while (n-- > 0) {
		uint32_t slot = w->hand;
		w->hand = slot + 1 < e->capacity ? slot + 1 : 0;
		if (!w->is_resident[slot])
			continue;
		uint8_t uses = slot_uses_get(&w->uses[slot]);
		if (uses > 0 && !is_last_resort)
			slot_uses_set(&w->uses[slot], (uint8_t)(uses - 1));
		else if (e->can_evict(e->ctx, slot))
			return slot;
	}
	return EVICT_NONE;
}

uint32_t sweep_victim(struct evict *e, uint64_t incoming_key)
{
	(void)incoming_key;
	struct sweep *w = e->state;
	/* As many rounds as uses count, and one to take a slot; hits that go on meanwhile cannot make it more. */
	uint32_t slot = w->count ? sweep_on(e, ((uint64_t)w->most + 1) * e->capacity, false) : EVICT_NONE;
	if (slot == EVICT_NONE && w->count)
		slot = sweep_on(e, e->capacity, true);
	if (slot != EVICT_NONE)
		sweep_remove(e, slot);
	return slot;
}

size_t sweep_lists(const struct evict *e, struct evict_list *out)
{
	const struct sweep *w = e->state;
	out[0] = (struct evict_list){"clock", w->count};
	return 1;
}
