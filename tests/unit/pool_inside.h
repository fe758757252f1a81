/*
 * For unit tests that look into a buffer pool: threads that do one operation each, waiting until they sleep where they should, and
 * what must hold in a pool at rest.
 */
#pragma once

#include <sched.h>

#include "pool/pool_internal.h"
#include "pool_rig.h"

/* One read or write by a thread of its own. */
struct job {
	pthread_t thread;
	struct pool_rig *rig;
	uint64_t off_bytes;
	size_t len_bytes;
	int (*run)(struct job *j);
	ssize_t result;
	unsigned char byte; /* what is written */
	_Atomic bool is_done;
	unsigned char buf[65536];
};

static inline void *job_main(void *arg)
{
	struct job *j = arg;
	j->result = j->run(j);
	atomic_store(&j->is_done, true);
	return NULL;
}

static inline void job_start(struct job *j, struct pool_rig *g, int (*run)(struct job *j))
{
	j->rig = g;
	j->run = run;
	atomic_store(&j->is_done, false);
	CHECK_EQ(pthread_create(&j->thread, NULL, job_main, j), 0);
}

static inline ssize_t job_join(struct job *j)
{
	pthread_join(j->thread, NULL);
	return j->result;
}

/* With a stream of its own, as another open has. */
static inline int job_read(struct job *j)
{
	struct pool_rig g = *j->rig;
	memset(&g.stream, 0, sizeof(g.stream));
	return (int)pool_rig_read(&g, j->off_bytes, j->len_bytes, j->buf);
}

static inline int job_write(struct job *j)
{
	size_t taken;
	memset(j->buf, j->byte, j->len_bytes);
	return pool_rig_write(j->rig, j->buf, j->len_bytes, j->off_bytes, &taken);
}

static inline int job_flush(struct job *j)
{
	return pool_file_flush(j->rig->file);
}

static inline unsigned range_waiters(struct pool_file *f)
{
	mutex_lock(&f->ranges.mutex);
	unsigned n = f->ranges.waiters;
	mutex_unlock(&f->ranges.mutex);
	return n;
}

/* Until so many threads wait for a range of the file. */
static inline void await_range_waiters(struct pool_file *f, unsigned n)
{
	while (range_waiters(f) < n)
		sched_yield();
}

static inline uint32_t frame_of_page(struct pool_rig *g, uint64_t page)
{
	struct page_ref r = page_ref_of(g->file, page);
	return table_find(g->pool, &r);
}

static inline bool is_resident(struct pool_rig *g, uint64_t page)
{
	return frame_of_page(g, page) != FRAME_NONE;
}

/* A bit of a resident page changes by itself. */
static inline void flip_bit(struct pool_rig *g, uint64_t page, size_t at)
{
	uint32_t frame = frame_of_page(g, page);
	CHECK(frame != FRAME_NONE);
	if (frame != FRAME_NONE)
		pool_mem(g->pool, frame)[at] ^= 1;
}

/* What tests write, and whether it has reached the disk. */
static const unsigned char letters[] = "abcdefghij";

static inline bool is_on_disk(struct pool_rig *g, uint64_t off_bytes)
{
	return memcmp(g->disk->bytes + off_bytes, letters, 10) == 0;
}

static inline void write_letters(struct pool_rig *g, uint64_t off_bytes)
{
	size_t taken;
	CHECK_EQ(pool_rig_write(g, letters, 10, off_bytes, &taken), 0);
}

/* A shard at rest: each of its frames is in its free list, once, or in the table. */
static inline void check_shard(struct pool *p, struct shard *sh, uint64_t *listed)
{
	uint32_t count = 0, frames = atomic_load(&p->frames_count);
	char *seen = calloc(frames, 1);
	for (uint32_t i = sh->free_head; seen && i != FRAME_NONE;
	     i = atomic_load(&p->frames[i].hash_next)) {
		bool is_good = i < frames && i % p->n_shards == sh->number && !seen[i] &&
			       (frame_load(&p->frames[i]) & ~(uint32_t)FRAME_WAITED) == 0;
		CHECK(is_good);
		if (!is_good)
			break;
		seen[i] = 1;
		count++;
	}
	CHECK_EQ(count, sh->free_count);
	*listed += count;
	free(seen);
}

/* What must hold when nobody uses the pool. */
static inline void check_at_rest(struct pool_rig *g)
{
	struct pool *p = g->pool;
	struct pool_stats s = pool_rig_stat(g);
	uint64_t listed = 0, resident = 0;
	for (uint32_t i = 0; i < p->n_shards; i++)
		check_shard(p, &p->shards[i], &listed);
	for (uint32_t i = 0; i < p->frames_peak; i++)
		resident += atomic_load(&p->frames[i].file) == g->file;
	CHECK_EQ(s.frames_free + s.frames_clean + s.frames_dirty, s.frames);
	CHECK_EQ(s.frames_busy, 0);
	CHECK_EQ(s.frames_pinned, 0);
	CHECK_EQ(s.frames_free, listed);
	CHECK_EQ(atomic_load(&g->file->frames), resident);
	CHECK_EQ(s.frames_clean + s.frames_dirty, resident);
	CHECK_EQ(pool_rig_counter(g, CTR_POOL_RESIDENT_BYTES), resident * s.page_bytes);
	CHECK_EQ(pool_rig_counter(g, CTR_POOL_DIRTY_BYTES), s.frames_dirty * s.page_bytes);
	CHECK_EQ(atomic_load(&p->dirty_frames), s.frames_dirty);
	CHECK_EQ(atomic_load(&g->file->dirty_count), s.frames_dirty);
}
