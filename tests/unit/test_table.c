/*
 * The table of pages: who gets a page's frame, who finds it and who waits for it, and that pages are found after others came and went.
 */
#include "../tools/random.h"
#include "pool_inside.h"

#define PAGE 4096UL

static bool rig_of(struct pool_rig *g, uint64_t frames, const char *policy)
{
	return pool_rig_init(
		g, &(struct pool_config){.size_bytes = frames * PAGE, .policy = evict_find(policy)}, PAGE);
}

static enum claim claim(struct pool_rig *g, uint64_t page, uint32_t *frame)
{
	struct page_ref r = page_ref_of(g->file, page);
	return table_claim(g->pool, &r, frame);
}

/* Claimed and published, with a word of its own in it. */
static uint32_t bring_in(struct pool_rig *g, uint64_t page)
{
	uint32_t frame;
	CHECK_EQ(claim(g, page, &frame), CLAIM_OURS);
	if (frame == FRAME_NONE)
		return FRAME_NONE;
	memcpy(pool_mem(g->pool, frame), &page, sizeof(page));
	frame_publish(&g->pool->frames[frame], 0);
	return frame;
}

static uint32_t try_pin(struct pool_rig *g, uint64_t page)
{
	struct page_ref r = page_ref_of(g->file, page);
	return table_try_pin(g->pool, &r);
}

static uint32_t lock_page(struct pool_rig *g, uint64_t page)
{
	struct page_ref r = page_ref_of(g->file, page);
	return table_lock(g->pool, &r);
}

/* Jobs for a thread; off_bytes is the page's number, result its frame or -1. */
static int job_pin_wait(struct job *j)
{
	struct page_ref r = page_ref_of(j->rig->file, j->off_bytes);
	uint32_t frame = table_pin_wait(j->rig->pool, &r);
	return frame == FRAME_NONE ? -1 : (int)frame;
}

static int job_lock(struct job *j)
{
	uint32_t frame = lock_page(j->rig, j->off_bytes);
	return frame == FRAME_NONE ? -1 : (int)frame;
}

static void start(struct job *j, struct pool_rig *g, uint64_t page, int (*run)(struct job *j))
{
	j->off_bytes = page;
	job_start(j, g, run);
}

/* Until somebody sleeps on the frame's word. */
static void await_waiter(struct pool_rig *g, uint32_t frame)
{
	while (!(frame_load(&g->pool->frames[frame]) & FRAME_WAITED))
		sched_yield();
}

TEST(page_is_claimed_once_until_all_frames_are_in_use)
{
	struct pool_rig POOL_RIG g;
	uint32_t frame[8], again;
	REQUIRE(rig_of(&g, 8, "clock"));
	for (uint64_t page = 0; page < 8; page++) {
		CHECK_EQ(frame_of_page(&g, page), FRAME_NONE);
		REQUIRE(claim(&g, page, &frame[page]) == CLAIM_OURS);
		CHECK_EQ(frame_load(&g.pool->frames[frame[page]]), FRAME_FILLING);
		CHECK_EQ(claim(&g, page, &again), CLAIM_THERE);
		CHECK_EQ(again, frame[page]);
		CHECK_EQ(atomic_load(&g.file->frames), page + 1);
	}
	CHECK_EQ(claim(&g, 8, &again), CLAIM_FULL);
	CHECK_EQ(claim(&g, 7, &again), CLAIM_THERE);
	CHECK_EQ(frame_of_page(&g, 8), FRAME_NONE);
	CHECK_EQ(atomic_load(&g.file->frames), 8);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_RESIDENT_BYTES), 8 * PAGE);
	table_unclaim(g.pool, frame[3]);
	CHECK_EQ(frame_of_page(&g, 3), FRAME_NONE);
	CHECK_EQ(claim(&g, 8, &again), CLAIM_OURS);
	CHECK_EQ(again, frame[3]);
	for (uint32_t i = 0; i < 8; i++)
		table_unclaim(g.pool, i);
	CHECK_EQ(atomic_load(&g.file->frames), 0);
	check_at_rest(&g);
}

TEST(another_files_page_is_another)
{
	struct pool_rig POOL_RIG g;
	const struct ledger_key key = {.dev = 1, .ino = 3, .btime_ns = 3};
	REQUIRE(rig_of(&g, 8, "clock"));
	struct ledger *ledger = ledger_get(g.ledgers, &key);
	struct pool_file *f = pool_file_get(g.pool, g.ledgers, ledger);
	REQUIRE(ledger && f);
	struct page_ref r = page_ref_of(f, 5);
	uint32_t frame = bring_in(&g, 5);
	CHECK_EQ(table_find(g.pool, &r), FRAME_NONE);
	CHECK_EQ(table_try_pin(g.pool, &r), FRAME_NONE);
	CHECK(!table_lock_frame(g.pool, frame, f));
	CHECK_EQ(frame_load(&g.pool->frames[frame]), FRAME_VALID);
	CHECK(table_lock_frame(g.pool, frame, g.file));
	CHECK_EQ(frame_load(&g.pool->frames[frame]), FRAME_VALID | FRAME_EXCL);
	table_remove(g.pool, frame);
	CHECK(!table_lock_frame(g.pool, frame, g.file)); /* it is nobody's now */
	pool_file_put(f);
	ledger_put(g.ledgers, ledger);
	check_at_rest(&g);
}

