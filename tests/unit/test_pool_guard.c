/* data/pool_guard: what is read and changed past the pool, and the pool, agree. */
#include "check.h"
#include "pooled.h"

#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct io_request request(struct pooled *p, uint64_t off_bytes, size_t len_bytes)
{
	return rig_request(&p->f, off_bytes, len_bytes);
}

/* A write by another path, as ops does it; n_wanted: how much of it the backing takes. */
static ssize_t write_past(struct pooled *p, const struct io_request *rq, unsigned seed, size_t n_wanted)
{
	struct pool_guard g;
	uint64_t at = rq->is_append ? p->f.len_bytes : rq->off_bytes;
	int err = pool_guard_write_begin(&g, rq);
	CHECK_EQ(err, 0);
	const unsigned char *from = n_wanted > 0 ? rig_change(&p->f, at, n_wanted, seed) : p->f.model;
	ssize_t n = pwrite(p->f.fd, from, n_wanted, (off_t)at);
	pool_guard_write_end(&g, rq, n_wanted > 0 ? n : -EIO);
	return n;
}

TEST(without_a_pool_file_it_is_nothing)
{
	struct rig RIG f;
	struct pool_guard g;

	REQUIRE(rig_init(&f, 100));
	REQUIRE(rig_open(&f, O_RDWR, false));
	struct io_request rq = rig_request(&f, 0, 10);
	CHECK_EQ(pool_guard_begin(&g, f.n, 0, POOL_TO_END, true), 0);
	pool_guard_end(&g, f.fd, 0);
	CHECK_EQ(pool_guard_write_begin(&g, &rq), 0);
	pool_guard_write_end(&g, &rq, 10);
	CHECK_EQ(pool_guard_read(f.n, 0, POOL_TO_END), 0);
	CHECK(!pool_guard_times(f.n));
	CHECK(!node_pool_file(f.n));
}

TEST(writes_past_the_pool_are_seen_in_it)
{
	static const size_t offs[] = {0, 1, 16383, 16384, 50000, 99999, 100000, 150000};
	static const size_t lens[] = {1, 4096, 16384, 40000};

	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = is_back}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_RDWR));
		for (size_t i = 0; i < COUNT(offs); i++)
			for (size_t k = 0; k < COUNT(lens); k++) {
				struct io_request rq = request(&p, offs[i], lens[k]);
				REQUIRE(pooled_check(&p, 0, RIG_MAX_IO)); /* all of it is in the pool */
				CHECK_EQ(write_past(&p, &rq, (unsigned)(i + k), lens[k]), lens[k]);
				REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
			}
	}
}

TEST(short_and_failed_writes_leave_no_page_that_is_not_so)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	struct io_request rq = request(&p, 90000, 60000);
	REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
	CHECK_EQ(write_past(&p, &rq, 2, 25000), 25000);
	REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
	CHECK_EQ(write_past(&p, &rq, 3, 0), 0);
	REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
}

TEST(appends_past_the_pool_are_seen_in_it)
{
	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		REQUIRE(pooled_init(&p, 5000, &(struct pool_config){.is_write_back = is_back}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_RDWR));
		for (unsigned i = 0; i < 50; i++) {
			struct io_request rq = request(&p, 0, 700 + i * 10);
			rq.is_append = true;
			REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
			if (is_back && i % 2)
				CHECK_EQ(pooled_dirty(&p, p.f.len_bytes - 10, 500, i), 500);
			CHECK_EQ(write_past(&p, &rq, i, rq.len_bytes), rq.len_bytes);
			REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
		}
	}
}

