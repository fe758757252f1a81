/*
 * A worker, and a file filled with a pattern and opened, for unit tests of the data paths.
 *
 *	struct rig RIG f;			// closed and removed at the scope's end
 *
 *	REQUIRE(rig_init(&f, 10000));		// also where this fails
 *	REQUIRE(rig_open(&f, O_RDWR, false));
 *	f.model[0] = 'x';			// what the file should hold
 *	rig_check_file(&f);
 */
#pragma once

#include "check.h"
#include "data/path.h"
#include "nodes.h"

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statfs.h>

#define RIG_MAX_IO    (512UL * 1024)
#define RIG_MODEL_CAP (4UL * 1024 * 1024)

struct rig {
	struct nodes nodes;
	struct worker w;
	struct node *n; /* file "f" */
	struct handle *h; /* NULL until rig_open() */
	int fd; /* the test's own descriptor of it, buffered, O_RDWR */
	unsigned char *model; /* what the file should hold: len bytes */
	size_t len_bytes;
};

#define RIG __attribute__((cleanup(rig_fini)))

/* A byte that depends on its whole offset, so that a displaced piece shows. */
static inline unsigned char rig_byte(size_t off_bytes, unsigned seed)
{
	uint64_t x = (off_bytes + 1 + ((uint64_t)seed << 32)) * 0x9e3779b97f4a7c15U;

	return (unsigned char)(x >> 56);
}

static inline void rig_fill(unsigned char *to, size_t off_bytes, size_t len_bytes, unsigned seed)
{
	for (size_t i = 0; i < len_bytes; i++)
		to[i] = rig_byte(off_bytes + i, seed);
}

/* Makes the file hold len_bytes of the pattern, and the model too. */
static inline bool rig_reset(struct rig *f, size_t len_bytes)
{
	f->len_bytes = len_bytes;
	rig_fill(f->model, 0, len_bytes, 1);
	return ftruncate(f->fd, 0) == 0 && pwrite(f->fd, f->model, len_bytes, 0) == (ssize_t)len_bytes;
}

static inline bool rig_init(struct rig *f, size_t len_bytes)
{
	*f = (struct rig){.fd = -1};
	f->model = calloc(1, RIG_MODEL_CAP);
	bool has_worker = worker_init(&f->w, RIG_MAX_IO, true) == 0;
	if (!f->model || !nodes_init(&f->nodes, 64) || !has_worker)
		return false;
	f->n = nodes_make(&f->nodes, "f", "");
	f->fd = openat(f->nodes.b.fd, "f", O_RDWR | O_CLOEXEC);
	return f->n && f->fd >= 0 && rig_reset(f, len_bytes);
}

static inline bool rig_open(struct rig *f, int open_flags, bool is_direct_first)
{
	return handle_open(f->nodes.t, f->n, open_flags, is_direct_first, &f->h) == 0;
}

static inline void rig_close(struct rig *f)
{
	if (f->h)
		CHECK_EQ(handle_close(f->h), 0);
	f->h = NULL;
}

static inline void rig_fini(struct rig *f)
{
	rig_close(f);
	if (f->w.area)
		worker_fini(&f->w);
	if (f->fd >= 0)
		close(f->fd);
	if (f->nodes.ledgers)
		nodes_fini(&f->nodes);
	free(f->model);
}

