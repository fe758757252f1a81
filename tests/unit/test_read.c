/*
 * Reading through the pool: what is read from below and how often, what its errors do, where the file ends, which pages stay.
 */
#include "../tools/random.h"
#include "pool/cachesim.h"
#include "pool_inside.h"

#define PAGE    4096UL
#define READERS 8

static const struct pool_config usual;

TEST(hit_makes_no_call)
{
	struct pool_rig POOL_RIG g;
	struct pool_view v;
	unsigned char out[2 * PAGE];
	REQUIRE(pool_rig_init(&g, &usual, 8 * PAGE));
	CHECK_EQ(pool_rig_read_view(&g, 100, PAGE, out, &v), PAGE);
	CHECK_EQ(v.miss_bytes, PAGE);
	CHECK_EQ(v.miss_pages, 2);
	CHECK_EQ(v.hit_bytes + v.hit_pages, 0);
	CHECK_EQ(v.dma_bytes, 2 * PAGE);
	CHECK_EQ(v.syscalls, 1);
	CHECK_EQ(pool_rig_read_view(&g, 200, PAGE, out, &v), PAGE);
	CHECK_EQ(v.hit_bytes, PAGE);
	CHECK_EQ(v.hit_pages, 2);
	CHECK_EQ(v.miss_bytes + v.miss_pages + v.dma_bytes + v.syscalls, 0);
	CHECK_EQ(out[0], disk_byte(200, 1));
	CHECK_EQ(g.disk->reads, 1);
	CHECK_EQ(g.disk->sizes, 0);
	check_at_rest(&g);
}

TEST(neighbours_are_read_together)
{
	struct pool_rig POOL_RIG g;
	REQUIRE(pool_rig_init(&g, &usual, 16 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	CHECK_EQ(g.disk->reads, 1);
	CHECK(pool_rig_reads_right(&g, 6 * PAGE, PAGE, 1));
	/* pages 4, 5 and 7, 8: the one between is there */
	CHECK(pool_rig_reads_right(&g, 3 * PAGE, 6 * PAGE, 1));
	CHECK_EQ(g.disk->reads, 4);
	CHECK_EQ(g.disk->read_bytes, 9 * PAGE);
	CHECK_EQ(pool_rig_counter(&g, CTR_POOL_RESIDENT_BYTES), 9 * PAGE);
	check_at_rest(&g);
}

TEST(page_that_many_miss_is_read_once)
{
	struct pool_rig POOL_RIG g;
	static struct job j[READERS];
	REQUIRE(pool_rig_init(&g, &usual, 16 * PAGE));
	gate_set(&g.disk->read_gate, true);
	for (int i = 0; i < READERS; i++) {
		j[i].off_bytes = 2 * PAGE;
		j[i].len_bytes = 3 * PAGE;
		job_start(&j[i], &g, job_read);
	}
	gate_await(&g.disk->read_gate, 1);
	/* nobody else may come to the disk, so there is nothing to wait for but a while */
	for (int i = 0; i < 2000; i++)
		sched_yield();
	gate_set(&g.disk->read_gate, false);
	for (int i = 0; i < READERS; i++) {
		CHECK_EQ(job_join(&j[i]), 3 * PAGE);
		CHECK_EQ(j[i].buf[5], disk_byte(2 * PAGE + 5, 1));
	}
	CHECK_EQ(g.disk->read_bytes, 3 * PAGE); /* perhaps in parts, where several claimed pages at once */
	check_at_rest(&g);
}

/* Until all of the readers but one sleep on the page's frame or wait for it: shown by the frame's word. */
static void await_sleeper(struct pool_rig *g, uint64_t page)
{
	uint32_t frame;
	while ((frame = frame_of_page(g, page)) == FRAME_NONE ||
	       !(frame_load(&g->pool->frames[frame]) & FRAME_WAITED))
		sched_yield();
}

TEST(error_of_a_fill_reaches_who_waited)
{
	struct pool_rig POOL_RIG g;
	static struct job j[2];
	REQUIRE(pool_rig_init(&g, &usual, 16 * PAGE));
	gate_set(&g.disk->read_gate, true);
	for (int i = 0; i < 2; i++) {
		j[i].off_bytes = 0;
		j[i].len_bytes = PAGE;
		job_start(&j[i], &g, job_read);
	}
	await_sleeper(&g, 0);
	atomic_store(&g.disk->read_faults, 1);
	gate_set(&g.disk->read_gate, false);
	CHECK_EQ(job_join(&j[0]), -EIO);
	CHECK_EQ(job_join(&j[1]), -EIO);
	CHECK_EQ(g.disk->reads, 1);
	CHECK(!is_resident(&g, 0));
	check_at_rest(&g);
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
}

TEST(lasting_error_leaves_nothing_and_is_tried_again)
{
	struct pool_rig POOL_RIG g;
	static struct job j[READERS];
	REQUIRE(pool_rig_init(&g, &usual, 16 * PAGE));
	g.disk->bad_page_off = 100;
	gate_set(&g.disk->read_gate, true);
	for (int i = 0; i < READERS; i++) {
		j[i].off_bytes = 0;
		j[i].len_bytes = PAGE;
		job_start(&j[i], &g, job_read);
	}
	await_sleeper(&g, 0);
	gate_set(&g.disk->read_gate, false);
	for (int i = 0; i < READERS; i++)
		CHECK_EQ(job_join(&j[i]), -EIO);
	CHECK_EQ(pool_rig_stat(&g).frames_free, 16);
	check_at_rest(&g);
	g.disk->bad_page_off = UINT64_MAX;
	CHECK(pool_rig_reads_right(&g, 0, PAGE, 1));
}

TEST(bad_page_does_not_take_its_neighbours)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[4 * PAGE];
	REQUIRE(pool_rig_init(&g, &usual, 16 * PAGE));
	g.disk->bad_page_off = 2 * PAGE + 7;
	CHECK_EQ(pool_rig_read(&g, 0, 4 * PAGE, out), -EIO);
	CHECK(is_resident(&g, 0) && is_resident(&g, 1) && !is_resident(&g, 2) && is_resident(&g, 3));
	unsigned reads = g.disk->reads;
	CHECK(pool_rig_reads_right(&g, 0, 2 * PAGE, 1));
	CHECK(pool_rig_reads_right(&g, 3 * PAGE, PAGE, 1));
	CHECK_EQ(g.disk->reads, reads);
	CHECK_EQ(pool_rig_read(&g, 2 * PAGE, 1, out), -EIO);
	check_at_rest(&g);
}

TEST(sizes_around_pages)
{
	static const uint64_t sizes[] = {0,    1,    511,  512,  4095,  4096,
					 4097, 8191, 8192, 8193, 65535, 65537};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct pool_rig POOL_RIG g;
		static unsigned char out[2 * 65536];
		REQUIRE(pool_rig_init(&g, &usual, sizes[i]));
		for (int turn = 0; turn < 2; turn++) { /* misses, then hits */
			CHECK_EQ(pool_rig_read(&g, 0, sizeof(out), out), sizes[i]);
			for (uint64_t k = 0; k < sizes[i]; k++)
				if (out[k] != disk_byte(k, 1)) {
					CHECK_EQ(out[k], disk_byte(k, 1));
					break;
				}
			CHECK_EQ(pool_rig_read(&g, sizes[i], 10, out), 0);
			CHECK_EQ(pool_rig_read(&g, sizes[i] + 100000, 10, out), 0);
			if (sizes[i] > 0)
				CHECK_EQ(pool_rig_read(&g, sizes[i] - 1, 10, out), 1);
		}
		check_at_rest(&g);
	}
}

