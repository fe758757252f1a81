/*
 * Shards: the frames add up over them, each has its free list and its policy, and none takes another's frames.
 */
#include "pool_inside.h"

#define PAGE       4096UL
#define TWO_SHARDS (2UL * SHARD_FRAMES_MIN)

/* A pool of as many frames; reads and writes are none of these tests'. */
static bool rig_of(struct pool_rig *g, uint64_t frames, const struct evict_ops *policy)
{
	return pool_rig_init(g, &(struct pool_config){.size_bytes = frames * PAGE, .policy = policy},
			     PAGE);
}

/* The page's frame, claimed and published; FRAME_NONE: its shard is full. */
static uint32_t bring_in(struct pool_rig *g, uint64_t page)
{
	struct page_ref r = page_ref_of(g->file, page);
	uint32_t frame;
	if (table_claim(g->pool, &r, &frame) != CLAIM_OURS)
		return FRAME_NONE;
	frame_publish(&g->pool->frames[frame], 0);
	return frame;
}

static uint32_t shard_of_page(struct pool_rig *g, uint64_t page)
{
	return (uint32_t)(page_ref_of(g->file, page).hash & (g->pool->n_shards - 1));
}

static void check_new(uint64_t frames, uint32_t shards)
{
	struct pool_rig POOL_RIG g;
	uint64_t sum = 0, listed = 0;
	REQUIRE(rig_of(&g, frames, NULL));
	CHECK_EQ(g.pool->n_shards, shards);
	CHECK(g.pool->n_buckets >= shards);
	for (uint32_t i = 0; i < g.pool->n_shards; i++) {
		struct shard *sh = &g.pool->shards[i];
		CHECK_EQ(sh->number, i);
		CHECK_EQ(sh->frames, sh->free_count);
		CHECK_EQ(atomic_load(&sh->evict)->capacity, sh->frames);
		CHECK(i == 0 || atomic_load(&sh->evict) != atomic_load(&sh[-1].evict));
		check_shard(g.pool, sh, &listed);
		sum += sh->frames;
	}
	CHECK_EQ(sum, frames);
	CHECK_EQ(listed, frames);
	check_at_rest(&g);
}

TEST(frames_of_all_shards_are_the_pools)
{
	check_new(1, 1);
	check_new(2, 1);
	check_new(TWO_SHARDS - 1, 1);
	check_new(TWO_SHARDS, 2);
	check_new(2 * TWO_SHARDS - 1, 2);
	check_new(2 * TWO_SHARDS + 1, 4);
	check_new(64UL * SHARD_FRAMES_MIN + 63, 64);
	check_new(128UL * SHARD_FRAMES_MIN, POOL_SHARDS_MAX);
}

TEST(free_frames_are_given_once_and_come_back)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(rig_of(&g, TWO_SHARDS + 1, NULL));
	struct pool *p = g.pool;
	struct shard *sh = &p->shards[1];
	mutex_lock(&sh->mutex);
	uint32_t frames = sh->frames;
	for (uint32_t slot = 0; slot < frames; slot++) { /* the lowest first */
		uint32_t frame = shard_pop_free(sh);
		CHECK_EQ(frame, slot * 2 + 1);
		CHECK_EQ(frame_load(&p->frames[frame]), FRAME_FILLING);
		CHECK_EQ(sh->free_count, frames - slot - 1);
	}
	CHECK_EQ(shard_pop_free(sh), FRAME_NONE);
	CHECK_EQ(sh->free_count, 0);
	shard_push_free(sh, 7);
	shard_push_free(sh, 3);
	CHECK_EQ(frame_load(&p->frames[3]), 0);
	CHECK_EQ(sh->free_count, 2);
	CHECK_EQ(shard_pop_free(sh), 3);
	CHECK_EQ(shard_pop_free(sh), 7);
	CHECK_EQ(shard_pop_free(sh), FRAME_NONE);
	for (uint32_t slot = 0; slot < frames; slot++)
		shard_push_free(sh, slot * 2 + 1);
	mutex_unlock(&sh->mutex);
	check_at_rest(&g);
}

/* A frame beyond the pool's size, which became smaller meanwhile, does not come back. */
TEST(freed_frame_that_is_taken_away_is_not_listed)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(rig_of(&g, 8, NULL));
	struct shard *sh = &g.pool->shards[0];
	mutex_lock(&sh->mutex);
	while (shard_pop_free(sh) != FRAME_NONE)
		;
	atomic_store(&g.pool->frames_count, 6);
	for (uint32_t frame = 0; frame < 8; frame++)
		shard_push_free(sh, frame);
	CHECK_EQ(sh->free_count, 6);
	CHECK_EQ(frame_load(&g.pool->frames[7]), 0);
	for (uint32_t frame = 6; frame-- > 0;)
		CHECK_EQ(shard_pop_free(sh), frame);
	CHECK_EQ(shard_pop_free(sh), FRAME_NONE);
	for (uint32_t frame = 0; frame < 6; frame++)
		shard_push_free(sh, frame);
	mutex_unlock(&sh->mutex);
	check_at_rest(&g);
}

TEST(each_shard_evicts_from_its_own_frames)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		struct pool_rig POOL_RIG g;
		uint64_t pages = 3 * TWO_SHARDS, wrong = 0;
		REQUIRE(rig_of(&g, TWO_SHARDS, policy));
		for (uint64_t page = 0; page < pages; page++) {
			uint32_t frame = bring_in(&g, page);
			wrong += frame == FRAME_NONE || frame % 2 != shard_of_page(&g, page);
		}
		CHECK_EQ(wrong, 0);
		CHECK_EQ(pool_rig_stat(&g).frames_free, 0);
		CHECK_EQ(pool_rig_stat(&g).evictions, pages - TWO_SHARDS);
		CHECK_EQ(pool_rig_counter(&g, CTR_POOL_EVICTIONS), pages - TWO_SHARDS);
		check_at_rest(&g);
	}
}

/* Every frame of one shard is in use; the other one goes on, and is not asked for a frame. */
TEST(full_shard_takes_no_frame_of_another)
{
	struct pool_rig POOL_RIG g;
	uint64_t page = 0;
	uint32_t refused = 0;
	REQUIRE(rig_of(&g, TWO_SHARDS, NULL));
	struct shard *full = &g.pool->shards[0], *other = &g.pool->shards[1];
	for (uint32_t taken = 0; refused < 10; page++) {
		struct page_ref r = page_ref_of(g.file, page);
		uint32_t frame;
		if (shard_of_page(&g, page) != 0)
			continue;
		enum claim claim = table_claim(g.pool, &r, &frame); /* FILLING from here on */
		CHECK_EQ(claim, taken < full->frames ? CLAIM_OURS : CLAIM_FULL);
		taken += claim == CLAIM_OURS;
		refused += claim == CLAIM_FULL;
		REQUIRE(page < 4 * TWO_SHARDS);
	}
	CHECK_EQ(full->free_count, 0);
	CHECK_EQ(other->free_count, other->frames);
	while (shard_of_page(&g, page) != 1)
		page++;
	CHECK(bring_in(&g, page) % 2 == 1);
	CHECK_EQ(other->free_count, other->frames - 1);
	for (uint32_t frame = 0; frame < TWO_SHARDS; frame += 2)
		table_unclaim(g.pool, frame);
	CHECK_EQ(full->free_count, full->frames);
	check_at_rest(&g);
}
