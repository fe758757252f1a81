/*
 * Write-back: programs' writes become dirty pages. Owns the files' rings of dirty frames. What cannot be taken is left to the caller,
 * who writes it through, so a write never waits for a frame. Space is reserved before a page becomes dirty.
 */
#include <errno.h>
#include <string.h>

#include "pool/pool_internal.h"

/* ---- the ring of dirty frames, oldest first ---- */

static void ring_add_locked(struct pool_file *f, uint32_t frame)
{
	struct frame *frames = f->pool->frames;
	if (f->dirty_head == FRAME_NONE) {
		frames[frame].dirty_prev = frames[frame].dirty_next = frame;
		f->dirty_head = frame;
		atomic_store_explicit(&f->dirty_since_ms, pool_now_ms(), memory_order_relaxed);
		return;
	}
	uint32_t head = f->dirty_head, tail = frames[head].dirty_prev;
	frames[frame].dirty_prev = tail;
	frames[frame].dirty_next = head;
	frames[tail].dirty_next = frames[head].dirty_prev = frame;
}

void ring_remove_locked(struct pool_file *f, uint32_t frame)
{
	struct frame *frames = f->pool->frames;
	uint32_t next = frames[frame].dirty_next, prev = frames[frame].dirty_prev;
	frames[prev].dirty_next = next;
	frames[next].dirty_prev = prev;
	if (f->dirty_head == frame)
		f->dirty_head = next == frame ? FRAME_NONE : next;
}

void ring_add(struct pool_file *f, uint32_t frame)
{
	mutex_lock(&f->mutex);
	ring_add_locked(f, frame);
	mutex_unlock(&f->mutex);
}

void dirty_add(struct pool_file *f, uint32_t frame)
{
	atomic_fetch_add_explicit(&f->dirty_count, 1, memory_order_relaxed);
	bool is_first = atomic_fetch_add_explicit(&f->pool->dirty_frames, 1, memory_order_seq_cst) == 0;
	file_count(f, CTR_POOL_DIRTY_BYTES, f->pool->config.page_bytes);
	ring_add(f, frame);
	if (is_first)
		flusher_begin(f->pool);
}

void dirty_done(struct pool_file *f)
{
	file_count(f, CTR_POOL_DIRTY_BYTES, -(uint64_t)f->pool->config.page_bytes);
	atomic_fetch_sub_explicit(&f->pool->dirty_frames, 1, memory_order_relaxed);
	/* release: who finds nothing dirty finds the backing written */
	atomic_fetch_sub_explicit(&f->dirty_count, 1, memory_order_release);
}

void dirty_forget(struct pool_file *f, uint32_t frame)
{
	struct frame *fr = &f->pool->frames[frame];
	if (!frame_flush_begin(fr))
		return;
	mutex_lock(&f->mutex);
	ring_remove_locked(f, frame);
	mutex_unlock(&f->mutex);
	(void)frame_flush_end(fr, 0);
	dirty_done(f);
}

/* ---- taking a write ---- */

/* One write on its way into the pool. */
struct taking {
	struct pool_file *f;
	struct pool_io *io;
	const unsigned char *mem;
	uint64_t off_bytes, end_bytes; /* not taken yet */
	uint64_t old_size_bytes; /* beyond it there is nothing to read */
	bool is_held; /* a CHANGE hold covers it all */
	bool is_full; /* no more pages may become dirty */
	uint64_t hit_bytes, miss_bytes;
};

static bool is_over_limit(const struct pool *p)
{
	uint64_t limit = (uint64_t)atomic_load_explicit(&p->frames_count, memory_order_relaxed) *
			 p->config.dirty_max_percent / 100;
	return atomic_load_explicit(&p->dirty_frames, memory_order_relaxed) >= (limit > 0 ? limit : 1);
}

