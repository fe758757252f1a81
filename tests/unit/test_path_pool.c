/* data/path_pool: reads and writes through the pool against a plain array, in both write modes, and what is said of the bytes. */
#include "check.h"
#include "pooled.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct path_ops *pool_ops(void)
{
	return path_ops_get(PATH_ID_pool);
}

/* The READ's reply is the model's bytes, and the account says of each byte once where it was. */
static bool read_at(struct pooled *p, uint64_t off_bytes, size_t len_bytes, struct account *acc)
{
	struct reply r = {0};
	struct io_request rq = rig_request(&p->f, off_bytes, len_bytes);
	size_t want = rig_there(&p->f, off_bytes, len_bytes), at = 0;

	*acc = (struct account){0};
	int err = pool_ops()->read(&p->f.w, &rq, &r, acc);
	CHECK_EQ(err, 0);
	if (err < 0)
		return false;
	bool is_good = r.kind == REPLY_VIEW && r.len_bytes == want;
	for (size_t i = 1; i <= r.iov_count && is_good; at += r.iov[i++].iov_len)
		is_good = memcmp(r.iov[i].iov_base, p->f.model + off_bytes + at, r.iov[i].iov_len) == 0;
	is_good = is_good && at == want;
	CHECK(is_good);
	CHECK_EQ(rig_ways_sum(acc), want);
	CHECK_EQ(acc->way_bytes[WAY_POOL_HIT] + acc->way_bytes[WAY_POOL_MISS], want);
	pool_ops()->done(&p->f.w);
	return is_good;
}

static ssize_t write_rq(struct pooled *p, const struct io_request *rq, unsigned seed, struct account *acc)
{
	uint64_t at = rq->is_append ? p->f.len_bytes : rq->off_bytes;
	if (at > p->f.len_bytes) /* the hole that it leaves */
		memset(p->f.model + p->f.len_bytes, 0, at - p->f.len_bytes);
	const unsigned char *from = rig_change(&p->f, at, rq->len_bytes, seed);
	struct payload in = rig_in_memory(&p->f, from, rq->len_bytes);

	*acc = (struct account){0};
	ssize_t n = pool_ops()->write(&p->f.w, rq, &in, acc);
	CHECK_EQ(in.len_bytes, rq->len_bytes - (n > 0 ? (size_t)n : 0));
	CHECK_EQ(rig_ways_sum(acc), n > 0 ? n : 0);
	return n;
}

static ssize_t write_at(struct pooled *p, uint64_t off_bytes, size_t len_bytes, unsigned seed)
{
	struct account acc;
	struct io_request rq = rig_request(&p->f, off_bytes, len_bytes);

	return write_rq(p, &rq, seed, &acc);
}

/* Another look than the pool's: all of it is in the backing. */
static bool is_in_backing(struct pooled *p)
{
	return rig_check_file(&p->f);
}

static bool differs_in_backing(struct pooled *p, uint64_t off_bytes, size_t len_bytes)
{
	unsigned char *now = malloc(len_bytes);
	bool differs = !now || pread(p->f.fd, now, len_bytes, (off_t)off_bytes) != (ssize_t)len_bytes ||
		       memcmp(now, p->f.model + off_bytes, len_bytes) != 0;
	free(now);
	return differs;
}

TEST(it_never_wants_a_pipe)
{
	CHECK(!pool_ops()->wants_pipe(0));
	CHECK(!pool_ops()->wants_pipe(1UL << 20));
}

TEST(reads_miss_once_and_hit_afterwards)
{
	struct pooled POOLED p;
	struct account acc;

	REQUIRE(pooled_init(&p, 200001, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDONLY));
	REQUIRE(read_at(&p, 5, 100000, &acc));
	CHECK_EQ(acc.way_bytes[WAY_POOL_MISS], 100000);
	CHECK_EQ(acc.dma_bytes, 7 * 16384);
	CHECK_EQ(acc.user_bytes, 0); /* the reply's own copy is counted when it is sent */
	p.f.w.syscalls = 0;
	REQUIRE(read_at(&p, 16000, 90000, &acc));
	CHECK_EQ(acc.way_bytes[WAY_POOL_HIT], 90000);
	CHECK_EQ(acc.dma_bytes, 0);
	CHECK_EQ(p.f.w.syscalls, 0);
	REQUIRE(read_at(&p, 200000, RIG_MAX_IO, &acc));
	REQUIRE(read_at(&p, 200001, 100, &acc));
	REQUIRE(read_at(&p, 1UL << 40, 100, &acc));
}

