/*
 * The invalidation thread and its queue. Owns the queued items. The inode numbers in them stay valid while a WRITE is
 * unanswered, because the kernel holds the inode; a number that went stale names nothing, or costs another inode its cache.
 */
#include "ops/notify.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/lock.h"

struct item {
	struct item *next;
	struct reply_to to;
	fuse_ino_t ino;
	uint64_t off_bytes;
	uint64_t len_bytes;
	size_t written_bytes;
	bool has_answer; /* to: a WRITE waits for it */
	/* guarded by the notifier's mutex */
	bool is_waited; /* by notifier_drop_within(), which frees it */
	bool is_done;
};

struct notifier {
	struct fuse_session *se;
	pthread_t thread;
	struct mutex mutex; /* a leaf */
	pthread_cond_t changed;
	pthread_cond_t done; /* of CLOCK_MONOTONIC: some item that is waited for */
	struct item *head GUARDED_BY(mutex);
	struct item **tail GUARDED_BY(mutex);
	bool is_ending GUARDED_BY(mutex);
};

static void item_carry_out(struct notifier *n, const struct item *it)
{
	/* ENOENT: the kernel has no such inode cached, so no pages either. */
	(void)fuse_lowlevel_notify_inval_inode(n->se, it->ino, (off_t)it->off_bytes, (off_t)it->len_bytes);
	if (it->has_answer)
		reply_send_written(NULL, &it->to, it->written_bytes);
}

/* The next item, waiting for one; NULL when ending and drained. */
static struct item *item_take(struct notifier *n) EXCLUDES(n->mutex)
{
	mutex_lock(&n->mutex);
	while (!n->head && !n->is_ending)
		pthread_cond_wait(&n->changed, &n->mutex.m);
	struct item *it = n->head;
	if (it) {
		n->head = it->next;
		if (!n->head)
			n->tail = &n->head;
	}
	mutex_unlock(&n->mutex);
	return it;
}

/* Whoever is last to know the item frees it. */
static void item_end(struct notifier *n, struct item *it) EXCLUDES(n->mutex)
{
	mutex_lock(&n->mutex);
	bool is_waited = it->is_waited;
	it->is_done = true;
	if (is_waited)
		pthread_cond_broadcast(&n->done);
	mutex_unlock(&n->mutex);
	if (!is_waited)
		free(it);
}

static void *notifier_run(void *arg)
{
	struct notifier *n = arg;
	(void)pthread_setname_np(pthread_self(), "zcfs-notify");
	for (struct item *it = item_take(n); it; it = item_take(n)) {
		item_carry_out(n, it);
		item_end(n, it);
	}
	return NULL;
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
	int err = pthread_create(&n->thread, NULL, notifier_run, n);
	if (err) {
		pthread_cond_destroy(&n->changed);
		pthread_cond_destroy(&n->done);
		mutex_fini(&n->mutex);
		free(n);
		return -err;
	}
	*out = n;
	return 0;
}

void notifier_stop(struct notifier *n)
{
	mutex_lock(&n->mutex);
	n->is_ending = true;
	pthread_cond_signal(&n->changed);
	mutex_unlock(&n->mutex);
	pthread_join(n->thread, NULL);
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
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
	if (!it) {
		item_carry_out(n, on_stack);
		return;
	}
	*it = *on_stack;
	if (!item_put(n, it)) {
		if (it->has_answer)
			reply_send_written(NULL, &it->to, it->written_bytes);
		free(it);
	}
}

void notifier_answer_write(struct notifier *n, const struct reply_to *to, fuse_ino_t ino,
			   uint64_t off_bytes, uint64_t len_bytes, size_t written_bytes)
{
	const struct item it = {.to = *to,
				.ino = ino,
				.off_bytes = off_bytes,
				.len_bytes = len_bytes,
				.written_bytes = written_bytes,
				.has_answer = true};
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
	struct timespec until;
	int rc = 0;
	struct item *it = malloc(sizeof(*it));
	if (!it)
		return;
	*it = (struct item){.ino = ino, .off_bytes = off_bytes, .len_bytes = len_bytes, .is_waited = true};
	if (!item_put(n, it)) {
		free(it);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += wait_ns % 1000000000;
	until.tv_sec += wait_ns / 1000000000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	mutex_lock(&n->mutex);
	while (!it->is_done && rc == 0)
		rc = pthread_cond_timedwait(&n->done, &n->mutex.m, &until);
	bool is_done = it->is_done;
	it->is_waited = false;
	mutex_unlock(&n->mutex);
	if (is_done)
		free(it);
}
