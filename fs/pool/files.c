/*
 * The pool's files: found by their ledger, kept while they have references or frames. Owns the table of files, each file's io and
 * what is known of the backing's size and identity.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "pool/mrc.h"
#include "pool/pool_internal.h"

/* What is changed underneath sooner than this after a change of ours is not looked for before the next one of ours. */
#define LOOK_NS (20LL * 1000 * 1000)

int64_t pool_now_ms(void)
{
	return clock_coarse_ns() / 1000000;
}

int64_t pool_realtime_ns(void)
{
	return (int64_t)clock_read_ns(CLOCK_REALTIME);
}

static uint64_t hash_of(const struct ledger *l)
{
	return hash_pair((uint64_t)(uintptr_t)l, 0);
}

static struct pool_file *find_locked(struct pool *p, const struct ledger *l, uint64_t hash)
{
	struct pool_file *f = p->files[hash % FILES_BUCKETS];
	while (f && (f->ledger != l || f->is_deleted))
		f = f->hash_next;
	return f;
}

static struct pool_file *file_new(struct pool *p, struct ledger_table *ledgers, struct ledger *l)
{
	struct pool_file *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->pool = p;
	f->ledgers = ledgers;
	f->ledger = l;
	f->hash = hash_of(l);
	f->refs = 1;
	f->dirty_head = FRAME_NONE;
	atomic_init(&f->may_be_sparse, true);
	mutex_init(&f->mutex);
	range_lock_init(&f->ranges);
	ledger_ref(ledgers, l);
	return f;
}

static void file_free(struct pool_file *f)
{
	if (f->io)
		io_put(f->io);
	ledger_put(f->ledgers, f->ledger);
	range_lock_fini(&f->ranges);
	mutex_fini(&f->mutex);
	free(f);
}

struct pool_file *pool_file_get(struct pool *p, struct ledger_table *ledgers, struct ledger *ledger)
{
	uint64_t hash = hash_of(ledger);
	mutex_lock(&p->files_mutex);
	struct pool_file *f = find_locked(p, ledger, hash);
	if (f)
		f->refs++;
	mutex_unlock(&p->files_mutex);
	if (f)
		return f;
	struct pool_file *made = file_new(p, ledgers, ledger);
	if (!made)
		return NULL;
	mutex_lock(&p->files_mutex);
	f = find_locked(p, ledger, hash);
	if (f) {
		f->refs++;
	} else {
		f = made;
		f->hash_next = p->files[hash % FILES_BUCKETS];
		p->files[hash % FILES_BUCKETS] = f;
		p->files_count++;
	}
	bool is_sweep_due = p->files_count > p->files_sweep_at;
	if (is_sweep_due)
		p->files_sweep_at = 2 * p->files_count + FILES_BUCKETS;
	mutex_unlock(&p->files_mutex);
	if (f != made)
		file_free(made);
	if (is_sweep_due)
		files_sweep(p);
	return f;
}

/* Takes f out of the table if nothing needs it any more. acquire: pairs with the release of its last frame. */
static bool take_if_unused_locked(struct pool *p, struct pool_file *f)
{
	if (f->refs > 0 || atomic_load_explicit(&f->frames, memory_order_acquire) > 0 ||
	    atomic_load_explicit(&f->dirty_count, memory_order_acquire) > 0)
		return false;
	struct pool_file **link = &p->files[f->hash % FILES_BUCKETS];
	while (*link != f)
		link = &(*link)->hash_next;
	*link = f->hash_next;
	p->files_count--;
	return true;
}

void file_ref(struct pool_file *f)
{
	mutex_lock(&f->pool->files_mutex);
	f->refs++;
	mutex_unlock(&f->pool->files_mutex);
}

void pool_file_put(struct pool_file *f)
{
	struct pool *p = f->pool;
	mutex_lock(&p->files_mutex);
	f->refs--;
	bool is_unused = take_if_unused_locked(p, f);
	mutex_unlock(&p->files_mutex);
	if (is_unused)
		file_free(f);
}

void pool_file_put_deleted(struct pool_file *f)
{
	struct range_hold hold;
	mutex_lock(&f->pool->files_mutex);
	f->is_deleted = true;
	mutex_unlock(&f->pool->files_mutex);
	atomic_store_explicit(&f->is_doomed, true, memory_order_relaxed);
	range_acquire(&f->ranges, &hold, RANGE_CHANGE, 0, POOL_TO_END);
	/* Page by page, if it is small; all of them are within its size, mostly. */
	(void)frames_drop(f, 0, atomic_load_explicit(&f->size_bytes, memory_order_relaxed), DROP_ALL);
	(void)frames_drop(f, 0, POOL_TO_END, DROP_ALL);
	range_release(&f->ranges, &hold);
	if (f->pool->config.mrc)
		mrc_forget(f->pool->config.mrc, mrc_file_key(f->ledger));
	pool_file_put(f);
}

