/*
 * Read-ahead: its window grows while it is right, up to the limit, and closes for who jumps; what it costs is counted.
 */
#include "../tools/random.h"
#include "pool_inside.h"

#define PAGE 4096UL

static bool start(struct pool_rig *g, uint64_t readahead_bytes, uint64_t frames)
{
	return pool_rig_init(g,
			     &(struct pool_config){.readahead_bytes = readahead_bytes,
						   .size_bytes = frames * PAGE},
			     DISK_CAP) &&
	       pool_start(g->pool) == 0;
}

/* Until all that was queued is in. */
static void settle(struct pool_rig *g)
{
	bool is_busy = true;
	while (is_busy) {
		sched_yield();
		is_busy = readahead_queued(g->pool) > 0 || pool_rig_stat(g).frames_busy > 0;
		mutex_lock(&g->pool->files_mutex);
		is_busy = is_busy || g->file->refs > 1; /* a task has one */
		mutex_unlock(&g->pool->files_mutex);
	}
}

static uint32_t window(struct pool_rig *g)
{
	return atomic_load(&g->stream.window_pages);
}

TEST(stream_is_read_ahead_up_to_the_limit)
{
	struct pool_rig POOL_RIG g;
	uint32_t largest = 0;
	uint64_t missed = 0;
	REQUIRE(start(&g, 16 * PAGE, 512));
	for (uint64_t page = 0; page < DISK_CAP / PAGE; page++) {
		struct pool_view v;
		unsigned char out[PAGE];
		CHECK_EQ(pool_rig_read_view(&g, page * PAGE, PAGE, out, &v), PAGE);
		CHECK_EQ(out[0], disk_byte(page * PAGE, 1));
		missed += v.miss_pages;
		settle(&g);
		uint32_t w = window(&g);
		largest = w > largest ? w : largest;
		/* never further than the limit from where the reader is, and a window's half */
		uint64_t ahead = atomic_load(&g.stream.ahead_off);
		CHECK(ahead <= (page + 1) * PAGE + 16 * PAGE + 8 * PAGE);
	}
	CHECK(largest >= 16);
	CHECK(missed <= 3); /* before it was sure of itself */
	CHECK(g.disk->reads < DISK_CAP / PAGE / 4);
	CHECK_EQ(g.disk->read_bytes, DISK_CAP); /* nothing twice */
	struct pool_stats s = pool_rig_stat(&g);
	CHECK_EQ(s.readahead_bytes, DISK_CAP - missed * PAGE);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_READAHEAD_BYTES), s.readahead_bytes);
	CHECK_EQ(pool_rig_counter(&g, CTR_DMA_BYTES), s.readahead_bytes); /* the requests' own is not counted here */
	CHECK_EQ(s.readahead_wasted_bytes, 0);
	check_at_rest(&g);
}

TEST(jumps_read_nothing_ahead)
{
	struct pool_rig POOL_RIG g;
	uint64_t r = 5, next = 0;
	REQUIRE(start(&g, 64 * PAGE, 512));
	for (int i = 0; i < 500; i++) {
		unsigned char out[PAGE];
		uint64_t page = random_step(&r) % (DISK_CAP / PAGE);
		if (page == next)
			continue;
		CHECK_EQ(pool_rig_read(&g, page * PAGE, PAGE, out), PAGE);
		next = page + 1;
		CHECK_EQ(window(&g), 0);
	}
	settle(&g);
	CHECK_EQ(pool_rig_stat(&g).readahead_bytes, 0);
}

TEST(jump_closes_the_window)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(start(&g, 16 * PAGE, 512));
	for (uint64_t page = 0; page < 40; page++) {
		CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
		settle(&g);
	}
	CHECK(window(&g) >= 16);
	CHECK(pool_rig_reads_right(&g, 200 * PAGE, PAGE, 1));
	CHECK_EQ(window(&g), 0);
	settle(&g);
	uint64_t bytes = pool_rig_stat(&g).readahead_bytes;
	CHECK(pool_rig_reads_right(&g, 201 * PAGE, PAGE, 1)); /* may be chance */
	settle(&g);
	CHECK_EQ(pool_rig_stat(&g).readahead_bytes, bytes);
}

TEST(off_reads_nothing_ahead)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(start(&g, 0, 512));
	for (uint64_t page = 0; page < 64; page++)
		CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
	CHECK_EQ(g.disk->reads, 64);
	CHECK_EQ(pool_rig_stat(&g).readahead_bytes, 0);
}

