/*
 * The ledger table: a chained hash table by device and inode, an LRU list of what nobody
 * references, and two sums of what left it: `others` (evicted) and `retired` (deleted, reset).
 *
 * Values move between an entry and the sums under the mutex, and totals are added up under it: so a
 * value is always in exactly one of them. Memory is got before locking; what falls out while locked
 * goes on a `fallen` list (linked by hash_next) that is freed after unlocking.
 */
#include "stats/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/lock.h"

#define BUCKETS_AT_FIRST 256

/* Owner: the mount's context. All but mutex and limit is guarded by the mutex. */
struct ledger_table {
	struct mutex mutex;
	size_t limit; /* immutable */
	struct ledger **bucket;
	size_t n_buckets; /* a power of two */
	size_t n_entries;
	size_t n_merged;
	struct ledger *lru_oldest;
	struct ledger *lru_newest;
	struct counters others; /* prepared */
	struct counters retired; /* prepared */
};

static void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	counters_fini(&l->counters);
	free(l);
}

static void free_fallen(struct ledger *l)
{
	while (l) {
		struct ledger *next = l->hash_next;
		ledger_free(l);
		l = next;
	}
}

struct ledger_table *ledger_table_new(size_t limit)
{
	assert(limit >= 1);
	struct ledger_table *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	mutex_init(&t->mutex);
	t->limit = limit;
	t->n_buckets = BUCKETS_AT_FIRST;
	t->bucket = calloc(t->n_buckets, sizeof(struct ledger *));
	if (!t->bucket || counters_prepare(&t->others) || counters_prepare(&t->retired)) {
		ledger_table_free(t);
		return NULL;
	}
	return t;
}

void ledger_table_free(struct ledger_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->bucket && i < t->n_buckets; i++) {
		for (const struct ledger *l = t->bucket[i]; l; l = l->hash_next)
			assert(l->refs == 0);
		free_fallen(t->bucket[i]);
	}
	free(t->bucket);
	counters_fini(&t->others);
	counters_fini(&t->retired);
	mutex_fini(&t->mutex);
	free(t);
}

static struct ledger **chain_locked(struct ledger_table *t, uint64_t hash) REQUIRES(t->mutex)
{
	return &t->bucket[hash & (t->n_buckets - 1)];
}

static void lru_remove_locked(struct ledger_table *t, struct ledger *l) REQUIRES(t->mutex)
{
	*(l->lru_prev ? &l->lru_prev->lru_next : &t->lru_oldest) = l->lru_next;
	*(l->lru_next ? &l->lru_next->lru_prev : &t->lru_newest) = l->lru_prev;
	l->lru_prev = l->lru_next = NULL;
}

static void lru_append_locked(struct ledger_table *t, struct ledger *l) REQUIRES(t->mutex)
{
	l->lru_prev = t->lru_newest;
	*(l->lru_prev ? &l->lru_prev->lru_next : &t->lru_oldest) = l;
	t->lru_newest = l;
}

/*
 * Takes an unreferenced ledger, that is not on the LRU list, out of the table; its values go to
 * `sum`.
 */
static void drop_locked(struct ledger_table *t, struct ledger *l, struct counters *sum,
			struct ledger **fallen) REQUIRES(t->mutex)
{
	struct ledger **link = chain_locked(t, l->hash);
	while (*link != l)
		link = &(*link)->hash_next;
	*link = l->hash_next;
	t->n_entries--;
	counters_move(&l->counters, sum);
	l->hash_next = *fallen;
	*fallen = l;
}

/*
 * Merges the least recently used into `others` until the limit holds or all that is left is in use.
 */
static void evict_locked(struct ledger_table *t, struct ledger **fallen) REQUIRES(t->mutex)
{
	while (t->n_entries > t->limit && t->lru_oldest) {
		struct ledger *l = t->lru_oldest;
		lru_remove_locked(t, l);
		drop_locked(t, l, &t->others, fallen);
		t->n_merged++;
	}
}

static bool is_same_file(const struct ledger_key *a, const struct ledger_key *b)
{
	return !a->btime_ns || !b->btime_ns || a->btime_ns == b->btime_ns;
}

/*
 * The live ledger of key with a reference taken, or NULL. One of a file that was there before falls
 * out.
 */
static struct ledger *find_locked(struct ledger_table *t, const struct ledger_key *key,
				  uint64_t hash, struct ledger **fallen) REQUIRES(t->mutex)
{
	struct ledger *l = *chain_locked(t, hash);
	while (l && (l->is_deleted || l->key.ino != key->ino || l->key.dev != key->dev))
		l = l->hash_next;
	if (!l)
		return NULL;
	if (l->refs == 0)
		lru_remove_locked(t, l);
	if (is_same_file(&l->key, key)) {
		l->refs++;
		return l;
	}
	l->is_deleted = true;
	if (l->refs == 0)
		drop_locked(t, l, &t->retired, fallen);
	return NULL;
}

/*
 * Puts every entry into a larger array, zeroed, of n buckets; the old one is the caller's to free.
 */