TEST(growth_underneath_is_seen_by_who_reads_past_the_end)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[PAGE];
	REQUIRE(pool_rig_init(&g, &usual, 1000));
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), 1000);
	disk_resize(g.disk, 3000);
	disk_put(g.disk, 1000, 'x', 2000);
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), 3000);
	CHECK_EQ(out[999], disk_byte(999, 1));
	CHECK_EQ(out[1000], 'x');
	CHECK_EQ(out[2999], 'x');
	check_at_rest(&g);
}

TEST(shrinking_underneath_is_seen_by_who_reads_past_the_end)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[4 * PAGE];
	REQUIRE(pool_rig_init(&g, &usual, 4 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 4 * PAGE, 1));
	disk_resize(g.disk, 100);
	CHECK_EQ(pool_rig_read(&g, 4 * PAGE, 1, out), 0);
	CHECK_EQ(pool_rig_read(&g, 0, sizeof(out), out), 100);
	disk_resize(g.disk, 2 * PAGE);
	CHECK_EQ(pool_rig_read(&g, 0, sizeof(out), out), 2 * PAGE);
	CHECK_EQ(out[99], disk_byte(99, 1));
	CHECK_EQ(out[100], 0);
	CHECK_EQ(out[PAGE], 0);
	check_at_rest(&g);
}

