/*
 * Writing dirty pages. A batch is taken from a file's ring, sorted, and neighbours are copied together and written by one call, so
 * that nobody who changes a page waits for its write. No state of its own; flusher.c says when.
 *
 *   ring --sort--> |p 7|p 8|p 9|   |p 20|        each run: pin, DIRTY -> WRITING, copy, unpin; write; WRITING ends
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pool/pool_internal.h"

#define BATCH 256U

struct entry {
	uint64_t page;
	uint32_t frame;
};

/* What is being written together: pages next to each other. */
struct batch {
	struct pool_file *f;
	struct pool_io *io;
	unsigned char *copy; /* of the entries' pages, FLUSH_CHUNK_BYTES at most */
	struct entry *entry;
	size_t count, cap;
	bool holds_each; /* takes a FLUSH hold for each run; else the caller has one for all */
	int err; /* the first */
};

static int by_page(const void *a, const void *b)
{
	uint64_t x = ((const struct entry *)a)->page, y = ((const struct entry *)b)->page;
	return x < y ? -1 : x > y;
}

static void note_error(struct pool_file *f, int err)
{
	mutex_lock(&f->mutex);
	f->error = err;
	f->error_seq++;
	mutex_unlock(&f->mutex);
	if (atomic_fetch_add_explicit(&f->pool->stat_flush_errors, 1, memory_order_relaxed) == 0)
		log_err("a dirty page of the buffer pool cannot be written: %s; it is kept, and the file's fsync will tell",
			strerror(-err));
}

/* The end of WRITING for one page. */
static void page_written(struct pool_file *f, uint32_t frame, int err)
{
	struct frame *fr = &f->pool->frames[frame];
	if (err < 0)
		note_error(f, err);
	if (err == 0) {
		(void)frame_flush_end(fr, 0);
		dirty_done(f);
		return;
	}
	/* In the ring before it is DIRTY, as ever; unless somebody has made it so meanwhile. */
	if (!frame_lock(fr))
		return;
	if (frame_load(fr) & FRAME_DIRTY) {
		(void)frame_flush_end(fr, 0);
		dirty_done(f);
	} else {
		ring_add(f, frame);
		(void)frame_flush_end(fr, FRAME_DIRTY);
	}
	frame_unlock(fr, 0);
}

/* Bytes of [off, off + len) that the file has. */
static size_t cut_to_size(const struct pool_file *f, uint64_t off_bytes, size_t len_bytes)
{
	uint64_t size = atomic_load_explicit(&f->size_bytes, memory_order_acquire);
	if (off_bytes >= size)
		return 0;
	return len_bytes < size - off_bytes ? len_bytes : (size_t)(size - off_bytes);
}

static int write_out(struct pool_file *f, struct pool_io *io, const unsigned char *mem,
		     uint64_t page, size_t len_bytes)
{
	struct pool *p = f->pool;
	uint64_t off = page << p->page_shift;
	size_t n = cut_to_size(f, off, len_bytes);
	if (n == 0 || atomic_load_explicit(&f->is_doomed, memory_order_relaxed))
		return 0;
	int err = io->ops->write(io, mem, n, off);
	if (err < 0)
		return err;
	file_count(f, CTR_POOL_FLUSH_OPS, 1);
	file_count(f, CTR_POOL_FLUSH_BYTES, n);
	atomic_fetch_add_explicit(&p->stat_flush_ops, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->stat_flush_bytes, n, memory_order_relaxed);
	return 0;
}

/* DIRTY -> WRITING with a copy taken; false: it is not that page's, or not dirty, any more. */
static bool take_copy(struct pool_file *f, const struct entry *e, unsigned char *to)
{
	struct pool *p = f->pool;
	struct page_ref r = page_ref_of(f, e->page);
	uint32_t frame = table_pin_wait(p, &r);
	if (frame == FRAME_NONE)
		return false;
	struct frame *fr = &p->frames[frame];
	bool is_ours = frame == e->frame && frame_flush_begin(fr);
	if (is_ours) {
		mutex_lock(&f->mutex);
		ring_remove_locked(f, frame);
		mutex_unlock(&f->mutex);
		memcpy(to, pool_mem(p, frame), p->config.page_bytes);
		sum_keep(p, frame);
	}
	frame_unpin(fr);
	return is_ours;
}

