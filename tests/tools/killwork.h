/*
 * The load of killer.c: threads that change a few files on a mount in every way, and note in the files' models what they did,
 * until the mount is gone. Owns which operations exclude each other (what the model cannot order, or FUSE itself does not keep
 * apart), and the first complaint. An error of a call is wrong unless the daemon's end has begun.
 */
#ifndef ZCFS_TEST_KILLWORK_H
#define ZCFS_TEST_KILLWORK_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "killmodel.h"
#include "random.h"
#include "views.h"

#define FILES        3U
#define THREADS_MOST 16U
#define WRITE_MOST   40000U
#define BLOCK        4096U

struct file {
	char *path, *backing;
	struct model model;
	/* Shared: writes and changes of what others do not touch. Alone: cuts, holes, and stores, because a page
	 * that is mapped is written out whole. */
	pthread_rwlock_t lock;
	pthread_mutex_t size_mutex; /* who makes the file longer */
};

enum how { PLAIN, DSYNC, DIRECTLY, APPEND, HOWS };

struct worker {
	pthread_t thread;
	struct file *files;
	bool lasts_when_written, is_cached;
	uint64_t dice; /* of random.h */
	uint64_t syncs;
	int fd[FILES][HOWS];
	unsigned char *map[FILES];
	unsigned char *mem;
};

static atomic_bool is_ending, has_complaint;
static char complaint_text[1024];
static _Atomic uint64_t ops_begun;
static _Atomic uint64_t last_seed;
static _Thread_local sigjmp_buf at_bus_error;

static inline bool is_over(void)
{
	return atomic_load(&is_ending) || atomic_load(&has_complaint);
}

static inline bool has_failed(void)
{
	return atomic_load(&has_complaint);
}

static inline const char *complaint(void)
{
	return complaint_text;
}

/* The first one counts. */
__attribute__((format(printf, 2, 3))) static inline void complain(const struct file *f,
								  const char *format, ...)
{
	va_list ap;
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&mutex);
	if (!atomic_load(&has_complaint)) {
		int at = snprintf(complaint_text, sizeof(complaint_text),
				  "%s: ", strrchr(f->path, '/') + 1);
		va_start(ap, format);
		vsnprintf(complaint_text + at, sizeof(complaint_text) - (size_t)at, format, ap);
		va_end(ap);
		atomic_store(&has_complaint, true);
	}
	pthread_mutex_unlock(&mutex);
}

/* A call failed. */
static inline void failed(const struct file *f, const char *call)
{
	int err = errno;
	if (!is_over())
		complain(f, "%s: %s", call, strerror(err));
}

static inline unsigned choose(struct worker *w, size_t n)
{
	return (unsigned)(random_step(&w->dice) % n);
}

/* A new content, and the operation that will have made it. */
static inline struct op *begin(struct worker *w, struct file *f, unsigned off, unsigned len, bool is_zeros)
{
	uint64_t seed = is_zeros ? 0 : atomic_fetch_add(&last_seed, 1) + 1;
	struct op *o = op_begin(&f->model, off, len, seed);
	if (!o)
		complain(f, "too many operations in one cycle");
	else if (!is_zeros)
		pattern_fill(w->mem, len, off, seed);
	return o;
}

/* Short lengths, those about a page, and long ones. */
static inline unsigned some_len(struct worker *w)
{
	static const unsigned most[] = {16, 600, 5000, WRITE_MOST};
	return 1 + choose(w, most[choose(w, 4)]);
}

/* Within, or at the end of, what a file of that size has; aligned for O_DIRECT. False: no such range. */
static inline bool choose_range(struct worker *w, enum how how, unsigned size, unsigned *off,
				unsigned *len)
{
	*len = some_len(w);
	if (how == DIRECTLY)
		*len = (*len + BLOCK - 1) / BLOCK * BLOCK;
	if (*len > size)
		return false;
	*off = choose(w, size - *len + 1);
	if (how == DIRECTLY)
		*off = *off / BLOCK * BLOCK;
	return true;
}

static inline bool write_range(struct worker *w, unsigned i, enum how how, unsigned off, unsigned len)
{
	struct file *f = &w->files[i];
	struct op *o = begin(w, f, off, len, false);
	if (!o)
		return false;
	ssize_t n = how == APPEND ? write(w->fd[i][how], w->mem, len)
				  : pwrite(w->fd[i][how], w->mem, len, (off_t)off);
	if (n != (ssize_t)len) {
		if (n >= 0)
			errno = EMSGSIZE; /* a part: only where the rest found no daemon */
		failed(f, "write");
		return false;
	}
	o->is_synced = w->lasts_when_written || how == DSYNC || how == DIRECTLY;
	op_end(o);
	return true;
}