TEST(pin_without_waiting_takes_only_what_is_whole)
{
	struct pool_rig POOL_RIG g;
	uint32_t frame;
	REQUIRE(rig_of(&g, 8, "clock"));
	CHECK_EQ(try_pin(&g, 5), FRAME_NONE);
	REQUIRE(claim(&g, 5, &frame) == CLAIM_OURS);
	CHECK_EQ(try_pin(&g, 5), FRAME_NONE);
	frame_publish(&g.pool->frames[frame], 0);
	CHECK_EQ(try_pin(&g, 5), frame);
	CHECK_EQ(try_pin(&g, 5), frame);
	CHECK_EQ(frame_load(&g.pool->frames[frame]), FRAME_VALID + 2);
	frame_unpin(&g.pool->frames[frame]);
	frame_unpin(&g.pool->frames[frame]);
	CHECK_EQ(lock_page(&g, 5), frame);
	CHECK_EQ(try_pin(&g, 5), FRAME_NONE);
	frame_unlock(&g.pool->frames[frame], 0);
	CHECK_EQ(try_pin(&g, 5), frame);
	frame_unpin(&g.pool->frames[frame]);
	check_at_rest(&g);
}

TEST(pin_waits_for_a_fill_and_for_a_lock)
{
	struct pool_rig POOL_RIG g;
	static struct job j;
	uint32_t frame;
	REQUIRE(rig_of(&g, 8, "clock"));
	start(&j, &g, 5, job_pin_wait);
	CHECK_EQ(job_join(&j), -1); /* not there: nothing to wait for */
	REQUIRE(claim(&g, 5, &frame) == CLAIM_OURS);
	start(&j, &g, 5, job_pin_wait);
	await_waiter(&g, frame);
	CHECK(!atomic_load(&j.is_done));
	frame_publish(&g.pool->frames[frame], 0);
	CHECK_EQ(job_join(&j), frame);
	CHECK_EQ(frame_load(&g.pool->frames[frame]), FRAME_VALID + 1);
	frame_unpin(&g.pool->frames[frame]);
	CHECK_EQ(lock_page(&g, 5), frame);
	start(&j, &g, 5, job_pin_wait);
	await_waiter(&g, frame);
	CHECK(!atomic_load(&j.is_done));
	frame_unlock(&g.pool->frames[frame], 0);
	CHECK_EQ(job_join(&j), frame);
	frame_unpin(&g.pool->frames[frame]);
	check_at_rest(&g);
}

/* Who waited for a page that does not come, or goes, goes away without. */
TEST(pin_and_lock_end_when_the_page_is_gone)
{
	struct pool_rig POOL_RIG g;
	static struct job pin, lock;
	uint32_t frame;
	REQUIRE(rig_of(&g, 8, "clock"));
	CHECK_EQ(lock_page(&g, 5), FRAME_NONE);
	REQUIRE(claim(&g, 5, &frame) == CLAIM_OURS);
	start(&pin, &g, 5, job_pin_wait);
	start(&lock, &g, 5, job_lock);
	await_waiter(&g, frame);
	table_unclaim(g.pool, frame); /* the fill has failed */
	CHECK_EQ(job_join(&pin), -1);
	CHECK_EQ(job_join(&lock), -1);
	frame = bring_in(&g, 5);
	REQUIRE(lock_page(&g, 5) == frame);
	start(&pin, &g, 5, job_pin_wait);
	start(&lock, &g, 5, job_lock);
	await_waiter(&g, frame);
	table_remove(g.pool, frame);
	CHECK_EQ(job_join(&pin), -1);
	CHECK_EQ(job_join(&lock), -1);
	check_at_rest(&g);
}

TEST(lock_waits_for_pins_and_lets_no_more_in)
{
	struct pool_rig POOL_RIG g;
	static struct job j;
	REQUIRE(rig_of(&g, 8, "clock"));
	uint32_t frame = bring_in(&g, 5);
	CHECK_EQ(try_pin(&g, 5), frame);
	start(&j, &g, 5, job_lock);
	await_waiter(&g, frame);
	CHECK(!atomic_load(&j.is_done));
	CHECK_EQ(try_pin(&g, 5), FRAME_NONE);
	frame_unpin(&g.pool->frames[frame]);
	CHECK_EQ(job_join(&j), frame);
	CHECK_EQ(frame_load(&g.pool->frames[frame]) & ~(uint32_t)FRAME_WAITED, FRAME_VALID | FRAME_EXCL);
	table_remove(g.pool, frame);
	CHECK_EQ(frame_of_page(&g, 5), FRAME_NONE);
	check_at_rest(&g);
}

