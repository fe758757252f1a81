/*
 * Writing through the pool: what is taken, what goes through, when space is wanted, what changes do to dirty pages.
 */
#include "pool_inside.h"

#define PAGE 4096UL

static const struct pool_config back = {.is_write_back = true};

TEST(write_back_writes_nothing_until_it_is_flushed)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[10];
	uint64_t hit, miss;
	uint32_t seen = 0;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	CHECK_EQ(pool_write(g.file, letters, 10, 100, &hit, &miss), 10);
	CHECK_EQ(hit, 0);
	CHECK_EQ(miss, 10);
	CHECK_EQ(pool_write(g.file, letters, 10, 200, &hit, &miss), 10);
	CHECK_EQ(hit, 10);
	CHECK_EQ(g.disk->writes, 0);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 1);
	CHECK_EQ(pool_rig_read(&g, 100, 10, out), 10);
	CHECK(memcmp(out, letters, 10) == 0);
	CHECK_EQ(pool_file_sync(g.file, &seen), 0);
	CHECK(is_on_disk(&g, 100) && is_on_disk(&g, 200));
	CHECK_EQ(g.disk->writes, 1);
	CHECK_EQ(g.disk->bytes[99], disk_byte(99, 1));
	CHECK_EQ(pool_file_sync(g.file, &seen), 0);
	CHECK_EQ(g.disk->writes, 1);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_FLUSH_OPS), 1);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_FLUSH_BYTES), PAGE);
	check_at_rest(&g);
}

TEST(write_through_takes_nothing)
{
	struct pool_rig POOL_RIG g;
	uint64_t hit, miss;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){0}, 8 * PAGE));
	CHECK_EQ(pool_write(g.file, letters, 10, 100, &hit, &miss), 0);
	CHECK_EQ(hit + miss, 0);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	write_letters(&g, 100);
	CHECK(is_on_disk(&g, 100));
	unsigned char out[10];
	unsigned reads = g.disk->reads;
	CHECK_EQ(pool_rig_read(&g, 100, 10, out), 10);
	CHECK(memcmp(out, letters, 10) == 0);
	CHECK_EQ(g.disk->reads, reads); /* the page was brought up to date, not dropped */
	check_at_rest(&g);
}

TEST(whole_pages_and_pages_beyond_the_end_are_not_read)
{
	struct pool_rig POOL_RIG g;
	static unsigned char mem[2 * PAGE];
	size_t taken;
	REQUIRE(pool_rig_init(&g, &back, 4 * PAGE + 10));
	CHECK_EQ(pool_rig_write(&g, mem, sizeof(mem), PAGE, &taken), 0);
	write_letters(&g, 4 * PAGE); /* all that there was of it */
	write_letters(&g, 6 * PAGE + 100);
	CHECK_EQ(g.disk->reads, 0);
	write_letters(&g, 5);
	CHECK_EQ(g.disk->reads, 1);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK(is_on_disk(&g, 6 * PAGE + 100) && is_on_disk(&g, 4 * PAGE) && is_on_disk(&g, 5));
	CHECK_EQ(g.disk->size_bytes, 6 * PAGE + 110);
	CHECK_EQ(g.disk->bytes[5 * PAGE], 0);
	CHECK_EQ(g.disk->bytes[4], disk_byte(4, 1));
	check_at_rest(&g);
}

TEST(no_space_is_told_when_it_is_written)
{
	struct pool_rig POOL_RIG g;
	uint64_t hit, miss;
	REQUIRE(pool_rig_init(&g, &back, PAGE));
	atomic_store(&g.disk->reserve_faults, 2);
	CHECK_EQ(pool_write(g.file, letters, 10, PAGE - 5, &hit, &miss), -ENOSPC);
	CHECK_EQ(pool_write(g.file, letters, 10, 100, &hit, &miss), -ENOSPC); /* perhaps a hole */
	CHECK_EQ(g.disk->size_bytes, PAGE);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 0);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	CHECK_EQ(pool_write(g.file, letters, 10, PAGE - 5, &hit, &miss), 10);
	check_at_rest(&g);
}

