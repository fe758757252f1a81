/*
 * The buffer pool's part of user.zcfs.* (wire.h): its state as JSON on the mount's root, and what is done to it by setting a value.
 * Called by xattr_own.c, which has checked that the name is ours. Layer: ops; no libfuse.
 */
#ifndef ZCFS_OPS_XATTR_POOL_H
#define ZCFS_OPS_XATTR_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"
#include "fs.h"

/* Whether `name` is one of the pool's. */
bool xattr_pool_is(const char *name);

/*
 * The value as text, malloc'd into *out. 0, -ENODATA (n has none of that name, or the mount has no pool) or -ENOMEM.
 *
 * user.zcfs.pool is an object on one line with a newline behind it; keys may be added, never changed:
 *
 *	policy, write ("through", "back"), verify		as mounted
 *	page_bytes, size_bytes, bytes_huge			of the arena; bytes_huge: of it in huge pages
 *	frames							= frames_free + frames_clean + frames_dirty + frames_busy
 *	frames_pinned						of the clean and the dirty ones
 *	files, shards						files with pages or opens; parts of the table
 *	hits, misses, hit_ratio					of pages, as in the mount's ledger: since the mount or its reset
 *	evictions, verify_failures				pages since the mount
 *	flush_ops, flush_bytes, flush_errors, throttled_ops	writes of dirty pages; writes that went through as too much was dirty
 *	oldest_dirty_ms						0: nothing is dirty
 *	readahead_bytes, readahead_wasted_bytes, readahead_queued	queued: windows waiting now
 *	lists							[{"name", "count"}, ...]: the policy's
 */
int xattr_pool_get(struct fs *fs, struct node *n, const char *name, char **out) MUST_CHECK;

/* Whether `name` can be set on n. */
bool xattr_pool_is_writable(const struct fs *fs, const struct node *n, const char *name);

/*
 * Does what setting `name`, which is writable on n, stands for. 0 or -errno: the pool's, -EINVAL for a size that is none. Blocks
 * on the backing.
 */
int xattr_pool_set(struct fs *fs, struct node *n, const char *name, const char *value,
		   size_t value_bytes) MUST_CHECK;

#endif
