/*
 * The pool as a whole: its memory, its beginning and end, what it tells of itself. Address space is reserved for as many frames as
 * the machine has memory for, so that the pool can grow; pages of it are used, and cost memory, from the first fill on.
 */
#include "pool/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "pool/pool_internal.h"

static void *reserve(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return mem == MAP_FAILED ? NULL : mem;
}

/* The arena and the frames for up to `frames`; 0 or -ENOMEM with nothing held. */
static int memory_reserve(struct pool *p, uint32_t frames)
{
	bool is_verified = p->config.verify != POOL_VERIFY_OFF;
	p->frames_max = frames;
	p->arena = reserve((size_t)frames << p->page_shift);
	p->frames = reserve(frames * sizeof(struct frame));
	p->sums = is_verified ? reserve(frames * sizeof(*p->sums)) : NULL;
	if (p->arena && p->frames && (p->sums || !is_verified))
		return 0;
	memory_release(p);
	return -ENOMEM;
}

void memory_release(struct pool *p)
{
	if (p->arena)
		munmap(p->arena, (size_t)p->frames_max << p->page_shift);
	if (p->frames)
		munmap(p->frames, p->frames_max * sizeof(struct frame));
	if (p->sums)
		munmap(p->sums, p->frames_max * sizeof(*p->sums));
	p->arena = NULL;
	p->frames = NULL;
	p->sums = NULL;
}

static uint64_t memory_of_machine(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
	return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

static int pool_init(struct pool *p)
{
	uint64_t wanted = p->config.size_bytes >> p->page_shift;
	uint64_t largest = memory_of_machine() >> p->page_shift;
	if (wanted == 0 || wanted > UINT32_MAX / 2)
		return -EINVAL;
	if (largest > UINT32_MAX / 2)
		largest = UINT32_MAX / 2;
	if (largest < wanted)
		return -EINVAL;
	/* Where address space is limited the pool cannot grow, but be there. */
	int err = memory_reserve(p, (uint32_t)largest);
	if (err < 0)
		err = memory_reserve(p, (uint32_t)wanted);
	if (err < 0)
		return err;
	(void)madvise(p->arena, (size_t)p->frames_max << p->page_shift, MADV_HUGEPAGE);
	(void)madvise(p->arena, (size_t)p->frames_max << p->page_shift, MADV_DONTDUMP);
	atomic_init(&p->frames_count, (uint32_t)wanted);
	atomic_init(&p->frames_peak, (uint32_t)wanted);
	p->files = calloc(FILES_BUCKETS, sizeof(struct pool_file *));
	return p->files ? table_init(p) : -ENOMEM;
}

static void pool_fini(struct pool *p)
{
	retired_free(p);
	table_fini(p);
	memory_release(p);
	free(p->files);
	mutex_fini(&p->files_mutex);
	mutex_fini(&p->resize_mutex);
	free(p);
}

int pool_new(const struct pool_config *config, struct pool **out)
{
	struct pool *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->config = *config;
	p->page_shift = (uint32_t)__builtin_ctz(config->page_bytes);
	p->files_sweep_at = FILES_BUCKETS;
	mutex_init(&p->files_mutex);
	mutex_init(&p->resize_mutex);
	int err = pool_init(p);
	if (err < 0)
		pool_fini(p);
	else
		*out = p;
	return err;
}

int pool_start(struct pool *p)
{
	int err = p->config.readahead_bytes >= p->config.page_bytes ? readahead_start(p) : 0;
	int flusher_err = p->config.is_write_back ? flusher_start(p) : 0;
	if (flusher_err < 0)
		p->config.is_write_back = false; /* nobody would write what is dirty; nobody serves yet */
	return err < 0 ? err : flusher_err;
}

/* What is left has no references: nobody can read or write it. */
static int forget_file(struct pool_file *f)
{
	uint64_t dirty = atomic_load_explicit(&f->dirty_count, memory_order_acquire);
	struct range_hold hold;
	if (dirty > 0)
		log_err("%llu pages of a file could not be written from the buffer pool, and are lost",
			(unsigned long long)dirty);
	range_acquire(&f->ranges, &hold, RANGE_CHANGE, 0, POOL_TO_END);
	(void)frames_drop(f, 0, POOL_TO_END, DROP_ALL);
	range_release(&f->ranges, &hold);
	return 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	readahead_stop(p);
	flusher_stop(p);
	if (pool_flush(p) < 0)
		log_err("not all dirty pages of the buffer pool could be written");
	(void)files_each(p, forget_file);
	files_sweep(p);
	pool_fini(p);
}

uint32_t pool_page_bytes(const struct pool *p)
{
	return p->config.page_bytes;
}

bool pool_is_write_back(const struct pool *p)
{
	return p->config.is_write_back;
}

/* How much of the arena lies in huge pages, by /proc/self/smaps. */
static uint64_t huge_bytes(const struct pool *p)
{
	char line[256];
	unsigned long long from, kb, huge_kb = 0;
	bool is_ours = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%*x ", &from) == 1 && strchr(line, '-'))
			is_ours = from == (uint64_t)(uintptr_t)p->arena;
		else if (is_ours && sscanf(line, "AnonHugePages: %llu kB", &kb) == 1)
			huge_kb += kb;
	}
	if (f)
		(void)fclose(f);
	return huge_kb * 1024;
}

