/*
 * Changes of a file that do not go through pool_write(): writes through, other data paths, truncation. Under a CHANGE hold on the
 * pages they touch, so nobody fills or flushes them meanwhile; what is resident is brought up to date, or goes.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "pool/pool_internal.h"

/* Fewer pages than this are looked up one by one, more by walking over all frames. */
#define LOOKUP_MAX 1024U

/* The caller has it EXCL: it goes, or is let go. 0, or -errno of writing it. */
static int drop_locked_frame(struct pool_file *f, uint32_t frame, enum drop which)
{
	struct frame *fr = &f->pool->frames[frame];
	bool is_dirty = frame_load(fr) & FRAME_DIRTY;
	int err = is_dirty && which == DROP_WRITTEN ? flush_locked_frame(f, frame) : 0;
	if (err < 0 || (is_dirty && which == DROP_CLEAN)) {
		frame_unlock(fr, 0);
		return err;
	}
	if (is_dirty && which == DROP_ALL)
		dirty_forget(f, frame);
	table_remove(f->pool, frame);
	return 0;
}

static int drop_by_page(struct pool_file *f, uint64_t first, uint64_t last, enum drop which)
{
	int err = 0;
	for (uint64_t page = first; page <= last && err == 0; page++) {
		struct page_ref r = page_ref_of(f, page);
		uint32_t frame = table_lock(f->pool, &r);
		if (frame != FRAME_NONE)
			err = drop_locked_frame(f, frame, which);
	}
	return err;
}

static bool is_page_within(const struct frame *fr, uint64_t first, uint64_t last)
{
	uint64_t page = atomic_load_explicit(&fr->page, memory_order_relaxed);
	return page >= first && page <= last;
}

static int walk_frames(struct pool_file *f, uint64_t first, uint64_t last, enum drop which)
{
	struct pool *p = f->pool;
	uint32_t count = atomic_load_explicit(&p->frames_peak, memory_order_relaxed);
	int err = 0;
	for (uint32_t i = 0; i < count && err == 0; i++) {
		if (atomic_load_explicit(&f->frames, memory_order_relaxed) == 0)
			break;
		struct frame *fr = &p->frames[i];
		if (!is_page_within(fr, first, last) || !table_lock_frame(p, i, f))
			continue;
		if (is_page_within(fr, first, last))
			err = drop_locked_frame(f, i, which);
		else
			frame_unlock(fr, 0);
	}
	return err;
}

/* A resize may move a page behind the walk's back; then it walks again. */
static int drop_by_frame(struct pool_file *f, uint64_t first, uint64_t last, enum drop which)
{
	struct pool *p = f->pool;
	for (;;) {
		uint64_t ended = atomic_load_explicit(&p->moves_ended, memory_order_acquire);
		uint64_t begun = atomic_load_explicit(&p->moves_begun, memory_order_seq_cst);
		int err = walk_frames(f, first, last, which);
		if (err < 0 || (begun == ended &&
				atomic_load_explicit(&p->moves_begun, memory_order_seq_cst) == begun))
			return err;
		(void)sched_yield();
	}
}

int frames_drop(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes, enum drop which)
{
	const struct pool *p = f->pool;
	uint64_t first = off_bytes >> p->page_shift;
	uint64_t last = len_bytes > UINT64_MAX - off_bytes
				? UINT64_MAX
				: (off_bytes + len_bytes - 1) >> p->page_shift;
	if (len_bytes == 0)
		return 0;
	return last - first < LOOKUP_MAX ? drop_by_page(f, first, last, which)
					 : drop_by_frame(f, first, last, which);
}

/* In write-back mode anybody may dirty a resident page at any time, so none is resident while the backing changes. */
static int flush_and_drop(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes)
{
	bool is_dirty = atomic_load_explicit(&f->dirty_count, memory_order_acquire) > 0;
	int err = is_dirty ? flush_range_held(f, off_bytes, len_bytes) : 0;
	if (err == 0 && f->pool->config.is_write_back)
		err = frames_drop(f, off_bytes, len_bytes, DROP_WRITTEN);
	return err;
}