TEST(too_much_dirty_goes_through)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.is_write_back = true, .dirty_max_percent = 25},
			      64 * PAGE));
	for (uint64_t page = 0; page < 16; page++)
		write_letters(&g, page * 2 * PAGE);
	struct pool_stats s = pool_rig_stat(&g);
	CHECK_EQ(s.frames_dirty, 4);
	CHECK_EQ(s.throttled_ops, 12);
	CHECK(is_on_disk(&g, 30 * PAGE) && !is_on_disk(&g, 0));
	write_letters(&g, 20); /* what is dirty may become so again */
	CHECK_EQ(pool_rig_stat(&g).throttled_ops, 12);
	CHECK_EQ(pool_file_flush(g.file), 0);
	for (uint64_t page = 0; page < 16; page++)
		CHECK(is_on_disk(&g, page * 2 * PAGE));
	check_at_rest(&g);
}

TEST(change_does_not_begin_over_dirty_pages_that_cannot_be_written)
{
	struct pool_rig POOL_RIG g;
	struct pool_change c;
	unsigned char out[10];
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_letters(&g, 100);
	write_letters(&g, 3 * PAGE);
	atomic_store(&g.disk->write_faults, 1);
	CHECK_EQ(pool_change_begin(g.file, &c, 0, PAGE, false), -EIO);
	CHECK_EQ(pool_rig_read(&g, 100, 10, out), 10);
	CHECK(memcmp(out, letters, 10) == 0);
	REQUIRE(pool_change_begin(g.file, &c, 0, PAGE, false) == 0);
	CHECK(is_on_disk(&g, 100));
	CHECK(!is_on_disk(&g, 3 * PAGE)); /* is not touched by it */
	CHECK(is_resident(&g, 3));
	disk_put(g.disk, 0, 'x', PAGE);
	pool_change_end(g.file, &c, NULL, 0, 0, 8 * PAGE);
	CHECK_EQ(pool_rig_read(&g, 100, 10, out), 10);
	CHECK_EQ(out[0], 'x');
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK(is_on_disk(&g, 3 * PAGE));
	check_at_rest(&g);
}

TEST(truncation_keeps_what_is_dirty_below_and_loses_what_is_beyond)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE] = {0};
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_letters(&g, 100);
	write_letters(&g, PAGE + 100);
	write_letters(&g, 2 * PAGE);
	CHECK_EQ(pool_rig_truncate(&g, PAGE + 105), 0);
	CHECK_EQ(g.disk->writes, 0);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 2);
	CHECK_EQ(pool_rig_truncate(&g, 8 * PAGE), 0);
	CHECK_EQ(pool_rig_read(&g, PAGE, PAGE, out), PAGE);
	CHECK_EQ(out[104], 'e');
	CHECK_EQ(out[105], 0);
	CHECK_EQ(pool_rig_read(&g, 2 * PAGE, PAGE, out), PAGE);
	CHECK_EQ(out[0], 0);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK(is_on_disk(&g, 100));
	CHECK_EQ(g.disk->bytes[PAGE + 104], 'e');
	CHECK_EQ(g.disk->bytes[PAGE + 105], 0);
	CHECK_EQ(g.disk->bytes[2 * PAGE], 0);
	check_at_rest(&g);
}

TEST(dirty_pages_are_not_evicted)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		struct pool_rig POOL_RIG g;
		REQUIRE(pool_rig_init(&g, &(struct pool_config){.is_write_back = true, .policy = policy},
				      64 * PAGE));
		for (uint64_t page = 0; page < 6; page++)
			write_letters(&g, page * PAGE);
		for (uint64_t page = 10; page < 60; page++)
			CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
		CHECK_EQ(pool_rig_stat(&g).frames_dirty, 6);
		CHECK_EQ(g.disk->writes, 0);
		check_at_rest(&g);
	}
}
