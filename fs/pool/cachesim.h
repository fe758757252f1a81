/*
 * One simulated cache: page keys, a policy, and nothing in the pages. `zcfs sim` runs traces through it, the miss-ratio curve its
 * sample. Memory: about 20 bytes a page of capacity and what the policy needs (up to 28). Layer: pool.
 *
 * Locks: none; one thread at a time for each cachesim.
 */
#ifndef ZCFS_POOL_CACHESIM_H
#define ZCFS_POOL_CACHESIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "pool/evict.h"

struct cachesim;

struct cachesim_stats {
	uint64_t hits, misses;
	uint32_t capacity, resident; /* pages */
};

/* An empty cache of `capacity` pages, >= 1 and at most EVICT_CAPACITY_MAX. 0 or -ENOMEM, nothing held. */
int cachesim_new(const struct evict_ops *ops, uint32_t capacity, struct cachesim **out) MUST_CHECK;
void cachesim_free(struct cachesim *c); /* NULL is fine */

/* The time for policies that have one in them (see struct evict); without it, none passes. */
void cachesim_set_clock(struct cachesim *c, uint64_t (*now_ms)(void *ctx), void *ctx);

/* One reference to a page, any 64-bit key: true if it was in. If not it is brought in, whatever has to go for it. Counted. */
bool cachesim_access(struct cachesim *c, uint64_t key);

/* The page goes, if it is in, and leaves no ghost. Not counted. */
void cachesim_remove(struct cachesim *c, uint64_t key);

/*
 * Another capacity. The pages that still fit stay, in the order in which the policy would have evicted them; what it knew of how
 * often they were used, and its ghosts, are lost. -ENOMEM: everything is as before. Takes time for each resident page.
 */
int cachesim_resize(struct cachesim *c, uint32_t capacity) MUST_CHECK;

struct cachesim_stats cachesim_stats(const struct cachesim *c);

#endif
