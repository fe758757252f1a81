/*
 * Owns the chains in which nodes hang, and their lookup counts:
 *
 *	buckets[XXH3(dev, ino)] -> node -> node (stale) -> node
 *
 * A stale node stays in its chain, so that it is counted, forgotten and drained like any other. The
 * array doubles when there are more nodes than buckets; it never shrinks.
 */
#include "node/node_hash.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "node/node.h"

enum {
	BUCKETS_MIN = 1024,
};

int node_hash_init(struct node_hash *h)
{
	*h = (struct node_hash){
		.buckets = calloc(BUCKETS_MIN, sizeof(struct node *)),
		.n_buckets = BUCKETS_MIN,
	};
	if (!h->buckets)
		return -ENOMEM;
	mutex_init(&h->lock);
	return 0;
}

void node_hash_fini(struct node_hash *h)
{
	mutex_fini(&h->lock);
	free(h->buckets);
}

static struct node **chain_locked(struct node_hash *h, uint64_t dev, uint64_t ino) REQUIRES(h->lock)
{
	return &h->buckets[hash_pair(dev, ino) & (h->n_buckets - 1)];
}

static bool is_same_file(const struct node *n, const struct node_key *key)
{
	bool has_btimes = n->btime_ns && key->btime_ns;

	return n->type == key->type && (!has_btimes || n->btime_ns == key->btime_ns);
}

static struct node *find_locked(struct node_hash *h, const struct node_key *key) REQUIRES(h->lock)
{
	for (struct node *n = *chain_locked(h, key->dev, key->ino); n; n = n->hash_next) {
		if (n->ino != key->ino || n->dev != key->dev || n->is_stale)
			continue;
		if (is_same_file(n, key)) {
			n->nlookup++;
			return n;
		}
		n->is_stale = true;
	}
	return NULL;
}

struct node *node_hash_find(struct node_hash *h, const struct node_key *key)
{
	mutex_lock(&h->lock);
	struct node *n = find_locked(h, key);
	mutex_unlock(&h->lock);
	return n;
}

static struct node *by_id_locked(struct node_hash *h, uint64_t dev, uint64_t id) REQUIRES(h->lock)
{
	struct node *n = *chain_locked(h, dev, id); /* such an id is an inode number */

	while (n && (n->id != id || n->dev != dev))
		n = n->hash_next;
	return n;
}

struct node *node_hash_by_id(struct node_hash *h, uint64_t dev, uint64_t id)
{
	mutex_lock(&h->lock);
	struct node *n = by_id_locked(h, dev, id);
	mutex_unlock(&h->lock);
	return n;
}

/*
 * The inode number where that is an id: free, of the right device, and none of those with a meaning
 * of their own. The generation is the birth time, which is what makes a reused number another file.
 */
static void name_locked(struct node_hash *h, struct node *n) REQUIRES(h->lock)
{
	bool is_number = n->dev == h->id_dev && n->ino > NODE_ID_ROOT && !(n->ino & NODE_ID_ADDRESS);

	if (is_number && !by_id_locked(h, n->dev, n->ino))
		n->id = n->ino;
	else
		n->id = NODE_ID_ADDRESS | (uintptr_t)n;
	/* An address may soon be another file's, born in the same instant. */
	n->generation =
		(uint32_t)hash_pair((uint64_t)n->btime_ns, n->id == n->ino ? 0 : ++h->last_serial);
}

static void rehash_locked(struct node_hash *h, struct node *const *smaller, size_t n_smaller)
	REQUIRES(h->lock)
{
	for (size_t i = 0; i < n_smaller; i++) {
		struct node *next;
		for (struct node *n = smaller[i]; n; n = next) {
			struct node **bucket = chain_locked(h, n->dev, n->ino);
			next = n->hash_next;
			n->hash_next = *bucket;
			*bucket = n;
		}
	}
}

/* By the one thread that set is_growing. A failed allocation only leaves the chains longer. */
static void grow(struct node_hash *h, size_t n_larger)
{
	struct node **unused = calloc(n_larger, sizeof(struct node *));

	mutex_lock(&h->lock);
	h->is_growing = false;
	if (unused) {
		struct node **smaller = h->buckets;
		size_t n_smaller = h->n_buckets;
		h->buckets = unused;
		h->n_buckets = n_larger;
		rehash_locked(h, smaller, n_smaller);
		unused = smaller;
	}
	mutex_unlock(&h->lock);
	free(unused);
}

struct node *node_hash_insert(struct node_hash *h, struct node *fresh)
{
	const struct node_key key = {fresh->dev, fresh->ino, fresh->btime_ns, fresh->type};
	size_t n_larger = 0;

	mutex_lock(&h->lock);
	struct node *n = find_locked(h, &key);
	if (!n) {
		struct node **bucket = chain_locked(h, key.dev, key.ino);
		name_locked(h, fresh);
		fresh->hash_next = *bucket;
		*bucket = n = fresh;
		h->n_nodes++;
		if (h->n_nodes > h->n_buckets && !h->is_growing) {
			h->is_growing = true;
			n_larger = 2 * h->n_buckets;
		}
	}
	mutex_unlock(&h->lock);
	if (n_larger)
		grow(h, n_larger);
	return n;
}

static void unlink_locked(struct node_hash *h, struct node *n) REQUIRES(h->lock)
{
	struct node **link = chain_locked(h, n->dev, n->ino);

	while (*link != n)
		link = &(*link)->hash_next;
	*link = n->hash_next;
	h->n_nodes--;
}

bool node_hash_release(struct node_hash *h, struct node *n, uint64_t nlookup)
{
	mutex_lock(&h->lock);
	/*
	 * The number is the kernel's: too large a one must not wrap round and keep the node for
	 * ever.
	 */
	n->nlookup = n->nlookup > nlookup ? n->nlookup - nlookup : 0;
	bool is_last = n->nlookup == 0;
	if (is_last)
		unlink_locked(h, n);
	mutex_unlock(&h->lock);
	return is_last;
}

struct node *node_hash_drain(struct node_hash *h)
{
	struct node *all = NULL;

	mutex_lock(&h->lock);
	for (size_t i = 0; i < h->n_buckets; i++) {
		struct node **link = &h->buckets[i];
		while (*link)
			link = &(*link)->hash_next;
		*link = all;
		all = h->buckets[i];
		h->buckets[i] = NULL;
	}
	h->n_nodes = 0;
	mutex_unlock(&h->lock);
	return all;
}

void node_hash_each(struct node_hash *h, void (*visit)(void *ctx, struct node *n), void *ctx)
{
	for (size_t i = 0; i < h->n_buckets; i++)
		for (struct node *n = h->buckets[i]; n; n = n->hash_next)
			visit(ctx, n);
}

size_t node_hash_size(struct node_hash *h)
{
	mutex_lock(&h->lock);
	size_t n_nodes = h->n_nodes;
	mutex_unlock(&h->lock);
	return n_nodes;
}
