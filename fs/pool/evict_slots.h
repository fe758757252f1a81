/*
 * What policies keep of slots: doubly linked lists over slot numbers, and a byte a slot that counts uses. Layer: pool, for evict_*.c.
 *
 *	list 0:  newest <-> ... <-> oldest        a slot is in one list or in none; 8 bytes a slot
 *	list 1:  newest <-> ... <-> oldest
 */
#ifndef ZCFS_POOL_EVICT_SLOTS_H
#define ZCFS_POOL_EVICT_SLOTS_H

#include <stdatomic.h>

#include "pool/evict.h"

#define SLOT_LISTS_MAX 2

struct slot_link {
	uint32_t newer, older;
};

struct slot_list {
	uint32_t count;
	uint32_t resume, credit; /* slots_claim()'s */
};

struct slot_lists {
	struct slot_link *at; /* the slots, then each list's sentinel: its older is the newest, its newer the oldest */
	uint32_t capacity;
	struct slot_list list[SLOT_LISTS_MAX];
};

int slots_init(struct slot_lists *s, uint32_t capacity) MUST_CHECK;
void slots_fini(struct slot_lists *s);

static inline bool slots_has(const struct slot_lists *s, uint32_t slot)
{
	return s->at[slot].newer != EVICT_NONE;
}

/* The oldest of a list, and from there to the newest; EVICT_NONE at its end. */
static inline uint32_t slots_oldest(const struct slot_lists *s, unsigned list)
{
	uint32_t slot = s->at[s->capacity + list].newer;
	return slot < s->capacity ? slot : EVICT_NONE;
}

static inline uint32_t slots_newer(const struct slot_lists *s, uint32_t slot)
{
	uint32_t newer = s->at[slot].newer;
	return newer < s->capacity ? newer : EVICT_NONE;
}

static inline uint32_t slots_older(const struct slot_lists *s, uint32_t slot)
{
	uint32_t older = s->at[slot].older;
	return older < s->capacity ? older : EVICT_NONE;
}

/* A slot in no list becomes the newest of one; or the next older one of `place`, which is in that list. */
void slots_add(struct slot_lists *s, unsigned list, uint32_t slot);
void slots_add_after(struct slot_lists *s, unsigned list, uint32_t slot, uint32_t place);
/* The slot is in that list, and then in none. */
void slots_take(struct slot_lists *s, unsigned list, uint32_t slot);

/* A slot of the list becomes its newest. */
static inline void slots_renew(struct slot_lists *s, unsigned list, uint32_t slot)
{
	slots_take(s, list, slot);
	slots_add(s, list, slot);
}

/*
 * The oldest of the list that e->can_evict() lets go, still in the list; EVICT_NONE if none may. Those refused keep their places.
 * So that a tail of refused ones (dirty pages) is not asked again for each victim, a search that met n of them is followed by n
 * searches that go on where the last one ended: two questions a victim in the long run.
 */
uint32_t slots_claim(struct slot_lists *s, unsigned list, struct evict *e);

/* How often a slot was used, up to a few times: read and written without a lock. A hit that meets the most costs no write. */
typedef _Atomic uint8_t slot_uses;

static inline void slot_use(slot_uses *uses, uint8_t most)
{
	/* Relaxed, and two hits at once may count as one: a hint, which nothing else hangs on. */
	uint8_t n = atomic_load_explicit(uses, memory_order_relaxed);
	if (n < most)
		atomic_store_explicit(uses, (uint8_t)(n + 1), memory_order_relaxed);
}

static inline uint8_t slot_uses_get(slot_uses *uses)
{
	return atomic_load_explicit(uses, memory_order_relaxed);
}

static inline void slot_uses_set(slot_uses *uses, uint8_t n)
{
	atomic_store_explicit(uses, n, memory_order_relaxed);
}

#endif
