/*
 * What can be known to be wrong before anything is changed. Layer: beside main.c. Each check returns 0, or -errno with one line
 * in err: what, why, what to do.
 */
#ifndef ZCFS_PREFLIGHT_H
#define ZCFS_PREFLIGHT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"
#include "options.h"

/* Whether a zcfs mount whose daemon has died is at MOUNTPOINT; resolved: its absolute path then. */
bool preflight_is_dead(const char *mountpoint, char resolved[PATH_MAX]);

/* Opens BACKING for the life of the mount: *fd; resolved: its absolute path. */
int preflight_backing(const char *backing, int *fd, char resolved[PATH_MAX], char *err,
		      size_t err_bytes) MUST_CHECK;

/* Resolves MOUNTPOINT to an absolute path; it must be a directory, not inside BACKING (backing_fd), not a zcfs mount already. */
int preflight_mountpoint(const char *mountpoint, int backing_fd, char resolved[PATH_MAX], char *err,
			 size_t err_bytes) MUST_CHECK;

/* What is asked of the buffer pool can be had on this machine. */
int preflight_pool(const struct options *opt, char *err, size_t err_bytes) MUST_CHECK;

/* /dev/fuse and, for who is not root, fusermount3 and what it asks of the options. */
int preflight_fuse(const struct options *opt, char *err, size_t err_bytes) MUST_CHECK;

#endif