int pool_change_begin(struct pool_file *f, struct pool_change *c, uint64_t off_bytes,
		      uint64_t len_bytes, bool is_truncate)
{
	uint64_t mask = f->pool->config.page_bytes - 1;
	uint64_t end = len_bytes > UINT64_MAX - mask - off_bytes
			       ? UINT64_MAX
			       : (off_bytes + len_bytes + mask) & ~mask;
	uint64_t start = off_bytes & ~mask;
	/* Beyond the end that we know of there may be more by now, of which the last page's frame has zeros. */
	bool has_frames = atomic_load_explicit(&f->frames, memory_order_acquire) > 0;
	if (!is_truncate && has_frames && end > pool_file_size(f))
		(void)file_size_now(f);
	*c = (struct pool_change){.off_bytes = start,
				  .len_bytes = end == UINT64_MAX ? POOL_TO_END : end - start,
				  .is_truncate = is_truncate};
	range_acquire(&f->ranges, &c->hold, RANGE_CHANGE, start, c->len_bytes);
	file_look_underneath(f);
	if (is_truncate || atomic_load_explicit(&f->frames, memory_order_acquire) == 0)
		return 0;
	int err = flush_and_drop(f, start, c->len_bytes);
	if (err < 0)
		range_release(&f->ranges, &c->hold);
	return err;
}

/* The frame for bytes that were written to the backing: the resident one, or a new one for a whole page; EXCL or FILLING. */
static uint32_t frame_for_update(struct pool *p, const struct page_ref *r, bool is_whole, bool *is_new)
{
	uint32_t frame = table_lock(p, r);
	*is_new = false;
	if (frame != FRAME_NONE || !is_whole)
		return frame;
	*is_new = table_claim(p, r, &frame) == CLAIM_OURS;
	return *is_new ? frame : FRAME_NONE;
}

static void update(struct pool_file *f, const unsigned char *mem, uint64_t at_bytes, size_t moved_bytes)
{
	struct pool *p = f->pool;
	for (size_t done = 0; done < moved_bytes;) {
		struct page_ref r = page_ref_of(f, (at_bytes + done) >> p->page_shift);
		size_t lead = (size_t)((at_bytes + done) & (p->config.page_bytes - 1));
		size_t n = p->config.page_bytes - lead < moved_bytes - done ? p->config.page_bytes - lead
									    : moved_bytes - done;
		bool is_new;
		bool is_whole = n == p->config.page_bytes;
		uint32_t frame = frame_for_update(p, &r, is_whole, &is_new);
		if (frame != FRAME_NONE && !is_whole && !page_is_sound(f, frame)) {
			table_remove(p, frame);
		} else if (frame != FRAME_NONE) {
			memcpy(pool_mem(p, frame) + lead, mem + done, n);
			sum_keep(p, frame);
			if (is_new)
				frame_publish(&p->frames[frame], 0);
			else
				frame_unlock(&p->frames[frame], 0);
		}
		done += n;
	}
}

/* What is beyond the new end reads as zeros if the file grows again. */
void frames_cut(struct pool_file *f, uint64_t size_bytes)
{
	struct pool *p = f->pool;
	uint64_t mask = p->config.page_bytes - 1;
	uint64_t beyond = (size_bytes + mask) & ~mask;
	if (beyond >= size_bytes)
		(void)frames_drop(f, beyond, POOL_TO_END, DROP_ALL);
	if ((size_bytes & mask) == 0)
		return;
	struct page_ref r = page_ref_of(f, size_bytes >> p->page_shift);
	uint32_t frame = table_lock(p, &r);
	if (frame == FRAME_NONE)
		return;
	if (!page_is_sound(f, frame)) {
		table_remove(p, frame);
		return;
	}
	memset(pool_mem(p, frame) + (size_bytes & mask), 0,
	       p->config.page_bytes - (size_t)(size_bytes & mask));
	sum_keep(p, frame);
	frame_unlock(&p->frames[frame], 0);
}

/* A write through made the backing's time newer than any dirty page's: flushing those must not set it back. */
static void note_written(struct pool_file *f)
{
	file_own_change(f);
	mutex_lock(&f->mutex);
	if (f->mtime_ns != 0)
		f->mtime_ns = pool_realtime_ns();
	mutex_unlock(&f->mutex);
}

void pool_change_end(struct pool_file *f, struct pool_change *c, const unsigned char *mem,
		     uint64_t at_bytes, size_t moved_bytes, uint64_t size_bytes)
{
	bool has_frames = atomic_load_explicit(&f->frames, memory_order_acquire) > 0;
	if (!mem)
		atomic_store_explicit(&f->may_be_sparse, true, memory_order_relaxed);
	if (size_bytes != POOL_SIZE_GREW)
		atomic_store_explicit(&f->size_bytes, size_bytes, memory_order_release);
	if (mem && moved_bytes > 0)
		update(f, mem, at_bytes, moved_bytes);
	else if (has_frames && c->is_truncate)
		frames_cut(f, size_bytes);
	else if (has_frames)
		(void)frames_drop(f, c->off_bytes, c->len_bytes, DROP_CLEAN);
	if (size_bytes == POOL_SIZE_GREW)
		file_size_raise(f, at_bytes + moved_bytes);
	note_written(f);
	range_release(&f->ranges, &c->hold);
}