static struct ledger **grow_locked(struct ledger_table *t, struct ledger **larger, size_t n)
	REQUIRES(t->mutex)
{
	struct ledger **old = t->bucket;
	size_t n_old = t->n_buckets;

	t->bucket = larger;
	t->n_buckets = n;
	for (size_t i = 0; i < n_old; i++) {
		for (struct ledger *l = old[i], *next; l; l = next) {
			struct ledger **chain = chain_locked(t, l->hash);
			next = l->hash_next;
			l->hash_next = *chain;
			*chain = l;
		}
	}
	return old;
}

/* Adds a ledger whose one reference is the caller's. */
static void insert_locked(struct ledger_table *t, struct ledger *l) REQUIRES(t->mutex)
{
	struct ledger **chain = chain_locked(t, l->hash);
	l->hash_next = *chain;
	*chain = l;
	t->n_entries++;
}

static struct ledger *ledger_new(const struct ledger_key *key, uint64_t hash)
{
	struct ledger *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->key = *key;
	l->hash = hash;
	l->refs = 1;
	return l;
}

struct ledger *ledger_find(struct ledger_table *t, const struct ledger_key *key)
{
	mutex_lock(&t->mutex);
	struct ledger *l = *chain_locked(t, hash_pair(key->dev, key->ino));
	while (l && (l->is_deleted || l->key.ino != key->ino || l->key.dev != key->dev))
		l = l->hash_next;
	/* One that belongs to another birth of the inode is left alone: it may be the newer. */
	if (l && !is_same_file(&l->key, key))
		l = NULL;
	if (l && l->refs++ == 0)
		lru_remove_locked(t, l);
	mutex_unlock(&t->mutex);
	return l;
}

struct ledger *ledger_get(struct ledger_table *t, const struct ledger_key *key)
{
	uint64_t hash = hash_pair(key->dev, key->ino);
	struct ledger *fallen = NULL;

	mutex_lock(&t->mutex);
	struct ledger *found = find_locked(t, key, hash, &fallen);
	size_t n_wanted = t->n_entries >= t->n_buckets ? t->n_buckets * 2 : 0;
	mutex_unlock(&t->mutex);
	if (found)
		return found;

	struct ledger *fresh = ledger_new(key, hash);
	/* Without a larger array the chains get longer, no more; so that failure is none. */
	struct ledger **array = fresh && n_wanted ? calloc(n_wanted, sizeof(*array)) : NULL;
	if (fresh) {
		mutex_lock(&t->mutex);
		/* Another thread may have made it, or grown the table, meanwhile. */
		found = find_locked(t, key, hash, &fallen);
		if (!found) {
			if (array && t->n_buckets < n_wanted)
				array = grow_locked(t, array, n_wanted);
			insert_locked(t, fresh);
			evict_locked(t, &fallen);
			found = take_ptr(&fresh);
		}
		mutex_unlock(&t->mutex);
	}
	ledger_free(fresh);
	free(array);
	free_fallen(fallen);
	return found;
}

void ledger_ref(struct ledger_table *t, struct ledger *l)
{
	mutex_lock(&t->mutex);
	assert(l->refs > 0);
	l->refs++;
	mutex_unlock(&t->mutex);
}

void ledger_put(struct ledger_table *t, struct ledger *l)
{
	struct ledger *fallen = NULL;

	mutex_lock(&t->mutex);
	assert(l->refs > 0);
	if (--l->refs == 0) {
		if (l->is_deleted)
			drop_locked(t, l, &t->retired, &fallen);
		else
			lru_append_locked(t, l);
		evict_locked(t, &fallen);
	}
	mutex_unlock(&t->mutex);
	free_fallen(fallen);
}

void ledger_delete(struct ledger_table *t, struct ledger *l)
{
	mutex_lock(&t->mutex);
	assert(l->refs > 0);
	l->is_deleted = true;
	mutex_unlock(&t->mutex);
}

void ledger_reset(struct ledger_table *t, struct ledger *l)
{
	mutex_lock(&t->mutex);
	counters_move(&l->counters, &t->retired);
	mutex_unlock(&t->mutex);
}

void ledger_reset_all(struct ledger_table *t)
{
	mutex_lock(&t->mutex);
	for (size_t i = 0; i < t->n_buckets; i++)
		for (struct ledger *l = t->bucket[i]; l; l = l->hash_next)
			counters_reset(&l->counters);
	counters_reset(&t->others);
	counters_reset(&t->retired);
	t->n_merged = 0;
	mutex_unlock(&t->mutex);
}

void ledger_totals(struct ledger_table *t, struct counters_snapshot *totals,
		   struct counters_snapshot *others)
{
	memset(totals, 0, sizeof(*totals));
	if (others)
		memset(others, 0, sizeof(*others));

	mutex_lock(&t->mutex);
	for (size_t i = 0; i < t->n_buckets; i++)
		for (const struct ledger *l = t->bucket[i]; l; l = l->hash_next)
			counters_accumulate(&l->counters, totals);
	counters_accumulate(&t->others, totals);
	counters_accumulate(&t->retired, totals);
	if (others)
		counters_accumulate(&t->others, others);
	mutex_unlock(&t->mutex);
	counters_total(totals);
	if (others)
		counters_total(others);
}

void ledger_table_size(struct ledger_table *t, size_t *files, size_t *merged)
{
	mutex_lock(&t->mutex);
	*files = t->n_entries;
	*merged = t->n_merged;
	mutex_unlock(&t->mutex);
}
