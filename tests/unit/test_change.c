/*
 * Orders of events in the pool that are rare by chance, brought about on purpose: what one thread found out before it waited may be
 * wrong when it goes on.
 */
#include <sched.h>

#include "pool_inside.h"

static const struct pool_config back = {.is_write_back = true};

/* A write up to the file's end, which waits while another one appends to the same page, leaves what was appended. */
TEST(write_of_a_last_page_waits_for_an_append)
{
	struct pool_rig POOL_RIG g;
	static struct job j = {.off_bytes = 0, .len_bytes = 1000, .byte = 'a'};
	unsigned char appended[500];
	struct pool_change c;
	REQUIRE(pool_rig_init(&g, &back, 1000));
	memset(appended, 'b', sizeof(appended));
	REQUIRE(pool_change_begin(g.file, &c, 1000, sizeof(appended), false) == 0);
	job_start(&j, &g, job_write);
	await_range_waiters(g.file, 1);
	CHECK_EQ(pool_rig_write_disk(&g, appended, sizeof(appended), 1000), 0);
	pool_change_end(g.file, &c, appended, 1000, sizeof(appended), POOL_SIZE_GREW);
	CHECK_EQ(job_join(&j), 0);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->size_bytes, 1500);
	CHECK_EQ(g.disk->bytes[999], 'a');
	CHECK_EQ(g.disk->bytes[1000], 'b');
	CHECK_EQ(g.disk->bytes[1499], 'b');
}

/* A write that waits while the file is cut before it makes it long again, or was before the cut: then nothing of it is seen. */
TEST(write_waits_for_a_truncation)
{
	struct pool_rig POOL_RIG g;
	static struct job j = {.off_bytes = 8192, .len_bytes = 4096, .byte = 'a'};
	struct pool_change c;
	unsigned char out[4096] = {0};
	REQUIRE(pool_rig_init(&g, &back, 16384));
	REQUIRE(pool_change_begin(g.file, &c, 100, POOL_TO_END, true) == 0);
	job_start(&j, &g, job_write);
	await_range_waiters(g.file, 1);
	disk_resize(g.disk, 100);
	pool_change_end(g.file, &c, NULL, 0, 0, 100);
	CHECK_EQ(job_join(&j), 0);
	CHECK_EQ(pool_file_flush(g.file), 0);
	bool is_after = g.disk->size_bytes == 8192 + 4096;
	CHECK(is_after || g.disk->size_bytes == 100);
	CHECK_EQ(pool_rig_truncate(&g, 16384), 0);
	CHECK_EQ(pool_rig_read(&g, 8192, sizeof(out), out), sizeof(out));
	CHECK_EQ(out[0], is_after ? 'a' : 0);
	CHECK_EQ(out[0], g.disk->bytes[8192]);
}

/* What somebody else appended underneath is not overwritten by zeros when the pool writes near it. */
TEST(write_into_what_grew_underneath)
{
	struct pool_rig POOL_RIG g;
	size_t taken;
	REQUIRE(pool_rig_init(&g, &back, 1000));
	disk_resize(g.disk, 12288);
	disk_put(g.disk, 1000, 'x', 12288 - 1000);
	REQUIRE(pool_rig_write(&g, (const unsigned char *)"abc", 3, 5000, &taken) == 0);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->size_bytes, 12288);
	CHECK_EQ(g.disk->bytes[4999], 'x');
	CHECK_EQ(g.disk->bytes[5000], 'a');
	CHECK_EQ(g.disk->bytes[5003], 'x');
}

/* The file was cut underneath while a page beyond was dirty: when it is long again there are zeros, on the disk and in the pool. */
TEST(dirty_page_beyond_what_was_cut_underneath)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[100] = {1};
	size_t taken;
	REQUIRE(pool_rig_init(&g, &back, 16384));
	REQUIRE(pool_rig_write(&g, (const unsigned char *)"abc", 3, 8192, &taken) == 0 && taken == 3);
	disk_resize(g.disk, 4096);
	CHECK_EQ(pool_rig_read(&g, 16384, 1, out), 0); /* sees the new size */
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->size_bytes, 4096);
	REQUIRE(pool_rig_truncate(&g, 16384) == 0);
	CHECK_EQ(pool_rig_read(&g, 8192, 100, out), 100);
	CHECK_EQ(out[0], g.disk->bytes[8192]);
}

/* A write that fails has not made the file longer. */
TEST(failed_append_leaves_the_size)
{
	struct pool_rig POOL_RIG g;
	size_t taken;
	REQUIRE(pool_rig_init(&g, &back, 1000));
	atomic_store(&g.disk->read_faults, 1);
	int err = pool_rig_write(&g, (const unsigned char *)"abc", 3, 1000, &taken);
	CHECK(err == 0 || err == -EIO);
	CHECK_EQ(g.disk->size_bytes, err == 0 ? 1003 : 1000);
}

/* A flush that found nothing to do has nevertheless waited for one under way, the times that it sets included. */
TEST(nothing_sets_a_time_after_a_flush)
{
	struct pool_rig POOL_RIG g;
	static struct job a, b;
	size_t taken;
	REQUIRE(pool_rig_init(&g, &back, 16384));
	REQUIRE(pool_rig_write(&g, (const unsigned char *)"abc", 3, 0, &taken) == 0 && taken == 3);
	gate_set(&g.disk->mtime_gate, true);
	job_start(&a, &g, job_flush);
	gate_await(&g.disk->mtime_gate, 1);
	job_start(&b, &g, job_flush);
	/* It waits, or it is done, and then no time may be set any more. */
	while (!atomic_load(&b.is_done) && range_waiters(g.file) == 0)
		sched_yield();
	CHECK(!atomic_load(&b.is_done));
	gate_set(&g.disk->mtime_gate, false);
	CHECK_EQ(job_join(&a), 0);
	CHECK_EQ(job_join(&b), 0);
}

/* ---- by chance ---- */

static _Atomic bool is_over;
static _Atomic unsigned zeros_seen;

/* Reads what is new at the file's end, as tail -f does. */
static int follow(struct job *j)
{
	while (!atomic_load(&is_over)) {
		ssize_t n = pool_rig_read(j->rig, j->off_bytes, 4096, j->buf);
		for (ssize_t i = 0; i < n; i++)
			if (j->buf[i] == 0)
				atomic_fetch_add(&zeros_seen, 1);
		j->off_bytes += n > 0 ? (uint64_t)n : 0;
	}
	return 0;
}

static void append_and_follow(bool is_write_back)
{
	struct pool_rig POOL_RIG g;
	static struct job reader;
	unsigned char line[100];
	size_t taken;
	reader.off_bytes = 4000;
	atomic_store(&is_over, false);
	atomic_store(&zeros_seen, 0);
	REQUIRE(pool_rig_init(
		&g, &(struct pool_config){.is_write_back = is_write_back, .size_bytes = 1UL << 20}, 4000));
	memset(line, 'z', sizeof(line));
	job_start(&reader, &g, follow);
	for (uint64_t at = 4000; at + 100 < DISK_CAP; at += 100) {
		CHECK_EQ(pool_rig_write(&g, line, sizeof(line), at, &taken), 0);
		if (at / 100 % 16 == 0)
			sched_yield();
	}
	atomic_store(&is_over, true);
	CHECK_EQ(job_join(&reader), 0);
	CHECK_EQ(zeros_seen, 0);
}

TEST(reader_at_the_end_never_sees_zeros_before_what_is_appended)
{
	for (int i = 0; i < 4; i++)
		append_and_follow(i % 2);
}