/* tmpfs had no O_DIRECT before Linux 6.6. */
static inline bool rig_has_direct(const struct rig *f)
{
	int fd = openat(f->nodes.b.fd, "f", O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* There O_DIRECT goes through the page cache: nothing is misaligned, nothing leaves the cache. */
static inline bool rig_is_tmpfs(const struct rig *f)
{
	struct statfs st;

	return fstatfs(f->fd, &st) == 0 && st.f_type == TMPFS_MAGIC;
}

static inline struct io_request rig_request(const struct rig *f, uint64_t off_bytes, size_t len_bytes)
{
	return (struct io_request){.handle = f->h, .off_bytes = off_bytes, .len_bytes = len_bytes};
}

/* A payload as read(2) leaves it: at w.data. */
static inline struct payload rig_in_memory(struct rig *f, const unsigned char *from, size_t len_bytes)
{
	memcpy(f->w.data, from, len_bytes);
	return (struct payload){.mem = f->w.data, .len_bytes = len_bytes};
}

/* A payload as splice(2) leaves it: in w.pipe. The worker's memory holds something else. */
static inline struct payload rig_in_pipe(struct rig *f, const unsigned char *from, size_t len_bytes)
{
	memset(f->w.data, 0xee, RIG_MAX_IO);
	CHECK(len_bytes <= f->w.pipe.slots * 4096);
	CHECK_EQ(write(f->w.pipe.wr, from, len_bytes), len_bytes);
	return (struct payload){.len_bytes = len_bytes};
}

/* New bytes for the range, in the model first: the file has them once they are written. */
static inline const unsigned char *rig_change(struct rig *f, uint64_t off_bytes, size_t len_bytes,
					      unsigned seed)
{
	unsigned char *at = f->model + off_bytes;

	rig_fill(at, off_bytes, len_bytes, seed);
	if (f->len_bytes < off_bytes + len_bytes)
		f->len_bytes = off_bytes + len_bytes;
	return at;
}

/* The file holds what the model does, and ends there. True if so. */
static inline bool rig_check_file(const struct rig *f)
{
	struct stat st;
	unsigned char *now = calloc(1, f->len_bytes + 1);
	bool is_good = now && fstat(f->fd, &st) == 0 && (size_t)st.st_size == f->len_bytes &&
		       pread(f->fd, now, f->len_bytes + 1, 0) == (ssize_t)f->len_bytes &&
		       memcmp(now, f->model, f->len_bytes) == 0;

	CHECK(is_good);
	for (size_t i = 0; now && !is_good && i < f->len_bytes; i++)
		if (now[i] != f->model[i]) {
			printf("# the file differs from the model at %zu\n", i);
			break;
		}
	free(now);
	return is_good;
}

/* How much of len bytes at off the file can give. */
static inline size_t rig_there(const struct rig *f, uint64_t off_bytes, size_t len_bytes)
{
	size_t left = off_bytes < f->len_bytes ? f->len_bytes - (size_t)off_bytes : 0;

	return len_bytes < left ? len_bytes : left;
}

/* r is the model's bytes from the request's range, in memory, with room for a header before. */
static inline bool rig_check_reply(const struct rig *f, const struct io_request *rq,
				   const struct reply *r)
{
	size_t want = rig_there(f, rq->off_bytes, rq->len_bytes);
	bool is_good = r->kind == REPLY_MEMORY && r->len_bytes == want &&
		       r->mem >= f->w.area + 128 && r->mem + want <= f->w.data + f->w.data_bytes &&
		       (want == 0 || memcmp(r->mem, f->model + rq->off_bytes, want) == 0);

	CHECK(is_good);
	if (!is_good)
		printf("# read of %zu at %" PRIu64 " gave %zu, not %zu, or other bytes\n",
		       rq->len_bytes, rq->off_bytes, r->len_bytes, want);
	return is_good;
}

static inline uint64_t rig_ways_sum(const struct account *acc)
{
	uint64_t sum = 0;

	for (int way = 0; way < WAY_COUNT; way++)
		sum += acc->way_bytes[way];
	return sum;
}

/* All of the write's bytes went that way, and the CPU copied so many of them here. */
static inline void rig_check_write(const struct account *acc, enum way way, uint64_t len_bytes,
				   uint64_t user_bytes)
{
	CHECK_EQ(acc->way_bytes[way], len_bytes);
	CHECK_EQ(rig_ways_sum(acc), len_bytes);
	CHECK_EQ(acc->user_bytes, user_bytes);
	CHECK_EQ(acc->dma_bytes, way == WAY_DIRECT ? len_bytes : 0);
	CHECK(!acc->is_misaligned);
}

/* Appends through another descriptor than the daemon's, and to the model. */
static inline void rig_append_elsewhere(struct rig *f, size_t len_bytes)
{
	uint64_t at = f->len_bytes;
	const unsigned char *from = rig_change(f, at, len_bytes, 77);

	CHECK_EQ(pwrite(f->fd, from, len_bytes, (off_t)at), len_bytes);
}

/*
 * From here on a write stops at size_bytes, as on a full filesystem: short first, then EFBIG.
 * Print nothing until rig_unlimit(): stdout may be a file too.
 */
static inline struct rlimit rig_limit(size_t size_bytes)
{
	struct rlimit old = {0};

	(void)getrlimit(RLIMIT_FSIZE, &old);
	(void)signal(SIGXFSZ, SIG_IGN);
	struct rlimit low = {.rlim_cur = size_bytes, .rlim_max = old.rlim_max};
	(void)setrlimit(RLIMIT_FSIZE, &low);
	return old;
}

static inline void rig_unlimit(const struct rlimit *old)
{
	(void)setrlimit(RLIMIT_FSIZE, old);
	(void)signal(SIGXFSZ, SIG_DFL);
}
