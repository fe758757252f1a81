/*
 * What an open may be: which path it takes, whether the kernel's page cache is used and kept, and what user.zcfs.io_mode
 * says of it. One place decides. Layer: node; no libfuse. Thread-safe, lock-free.
 *
 * Rules (the kernel facts behind them are in fs/README.md):
 *  1. O_DIRECT opens, path=direct, path=pool and cache=none get FOPEN_DIRECT_IO: no page of the kernel's FUSE cache is involved.
 *  2. Other opens are cached. What an earlier open left in the cache is kept only while the file's mtime, ctime and size are
 *     those of the moment that cache began.
 *  3. While a node has cached opens, or was mapped through an open without, a write past the cache invalidates the kernel's pages before it is answered
 *     (ops/notify.h), since the kernel does not do so after an asynchronous direct write.
 *  4. A write through the cache: the kernel fills the page, unlocks it, and then asks for the write. If it drops the page in between,
 *     a reader brings the old bytes back, and they would stay. So for SHAKEN_NS after it may have dropped pages of a node that has
 *     cached opens, such writes invalidate theirs as well. It drops pages when attributes it is told have another mtime or size,
 *     at an open that does not keep the cache, and when it is asked to.
 */
#ifndef ZCFS_NODE_MODE_H
#define ZCFS_NODE_MODE_H

#include <stdbool.h>
#include <stddef.h>

#include "node/handle.h"
#include "options.h"

/* Why an open does not take the mount's path=. */
enum mode_reason { MODE_AS_MOUNTED, MODE_BY_RULE, MODE_BY_XATTR, MODE_NO_DIO, MODE_NO_POOL };

struct open_mode {
	enum path_id path; /* for the handle */
	bool is_cached; /* false: FOPEN_DIRECT_IO */
	bool keep_cache; /* FOPEN_KEEP_CACHE; filled by mode_opened() */
	enum mode_reason reason;
};

/* Decides for an open of `node` with the program's `open_flags`. */
struct open_mode mode_decide(const struct options *opt, const struct node *node, int open_flags);

/*
 * Books the open in the node. stx: attributes taken after the backing open (NULL: unknown, the cache is not
 * kept). Sets m->keep_cache. Pair with mode_closed().
 */
void mode_opened(struct node *node, const struct handle *h, const struct statx *stx,
		 struct open_mode *m);
void mode_closed(struct node *node, const struct handle *h);

/*
 * A mapping of an open with FOPEN_DIRECT_IO is about to bring a page into the kernel's cache. To be called before the page is
 * read from the backing: a write that does not find the node marked was then carried out before that.
 */
void mode_mapped(struct node *node);

/*
 * Of the content that a file with these attributes has: a hash of mtime, ctime and size, or 0 while the times are too young to tell
 * two changes apart.
 */
uint64_t mode_identity(const struct statx *stx);

/* The later of the file's mtime and ctime, CLOCK_REALTIME; what does not fit wraps around. */
int64_t mode_changed_ns(const struct statx *stx);

/* The kernel is about to be told these attributes. */
void mode_told(struct node *node, const struct statx *stx);
/* The kernel is about to drop pages of the node for another reason. */
void mode_shake(struct node *node);
/* Whether rule 4 holds now. */
bool mode_is_shaken(const struct node *node);

/* Whether a write past the kernel's page cache must invalidate it: some open of the node, or a mapping, uses it. */
bool mode_has_cached_opens(const struct node *node);

/* user.zcfs.io_mode: one line about the live opens and the last one. Writes at most len_bytes, always ends in NUL. */
void mode_describe(const struct node *node, char *buf, size_t len_bytes);

#endif
