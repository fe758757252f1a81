/*
 * The hash table under the inode table: finds nodes by (device, inode), counts their lookups.
 * Owns the chains and nlookup, not what else a node holds. Layer: node; for node.c only. Thread-
 * safe; the mutex is a leaf, never held over a system call, malloc() or free().
 */
#ifndef ZCFS_NODE_NODE_HASH_H
#define ZCFS_NODE_NODE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/lock.h"

struct node;

struct node_key {
	uint64_t dev;
	uint64_t ino;
	int64_t btime_ns; /* 0: unknown, agrees with every birth time */
	mode_t type; /* S_IFMT bits */
};

struct node_hash {
	struct mutex lock; /* guards the rest */
	struct node **buckets;
	size_t n_buckets; /* a power of two */
	size_t n_nodes;
	bool is_growing; /* a thread is allocating more buckets */
	/* the device whose inode numbers are ids (node_by_id()); set before the first insertion */
	uint64_t id_dev;
	uint64_t last_serial; /* of nodes whose id is an address */
};

/* 0 or -ENOMEM. */
int node_hash_init(struct node_hash *h) MUST_CHECK;
/* The table is empty (node_hash_drain). */
void node_hash_fini(struct node_hash *h);

/*
 * The node with that key, with one more lookup count, or NULL. One whose dev and ino agree but
 * not its type or birth time (both known) belongs to a file that is gone: it is stale and not
 * found any more. O(1).
 */
struct node *node_hash_find(struct node_hash *h, const struct node_key *key);

/* The node with that id among those of the device, or NULL; no lookup count is added. */
struct node *node_hash_by_id(struct node_hash *h, uint64_t dev, uint64_t id);

/*
 * Makes `fresh`, whose identity and nlookup are filled in, findable, gives it an id and a generation
 * and returns it. If another thread brought in a node with that key before, returns that one as
 * node_hash_find() does.
 */
struct node *node_hash_insert(struct node_hash *h, struct node *fresh);

/*
 * Gives back nlookup counts. True: that was the last, nothing finds n any more, it is the
 * caller's.
 */
bool node_hash_release(struct node_hash *h, struct node *n, uint64_t nlookup);

/* Takes every node out, chained by hash_next; NULL: none. */
struct node *node_hash_drain(struct node_hash *h);

/* Calls visit for every node; no other thread uses the table meanwhile. */
void node_hash_each(struct node_hash *h, void (*visit)(void *ctx, struct node *n), void *ctx);

size_t node_hash_size(struct node_hash *h);

#endif