/* Chains are longer than one here; what was linked before, between and after what goes must stay. */
TEST(pages_are_found_after_others_came_and_went)
{
	enum { FRAMES = 64, PAGES = 200 };
	struct pool_rig POOL_RIG g;
	uint32_t where[PAGES], resident = 0;
	REQUIRE(rig_of(&g, FRAMES, "clock"));
	for (size_t i = 0; i < PAGES; i++)
		where[i] = FRAME_NONE;
	random_state = 1;
	for (int step = 0; step < 3000; step++) {
		size_t page = below(PAGES), wrong = 0;
		if (where[page] != FRAME_NONE) {
			CHECK_EQ(lock_page(&g, page), where[page]);
			table_remove(g.pool, where[page]);
			where[page] = FRAME_NONE;
			resident--;
		} else if (resident < FRAMES) {
			where[page] = bring_in(&g, page);
			resident++;
		}
		for (size_t i = 0; i < PAGES; i++) {
			uint32_t pinned = try_pin(&g, i);
			wrong += frame_of_page(&g, i) != where[i] || pinned != where[i];
			if (pinned != FRAME_NONE)
				frame_unpin(&g.pool->frames[pinned]);
		}
		REQUIRE(wrong == 0);
	}
	CHECK_EQ(atomic_load(&g.file->frames), resident);
	CHECK_EQ(pool_rig_stat(&g).evictions, 0);
	check_at_rest(&g);
}

TEST(page_that_was_used_stays_longer)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(rig_of(&g, 4, "lru"));
	for (uint64_t page = 0; page < 4; page++)
		(void)bring_in(&g, page);
	table_hit(g.pool, frame_of_page(&g, 0));
	CHECK_EQ(try_pin(&g, 1), frame_of_page(&g, 1)); /* the oldest now, but in use */
	(void)bring_in(&g, 4);
	CHECK(is_resident(&g, 0) && is_resident(&g, 1) && !is_resident(&g, 2));
	frame_unpin(&g.pool->frames[frame_of_page(&g, 1)]);
	(void)bring_in(&g, 5);
	CHECK(is_resident(&g, 0) && is_resident(&g, 4));
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_EVICTIONS), 2);
	check_at_rest(&g);
}

TEST(page_read_ahead_in_vain_is_counted)
{
	struct pool_rig POOL_RIG g;
	uint32_t frame;
	REQUIRE(rig_of(&g, 2, "lru"));
	for (uint64_t page = 0; page < 2; page++) {
		REQUIRE(claim(&g, page, &frame) == CLAIM_OURS);
		frame_publish(&g.pool->frames[frame], FRAME_AHEAD);
	}
	CHECK(frame_take_ahead(&g.pool->frames[frame_of_page(&g, 0)])); /* asked for */
	(void)bring_in(&g, 2);
	CHECK_EQ(pool_rig_stat(&g).readahead_wasted_bytes, 0);
	(void)bring_in(&g, 3);
	CHECK_EQ(pool_rig_stat(&g).readahead_wasted_bytes, PAGE);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_READAHEAD_WASTED_BYTES), PAGE);
	CHECK_EQ(atomic_load(&g.file->wasted_pages), 1);
	check_at_rest(&g);
}

TEST(moved_page_is_found_with_its_content)
{
	struct pool_rig POOL_RIG g;
	uint64_t content;
	REQUIRE(rig_of(&g, 4, "clock"));
	uint32_t from = bring_in(&g, 77);
	REQUIRE(lock_page(&g, 77) == from);
	table_move(g.pool, from);
	uint32_t to = frame_of_page(&g, 77);
	REQUIRE(to != FRAME_NONE && to != from);
	memcpy(&content, pool_mem(g.pool, to), sizeof(content));
	CHECK_EQ(content, 77);
	CHECK_EQ(frame_load(&g.pool->frames[to]), FRAME_VALID);
	CHECK_EQ(frame_load(&g.pool->frames[from]), 0);
	CHECK_EQ(pool_rig_stat(&g).frames_free, 3);
	check_at_rest(&g);
	for (uint64_t page = 0; page < 3; page++)
		CHECK(bring_in(&g, page) != FRAME_NONE && try_pin(&g, page) != FRAME_NONE);
	REQUIRE(lock_page(&g, 77) == to);
	table_move(g.pool, to); /* every other frame is in use */
	CHECK(!is_resident(&g, 77));
	for (uint64_t page = 0; page < 3; page++)
		frame_unpin(&g.pool->frames[frame_of_page(&g, page)]);
	check_at_rest(&g);
}