static inline void overwrite(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	static const enum how hows[] = {PLAIN, PLAIN, PLAIN, PLAIN, DSYNC, DIRECTLY};
	enum how how = hows[choose(w, 6)];
	unsigned off, len;
	pthread_rwlock_rdlock(&f->lock);
	/* The file may grow meanwhile. */
	if (choose_range(w, how, atomic_load(&f->model.least), &off, &len))
		write_range(w, i, how, off, len);
	pthread_rwlock_unlock(&f->lock);
}

static inline void extend(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	static const enum how hows[] = {PLAIN, PLAIN, PLAIN, APPEND, APPEND, DSYNC, DIRECTLY};
	enum how how = hows[choose(w, 7)];
	unsigned len = some_len(w), gap = choose(w, 3) == 0 ? choose(w, 20000) : 0,
		 back = choose(w, 100);
	pthread_rwlock_rdlock(&f->lock);
	pthread_mutex_lock(&f->size_mutex);
	unsigned size = atomic_load(&f->model.least), off = size + gap;
	if (how == APPEND)
		off = size;
	else if (gap == 0 && off > back)
		off -= back; /* over the end */
	if (how == DIRECTLY) {
		off = (size + BLOCK - 1) / BLOCK * BLOCK;
		len = (len + BLOCK - 1) / BLOCK * BLOCK;
	}
	unsigned end = off + len > size ? off + len : size;
	/* What is in flight when the end begins stays the last change. */
	if (end <= FILE_MOST && !is_over()) {
		size_set(&f->model, size, end, false);
		if (write_range(w, i, how, off, len))
			size_set(&f->model, end, end, false);
	}
	pthread_mutex_unlock(&f->size_mutex);
	pthread_rwlock_unlock(&f->lock);
}

static inline void cut(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	pthread_rwlock_wrlock(&f->lock);
	unsigned old = atomic_load(&f->model.least);
	unsigned size = choose(w, 3) ? choose(w, old + 1) : choose(w, FILE_MOST);
	struct op *o = is_over() ? NULL : begin(w, f, size, FILE_MOST - size, true);
	if (o)
		size_set(&f->model, old, size, true);
	if (o && ftruncate(w->fd[i][PLAIN], (off_t)size) == 0) {
		o->is_synced = true;
		op_end(o);
		size_set(&f->model, size, size, false);
	} else if (o) {
		failed(f, "ftruncate");
	}
	pthread_rwlock_unlock(&f->lock);
}

static inline void punch(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	unsigned off, len;
	pthread_rwlock_wrlock(&f->lock);
	if (choose_range(w, PLAIN, atomic_load(&f->model.least), &off, &len)) {
		struct op *o = begin(w, f, off, len, true);
		if (o && fallocate(w->fd[i][PLAIN], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)off, (off_t)len) == 0) {
			o->is_synced = w->lasts_when_written;
			op_end(o);
		} else if (o) {
			failed(f, "fallocate");
		}
	}
	pthread_rwlock_unlock(&f->lock);
}

/* False: of a mapping whose filesystem is gone. */
static inline bool store_bytes(unsigned char *to, const unsigned char *from, size_t len)
{
	if (sigsetjmp(at_bus_error, 1) != 0)
		return false;
	memcpy(to, from, len);
	return true;
}

/* By fsync, fdatasync or msync. */
static inline void sync_file(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	uint64_t start = tick();
	unsigned by = choose(w, 3);
	int rc = by == 0   ? fsync(w->fd[i][PLAIN])
		 : by == 1 ? fdatasync(w->fd[i][APPEND])
			   : msync(w->map[i], FILE_MOST, MS_SYNC);
	w->syncs++;
	if (rc < 0)
		failed(f, by < 2 ? "fsync" : "msync");
	else
		model_synced(&f->model, start);
}

/*
 * Linux writes out the file's last page with zeros behind the size that it knows, and sets these in its cache: of a page that was
 * stored into, while a write through the cache makes the file longer, which then brings the zeros (seen with 6.18).
 */
