/*
 * Resizing a pool in use, shard by shard. Frames above the new count are emptied: their pages move to free frames below, coldest
 * pages going where there are not enough. Each shard gets a new policy of the new capacity, told of the pages from the coldest to
 * the hottest, as the old one would have evicted them. Owns the policies of before, which a lock-free hit() may still look at.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "pool/pool_internal.h"

#define TRIES 200

struct retired {
	struct retired *next;
	struct evict *evict;
};

void retired_free(struct pool *p)
{
	for (struct retired *r = p->retired, *next; r; r = next) {
		next = r->next;
		evict_fini(r->evict);
		free(r->evict);
		free(r);
	}
}

static uint32_t frames_of(const struct pool *p, const struct shard *sh, uint32_t frames)
{
	return frames > sh->number ? (frames - sh->number + p->n_shards - 1) / p->n_shards : 0;
}

static bool always(void *ctx, uint32_t slot)
{
	(void)ctx, (void)slot;
	return true;
}

static uint64_t key_of(const struct pool *p, uint32_t frame)
{
	const struct frame *fr = &p->frames[frame];
	return page_ref_of(atomic_load_explicit(&fr->file, memory_order_relaxed),
			   atomic_load_explicit(&fr->page, memory_order_relaxed))
		.hash;
}

/* Under the shard's mutex: the slots of `from`, coldest first, become known to `to`, if they fit there. */
static void hand_over(const struct pool *p, const struct shard *sh, struct evict *from, struct evict *to)
{
	uint32_t slot;
	from->can_evict = always;
	while ((slot = from->ops->victim(from, 0)) != EVICT_NONE)
		if (slot < to->capacity)
			to->ops->insert(to, slot, key_of(p, slot * p->n_shards + sh->number));
}

/* A policy for each shard, made before anything changes. */
static int make_policies(struct pool *p, uint32_t frames, struct retired **made)
{
	for (uint32_t i = 0; i < p->n_shards; i++) {
		struct retired *r = malloc(sizeof(*r));
		int err = r ? shard_policy(&p->shards[i], frames_of(p, &p->shards[i], frames), &r->evict)
			    : -ENOMEM;
		if (err < 0) {
			free(r);
			return err;
		}
		r->next = made[i];
		made[i] = r;
	}
	return 0;
}

static void free_policies(struct retired **made)
{
	for (uint32_t i = 0; i < POOL_SHARDS_MAX; i++) {
		if (!made[i])
			continue;
		evict_fini(made[i]->evict);
		free(made[i]->evict);
		free(made[i]);
	}
}

/* The shard's policy becomes the one that was made, which takes the old one with it into the list of those of before. */
static void replace_policy(struct pool *p, struct shard *sh, struct retired *made, uint32_t frames,
			   uint32_t add_from)
{
	struct evict *e = made->evict;
	mutex_lock(&sh->mutex);
	made->evict = atomic_load_explicit(&sh->evict, memory_order_relaxed);
	hand_over(p, sh, made->evict, e);
	atomic_store_explicit(&sh->evict, e, memory_order_release);
	if (add_from < frames)
		shard_frames_add(sh, add_from, frames);
	sh->frames = frames;
	mutex_unlock(&sh->mutex);
	made->next = p->retired;
	p->retired = made;
}

/* A clean page moves from a frame that goes to a new one; where there is none it goes. False: it is in use just now. */
static bool move_page(struct pool *p, uint32_t frame)
{
	struct frame *fr = &p->frames[frame];
	uint32_t word = frame_load(fr);
	if (!(word & (FRAME_VALID | FRAME_FILLING)))
		return true;
	if (word & (FRAME_FILLING | FRAME_DIRTY | FRAME_WRITING) || !frame_lock(fr))
		return false;
	if (frame_load(fr) & (FRAME_DIRTY | FRAME_WRITING)) {
		frame_unlock(fr, 0);
		return false;
	}
	table_move(p, frame);
	return true;
}

