/*
 * The O_PATH descriptors of nodes, at most `budget` of them where the backing has file handles
 * (name_to_handle_at and open_by_handle_at, CAP_DAC_READ_SEARCH). Beyond it the least recently
 * used one that nobody has borrowed is closed, after its file handle has been taken; the next use
 * opens it again. A file whose last link may go keeps its descriptor (fdcache_keep), since a
 * handle would not keep the inode alive. Kept descriptors and those of other mounts count against
 * the budget, but an eighth of it is always left to the others.
 *
 * A slot's handle is taken at eviction, not at lookup: most nodes are forgotten before. The order
 * is second chance (clock; Corbato, "A Paging Experiment with the Multics System", 1968). Layer:
 * node.
 *
 * Thread-safe; the mutex is a leaf and never held over a system call or an allocation. A slot's
 * owner must see to it that no call on the slot runs at the same time as its fdcache_drop();
 * eviction by other threads may.
 */
#ifndef ZCFS_NODE_FDCACHE_H
#define ZCFS_NODE_FDCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct file_handle; /* fcntl.h */
struct fd_eviction; /* a thread that is about to close a slot's descriptor */

/* One node's descriptor; embedded in struct node; all fields guarded by the cache's mutex. */
struct fd_slot {
	int fd; /* -1: not open now; then handle is set */
	uint32_t pins; /* borrowers; > 0: must not be closed */
	uint32_t keeps; /* fdcache_keep() less fdcache_unkeep(); > 0: not in the ring */
	bool is_referenced; /* second chance */
	bool is_evictable; /* false: no handle to be had for it (other mount, or refused) */
	struct file_handle *handle; /* heap; set when it was evicted once */
	struct fd_eviction *eviction; /* on the evicting thread's stack; NULL: nobody evicts it */
	struct fd_slot *prev, *next; /* the ring of open slots that may be evicted; else NULL */
};

struct fdcache;

/*
 * mount_fd: a descriptor on the backing filesystem, not O_PATH, borrowed for the cache's life.
 * budget >= 1. Finds out by trying whether file handles work there. NULL: out of memory.
 */
struct fdcache *fdcache_new(int mount_fd, size_t budget);
/* Every slot has been dropped before. NULL is nothing. */
void fdcache_free(struct fdcache *c);

/*
 * Fills a new slot (any memory) with fd, which is taken. has_same_mount: fd is on mount_fd's
 * mount, so that its handle can be opened there. is_kept: as if fdcache_keep() had been called (a
 * file without a name). May close others.
 */
void fdcache_adopt(struct fdcache *c, struct fd_slot *s, int fd, bool has_same_mount, bool is_kept);

/*
 * Offers another descriptor of the same file, on mount_fd's mount, that happens to be at hand;
 * counts as a use. Returns -1 if the slot took it because its own was closed, else fd: still the
 * caller's. The slot's old handle is dropped with it, for the file may have been replaced
 * underneath since.
 */
int fdcache_offer(struct fdcache *c, struct fd_slot *s, int fd) MUST_CHECK;

/* Borrows: a descriptor that stays open until fdcache_put(), or -errno (see node_fd_get()). */
int fdcache_get(struct fdcache *c, struct fd_slot *s) MUST_CHECK;
void fdcache_put(struct fdcache *c, struct fd_slot *s);

/*
 * From now on eviction does not close the slot's descriptor, because its file may lose its last
 * name: called BEFORE the unlink. If it is closed already it is opened now. Counts: each call
 * needs an fdcache_unkeep(), or fdcache_drop(). 0, or -errno as fdcache_get(), and then nothing
 * is kept.
 */
int fdcache_keep(struct fdcache *c, struct fd_slot *s) MUST_CHECK;
/* Takes one fdcache_keep() back; nothing happens if there is none. */
void fdcache_unkeep(struct fdcache *c, struct fd_slot *s);
/* The descriptor of a kept slot, valid while it is kept; -1 if it is not kept. */
int fdcache_kept_fd(struct fdcache *c, const struct fd_slot *s);

/*
 * Closes and forgets the slot's descriptor and handle: the node is going away. Nobody borrows it.
 */
void fdcache_drop(struct fdcache *c, struct fd_slot *s);

/* Closes up to `want` unborrowed descriptors, whatever the budget; how many. */
size_t fdcache_shrink(struct fdcache *c, size_t want);

/* Descriptors that slots hold now. */
size_t fdcache_open_count(struct fdcache *c);
/* File handles work on mount_fd; without them nothing is ever closed but by fdcache_drop(). */
bool fdcache_has_handles(const struct fdcache *c);

#endif
