/*
 * Open files and the buffer pool: which of the pool's files a node is, what an open by path pool holds, and what closing and
 * syncing mean where written bytes may still be in the pool. Layer: data. Any thread.
 */
#ifndef ZCFS_DATA_POOL_OPEN_H
#define ZCFS_DATA_POOL_OPEN_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "node/handle.h"
#include "pool/pool.h"

/* What an open by path pool has beside its handle; owned by that. */
struct pool_open {
	struct pool *pool; /* borrowed */
	struct pool_file *file; /* the node's */
	struct pool_stream stream;
	/*
	 * One more than the node's privs_changes that a write of this open has gone through to the backing after; without and with
	 * is_kill (data/path.h). 0: none has.
	 */
	_Atomic uint32_t privs_written[2];
};

/*
 * The pool's file of the node, a regular one: made now if it has none, so that from here on no change of it is past the pool. NULL:
 * p is NULL, or memory is short. Valid as long as the node.
 */
struct pool_file *pool_open_file(struct pool *p, struct ledger_table *ledgers,
				 struct node_table *nodes, struct node *n);

/*
 * h becomes an open by path pool: looks whether the file was changed underneath (its attributes are in *stx then), and sees that the
 * pool reaches its bytes. h's node has a pool file. 0 or -errno: -EINVAL where the backing has no O_DIRECT, -EMFILE while few
 * descriptors are left, as the pool needs its own; h is then as before.
 */
int pool_open_begin(struct pool *p, struct handle *h, struct statx *stx) MUST_CHECK;
/* Before handle_close(). Nothing for an open by another path. */
void pool_open_end(struct handle *h);

/* Whether a write of h has to be carried out by the backing itself, as it may have to take set-id bits or capabilities away. */
bool pool_open_is_privs_due(struct handle *h, bool is_kill);
/* What is due when a write starts, and, after it has gone through: no longer due. */
uint32_t pool_open_privs(struct handle *h);
void pool_open_privs_written(struct handle *h, bool is_kill, uint32_t privs);

/* fsync's half: all that the pool holds of the file goes to the backing. 0, or -errno once for each error and open. Blocks. */
int pool_open_sync(struct handle *h) MUST_CHECK;
/*
 * The errors alone, for close, which takes none away: the kernel asks at each close of a descriptor, also in a child that has
 * inherited it, and the parent's fsync is to tell all the same.
 */
int pool_open_error(const struct handle *h) MUST_CHECK;

#endif