TEST(end_reads_as_zeros_after_it_was_cut_and_grew)
{
	struct pool_rig POOL_RIG g;
	unsigned char out[2 * PAGE];
	REQUIRE(pool_rig_init(&g, &usual, 2 * PAGE));
	CHECK(pool_rig_reads_right(&g, 0, 2 * PAGE, 1));
	CHECK_EQ(pool_rig_truncate(&g, 1000), 0);
	CHECK_EQ(pool_rig_read(&g, 0, sizeof(out), out), 1000);
	CHECK_EQ(pool_rig_truncate(&g, 2 * PAGE), 0);
	unsigned reads = g.disk->reads;
	CHECK_EQ(pool_rig_read(&g, 0, PAGE, out), PAGE);
	CHECK_EQ(g.disk->reads, reads); /* what was below the cut stayed */
	CHECK_EQ(pool_rig_read(&g, 0, sizeof(out), out), sizeof(out));
	CHECK_EQ(out[999], disk_byte(999, 1));
	for (size_t i = 1000; i < sizeof(out); i++)
		if (out[i] != 0) {
			CHECK_EQ(out[i], 0);
			break;
		}
	check_at_rest(&g);
}

/* A view's bytes stay as they are while it is held, whatever wants its frames. */
TEST(pinned_pages_stay)
{
	struct pool_rig POOL_RIG g;
	struct pool_view v;
	static unsigned char scratch[4 * 65536] __attribute__((aligned(4096)));
	static struct job j;
	REQUIRE(pool_rig_init(&g, &(struct pool_config){.size_bytes = 2 * PAGE}, 64 * PAGE));
	REQUIRE(pool_read(g.file, 0, 2 * PAGE, NULL, scratch, &v) == (ssize_t)(2 * PAGE) && v.count == 2);
	j.len_bytes = 16 * PAGE;
	j.off_bytes = 16 * PAGE;
	job_start(&j, &g, job_read);
	CHECK_EQ(job_join(&j), 16 * PAGE);
	CHECK_EQ(j.buf[0], disk_byte(16 * PAGE, 1));
	CHECK_EQ(pool_rig_stat(&g).frames_pinned, 2);
	CHECK_EQ(*(unsigned char *)v.iov[1].iov_base, disk_byte(0, 1));
	CHECK_EQ(*(unsigned char *)v.iov[2].iov_base, disk_byte(PAGE, 1));
	pool_view_done(g.file, &v);
	CHECK_EQ(pool_rig_stat(&g).frames_pinned, 0);
	check_at_rest(&g);
}

/* ---- policies in the pool ---- */

/* One page after the other, in the pool and in the simulation: what the policies are told must be the same. */
TEST(pool_hits_what_the_policy_would)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		if (strcmp(policy->name, "innodb") == 0)
			continue; /* has a clock */
		struct pool_rig POOL_RIG g;
		struct cachesim *sim;
		unsigned char out[1];
		uint64_t r = 42, hits = 0;
		struct pool_view v;
		REQUIRE(pool_rig_init(&g, &(struct pool_config){.policy = policy, .size_bytes = 32 * PAGE},
				      DISK_CAP));
		REQUIRE(cachesim_new(policy, 32, &sim) == 0);
		for (int n = 0; n < 20000; n++) {
			uint64_t page = random_step(&r) % 16;
			if (random_step(&r) % 2)
				page = random_step(&r) % (random_step(&r) % (DISK_CAP / PAGE) + 1);
			(void)cachesim_access(sim, page_ref_of(g.file, page).hash);
			/* another open each time: reading on in a page is no use of it */
			memset(&g.stream, 0, sizeof(g.stream));
			CHECK_EQ(pool_rig_read_view(&g, page * PAGE, 1, out, &v), 1);
			hits += v.hit_pages;
		}
		uint64_t want = cachesim_stats(sim).hits;
		if (hits != want)
			printf("# %s\n", policy->name);
		CHECK_EQ(hits, want);
		cachesim_free(sim);
		check_at_rest(&g);
	}
}

/* The lists that hold pages add up to the pages that are there. */
TEST(lists_add_up)
{
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++) {
		struct pool_rig POOL_RIG g;
		unsigned char out[3 * PAGE];
		uint64_t r = 7, sum = 0;
		REQUIRE(pool_rig_init(&g, &(struct pool_config){.policy = policy, .size_bytes = 32 * PAGE},
				      DISK_CAP));
		for (int n = 0; n < 3000; n++) {
			CHECK(pool_rig_read(&g, random_step(&r) % (DISK_CAP - sizeof(out)),
					    sizeof(out), out) > 0);
			if (n % 100 == 0)
				CHECK_EQ(pool_rig_truncate(&g, DISK_CAP - n), 0);
		}
		struct pool_stats s = pool_rig_stat(&g);
		for (size_t k = 0; k < s.lists; k++)
			if (!strstr(s.list[k].name, "ghost") && !strstr(s.list[k].name, "target"))
				sum += s.list[k].count;
		if (sum != s.frames_clean)
			printf("# %s\n", policy->name);
		CHECK_EQ(sum, s.frames_clean);
		CHECK(s.evictions > 0);
		CHECK_EQ(s.evictions, pool_rig_counter(&g, CTR_POOL_EVICTIONS));
		check_at_rest(&g);
	}
}
