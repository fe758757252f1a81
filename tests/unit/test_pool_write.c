/*
 * Writing through the pool: what is taken, what goes through, when space is wanted, what reaches the disk and what a failure costs.
 */
#include "pool_inside.h"

#define PAGE 4096UL

static const struct pool_config back = {.is_write_back = true};
static const unsigned char letters[] = "abcdefghij";

static bool is_on_disk(struct pool_rig *g, uint64_t off_bytes)
{
	return memcmp(g->disk->bytes + off_bytes, letters, 10) == 0;
}

static void write_letters(struct pool_rig *g, uint64_t off_bytes)
{
	size_t taken;
	CHECK_EQ(pool_rig_write(g, letters, 10, off_bytes, &taken), 0);
}

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

TEST(neighbours_are_written_together)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 64 * PAGE));
	write_letters(&g, 7 * PAGE);
	write_letters(&g, 5 * PAGE);
	write_letters(&g, 20 * PAGE);
	write_letters(&g, 6 * PAGE);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->writes, 2);
	CHECK_EQ(g.disk->write_bytes, 4 * PAGE);
	check_at_rest(&g);
}

TEST(last_page_is_written_to_the_byte)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 100));
	write_letters(&g, 90);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->size_bytes, 100);
	CHECK_EQ(g.disk->write_bytes, 100);
	write_letters(&g, 95);
	CHECK_EQ(g.disk->size_bytes, 105);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->size_bytes, 105);
	CHECK(is_on_disk(&g, 95));
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

TEST(failed_write_back_is_told_once_to_each_and_nothing_is_lost)
{
	struct pool_rig POOL_RIG g;
	uint32_t a, b;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	a = b = pool_file_errors_seen(g.file);
	write_letters(&g, 0);
	write_letters(&g, 4 * PAGE);
	atomic_store(&g.disk->write_faults, 2);
	CHECK_EQ(pool_file_sync(g.file, &a), -EIO);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 2);
	CHECK(!is_on_disk(&g, 0));
	CHECK_EQ(pool_rig_stat(&g).flush_errors, 2);
	check_at_rest(&g);
	CHECK_EQ(pool_file_sync(g.file, &a), 0);
	CHECK(is_on_disk(&g, 0) && is_on_disk(&g, 4 * PAGE));
	CHECK_EQ(pool_file_error(g.file, &b), -EIO); /* close tells, too */
	CHECK_EQ(pool_file_error(g.file, &b), 0);
	CHECK_EQ(pool_file_sync(g.file, &b), 0);
	uint32_t later = pool_file_errors_seen(g.file);
	CHECK_EQ(pool_file_error(g.file, &later), 0);
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
	unsigned char out[PAGE];
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

TEST(page_changed_while_it_is_written_stays_dirty)
{
	struct pool_rig POOL_RIG g;
	static struct job flush;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_letters(&g, 0);
	gate_set(&g.disk->write_gate, true);
	job_start(&flush, &g, job_flush);
	gate_await(&g.disk->write_gate, 1);
	write_letters(&g, 100); /* does not wait */
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 1);
	gate_set(&g.disk->write_gate, false);
	CHECK_EQ(job_join(&flush), 0);
	CHECK(is_on_disk(&g, 0) && !is_on_disk(&g, 100));
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 1);
	check_at_rest(&g);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK(is_on_disk(&g, 100));
	check_at_rest(&g);
}

TEST(failed_write_of_a_page_changed_meanwhile_loses_nothing)
{
	struct pool_rig POOL_RIG g;
	static struct job flush;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_letters(&g, 0);
	gate_set(&g.disk->write_gate, true);
	atomic_store(&g.disk->write_faults, 1);
	job_start(&flush, &g, job_flush);
	gate_await(&g.disk->write_gate, 1);
	write_letters(&g, 100);
	gate_set(&g.disk->write_gate, false);
	CHECK_EQ(job_join(&flush), -EIO);
	check_at_rest(&g);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK(is_on_disk(&g, 0) && is_on_disk(&g, 100));
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

TEST(other_paths_read_what_is_dirty)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_letters(&g, 100);
	write_letters(&g, 5 * PAGE);
	CHECK_EQ(pool_file_flush_range(g.file, 50, 100), 0);
	CHECK(is_on_disk(&g, 100));
	CHECK(!is_on_disk(&g, 5 * PAGE));
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 1);
}

/* The pool's own threads write what is dirty, in a while. */
TEST(flusher_writes_in_time)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.is_write_back = true, .flush_interval_s = 0.01},
			      8 * PAGE));
	REQUIRE(pool_start(g.pool) == 0);
	write_letters(&g, 100);
	while (pool_rig_stat(&g).frames_dirty > 0)
		sched_yield();
	CHECK(is_on_disk(&g, 100));
}