static void count_frames(const struct pool *p, struct pool_stats *out)
{
	for (uint32_t i = 0; i < out->frames; i++) {
		uint32_t word = frame_load(&p->frames[i]);
		bool is_used = word & FRAME_VALID;
		if (is_used && word & (FRAME_DIRTY | FRAME_WRITING))
			out->frames_dirty++;
		else if (is_used)
			out->frames_clean++;
		else if (word & FRAME_FILLING)
			out->frames_busy++;
		else
			out->frames_free++;
		out->frames_pinned += is_used && word & FRAME_PINS;
	}
}

static void add_lists(struct pool *p, struct pool_stats *out)
{
	for (uint32_t i = 0; i < p->n_shards; i++) {
		struct evict_list list[EVICT_LISTS_MAX];
		struct shard *sh = &p->shards[i];
		mutex_lock(&sh->mutex);
		const struct evict *e = atomic_load_explicit(&sh->evict, memory_order_relaxed);
		out->lists = e->ops->lists(e, list);
		mutex_unlock(&sh->mutex);
		for (size_t k = 0; k < out->lists; k++) {
			out->list[k].name = list[k].name;
			out->list[k].count += list[k].count;
		}
	}
}

static uint64_t oldest_dirty_ms(struct pool *p)
{
	int64_t now = pool_now_ms(), since = now;
	if (atomic_load_explicit(&p->dirty_frames, memory_order_relaxed) == 0)
		return 0;
	mutex_lock(&p->files_mutex);
	for (uint32_t i = 0; i < FILES_BUCKETS; i++)
		for (struct pool_file *f = p->files[i]; f; f = f->hash_next)
			if (atomic_load_explicit(&f->dirty_count, memory_order_relaxed) > 0) {
				int64_t t = atomic_load_explicit(&f->dirty_since_ms, memory_order_relaxed);
				since = t < since ? t : since;
			}
	mutex_unlock(&p->files_mutex);
	return (uint64_t)(now - since);
}

static uint64_t load(const _Atomic uint64_t *stat)
{
	return atomic_load_explicit(stat, memory_order_relaxed);
}

static void add_sums(struct pool *p, struct pool_stats *out)
{
	out->evictions = load(&p->stat_evictions);
	out->verify_failures = load(&p->stat_verify_failures);
	out->flush_ops = load(&p->stat_flush_ops);
	out->flush_bytes = load(&p->stat_flush_bytes);
	out->flush_errors = load(&p->stat_flush_errors);
	out->throttled_ops = load(&p->stat_throttled);
	out->readahead_bytes = load(&p->stat_ahead_bytes);
	out->readahead_wasted_bytes = load(&p->stat_wasted_bytes);
	out->readahead_queued = readahead_queued(p);
}

void pool_stat(struct pool *p, struct pool_stats *out)
{
	static const char *const verify[] = {"off", "evict", "always"};
	*out = (struct pool_stats){.page_bytes = p->config.page_bytes,
				   .frames = atomic_load_explicit(&p->frames_count, memory_order_relaxed),
				   .shards = p->n_shards,
				   .policy = p->config.policy->name,
				   .verify = verify[p->config.verify],
				   .is_write_back = p->config.is_write_back};
	count_frames(p, out);
	add_lists(p, out);
	add_sums(p, out);
	mutex_lock(&p->files_mutex);
	out->files = p->files_count;
	mutex_unlock(&p->files_mutex);
	out->bytes_huge = huge_bytes(p);
	out->oldest_dirty_ms = oldest_dirty_ms(p);
}