void files_sweep(struct pool *p)
{
	struct pool_file *unused = NULL;
	mutex_lock(&p->files_mutex);
	for (uint32_t i = 0; i < FILES_BUCKETS; i++) {
		for (struct pool_file *f = p->files[i], *next; f; f = next) {
			next = f->hash_next;
			if (take_if_unused_locked(p, f)) {
				f->hash_next = unused;
				unused = f;
			}
		}
	}
	mutex_unlock(&p->files_mutex);
	for (struct pool_file *next; unused; unused = next) {
		next = unused->hash_next;
		file_free(unused);
	}
}

/* The first file at or after bucket *at, past `after` in its chain; referenced. */
static struct pool_file *next_file(struct pool *p, uint32_t *at, const struct pool_file *after)
{
	mutex_lock(&p->files_mutex);
	struct pool_file *f = after ? after->hash_next : p->files[*at];
	while (!f && ++*at < FILES_BUCKETS)
		f = p->files[*at];
	if (f)
		f->refs++;
	mutex_unlock(&p->files_mutex);
	return f;
}

int files_each(struct pool *p, int (*visit)(struct pool_file *f))
{
	uint32_t at = 0;
	int first = 0;
	struct pool_file *f = next_file(p, &at, NULL);
	while (f) {
		int err = visit(f);
		if (err < 0 && first == 0)
			first = err;
		struct pool_file *next = next_file(p, &at, f);
		pool_file_put(f);
		f = next;
	}
	return first;
}

/* ---- the backing ---- */

void pool_file_check_begin(struct pool_file *f, struct pool_check *c)
{
	range_acquire(&f->ranges, &c->hold, RANGE_FILL, 0, POOL_TO_END);
}

/* True if somebody else changed the file: it is not as it was, and not only since our own last change. */
static bool note_identity(struct pool_file *f, uint64_t size_bytes, uint64_t identity, int64_t changed_ns)
{
	mutex_lock(&f->mutex);
	bool is_known = identity != 0 && identity == f->identity;
	/* files are stamped no later than this clock says; a flush that is under way has not said its time yet */
	bool is_flushing = atomic_load_explicit(&f->batches, memory_order_relaxed) > 0;
	bool is_ours = (changed_ns <= f->own_until_ns || is_flushing) &&
		       atomic_load_explicit(&f->size_bytes, memory_order_relaxed) == size_bytes;
	bool is_changed = f->is_changed_underneath || (!is_known && !is_ours);
	f->identity = identity;
	f->known_changed_ns = changed_ns;
	f->is_changed_underneath = false;
	mutex_unlock(&f->mutex);
	return is_changed;
}

void file_look_underneath(struct pool_file *f)
{
	int64_t changed_ns;
	mutex_lock(&f->mutex);
	bool is_due = pool_realtime_ns() - f->own_until_ns > LOOK_NS;
	mutex_unlock(&f->mutex);
	if (!is_due || atomic_load_explicit(&f->frames, memory_order_relaxed) == 0)
		return;
	struct pool_io *io = file_io_get(f);
	bool is_known = io && io->ops->changed && io->ops->changed(io, &changed_ns) == 0;
	io_put(io);
	if (!is_known)
		return;
	mutex_lock(&f->mutex);
	if (changed_ns > f->own_until_ns && changed_ns != f->known_changed_ns)
		f->is_changed_underneath = true;
	mutex_unlock(&f->mutex);
}

uint64_t pool_file_size(struct pool_file *f)
{
	return atomic_load_explicit(&f->size_bytes, memory_order_acquire);
}

void pool_file_check_end(struct pool_file *f, struct pool_check *c, uint64_t size_bytes,
			 uint64_t identity, int64_t changed_ns)
{
	bool is_changed = note_identity(f, size_bytes, identity, changed_ns);
	range_release(&f->ranges, &c->hold);
	if (!is_changed)
		return;
	struct range_hold hold;
	range_acquire(&f->ranges, &hold, RANGE_CHANGE, 0, POOL_TO_END);
	/* Dirty pages are programs' own writes, and later ones. What cannot be written stays, and is told at fsync. */
	if (atomic_load_explicit(&f->dirty_count, memory_order_acquire) > 0)
		(void)flush_range_held(f, 0, POOL_TO_END);
	(void)frames_drop(f, 0, POOL_TO_END, DROP_CLEAN);
	struct pool_io *io = file_io_get(f);
	uint64_t now = size_bytes;
	if (io && io->ops->size(io, &now) < 0)
		now = size_bytes;
	io_put(io);
	atomic_store_explicit(&f->size_bytes, now, memory_order_relaxed);
	atomic_store_explicit(&f->may_be_sparse, true, memory_order_relaxed);
	range_release(&f->ranges, &hold);
}

