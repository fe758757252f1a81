/*
 * The inside of the inode table, for node.c and node_open.c only. Layer: node.
 */
#ifndef ZCFS_NODE_NODE_TABLE_H
#define ZCFS_NODE_NODE_TABLE_H

#include "node/export.h"
#include "node/node.h"
#include "node/node_hash.h"

#define NODE_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

struct node_table {
	struct node_hash hash;
	/* the rest is immutable after node_table_new() */
	struct fdcache *fds;
	struct ledger_table *ledgers; /* borrowed */
	struct node *root;
	int proc_fd;
	uint64_t mount_id; /* of the backing directory: STATX_MNT_ID, or its device */
	bool is_one_mount;
	struct export export;
	void (*end_pool_file)(struct pool_file *f, bool is_deleted); /* set before the first */
};

/* statx(NODE_STATX_MASK) of any descriptor. 0 or -errno. */
int node_fd_statx(int fd, struct statx *stx) MUST_CHECK;

/* err says that descriptors ran out, and some have been closed: worth another try. */
bool node_table_relieve(struct node_table *t, int err) MUST_CHECK;

#endif
