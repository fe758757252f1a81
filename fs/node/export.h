/*
 * From an inode number alone, or from a directory, back into the backing tree: what serves file handles of the mount
 * (open_by_handle_at(2), NFS) after the kernel has forgotten a node, and after a restart of the daemon. Layer: node; for
 * node.c only. Immutable after export_init(), so any thread; blocks on the backing.
 *
 * A FUSE file handle is (node id, generation). The id is the backing's inode number, and each of these filesystems leads
 * from that to the file:
 *   ext2, ext3, ext4  a handle whose generation is 0 fits every generation (fs/ext4/namei.c, ext4_nfs_get_inode)
 *   btrfs             the same, within the subvolume of the root (fs/btrfs/export.c, btrfs_get_dentry)
 *   xfs               XFS_IOC_FSBULKSTAT_SINGLE tells the generation (xfsctl(3))
 * Elsewhere a forgotten file's handle is stale. All of it needs CAP_DAC_READ_SEARCH, xfs CAP_SYS_ADMIN too.
 */
#ifndef ZCFS_NODE_EXPORT_H
#define ZCFS_NODE_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

struct export
{
	int root_fd; /* borrowed */
	uint64_t root_dev, root_ino;
	unsigned long magic; /* statfs(2)'s f_type */
	uint64_t subvolume; /* btrfs: of the root */
	bool is_any; /* every file of the filesystem is below the root, or may be handed out all the same */
};

/*
 * root_fd: the backing directory, not O_PATH, borrowed for the struct's life. is_any: files that cannot be shown to be
 * below it may be handed out too (mount option nfs_export). 0 or -errno.
 */
int export_init(struct export *e, int root_fd, bool is_any) MUST_CHECK;

/*
 * An O_PATH descriptor of the file with that inode number on the root's filesystem, the caller's; or -ESTALE: there is
 * none, the filesystem does not lead there, or it may lie outside the root. Of a directory that can be told; a file's
 * parents are unknown, so unless is_any holds, or the root is the filesystem's own, it counts as outside.
 */
int export_open(const struct export *e, uint64_t ino) MUST_CHECK;

/* An O_PATH descriptor of the directory above dir_fd (any descriptor of one), or -ESTALE: it is not below the root. */
int export_parent(const struct export *e, int dir_fd) MUST_CHECK;

#endif
