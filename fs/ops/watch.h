/*
 * Lets killed programs go. The kernel waits out a request that the daemon has taken, even for a program that has been killed:
 * with a backing that hangs (a dead disk, a network filesystem without its server) nothing of it would ever end. A thread
 * looks once a second for requests that have been in service since it looked last, and answers EINTR to those whose program
 * has a SIGKILL pending, or is on its way out and closing its files. What the worker answers later finds nobody. Layer: ops.
 *
 * Only requests that change nothing are answered so (may_answer() in watch.c). A program that is gone must not write: whoever starts
 * the next one relies on it, as on a disk. A WRITE that has been carried out and only waits for the kernel's pages (ops/notify.h)
 * is answered too, as what it is.
 *
 * INTERRUPT is not used: it comes for any signal, while a program that goes on must not see EINTR from a regular file;
 * it comes once, before the kill or with it; and nobody reads it when all workers hang.
 *
 * A request so answered is an orphan until its worker is back. The kernel may forget its node and release its file, which the
 * worker still uses, so that waits for the orphan: watch_after_orphans().
 */
#ifndef ZCFS_OPS_WATCH_H
#define ZCFS_OPS_WATCH_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct fs;
struct fuse_in_header; /* linux/fuse.h */
struct notifier;
struct watch;

/* What a worker has in service; written by it alone, read by the watching thread. A cache line of its own. */
struct watch_slot {
	alignas(64) _Atomic uint64_t unique; /* 0: nothing; WATCH_ORPHAN is added when it has been answered */
	_Atomic uint64_t nodeid;
	_Atomic uint32_t pid; /* of the calling thread; 0: none, or it may not be answered */
	_Atomic uint32_t opcode;
	uint64_t seen; /* the watching thread's: what it met last time */
};
#define WATCH_ORPHAN (1ULL << 63)

/* For up to n_slots workers; answers go to dev_fd, borrowed like the notifier. Starts the thread. 0 or -errno. */
int watch_new(int dev_fd, struct notifier *notifier, size_t n_slots, struct watch **out) MUST_CHECK;
/* Ends the thread and frees all. No worker is left. NULL is nothing. */
void watch_free(struct watch *w);

/* The i-th worker's slot, 0 <= i < n_slots; valid until watch_free(). */
struct watch_slot *watch_slot(struct watch *w, size_t i);

/* By the worker, around a request; in: its header, with the rest behind it. */
void watch_begin(struct watch *w, struct watch_slot *slot, const struct fuse_in_header *in);
/* An orphan's end: carries out what waited for it. */
void watch_end_orphan(struct watch *w);
static inline void watch_end(struct watch *w, struct watch_slot *slot)
{
	if (atomic_exchange_explicit(&slot->unique, 0, memory_order_acq_rel) & WATCH_ORPHAN)
		watch_end_orphan(w);
}

/* By the worker, during a request: whether it has been answered already. */
static inline bool watch_is_orphan(const struct watch_slot *slot)
{
	return atomic_load_explicit(&slot->unique, memory_order_relaxed) & WATCH_ORPHAN;
}

/*
 * Carries out act(fs, what, count), which ends something of the node `nodeid`, now; or, while an orphan has that node, when the
 * last of them has ended, by any worker, or by watch_free(), in order. Without memory to note it, it is never done: leaked
 * rather than used after its end.
 */
typedef void (*watch_act)(struct fs *fs, uint64_t what, uint64_t count);
void watch_after_orphans(struct watch *w, struct fs *fs, uint64_t nodeid, watch_act act,
			 uint64_t what, uint64_t count);

#endif
