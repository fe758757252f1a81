/*
 * Shards: the pool's frames in parts that are locked apart, each with a free list and a policy of its own. Owns both. What is in a
 * frame is table.c's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool_internal.h"

/* What the policy may take: also claims it. ctx is the shard, whose mutex is held. */
static bool can_evict(void *ctx, uint32_t slot)
{
	struct shard *sh = ctx;
	uint32_t frame = slot * sh->pool->n_shards + sh->number;
	if (frame >= atomic_load_explicit(&sh->pool->frames_count, memory_order_relaxed))
		return false; /* it is being taken away (resize.c) */
	return frame_try_evict(&sh->pool->frames[frame], &sh->victim_word);
}

static uint64_t now_ms(void *ctx)
{
	(void)ctx;
	return (uint64_t)pool_now_ms();
}

uint32_t shard_pop_free(struct shard *sh)
{
	struct pool *p = sh->pool;
	uint32_t frame = sh->free_head;
	if (frame == FRAME_NONE)
		return FRAME_NONE;
	sh->free_head = atomic_load_explicit(&p->frames[frame].hash_next, memory_order_relaxed);
	sh->free_count--;
	frame_claim(&p->frames[frame]);
	return frame;
}

void shard_push_free(struct shard *sh, uint32_t frame)
{
	struct pool *p = sh->pool;
	struct frame *fr = &p->frames[frame];
	atomic_store_explicit(&fr->file, NULL, memory_order_relaxed);
	frame_clear(fr);
	if (frame >= atomic_load_explicit(&p->frames_count, memory_order_relaxed))
		return; /* the pool became smaller */
	atomic_store_explicit(&fr->hash_next, sh->free_head, memory_order_relaxed);
	sh->free_head = frame;
	sh->free_count++;
}

static uint32_t floor_pow2(uint64_t n)
{
	return n < 2 ? 1 : 1U << (63 - __builtin_clzll(n));
}

int shard_policy(struct shard *sh, uint32_t frames, struct evict **out)
{
	struct evict *e = calloc(1, sizeof(*e));
	int err = e ? evict_init(e, sh->pool->config.policy, frames, can_evict, sh) : -ENOMEM;
	if (err < 0) {
		free(e);
		return err;
	}
	e->now_ms = now_ms;
	*out = e;
	return 0;
}

void shard_frames_add(struct shard *sh, uint32_t from, uint32_t to)
{
	for (uint32_t i = to; i-- > from;)
		shard_push_free(sh, i * sh->pool->n_shards + sh->number);
}

int table_init(struct pool *p)
{
	uint32_t frames = atomic_load_explicit(&p->frames_count, memory_order_relaxed);
	uint32_t shards = floor_pow2(frames / SHARD_FRAMES_MIN);
	p->n_shards = shards < POOL_SHARDS_MAX ? shards : POOL_SHARDS_MAX;
	p->n_buckets = floor_pow2(frames);
	p->buckets = malloc(p->n_buckets * sizeof(*p->buckets));
	p->shards = aligned_alloc(alignof(struct shard), p->n_shards * sizeof(*p->shards));
	if (p->shards)
		memset(p->shards, 0, p->n_shards * sizeof(*p->shards));
	if (!p->buckets || !p->shards)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_buckets; i++)
		atomic_init(&p->buckets[i], FRAME_NONE);
	for (uint32_t i = 0; i < p->n_shards; i++) {
		struct shard *sh = &p->shards[i];
		*sh = (struct shard){.pool = p, .number = i, .free_head = FRAME_NONE};
		mutex_init(&sh->mutex);
		sh->frames = (frames - i + p->n_shards - 1) / p->n_shards;
	}
	for (uint32_t i = 0; i < p->n_shards; i++) {
		struct evict *e;
		int err = shard_policy(&p->shards[i], p->shards[i].frames, &e);
		if (err < 0)
			return err;
		atomic_init(&p->shards[i].evict, e);
		shard_frames_add(&p->shards[i], 0, p->shards[i].frames);
	}
	return 0;
}

void table_fini(struct pool *p)
{
	for (uint32_t i = 0; p->shards && i < p->n_shards; i++) {
		struct evict *e = atomic_load_explicit(&p->shards[i].evict, memory_order_relaxed);
		if (e)
			evict_fini(e);
		free(e);
		mutex_fini(&p->shards[i].mutex);
	}
	free(p->shards);
	free(p->buckets);
}
