/*
 * The flusher: dirty pages are written without anybody's asking, the oldest first, evenly over an interval's first half, and at once
 * under pressure.
 */
#include "base/clock.h"
#include "pool_inside.h"

#define PAGE       4096UL
#define PASSES_MAX 64U
#define PATIENCE_S 30U

/* Pages written until the end of each of the flusher's passes that found something to do. */
static struct {
	_Atomic unsigned count;
	_Atomic unsigned writes[PASSES_MAX];
} passes;

/* Each pass ends with setting the file's time. */
static int note_pass(struct pool_io *io, int64_t mtime_ns)
{
	unsigned i = atomic_load(&passes.count);
	if (i < PASSES_MAX)
		atomic_store(&passes.writes[i], atomic_load(&disk_of(io)->writes));
	atomic_store(&passes.count, i + 1);
	return disk_set_mtime(io, mtime_ns);
}

static void note_passes(struct pool_rig *g)
{
	static struct pool_io_ops ops;
	ops = disk_ops;
	ops.set_mtime = note_pass;
	g->disk->io.ops = &ops;
	atomic_store(&passes.count, 0);
}

/* False: it does not become so clean. */
static bool await_dirty(struct pool_rig *g, uint64_t frames)
{
	uint64_t until_ns = clock_monotonic_ns() + PATIENCE_S * 1000000000UL;
	while (pool_rig_stat(g).frames_dirty != frames || atomic_load(&g->file->dirty_count) != frames) {
		if (clock_monotonic_ns() > until_ns)
			return false;
		sched_yield();
	}
	return true;
}

static bool await_free(struct disk *d)
{
	uint64_t until_ns = clock_monotonic_ns() + PATIENCE_S * 1000000000UL;
	while (!atomic_load(&d->is_freed)) {
		if (clock_monotonic_ns() > until_ns)
			return false;
		sched_yield();
	}
	return true;
}

static const struct pool_config often = {
	.is_write_back = true, .size_bytes = 256 * PAGE, .flush_interval_s = 0.05};
/* An interval longer than any test: nothing is written but under pressure. */
static const struct pool_config never = {
	.is_write_back = true, .size_bytes = 8 * PAGE, .flush_interval_s = 1e6, .dirty_max_percent = 90};

TEST(dirty_page_is_written_by_itself)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &often, 8 * PAGE));
	REQUIRE(pool_start(g.pool) == 0);
	write_letters(&g, 100);
	CHECK(await_dirty(&g, 0));
	CHECK(is_on_disk(&g, 100));
	write_letters(&g, 5 * PAGE); /* and the next one as well */
	CHECK(await_dirty(&g, 0));
	CHECK(is_on_disk(&g, 5 * PAGE));
}

TEST(what_is_dirty_is_written_in_equal_parts)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &often, 128 * PAGE));
	note_passes(&g);
	for (uint64_t i = 0; i < 64; i++)
		write_letters(&g, 2 * i * PAGE); /* no two are neighbours, so that each is a write */
	REQUIRE(pool_start(g.pool) == 0);
	CHECK(await_dirty(&g, 0));
	CHECK_EQ(atomic_load(&passes.count), 8); /* half of an interval's 16 ticks */
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(atomic_load(&passes.writes[i]), 8 * (i + 1));
	flusher_stop(g.pool);
	check_at_rest(&g);
}

/* Fewer pages than there are ticks: a page each, none twice. */
TEST(few_pages_are_written_one_a_tick)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &often, 128 * PAGE));
	note_passes(&g);
	for (uint64_t i = 0; i < 3; i++)
		write_letters(&g, 2 * i * PAGE);
	REQUIRE(pool_start(g.pool) == 0);
	CHECK(await_dirty(&g, 0));
	CHECK_EQ(atomic_load(&passes.count), 3);
	CHECK_EQ(g.disk->writes, 3);
}

TEST(what_becomes_dirty_within_an_interval_is_written_in_the_next_one)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &often, 256 * PAGE));
	note_passes(&g);
	for (uint64_t i = 0; i < 64; i++)
		write_letters(&g, 2 * (i + 8) * PAGE);
	gate_set(&g.disk->mtime_gate, true);
	REQUIRE(pool_start(g.pool) == 0);
	gate_await(&g.disk->mtime_gate, 1); /* the first pass has written */
	for (uint64_t i = 0; i < 8; i++)
		write_letters(&g, 2 * i * PAGE);
	gate_set(&g.disk->mtime_gate, false);
	CHECK(await_dirty(&g, 0));
	CHECK_EQ(atomic_load(&passes.count), 16);
	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(atomic_load(&passes.writes[i]), 8 * (i + 1));
		CHECK_EQ(atomic_load(&passes.writes[8 + i]), 64 + i + 1);
	}
}

