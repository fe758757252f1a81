/*
 * pool_verify=: a clean page that changes in memory by itself is found out, counted, and never becomes what is served or written.
 */
#include "pool_inside.h"

#define PAGE 4096UL

static void reads_again(enum pool_verify verify, uint64_t failures)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.verify = verify}, 8 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 2 * PAGE, 1));
	flip_bit(&g, 1, 77);
	CHECK_EQ(pool_rig_read(&g, PAGE, PAGE, out), PAGE);
	CHECK_EQ(out[77] == disk_byte(PAGE + 77, 1), failures == 1);
	CHECK_EQ(pool_rig_stat(&g).verify_failures, failures);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_VERIFY_FAILURES), failures);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	check_at_rest(&g);
}

TEST(always_reads_a_page_again)
{
	reads_again(POOL_VERIFY_ALWAYS, 1);
}

TEST(off_and_evict_do_not_look_at_hits)
{
	reads_again(POOL_VERIFY_OFF, 0);
	reads_again(POOL_VERIFY_EVICT, 0);
}

TEST(evict_finds_it_when_the_page_goes)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.verify = POOL_VERIFY_EVICT, .size_bytes = 4 * PAGE},
			      64 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	flip_bit(&g, 0, 0);
	for (uint64_t page = 1; page < 64; page++)
		CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
	CHECK_EQ(pool_rig_stat(&g).verify_failures, 1);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
}

/* What programs change is no failure, whether it goes through or back. */
static void writes_are_no_failure(bool is_write_back)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	size_t taken;
	REQUIRE(pool_rig_init(
		&g, &(struct pool_config){.verify = POOL_VERIFY_ALWAYS, .is_write_back = is_write_back},
		8 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 2 * PAGE, 1));
	CHECK_EQ(pool_rig_write(&g, (const unsigned char *)"abc", 3, 100, &taken), 0);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), PAGE);
	CHECK_EQ(out[100], 'a');
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), PAGE);
	CHECK_EQ(pool_rig_truncate(&g, 200), 0);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), 200);
	CHECK_EQ(pool_file_drop(g.file), 0);
	CHECK_EQ(pool_rig_stat(&g).verify_failures, 0);
}

TEST(writes_are_no_failure)
{
	writes_are_no_failure(false);
	writes_are_no_failure(true);
}

/* A flushed page is clean, and watched again. */
TEST(flushed_page_is_watched)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	size_t taken;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.verify = POOL_VERIFY_ALWAYS, .is_write_back = true},
			      8 * PAGE));
	CHECK_EQ(pool_rig_write(&g, (const unsigned char *)"abc", 3, 100, &taken), 0);
	CHECK_EQ(pool_file_flush(g.file), 0);
	flip_bit(&g, 0, 5);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), PAGE);
	CHECK_EQ(out[5], disk_byte(5, 1));
	CHECK_EQ(out[100], 'a');
	CHECK_EQ(pool_rig_stat(&g).verify_failures, 1);
}

/* A write of some bytes into a page that has gone bad must not make the rest of it good. */
static void partial_write_is_no_amnesty(bool is_write_back)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	size_t taken;
	REQUIRE(pool_rig_init(
		&g, &(struct pool_config){.verify = POOL_VERIFY_ALWAYS, .is_write_back = is_write_back},
		8 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	flip_bit(&g, 0, 3000);
	CHECK_EQ(pool_rig_write(&g, (const unsigned char *)"abc", 3, 100, &taken), 0);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), PAGE);
	CHECK_EQ(out[100], 'a');
	CHECK_EQ(out[3000], disk_byte(3000, 1));
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->bytes[3000], disk_byte(3000, 1));
	CHECK_EQ(pool_rig_stat(&g).verify_failures, 1);
}

TEST(partial_write_through_is_no_amnesty)
{
	partial_write_is_no_amnesty(false);
}

TEST(partial_write_back_is_no_amnesty)
{
	partial_write_is_no_amnesty(true);
}

/* Nor does a cut, */
TEST(truncation_is_no_amnesty)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.verify = POOL_VERIFY_ALWAYS}, 8 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	flip_bit(&g, 0, 30);
	CHECK_EQ(pool_rig_truncate(&g, 2000), 0);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), 2000);
	CHECK_EQ(out[30], disk_byte(30, 1));
}

/* nor a move to another frame. */
TEST(resize_is_no_amnesty)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.verify = POOL_VERIFY_ALWAYS}, 16 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 16 * PAGE, 1));
	for (uint64_t page = 0; page < 16; page++)
		flip_bit(&g, page, 9);
	REQUIRE(pool_resize(g.pool, 4 * PAGE) == 0);
	unsigned kept = 0;
	for (uint64_t page = 0; page < 16; page++) {
		if (!is_resident(&g, page))
			continue;
		kept++;
		CHECK_EQ(pool_rig_read(&g, page * PAGE, PAGE, out), PAGE);
		CHECK_EQ(out[9], disk_byte(page * PAGE + 9, 1));
	}
	CHECK(kept > 0);
}

/* In a pool that is too small for a request its pages are looked at as well. */
TEST(always_in_a_pool_of_few_frames)
{
	struct pool_rig POOL_RIG g;
	static unsigned char scratch[65536] __attribute__((aligned(4096)));
	static struct job j = {.off_bytes = 0, .len_bytes = 3 * PAGE};
	struct pool_view v;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.verify = POOL_VERIFY_ALWAYS, .size_bytes = 2 * PAGE},
			      16 * PAGE));
	/* held, so that the third page finds no frame */
	REQUIRE(pool_read(g.file, 0, 2 * PAGE, NULL, scratch, &v) == (ssize_t)(2 * PAGE));
	flip_bit(&g, 0, 9);
	job_start(&j, &g, job_read);
	/* that page cannot go while it is held: either it is waited for or passed by */
	struct frame *fr = &g.pool->frames[frame_of_page(&g, 0)];
	while (!atomic_load(&j.is_done) && !(frame_load(fr) & FRAME_EXCL))
		sched_yield();
	pool_view_done(g.file, &v);
	CHECK_EQ(job_join(&j), 3 * PAGE);
	CHECK_EQ(j.buf[9], disk_byte(9, 1));
}
