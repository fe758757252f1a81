/*
 * Bringing pages in: claimed frames next to each other are read by one call. Owns what is told to those who waited for a page that
 * could not be read, and the checksums of clean pages.
 */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "pool/pool_internal.h"

#define RUN_MAX 64U /* pages one read brings in */

void sum_keep(struct pool *p, uint32_t frame)
{
	if (p->sums)
		atomic_store_explicit(&p->sums[frame],
				      XXH3_64bits(pool_mem(p, frame), p->config.page_bytes),
				      memory_order_relaxed);
}

bool sum_holds(struct pool *p, uint32_t frame)
{
	return atomic_load_explicit(&p->sums[frame], memory_order_relaxed) ==
	       XXH3_64bits(pool_mem(p, frame), p->config.page_bytes);
}

bool page_is_sound(struct pool_file *f, uint32_t frame)
{
	struct pool *p = f->pool;
	if (!p->sums || frame_load(&p->frames[frame]) & (FRAME_DIRTY | FRAME_WRITING) ||
	    sum_holds(p, frame))
		return true;
	file_count(f, CTR_POOL_VERIFY_FAILURES, 1);
	atomic_fetch_add_explicit(&p->stat_verify_failures, 1, memory_order_relaxed);
	log_err("a clean page of the buffer pool was changed in memory; it is read again");
	return false;
}

struct run {
	uint64_t page; /* of the first frame */
	uint32_t count;
	uint32_t frame[RUN_MAX];
};

/* Bytes of the run's pages, the rest zeroed (the file ends); or -errno. */
static ssize_t run_read(struct pool_file *f, struct fill *fill, const struct run *run,
			uint32_t first, uint32_t count)
{
	struct pool *p = f->pool;
	struct iovec iov[RUN_MAX];
	for (uint32_t i = 0; i < count; i++)
		iov[i] = (struct iovec){pool_mem(p, run->frame[first + i]), p->config.page_bytes};
	ssize_t n = fill->io->ops->read(fill->io, iov, (int)count, (run->page + first) << p->page_shift);
	fill->syscalls++;
	if (n < 0)
		return n;
	fill->dma_bytes += (uint64_t)n;
	for (uint32_t i = (uint32_t)((uint64_t)n >> p->page_shift); i < count; i++) {
		size_t kept = (size_t)n > (size_t)i << p->page_shift
				      ? (size_t)n - ((size_t)i << p->page_shift)
				      : 0;
		memset((unsigned char *)iov[i].iov_base + kept, 0, p->config.page_bytes - kept);
	}
	return n;
}

static void run_publish(struct pool_file *f, struct fill *fill, const struct run *run,
			uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		sum_keep(f->pool, run->frame[i]);
		frame_publish(&f->pool->frames[run->frame[i]], fill->is_ahead ? FRAME_AHEAD : 0);
	}
	fill->filled += count;
}

/* Whoever waits for the page is to have the same error. */
static void note_failed_fill(struct pool_file *f, uint64_t page, int err)
{
	mutex_lock(&f->mutex);
	f->failed[f->failed_seq++ % FAILED_KEPT] = (struct failed_fill){page, err};
	mutex_unlock(&f->mutex);
}

int fill_failed_since(struct pool_file *f, uint64_t page, uint32_t since)
{
	int err = 0;
	mutex_lock(&f->mutex);
	uint32_t count = f->failed_seq - since;
	for (uint32_t i = 0; i < (count < FAILED_KEPT ? count : FAILED_KEPT) && err == 0; i++)
		if (f->failed[i].page == page)
			err = f->failed[i].err;
	mutex_unlock(&f->mutex);
	return err;
}

uint32_t fill_failed_now(struct pool_file *f)
{
	mutex_lock(&f->mutex);
	uint32_t seq = f->failed_seq;
	mutex_unlock(&f->mutex);
	return seq;
}

/* One read for all; where that fails each page by itself, so that a bad one does not take its neighbours with it. */
static int run_fill(struct pool_file *f, struct fill *fill, const struct run *run)
{
	ssize_t n = run_read(f, fill, run, 0, run->count);
	int first_err = n < 0 ? (int)n : 0;
	if (n >= 0)
		run_publish(f, fill, run, 0, run->count);
	bool is_tried_singly = n < 0 && run->count > 1 && !fill->is_ahead;
	if (is_tried_singly)
		first_err = 0;
	for (uint32_t i = 0; i < run->count && n < 0; i++) {
		ssize_t one = is_tried_singly ? run_read(f, fill, run, i, 1) : n;
		if (one >= 0) {
			run_publish(f, fill, run, i, 1);
			continue;
		}
		note_failed_fill(f, run->page + i, (int)one);
		table_unclaim(f->pool, run->frame[i]);
		if (first_err == 0)
			first_err = (int)one;
	}
	return first_err;
}

int fill_range(struct pool_file *f, struct fill *fill, uint64_t page, uint64_t count)
{
	struct run run = {.count = 0};
	int first_err = 0;
	for (uint64_t i = 0; i <= count; i++) {
		struct page_ref r = page_ref_of(f, page + i);
		uint32_t frame;
		enum claim c = i < count ? table_claim(f->pool, &r, &frame) : CLAIM_THERE;
		if (c == CLAIM_OURS) {
			if (run.count == 0)
				run.page = page + i;
			run.frame[run.count++] = frame;
		}
		fill->was_full = fill->was_full || c == CLAIM_FULL;
		if (run.count > 0 && (c != CLAIM_OURS || run.count == RUN_MAX)) {
			int err = run_fill(f, fill, &run);
			if (err < 0 && first_err == 0)
				first_err = err;
			run.count = 0;
		}
	}
	return first_err;
}
