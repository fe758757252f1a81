/*
 * Ghosts: keys of pages that went a while ago, in the order in which they did, in one or two lists. 32 bits a key, so that once in
 * 2^31 / ghosts a stranger is taken for one. 15 bytes a ghost. Layer: pool, for evict_*.c.
 */
#ifndef ZCFS_POOL_EVICT_GHOSTS_H
#define ZCFS_POOL_EVICT_GHOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

#define GHOST_LISTS_MAX 2
#define GHOST_NONE      UINT32_MAX

/* What is kept of a key: never 0, and bit 0 is free for the owner. */
typedef uint32_t ghost_mark;

struct ghost {
	ghost_mark mark; /* bit 0: the list; 0: no ghost here */
	uint32_t newer, older; /* places in the table */
};

struct ghost_list {
	uint32_t newest, oldest, count;
};

struct ghosts {
	struct ghost *table; /* open addressing, a quarter of it empty */
	uint32_t size, capacity;
	struct ghost_list list[GHOST_LISTS_MAX];
};

ghost_mark ghost_mark_of(uint64_t key);

/* Room for `capacity` ghosts, at least 1. 0 or -ENOMEM. */
int ghosts_init(struct ghosts *g, uint32_t capacity) MUST_CHECK;
void ghosts_fini(struct ghosts *g);

static inline uint32_t ghosts_count(const struct ghosts *g)
{
	return g->list[0].count + g->list[1].count;
}

/* The list that has it, or -1. */
int ghosts_find(const struct ghosts *g, ghost_mark mark);
/* Becomes the newest of the list; it leaves the other. Full: the oldest of the list goes, or of the other if this is empty. */
void ghosts_add(struct ghosts *g, unsigned list, ghost_mark mark);
/* False if it was none. */
bool ghosts_remove(struct ghosts *g, ghost_mark mark);
/* The list has some. */
void ghosts_drop_oldest(struct ghosts *g, unsigned list);

#endif
