/*
 * The workers. Owns their threads, the count of idle ones and the parking place.
 */
#include "ops/session.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/sync.h"
#include "data/account.h"
#include "ops/notify.h"
#include "ops/ops.h"
#include "ops/ops_end.h"
#include "ops/ops_file.h"
#include "ops/receive.h"
#include "ops/watch.h"

#define IDLE_KEPT      4 /* workers that wait in read(2); more are parked */
#define N_SEATS        256 /* the most of threads= */
#define KICK_SIGNAL    SIGUSR2 /* interrupts a worker's read(2) */
#define KICK_EVERY_NS  (5L * 1000 * 1000)
#define KICKS_PATIENT  1000 /* 5 s */
#define DRAIN_QUIET_NS (50L * 1000 * 1000)
#define DRAIN_TRIES    40 /* 2 s */
#define REFUSED_NS \
	(100L * 1000 * 1000) /* so long after a worker could not start no other is tried */

/* A worker's place. One that has ended leaves it to the next, who waits for the rest of its thread. */
struct seat {
	struct session *session; /* immutable */
	pthread_t thread;
	enum { SEAT_FREE, SEAT_TAKEN, SEAT_LEFT } state; /* guarded by the session's mutex */
};

struct session {
	struct fs *fs;
	struct fuse_session *se;
	struct receiver receiver;
	unsigned limit; /* workers at most */
	pthread_t main_thread;
	atomic_uint idle; /* workers waiting for a request */
	atomic_uint received; /* requests so far; wraps */
	atomic_bool is_ending; /* pairs with the kick: seen by every worker after its read(2) */
	struct mutex mutex; /* a leaf; guards the rest */
	pthread_cond_t unparked;
	unsigned parked, wanted; /* waiting there; asked to come back */
	unsigned started, finished; /* workers ever started; of them, ended */
	pthread_cond_t settled;
	unsigned ready; /* workers that could serve, ever */
	int refused; /* why the last one that could not, could not: -errno */
	int64_t refused_ns; /* and when */
	struct seat seat[N_SEATS];
};

static _Thread_local struct worker *current_worker;
static _Thread_local struct seat *current_seat;

struct worker *ops_worker(void)
{
	return current_worker;
}

bool ops_is_given_up(void)
{
	const struct session *s = current_seat ? current_seat->session : NULL;
	return s && (atomic_load(&s->is_ending) ||
		     watch_is_orphan(watch_slot(s->fs->watch, (size_t)(current_seat - s->seat))));
}

static void serve_write(struct session *s, const struct file_request *fr, struct received r)
{
	struct worker *w = fr->w;
	const struct fuse_write_in in =
		*(const struct fuse_write_in *)(const void *)(receive_head(w) +
							      sizeof(struct fuse_in_header));
	if ((size_t)r.n < HEAD_BYTES + in.size) {
		if (r.is_piped)
			worker_renew_pipe(w);
		reply_send_err(w, &fr->to, -EIO);
		return;
	}
	receive_learn(&s->receiver, ops_file_wants_pipe(&in));
	struct payload payload = {.mem = r.is_piped ? NULL : w->data, .len_bytes = in.size};
	ops_file_write(fr, &in, &payload);
}

static void serve(struct session *s, struct worker *w, struct received r)
{
	const struct fuse_in_header *in = (const void *)receive_head(w);
	sync_received();
	struct file_request fr = {
		.fs = s->fs,
		.w = w,
		.to = {.dev_fd = s->receiver.dev_fd, .unique = in->unique, .pid = in->pid},
		.nodeid = in->nodeid,
		.uid = in->uid,
		.gid = in->gid,
	};
	if (in->opcode == FUSE_WRITE) {
		fr.arrival_ticks = account_now();
		serve_write(s, &fr, r);
		return;
	}
	receive_learn(&s->receiver, false);
	if (in->opcode == FUSE_READ) {
		const struct fuse_read_in rin = *(const struct fuse_read_in *)(const void *)(in + 1);
		fr.arrival_ticks = account_now();
		ops_file_read(&fr, &rin);
	} else if (in->opcode == FUSE_SYNCFS) {
		reply_send_err(w, &fr.to, ops_syncfs(s->fs));
	} else if (!ops_end_serve(&fr, in)) {
		struct fuse_buf buf = {.mem = receive_head(w), .size = (size_t)r.n};
		fuse_session_process_buf(s->se, &buf);
	}
}

static int spawn_locked(struct session *s);

/* A worker could not start just now, so the next one could not either. */
static bool is_refused_locked(const struct session *s) REQUIRES(s->mutex)
{
	return s->refused != 0 && clock_coarse_ns() - s->refused_ns < REFUSED_NS;
}

static void note_refused_locked(struct session *s, int err) REQUIRES(s->mutex)
{
	s->refused = err;
	s->refused_ns = clock_coarse_ns();
}

