/*
 * The flusher thread: when dirty pages are written without anybody's asking. Time goes in intervals of pool_flush_interval, each of
 * TICKS ticks; what is dirty at the start of one is written evenly over its first half, so no page is dirty for much longer than an
 * interval, and writes do not come in bursts. Where much is dirty, or no frame is clean, it does not wait for the tick.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "pool/pool_internal.h"

#define TICKS       16U
#define TICKS_BUSY  8U
#define PRESSED_MIN 1024U /* pages a pass writes of a file where there is pressure */

struct flusher {
	struct pool *pool;
	pthread_t thread;
	struct mutex mutex; /* a leaf */
	pthread_cond_t changed; /* of CLOCK_MONOTONIC */
	bool is_ending GUARDED_BY(mutex);
	bool is_woken GUARDED_BY(mutex);
	/* the thread's own */
	unsigned tick;
	bool is_pressed;
};

static uint64_t due_now(struct flusher *fl, struct pool_file *f, uint64_t dirty)
{
	if (fl->is_pressed)
		return dirty < PRESSED_MIN ? dirty : PRESSED_MIN;
	if (fl->tick == 0)
		f->due = dirty;
	if (fl->tick >= TICKS_BUSY)
		return 0;
	uint64_t n = (f->due + TICKS_BUSY - fl->tick - 1) / (TICKS_BUSY - fl->tick);
	f->due -= n;
	return n;
}

static int visit(struct pool_file *f)
{
	struct flusher *fl = f->pool->flusher;
	uint64_t dirty = atomic_load_explicit(&f->dirty_count, memory_order_acquire);
	if (dirty == 0)
		return 0;
	uint64_t n = due_now(fl, f, dirty);
	int err = n > 0 ? flush_oldest(f, n) : 0;
	if (err < 0)
		f->due = 0; /* in the next interval again */
	return err;
}

/* More than three quarters of what may be dirty is. */
static bool is_much_dirty(const struct pool *p)
{
	uint64_t limit = (uint64_t)atomic_load_explicit(&p->frames_count, memory_order_relaxed) *
			 p->config.dirty_max_percent / 100;
	return atomic_load_explicit(&p->dirty_frames, memory_order_relaxed) > limit - limit / 4;
}

/* A tick's time, or less if woken. False when ending. */
static bool rest(struct flusher *fl)
{
	double tick_s = fl->pool->config.flush_interval_s / TICKS;
	struct timespec until;
	int rc = 0;
	mutex_lock(&fl->mutex);
	/* With nothing dirty it wakes nobody: the first page that becomes so ends the sleep (flusher_begin()). */
	while (!fl->is_ending && !fl->is_woken &&
	       atomic_load_explicit(&fl->pool->dirty_frames, memory_order_seq_cst) == 0)
		pthread_cond_wait(&fl->changed, &fl->mutex.m);
	clock_gettime(CLOCK_MONOTONIC, &until);
	int64_t ns = (int64_t)(tick_s * 1e9) + until.tv_nsec;
	until.tv_sec += ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	while (!fl->is_ending && !fl->is_woken && rc == 0)
		rc = pthread_cond_timedwait(&fl->changed, &fl->mutex.m, &until);
	fl->is_pressed = fl->is_woken;
	fl->is_woken = false;
	bool is_going_on = !fl->is_ending;
	mutex_unlock(&fl->mutex);
	return is_going_on;
}

static void *run(void *arg)
{
	struct flusher *fl = arg;
	(void)pthread_setname_np(pthread_self(), "zcfs-flush");
	while (rest(fl)) {
		/* However it came about; a file whose pages cannot be written must not keep it busy. */
		fl->is_pressed = fl->is_pressed || is_much_dirty(fl->pool);
		int err = files_each(fl->pool, visit);
		if (err == 0 && fl->is_pressed && is_much_dirty(fl->pool))
			flusher_wake(fl->pool);
		if (!fl->is_pressed)
			fl->tick = (fl->tick + 1) % TICKS;
	}
	return NULL;
}

int flusher_start(struct pool *p)
{
	struct flusher *fl = calloc(1, sizeof(*fl));
	if (!fl)
		return -ENOMEM;
	fl->pool = p;
	mutex_init(&fl->mutex);
	cond_init_monotonic(&fl->changed);
	p->flusher = fl;
	int err = pthread_create(&fl->thread, NULL, run, fl);
	if (err == 0)
		return 0;
	p->flusher = NULL;
	pthread_cond_destroy(&fl->changed);
	mutex_fini(&fl->mutex);
	free(fl);
	return -err;
}

void flusher_stop(struct pool *p)
{
	struct flusher *fl = p->flusher;
	if (!fl)
		return;
	mutex_lock(&fl->mutex);
	fl->is_ending = true;
	pthread_cond_signal(&fl->changed);
	mutex_unlock(&fl->mutex);
	pthread_join(fl->thread, NULL);
	p->flusher = NULL;
	pthread_cond_destroy(&fl->changed);
	mutex_fini(&fl->mutex);
	free(fl);
}

void flusher_begin(struct pool *p)
{
	struct flusher *fl = p->flusher;
	if (!fl)
		return;
	mutex_lock(&fl->mutex);
	pthread_cond_signal(&fl->changed);
	mutex_unlock(&fl->mutex);
}

void flusher_wake(struct pool *p)
{
	struct flusher *fl = p->flusher;
	if (!fl)
		return;
	mutex_lock(&fl->mutex);
	fl->is_woken = true;
	pthread_cond_signal(&fl->changed);
	mutex_unlock(&fl->mutex);
}
