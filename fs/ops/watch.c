/*
 * The watching thread. Owns the slots. It sleeps for good while nothing is in service, so an idle mount wakes nobody: a worker
 * that begins a request then wakes it (watch_begin()).
 */
#include "ops/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "ops/notify.h"
#include "ops/reply.h"

#define TICK_S       1
#define OPCODE_STATX 52 /* FUSE_STATX, in headers from Linux 6.6 on */
#define SIGKILL_BIT  (1ULL << (SIGKILL - 1))
#define PF_EXITING   0x4U /* the kernel's include/linux/sched.h */

/* What waits for the orphans of its node. */
struct deferred {
	struct deferred *next;
	uint64_t nodeid;
	watch_act act;
	struct fs *fs;
	uint64_t what;
	uint64_t count;
	bool is_taken; /* somebody is carrying it out */
};

struct watch {
	int dev_fd;
	struct notifier *notifier;
	pthread_t thread;
	atomic_bool is_asleep; /* until woken; set and cleared under the mutex */
	/* orphans and what waits for them; changed under the mutex, read without it: what an orphan's answer has made the kernel
	 * send comes after */
	atomic_uint n_held;
	bool is_blind; /* immutable: /proc is another pid namespace's */
	struct mutex mutex; /* a leaf */
	pthread_cond_t changed;
	bool is_ending GUARDED_BY(mutex);
	struct deferred *deferred GUARDED_BY(mutex); /* first in, first out */
	size_t n_slots;
	struct watch_slot slots[];
};

/* SIGKILL is pending for the thread: fatal signals of any kind become that, for each thread of a program. */
static bool is_killed(uint32_t pid)
{
	char path[48], line[128];
	unsigned long long pending;
	bool is_killed = false;
	(void)snprintf(path, sizeof(path), "/proc/%u/status", pid);
	FILE *f = fopen(path, "re");
	while (f && !is_killed && fgets(line, sizeof(line), f))
		is_killed = (sscanf(line, "SigPnd: %llx", &pending) == 1 ||
			     sscanf(line, "ShdPnd: %llx", &pending) == 1) &&
			    pending & SIGKILL_BIT;
	if (f)
		(void)fclose(f);
	return is_killed;
}

