/*
 * The extended attributes that are zcfs's own, user.zcfs.* (wire.h): a file's ledger, or on the
 * root the mount's, the path of its next open, and the buffer pool (xattr_pool.h). They exist on regular files and directories;
 * none is ever stored in the backing directory. Layer: ops.
 */
#ifndef ZCFS_OPS_XATTR_OWN_H
#define ZCFS_OPS_XATTR_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/auto.h"
#include "fs.h"

/* Whether `name` is one of ours, known or not: never the backing's business. */
bool xattr_own_is(const char *name);

/*
 * The value of `name` (which is ours) as text without NUL: malloc'd into *out. Its length, -ENODATA
 * or -ENOMEM.
 */
ssize_t xattr_own_get(struct fs *fs, struct node *n, const char *name, char **out) MUST_CHECK;

/*
 * Sets `name` (which is ours) for a caller with this uid. flags: XATTR_CREATE, XATTR_REPLACE. 0, or
 * -EOPNOTSUPP (not writable), -EPERM (neither root nor the file's owner), -EINVAL (no such path or size),
 * -EEXIST (XATTR_CREATE), or what the buffer pool failed with.
 */
int xattr_own_set(struct fs *fs, struct node *n, uid_t uid, const char *name, const char *value,
		  size_t value_bytes, int flags) MUST_CHECK;

/*
 * The names that listxattr() shows on n, each ended by NUL; static memory. *len_bytes is 0 where it
 * shows none.
 */
const char *xattr_own_names(struct fs *fs, const struct node *n, size_t *len_bytes);

#endif
