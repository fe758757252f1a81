/*
 * The invalidation threads and their queue. Owns the queued items. The inode numbers in them stay valid while a WRITE is
 * unanswered, because the kernel holds the inode; a number that went stale names nothing, or costs another inode its cache.
 *
 * An item stays in the queue while a thread is at it. Threads take the first whose inode has none before it there: one that
 * waits for a page holds up its own inode, and one thread. No two depend on each other's order.
 */
#include "ops/notify.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"
#include "ops/abort.h"

#define THREADS_MAX 8
#define PATIENCE_NS (2LL * 1000 * 1000 * 1000)

struct item {
	struct item *next;
	struct reply_to to;
	fuse_ino_t ino;
	uint64_t off_bytes;
	uint64_t len_bytes;
	size_t written_bytes;
	/* guarded by the notifier's mutex */
	uint64_t number; /* from 1, ascending in the queue */
	bool owes_answer; /* to: a WRITE waits for it */
	bool is_taken; /* a thread is at it */
	bool is_old; /* there has been a tick since it was queued */
	bool is_waited; /* by notifier_drop_within(), which frees it */
	bool is_done;
};

struct notifier {
	struct fuse_session *se;
	struct mutex mutex; /* a leaf, but that a thread is started under it */
	pthread_cond_t changed;
	pthread_cond_t done; /* of CLOCK_MONOTONIC: some item that is waited for, or the last thread */
	struct item *head GUARDED_BY(mutex);
	struct item **tail GUARDED_BY(mutex);
	uint64_t last_number GUARDED_BY(mutex);
	bool is_ending GUARDED_BY(mutex);
	unsigned running GUARDED_BY(mutex);
	unsigned started GUARDED_BY(mutex);
	pthread_t thread[THREADS_MAX] GUARDED_BY(mutex); /* the first `started` */
};

static void drop_pages(struct notifier *n, const struct item *it)
{
	/* ENOENT: the kernel has no such inode cached, so no pages either. */
	(void)fuse_lowlevel_notify_inval_inode(n->se, it->ino, (off_t)it->off_bytes, (off_t)it->len_bytes);
}

/* The first item to be carried out next; NULL: none, but perhaps after one that a thread is at. */
static struct item *first_free_locked(const struct notifier *n) REQUIRES(n->mutex)
{
	for (struct item *it = n->head; it; it = it->next) {
		const struct item *before = n->head;
		while (before != it && before->ino != it->ino)
			before = before->next;
		if (before == it && !it->is_taken)
			return it;
	}
	return NULL;
}

/* The next item, waiting for one; NULL when ending: what is left then follows one that another thread is at. */
static struct item *item_take(struct notifier *n) EXCLUDES(n->mutex)
{
	struct item *it;
	mutex_lock(&n->mutex);
	while (!(it = first_free_locked(n)) && !n->is_ending)
		pthread_cond_wait(&n->changed, &n->mutex.m);
	if (it)
		it->is_taken = true;
	mutex_unlock(&n->mutex);
	return it;
}

static void remove_locked(struct notifier *n, const struct item *it) REQUIRES(n->mutex)
{
	struct item **link = &n->head;
	while (*link != it)
		link = &(*link)->next;
	*link = it->next;
	if (!*link)
		n->tail = link;
}

/* Whoever is last to know the item frees it. */
static void item_end(struct notifier *n, struct item *it) EXCLUDES(n->mutex)
{
	mutex_lock(&n->mutex);
	remove_locked(n, it);
	bool owes_answer = it->owes_answer, is_waited = it->is_waited;
	it->is_done = true;
	if (is_waited)
		pthread_cond_broadcast(&n->done);
	mutex_unlock(&n->mutex);
	if (owes_answer)
		reply_send_written(NULL, &it->to, it->written_bytes);
	if (!is_waited)
		free(it);
}

static void *notifier_run(void *arg)
{
	struct notifier *n = arg;
	(void)pthread_setname_np(pthread_self(), "zcfs-notify");
	for (struct item *it = item_take(n); it; it = item_take(n)) {
		drop_pages(n, it);
		item_end(n, it);
	}
	mutex_lock(&n->mutex);
	n->running--;
	pthread_cond_broadcast(&n->done);
	mutex_unlock(&n->mutex);
	return NULL;
}

static int start_thread_locked(struct notifier *n) REQUIRES(n->mutex)
{
	int err = pthread_create(&n->thread[n->started], NULL, notifier_run, n);
	if (err == 0) {
		n->started++;
		n->running++;
	}
	return -err;
}

int notifier_new(struct fuse_session *se, struct notifier **out)
{
	struct notifier *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->se = se;
	n->tail = &n->head;
	mutex_init(&n->mutex);
	pthread_cond_init(&n->changed, NULL);
	cond_init_monotonic(&n->done);
	mutex_lock(&n->mutex);
	int err = start_thread_locked(n);
	mutex_unlock(&n->mutex);
	if (err < 0)
		notifier_free(n);
	else
		*out = n;
	return err;
}

static struct timespec time_after(int64_t wait_ns)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += wait_ns % 1000000000;
	until.tv_sec += wait_ns / 1000000000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return until;
}