void file_resized_underneath(struct pool_file *f, uint64_t from_bytes, uint64_t size_bytes)
{
	(void)frames_drop(f, from_bytes, POOL_TO_END, DROP_CLEAN);
	frames_cut(f, size_bytes); /* dirty pages beyond the end have nowhere to go */
	atomic_store_explicit(&f->size_bytes, size_bytes, memory_order_release);
	atomic_store_explicit(&f->may_be_sparse, true, memory_order_relaxed);
}

void file_own_change(struct pool_file *f)
{
	int64_t now = pool_realtime_ns();
	mutex_lock(&f->mutex);
	if (now > f->own_until_ns)
		f->own_until_ns = now;
	mutex_unlock(&f->mutex);
}

void file_size_raise(struct pool_file *f, uint64_t size_bytes)
{
	uint64_t now = atomic_load_explicit(&f->size_bytes, memory_order_relaxed);
	while (now < size_bytes &&
	       !atomic_compare_exchange_weak_explicit(&f->size_bytes, &now, size_bytes,
						      memory_order_release, memory_order_relaxed))
		;
}

/* ---- io ---- */

struct pool_io *file_io_get(struct pool_file *f)
{
	mutex_lock(&f->mutex);
	struct pool_io *io = f->io;
	if (io)
		atomic_fetch_add_explicit(&io->refs, 1, memory_order_relaxed);
	mutex_unlock(&f->mutex);
	return io;
}

void io_put(struct pool_io *io)
{
	if (io && atomic_fetch_sub_explicit(&io->refs, 1, memory_order_acq_rel) == 1)
		io->ops->free(io);
}

bool pool_file_has_io(struct pool_file *f, bool for_writing)
{
	mutex_lock(&f->mutex);
	bool has = f->io && (!for_writing || f->io->is_writable);
	mutex_unlock(&f->mutex);
	return has;
}

void pool_file_set_io(struct pool_file *f, struct pool_io *io)
{
	mutex_lock(&f->mutex);
	struct pool_io *old = f->io;
	bool is_better = !old || (io->is_writable && !old->is_writable);
	if (is_better)
		f->io = io;
	mutex_unlock(&f->mutex);
	io_put(is_better ? old : io);
}

void pool_file_opened(struct pool_file *f)
{
	mutex_lock(&f->mutex);
	f->opens++;
	mutex_unlock(&f->mutex);
}

void file_io_release(struct pool_file *f)
{
	struct pool_io *io = NULL;
	mutex_lock(&f->mutex);
	if (f->opens == 0 && atomic_load_explicit(&f->dirty_count, memory_order_acquire) == 0) {
		io = f->io;
		f->io = NULL;
	}
	mutex_unlock(&f->mutex);
	io_put(io);
}

void pool_file_closed(struct pool_file *f)
{
	mutex_lock(&f->mutex);
	f->opens--;
	mutex_unlock(&f->mutex);
	file_io_release(f);
}

/* ---- times, errors ---- */

bool pool_file_settle_times(struct pool_file *f)
{
	if (atomic_load_explicit(&f->dirty_count, memory_order_acquire) == 0)
		return false;
	mutex_lock(&f->mutex);
	int64_t mtime_ns = f->is_mtime_told ? 0 : f->mtime_ns;
	f->is_mtime_told = true;
	struct pool_io *io = f->io;
	if (io)
		atomic_fetch_add_explicit(&io->refs, 1, memory_order_relaxed);
	mutex_unlock(&f->mutex);
	bool is_set = mtime_ns != 0 && io && io->is_writable;
	if (is_set) {
		(void)io->ops->set_mtime(io, mtime_ns);
		file_own_change(f);
	}
	io_put(io);
	return is_set;
}

uint32_t pool_file_errors_seen(struct pool_file *f)
{
	mutex_lock(&f->mutex);
	uint32_t seq = f->error_seq;
	mutex_unlock(&f->mutex);
	return seq;
}

int pool_file_error(struct pool_file *f, uint32_t *seen)
{
	mutex_lock(&f->mutex);
	int err = f->error_seq != *seen ? f->error : 0;
	*seen = f->error_seq;
	mutex_unlock(&f->mutex);
	return err;
}
