/*
 * One frame's descriptor and its state word, with every legal transition. The arena's bytes of frame i are the page (file, page)
 * while it is not FREE. Layer: pool.
 *
 *             claim               publish                    evict (CAS: pins 0, clean, unlocked)
 *     FREE ----------> FILLING ------------> VALID --------------------------------------> FILLING (of another page)
 *       ^                 | fail               |  ^                                            or FREE
 *       +-----------------+                    |  | unlock
 *       +-------------- remove (EXCL) ---- VALID|EXCL      content may change; no pins
 *
 *     VALID --dirty (EXCL)--> DIRTY --flush_begin--> WRITING --flush_end--> clean, or DIRTY again where writing failed
 *                               ^------dirty (EXCL)-----+ (DIRTY|WRITING: changed while its copy is being written)
 *
 * A pin is a shared hold: the content stays as it is. EXCL is the one exclusive hold; it is taken by setting the bit, which
 * stops new pins, and waiting for the old ones. Pins are held over a reply at most, EXCL over a memcpy at most (but for the
 * exception in fs/README.md); neither over the other's wait, except that pins may be taken in ascending order of pages.
 * try_pin() adds a pin first and looks then, so any word may show pins for a moment: transitions add and clear bits, and never
 * store a word. FILLING frames belong to who claimed them.
 */
#ifndef ZCFS_POOL_FRAME_H
#define ZCFS_POOL_FRAME_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct pool_file;

#define FRAME_NONE UINT32_MAX

enum frame_state {
	FRAME_PINS = 0xffff, /* how many pins */
	FRAME_VALID = 1 << 16, /* content is the page's */
	FRAME_DIRTY = 1 << 17, /* newer than the backing */
	FRAME_WRITING = 1 << 18, /* a copy of it is being written */
	FRAME_EXCL = 1 << 19,
	FRAME_FILLING = 1 << 20,
	FRAME_AHEAD = 1 << 21, /* read ahead and not asked for yet */
	FRAME_WAITED = 1 << 22, /* somebody sleeps on the word */
};

struct frame {
	_Atomic uint32_t state;
	_Atomic uint32_t hash_next; /* chain, or the free list; changed under the shard's mutex */
	/* changed by the owner of a frame that is FREE or FILLING, under the shard's mutex; stable while pinned */
	_Atomic(struct pool_file *) file;
	_Atomic uint64_t page;
	/* the file's ring of dirty frames, in no order; guarded by the file's mutex */
	uint32_t dirty_prev;
	uint32_t dirty_next;
};
_Static_assert(sizeof(struct frame) <= 32,
	       "a policy and its ghosts take up to 28 more of the 64 bytes a frame");

static inline uint32_t frame_load(const struct frame *f)
{
	return atomic_load_explicit(&f->state, memory_order_acquire);
}

