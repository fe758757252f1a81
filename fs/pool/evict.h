/*
 * Eviction policies: which page of a buffer pool goes when another needs its frame. A policy knows slots (numbers 0 .. capacity-1)
 * and page keys (64-bit hashes), no memory, no files, no I/O; so the same code serves the pool's shards, the ghost policies of
 * the miss-ratio curve and `zcfs sim`. Layer: pool.
 *
 * To add a policy: fs/pool/evict_foo.c with `const struct evict_ops evict_foo_ops` at its foot, and 'foo' in meson's list.
 *
 * Life of a slot:  (free) --insert--> resident --hit*--> victim or remove --> (free)
 *
 * Locks: the owner calls everything but hit() under a lock of its own (a shard's). hit() too, unless has_lockfree_hit.
 */
#ifndef ZCFS_POOL_EVICT_H
#define ZCFS_POOL_EVICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

#define EVICT_NONE         UINT32_MAX
#define EVICT_CAPACITY_MAX (1U << 31)

struct evict_ops;

struct evict {
	const struct evict_ops *ops;
	uint32_t capacity; /* slots: >= 1; what the policy's proportions refer to */
	/*
	 * Whether the slot may go now; true claims it for the caller of victim(). Pinned and dirty ones may not. Called under the
	 * owner's lock, at most a bounded number of times a victim().
	 */
	bool (*can_evict)(void *ctx, uint32_t slot);
	/* For policies with a time in them; NULL, as evict_init() leaves it: it stands still, and they do without. */
	uint64_t (*now_ms)(void *ctx);
	void *ctx;
	void *state; /* the policy's own */
};

/* What `zcfs pool stat` shows of a policy: "young 612, old 371, ghosts 1000". */
struct evict_list {
	const char *name;
	uint64_t count;
};
#define EVICT_LISTS_MAX 6

struct evict_ops {
	const char *name; /* as in pool_policy= */
	const char *summary; /* one line, for help and the README's table */
	bool is_scan_resistant; /* one pass over ten times the capacity leaves the hot set in */
	bool has_lockfree_hit; /* hit() may be called by any number of threads at once, also beside every other function */
	/* Makes the state for `capacity` slots, all free. 0 or -ENOMEM, nothing held. */
	int (*init)(struct evict *e);
	void (*fini)(struct evict *e);
	/* The resident page in `slot` was used again. A slot that is not resident (any more) is ignored. */
	void (*hit)(struct evict *e, uint32_t slot);
	/* The page `key` was brought into the free slot `slot`. */
	void (*insert)(struct evict *e, uint32_t slot, uint64_t key);
	/*
	 * A slot to free for the page `incoming_key`, which insert() will follow for; it is no longer resident for the policy, and its
	 * key is remembered where the policy has ghosts. EVICT_NONE: can_evict() refused every one that was asked for.
	 */
	uint32_t (*victim)(struct evict *e, uint64_t incoming_key);
	/* The page in `slot` went for another reason (dropped, truncated): no ghost of it. A slot that is not resident is ignored. */
	void (*remove)(struct evict *e, uint32_t slot);
	/* Lists and their lengths, up to EVICT_LISTS_MAX; how many. */
	size_t (*lists)(const struct evict *e, struct evict_list *out);
};

/* By name; NULL if there is none. */
const struct evict_ops *evict_find(const char *name);
/* The i-th policy of meson's list, NULL beyond the last. */
const struct evict_ops *evict_at(size_t i);

/* Sets *e up for `capacity` slots and calls init(). 0 or -ENOMEM. can_evict NULL: every slot may go. Pair with evict_fini(). */
int evict_init(struct evict *e, const struct evict_ops *ops, uint32_t capacity,
	       bool (*can_evict)(void *ctx, uint32_t slot), void *ctx) MUST_CHECK;
void evict_fini(struct evict *e);

#endif
