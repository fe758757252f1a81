/*
 * The inode table. A node is one backing inode that the kernel knows (or the root), found in O(1)
 * by device, inode number and birth time. Layer: node; no libfuse. Names never occur here as
 * paths: a child is found by (descriptor of the parent, one component), a node again by its
 * O_PATH descriptor or its file handle.
 *
 * Owner and lifetime: the table owns every node. node_lookup() and node_from_fd() hand out one
 * lookup count, which the kernel gives back by FORGET (or the op itself, if its reply failed); at
 * zero the node is freed.
 *
 * Locks: the table's mutex, the fd cache's, the ledger table's. No two are held at once, none
 * over a system call or an allocation.
 */
#ifndef ZCFS_NODE_NODE_H
#define ZCFS_NODE_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/lock.h"
#include "data/path_id.h"
#include "node/fdcache.h"
#include "stats/ledger.h"

struct pool_file; /* pool/pool.h, of which nothing here knows more */

struct node {
	/* identity: immutable */
	uint64_t dev;
	uint64_t ino;
	int64_t btime_ns; /* 0: the backing does not tell */
	/* what the kernel calls it, and so a file handle of the mount: immutable once it can be found */
	uint64_t id; /* see node_by_id() */
	uint32_t generation; /* tells files apart that have the same id one after the other */
	mode_t type; /* S_IFMT bits */

	/* guarded by the table's mutex */
	struct node *hash_next;
	uint64_t nlookup;
	bool is_stale; /* its inode number belongs to another file now: not found any more */

	struct fd_slot fd; /* guarded by the fd cache */
	/* set once, by node_ledger(); the node holds a reference */
	_Atomic(struct ledger *) ledger;
	/* set once, by node_adopt_pool_file(); the node holds a reference */
	_Atomic(struct pool_file *) pool_file;
	/* advances with each change that a write has to undo: set-id bits, capabilities; see handle.h */
	_Atomic uint32_t privs_changes;

	/* what the opens of this node may mix: see node/mode.h */
	_Atomic uint32_t opens_cached; /* live opens that may use the kernel's page cache */
	_Atomic uint32_t opens_direct; /* live opens with FOPEN_DIRECT_IO */
	_Atomic bool is_mapped_direct; /* a mapping of such an open filled the kernel's page cache; never taken back */
	_Atomic int path_wanted; /* enum path_id set through user.zcfs.path, or -1 */
	_Atomic int path_rule; /* enum path_id by the mount's rules, or -1 if not worked out */
	/* of the content the kernel's page cache holds; 0: none known */
	_Atomic uint64_t cached_identity;
	_Atomic uint64_t told; /* a hash of the mtime and size that the kernel was told last; 0: none */
	_Atomic int64_t shaken_until_ns; /* CLOCK_MONOTONIC_COARSE */
	/* packed: flags, path and reason of the last open, for io_mode (node/mode.c) */
	_Atomic uint64_t last_mode;
};

struct node_table;

struct node_limits {
	size_t fd_budget; /* how many O_PATH descriptors the nodes may hold; >= 1 */
	bool is_one_mount; /* what is mounted below the root is refused: -EXDEV */
	bool is_export_any; /* see node/export.h */
};

/*
 * root_fd: the backing directory, opened O_RDONLY|O_DIRECTORY, borrowed for the table's life;
 * ledgers: borrowed too. *root gets the root node. 0 or -errno. To be called in the process that
 * serves (after fork), for it opens /proc/self/fd.
 */
int node_table_new(int root_fd, struct ledger_table *ledgers, const struct node_limits *limits,
		   struct node_table **out, struct node **root) MUST_CHECK;
/* Frees the table and every node left in it: its last use by any thread. NULL is nothing. */
void node_table_free(struct node_table *t);

/*
 * What ends a node's hold on its pool file, when the node is freed; is_deleted: with the file gone, so that nobody can read it any
 * more. To be set before there is any.
 */
void node_table_on_pool_file(struct node_table *t, void (*end)(struct pool_file *f, bool is_deleted));
/* Ends it for all nodes, before the pool is freed. No other thread uses the table any more. */
void node_table_end_pool_files(struct node_table *t);

/*
 * Finds `name` (one component; "", ".", ".." and anything with a slash is -EINVAL, over 255 bytes
 * -ENAMETOOLONG) in the directory `parent`, not following a symlink. *out has one more lookup
 * count, *stx its attributes (STATX_BASIC_STATS | STATX_BTIME). 0 or the backing's -errno (-EXDEV:
 * is_one_mount). Blocks on the backing.
 */
int node_lookup(struct node_table *t, struct node *parent, const char *name, struct node **out,
		struct statx *stx) MUST_CHECK;

/*
 * The same for a file at hand: fd is any descriptor of it (O_PATH or not) and stays the caller's.
 * For O_TMPFILE and CREATE, where a lookup by name could find another file.
 */
int node_from_fd(struct node_table *t, int fd, struct node **out, struct statx *stx) MUST_CHECK;

/*
 * The node of an id the kernel holds a lookup count on; NULL if there is none. An id is
 *	1			the root
 *	the inode number	of a file on the root's device: the same after a restart, so that
 *				file handles of the mount outlive nodes and daemons
 *	NODE_ID_ADDRESS | address	of all others, and while an older file's node has that number
 */