/* Wakes all that wait for the word to change; to be called after the change, with the word from before it. */
static inline void frame_wake(struct frame *f, uint32_t before)
{
	if (!(before & FRAME_WAITED))
		return;
	atomic_fetch_and_explicit(&f->state, ~(uint32_t)FRAME_WAITED, memory_order_seq_cst);
	syscall(SYS_futex, &f->state, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Sleeps until the word may have changed from `seen`. */
static inline void frame_wait(struct frame *f, uint32_t seen)
{
	uint32_t waited = seen | FRAME_WAITED;
	if (!(seen & FRAME_WAITED) &&
	    !atomic_compare_exchange_strong_explicit(&f->state, &seen, waited, memory_order_seq_cst,
						     memory_order_relaxed))
		return;
	syscall(SYS_futex, &f->state, FUTEX_WAIT_PRIVATE, waited, NULL, NULL, 0);
}

static inline void frame_unpin(struct frame *f)
{
	/* release: what the holder read was read before the content changes; pairs with frame_lock()'s acquire */
	uint32_t before = atomic_fetch_sub_explicit(&f->state, 1, memory_order_acq_rel);
	if ((before & FRAME_PINS) == 1)
		frame_wake(f, before);
}

/* Without waiting. True: pinned, and the content is whole. acquire: pairs with frame_publish() and frame_unlock(). */
static inline bool frame_try_pin(struct frame *f)
{
	uint32_t before = atomic_fetch_add_explicit(&f->state, 1, memory_order_acquire);
	if ((before & (FRAME_VALID | FRAME_EXCL)) == FRAME_VALID)
		return true;
	frame_unpin(f);
	return false;
}

/* VALID -> VALID|EXCL, waiting for others' EXCL and for pins. False: not valid (any more). */
static inline bool frame_lock(struct frame *f)
{
	uint32_t s = frame_load(f);
	for (;;) {
		if (!(s & FRAME_VALID))
			return false;
		if (s & FRAME_EXCL) {
			frame_wait(f, s);
			s = frame_load(f);
		} else if (atomic_compare_exchange_weak_explicit(&f->state, &s, s | FRAME_EXCL,
								 memory_order_acquire,
								 memory_order_acquire)) {
			break;
		}
	}
	while ((s = frame_load(f)) & FRAME_PINS)
		frame_wait(f, s);
	return true;
}

/* Ends EXCL; `set` (DIRTY or 0) is added. */
static inline void frame_unlock(struct frame *f, uint32_t set)
{
	if (set)
		atomic_fetch_or_explicit(&f->state, set, memory_order_relaxed);
	uint32_t before =
		atomic_fetch_and_explicit(&f->state, ~(uint32_t)FRAME_EXCL, memory_order_acq_rel);
	frame_wake(f, before);
}

/* A frame nobody else can have: FREE -> FILLING. */
static inline void frame_claim(struct frame *f)
{
	atomic_fetch_or_explicit(&f->state, FRAME_FILLING, memory_order_relaxed);
}

/* VALID, clean, unpinned, unlocked -> FILLING; one attempt. `before` gets the word, for FRAME_AHEAD. */
static inline bool frame_try_evict(struct frame *f, uint32_t *before)
{
	uint32_t s = atomic_load_explicit(&f->state, memory_order_relaxed);
	*before = s;
	if (!(s & FRAME_VALID) || s & (FRAME_PINS | FRAME_DIRTY | FRAME_WRITING | FRAME_EXCL))
		return false;
	return atomic_compare_exchange_strong_explicit(&f->state, &s, FRAME_FILLING | (s & FRAME_WAITED),
						       memory_order_acq_rel, memory_order_relaxed);
}

/* FILLING -> VALID (with `set`: DIRTY, AHEAD), at once. release: the content. */
static inline void frame_publish(struct frame *f, uint32_t set)
{
	/* whoever claimed it knows these bits: FILLING is set, the others are not */
	uint32_t before = atomic_fetch_xor_explicit(&f->state, FRAME_FILLING | FRAME_VALID | set,
						    memory_order_acq_rel);
	frame_wake(f, before);
}

/* FILLING or VALID|EXCL -> FREE, but for pins that are just being taken back. */
static inline void frame_clear(struct frame *f)
{
	uint32_t before =
		atomic_fetch_and_explicit(&f->state, FRAME_PINS | FRAME_WAITED, memory_order_acq_rel);
	frame_wake(f, before);
}

/* DIRTY -> WRITING, by who has it pinned or EXCL. False: it is not dirty. */
static inline bool frame_flush_begin(struct frame *f)
{
	uint32_t s = frame_load(f);
	while (s & FRAME_DIRTY)
		if (atomic_compare_exchange_weak_explicit(&f->state, &s,
							  (s & ~(uint32_t)FRAME_DIRTY) | FRAME_WRITING,
							  memory_order_acq_rel, memory_order_acquire))
			return true;
	return false;
}

/* WRITING ends; `set` is DIRTY where writing failed. The word from before. */
static inline uint32_t frame_flush_end(struct frame *f, uint32_t set)
{
	uint32_t before = set ? atomic_fetch_or_explicit(&f->state, set, memory_order_acq_rel)
			      : frame_load(f);
	uint32_t last =
		atomic_fetch_and_explicit(&f->state, ~(uint32_t)FRAME_WRITING, memory_order_acq_rel);
	frame_wake(f, last);
	return before;
}

/* Clears AHEAD; true if it was set. */
static inline bool frame_take_ahead(struct frame *f)
{
	return atomic_load_explicit(&f->state, memory_order_relaxed) & FRAME_AHEAD &&
	       atomic_fetch_and_explicit(&f->state, ~(uint32_t)FRAME_AHEAD, memory_order_relaxed) &
		       FRAME_AHEAD;
}

#endif