/* Empties the frames from `frames` on. 0, or -EBUSY: some stay in use. */
static int evacuate(struct pool *p, uint32_t frames, uint32_t before)
{
	bool is_done = false;
	for (int tries = 0; tries < TRIES && !is_done; tries++) {
		is_done = true;
		for (uint32_t i = frames; i < before; i++)
			is_done = move_page(p, i) && is_done;
		if (!is_done) {
			if (pool_flush(p) < 0)
				break;
			(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		}
	}
	return is_done ? 0 : -EBUSY;
}

/* Free frames that go are taken off the lists, so that nobody claims them. */
static void trim_free_locked(struct pool *p, struct shard *sh, uint32_t frames)
{
	uint32_t kept = FRAME_NONE, i = sh->free_head;
	sh->free_count = 0;
	while (i != FRAME_NONE) {
		uint32_t next = atomic_load_explicit(&p->frames[i].hash_next, memory_order_relaxed);
		if (i < frames) {
			atomic_store_explicit(&p->frames[i].hash_next, kept, memory_order_relaxed);
			kept = i;
			sh->free_count++;
		}
		i = next;
	}
	sh->free_head = kept;
}

static void trim_free(struct pool *p, struct shard *sh, uint32_t frames)
{
	mutex_lock(&sh->mutex);
	trim_free_locked(p, sh, frames);
	mutex_unlock(&sh->mutex);
}

/* It comes to nothing: free frames above return to the lists. */
static void give_back(struct pool *p, struct shard *sh, uint32_t frames, uint32_t before)
{
	mutex_lock(&sh->mutex);
	trim_free_locked(p, sh, frames); /* those freed since the count was put back are there already */
	for (uint32_t i = frames_of(p, sh, frames); i < frames_of(p, sh, before); i++) {
		uint32_t frame = i * p->n_shards + sh->number;
		if (!(frame_load(&p->frames[frame]) & (FRAME_VALID | FRAME_FILLING)))
			shard_frames_add(sh, i, i + 1);
	}
	mutex_unlock(&sh->mutex);
}

static void set_shards(struct pool *p, struct retired **made, uint32_t frames, uint32_t before)
{
	for (uint32_t i = 0; i < p->n_shards; i++) {
		struct shard *sh = &p->shards[i];
		uint32_t now = frames_of(p, sh, frames), was = frames_of(p, sh, before);
		assert(made[i]);
		replace_policy(p, sh, made[i], now, frames > before ? was : now);
		made[i] = NULL;
	}
}

static void grow(struct pool *p, struct retired **made, uint32_t frames, uint32_t before)
{
	if (frames > atomic_load_explicit(&p->frames_peak, memory_order_relaxed))
		atomic_store_explicit(&p->frames_peak, frames, memory_order_relaxed);
	atomic_store_explicit(&p->frames_count, frames, memory_order_relaxed);
	set_shards(p, made, frames, before);
}

static int shrink(struct pool *p, struct retired **made, uint32_t frames, uint32_t before)
{
	/* from now on freed frames above do not come back */
	atomic_store_explicit(&p->frames_count, frames, memory_order_relaxed);
	for (uint32_t i = 0; i < p->n_shards; i++)
		trim_free(p, &p->shards[i], frames);
	int err = evacuate(p, frames, before);
	if (err < 0) {
		atomic_store_explicit(&p->frames_count, before, memory_order_relaxed);
		for (uint32_t i = 0; i < p->n_shards; i++)
			give_back(p, &p->shards[i], frames, before);
		return err;
	}
	set_shards(p, made, frames, before);
	(void)madvise(pool_mem(p, frames), (size_t)(before - frames) << p->page_shift, MADV_DONTNEED);
	return 0;
}

int pool_resize(struct pool *p, uint64_t size_bytes)
{
	uint64_t wanted = size_bytes >> p->page_shift;
	struct retired *made[POOL_SHARDS_MAX] = {NULL};
	if (wanted < p->n_shards || wanted > p->frames_max)
		return -EINVAL;
	uint32_t frames = (uint32_t)wanted;
	mutex_lock(&p->resize_mutex);
	uint32_t before = atomic_load_explicit(&p->frames_count, memory_order_relaxed);
	int err = frames != before ? make_policies(p, frames, made) : 0;
	if (err == 0 && frames > before)
		grow(p, made, frames, before);
	else if (err == 0 && frames < before)
		err = shrink(p, made, frames, before);
	free_policies(made);
	mutex_unlock(&p->resize_mutex);
	return err;
}
