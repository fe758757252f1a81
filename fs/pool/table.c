/*
 * Finding, claiming and freeing frames: the hash table and its shards. A hit takes no lock: it walks a chain that may change
 * under it, and counts only after a pin of the very page; at any doubt it says no, and who asks goes the way of a miss, which
 * looks again under the shard's mutex. Owns the chains, the free lists, what the policies are told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "pool/pool_internal.h"

#define CHAIN_MAX 512 /* a chain that changes while it is walked may lead in circles */

struct page_ref page_ref_of(struct pool_file *f, uint64_t page)
{
	return (struct page_ref){.file = f, .page = page, .hash = hash_pair((uint64_t)(uintptr_t)f, page)};
}

static struct shard *shard_of_hash(const struct pool *p, uint64_t hash)
{
	return &p->shards[hash & (p->n_shards - 1)];
}

static struct shard *shard_of_frame(const struct pool *p, uint32_t frame)
{
	return &p->shards[frame & (p->n_shards - 1)];
}

static uint32_t slot_of(const struct pool *p, uint32_t frame)
{
	return frame / p->n_shards;
}

static _Atomic uint32_t *bucket_of(const struct pool *p, uint64_t hash)
{
	return &p->buckets[hash & (p->n_buckets - 1)];
}

static bool is_page(const struct frame *fr, const struct page_ref *r)
{
	return atomic_load_explicit(&fr->page, memory_order_relaxed) == r->page &&
	       atomic_load_explicit(&fr->file, memory_order_relaxed) == r->file;
}

uint32_t table_try_pin(struct pool *p, const struct page_ref *r)
{
	uint32_t i = atomic_load_explicit(bucket_of(p, r->hash), memory_order_acquire);
	for (int steps = 0; i != FRAME_NONE && steps < CHAIN_MAX; steps++) {
		struct frame *fr = &p->frames[i];
		if (is_page(fr, r)) {
			if (!frame_try_pin(fr))
				return FRAME_NONE;
			if (is_page(fr, r))
				return i;
			frame_unpin(fr);
			return FRAME_NONE;
		}
		i = atomic_load_explicit(&fr->hash_next, memory_order_acquire);
	}
	return FRAME_NONE;
}

void table_hit(struct pool *p, uint32_t frame)
{
	struct shard *sh = shard_of_frame(p, frame);
	uint32_t slot = slot_of(p, frame);
	struct evict *e = atomic_load_explicit(&sh->evict, memory_order_acquire);
	if (e->ops->has_lockfree_hit) {
		if (slot < e->capacity)
			e->ops->hit(e, slot);
		return;
	}
	mutex_lock(&sh->mutex);
	e = atomic_load_explicit(&sh->evict, memory_order_relaxed);
	if (slot < e->capacity)
		e->ops->hit(e, slot);
	mutex_unlock(&sh->mutex);
}

static uint32_t find_locked(const struct pool *p, const struct page_ref *r)
{
	uint32_t i = atomic_load_explicit(bucket_of(p, r->hash), memory_order_relaxed);
	while (i != FRAME_NONE && !is_page(&p->frames[i], r))
		i = atomic_load_explicit(&p->frames[i].hash_next, memory_order_relaxed);
	return i;
}

static void link_locked(struct pool *p, uint32_t frame, const struct page_ref *r)
{
	struct frame *fr = &p->frames[frame];
	_Atomic uint32_t *bucket = bucket_of(p, r->hash);
	atomic_store_explicit(&fr->file, r->file, memory_order_relaxed);
	atomic_store_explicit(&fr->page, r->page, memory_order_relaxed);
	atomic_store_explicit(&fr->hash_next, atomic_load_explicit(bucket, memory_order_relaxed),
			      memory_order_relaxed);
	/* release: who finds the frame sees its key; pairs with table_try_pin() */
	atomic_store_explicit(bucket, frame, memory_order_release);
}

static void unlink_locked(struct pool *p, uint32_t frame)
{
	struct frame *fr = &p->frames[frame];
	struct page_ref r = page_ref_of(atomic_load_explicit(&fr->file, memory_order_relaxed),
					atomic_load_explicit(&fr->page, memory_order_relaxed));
	_Atomic uint32_t *link = bucket_of(p, r.hash);
	uint32_t i;
	while ((i = atomic_load_explicit(link, memory_order_relaxed)) != frame)
		link = &p->frames[i].hash_next;
	atomic_store_explicit(link, atomic_load_explicit(&fr->hash_next, memory_order_relaxed),
			      memory_order_release);
}