/* The last waiting worker has taken a request: bring another to wait. */
static void call_another(struct session *s)
{
	mutex_lock(&s->mutex);
	if (s->parked > s->wanted) {
		s->wanted++;
		pthread_cond_signal(&s->unparked);
	} else if (s->started - s->finished < s->limit && !is_refused_locked(s) &&
		   !atomic_load(&s->is_ending)) {
		int err = spawn_locked(s); /* refused: those there are serve on */
		if (err < 0)
			note_refused_locked(s, err);
	}
	mutex_unlock(&s->mutex);
}

/* Enough others wait: rest until called. */
static void park_if_surplus(struct session *s)
{
	if (atomic_load_explicit(&s->idle, memory_order_relaxed) < IDLE_KEPT)
		return;
	mutex_lock(&s->mutex);
	/* Looked at again under the mutex: who takes the last idle one's place comes by call_another(). */
	if (atomic_load(&s->idle) >= IDLE_KEPT && !atomic_load(&s->is_ending)) {
		s->parked++;
		while (s->wanted == 0 && !atomic_load(&s->is_ending))
			pthread_cond_wait(&s->unparked, &s->mutex.m);
		s->parked--;
		if (s->wanted > 0)
			s->wanted--;
	}
	mutex_unlock(&s->mutex);
}

/* Interrupted, or a request withdrawn while it was read: nothing. Anything else (ENOMEM) would make a busy loop. */
static void pause_after(ssize_t err)
{
	const struct timespec pause = {.tv_nsec = KICK_EVERY_NS};
	if (err != -EINTR && err != -EAGAIN && err != -ENOENT)
		nanosleep(&pause, NULL);
}

/* One request. False when the kernel has ended the session. */
static bool work_once(struct session *s, struct worker *w, struct watch_slot *slot)
{
	atomic_fetch_add(&s->idle, 1);
	struct received r = receive(&s->receiver, w);
	bool was_last = atomic_fetch_sub(&s->idle, 1) == 1;
	if (r.n >= (ssize_t)sizeof(struct fuse_in_header)) {
		atomic_fetch_add_explicit(&s->received, 1, memory_order_relaxed);
		if (was_last)
			call_another(s);
		watch_begin(s->fs->watch, slot, (const void *)receive_head(w));
		serve(s, w, r);
		watch_end(s->fs->watch, slot);
	} else if (r.n != -ENODEV) {
		pause_after(r.n);
	}
	return r.n != -ENODEV;
}

static void work(struct session *s, struct worker *w, struct watch_slot *slot)
{
	while (!atomic_load(&s->is_ending)) {
		if (!work_once(s, w, slot)) {
			if (!atomic_exchange(&s->is_ending, true))
				pthread_kill(s->main_thread, SESSION_ENDED_SIGNAL);
			return;
		}
		park_if_surplus(s);
	}
}

/* A worker can serve, or not. */
static void settle(struct session *s, int err)
{
	mutex_lock(&s->mutex);
	if (err == 0)
		s->ready++;
	else
		note_refused_locked(s, err);
	bool has_others = s->ready > 0;
	pthread_cond_signal(&s->settled);
	mutex_unlock(&s->mutex);
	if (err < 0 && has_others)
		log_err("cannot start another worker thread, going on with fewer: %s", strerror(-err));
}

static void *worker_run(void *arg)
{
	struct seat *seat = arg;
	struct session *s = seat->session;
	struct worker w = {.pipe = {.rd = -1, .wr = -1}, .spare = {.rd = -1, .wr = -1}};
	struct cred cred;
	(void)pthread_setname_np(pthread_self(), "zcfs-worker");
	/* First, for it takes back the rights that the thread which started this one had put down for its last caller. */
	int err = cred_thread_init(&cred);
	if (err == 0)
		err = worker_init(&w, s->fs->max_io_bytes, true);
	w.cred = cred;
	settle(s, err);
	if (err == 0) {
		current_worker = &w;
		current_seat = seat;
		work(s, &w, watch_slot(s->fs->watch, (size_t)(seat - s->seat)));
	}
	worker_fini(&w);
	mutex_lock(&s->mutex);
	seat->state = SEAT_LEFT;
	s->finished++;
	mutex_unlock(&s->mutex);
	return NULL;
}

static int spawn_locked(struct session *s) REQUIRES(s->mutex)
{
	struct seat *seat = s->seat;
	while (seat->state == SEAT_TAKEN)
		seat++; /* there is another: fewer than the limit run */
	if (seat->state == SEAT_LEFT)
		pthread_join(seat->thread, NULL); /* all but over: it has unlocked the mutex for the last time */
	int err = pthread_create(&seat->thread, NULL, worker_run, seat);
	seat->state = err == 0 ? SEAT_TAKEN : SEAT_FREE;
	if (err == 0)
		s->started++;
	return -err;
}