TEST(page_that_cannot_be_written_is_tried_again)
{
	struct pool_rig POOL_RIG g;
	uint32_t seen;
	REQUIRE(pool_rig_init(&g, &often, 8 * PAGE));
	seen = pool_file_errors_seen(g.file);
	write_letters(&g, 100);
	atomic_store(&g.disk->write_faults, 2);
	REQUIRE(pool_start(g.pool) == 0);
	CHECK(await_dirty(&g, 0));
	CHECK(is_on_disk(&g, 100));
	CHECK_EQ(g.disk->writes, 3);
	CHECK_EQ(pool_rig_stat(&g).flush_errors, 2);
	CHECK_EQ(pool_file_error(g.file, &seen), -EIO);
}

TEST(much_dirty_is_written_at_once)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &never, 64 * PAGE));
	REQUIRE(pool_start(g.pool) == 0);
	for (uint64_t page = 0; page < 7; page++)
		write_letters(&g, 2 * page * PAGE);
	CHECK_EQ(g.disk->writes, 0);
	CHECK_EQ(pool_rig_stat(&g).throttled_ops, 0);
	write_letters(&g, 40 * PAGE); /* one too many */
	CHECK_EQ(pool_rig_stat(&g).throttled_ops, 1);
	CHECK(await_dirty(&g, 0));
	for (uint64_t page = 0; page < 7; page++)
		CHECK(is_on_disk(&g, 2 * page * PAGE));
}

TEST(read_that_finds_no_clean_frame_has_dirty_ones_written)
{
	struct pool_rig POOL_RIG g;
	static struct pool_view view;
	static unsigned char scratch[64 * PAGE] __attribute__((aligned(4096)));
	struct pool_stream stream = {0};
	REQUIRE(pool_rig_init(&g, &never, 64 * PAGE));
	REQUIRE(pool_start(g.pool) == 0);
	REQUIRE(pool_read(g.file, 50 * PAGE, PAGE, &stream, scratch, &view) == PAGE);
	REQUIRE(view.count == 1); /* the one clean frame is pinned from here on */
	for (uint64_t page = 0; page < 7; page++)
		write_letters(&g, 2 * page * PAGE);
	CHECK_EQ(pool_rig_stat(&g).frames_dirty, 7);
	CHECK_EQ(g.disk->writes, 0);
	CHECK(pool_rig_reads_right(&g, 60 * PAGE, PAGE, 1));
	CHECK(await_dirty(&g, 0));
	pool_view_done(g.file, &view);
}

/* Each time, in one pass. */
TEST(waking_it_writes_all)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &never, 64 * PAGE));
	note_passes(&g);
	REQUIRE(pool_start(g.pool) == 0);
	for (unsigned i = 1; i <= 5; i++) {
		write_letters(&g, 10 * PAGE);
		write_letters(&g, 20 * PAGE);
		CHECK_EQ(pool_rig_stat(&g).frames_dirty, 2);
		flusher_wake(g.pool);
		CHECK(await_dirty(&g, 0));
		CHECK_EQ(atomic_load(&passes.count), i);
		CHECK_EQ(g.disk->writes, 2 * i);
	}
}

TEST(closed_file_lets_its_io_go_when_it_is_clean)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &often, 8 * PAGE));
	write_letters(&g, 100);
	pool_file_closed(g.file);
	CHECK(!atomic_load(&g.disk->is_freed)); /* it is needed */
	REQUIRE(pool_start(g.pool) == 0);
	CHECK(await_free(g.disk));
	CHECK(is_on_disk(&g, 100));
	pool_rig_open(&g, 0);
}

TEST(it_may_be_stopped_and_started_again)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &never, 8 * PAGE));
	REQUIRE(pool_start(g.pool) == 0);
	write_letters(&g, 100);
	flusher_stop(g.pool);
	CHECK(!g.pool->flusher);
	CHECK_EQ(g.disk->writes, 0);
	flusher_wake(g.pool); /* nobody */
	REQUIRE(pool_start(g.pool) == 0);
	flusher_wake(g.pool);
	CHECK(await_dirty(&g, 0));
	CHECK(is_on_disk(&g, 100));
}
