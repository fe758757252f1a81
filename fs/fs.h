/*
 * The mount's context, made by main.c, handed down to everything; there are no mutable globals. Layer: below ops/,
 * above node/, data/ and stats/; no libfuse.
 */
#ifndef ZCFS_FS_H
#define ZCFS_FS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "node/node.h"
#include "node/opens.h"
#include "options.h"
#include "pool/ghost.h"
#include "pool/mrc.h"
#include "pool/pool.h"
#include "stats/ledger.h"

struct session; /* ops/session.h: the request loop */
struct watch; /* ops/watch.h: relief from a backing that hangs */
struct notifier; /* ops/notify.h: cache invalidation outside the workers */

struct fs {
	struct options opt; /* immutable after start */
	int root_fd; /* BACKING, O_RDONLY|O_DIRECTORY; held for the mount's life, also when covered by the mount */
	struct ledger_table *ledgers;
	struct node_table *nodes;
	struct node *root; /* node id 1 */
	struct pool *pool; /* NULL: there was no address space for it, and no option named it */
	struct mrc *mrc; /* the miss-ratio curves, whatever the data path */
	struct ghost *ghost; /* NULL: no pool_ghosts=, or no pool */
	int claim_fd; /* BACKING, locked: see fs_claim(); -1: not */
	struct opens opens; /* what the kernel has not released */
	struct session *session; /* set before the first request */
	struct notifier *notifier;
	struct watch *watch; /* set before the first request */
	dev_t dev; /* of the mount; 0 until it has answered. Main thread */
	bool is_privileged; /* acts as the caller (root), rather than as the one user who mounted */
	bool has_close_errors; /* the backing may keep an error for close (network filesystems) */
	bool is_flush_needed; /* FLUSH is served: for these, or for the pool's errors of write-back */
	_Atomic unsigned hashing; /* how many user.zcfs.xxh3 are being computed (ops/content_hash.c) */
	uint64_t max_io_bytes; /* largest READ and WRITE: opt.max_io_bytes, less where pipes cannot grow */
	/* what the kernel offered at INIT; written before any other request is served */
	bool has_direct_mmap; /* FUSE_DIRECT_IO_ALLOW_MMAP: FOPEN_DIRECT_IO files can be mapped shared */
	bool has_killpriv; /* FUSE_HANDLE_KILLPRIV_V2: the kernel leaves clearing set-id bits to us */
};

/*
 * In the process that serves, before anything else: a mount that writes back is alone on its directory, as two would not know each
 * other's dirty pages, and the one before may still be writing its own when its umount(2) has returned. So each takes a lock on the
 * directory (flock(2), shared but for pool_write=back) for its life, waiting for one that is unmounted already. 0, or -EBUSY with a line in err.
 */
int fs_claim(struct fs *fs, const char *backing, char *err, size_t err_bytes) MUST_CHECK;

/*
 * In the process that serves, with fs->opt and fs->root_fd set: ledgers, nodes, pool. fd_budget: node_limits. 0 or -errno; either way
 * fs_close() is due.
 */
int fs_open(struct fs *fs, size_t fd_budget) MUST_CHECK;
/* Starts the pool's threads; after rights were dropped. */
void fs_start(struct fs *fs);
/* After the last worker has ended: closes what is open, writes what the pool holds, frees all. */
void fs_close(struct fs *fs);

#endif