#define NODE_ID_ROOT    1
#define NODE_ID_ADDRESS (1ULL << 63)
struct node *node_by_id(struct node_table *t, uint64_t id);

/*
 * The file of an id that the kernel remembers but may hold no lookup count on (a file handle, from
 * before a FORGET or another daemon). *out has one more lookup count. 0, or -ESTALE: see
 * export_open(). Blocks on the backing.
 */
int node_revive(struct node_table *t, uint64_t id, struct node **out, struct statx *stx) MUST_CHECK;

/* The directory above dir, as node_lookup(); -ESTALE for the root, and where it is not below it. */
int node_parent(struct node_table *t, struct node *dir, struct node **out, struct statx *stx) MUST_CHECK;

/*
 * Gives back n lookup counts; at zero the node is freed, its ledger kept (or retired if the file is
 * deleted). The root stays whatever the count.
 */
void node_forget(struct node_table *t, struct node *n, uint64_t nlookup);

/*
 * BEFORE an unlink, rmdir or rename that may take the file's last name: from now on the node
 * keeps its descriptor open, as the file may live on only through it, and its forget looks
 * whether the file is deleted. 0 or -errno as node_fd_get(). Each success needs one
 * node_settle_unlinked() after the operation, whether that succeeded or not.
 */
int node_mark_unlinked(struct node_table *t, struct node *n) MUST_CHECK;

/*
 * AFTER it: takes the mark back if the file still has a name (the operation failed, or there is
 * another hard link), else leaves it for good. Also after linkat() gave a name to a file that had
 * none (O_TMPFILE), and only then: nodes that node_from_fd() meets with st_nlink 0 are marked
 * from the start. One statx().
 */
void node_settle_unlinked(struct node_table *t, struct node *n);

/*
 * Borrows an O_PATH (or better) descriptor of the node: opened again by file handle if the cache
 * had dropped it. >= 0, or -errno (-ESTALE: the file is gone; -EMFILE: out of descriptors). Pair
 * with node_fd_put(); until then it stays open.
 */
int node_fd_get(struct node_table *t, struct node *n) MUST_CHECK;
void node_fd_put(struct node_table *t, struct node *n);

/*
 * A real descriptor of the node's file, opened with `flags` as node_reopen() does. >= 0, the
 * caller's, or -errno: -ELOOP for a symlink, -ENXIO for a device, fifo or socket, which the
 * daemon never opens for anyone (with O_PATH all of these are fine).
 */
int node_open(struct node_table *t, struct node *n, int flags) MUST_CHECK;

/*
 * Opens the file behind fd (any descriptor, O_PATH or not, also of an unlinked file) again with
 * `flags`; O_CREAT, O_EXCL and O_NOFOLLOW are masked out, O_CLOEXEC and O_NOCTTY added.
 * Permissions are checked anew. When descriptors run out it drops some nodes' and tries once
 * more. >= 0, the caller's, or -errno.
 */
int node_reopen(struct node_table *t, int fd, int flags) MUST_CHECK;

/*
 * /proc/self/fd (O_PATH): "<fd>" relative to it names the file behind fd, for calls that take no
 * O_PATH descriptor (chmod, xattr, link with AT_SYMLINK_FOLLOW). Borrowed for the table's life.
 */
int node_proc_fd(const struct node_table *t);

/* Attributes by the node's descriptor, STATX_BASIC_STATS | STATX_BTIME. 0 or -errno. */
int node_statx(struct node_table *t, struct node *n, struct statx *stx) MUST_CHECK;

/* The node's ledger, made at first use; NULL when memory is short (then nothing is counted). */
struct ledger *node_ledger(struct node_table *t, struct node *n);

/* The node's ledger if its file has one already, else NULL: for who only looks. */
struct ledger *node_ledger_find(struct node_table *t, struct node *n);

/* The ledger the node holds by now, or NULL; one atomic load. */
static inline struct ledger *node_ledger_peek(struct node *n)
{
	return atomic_load_explicit(&n->ledger, memory_order_acquire);
}

/* The node's pool file, or NULL; one atomic load. Valid as long as the node. */
static inline struct pool_file *node_pool_file(struct node *n)
{
	return atomic_load_explicit(&n->pool_file, memory_order_acquire);
}

/* Hands the node a reference of its pool file. False: it has one already, and the reference stays the caller's. */
bool node_adopt_pool_file(struct node *n, struct pool_file *f) MUST_CHECK;

/* AFTER the mode, owner or an attribute of the node's file was changed: a write may have to take something away again. */
static inline void node_note_privs(struct node *n)
{
	atomic_fetch_add_explicit(&n->privs_changes, 1, memory_order_seq_cst);
}

/* How many nodes there are, how many O_PATH descriptors they hold. */
void node_table_size(struct node_table *t, size_t *nodes, size_t *fds);

/*
 * File handles work on the backing (open_by_handle_at permitted): descriptors can be dropped and
 * reopened.
 */
bool node_table_has_handles(const struct node_table *t);

/*
 * Closes up to `want` descriptors of nodes, for a caller that got EMFILE; how many. Without file
 * handles it cannot close any and returns 0. The functions here do so by themselves.
 */
size_t node_table_shrink(struct node_table *t, size_t want);

#endif
