/*
 * Read-ahead. A stream that reads on where it ended is sequential: its window doubles up to pool_readahead, and when the reader
 * has come halfway through what was read ahead, the next window is queued; a thread brings it in. A jump closes the window, pages
 * that are evicted unread halve it. Owns the queue and the threads.
 */
#include <errno.h>
#include <stdlib.h>

#include "pool/pool_internal.h"

#define THREADS       2U
#define QUEUE_MAX     64U
#define WINDOW_FIRST  4U /* pages */
#define WINDOW_SMALL  16U /* that a pool of 128 frames and more has, however small */
#define SEQUENTIAL_OK 2U /* a window only after so many reads in a row: one may be chance */

struct task {
	struct pool_file *f; /* referenced */
	uint64_t page, count;
};

struct readahead {
	struct pool *pool;
	pthread_t thread[THREADS];
	unsigned started;
	struct mutex mutex; /* a leaf */
	pthread_cond_t changed;
	bool is_ending GUARDED_BY(mutex);
	struct task task[QUEUE_MAX] GUARDED_BY(mutex); /* a ring of count, from head */
	unsigned head GUARDED_BY(mutex), count GUARDED_BY(mutex);
};

static void carry_out(struct pool *p, const struct task *t)
{
	struct range_hold hold;
	struct fill fill = {.io = file_io_get(t->f), .is_ahead = true};
	if (fill.io) {
		range_acquire(&t->f->ranges, &hold, RANGE_FILL, t->page << p->page_shift,
			      t->count << p->page_shift);
		(void)fill_range(t->f, &fill, t->page, t->count); /* whoever wants the pages sees the error himself */
		range_release(&t->f->ranges, &hold);
		uint64_t bytes = (uint64_t)fill.filled << p->page_shift;
		file_count(t->f, CTR_POOL_READAHEAD_BYTES, bytes);
		file_count(t->f, CTR_DMA_BYTES, fill.dma_bytes);
		atomic_fetch_add_explicit(&p->stat_ahead_bytes, bytes, memory_order_relaxed);
	}
	io_put(fill.io);
	pool_file_put(t->f);
}

static bool take(struct readahead *ra, struct task *t)
{
	mutex_lock(&ra->mutex);
	while (ra->count == 0 && !ra->is_ending)
		pthread_cond_wait(&ra->changed, &ra->mutex.m);
	bool has = ra->count > 0;
	if (has) {
		*t = ra->task[ra->head];
		ra->head = (ra->head + 1) % QUEUE_MAX;
		ra->count--;
	}
	mutex_unlock(&ra->mutex);
	return has;
}

static void *run(void *arg)
{
	struct readahead *ra = arg;
	struct task t;
	(void)pthread_setname_np(pthread_self(), "zcfs-ahead");
	while (take(ra, &t))
		carry_out(ra->pool, &t);
	return NULL;
}

/* False: there is too much to do already. */
static bool queue(struct readahead *ra, struct pool_file *f, uint64_t page, uint64_t count)
{
	mutex_lock(&ra->mutex);
	bool has_room = ra->count < QUEUE_MAX && !ra->is_ending;
	if (has_room) {
		ra->task[(ra->head + ra->count++) % QUEUE_MAX] = (struct task){f, page, count};
		pthread_cond_signal(&ra->changed);
	}
	mutex_unlock(&ra->mutex);
	return has_room;
}

/* The window after this read, in pages; 0: none. */
static uint32_t next_window(struct pool_file *f, struct pool_stream *s, bool is_sequential)
{
	const struct pool *p = f->pool;
	uint32_t largest = (uint32_t)(p->config.readahead_bytes >> p->page_shift);
	uint32_t frames = atomic_load_explicit(&p->frames_count, memory_order_relaxed);
	uint32_t wasted = atomic_load_explicit(&f->wasted_pages, memory_order_relaxed);
	uint32_t window = atomic_load_explicit(&s->window_pages, memory_order_relaxed);
	bool was_wasteful =
		atomic_exchange_explicit(&s->wasted_seen, wasted, memory_order_relaxed) != wasted;
	/* not so much that it takes the place of what is used, in policies whose first queue is small */
	uint32_t few = frames / 8 < WINDOW_SMALL ? frames / 8 : WINDOW_SMALL;
	uint32_t share = frames / 32 > few ? frames / 32 : few;
	largest = largest < share ? largest : share;
	if (!is_sequential)
		return 0;
	if (window < WINDOW_FIRST)
		window++;
	else if (was_wasteful)
		/* it was doubled already, for the next one */
		window = window / 4 > WINDOW_FIRST ? window / 4 : WINDOW_FIRST;
	return window < largest ? window : largest;
}

