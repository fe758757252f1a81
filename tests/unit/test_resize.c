/*
 * Resizing a pool: what still fits stays, what is in the way is written or told, and it goes on meanwhile.
 */
#include "../tools/random.h"
#include "pool_inside.h"

#define PAGE 4096UL

static unsigned count_resident(struct pool_rig *g, uint64_t pages)
{
	unsigned n = 0;
	for (uint64_t page = 0; page < pages; page++)
		n += is_resident(g, page);
	return n;
}

TEST(growing_keeps_every_page)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		struct pool_rig POOL_RIG g;
		REQUIRE(pool_rig_init(&g, &(struct pool_config){.policy = policy}, 64 * PAGE));
		CHECK(pool_rig_reads_right(&g, 0, 16 * PAGE, 1));
		REQUIRE(pool_resize(g.pool, 40 * PAGE) == 0);
		unsigned reads = g.disk->reads;
		CHECK(pool_rig_reads_right(&g, 0, 16 * PAGE, 1));
		CHECK_EQ(g.disk->reads, reads);
		CHECK(pool_rig_reads_right(&g, 16 * PAGE, 24 * PAGE, 1));
		CHECK_EQ(count_resident(&g, 64), 40);
		CHECK_EQ(pool_rig_stat(&g).frames, 40);
		CHECK_EQ(pool_rig_stat(&g).evictions, 0);
		check_at_rest(&g);
	}
}

TEST(shrinking_keeps_what_fits)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		struct pool_rig POOL_RIG g;
		REQUIRE(pool_rig_init(&g, &(struct pool_config){.policy = policy, .size_bytes = 64 * PAGE},
				      64 * PAGE));
		CHECK(pool_rig_reads_right(&g, 0, 64 * PAGE, 1));
		CHECK_EQ(pool_rig_truncate(&g, 40 * PAGE), 0); /* some frames are free, at both ends */
		REQUIRE(pool_resize(g.pool, 50 * PAGE) == 0);
		CHECK_EQ(count_resident(&g, 64), 40);
		check_at_rest(&g);
		REQUIRE(pool_resize(g.pool, 10 * PAGE) == 0);
		CHECK_EQ(count_resident(&g, 64), 10);
		check_at_rest(&g);
		unsigned reads = g.disk->reads;
		for (uint64_t page = 0; page < 40; page++)
			if (is_resident(&g, page))
				CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
		CHECK_EQ(g.disk->reads, reads);
		CHECK(pool_rig_reads_right(&g, 0, 40 * PAGE, 1));
		CHECK_EQ(pool_rig_stat(&g).frames, 10);
		REQUIRE(pool_resize(g.pool, 64 * PAGE) == 0);
		CHECK(pool_rig_reads_right(&g, 0, 40 * PAGE, 1));
		CHECK(pool_rig_reads_right(&g, 0, 40 * PAGE, 1));
		CHECK_EQ(count_resident(&g, 64), 40);
		check_at_rest(&g);
	}
}

TEST(shrinking_writes_what_is_dirty)
{
	struct pool_rig POOL_RIG g;
	unsigned char x = 'x', out;
	size_t taken;
	REQUIRE(pool_rig_init(&g,
			      &(struct pool_config){.is_write_back = true,
						    .size_bytes = 32 * PAGE,
						    .dirty_max_percent = 90},
			      64 * PAGE));
	for (uint64_t page = 0; page < 24; page++)
		CHECK_EQ(pool_rig_write(&g, &x, 1, page * PAGE, &taken), 0);
	atomic_store(&g.disk->write_faults, 100);
	CHECK_EQ(pool_resize(g.pool, 4 * PAGE), -EBUSY);
	CHECK_EQ(pool_rig_stat(&g).frames, 32);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 24);
	check_at_rest(&g);
	atomic_store(&g.disk->write_faults, 0);
	CHECK_EQ(pool_resize(g.pool, 4 * PAGE), 0);
	for (uint64_t page = 0; page < 24; page++) {
		CHECK_EQ(g.disk->bytes[page * PAGE], 'x');
		CHECK_EQ(pool_rig_read(&g, page * PAGE, 1, &out), 1);
		CHECK_EQ(out, 'x');
	}
	check_at_rest(&g);
}

