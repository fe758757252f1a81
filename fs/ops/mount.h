/*
 * Mounting and unmounting. Layer: ops. Main thread only.
 */
#ifndef ZCFS_OPS_MOUNT_H
#define ZCFS_OPS_MOUNT_H

#include <fuse_lowlevel.h>
#include <stddef.h>

#include "base/auto.h"
#include "fs.h"

/*
 * Mounts: `backing` is the name that /proc/mounts shows as the source, mountpoint an absolute path. *out is mounted, its requests not
 * yet served. 0, or -errno with one line in err.
 */
int mount_attach(struct fs *fs, const char *backing, const char *mountpoint,
		 struct fuse_session **out, char *err, size_t err_bytes) MUST_CHECK;

/* Waits until the mount answers (*dev is its device then) and raises its read-ahead to opt.readahead_bytes where permitted. 0 or -errno. */
int mount_settle(struct fs *fs, const char *mountpoint, dev_t *dev) MUST_CHECK;

/*
 * Takes the mount away while it is still being served: everything dirty is written through first. If programs hold it busy it
 * is detached, so that no new one enters. Then the session can be stopped. Blocks.
 * Another mount that is found there instead (dev, from mount_settle(); 0 if that failed) is left alone.
 */
void mount_detach(const char *mountpoint, dev_t dev);

/* Takes a mount away that nobody serves; programs with files open there keep getting ENOTCONN. 0 or -errno. */
int mount_drop_dead(const char *mountpoint) MUST_CHECK;

#endif
