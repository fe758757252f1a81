/*
 * Reading through the pool. A request whose pages are all there pins them, without a lock and without waiting, and is answered
 * from the frames. Otherwise the missing pages are brought in, neighbours by one read, and the pins tried again; where that
 * does not come out (a pool of a few frames, a page that is being changed) the pages are gathered in the caller's scratch memory
 * one by one. So no thread waits for anything while it has a pin.
 */
#include <errno.h>
#include <string.h>

#include "pool/pool_internal.h"

#define TRIES 3

struct pages {
	uint64_t first, count;
	size_t lead; /* of the request in the first page */
};

static struct pages pages_of(const struct pool *p, uint64_t off_bytes, size_t len_bytes)
{
	struct pages pg = {.first = off_bytes >> p->page_shift,
			   .lead = (size_t)(off_bytes & (p->config.page_bytes - 1))};
	pg.count = ((off_bytes + len_bytes - 1) >> p->page_shift) - pg.first + 1;
	return pg;
}

static void unpin_all(struct pool *p, const struct pool_view *view, size_t count)
{
	for (size_t i = 0; i < count; i++)
		frame_unpin(&p->frames[view->frame[i]]);
}

/* Pins every page, or none. */
static bool pin_all(struct pool_file *f, const struct pages *pg, size_t len_bytes, struct pool_view *view)
{
	struct pool *p = f->pool;
	size_t lead = pg->lead, left = len_bytes;
	for (uint64_t i = 0; i < pg->count; i++) {
		struct page_ref r = page_ref_of(f, pg->first + i);
		uint32_t frame = table_try_pin(p, &r);
		if (frame == FRAME_NONE) {
			unpin_all(p, view, i);
			return false;
		}
		size_t n = p->config.page_bytes - lead < left ? p->config.page_bytes - lead : left;
		view->frame[i] = frame;
		view->iov[i + 1] = (struct iovec){pool_mem(p, frame) + lead, n};
		left -= n;
		lead = 0;
	}
	view->count = pg->count;
	return true;
}

/* A page that does not hold its sum goes, to be read again. */
static void drop_unsound(struct pool *p, const struct page_ref *r)
{
	uint32_t frame = table_lock(p, r);
	if (frame == FRAME_NONE)
		return;
	if (frame_load(&p->frames[frame]) & (FRAME_DIRTY | FRAME_WRITING) || sum_holds(p, frame))
		frame_unlock(&p->frames[frame], 0);
	else
		table_remove(p, frame);
}

/* False: some page was changed in memory; nothing is pinned then. */
static bool verify_all(struct pool_file *f, const struct pages *pg, struct pool_view *view)
{
	struct pool *p = f->pool;
	bool is_good = true;
	for (size_t i = 0; i < view->count; i++)
		is_good = page_is_sound(f, view->frame[i]) && is_good;
	if (is_good)
		return true;
	unpin_all(p, view, view->count);
	for (uint64_t i = 0; i < pg->count; i++) {
		struct page_ref r = page_ref_of(f, pg->first + i);
		drop_unsound(p, &r);
	}
	return false;
}

static bool pin_good(struct pool_file *f, const struct pages *pg, size_t len_bytes, struct pool_view *view)
{
	return pin_all(f, pg, len_bytes, view) &&
	       (f->pool->config.verify != POOL_VERIFY_ALWAYS || verify_all(f, pg, view));
}

/*
 * Tells the policy; bringing a page in was its first use. A page that the open touched last is not used again by being read on:
 * otherwise every scan by small reads would look like pages that are used often.
 */
static void note_uses(struct pool *p, const struct pages *pg, struct pool_stream *stream,
		      const struct pool_view *view, bool is_hit)
{
	uint64_t last = stream ? atomic_load_explicit(&stream->last_page, memory_order_relaxed) : 0;
	if (stream && last != pg->first + pg->count)
		atomic_store_explicit(&stream->last_page, pg->first + pg->count, memory_order_relaxed);
	for (size_t i = 0; i < view->count; i++) {
		bool is_ahead = frame_take_ahead(&p->frames[view->frame[i]]);
		if (is_hit && !is_ahead && pg->first + i + 1 != last)
			table_hit(p, view->frame[i]);
	}
}

/* Waits for pages that others are filling, without holding anything. 0, or their -errno. `since`: fill_failed_now() of before. */
static int await_fills(struct pool_file *f, const struct pages *pg, uint32_t since)
{
	int err = 0;
	for (uint64_t i = 0; i < pg->count; i++) {
		struct page_ref r = page_ref_of(f, pg->first + i);
		uint32_t frame = table_find(f->pool, &r);
		if (frame == FRAME_NONE)
			continue;
		struct frame *fr = &f->pool->frames[frame];
		uint32_t word = frame_load(fr);
		if (!(word & FRAME_FILLING))
			continue;
		frame_wait(fr, word);
		if (err == 0)
			err = fill_failed_since(f, pg->first + i, since);
	}
	return err;
}