/* Pages that go unread are counted, and halve the window of who goes on. */
TEST(waste_is_counted_and_halves_the_window)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(start(&g, 32 * PAGE, 128));
	for (uint64_t page = 0; page < 60; page++) {
		CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
		settle(&g);
	}
	uint32_t before = window(&g);
	uint64_t ahead = atomic_load(&g.stream.ahead_off) / PAGE;
	CHECK(before >= 16 && ahead > 60);
	struct pool_stream sequential = g.stream;
	for (uint64_t page = 255; page > 110; page--)
		CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
	uint64_t wasted = pool_rig_stat(&g).readahead_wasted_bytes;
	CHECK_EQ(wasted, (ahead - 60) * PAGE);
	CHECK_EQ(wasted, pool_rig_counter(&g, CTR_POOL_READAHEAD_WASTED_BYTES));
	g.stream = sequential;
	atomic_store(&g.stream.ahead_off, 0);
	CHECK(pool_rig_reads_right(&g, 60 * PAGE, PAGE, 1));
	settle(&g);
	/* an eighth of the pool was the most there was before */
	CHECK(atomic_load(&g.stream.ahead_off) > 61 * PAGE);
	CHECK(atomic_load(&g.stream.ahead_off) <= (61 + 16 / 2) * PAGE);
}

/* Where reading ahead fails, only who asks for the page is told. */
TEST(error_ahead_is_told_to_who_reads_it)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	REQUIRE(start(&g, 32 * PAGE, 512));
	g.disk->bad_page_off = 20 * PAGE;
	for (uint64_t page = 0; page < 20; page++) {
		CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
		settle(&g);
	}
	CHECK_EQ(pool_rig_read(&g, 20 * PAGE, PAGE, out), -EIO);
	settle(&g);
	CHECK(!is_resident(&g, 20));
	CHECK(pool_rig_reads_right(&g, 21 * PAGE, PAGE, 1));
	g.disk->bad_page_off = UINT64_MAX;
	CHECK(pool_rig_reads_right(&g, 20 * PAGE, PAGE, 1));
	settle(&g);
	check_at_rest(&g);
}

/* The pool's end comes while much is queued. */
TEST(end_with_tasks_queued)
{
	for (int i = 0; i < 20; i++) {
		struct pool_rig POOL_RIG g;
		REQUIRE(start(&g, 64 * PAGE, 512));
		for (uint64_t page = 0; page < 64; page++)
			CHECK(pool_rig_reads_right(&g, page * PAGE, PAGE, 1));
	}
}

/* Time for policies that look at it: a tenth of a second from one use to the next. */
static uint64_t next_tenth(void *ctx)
{
	static uint64_t now_ms;
	(void)ctx;
	return now_ms += 100;
}

/* A scan that is read ahead is one use of each page, so it leaves the hot set where the policy is scan-resistant. */
TEST(scan_leaves_the_hot_set)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		for (uint64_t ahead = 0; policy->is_scan_resistant && ahead < 2; ahead++) {
			struct pool_rig POOL_RIG g;
			unsigned char out[PAGE];
			unsigned left = 0;
			REQUIRE(pool_rig_init(&g,
					      &(struct pool_config){.policy = policy,
								    .readahead_bytes = ahead * 4 * PAGE,
								    .size_bytes = 64 * PAGE},
					      DISK_CAP) &&
				pool_start(g.pool) == 0);
			atomic_load(&g.pool->shards[0].evict)->now_ms = next_tenth;
			/* some pass through, so that there were evictions before; the hot ones are used now and then */
			for (uint64_t n = 0; n < 600; n++) {
				uint64_t page = n % 2 ? n / 2 % 8 : 20 + n / 2 % 80;
				CHECK_EQ(pool_rig_read(&g, page * PAGE, 1, out), 1);
			}
			memset(&g.stream, 0, sizeof(g.stream));
			for (uint64_t page = 100; page < 256; page++) {
				CHECK_EQ(pool_rig_read(&g, page * PAGE, PAGE, out), PAGE);
				settle(&g);
			}
			for (uint64_t page = 0; page < 8; page++)
				left += is_resident(&g, page);
			if (left < 6)
				printf("# %s%s: %u of 8 hot pages left\n", policy->name,
				       ahead ? " with read-ahead" : "", left);
			CHECK(left >= 6);
		}
	}
}
