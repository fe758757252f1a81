/*
 * A rig (rig.h) whose file is opened by path pool, for unit tests of what lies between data paths and the pool.
 *
 *	struct pooled POOLED p;					// closed, written back and removed at the scope's end
 *
 *	REQUIRE(pooled_init(&p, 10000, &(struct pool_config){.is_write_back = true}));	// zero fields get usual values
 *	REQUIRE(pooled_open(&p, O_RDWR));
 */
#pragma once

#include "data/pool_guard.h"
#include "data/pool_open.h"
#include "rig.h"

struct pooled {
	struct rig f;
	struct pool *pool;
};

#define POOLED __attribute__((cleanup(pooled_fini)))

static inline void pooled_end_file(struct pool_file *file, bool is_deleted)
{
	if (is_deleted)
		pool_file_put_deleted(file);
	else
		pool_file_put(file);
}

static inline bool pooled_init(struct pooled *p, size_t len_bytes, const struct pool_config *wanted)
{
	struct pool_config config = *wanted;

	*p = (struct pooled){0};
	if (config.size_bytes == 0)
		config.size_bytes = 1UL << 20;
	if (config.page_bytes == 0)
		config.page_bytes = 16384;
	if (!config.policy)
		config.policy = evict_find("clock");
	if (config.dirty_max_percent == 0)
		config.dirty_max_percent = 50;
	if (config.flush_interval_s == 0)
		config.flush_interval_s = 1;
	if (!rig_init(&p->f, len_bytes) || pool_new(&config, &p->pool) != 0)
		return false;
	node_table_on_pool_file(p->f.nodes.t, pooled_end_file);
	return pool_open_file(p->pool, p->f.nodes.ledgers, p->f.nodes.t, p->f.n);
}

static inline bool pooled_open(struct pooled *p, int open_flags)
{
	struct statx stx;

	if (!rig_open(&p->f, open_flags, true) || pool_open_begin(p->pool, p->f.h, &stx) != 0)
		return false;
	p->f.h->path = PATH_ID_pool;
	atomic_init(&p->f.h->errors_seen, pool_file_errors_seen(node_pool_file(p->f.n)));
	return stx.stx_size == p->f.len_bytes;
}

static inline void pooled_close(struct pooled *p)
{
	if (p->f.h)
		pool_open_end(p->f.h);
	rig_close(&p->f);
}

static inline void pooled_fini(struct pooled *p)
{
	pooled_close(p);
	if (p->f.nodes.t)
		node_table_end_pool_files(p->f.nodes.t);
	pool_free(p->pool);
	rig_fini(&p->f);
}

/* Why a test cannot be done here, or NULL. */
#define POOLED_NEEDS_DIRECT(p)                    \
	do {                                      \
		if (!rig_has_direct(&(p)->f))     \
			SKIP("no O_DIRECT here"); \
	} while (0)

/* [off, off + len) through the pool is what the model has there. The worker's memory is used. */
static inline bool pooled_check(struct pooled *p, uint64_t off_bytes, size_t len_bytes)
{
	struct rig *f = &p->f;
	struct pool_view *view = &f->w.view;
	size_t want = rig_there(f, off_bytes, len_bytes), at = 0;
	ssize_t n = pool_read(node_pool_file(f->n), off_bytes, len_bytes, NULL, f->w.data, view);
	bool is_good = n == (ssize_t)want;

	if (n < 0) {
		CHECK_EQ(n, want);
		return false;
	}
	for (size_t i = 1; i <= view->count && is_good; at += view->iov[i++].iov_len)
		is_good = memcmp(view->iov[i].iov_base, f->model + off_bytes + at,
				 view->iov[i].iov_len) == 0;
	if (view->count == 0 && want > 0)
		is_good = is_good && memcmp(view->mem, f->model + off_bytes, want) == 0;
	pool_view_done(node_pool_file(f->n), view);
	if (!is_good)
		printf("# the pool has %zd bytes at %" PRIu64 " of %zu, or other ones\n", n,
		       off_bytes, want);
	CHECK(is_good);
	return is_good;
}

/* New bytes into the pool alone, and the model; how many it took. */
static inline ssize_t pooled_dirty(struct pooled *p, uint64_t off_bytes, size_t len_bytes, unsigned seed)
{
	uint64_t hit, miss;
	const unsigned char *from = rig_change(&p->f, off_bytes, len_bytes, seed);

	return pool_write(node_pool_file(p->f.n), from, len_bytes, off_bytes, &hit, &miss);
}