static void kicked(int sig)
{
	(void)sig; /* its arrival alone interrupts read(2) */
}

int session_new(struct fs *fs, struct fuse_session *se, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct session){.fs = fs,
			      .se = se,
			      .receiver = {.dev_fd = fuse_session_fd(se)},
			      .limit = fs->opt.threads};
	for (size_t i = 0; i < N_SEATS; i++)
		s->seat[i].session = s;
	s->main_thread = pthread_self();
	mutex_init(&s->mutex);
	pthread_cond_init(&s->unparked, NULL);
	pthread_cond_init(&s->settled, NULL);
	int err = notifier_new(se, &fs->notifier);
	if (err == 0)
		err = watch_new(s->receiver.dev_fd, fs->notifier, N_SEATS, &fs->watch);
	if (err < 0) {
		session_free(s);
		return err;
	}
	fs->session = s;
	*out = s;
	return 0;
}

int session_start(struct session *s)
{
	struct sigaction sa = {.sa_handler = kicked};
	sigaction(KICK_SIGNAL, &sa, NULL);
	mutex_lock(&s->mutex);
	int err = spawn_locked(s);
	while (err == 0 && s->ready == 0) {
		pthread_cond_wait(&s->settled, &s->mutex.m);
		err = s->ready == 0 ? s->refused : 0;
	}
	mutex_unlock(&s->mutex);
	return err;
}

/* Kicks until all are out: a kick may come just before a worker enters read(2). True when they are. */
static bool kick_all(struct session *s)
{
	mutex_lock(&s->mutex);
	bool is_done = s->finished == s->started;
	pthread_cond_broadcast(&s->unparked);
	for (size_t i = 0; i < N_SEATS; i++)
		if (s->seat[i].state == SEAT_TAKEN)
			pthread_kill(s->seat[i].thread, KICK_SIGNAL);
	mutex_unlock(&s->mutex);
	return is_done;
}

/* No worker has a request in hand. */
static bool is_quiet(struct session *s)
{
	mutex_lock(&s->mutex);
	bool is_all_waiting = s->parked + atomic_load(&s->idle) + s->finished >= s->started;
	mutex_unlock(&s->mutex);
	return is_all_waiting;
}

void session_drain(struct session *s)
{
	const struct timespec pause = {.tv_nsec = DRAIN_QUIET_NS};
	unsigned before = atomic_load(&s->received) - 1;
	for (int i = 0; i < DRAIN_TRIES; i++) {
		unsigned now = atomic_load(&s->received);
		if (atomic_load(&s->is_ending) || (now == before && is_quiet(s)))
			return;
		before = now;
		nanosleep(&pause, NULL);
	}
}

void session_stop(struct session *s)
{
	const struct timespec pause = {.tv_nsec = KICK_EVERY_NS};
	notifier_stop(s->fs->notifier, s->fs->dev); /* first: it may wait for what only workers answer */
	atomic_store(&s->is_ending, true);
	for (unsigned kicks = 1; !kick_all(s); kicks++) {
		nanosleep(&pause, NULL);
		if (kicks == KICKS_PATIENT)
			log_warn("unmounted, but the backing keeps requests waiting; the daemon ends when it answers");
	}
	for (size_t i = 0; i < N_SEATS; i++)
		if (s->seat[i].state != SEAT_FREE)
			pthread_join(s->seat[i].thread, NULL);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	watch_free(s->fs->watch);
	s->fs->watch = NULL;
	notifier_free(s->fs->notifier); /* after the watching thread, which looks at it */
	s->fs->notifier = NULL;
	pthread_cond_destroy(&s->unparked);
	pthread_cond_destroy(&s->settled);
	mutex_fini(&s->mutex);
	free(s);
}

void session_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;
	static const uint64_t wanted[] = {
		FUSE_CAP_ASYNC_READ,      FUSE_CAP_ASYNC_DIO,        FUSE_CAP_ATOMIC_O_TRUNC,
		FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_POSIX_ACL,        FUSE_CAP_DONT_MASK,
		FUSE_CAP_CACHE_SYMLINKS,  FUSE_CAP_AUTO_INVAL_DATA,  FUSE_CAP_IOCTL_DIR,
		FUSE_CAP_READDIRPLUS,     FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_EXPORT_SUPPORT,
	};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		(void)fuse_set_feature_flag(conn, wanted[i]);
	/* Who keeps CAP_FSETID is up to the worker (base/cred.h); a daemon without it clears the bits by nature. */
	fs->has_killpriv = fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	fs->has_direct_mmap = fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ); /* the session receives by itself */
	fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
	conn->max_read = (unsigned)fs->max_io_bytes;
	conn->max_write = (unsigned)fs->max_io_bytes;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
	/* Of waiting for the backing, ops/watch.c relieves those who are killed. */
	conn->no_interrupt = 1;
}
