/*
 * user.zcfs.xxh3: the XXH3-128 of a regular file's content as it is read through the mount. Answered by name only, never listed:
 * whoever lists attributes does not ask for whole files to be read. Layer: ops.
 *
 * Who may ask: whoever may read the file. The kernel checks read permission for user.* attributes as it does for the content
 * (xattr_permission() in fs/xattr.c ends in inode_permission(MAY_READ), with default_permissions by mode and ACL), so the hash
 * tells nobody anything that reading would not.
 *
 * What it is of: the bytes at the time each was read, 1 MiB after the other; of a file that changes meanwhile some mixture. What a
 * program has stored into a mapping and not yet synced is not in it.
 *
 * It takes as long as reading the file does, holes included, and a worker for as long. No lock is held, and no more than half of
 * the workers do this at a time; those left serve everybody else, of which with threads=1 there are none. A program that is killed
 * goes within two seconds (ops/watch.h), the worker with the next piece.
 */
#ifndef ZCFS_OPS_CONTENT_HASH_H
#define ZCFS_OPS_CONTENT_HASH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/auto.h"
#include "fs.h"

bool content_hash_is(const char *name);

/*
 * 32 hexadecimal digits, the canonical form, as `xxhsum -H2` prints it: malloc'd into *out. Its length, which is all the caller gets
 * if is_length_wanted: then nothing is read. Or -ENODATA (no regular file), -EAGAIN (too many at once), -EINTR (nobody waits for
 * it any more), -ENOMEM, or what reading failed with.
 */
ssize_t content_hash_get(struct fs *fs, struct node *n, bool is_length_wanted, char **out) MUST_CHECK;

#endif