TEST(an_append_is_held_at_the_end_of_now)
{
	struct pooled POOLED p;
	struct pool_guard g;
	uint64_t end = 0;

	REQUIRE(pooled_init(&p, 5000, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	rig_append_elsewhere(&p.f, 700);
	CHECK_EQ(pool_guard_append(&g, p.f.n, p.f.fd, &end), 0);
	CHECK_EQ(end, 5700);
	pool_guard_end(&g, p.f.fd, 0);
	CHECK_EQ(pool_guard_append(&g, p.f.n, -1, &end), 0); /* as if it were all the file's */
	CHECK_EQ(end, UINT64_MAX);
	pool_guard_end(&g, -1, 0);
	REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
}

/* Of what is dirty, that which lies behind the cut goes, and no more. */
TEST(truncation_keeps_what_is_left)
{
	static const size_t cuts[] = {90000, 65536, 65535, 30001, 100, 0};

	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		struct pool_guard g;
		REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = is_back}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_RDWR));
		for (size_t i = 0; i < COUNT(cuts); i++) {
			REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
			if (is_back)
				CHECK_EQ(pooled_dirty(&p, cuts[i] > 9000 ? cuts[i] - 9000 : 0, 9500,
						      (unsigned)i),
					 9500);
			CHECK_EQ(pool_guard_begin(&g, p.f.n, cuts[i], POOL_TO_END, true), 0);
			CHECK_EQ(ftruncate(p.f.fd, (off_t)cuts[i]), 0);
			pool_guard_end(&g, p.f.fd, 0);
			memset(p.f.model + cuts[i], 0, RIG_MODEL_CAP - cuts[i]);
			p.f.len_bytes = cuts[i];
			REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
			CHECK_EQ(pool_guard_begin(&g, p.f.n, cuts[i], POOL_TO_END, true), 0);
			CHECK_EQ(ftruncate(p.f.fd, 120000), 0); /* and longer again */
			pool_guard_end(&g, p.f.fd, 0);
			p.f.len_bytes = 120000;
			REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
		}
		CHECK_EQ(pool_guard_read(p.f.n, 0, POOL_TO_END), 0);
		rig_check_file(&p.f);
	}
}

TEST(a_truncation_that_failed_loses_nothing)
{
	struct pooled POOLED p;
	struct pool_guard g;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	CHECK_EQ(pooled_dirty(&p, 0, 50000, 2), 50000);
	CHECK_EQ(pool_guard_begin(&g, p.f.n, 0, POOL_TO_END, true), 0);
	pool_guard_end(&g, p.f.fd, 0);
	CHECK(pooled_check(&p, 0, RIG_MAX_IO));
	CHECK_EQ(pool_guard_read(p.f.n, 0, POOL_TO_END), 0);
	rig_check_file(&p.f);
}

TEST(who_reads_past_the_pool_finds_what_it_held)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	for (unsigned i = 0; i < 20; i++) {
		CHECK_EQ(pooled_dirty(&p, i * 7001UL, 9000, i), 9000);
		CHECK_EQ(pool_guard_read(p.f.n, i * 7001UL, 9000), 0);
		CHECK(rig_check_file(&p.f));
	}
}

TEST(attributes_have_the_time_of_the_write)
{
	struct pooled POOLED p;
	struct stat before, held, written;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	CHECK_EQ(futimens(p.f.fd, times), 0);
	CHECK_EQ(fstat(p.f.fd, &before), 0);
	CHECK(!pool_guard_times(p.f.n));
	CHECK_EQ(pooled_dirty(&p, 0, 100, 2), 100);
	CHECK(pool_guard_times(p.f.n));
	CHECK(!pool_guard_times(p.f.n));
	CHECK_EQ(fstat(p.f.fd, &held), 0);
	CHECK(held.st_mtim.tv_sec > before.st_mtim.tv_sec);
	CHECK_EQ(pool_guard_read(p.f.n, 0, POOL_TO_END), 0);
	CHECK_EQ(fstat(p.f.fd, &written), 0);
	CHECK_EQ(written.st_mtim.tv_sec, held.st_mtim.tv_sec);
	CHECK_EQ(written.st_mtim.tv_nsec, held.st_mtim.tv_nsec);
}