TEST(impossible_sizes)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){0}, 64 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 16 * PAGE, 1));
	CHECK_EQ(pool_resize(g.pool, PAGE - 1), -EINVAL);
	CHECK_EQ(pool_resize(g.pool, 0), -EINVAL);
	CHECK_EQ(pool_resize(g.pool, UINT64_MAX), -EINVAL);
	CHECK_EQ(pool_resize(g.pool, 16 * PAGE), 0);
	CHECK_EQ(pool_resize(g.pool, PAGE), 0);
	CHECK_EQ(pool_rig_stat(&g).frames, 1);
	CHECK(pool_rig_reads_right(&g, 0, 16 * PAGE, 1));
	check_at_rest(&g);
}

TEST(pages_in_use_keep_the_size)
{
	struct pool_rig POOL_RIG g;
	static unsigned char scratch[32 * 4096] __attribute__((aligned(4096)));
	struct pool_view v;
	static struct job j = {.off_bytes = 0, .len_bytes = PAGE};
	REQUIRE(pool_rig_init(&g, &(struct pool_config){0}, 64 * PAGE));
	gate_set(&g.disk->read_gate, true);
	job_start(&j, &g, job_read);
	gate_await(&g.disk->read_gate, 1);
	/* the page that is being read has the first frame; the others are taken next */
	gate_set(&g.disk->read_gate, false);
	CHECK_EQ(job_join(&j), PAGE);
	REQUIRE(pool_read(g.file, PAGE, 15 * PAGE, NULL, scratch, &v) == (ssize_t)(15 * PAGE));
	pool_view_done(g.file, &v);
	gate_set(&g.disk->read_gate, true);
	CHECK_EQ(pool_file_drop(g.file), 0);
	j.len_bytes = 16 * PAGE;
	job_start(&j, &g, job_read);
	gate_await(&g.disk->read_gate, 1);
	CHECK_EQ(pool_resize(g.pool, 4 * PAGE), -EBUSY);
	gate_set(&g.disk->read_gate, false);
	CHECK_EQ(job_join(&j), 16 * PAGE);
	CHECK_EQ(pool_rig_stat(&g).frames, 16);
	check_at_rest(&g);
	CHECK_EQ(pool_resize(g.pool, 4 * PAGE), 0);
	check_at_rest(&g);
}

/* ---- under load ---- */

static _Atomic bool is_over;

static int read_at_random(struct job *j)
{
	uint64_t r = j->off_bytes;
	int bad = 0;
	while (!atomic_load(&is_over)) {
		uint64_t off = random_step(&r) % (DISK_CAP - 20000);
		size_t len = (size_t)(random_step(&r) % 20000) + 1;
		ssize_t n = pool_rig_read(j->rig, off, len, j->buf);
		if (n < 0)
			continue; /* a fault */
		bad += n != (ssize_t)len;
		for (size_t i = 0; i < len; i += 97)
			bad += j->buf[i] != disk_byte(off + i, 1);
	}
	return bad;
}

