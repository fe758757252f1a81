/*
 * The extended attributes a zcfs mount answers: the contract with `zcfs` and with getfattr. The counters'
 * names follow from stats/counters.def: ZCFS_XATTR_PREFIX + the row's name.
 */
#ifndef ZCFS_WIRE_H
#define ZCFS_WIRE_H

#define ZCFS_XATTR_PREFIX "user.zcfs."
#define ZCFS_XATTR_STATS  "user.zcfs.stats" /* the ledger as text */
#define ZCFS_XATTR_JSON   "user.zcfs.stats.json" /* the ledger as one JSON object */
#define ZCFS_XATTR_PATH   "user.zcfs.path" /* path of the next open; writable */
#define ZCFS_XATTR_MODE   "user.zcfs.io_mode" /* what the live opens asked for and got, and why */
#define ZCFS_XATTR_RESET \
	"user.zcfs.reset" /* writable: zero this file's counters, on the root everyone's */

/* The type a mount shows in /proc/mounts. */
#define ZCFS_FSTYPE "fuse.zcfs"

#endif
