/*
 * Ledgers: the counters of each file, kept by identity so that the kernel's FORGET does not lose
 * them.
 *
 *   table --> entry(dev, ino) --> counters     referenced by live nodes and by the buffer pool while it has pages
 *         \-> LRU of entries no node references   the oldest merge into `others` beyond the limit
 *         \-> retired                             what reset and deleted files had counted
 *
 * The mount's totals are: all entries + others + retired. So deleting, resetting or evicting a file
 * never changes them; resetting the mount zeroes everything. Layer: stats. Every function is
 * thread-safe; the table's mutex is a leaf: nothing else is locked, allocated, freed or called
 * under it.
 */
#ifndef ZCFS_STATS_LEDGER_H
#define ZCFS_STATS_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "stats/counters.h"

/*
 * Identity of a file: device, inode, and birth time so that a reused inode number starts at zero
 * (0: unknown, agrees with every birth time).
 */
struct ledger_key {
	uint64_t dev;
	uint64_t ino;
	int64_t btime_ns;
};

/* One file's ledger. The table owns it; who holds a reference may count in it. */
struct ledger {
	struct counters counters; /* any thread */
	struct ledger_key key; /* immutable */
	uint64_t hash; /* immutable: of dev and ino */
	/* the rest is the table's: guarded by its mutex */
	struct ledger *hash_next;
	struct ledger *lru_prev; /* used less recently; NULL: the oldest */
	struct ledger *lru_next; /* used more recently; NULL: the newest */
	unsigned refs; /* 0: on the LRU list */
	bool is_deleted; /* the file is gone: nobody finds it, the last reference retires it */
};

struct ledger_table;

/*
 * limit: how many ledgers to keep at most (>= 1); those that are referenced are kept beyond
 * it. NULL: ENOMEM.
 */
struct ledger_table *ledger_table_new(size_t limit) MUST_CHECK;
void ledger_table_free(struct ledger_table *t); /* NULL is allowed; no references may be left */

/*
 * Finds or makes the ledger of a file and takes a reference; NULL when memory is short. One whose
 * dev and ino agree but whose birth time differs (both known) belonged to a deleted file: it is
 * retired (once unreferenced), a new one made. O(1).
 */
struct ledger *ledger_get(struct ledger_table *t, const struct ledger_key *key) MUST_CHECK;

/* As ledger_get(), but NULL where the file has no ledger: looking at a tree must not make any. */
struct ledger *ledger_find(struct ledger_table *t, const struct ledger_key *key) MUST_CHECK;

/* Takes one more reference for who holds one; also of a deleted file's, which ledger_get() would not find. */
void ledger_ref(struct ledger_table *t, struct ledger *l);

/*
 * Drops a reference; the caller counts nothing through it afterwards. The ledger stays, least
 * recently used first out.
 */
void ledger_put(struct ledger_table *t, struct ledger *l);

/*
 * The file was deleted (its last link and last open are gone): retires it once unreferenced. The
 * caller holds a reference, and drops it as ever. From now on ledger_get() of the same identity
 * makes a new one.
 */
void ledger_delete(struct ledger_table *t, struct ledger *l);

/* Zeroes one file's counters (the caller holds a reference); the mount's totals keep them. */
void ledger_reset(struct ledger_table *t, struct ledger *l);

/* Zeroes everything: all files, others and retired. O(files). */
void ledger_reset_all(struct ledger_table *t);

/*
 * *totals = the mount's totals. *others (may be NULL) = the part merged into `others`. Exact: each
 * addition that happened before is in it once, whatever is evicted, retired or reset meanwhile.
 * O(files), and nobody finds or drops a ledger meanwhile (counting goes on).
 */
void ledger_totals(struct ledger_table *t, struct counters_snapshot *totals,
		   struct counters_snapshot *others);

/*
 * *files: how many files have a ledger now; *merged: how many were merged into `others` since mount
 * or ledger_reset_all().
 */
void ledger_table_size(struct ledger_table *t, size_t *files, size_t *merged);

#endif