/* One page into mem, from its frame or, where it has none, from the backing. 0, -errno, or 1: again. */
static int gather_page(struct pool_file *f, struct fill *fill, uint64_t page, unsigned char *mem)
{
	struct pool *p = f->pool;
	struct page_ref r = page_ref_of(f, page);
	struct range_hold hold;
	uint32_t frame = table_pin_wait(p, &r);
	if (frame == FRAME_NONE) {
		range_acquire(&f->ranges, &hold, RANGE_FILL, page << p->page_shift, p->config.page_bytes);
		frame = table_pin_wait(p, &r); /* now nobody changes it past the pool */
		ssize_t n = 0;
		if (frame == FRAME_NONE) {
			struct iovec iov = {mem, p->config.page_bytes};
			n = fill->io->ops->read(fill->io, &iov, 1, page << p->page_shift);
			fill->syscalls++;
		}
		range_release(&f->ranges, &hold);
		if (frame == FRAME_NONE) {
			if (n < 0)
				return (int)n;
			fill->dma_bytes += (uint64_t)n;
			memset(mem + n, 0, p->config.page_bytes - (size_t)n);
			return 0;
		}
	}
	bool is_sound = p->config.verify != POOL_VERIFY_ALWAYS || page_is_sound(f, frame);
	memcpy(mem, pool_mem(p, frame), p->config.page_bytes);
	frame_unpin(&p->frames[frame]);
	if (is_sound)
		return 0;
	drop_unsound(p, &r);
	return 1;
}

static int gather(struct pool_file *f, struct fill *fill, const struct pages *pg,
		  unsigned char *scratch, struct pool_view *view)
{
	for (uint64_t i = 0; i < pg->count; i++) {
		int err;
		do
			err = gather_page(f, fill, pg->first + i, scratch + (i << f->pool->page_shift));
		while (err > 0);
		if (err < 0)
			return err;
	}
	view->count = 0;
	view->mem = scratch + pg->lead;
	return 0;
}

static int read_missing(struct pool_file *f, const struct pages *pg, size_t len_bytes,
			unsigned char *scratch, struct pool_view *view)
{
	struct pool *p = f->pool;
	struct range_hold hold;
	struct fill fill = {.io = file_io_get(f)};
	bool is_pinned = false;
	int err = fill.io ? 0 : -EIO;
	for (int i = 0; i < TRIES && err == 0 && !is_pinned; i++) {
		uint32_t failed = fill_failed_now(f);
		range_acquire(&f->ranges, &hold, RANGE_FILL, pg->first << p->page_shift,
			      pg->count << p->page_shift);
		err = fill_range(f, &fill, pg->first, pg->count);
		range_release(&f->ranges, &hold);
		if (err == 0 && fill.was_full)
			flusher_wake(p);
		if (err < 0 || fill.was_full)
			break;
		err = await_fills(f, pg, failed);
		is_pinned = err == 0 && pin_good(f, pg, len_bytes, view);
	}
	if (err == 0 && !is_pinned)
		err = gather(f, &fill, pg, scratch, view);
	io_put(fill.io);
	view->dma_bytes = fill.dma_bytes;
	view->syscalls += fill.syscalls;
	uint64_t missed = fill.was_full             ? pg->count
			  : fill.filled < pg->count ? fill.filled
						    : pg->count;
	uint64_t missed_bytes = missed << p->page_shift;
	view->miss_pages = missed;
	view->miss_bytes = missed == pg->count || missed_bytes > len_bytes ? len_bytes : missed_bytes;
	return err;
}

/* The file's size where a request passes the one known: it may have grown underneath, and sizes are cheap to ask for. */
uint64_t file_size_now(struct pool_file *f)
{
	uint64_t known = atomic_load_explicit(&f->size_bytes, memory_order_acquire);
	struct pool_io *io = file_io_get(f);
	uint64_t size = known;
	int err = io ? io->ops->size(io, &size) : -EIO;
	if (err == 0 && size != known) {
		struct range_hold hold;
		uint64_t from =
			(size < known ? size : known) & ~(uint64_t)(f->pool->config.page_bytes - 1);
		range_acquire(&f->ranges, &hold, RANGE_CHANGE, from, POOL_TO_END);
		known = atomic_load_explicit(&f->size_bytes, memory_order_relaxed);
		if (io->ops->size(io, &size) == 0 && size != known)
			file_resized_underneath(f, from, size);
		range_release(&f->ranges, &hold);
		size = atomic_load_explicit(&f->size_bytes, memory_order_relaxed);
	}
	io_put(io);
	return size;
}

ssize_t pool_read(struct pool_file *f, uint64_t off_bytes, size_t len_bytes,
		  struct pool_stream *stream, unsigned char *scratch, struct pool_view *view)
{
	uint64_t size = atomic_load_explicit(&f->size_bytes, memory_order_acquire);
	view->count = 0;
	view->mem = scratch;
	view->hit_bytes = view->miss_bytes = view->hit_pages = view->miss_pages = view->dma_bytes = 0;
	view->syscalls = 0;
	if (off_bytes + len_bytes > size) {
		size = file_size_now(f);
		view->syscalls = 1;
	}
	if (off_bytes >= size || len_bytes == 0)
		return 0;
	if (len_bytes > size - off_bytes)
		len_bytes = (size_t)(size - off_bytes);
	struct pool *p = f->pool;
	struct pages pg = pages_of(p, off_bytes, len_bytes);
	bool is_hit = pin_good(f, &pg, len_bytes, view);
	if (stream)
		readahead_after_read(f, stream, off_bytes, len_bytes);
	int err = is_hit ? 0 : read_missing(f, &pg, len_bytes, scratch, view);
	if (err < 0)
		return err;
	note_uses(p, &pg, stream, view, is_hit);
	view->hit_bytes = len_bytes - view->miss_bytes;
	view->hit_pages = pg.count - view->miss_pages;
	return (ssize_t)len_bytes;
}

void pool_view_done(struct pool_file *f, struct pool_view *view)
{
	if (view->count == 0) /* f may be gone by now: only pins keep it */
		return;
	unpin_all(f->pool, view, view->count);
	view->count = 0;
}