/* One page of f is no longer resident; the last use of f here. */
static void page_gone(struct pool_file *f)
{
	file_count(f, CTR_POOL_RESIDENT_BYTES, -(uint64_t)f->pool->config.page_bytes);
	/* release: pairs with files_sweep(), which frees f */
	atomic_fetch_sub_explicit(&f->frames, 1, memory_order_release);
}

static void count_wasted(struct pool_file *f)
{
	struct pool *p = f->pool;
	file_count(f, CTR_POOL_READAHEAD_WASTED_BYTES, p->config.page_bytes);
	atomic_fetch_add_explicit(&f->wasted_pages, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->stat_wasted_bytes, p->config.page_bytes, memory_order_relaxed);
}

/* What was in a frame that is the caller's now; word: its state when it was evicted. */
static void evicted(struct pool *p, uint32_t frame, struct pool_file *f, uint32_t word)
{
	if (p->sums && !sum_holds(p, frame)) {
		file_count(f, CTR_POOL_VERIFY_FAILURES, 1);
		atomic_fetch_add_explicit(&p->stat_verify_failures, 1, memory_order_relaxed);
		log_err("a clean page of the buffer pool was changed in memory; it is evicted, and not served");
	}
	if (word & FRAME_AHEAD)
		count_wasted(f);
	file_count(f, CTR_POOL_EVICTIONS, 1);
	atomic_fetch_add_explicit(&p->stat_evictions, 1, memory_order_relaxed);
	page_gone(f);
}

/* A frame for a page, free or evicted, FILLING and out of the table. *old: whose page went, or NULL; *word: its state then. */
static uint32_t obtain_locked(struct pool *p, struct shard *sh, uint64_t hash,
			      struct pool_file **old, uint32_t *word)
{
	struct evict *e = atomic_load_explicit(&sh->evict, memory_order_relaxed);
	uint32_t frame = shard_pop_free(sh);
	*old = NULL;
	if (frame != FRAME_NONE)
		return frame;
	uint32_t slot = e->ops->victim(e, hash);
	if (slot == EVICT_NONE)
		return FRAME_NONE;
	frame = slot * p->n_shards + sh->number;
	*old = atomic_load_explicit(&p->frames[frame].file, memory_order_relaxed);
	*word = sh->victim_word;
	unlink_locked(p, frame);
	return frame;
}

enum claim table_claim(struct pool *p, const struct page_ref *r, uint32_t *frame)
{
	struct shard *sh = shard_of_hash(p, r->hash);
	struct pool_file *old;
	uint32_t word = 0;
	mutex_lock(&sh->mutex);
	*frame = find_locked(p, r);
	if (*frame != FRAME_NONE) {
		mutex_unlock(&sh->mutex);
		return CLAIM_THERE;
	}
	*frame = obtain_locked(p, sh, r->hash, &old, &word);
	if (*frame == FRAME_NONE) {
		mutex_unlock(&sh->mutex);
		return CLAIM_FULL;
	}
	/* before it can be found: r->file is not freed while it has frames */
	atomic_fetch_add_explicit(&r->file->frames, 1, memory_order_relaxed);
	link_locked(p, *frame, r);
	struct evict *e = atomic_load_explicit(&sh->evict, memory_order_relaxed);
	e->ops->insert(e, slot_of(p, *frame), r->hash);
	mutex_unlock(&sh->mutex);
	file_count(r->file, CTR_POOL_RESIDENT_BYTES, p->config.page_bytes);
	if (old)
		evicted(p, *frame, old, word);
	return CLAIM_OURS;
}

