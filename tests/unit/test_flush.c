/*
 * Writing dirty pages: which are written together and how far, what is written of a page that changes meanwhile, what a failure costs
 * and who is told.
 */
#include "pool_inside.h"

#define PAGE 4096UL

static const struct pool_config back = {.is_write_back = true};

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