/* The copies of n entries, by one call; where that fails each by itself, so that a bad block does not keep its neighbours back. */
static void write_copies(struct batch *b, size_t from, size_t n)
{
	uint32_t shift = b->f->pool->page_shift;
	int err = write_out(b->f, b->io, b->copy, b->entry[from].page, n << shift);
	bool is_tried_singly = err < 0 && n > 1;
	for (size_t i = 0; i < n; i++) {
		if (is_tried_singly)
			err = write_out(b->f, b->io, b->copy + (i << shift),
					b->entry[from + i].page, (size_t)1 << shift);
		page_written(b->f, b->entry[from + i].frame, err);
		if (err < 0 && b->err == 0)
			b->err = err;
	}
}

/* Entries [from, to): neighbours. */
static void write_run(struct batch *b, size_t from, size_t to)
{
	struct pool *p = b->f->pool;
	struct range_hold hold;
	if (b->holds_each)
		range_acquire(&b->f->ranges, &hold, RANGE_FLUSH,
			      b->entry[from].page << p->page_shift, (to - from) << p->page_shift);
	while (from < to) {
		size_t n = 0;
		while (from + n < to &&
		       take_copy(b->f, &b->entry[from + n], b->copy + (n << p->page_shift)))
			n++;
		if (n == 0) {
			from++;
			continue;
		}
		write_copies(b, from, n);
		from += n;
	}
	if (b->holds_each)
		range_release(&b->f->ranges, &hold);
}

static void write_batch(struct batch *b)
{
	size_t run_max = FLUSH_CHUNK_BYTES >> b->f->pool->page_shift;
	qsort(b->entry, b->count, sizeof(b->entry[0]), by_page);
	for (size_t from = 0, to; from < b->count; from = to) {
		for (to = from + 1; to < b->count && to - from < run_max &&
				    b->entry[to].page == b->entry[to - 1].page + 1;
		     to++)
			;
		write_run(b, from, to);
	}
}

/* The ring's oldest that are in the range, as many as there is room for. */
static void collect(struct batch *b, uint64_t first, uint64_t last)
{
	struct pool_file *f = b->f;
	b->count = 0;
	mutex_lock(&f->mutex);
	uint32_t frame = f->dirty_head;
	while (frame != FRAME_NONE && b->count < b->cap) {
		uint64_t page = atomic_load_explicit(&f->pool->frames[frame].page, memory_order_relaxed);
		if (page >= first && page <= last)
			b->entry[b->count++] = (struct entry){page, frame};
		frame = f->pool->frames[frame].dirty_next;
		if (frame == f->dirty_head)
			break;
	}
	mutex_unlock(&f->mutex);
}

static void batch_free(struct batch *b)
{
	atomic_fetch_sub_explicit(&b->f->batches, 1, memory_order_relaxed);
	/* release: what is not dirty any more has its time as well */
	atomic_fetch_sub_explicit(&b->f->dirty_count, 1, memory_order_release);
	io_put(b->io);
	file_io_release(b->f);
	free(b->entry);
	free(b->copy);
	free(b);
}

static struct batch *batch_new(struct pool_file *f, size_t cap, bool holds_each)
{
	struct batch *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	file_look_underneath(f);
	*b = (struct batch){.f = f, .io = file_io_get(f), .cap = cap, .holds_each = holds_each};
	/* The file counts as dirty until its time is set, so that nobody who sets another is overtaken. */
	atomic_fetch_add_explicit(&f->dirty_count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&f->batches, 1, memory_order_relaxed);
	b->entry = malloc(cap * sizeof(b->entry[0]));
	size_t all = cap < FLUSH_CHUNK_BYTES >> f->pool->page_shift ? cap << f->pool->page_shift
								    : FLUSH_CHUNK_BYTES;
	b->copy = aligned_alloc(POOL_PAGE_MIN, all);
	if (b->entry && b->copy && b->io)
		return b;
	batch_free(b);
	return NULL;
}

/* What was written is as old as its last write(2), not as its flush. */
static void batch_end(struct batch *b)
{
	struct pool_file *f = b->f;
	struct range_hold hold;
	if (b->holds_each)
		range_acquire(&f->ranges, &hold, RANGE_FLUSH, 0, POOL_TO_END);
	mutex_lock(&f->mutex);
	int64_t mtime_ns = f->mtime_ns;
	f->is_mtime_told = true;
	if (atomic_load_explicit(&f->dirty_count, memory_order_acquire) == 1) /* ours */
		f->mtime_ns = 0;
	mutex_unlock(&f->mutex);
	if (mtime_ns != 0)
		(void)b->io->ops->set_mtime(b->io, mtime_ns);
	file_own_change(f);
	if (b->holds_each)
		range_release(&f->ranges, &hold);
	batch_free(b);
}

