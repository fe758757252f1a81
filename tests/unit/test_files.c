/*
 * The pool's files: how long they live, what is noticed of changes underneath, their io, their times.
 */
#include "pool_inside.h"

#define PAGE 4096UL

static const struct pool_config back = {.is_write_back = true};

static void write_x(struct pool_rig *g, uint64_t off_bytes)
{
	size_t taken;
	CHECK_EQ(pool_rig_write(g, (const unsigned char *)"x", 1, off_bytes, &taken), 0);
}

TEST(same_file_is_found_after_it_was_put)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	struct pool_file *f = pool_file_get(g.pool, g.ledgers, g.ledger);
	CHECK(f == g.file);
	pool_file_put(f);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	pool_file_closed(g.file);
	pool_file_put(g.file);
	CHECK_EQ(pool_rig_stat(&g).files, 1); /* its page is there */
	files_sweep(g.pool);
	f = g.file;
	g.file = pool_file_get(g.pool, g.ledgers, g.ledger);
	CHECK(g.file == f);
	pool_rig_open(&g, 0);
	unsigned reads = g.disk->reads;
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	CHECK_EQ(g.disk->reads, reads);
}

TEST(files_without_pages_go)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	for (uint64_t ino = 10; ino < 20; ino++) {
		const struct ledger_key key = {.dev = 1, .ino = ino, .btime_ns = 3};
		struct ledger *l = ledger_get(g.ledgers, &key);
		struct pool_file *f = l ? pool_file_get(g.pool, g.ledgers, l) : NULL;
		REQUIRE(f);
		pool_file_put(f);
		ledger_put(g.ledgers, l);
	}
	CHECK_EQ(pool_rig_stat(&g).files, 1);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
	pool_file_closed(g.file);
	pool_file_put(g.file);
	/* The last page goes by itself; the file with the next sweep. */
	CHECK_EQ(pool_drop(g.pool), 0);
	files_sweep(g.pool);
	CHECK_EQ(pool_rig_stat(&g).files, 0);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_RESIDENT_BYTES), 0);
	g.file = NULL;
}

TEST(dirty_pages_of_a_deleted_file_are_not_written)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_x(&g, 0);
	write_x(&g, 5 * PAGE);
	write_x(&g, 100 * PAGE);
	pool_file_closed(g.file);
	CHECK(!atomic_load(&g.disk->is_freed));
	pool_file_put_deleted(g.file);
	CHECK_EQ(pool_flush(g.pool), 0);
	CHECK_EQ(g.disk->writes, 0);
	CHECK(atomic_load(&g.disk->is_freed));
	struct pool_stats s = pool_rig_stat(&g);
	CHECK_EQ(s.frames_free, s.frames);
	CHECK_EQ(s.files, 0);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_RESIDENT_BYTES), 0);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_DIRTY_BYTES), 0);
	/* the same ledger's next file is another */
	g.file = pool_file_get(g.pool, g.ledgers, g.ledger);
	REQUIRE(g.file);
	pool_rig_open(&g, 0);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
}

TEST(dirty_pages_of_a_closed_file_are_written)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	write_x(&g, 0);
	pool_file_closed(g.file);
	pool_file_put(g.file);
	CHECK(!atomic_load(&g.disk->is_freed));
	pool_free(g.pool);
	g.pool = NULL;
	g.file = NULL;
	CHECK_EQ(g.disk->bytes[0], 'x');
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_RESIDENT_BYTES), 0);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_DIRTY_BYTES), 0);
}

TEST(io_goes_with_the_last_close)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	pool_rig_open(&g, 0);
	CHECK(pool_file_has_io(g.file, true));
	pool_file_closed(g.file);
	CHECK(!atomic_load(&g.disk->is_freed));
	pool_file_closed(g.file);
	CHECK(atomic_load(&g.disk->is_freed));
	CHECK(!pool_file_has_io(g.file, false));
	pool_rig_open(&g, 0);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
}

TEST(io_goes_when_the_last_dirty_page_is_written)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.is_write_back = true, .flush_interval_s = 0.01},
			      8 * PAGE));
	write_x(&g, 0);
	pool_file_closed(g.file);
	CHECK(!atomic_load(&g.disk->is_freed));
	REQUIRE(pool_start(g.pool) == 0);
	while (!atomic_load(&g.disk->is_freed))
		sched_yield();
	CHECK_EQ(g.disk->bytes[0], 'x');
	pool_rig_open(&g, 0);
}

TEST(writable_io_takes_the_place_of_another)
{
	struct pool_rig POOL_RIG g;
	static struct disk other;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	other.io = (struct pool_io){.ops = &disk_ops, .refs = 1};
	pool_file_set_io(g.file, &other.io); /* it has a better one */
	CHECK(atomic_load(&other.is_freed));
	CHECK(!atomic_load(&g.disk->is_freed));
}

/* ---- changes underneath ---- */

static void check(struct pool_rig *g, uint64_t identity, int64_t changed_ns)
{
	struct pool_check c;
	pool_file_check_begin(g->file, &c);
	pool_file_check_end(g->file, &c, g->disk->size_bytes, identity, changed_ns);
}