TEST(pages_and_pools_of_every_size_read_right)
{
	static const uint32_t pages[] = {4096, 16384, 65536};

	for (size_t k = 0; k < COUNT(pages); k++)
		for (size_t n_pages = 1; n_pages <= 256; n_pages *= 16) {
			struct pooled POOLED p;
			struct account acc;
			uint64_t seed = n_pages;
			REQUIRE(pooled_init(&p, 700001,
					    &(struct pool_config){.size_bytes = n_pages * pages[k],
								  .page_bytes = pages[k]}));
			POOLED_NEEDS_DIRECT(&p);
			REQUIRE(pooled_open(&p, O_RDONLY));
			for (unsigned round = 0; round < 100; round++) {
				seed = seed * 6364136223846793005U + 1442695040888963407U;
				size_t off = (size_t)(seed >> 33) % 710000;
				size_t len = (size_t)(seed >> 13) % (round % 4 ? 20000 : RIG_MAX_IO) + 1;
				REQUIRE(read_at(&p, off, len, &acc));
			}
			REQUIRE(read_at(&p, 3, RIG_MAX_IO, &acc));
		}
}

TEST(what_is_written_through_is_there_at_once)
{
	static const size_t offs[] = {0, 1, 511, 4096, 5000, 16384, 50000, 99999, 100000, 130001};
	static const size_t lens[] = {1, 512, 4096, 4097, 16384, 70000, RIG_MAX_IO};
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	for (size_t i = 0; i < COUNT(offs); i++)
		for (size_t k = 0; k < COUNT(lens); k++) {
			struct account acc;
			struct io_request rq = rig_request(&p.f, offs[i], lens[k]);
			CHECK_EQ(write_rq(&p, &rq, (unsigned)(i + k), &acc), lens[k]);
			CHECK_EQ(acc.way_bytes[WAY_POOL_MISS], lens[k]);
			REQUIRE(is_in_backing(&p));
			REQUIRE(read_at(&p, offs[i] / 2, RIG_MAX_IO, &acc));
		}
}

