/*
 * Lists over slot numbers. Each list is a ring through its sentinel, so that no end is special.
 */
#include "pool/evict_slots.h"

#include <assert.h>
#include <errno.h>

int slots_init(struct slot_lists *s, uint32_t capacity)
{
	*s = (struct slot_lists){.capacity = capacity};
	s->at = malloc(((size_t)capacity + SLOT_LISTS_MAX) * sizeof(*s->at));
	if (!s->at)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < capacity; slot++)
		s->at[slot] = (struct slot_link){EVICT_NONE, EVICT_NONE};
	for (uint32_t i = 0; i < SLOT_LISTS_MAX; i++) {
		s->at[capacity + i] = (struct slot_link){capacity + i, capacity + i};
		s->list[i].resume = EVICT_NONE;
	}
	return 0;
}

void slots_fini(struct slot_lists *s)
{
	free(s->at);
	s->at = NULL;
}

/* Puts the slot on the older side of `place`, a slot or a sentinel. */
static void link_after(struct slot_lists *s, unsigned list, uint32_t slot, uint32_t place)
{
	assert(!slots_has(s, slot));
	uint32_t older = s->at[place].older;
	s->at[slot] = (struct slot_link){.newer = place, .older = older};
	s->at[place].older = slot;
	s->at[older].newer = slot;
	s->list[list].count++;
}

void slots_add(struct slot_lists *s, unsigned list, uint32_t slot)
{
	link_after(s, list, slot, s->capacity + list);
}

void slots_add_after(struct slot_lists *s, unsigned list, uint32_t slot, uint32_t place)
{
	link_after(s, list, slot, place);
}

void slots_take(struct slot_lists *s, unsigned list, uint32_t slot)
{
	struct slot_list *l = &s->list[list];
	assert(slots_has(s, slot) && l->count > 0);
	if (l->resume == slot)
		l->resume = slots_newer(s, slot);
	s->at[s->at[slot].newer].older = s->at[slot].older;
	s->at[s->at[slot].older].newer = s->at[slot].newer;
	s->at[slot] = (struct slot_link){EVICT_NONE, EVICT_NONE};
	l->count--;
}

/* Asks from `slot` on, towards the newest, up to but not including `end`. Counts the refusals. */
static uint32_t ask(struct slot_lists *s, struct evict *e, uint32_t slot, uint32_t end, uint32_t *n_refused)
{
	for (; slot != end; slot = slots_newer(s, slot)) {
		if (e->can_evict(e->ctx, slot))
			return slot;
		++*n_refused;
	}
	return EVICT_NONE;
}

uint32_t slots_claim(struct slot_lists *s, unsigned list, struct evict *e)
{
	struct slot_list *l = &s->list[list];
	uint32_t oldest = slots_oldest(s, list), start = oldest, n_refused = 0;
	if (l->credit > 0 && l->resume != EVICT_NONE) {
		start = l->resume;
		l->credit--;
	} else {
		l->credit = 0;
	}
	uint32_t found = ask(s, e, start, EVICT_NONE, &n_refused);
	if (found == EVICT_NONE)
		found = ask(s, e, oldest, start, &n_refused);
	l->credit += n_refused < l->count ? n_refused : l->count;
	l->resume = found == EVICT_NONE ? EVICT_NONE : slots_newer(s, found);
	return found;
}