TEST(open_drops_what_changed_underneath)
{
	struct pool_rig POOL_RIG g;
	int64_t now = pool_realtime_ns();
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	check(&g, 77, now - 10000000000);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	unsigned reads = g.disk->reads;
	check(&g, 77, now - 10000000000);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	CHECK_EQ(g.disk->reads, reads);
	disk_fill(g.disk, 8 * PAGE, 2);
	check(&g, 78, now + 3600000000000);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 2));
	disk_fill(g.disk, 2 * PAGE, 3); /* an old time and a new size */
	check(&g, 79, now - 20000000000);
	CHECK(pool_rig_reads_right(&g, 0, 2 * PAGE, 3));
	check_at_rest(&g);
}

TEST(open_keeps_what_the_pool_changed_itself)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	check(&g, 77, 0);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	write_x(&g, 9 * PAGE);
	int64_t changed_ns = pool_realtime_ns();
	CHECK_EQ(pool_file_flush(g.file), 0);
	unsigned reads = g.disk->reads;
	check(&g, 78, changed_ns);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	CHECK_EQ(g.disk->reads, reads);
}

/* While the pool is writing the file is as it leaves it, too. */
TEST(open_during_a_flush_keeps_pages)
{
	struct pool_rig POOL_RIG g;
	static struct job flush;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	check(&g, 77, 0);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	write_x(&g, 7 * PAGE);
	/* the last change that the pool knows of is long ago */
	mutex_lock(&g.file->mutex);
	g.file->own_until_ns = 1;
	mutex_unlock(&g.file->mutex);
	gate_set(&g.disk->write_gate, true);
	job_start(&flush, &g, job_flush);
	gate_await(&g.disk->write_gate, 1);
	struct pool_check c;
	pool_file_check_begin(g.file, &c);
	int64_t changed_ns = pool_realtime_ns();
	gate_set(&g.disk->write_gate, false);
	unsigned reads = g.disk->reads;
	pool_file_check_end(g.file, &c, g.disk->size_bytes, 78, changed_ns);
	CHECK_EQ(job_join(&flush), 0);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	CHECK_EQ(g.disk->reads, reads);
}

TEST(open_does_not_lose_dirty_pages)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[1];
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	check(&g, 77, 0);
	write_x(&g, PAGE);
	disk_put(g.disk, 0, 'u', PAGE);
	check(&g, 78, pool_realtime_ns() + 3600000000000);
	CHECK_EQ(g.disk->bytes[PAGE], 'x');
	CHECK_EQ(pool_rig_read(&g, 0, 1, out), 1);
	CHECK_EQ(out[0], 'u');
	CHECK_EQ(pool_rig_read(&g, PAGE, 1, out), 1);
	CHECK_EQ(out[0], 'x');
	write_x(&g, 2 * PAGE);
	atomic_store(&g.disk->write_faults, 1);
	check(&g, 79, pool_realtime_ns() + 3600000000000);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 1);
	CHECK_EQ(pool_rig_read(&g, 2 * PAGE, 1, out), 1);
	CHECK_EQ(out[0], 'x');
	check_at_rest(&g);
}

TEST(drop_by_hand_reads_again)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	disk_fill(g.disk, 8 * PAGE, 2);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	CHECK_EQ(pool_file_drop(g.file), 0);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_RESIDENT_BYTES), 0);
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 2));
	write_x(&g, 0);
	atomic_store(&g.disk->write_faults, 2);
	CHECK_EQ(pool_drop(g.pool), -EIO);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 1);
	CHECK_EQ(pool_drop(g.pool), 0);
	CHECK_EQ(pool_rig_stat(&g).frames_free, 16);
	CHECK_EQ(g.disk->bytes[0], 'x');
	check_at_rest(&g);
}

/* ---- times ---- */

TEST(flush_leaves_the_time_of_the_write)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	int64_t before = pool_realtime_ns();
	write_x(&g, 0);
	int64_t after = pool_realtime_ns();
	CHECK_EQ(g.disk->mtimes, 0);
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK(g.disk->mtime_ns >= before && g.disk->mtime_ns <= after);
	unsigned mtimes = g.disk->mtimes;
	CHECK(!pool_file_settle_times(g.file));
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->mtimes, mtimes); /* nothing is dirty, nothing to set */
}

TEST(time_is_settled_before_the_flush)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &back, 8 * PAGE));
	int64_t before = pool_realtime_ns();
	write_x(&g, 0);
	CHECK(pool_file_settle_times(g.file));
	CHECK(g.disk->mtime_ns >= before);
	CHECK_EQ(g.disk->writes, 0);
	int64_t told = g.disk->mtime_ns;
	CHECK(!pool_file_settle_times(g.file)); /* it has it */
	CHECK_EQ(pool_file_flush(g.file), 0);
	CHECK_EQ(g.disk->mtime_ns, told);
	write_x(&g, 0);
	CHECK(pool_file_settle_times(g.file));
	CHECK(g.disk->mtime_ns >= told);
}