static inline void store(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	unsigned off, len;
	pthread_rwlock_wrlock(&f->lock);
	if (choose_range(w, PLAIN, atomic_load(&f->model.least), &off, &len)) {
		struct op *o = begin(w, f, off, len, false);
		if (o)
			o->is_store = true;
		if (o && store_bytes(w->map[i] + off, w->mem, len)) {
			op_end(o);
			if (w->is_cached)
				sync_file(w, i);
		} else if (o) {
			failed(f, "a store: SIGBUS");
		}
	}
	pthread_rwlock_unlock(&f->lock);
}

/* Beside writers, so that it may see anything. */
static inline void read_some(struct worker *w, unsigned i)
{
	if (pread(w->fd[i][choose(w, 2) ? PLAIN : DIRECTLY], w->mem,
		  (size_t)BLOCK * (1 + choose(w, 10)), (off_t)choose(w, FILE_MOST / BLOCK) * BLOCK) < 0)
		failed(&w->files[i], "read");
}

/* With nobody beside: the size, and what a read gives. */
static inline void check(struct worker *w, unsigned i)
{
	struct file *f = &w->files[i];
	struct stat below_st, st;
	struct finding why = {{0}};
	unsigned off, len;
	enum how how = choose(w, 3) ? PLAIN : DIRECTLY;
	pthread_rwlock_wrlock(&f->lock);
	unsigned size = atomic_load(&f->model.least);
	bool is_range = choose_range(w, how, size, &off, &len);
	if (stat(f->backing, &below_st) < 0 || fstat(w->fd[i][PLAIN], &st) < 0)
		failed(f, "stat");
	else if (!is_over() && (st.st_size != (off_t)size || below_st.st_size != (off_t)size))
		complain(f, "has size %lld on the mount, %lld in the backing directory, not %u",
			 (long long)st.st_size, (long long)below_st.st_size, size);
	else if (is_range && pread(w->fd[i][how], w->mem, len, (off_t)off) != (ssize_t)len)
		failed(f, "read");
	else if (is_range && !content_may_be(&f->model, w->mem, off, off + len, SEEN, &why) && !is_over())
		complain(f, "read: %s", why.text);
	pthread_rwlock_unlock(&f->lock);
}

static inline void work_on(struct worker *w, unsigned i)
{
	static const struct {
		unsigned share; /* of 100 */
		void (*carry_out)(struct worker *w, unsigned i);
	} kinds[] = {{36, overwrite}, {16, extend},    {5, cut},       {5, punch},
		     {10, store},     {14, sync_file}, {7, read_some}, {7, check}};
	unsigned at = choose(w, 100), k = 0;
	while (at >= kinds[k].share)
		at -= kinds[k++].share;
	kinds[k].carry_out(w, i);
}

static inline void *work(void *arg)
{
	static const int flags[HOWS] = {O_RDWR, O_RDWR | O_DSYNC, O_RDWR | O_DIRECT, O_RDWR | O_APPEND};
	struct worker *w = arg;
	w->mem = aligned_memory(FILE_MOST);
	for (unsigned i = 0; i < FILES; i++) {
		for (unsigned how = 0; how < HOWS; how++)
			if ((w->fd[i][how] = open(w->files[i].path, flags[how])) < 0)
				failed(&w->files[i], "open");
		w->map[i] =
			mmap(NULL, FILE_MOST, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd[i][PLAIN], 0);
		if (w->map[i] == MAP_FAILED)
			failed(&w->files[i], "mmap");
	}
	while (!is_over()) {
		atomic_fetch_add(&ops_begun, 1);
		work_on(w, choose(w, FILES));
	}
	for (unsigned i = 0; i < FILES; i++) {
		if (w->map[i] != MAP_FAILED)
			munmap(w->map[i], FILE_MOST);
		for (unsigned how = 0; how < HOWS; how++)
			if (w->fd[i][how] >= 0)
				close(w->fd[i][how]);
	}
	free(w->mem);
	return NULL;
}

static inline void on_bus_error(int number)
{
	(void)number;
	siglongjmp(at_bus_error, 1);
}

static inline void work_setup(void)
{
	struct sigaction action = {.sa_handler = on_bus_error};
	sigaction(SIGBUS, &action, NULL);
}

static inline void work_begin(struct file *files)
{
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (unsigned i = 0; i < FILES; i++) {
		pthread_rwlock_init(&files[i].lock, &attr);
		pthread_mutex_init(&files[i].size_mutex, NULL);
	}
	atomic_store(&is_ending, false);
	atomic_store(&ops_begun, 0);
}

static inline void work_end(void)
{
	atomic_store(&is_ending, true);
}

#endif
