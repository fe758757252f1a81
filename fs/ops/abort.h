/*
 * Ends a connection with the kernel by force: who waits for an answer gets ECONNABORTED, whoever serves it ENODEV. Layer: ops.
 *
 * For the session's end only. Closing /dev/fuse does the same, but not while one of our own threads waits in the kernel for a
 * page that is being read: its write(2) keeps the device open, and killing the daemon would not end that either.
 */
#ifndef ZCFS_OPS_ABORT_H
#define ZCFS_OPS_ABORT_H

#include <sys/types.h>

#include "base/auto.h"

/*
 * dev: st_dev of the mount, which must not be gone, or the number may be another's. Needs fusectl mounted, and to be who mounted;
 * or CAP_SYS_ADMIN. 0 or -errno.
 */
int abort_connection(dev_t dev) MUST_CHECK;

#endif