/* Into a resident page. 1: taken; 0: it is not resident; -EAGAIN: it may not become dirty. */
static int take_hit(struct taking *t, const struct page_ref *r, size_t lead, size_t n)
{
	struct pool *p = t->f->pool;
	uint32_t frame = table_lock(p, r);
	if (frame == FRAME_NONE)
		return 0;
	struct frame *fr = &p->frames[frame];
	if (n < p->config.page_bytes && !page_is_sound(t->f, frame)) {
		table_remove(p, frame);
		return 0;
	}
	bool is_dirty = frame_load(fr) & FRAME_DIRTY;
	bool is_cut =
		!t->is_held && (r->page << p->page_shift) + lead + n >
				       atomic_load_explicit(&t->f->size_bytes, memory_order_acquire);
	if (is_cut || (!is_dirty && t->is_full)) {
		frame_unlock(fr, 0);
		return -EAGAIN;
	}
	memcpy(pool_mem(p, frame) + lead, t->mem, n);
	(void)frame_take_ahead(fr);
	if (!is_dirty)
		dirty_add(t->f, frame);
	frame_unlock(fr, FRAME_DIRTY);
	/* Writing on in the page written last is the same use. */
	if (atomic_exchange_explicit(&t->f->last_written, r->page + 1, memory_order_relaxed) !=
	    r->page + 1)
		table_hit(p, frame);
	return 1;
}

/* Brings the page in, to be found by the next take_hit(), or makes it of the write where that is all there is of it. As take_hit(). */
static int take_miss(struct taking *t, const struct page_ref *r, size_t lead, size_t n)
{
	struct pool *p = t->f->pool;
	uint64_t start = r->page << p->page_shift;
	/* Under the hold the end stays where it is; where this write makes the file grow there is nothing beyond the old one. */
	uint64_t size = t->is_held ? t->old_size_bytes
				   : atomic_load_explicit(&t->f->size_bytes, memory_order_acquire);
	if (!t->is_held && start + lead + n > size)
		return -EAGAIN; /* it was cut meanwhile */
	uint64_t known = size > start ? size - start : 0;
	bool is_all = (lead == 0 && n >= known) || n == p->config.page_bytes || known == 0;
	uint32_t frame;
	if (t->is_full)
		return -EAGAIN;
	if (!is_all) {
		struct fill fill = {.io = t->io};
		int err = fill_range(t->f, &fill, r->page, 1);
		return err < 0 ? err : fill.was_full ? -EAGAIN : 0;
	}
	enum claim c = table_claim(p, r, &frame);
	if (c != CLAIM_OURS)
		return c == CLAIM_FULL ? -EAGAIN : 0;
	unsigned char *page = pool_mem(p, frame);
	memset(page, 0, lead);
	memcpy(page + lead, t->mem, n);
	memset(page + lead + n, 0, p->config.page_bytes - lead - n);
	dirty_add(t->f, frame);
	frame_publish(&p->frames[frame], FRAME_DIRTY);
	return 1;
}

/* The part of the write in its next page. 1: taken; -EAGAIN: to be written through; -errno: the page cannot be read. */
static int take_page(struct taking *t)
{
	struct pool *p = t->f->pool;
	struct page_ref r = page_ref_of(t->f, t->off_bytes >> p->page_shift);
	size_t lead = (size_t)(t->off_bytes & (p->config.page_bytes - 1));
	size_t n = p->config.page_bytes - lead;
	n = n < t->end_bytes - t->off_bytes ? n : (size_t)(t->end_bytes - t->off_bytes);
	bool was_hit = true;
	int rc = take_hit(t, &r, lead, n);
	while (rc == 0) {
		struct range_hold hold;
		was_hit = false;
		if (!t->is_held)
			range_acquire(&t->f->ranges, &hold, RANGE_FILL, r.page << p->page_shift,
				      p->config.page_bytes);
		rc = take_miss(t, &r, lead, n);
		if (!t->is_held)
			range_release(&t->f->ranges, &hold);
		if (rc == 0)
			rc = take_hit(t, &r, lead, n);
	}
	if (rc < 0)
		return rc;
	*(was_hit ? &t->hit_bytes : &t->miss_bytes) += n;
	t->mem += n;
	t->off_bytes += n;
	return 1;
}

static int take_all(struct taking *t)
{
	int rc = 1;
	while (rc > 0 && t->off_bytes < t->end_bytes) {
		t->is_full = is_over_limit(t->f->pool);
		rc = take_page(t);
	}
	return rc < 0 ? rc : 0;
}