/* The pages' own frames where that is cheaper than going through the ring. */
static void collect_by_page(struct batch *b, uint64_t first, uint64_t last)
{
	b->count = 0;
	for (uint64_t page = first; page <= last; page++) {
		struct page_ref r = page_ref_of(b->f, page);
		uint32_t frame = table_find(b->f->pool, &r);
		if (frame != FRAME_NONE)
			b->entry[b->count++] = (struct entry){page, frame};
	}
}

static bool is_any_dirty(struct pool_file *f, uint64_t first, uint64_t last)
{
	for (uint64_t page = first; page <= last; page++) {
		struct page_ref r = page_ref_of(f, page);
		uint32_t frame = table_find(f->pool, &r);
		if (frame != FRAME_NONE &&
		    frame_load(&f->pool->frames[frame]) & (FRAME_DIRTY | FRAME_WRITING))
			return true;
	}
	return false;
}

int flush_range_held(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes)
{
	uint64_t count = atomic_load_explicit(&f->dirty_count, memory_order_acquire);
	uint64_t first = off_bytes >> f->pool->page_shift;
	uint64_t last = len_bytes > UINT64_MAX - off_bytes
				? UINT64_MAX
				: (off_bytes + len_bytes - 1) >> f->pool->page_shift;
	if (count == 0 || len_bytes == 0)
		return 0;
	bool is_small = last - first < BATCH;
	if (is_small && !is_any_dirty(f, first, last))
		return 0;
	/* What is dirty now is written; what becomes so meanwhile, or fails, is behind it in the ring. */
	struct batch *b = batch_new(f, is_small ? (size_t)(last - first + 1) : count, false);
	if (!b)
		return -ENOMEM;
	if (is_small)
		collect_by_page(b, first, last);
	else
		collect(b, first, last);
	write_batch(b);
	int err = b->err;
	batch_end(b);
	return err;
}

int flush_locked_frame(struct pool_file *f, uint32_t frame)
{
	struct pool *p = f->pool;
	struct frame *fr = &p->frames[frame];
	struct pool_io *io = file_io_get(f);
	int err = io ? 0 : -EIO;
	if (err == 0)
		err = write_out(f, io, pool_mem(p, frame),
				atomic_load_explicit(&fr->page, memory_order_relaxed),
				p->config.page_bytes);
	if (err == 0)
		dirty_forget(f, frame);
	else
		note_error(f, err);
	io_put(io);
	return err;
}

int flush_oldest(struct pool_file *f, uint64_t count)
{
	struct batch *b = batch_new(f, count < BATCH ? count : BATCH, true);
	if (!b)
		return -ENOMEM;
	uint64_t done = 0;
	do {
		collect(b, 0, UINT64_MAX);
		write_batch(b);
		done += b->count;
	} while (done < count && b->count == b->cap && b->err == 0);
	int err = b->err;
	batch_end(b);
	return err;
}

int pool_file_flush_range(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes)
{
	struct range_hold hold;
	uint64_t lead = off_bytes & (f->pool->config.page_bytes - 1);
	if (atomic_load_explicit(&f->dirty_count, memory_order_acquire) == 0)
		return 0;
	range_acquire(&f->ranges, &hold, RANGE_FLUSH, off_bytes - lead,
		      len_bytes > UINT64_MAX - lead ? UINT64_MAX : len_bytes + lead);
	int err = flush_range_held(f, off_bytes, len_bytes);
	range_release(&f->ranges, &hold);
	return err;
}

int pool_file_flush(struct pool_file *f)
{
	return pool_file_flush_range(f, 0, POOL_TO_END);
}

int pool_file_sync(struct pool_file *f, uint32_t *seen)
{
	int err = pool_file_flush(f);
	int told = pool_file_error(f, seen);
	return told < 0 ? told : err;
}

int pool_file_drop(struct pool_file *f)
{
	struct range_hold hold;
	range_acquire(&f->ranges, &hold, RANGE_CHANGE, 0, POOL_TO_END);
	int err = flush_range_held(f, 0, POOL_TO_END);
	int rc = frames_drop(f, 0, POOL_TO_END, DROP_WRITTEN);
	range_release(&f->ranges, &hold);
	return err < 0 ? err : rc;
}

int pool_flush(struct pool *p)
{
	return files_each(p, pool_file_flush);
}

int pool_drop(struct pool *p)
{
	return files_each(p, pool_file_drop);
}
