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
/* On the mount's root, where the mount has a buffer pool (ops/xattr_pool.h) */
#define ZCFS_XATTR_POOL "user.zcfs.pool" /* its state as one JSON object */
/* writable, any value: writes the file's dirty pages, on the root everyone's; and then drops the pages */
#define ZCFS_XATTR_POOL_FLUSH "user.zcfs.pool.flush"
#define ZCFS_XATTR_POOL_DROP  "user.zcfs.pool.drop"
/* writable on the root, a size in bytes (or as 512M); reading tells the present one */
#define ZCFS_XATTR_POOL_RESIZE "user.zcfs.pool.resize"
/* By name only, never listed: the XXH3-128 of the file's content (ops/content_hash.h) */
#define ZCFS_XATTR_XXH3 "user.zcfs.xxh3"
/* On the mount's root, and on files that have a sample; never listed: the miss-ratio curve as one JSON object (pool/mrc.h) */
#define ZCFS_XATTR_MRC "user.zcfs.mrc"

/* The type a mount shows in /proc/mounts. */
#define ZCFS_FSTYPE "fuse.zcfs"

#endif