void readahead_after_read(struct pool_file *f, struct pool_stream *s, uint64_t off_bytes, uint64_t len_bytes)
{
	struct pool *p = f->pool;
	uint64_t end = off_bytes + len_bytes;
	/* loads and stores: requests at once have no order to be in */
	bool is_sequential = atomic_load_explicit(&s->next_off, memory_order_relaxed) == off_bytes &&
			     off_bytes > 0;
	atomic_store_explicit(&s->next_off, end, memory_order_relaxed);
	if (!p->readahead ||
	    (!is_sequential && atomic_load_explicit(&s->window_pages, memory_order_relaxed) == 0))
		return;
	uint32_t window = next_window(f, s, is_sequential);
	atomic_store_explicit(&s->window_pages, window, memory_order_relaxed);
	if (window < SEQUENTIAL_OK)
		return;
	uint64_t ahead = atomic_load_explicit(&s->ahead_off, memory_order_relaxed);
	uint64_t window_bytes = (uint64_t)window << p->page_shift;
	if (ahead < end || ahead > end + 2 * p->config.readahead_bytes)
		ahead = end;
	if (ahead - end > window_bytes / 2)
		return;
	uint64_t size = atomic_load_explicit(&f->size_bytes, memory_order_relaxed);
	uint64_t page = (ahead + p->config.page_bytes - 1) >> p->page_shift;
	uint64_t pages = (size + p->config.page_bytes - 1) >> p->page_shift;
	uint64_t count = page < pages ? pages - page : 0;
	count = count < window ? count : window;
	if (count == 0)
		return;
	file_ref(f);
	if (!queue(p->readahead, f, page, count)) {
		pool_file_put(f);
		return;
	}
	atomic_store_explicit(&s->ahead_off, (page + count) << p->page_shift, memory_order_relaxed);
	/* As long as it goes well, the next one is twice as large. */
	if (window >= WINDOW_FIRST)
		atomic_store_explicit(&s->window_pages, window * 2, memory_order_relaxed);
}

int readahead_start(struct pool *p)
{
	struct readahead *ra = calloc(1, sizeof(*ra));
	int err = 0;
	if (!ra)
		return -ENOMEM;
	ra->pool = p;
	mutex_init(&ra->mutex);
	pthread_cond_init(&ra->changed, NULL);
	p->readahead = ra;
	while (ra->started < THREADS && err == 0) {
		err = -pthread_create(&ra->thread[ra->started], NULL, run, ra);
		ra->started += err == 0;
	}
	if (ra->started > 0) /* fewer will do */
		return 0;
	p->readahead = NULL;
	pthread_cond_destroy(&ra->changed);
	mutex_fini(&ra->mutex);
	free(ra);
	return err;
}

void readahead_stop(struct pool *p)
{
	struct readahead *ra = p->readahead;
	if (!ra)
		return;
	mutex_lock(&ra->mutex);
	ra->is_ending = true;
	pthread_cond_broadcast(&ra->changed);
	mutex_unlock(&ra->mutex);
	for (unsigned i = 0; i < ra->started; i++)
		pthread_join(ra->thread[i], NULL);
	p->readahead = NULL;
	pthread_cond_destroy(&ra->changed);
	mutex_fini(&ra->mutex);
	free(ra);
}

uint64_t readahead_queued(struct pool *p)
{
	struct readahead *ra = p->readahead;
	if (!ra)
		return 0;
	mutex_lock(&ra->mutex);
	uint64_t n = ra->count;
	mutex_unlock(&ra->mutex);
	return n;
}
