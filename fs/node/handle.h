/*
 * An open file: from OPEN or CREATE to RELEASE. Owned by the kernel's fh; the node outlives it.
 * Holds up to two backing descriptors: one buffered, one O_DIRECT, each opened when first needed,
 * because a program may switch O_DIRECT with fcntl(F_SETFL) and because the kernel's write-back
 * of mmap pages may go through any handle. Both have the program's access mode, O_SYNC, O_DSYNC
 * and O_NOATIME, nothing else: no O_APPEND (the offset in each request rules, an append is done
 * per request with RWF_APPEND), no O_NONBLOCK; O_TRUNC at the first open only. Layer: node; no
 * libfuse. All functions thread-safe.
 */
#ifndef ZCFS_NODE_HANDLE_H
#define ZCFS_NODE_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "data/path_id.h"
#include "node/node.h"
#include "node/opens.h"

/* next_read_off of a handle that has not read yet: no request starts there. */
#define HANDLE_OFF_NONE UINT64_MAX

struct pool_open;

struct handle {
	struct open_link link; /* in struct fs's opens, by ops/ */
	struct node *node; /* borrowed: the kernel holds a lookup count while the file is open */
	struct node_table *nodes; /* borrowed */
	int open_flags; /* as the program asked, with O_DIRECT as it was at open; immutable */
	enum path_id path; /* chosen at open (node/mode.h), by the caller; then immutable */
	/* opened without FOPEN_DIRECT_IO: buffered requests pass the kernel's page cache */
	bool is_cached;
	_Atomic int fd_buffered; /* -1 until needed */
	_Atomic int fd_direct; /* -1 until needed; opened O_DIRECT */
	_Atomic uint64_t next_read_off; /* end of the last read, for R.sequential_ops */
	_Atomic uint64_t next_write_off;
	struct pool_open *pool; /* of opens by path pool, data/pool_open.h's; else NULL; immutable after the open */
	_Atomic uint32_t errors_seen; /* which of the pool's write-back errors this open has been told */
};

/*
 * Opens node's file with the program's flags. With is_direct_first the O_DIRECT descriptor is
 * opened (so that a backing without O_DIRECT refuses, EINVAL), otherwise the buffered one. *out
 * on success; -errno otherwise, as node_open().
 */
int handle_open(struct node_table *nodes, struct node *node, int open_flags, bool is_direct_first,
		struct handle **out) MUST_CHECK;

/*
 * Wraps a descriptor that O_CREAT or O_TMPFILE just opened (taken; O_DIRECT in it if is_direct,
 * O_APPEND not). NULL: out of memory, fd closed.
 */
struct handle *handle_adopt(struct node_table *nodes, struct node *node, int open_flags, int fd,
			    bool is_direct) MUST_CHECK;

/*
 * The buffered or the O_DIRECT descriptor, opened now if this is its first use. Borrowed for the
 * handle's life. >= 0 or -errno: -EINVAL where the backing has no O_DIRECT; the second descriptor
 * is checked like an open of its own, so a daemon that is not root may get -EACCES on a file
 * whose mode changed.
 */
int handle_fd(struct handle *h, bool is_direct) MUST_CHECK;

/* Whichever descriptor is open already (for fstat, fsync, fallocate, lseek, ...). Never fails. */
int handle_any_fd(const struct handle *h);

/* Closes both and frees h: the last use of it. 0 or the first -errno of close(). */
int handle_close(struct handle *h);

#endif
