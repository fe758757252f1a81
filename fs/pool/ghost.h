/*
 * Ghost policies: what other eviction policies would have hit in a pool of the present size, side by side. Each runs in a
 * cache without pages (cachesim.h), small and over a sample of the pages in the same proportion: C. Waldspurger, T. Saemundsson,
 * I. Ahmad, N. Park, "Cache Modeling and Optimization using Miniature Simulations", ATC'17. Layer: pool.
 *
 * Of a pool of more than GHOST_SLOTS pages, the pages sampled are those whose hash lies in the first GHOST_SLOTS / pages of all
 * values; of a smaller one all are. Memory: up to about 50 bytes a slot and policy, 200 KiB a policy.
 *
 * Every function is thread-safe and does no I/O. A reference that is not sampled costs a hash and a counter of the CPU's, as
 * with mrc.h; a sampled one runs every policy under one mutex, a leaf.
 */
#ifndef ZCFS_POOL_GHOST_H
#define ZCFS_POOL_GHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "pool/evict.h"

#define GHOST_SLOTS 4096U
#define GHOSTS_MAX  8

struct ghost;

struct ghost_stats {
	const char *policy;
	uint64_t references; /* to pages, since the start, the last reset or the last resize */
	double hit_ratio; /* 0..1; 0 where there were no references */
};

/*
 * policies: `count` of them, at most GHOSTS_MAX. pool_pages, >= 1: what they are to be measured at. has_clock: time passes for
 * those that know it (innodb), as it does in a pool. 0 or -ENOMEM.
 */
int ghost_new(const struct evict_ops *const *policies, size_t count, uint64_t pool_pages,
	      uint32_t page_bytes, bool has_clock, struct ghost **out) MUST_CHECK;
void ghost_free(struct ghost *g); /* NULL is fine */

/* A request for bytes of a file (mrc_file_key()): one reference to each page that it touches. */
void ghost_access(struct ghost *g, uint64_t file_key, uint64_t off_bytes, uint64_t len_bytes);

/* How each of them does, in the order given to ghost_new(), into out; how many. */
size_t ghost_stats(struct ghost *g, struct ghost_stats out[GHOSTS_MAX]);

/* The same as a JSON array, malloc'd: [{"policy": "lru", "references": 914145, "hit_ratio": 0.5365}, ...]. NULL: ENOMEM. */
char *ghost_render_json(struct ghost *g) MUST_CHECK;

/* The pool has another size: starts anew with empty caches. 0 or -ENOMEM: all is as before. */
int ghost_resize(struct ghost *g, uint64_t pool_pages) MUST_CHECK;

/* Counts anew; what is in the caches stays. */
void ghost_reset(struct ghost *g);

#endif