void table_move(struct pool *p, uint32_t frame)
{
	struct frame *fr = &p->frames[frame];
	struct shard *sh = shard_of_frame(p, frame);
	struct page_ref r = page_ref_of(atomic_load_explicit(&fr->file, memory_order_relaxed),
					atomic_load_explicit(&fr->page, memory_order_relaxed));
	struct pool_file *old;
	uint32_t word = 0;
	mutex_lock(&sh->mutex);
	uint32_t to = obtain_locked(p, sh, r.hash, &old, &word);
	mutex_unlock(&sh->mutex);
	if (to == FRAME_NONE) {
		table_remove(p, frame);
		return;
	}
	if (old)
		evicted(p, to, old, word);
	memcpy(pool_mem(p, to), pool_mem(p, frame), p->config.page_bytes);
	if (p->sums)
		atomic_store_explicit(&p->sums[to],
				      atomic_load_explicit(&p->sums[frame], memory_order_relaxed),
				      memory_order_relaxed);
	uint32_t ahead = frame_load(fr) & FRAME_AHEAD;
	atomic_fetch_add_explicit(&p->moves_begun, 1, memory_order_seq_cst);
	mutex_lock(&sh->mutex);
	struct evict *e = atomic_load_explicit(&sh->evict, memory_order_relaxed);
	unlink_locked(p, frame);
	e->ops->remove(e, slot_of(p, frame));
	shard_push_free(sh, frame);
	link_locked(p, to, &r);
	e->ops->insert(e, slot_of(p, to), r.hash);
	mutex_unlock(&sh->mutex);
	frame_publish(&p->frames[to], ahead);
	atomic_fetch_add_explicit(&p->moves_ended, 1, memory_order_seq_cst);
}

/* Out of the table; the frame is the caller's, FILLING or EXCL, and free afterwards. */
static void give_up(struct pool *p, uint32_t frame)
{
	struct shard *sh = shard_of_frame(p, frame);
	struct pool_file *f = atomic_load_explicit(&p->frames[frame].file, memory_order_relaxed);
	if (frame_load(&p->frames[frame]) & FRAME_AHEAD)
		count_wasted(f);
	mutex_lock(&sh->mutex);
	struct evict *e = atomic_load_explicit(&sh->evict, memory_order_relaxed);
	unlink_locked(p, frame);
	if (slot_of(p, frame) < e->capacity)
		e->ops->remove(e, slot_of(p, frame));
	shard_push_free(sh, frame);
	mutex_unlock(&sh->mutex);
	page_gone(f);
}

void table_unclaim(struct pool *p, uint32_t frame)
{
	give_up(p, frame);
}

void table_remove(struct pool *p, uint32_t frame)
{
	give_up(p, frame);
}

uint32_t table_find(struct pool *p, const struct page_ref *r)
{
	struct shard *sh = shard_of_hash(p, r->hash);
	mutex_lock(&sh->mutex);
	uint32_t frame = find_locked(p, r);
	mutex_unlock(&sh->mutex);
	return frame;
}

uint32_t table_pin_wait(struct pool *p, const struct page_ref *r)
{
	uint32_t i;
	while ((i = table_find(p, r)) != FRAME_NONE) {
		struct frame *fr = &p->frames[i];
		uint32_t word = frame_load(fr);
		if (frame_try_pin(fr)) {
			if (is_page(fr, r))
				return i;
			frame_unpin(fr);
		} else if (is_page(fr, r) && word & (FRAME_FILLING | FRAME_EXCL)) {
			frame_wait(fr, word);
		}
	}
	return FRAME_NONE;
}

uint32_t table_lock(struct pool *p, const struct page_ref *r)
{
	uint32_t i;
	while ((i = table_find(p, r)) != FRAME_NONE) {
		struct frame *fr = &p->frames[i];
		uint32_t word = frame_load(fr);
		if (word & FRAME_FILLING) {
			if (is_page(fr, r))
				frame_wait(fr, word);
		} else if (frame_lock(fr)) {
			if (is_page(fr, r))
				return i;
			frame_unlock(fr, 0);
		}
	}
	return FRAME_NONE;
}

bool table_lock_frame(struct pool *p, uint32_t frame, const struct pool_file *f)
{
	struct frame *fr = &p->frames[frame];
	if (atomic_load_explicit(&fr->file, memory_order_relaxed) != f || !frame_lock(fr))
		return false;
	if (atomic_load_explicit(&fr->file, memory_order_relaxed) == f)
		return true;
	frame_unlock(fr, 0);
	return false;
}