TEST(whole_pages_that_were_written_need_not_be_read)
{
	struct pooled POOLED p;
	struct account acc;

	REQUIRE(pooled_init(&p, 0, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	CHECK_EQ(write_at(&p, 0, 65536, 2), 65536);
	REQUIRE(read_at(&p, 0, 65536, &acc));
	CHECK_EQ(acc.way_bytes[WAY_POOL_HIT], 65536);
}

TEST(appends_go_to_the_end_of_now)
{
	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		struct account acc;
		REQUIRE(pooled_init(&p, 5000, &(struct pool_config){.is_write_back = is_back}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_RDWR));
		for (unsigned i = 0; i < 40; i++) {
			struct io_request rq = rig_request(&p.f, 17, 300 + i * 100);
			rq.is_append = true;
			if (i % 5 == 1)
				rig_append_elsewhere(&p.f, 700);
			if (is_back && i % 3 == 0 && i % 5 != 1)
				CHECK_EQ(write_at(&p, p.f.len_bytes - 50, 100, i), 100);
			CHECK_EQ(write_rq(&p, &rq, i, &acc), rq.len_bytes);
			REQUIRE(read_at(&p, 0, RIG_MAX_IO, &acc));
		}
		CHECK_EQ(pool_open_sync(p.f.h), 0);
		is_in_backing(&p);
	}
}

TEST(written_back_bytes_are_in_the_pool_first)
{
	struct pooled POOLED p;
	struct account acc;
	struct io_request rq;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	rq = rig_request(&p.f, 16384, 10000);
	CHECK_EQ(write_rq(&p, &rq, 2, &acc), 10000);
	CHECK_EQ(acc.way_bytes[WAY_POOL_MISS], 10000);
	CHECK_EQ(acc.user_bytes, 10000); /* into the pool; the receipt is the caller's to count */
	CHECK(differs_in_backing(&p, 16384, 10000));
	CHECK_EQ(write_rq(&p, &rq, 3, &acc), 10000);
	CHECK_EQ(acc.way_bytes[WAY_POOL_HIT], 10000);
	REQUIRE(read_at(&p, 0, RIG_MAX_IO, &acc));
	CHECK_EQ(pool_open_sync(p.f.h), 0);
	is_in_backing(&p);
}

/* What must not wait in the pool, each held against a write that does. */
TEST(what_is_to_be_there_when_it_is_answered_goes_through)
{
	struct pooled POOLED p;
	struct account acc;

	REQUIRE(pooled_init(&p, 100000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	for (int how = 0; how < 4; how++) {
		struct io_request rq = rig_request(&p.f, 32768, 5000);
		CHECK_EQ(write_rq(&p, &rq, 10U + (unsigned)how, &acc), 5000);
		CHECK(differs_in_backing(&p, 32768, 5000));
		rq.is_sync = how == 0;
		rq.is_writeback = how == 1;
		if (how == 2)
			node_note_privs(p.f.n); /* somebody gave the file set-id bits, perhaps */
		if (how == 3) {
			node_note_privs(p.f.n);
			CHECK_EQ(write_rq(&p, &rq, 8, &acc), 5000); /* by who may keep them */
			CHECK_EQ(write_rq(&p, &rq, 9, &acc), 5000);
			CHECK(differs_in_backing(&p, 32768, 5000));
			rq.is_kill = true;
		}
		CHECK_EQ(write_rq(&p, &rq, 20U + (unsigned)how, &acc), 5000);
		CHECK(!differs_in_backing(&p, 32768, 5000));
		REQUIRE(read_at(&p, 0, RIG_MAX_IO, &acc));
	}
}

TEST(what_the_pool_does_not_take_goes_through)
{
	struct pooled POOLED p;
	struct account acc;

	REQUIRE(pooled_init(&p, 300000,
			    &(struct pool_config){.is_write_back = true, .size_bytes = 8 * 16384UL}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	for (unsigned i = 0; i < 30; i++) {
		size_t off = i * 7919U % 250000;
		struct io_request rq = rig_request(&p.f, off, 100001);
		CHECK_EQ(write_rq(&p, &rq, i, &acc), 100001);
		REQUIRE(read_at(&p, off / 2, RIG_MAX_IO, &acc));
	}
	CHECK_EQ(pool_open_sync(p.f.h), 0);
	is_in_backing(&p);
}

/* Whoever may not read brings no way to read with: its writes go through. */
TEST(an_open_for_writing_alone_writes)
{
	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		struct account acc;
		REQUIRE(pooled_init(&p, 30000, &(struct pool_config){.is_write_back = is_back}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_WRONLY));
		CHECK_EQ(write_at(&p, 100, 20000, 2), 20000);
		CHECK_EQ(write_at(&p, 29000, 20000, 3), 20000);
		pooled_close(&p);
		REQUIRE(pooled_open(&p, O_RDONLY));
		REQUIRE(read_at(&p, 0, RIG_MAX_IO, &acc));
	}
}

TEST(a_payload_in_the_pipe_is_written)
{
	struct pooled POOLED p;
	struct account acc = {0};

	REQUIRE(pooled_init(&p, 30000, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	struct io_request rq = rig_request(&p.f, 12345, 50000);
	struct payload in = rig_in_pipe(&p.f, rig_change(&p.f, 12345, 50000, 2), 50000);
	CHECK_EQ(pool_ops()->write(&p.f.w, &rq, &in, &acc), 50000);
	CHECK_EQ(in.len_bytes, 0);
	is_in_backing(&p);
	REQUIRE(read_at(&p, 0, RIG_MAX_IO, &acc));
}

TEST(a_full_file_takes_what_fits_then_says_so)
{
	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		struct account acc = {0};
		REQUIRE(pooled_init(&p, 8192, &(struct pool_config){.is_write_back = is_back}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_RDWR));
		struct io_request rq = rig_request(&p.f, 8192, 6000);
		struct payload in = rig_in_memory(&p.f, rig_change(&p.f, 8192, 6000, 2), 6000);
		struct rlimit old = rig_limit(12288);
		ssize_t n = pool_ops()->write(&p.f.w, &rq, &in, &acc);
		struct io_request more = rig_request(&p.f, 12288, 1000);
		struct account acc_more = {0};
		in = rig_in_memory(&p.f, p.f.model + 12288, 1000);
		ssize_t n_more = pool_ops()->write(&p.f.w, &more, &in, &acc_more);
		rig_unlimit(&old);
		/* Space is reserved for all of it or for none. */
		CHECK(n == 4096 || (is_back && n == -EFBIG));
		CHECK_EQ(n_more, -EFBIG);
		CHECK_EQ(rig_ways_sum(&acc), n > 0 ? n : 0);
		CHECK_EQ(rig_ways_sum(&acc_more), 0);
		p.f.len_bytes = n > 0 ? 12288 : 8192;
		REQUIRE(read_at(&p, 0, RIG_MAX_IO, &acc));
		is_in_backing(&p);
	}
}

TEST(reads_and_writes_mix)
{
	for (int is_back = 0; is_back < 2; is_back++) {
		struct pooled POOLED p;
		struct account acc;
		uint64_t seed = 42;
		REQUIRE(pooled_init(&p, 10000,
				    &(struct pool_config){.is_write_back = is_back,
							  .page_bytes = 4096,
							  .size_bytes = 40 * 4096UL}));
		POOLED_NEEDS_DIRECT(&p);
		REQUIRE(pooled_open(&p, O_RDWR));
		for (unsigned round = 0; round < 600; round++) {
			seed = seed * 6364136223846793005U + 1442695040888963407U;
			size_t off = (size_t)(seed >> 33) % 300000;
			size_t len = (size_t)(seed >> 13) % (round % 4 ? 9000 : 100000) + 1;
			CHECK_EQ(write_at(&p, off, len, round), len);
			REQUIRE(read_at(&p, off > 700 ? off - 700 : 0, len + 1400, &acc));
			if (round % 50 == 49) {
				CHECK_EQ(pool_open_sync(p.f.h), 0);
				REQUIRE(is_in_backing(&p));
			}
		}
	}
}