/* The thread is past that and closes its files: nobody is left to tell the result to. By proc(5), the state follows the name. */
static bool is_exiting(uint32_t pid)
{
	char path[48], line[512] = "";
	unsigned flags = 0;
	char state = 'Z';
	(void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	FILE *f = fopen(path, "re");
	if (f) {
		if (fgets(line, sizeof(line), f)) {
			const char *name_end = strrchr(line, ')');
			if (name_end)
				(void)sscanf(name_end, ") %c %*d %*d %*d %*d %*d %u", &state, &flags);
		}
		(void)fclose(f);
	}
	return flags & PF_EXITING && state != 'Z' && state != 'X';
}

static bool has_orphan_locked(const struct watch *w, uint64_t nodeid) REQUIRES(w->mutex)
{
	for (size_t i = 0; i < w->n_slots; i++)
		if (atomic_load(&w->slots[i].unique) & WATCH_ORPHAN &&
		    atomic_load(&w->slots[i].nodeid) == nodeid)
			return true;
	return false;
}

/* The first that has to wait no longer, neither for an orphan nor for one before it of the same node. */
static struct deferred *take_locked(struct watch *w) REQUIRES(w->mutex)
{
	for (struct deferred *d = w->deferred; d; d = d->next) {
		bool is_first = true;
		for (const struct deferred *before = w->deferred; before != d; before = before->next)
			is_first = is_first && before->nodeid != d->nodeid;
		if (is_first && !d->is_taken && !has_orphan_locked(w, d->nodeid)) {
			d->is_taken = true;
			return d;
		}
	}
	return NULL;
}

static void remove_locked(struct watch *w, struct deferred *d) REQUIRES(w->mutex)
{
	struct deferred **link = &w->deferred;
	while (*link != d)
		link = &(*link)->next;
	*link = d->next;
	atomic_fetch_sub(&w->n_held, 1);
}

/* In the list while it is carried out, so that what comes meanwhile is done after it: forgetting after releasing. */
void watch_end_orphan(struct watch *w)
{
	struct deferred *d;
	mutex_lock(&w->mutex);
	while ((d = take_locked(w))) {
		mutex_unlock(&w->mutex);
		d->act(d->fs, d->what, d->count);
		mutex_lock(&w->mutex);
		remove_locked(w, d);
		free(d);
	}
	atomic_fetch_sub(&w->n_held, 1);
	mutex_unlock(&w->mutex);
}

static bool must_wait_locked(const struct watch *w, uint64_t nodeid) REQUIRES(w->mutex)
{
	for (const struct deferred *d = w->deferred; d; d = d->next)
		if (d->nodeid == nodeid)
			return true;
	return has_orphan_locked(w, nodeid);
}

void watch_after_orphans(struct watch *w, struct fs *fs, uint64_t nodeid, watch_act act,
			 uint64_t what, uint64_t count)
{
	struct deferred *d = NULL;
	bool must_wait = atomic_load(&w->n_held) > 0;
	if (must_wait) {
		d = malloc(sizeof(*d));
		mutex_lock(&w->mutex);
		must_wait = must_wait_locked(w, nodeid);
		if (must_wait && d) {
			*d = (struct deferred){
				.nodeid = nodeid, .act = act, .fs = fs, .what = what, .count = count};
			struct deferred **link = &w->deferred;
			while (*link)
				link = &(*link)->next;
			*link = d;
			atomic_fetch_add(&w->n_held, 1);
		}
		mutex_unlock(&w->mutex);
	}
	if (!must_wait) {
		free(d);
		act(fs, what, count);
	}
}

/* Answers in the backing's place, unless the worker is just back. */
static void answer(struct watch *w, struct watch_slot *slot, uint64_t unique, uint32_t pid)
{
	struct reply_to to = {.dev_fd = w->dev_fd, .unique = unique};
	mutex_lock(&w->mutex);
	bool is_orphan = atomic_compare_exchange_strong(&slot->unique, &unique, unique | WATCH_ORPHAN);
	if (is_orphan)
		atomic_fetch_add(&w->n_held, 1);
	mutex_unlock(&w->mutex);
	if (!is_orphan)
		return;
	log_info("answering for the backing, which keeps request %llu of thread %u waiting, which has been killed",
		 (unsigned long long)unique, pid);
	reply_send_err(NULL, &to, -EINTR);
}

/* True if something is in service. */
static bool look(struct watch *w, struct watch_slot *slot)
{
	uint64_t unique = atomic_load_explicit(&slot->unique, memory_order_acquire);
	uint32_t pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
	bool is_old = unique != 0 && unique == slot->seen;
	bool is_flush = atomic_load_explicit(&slot->opcode, memory_order_relaxed) == FUSE_FLUSH;
	if (is_old && !(unique & WATCH_ORPHAN) && pid != 0 && !w->is_blind &&
	    (is_killed(pid) || (is_flush && is_exiting(pid))))
		answer(w, slot, unique, pid);
	slot->seen = unique;
	return unique != 0;
}

/* WRITEs that wait for the kernel's pages. True if the notifier has anything. */
static bool look_at_notifier(struct watch *w)
{
	uint64_t number = 0;
	uint32_t pid;
	while (!w->is_blind && notifier_next_waiting(w->notifier, &number, &pid))
		if (pid != 0 && (is_killed(pid) || is_exiting(pid)))
			notifier_answer_now(w->notifier, number);
	return notifier_tick(w->notifier);
}

/* The notifier last: what a worker hands over is there before its slot is empty. */
static bool look_at_all(struct watch *w)
{
	bool is_busy = false;
	for (size_t i = 0; i < w->n_slots; i++)
		is_busy = look(w, &w->slots[i]) || is_busy;
	return look_at_notifier(w) || is_busy;
}

/*
 * One tick, or until woken. A worker that begins a request may look at is_asleep just before that is set, and not wake anybody:
 * so after it has been set there is one more look, a tick later, before the sleep that only a worker ends. False when ending.
 */
static bool rest(struct watch *w, unsigned quiet_ticks) EXCLUDES(w->mutex)
{
	struct timespec until;
	int rc = 0;
	mutex_lock(&w->mutex);
	bool is_for_good = quiet_ticks > 1 && atomic_load(&w->is_asleep);
	atomic_store(&w->is_asleep, quiet_ticks > 0);
	while (is_for_good && !w->is_ending && atomic_load(&w->is_asleep))
		pthread_cond_wait(&w->changed, &w->mutex.m);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TICK_S;
	while (!w->is_ending && rc == 0)
		rc = pthread_cond_timedwait(&w->changed, &w->mutex.m, &until);
	bool is_going_on = !w->is_ending;
	mutex_unlock(&w->mutex);
	return is_going_on;
}

static void *watch_run(void *arg)
{
	struct watch *w = arg;
	unsigned quiet_ticks = 0;
	(void)pthread_setname_np(pthread_self(), "zcfs-watch");
	while (rest(w, quiet_ticks)) {
		bool is_busy = look_at_all(w) || (quiet_ticks > 0 && !atomic_load(&w->is_asleep));
		quiet_ticks = is_busy ? 0 : quiet_ticks + 1;
	}
	return NULL;
}

/* Whether the numbers in /proc are not those by which the kernel names callers to this process. */
static bool is_other_namespace(void)
{
	char self[16] = "";
	if (readlink("/proc/self", self, sizeof(self) - 1) > 0 && strtol(self, NULL, 10) == getpid())
		return false;
	log_warn("/proc is another pid namespace's: programs that are killed will wait for a backing that hangs");
	return true;
}

int watch_new(int dev_fd, struct notifier *notifier, size_t n_slots, struct watch **out)
{
	size_t bytes = sizeof(struct watch) + n_slots * sizeof(struct watch_slot);
	struct watch *w = aligned_alloc(alignof(struct watch), bytes);
	if (!w)
		return -ENOMEM;
	memset(w, 0, bytes);
	w->dev_fd = dev_fd;
	w->notifier = notifier;
	w->n_slots = n_slots;
	w->is_blind = is_other_namespace();
	mutex_init(&w->mutex);
	cond_init_monotonic(&w->changed);
	int err = pthread_create(&w->thread, NULL, watch_run, w);
	if (err) {
		pthread_cond_destroy(&w->changed);
		mutex_fini(&w->mutex);
		free(w);
		return -err;
	}
	*out = w;
	return 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	mutex_lock(&w->mutex);
	w->is_ending = true;
	pthread_cond_signal(&w->changed);
	mutex_unlock(&w->mutex);
	pthread_join(w->thread, NULL);
	for (struct deferred *d = w->deferred, *next; d; d = next) {
		next = d->next;
		d->act(d->fs, d->what, d->count);
		free(d);
	}
	pthread_cond_destroy(&w->changed);
	mutex_fini(&w->mutex);
	free(w);
}

struct watch_slot *watch_slot(struct watch *w, size_t i)
{
	return &w->slots[i];
}

static void wake(struct watch *w) EXCLUDES(w->mutex)
{
	mutex_lock(&w->mutex);
	atomic_store(&w->is_asleep, false);
	pthread_cond_signal(&w->changed);
	mutex_unlock(&w->mutex);
}

/* What has no effect beyond its answer. The kernel's own requests (write-back, RELEASE, ...) have no caller. */
static bool may_answer(const struct fuse_in_header *in)
{
	switch (in->opcode) {
	case FUSE_OPEN:
		return !(((const struct fuse_open_in *)(const void *)(in + 1))->flags & (uint32_t)O_TRUNC);
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case OPCODE_STATX:
	case FUSE_READLINK:
	case FUSE_READ:
	case FUSE_STATFS:
	case FUSE_FSYNC:
	case FUSE_FLUSH:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
	case FUSE_OPENDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_FSYNCDIR:
	case FUSE_LSEEK:
		return true;
	default:
		return false;
	}
}

void watch_begin(struct watch *w, struct watch_slot *slot, const struct fuse_in_header *in)
{
	atomic_store_explicit(&slot->pid, may_answer(in) ? in->pid : 0, memory_order_relaxed);
	atomic_store_explicit(&slot->nodeid, in->nodeid, memory_order_relaxed);
	atomic_store_explicit(&slot->opcode, in->opcode, memory_order_relaxed);
	atomic_store_explicit(&slot->unique, in->unique, memory_order_release);
	if (atomic_load_explicit(&w->is_asleep, memory_order_relaxed))
		wake(w);
}