/* Whether all threads have left, at most so much later. */
static bool await_end(struct notifier *n, int64_t wait_ns) EXCLUDES(n->mutex)
{
	struct timespec until = time_after(wait_ns);
	int rc = 0;
	mutex_lock(&n->mutex);
	while (n->running > 0 && rc == 0)
		rc = pthread_cond_timedwait(&n->done, &n->mutex.m, &until);
	bool is_over = n->running == 0;
	mutex_unlock(&n->mutex);
	return is_over;
}

void notifier_stop(struct notifier *n, dev_t dev)
{
	mutex_lock(&n->mutex);
	n->is_ending = true;
	pthread_cond_broadcast(&n->changed);
	mutex_unlock(&n->mutex);
	if (!await_end(n, PATIENCE_NS)) {
		/* Its pages are the mount's, so that is there still, and so is its number. */
		int err = dev != 0 ? abort_connection(dev) : -ENODEV;
		if (err < 0)
			log_warn("unmounted, but the backing keeps a read waiting that the kernel's cache waits for, and the connection "
				 "cannot be aborted: %s; the daemon ends when the backing answers",
				 strerror(-err));
		(void)await_end(n, INT64_MAX);
	}
	for (; n->started > 0; n->started--) /* nothing is queued, so nobody starts another */
		pthread_join(n->thread[n->started - 1], NULL);
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	notifier_stop(n, 0);
	pthread_cond_destroy(&n->changed);
	pthread_cond_destroy(&n->done);
	mutex_fini(&n->mutex);
	free(n);
}

/* False: too late, the mount is going, and its cache with it. */
static bool item_put(struct notifier *n, struct item *it) EXCLUDES(n->mutex)
{
	mutex_lock(&n->mutex);
	bool is_late = n->is_ending;
	if (!is_late) {
		it->number = ++n->last_number;
		*n->tail = it;
		n->tail = &it->next;
		pthread_cond_signal(&n->changed);
	}
	mutex_unlock(&n->mutex);
	return !is_late;
}

static void enqueue(struct notifier *n, const struct item *on_stack) EXCLUDES(n->mutex)
{
	struct item *it = malloc(sizeof(*it));
	if (it)
		*it = *on_stack;
	else
		drop_pages(n, on_stack);
	if (it && item_put(n, it))
		return;
	free(it);
	if (on_stack->owes_answer)
		reply_send_written(NULL, &on_stack->to, on_stack->written_bytes);
}

void notifier_answer_write(struct notifier *n, const struct reply_to *to, fuse_ino_t ino,
			   uint64_t off_bytes, uint64_t len_bytes, size_t written_bytes)
{
	const struct item it = {.to = *to,
				.ino = ino,
				.off_bytes = off_bytes,
				.len_bytes = len_bytes,
				.written_bytes = written_bytes,
				.owes_answer = true};
	enqueue(n, &it);
}

void notifier_drop(struct notifier *n, fuse_ino_t ino, uint64_t off_bytes, uint64_t len_bytes)
{
	const struct item it = {.ino = ino, .off_bytes = off_bytes, .len_bytes = len_bytes};
	enqueue(n, &it);
}

void notifier_drop_within(struct notifier *n, fuse_ino_t ino, uint64_t off_bytes,
			  uint64_t len_bytes, int64_t wait_ns)
{
	int rc = 0;
	struct item *it = malloc(sizeof(*it));
	if (!it)
		return;
	*it = (struct item){.ino = ino, .off_bytes = off_bytes, .len_bytes = len_bytes, .is_waited = true};
	if (!item_put(n, it)) {
		free(it);
		return;
	}
	struct timespec until = time_after(wait_ns);
	mutex_lock(&n->mutex);
	while (!it->is_done && rc == 0)
		rc = pthread_cond_timedwait(&n->done, &n->mutex.m, &until);
	bool is_done = it->is_done;
	it->is_waited = false;
	mutex_unlock(&n->mutex);
	if (is_done)
		free(it);
}

bool notifier_tick(struct notifier *n)
{
	mutex_lock(&n->mutex);
	const struct item *next = first_free_locked(n);
	if (next && next->is_old && n->started < THREADS_MAX)
		(void)start_thread_locked(n); /* refused: tried again at the next tick */
	for (struct item *it = n->head; it; it = it->next)
		it->is_old = true;
	bool is_busy = n->head != NULL;
	mutex_unlock(&n->mutex);
	return is_busy;
}

bool notifier_next_waiting(struct notifier *n, uint64_t *number, uint32_t *pid)
{
	mutex_lock(&n->mutex);
	struct item *it = n->head;
	while (it && !(it->number > *number && it->owes_answer && it->is_old))
		it = it->next;
	if (it) {
		*number = it->number;
		*pid = it->to.pid;
	}
	mutex_unlock(&n->mutex);
	return it;
}

void notifier_answer_now(struct notifier *n, uint64_t number)
{
	struct reply_to to;
	size_t written_bytes = 0;
	mutex_lock(&n->mutex);
	struct item *it = n->head;
	while (it && !(it->number == number && it->owes_answer))
		it = it->next;
	if (it) {
		to = it->to;
		written_bytes = it->written_bytes;
		it->owes_answer = false;
	}
	mutex_unlock(&n->mutex);
	if (it)
		reply_send_written(NULL, &to, written_bytes);
}