static void resize_while_reading(uint32_t fault_one_in, uint64_t frames_most)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		struct pool_rig POOL_RIG g;
		static struct job j[3];
		uint64_t r = 3;
		REQUIRE(pool_rig_init(&g,
				      &(struct pool_config){.policy = policy,
							    .size_bytes = frames_most / 2 * PAGE,
							    .readahead_bytes = 65536},
				      DISK_CAP));
		REQUIRE(pool_start(g.pool) == 0);
		atomic_store(&is_over, false);
		atomic_store(&g.disk->fault_one_in, fault_one_in);
		for (int k = 0; k < 3; k++) {
			j[k].off_bytes = (uint64_t)k;
			job_start(&j[k], &g, read_at_random);
		}
		for (int n = 0; n < 100; n++) {
			uint64_t frames = g.pool->n_shards + random_step(&r) % frames_most;
			int err = pool_resize(g.pool, frames * PAGE);
			CHECK(err == 0 || err == -EBUSY);
		}
		atomic_store(&is_over, true);
		for (int k = 0; k < 3; k++)
			CHECK_EQ(job_join(&j[k]), 0);
		while (pool_rig_stat(&g).readahead_queued + pool_rig_stat(&g).frames_busy > 0)
			sched_yield();
		check_at_rest(&g);
	}
}

TEST(resize_while_threads_read)
{
	resize_while_reading(0, 200);
}

TEST(resize_of_many_shards_while_threads_read)
{
	resize_while_reading(5, 8192);
}

/* What is dropped is gone, also if its page is just being moved. */
static int resize_on_and_on(struct job *j)
{
	uint64_t r = 9;
	while (!atomic_load(&is_over))
		(void)!pool_resize(j->rig->pool, (1 + random_step(&r) % 400) * PAGE);
	return 0;
}

TEST(drop_while_it_is_resized)
{
	struct pool_rig POOL_RIG g;
	static struct job j;
	unsigned left = 0;
	static unsigned char out[100 * PAGE];
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.size_bytes = 400 * PAGE}, DISK_CAP));
	atomic_store(&is_over, false);
	job_start(&j, &g, resize_on_and_on);
	for (int n = 0; n < 3000; n++) {
		CHECK_EQ(pool_rig_read(&g, 0, sizeof(out), out), sizeof(out));
		CHECK_EQ(pool_file_drop(g.file), 0);
		for (uint64_t page = 0; page < 100; page++)
			left += is_resident(&g, page);
	}
	CHECK_EQ(left, 0);
	atomic_store(&is_over, true);
	CHECK_EQ(job_join(&j), 0);
	check_at_rest(&g);
}

/* Frames that become free while a resize is given up are free once. */
static int fail_on_and_on(struct job *j)
{
	uint64_t r = j->off_bytes;
	while (!atomic_load(&is_over)) {
		atomic_store(&j->rig->disk->read_delay_us, (unsigned)(random_step(&r) % 800 + 1));
		(void)!pool_rig_read(j->rig, PAGE * (1 + random_step(&r) % 255), 1, j->buf);
	}
	return 0;
}

TEST(resize_that_is_given_up)
{
	struct pool_rig POOL_RIG g;
	static struct job j[4];
	unsigned char x = 'x';
	size_t taken;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.is_write_back = true, .size_bytes = 65536 * PAGE},
			      DISK_CAP));
	REQUIRE(pool_resize(g.pool, g.pool->n_shards * PAGE) == 0);
	REQUIRE(pool_resize(g.pool, 65536 * PAGE) == 0); /* now the frames that came last are used first */
	REQUIRE(pool_rig_write(&g, &x, 1, 0, &taken) == 0 && taken == 1);
	atomic_store(&is_over, false);
	atomic_store(&g.disk->write_faults, INT32_MAX);
	atomic_store(&g.disk->read_faults, INT32_MAX);
	for (int k = 0; k < 4; k++) {
		j[k].off_bytes = (uint64_t)k;
		job_start(&j[k], &g, fail_on_and_on);
	}
	for (int n = 0; n < 200; n++)
		CHECK_EQ(pool_resize(g.pool, g.pool->n_shards * PAGE), -EBUSY);
	atomic_store(&is_over, true);
	for (int k = 0; k < 4; k++)
		CHECK_EQ(job_join(&j[k]), 0);
	atomic_store(&g.disk->write_faults, 0);
	atomic_store(&g.disk->read_faults, 0);
	atomic_store(&g.disk->read_delay_us, 0);
	check_at_rest(&g);
}