/* Not beyond the file's end: only its holes want space. */
static int take_inside(struct taking *t)
{
	struct pool_file *f = t->f;
	if (atomic_load_explicit(&f->may_be_sparse, memory_order_relaxed)) {
		int rc = t->io->ops->reserve(t->io, t->off_bytes, t->end_bytes - t->off_bytes, true);
		if (rc < 0)
			return rc == -EOPNOTSUPP ? -EAGAIN : rc;
		if (rc > 0)
			atomic_store_explicit(&f->may_be_sparse, false, memory_order_relaxed);
		else
			file_own_change(f);
	}
	return take_all(t);
}

/* What is there of the write's first page, before anything grows for it: if that cannot be read nothing has happened. */
static int read_first_page(struct taking *t)
{
	struct pool *p = t->f->pool;
	uint64_t page = t->off_bytes >> p->page_shift;
	struct fill fill = {.io = t->io};
	uint64_t start = page << p->page_shift;
	bool is_needed = start < t->old_size_bytes && start < t->off_bytes;
	int err = is_needed ? fill_range(t->f, &fill, page, 1) : 0;
	return err == 0 && fill.was_full ? -EAGAIN : err;
}

/* The file's end as it is underneath, where somebody may have moved it; under a hold from `from` on. */
static int learn_size(struct taking *t, uint64_t from)
{
	uint64_t known = atomic_load_explicit(&t->f->size_bytes, memory_order_relaxed), now = known;
	int err = t->io->ops->size(t->io, &now);
	if (err == 0 && now < from)
		return -EAGAIN; /* cut below what is held: rare enough to be written through */
	if (err == 0 && now != known)
		file_resized_underneath(t->f, from, now);
	t->old_size_bytes = now;
	return err;
}

/* Past the end: nobody else changes the size meanwhile, and the backing has the new one before the pages. */
static int take_growing(struct taking *t)
{
	struct pool_file *f = t->f;
	struct range_hold hold;
	uint64_t size = atomic_load_explicit(&f->size_bytes, memory_order_acquire);
	uint64_t from = (size < t->off_bytes ? size : t->off_bytes) &
			~(uint64_t)(f->pool->config.page_bytes - 1);
	range_acquire(&f->ranges, &hold, RANGE_CHANGE, from, POOL_TO_END);
	t->is_held = true;
	file_look_underneath(f);
	int rc = learn_size(t, from);
	if (rc == 0 && is_over_limit(f->pool))
		rc = -EAGAIN;
	if (rc == 0)
		rc = read_first_page(t);
	if (rc == 0)
		rc = t->io->ops->reserve(t->io, t->off_bytes, t->end_bytes - t->off_bytes, false);
	if (rc == 0) {
		file_own_change(f);
		rc = take_all(t);
		/* The backing is that long now, whatever came of it; and who reads to the new end finds what was written. */
		file_size_raise(f, t->end_bytes);
	}
	range_release(&f->ranges, &hold);
	return rc == -EOPNOTSUPP ? -EAGAIN : rc;
}

/* Before a page is dirty, so that no flush leaves an older time. */
static void note_time(struct pool_file *f)
{
	mutex_lock(&f->mutex);
	f->mtime_ns = pool_realtime_ns();
	f->is_mtime_told = false;
	mutex_unlock(&f->mutex);
}

ssize_t pool_write(struct pool_file *f, const unsigned char *mem, size_t len_bytes,
		   uint64_t off_bytes, uint64_t *hit_bytes, uint64_t *miss_bytes)
{
	*hit_bytes = *miss_bytes = 0;
	if (!f->pool->config.is_write_back || len_bytes == 0)
		return 0;
	struct taking t = {.f = f,
			   .io = file_io_get(f),
			   .mem = mem,
			   .off_bytes = off_bytes,
			   .end_bytes = off_bytes + len_bytes};
	if (!t.io || !t.io->is_writable) {
		io_put(t.io);
		return 0;
	}
	note_time(f);
	bool is_growing = t.end_bytes > atomic_load_explicit(&f->size_bytes, memory_order_acquire);
	int rc = is_growing ? take_growing(&t) : take_inside(&t);
	io_put(t.io);
	*hit_bytes = t.hit_bytes;
	*miss_bytes = t.miss_bytes;
	if (t.off_bytes > off_bytes)
		return (ssize_t)(t.off_bytes - off_bytes);
	if (rc != -EAGAIN)
		return rc;
	atomic_fetch_add_explicit(&f->pool->stat_throttled, 1, memory_order_relaxed);
	flusher_wake(f->pool);
	return 0;
}
