/*
 * /proc/self/mountinfo: which mount a path stands on. Nothing here asks the mounted filesystem anything, so it
 * answers for a mount whose daemon is dead or hangs.
 */
#ifndef ZCFS_MOUNTS_H
#define ZCFS_MOUNTS_H

#include <limits.h>
#include <stdbool.h>

#include "base/auto.h"

/* One line of mountinfo, escapes undone. */
struct mount_entry {
	int id;
	unsigned major, minor; /* st_dev; for FUSE the minor is the connection's number */
	char fstype[64];
	char mountpoint[PATH_MAX];
};

/*
 * The mount that `path` lies on, into *out, and the path made absolute, without symbolic links, into canonical
 * (both filled on success only). 0, or -errno of open(2). path is the mount's own root if canonical equals out->mountpoint.
 */
int mounts_of_path(const char *path, struct mount_entry *out, char canonical[PATH_MAX]) MUST_CHECK;

/* Whether that mount is still there (an id can be taken again, at once, by another mount). */
bool mounts_has(const struct mount_entry *entry);

#endif
