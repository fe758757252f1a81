/*
 * A hand that sweeps over the slots in the order of their numbers and takes one use off each that it passes: what clock and pg have
 * in common. 2 bytes a slot. Layer: pool, for evict_*.c.
 */
#ifndef ZCFS_POOL_EVICT_SWEEP_H
#define ZCFS_POOL_EVICT_SWEEP_H

#include "pool/evict_slots.h"

struct sweep {
	slot_uses *uses; /* a slot each; the only thing that hit() touches */
	bool *is_resident;
	uint32_t hand, count;
	uint8_t most; /* uses that count */
	uint8_t first; /* uses of a new page */
};

int sweep_init(struct evict *e, uint8_t most, uint8_t first) MUST_CHECK;
void sweep_fini(struct evict *e);
void sweep_hit(struct evict *e, uint32_t slot);
void sweep_insert(struct evict *e, uint32_t slot, uint64_t key);
uint32_t sweep_victim(struct evict *e, uint64_t incoming_key);
void sweep_remove(struct evict *e, uint32_t slot);
size_t sweep_lists(const struct evict *e, struct evict_list *out);

#endif
