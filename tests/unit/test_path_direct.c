/*
 * data/path_direct: to the letter for a program's own O_DIRECT, whatever the alignment where direct
 * was imposed, each held against a plain array.
 */
#include "check.h"
#include "node/dio.h"
#include "rig.h"

#include <sys/mman.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct path_ops *direct_ops(void)
{
	return path_ops_get(PATH_ID_direct);
}

static bool open_direct(struct rig *f, size_t len_bytes)
{
	return rig_init(f, len_bytes) && rig_open(f, O_RDWR, rig_has_direct(f));
}

/* What the kernel itself says of the same request: bytes or -errno. Aligned memory. */
static ssize_t natively(struct rig *f, bool is_write, uint64_t off_bytes, size_t len_bytes)
{
	int AUTO_FD fd = openat(f->nodes.b.fd, "f", O_RDWR | O_DIRECT | O_CLOEXEC);
	ssize_t n = is_write ? pwrite(fd, f->w.data, len_bytes, (off_t)off_bytes)
			     : pread(fd, f->w.data, len_bytes, (off_t)off_bytes);

	return n < 0 ? -errno : n;
}

/* The write of new bytes at off, in whole or not at all as the model has them then. */
static ssize_t write_at(struct rig *f, struct io_request *rq, unsigned seed, struct account *acc)
{
	const unsigned char *from = rig_change(f, rq->off_bytes, rq->len_bytes, seed);
	struct payload in = rig_in_memory(f, from, rq->len_bytes);
	ssize_t n = direct_ops()->write(&f->w, rq, &in, acc);

	CHECK_EQ(in.len_bytes, rq->len_bytes - (n > 0 ? (size_t)n : 0));
	CHECK_EQ(rig_ways_sum(acc), n > 0 ? n : 0);
	return n;
}

TEST(it_never_wants_a_pipe)
{
	CHECK(!direct_ops()->wants_pipe(0));
	CHECK(!direct_ops()->wants_pipe(1UL << 20));
}

TEST(the_alignment_is_a_power_of_two)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 4096));
	uint64_t align = dio_align_bytes(f.fd);
	CHECK(align >= 512 && align <= 65536 && (align & (align - 1)) == 0);
	CHECK_EQ(dio_align_bytes(-1), DIO_ALIGN_DEFAULT);
}

/* Offsets and lengths that are, or are not, what a device takes. */
static const size_t exact_offs[] = {0, 1, 256, 511, 512, 513, 4096, 4608, 8192, 65536};
static const size_t exact_lens[] = {1, 100, 511, 512, 1000, 4096, 4097, 8192, 65536, 131072};

TEST(own_reads_are_to_the_letter)
{
	struct rig RIG f;
	unsigned n_refused = 0;

	REQUIRE(open_direct(&f, 100001));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	for (size_t i = 0; i < COUNT(exact_offs); i++)
		for (size_t k = 0; k < COUNT(exact_lens); k++) {
			struct account acc = {0};
			struct reply r = {0};
			struct io_request rq = rig_request(&f, exact_offs[i], exact_lens[k]);
			rq.is_direct = true;
			ssize_t native = natively(&f, false, exact_offs[i], exact_lens[k]);
			int err = direct_ops()->read(&f.w, &rq, &r, &acc);
			CHECK_EQ(err < 0 ? err : (ssize_t)r.len_bytes, native);
			CHECK_EQ(acc.is_misaligned, native == -EINVAL);
			CHECK_EQ(acc.dma_bytes, native > 0 ? native : 0);
			CHECK_EQ(acc.user_bytes + rig_ways_sum(&acc), 0);
			CHECK(err < 0 || rig_check_reply(&f, &rq, &r));
			CHECK(err < 0 || r.way == WAY_DIRECT);
			n_refused += err == -EINVAL;
		}
	CHECK(n_refused > 0 || rig_is_tmpfs(&f));
}

TEST(own_writes_are_to_the_letter)
{
	struct rig RIG f;
	unsigned n_refused = 0;

	REQUIRE(open_direct(&f, 100001));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	for (size_t i = 0; i < COUNT(exact_offs); i++)
		for (size_t k = 0; k < COUNT(exact_lens); k++) {
			struct account acc = {0};
			struct io_request rq = rig_request(&f, exact_offs[i], exact_lens[k]);
			rq.is_direct = true;
			REQUIRE(rig_reset(&f, 100001));
			ssize_t native = natively(&f, true, exact_offs[i], exact_lens[k]);
			REQUIRE(rig_reset(&f, 100001));
			CHECK_EQ(write_at(&f, &rq, (unsigned)(i + k), &acc), native);
			CHECK_EQ(acc.is_misaligned, native == -EINVAL);
			CHECK_EQ(acc.way_bytes[WAY_DIRECT], native > 0 ? native : 0);
			CHECK_EQ(acc.dma_bytes, native > 0 ? native : 0);
			CHECK_EQ(acc.user_bytes, 0);
			if (native < 0) /* then nothing of it was written */
				rig_fill(f.model, 0, f.len_bytes = 100001, 1);
			REQUIRE(rig_check_file(&f));
			n_refused += native == -EINVAL;
		}
	CHECK(n_refused > 0 || rig_is_tmpfs(&f));
}

TEST(imposed_reads_take_any_range)
{
	static const size_t sizes[] = {0,    1,     511,   512,   4095, 4096,
				       4097, 16384, 16391, 69632, 70000};
	static const size_t offs[] = {0,    1,    511,   512,   4095,  4096,  4097,
				      8191, 8192, 16383, 16384, 16390, 69631, 1UL << 30};
	static const size_t lens[] = {1,    2,    511,  512,   513,   4095,   4096,
				      4097, 8192, 8193, 16384, 65535, 131072, RIG_MAX_IO};
	struct rig RIG f;

	REQUIRE(open_direct(&f, 0));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	for (size_t s = 0; s < COUNT(sizes); s++) {
		REQUIRE(rig_reset(&f, sizes[s]));
		for (size_t i = 0; i < COUNT(offs); i++)
			for (size_t k = 0; k < COUNT(lens); k++) {
				struct account acc = {0};
				struct reply r = {0};
				struct io_request rq = rig_request(&f, offs[i], lens[k]);
				CHECK_EQ(direct_ops()->read(&f.w, &rq, &r, &acc), 0);
				CHECK(rig_check_reply(&f, &rq, &r));
				CHECK_EQ(r.way, WAY_DIRECT);
				CHECK(acc.dma_bytes >= r.len_bytes);
				CHECK(acc.dma_bytes <= r.len_bytes + WORKER_SLACK);
				CHECK_EQ(acc.user_bytes + rig_ways_sum(&acc), 0);
				CHECK(!acc.is_misaligned);
			}
	}
}

/* The account that header, body and tail of a write should leave. */
static void check_split(const struct account *acc, uint64_t align, uint64_t off, uint64_t len)
{
	uint64_t whole = 0;

	for (uint64_t block = off / align; block * align < off + len; block++)
		if (block * align >= off && (block + 1) * align <= off + len)
			whole += align;
	bool is_moved = whole > 0 && (align - off % align) % align % DIO_ALIGN_DEFAULT != 0;
	CHECK_EQ(acc->way_bytes[WAY_DIRECT], whole);
	CHECK_EQ(acc->way_bytes[WAY_COPY], len - whole);
	CHECK_EQ(acc->dma_bytes, whole);
	CHECK_EQ(acc->user_bytes, len - whole + (is_moved ? whole : 0));
	CHECK(!acc->is_misaligned);
}

TEST(imposed_writes_take_any_range)
{
	static const size_t sizes[] = {0, 5000, 32768};
	static const size_t offs[] = {0,    1,    511,  512,   513,   4095,
				      4096, 4097, 5000, 32767, 32768, 40001};
	static const size_t lens[] = {1, 511, 512, 513, 4095, 4096, 4097, 8192, 12289, 70000};
	struct rig RIG f;

	REQUIRE(open_direct(&f, 0));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	uint64_t align = dio_align_bytes(handle_fd(f.h, true));
	for (size_t s = 0; s < COUNT(sizes); s++)
		for (size_t i = 0; i < COUNT(offs); i++)
			for (size_t k = 0; k < COUNT(lens); k++) {
				struct account acc = {0};
				memset(f.model, 0, RIG_MODEL_CAP);
				REQUIRE(rig_reset(&f, sizes[s]));
				struct io_request rq = rig_request(&f, offs[i], lens[k]);
				CHECK_EQ(write_at(&f, &rq, (unsigned)(i + k), &acc), lens[k]);
				check_split(&acc, align, offs[i], lens[k]);
				REQUIRE(rig_check_file(&f));
			}
}

/* One after another in one file, small and large, in front of, over and behind the end. */
TEST(imposed_writes_and_reads_mix)
{
	struct rig RIG f;
	uint64_t seed = 42;

	REQUIRE(open_direct(&f, 10000));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	for (unsigned round = 0; round < 400; round++) {
		struct account acc = {0};
		struct reply r = {0};
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		size_t off = (size_t)(seed >> 33) % 150000;
		size_t len = (size_t)(seed >> 13) % (round % 4 ? 9000 : 100000) + 1;
		off = round % 3 ? off : off / 512 * 512;
		len = round % 5 ? len : (len + 511) / 512 * 512;
		struct io_request rq = rig_request(&f, off, len);
		if (off > f.len_bytes) /* the hole that the write leaves */
			memset(f.model + f.len_bytes, 0, off - f.len_bytes);
		CHECK_EQ(write_at(&f, &rq, round, &acc), len);
		struct io_request back = rig_request(&f, off > 700 ? off - 700 : 0, len + 1400);
		CHECK_EQ(direct_ops()->read(&f.w, &back, &r, &acc), 0);
		REQUIRE(rig_check_reply(&f, &back, &r));
	}
	rig_check_file(&f);
}

/* How many of the file's pages are in the page cache. */
static size_t n_cached(const struct rig *f)
{
	size_t n_pages = (f->len_bytes + 4095) / 4096, n = 0;
	unsigned char present[64] = {0};
	void *map = mmap(NULL, f->len_bytes, PROT_READ, MAP_SHARED, f->fd, 0);

	if (map == MAP_FAILED || n_pages > sizeof(present) || mincore(map, f->len_bytes, present) != 0)
		n = SIZE_MAX;
	for (size_t i = 0; n != SIZE_MAX && i < n_pages; i++)
		n += present[i] & 1;
	if (map != MAP_FAILED)
		CHECK_EQ(munmap(map, f->len_bytes), 0);
	return n;
}

TEST(imposed_writes_leave_nothing_in_the_page_cache)
{
	static const struct {
		size_t off, len;
	} writes[] = {{0, 100},      {4000, 96},     {100, 4096},  {4097, 4094}, {5000, 20000},
		      {65535, 1},    {65536, 4},     {60000, 999}, {1, 65535},   {99999, 1},
		      {99000, 1000}, {90000, 10001}, {99999, 5000}};
	struct rig RIG f;

	REQUIRE(open_direct(&f, 100000));
	if (!rig_has_direct(&f) || rig_is_tmpfs(&f))
		SKIP("no O_DIRECT past the page cache here");
	CHECK_EQ(fsync(f.fd), 0);
	for (size_t i = 0; i < COUNT(writes); i++) {
		struct account acc = {0};
		CHECK_EQ(posix_fadvise(f.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
		if (n_cached(&f) != 0)
			SKIP("the page cache does not let go here");
		struct io_request rq = rig_request(&f, writes[i].off, writes[i].len);
		CHECK_EQ(write_at(&f, &rq, (unsigned)i, &acc), writes[i].len);
		CHECK_EQ(n_cached(&f), 0);
	}
	rig_check_file(&f);
}

TEST(imposed_appends_follow_the_end)
{
	static const size_t lens[] = {1, 100, 4096, 5000, 512, 70001, 8192};
	struct rig RIG f;

	REQUIRE(open_direct(&f, 4096));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	for (size_t i = 0; i < COUNT(lens); i++) {
		struct account acc = {0};
		struct io_request rq = rig_request(&f, f.len_bytes, lens[i]);
		rq.is_append = true;
		rig_append_elsewhere(&f, 39 + i);
		const unsigned char *from = rig_change(&f, f.len_bytes, lens[i], (unsigned)i);
		struct payload in = rig_in_memory(&f, from, lens[i]);
		CHECK_EQ(direct_ops()->write(&f.w, &rq, &in, &acc), lens[i]);
		rig_check_write(&acc, WAY_COPY, lens[i], lens[i]);
		REQUIRE(rig_check_file(&f));
	}
}

/* On the grid an append of whole blocks is direct; where another has put the end off it, refused. */
TEST(own_appends_follow_the_end_to_the_letter)
{
	struct rig RIG f;
	struct account acc = {0}, acc_off = {0};

	REQUIRE(open_direct(&f, 8192));
	if (!rig_has_direct(&f) || rig_is_tmpfs(&f))
		SKIP("no O_DIRECT with an alignment here");
	struct io_request rq = rig_request(&f, 8192, 4096);
	rq.is_append = rq.is_direct = true;
	rig_append_elsewhere(&f, 4096);
	struct payload in = rig_in_memory(&f, rig_change(&f, 12288, 4096, 5), 4096);
	CHECK_EQ(direct_ops()->write(&f.w, &rq, &in, &acc), 4096);
	rig_check_write(&acc, WAY_DIRECT, 4096, 0);
	rig_check_file(&f);
	rig_append_elsewhere(&f, 100);
	in = rig_in_memory(&f, f.model, 4096);
	CHECK_EQ(direct_ops()->write(&f.w, &rq, &in, &acc_off), -EINVAL);
	CHECK(acc_off.is_misaligned);
	CHECK_EQ(rig_ways_sum(&acc_off) + acc_off.dma_bytes, 0);
	rig_check_file(&f);
}

/* mmap's pages come through any open; their end is the file's, not a block's. */
TEST(write_back_through_an_o_direct_open_takes_any_range)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(open_direct(&f, 20000));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct io_request rq = rig_request(&f, 16384, 20000 - 16384);
	rq.is_writeback = rq.is_direct = true;
	CHECK_EQ(write_at(&f, &rq, 6, &acc), rq.len_bytes);
	check_split(&acc, dio_align_bytes(f.fd), rq.off_bytes, rq.len_bytes);
	rig_check_file(&f);
}

TEST(piped_payloads_are_brought_to_memory)
{
	struct rig RIG f;

	REQUIRE(open_direct(&f, 50000));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	for (int is_own = 0; is_own < 2; is_own++) {
		struct account acc = {0};
		struct io_request rq = rig_request(&f, 4096, 40960);
		rq.is_direct = is_own;
		const unsigned char *from = rig_change(&f, 4096, 40960, 9 + (unsigned)is_own);
		struct payload in = rig_in_pipe(&f, from, 40960);
		CHECK_EQ(direct_ops()->write(&f.w, &rq, &in, &acc), 40960);
		rig_check_write(&acc, WAY_DIRECT, 40960, 40960);
		REQUIRE(rig_check_file(&f));
	}
}

TEST(a_full_file_takes_what_fits_then_says_so)
{
	struct rig RIG f;
	struct account acc = {0}, acc_more = {0};

	REQUIRE(open_direct(&f, 8192));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct io_request rq = rig_request(&f, 8000, 40000);
	struct payload in = rig_in_memory(&f, rig_change(&f, 8000, 40000, 2), 40000);
	struct rlimit old = rig_limit(20480);
	ssize_t n = direct_ops()->write(&f.w, &rq, &in, &acc);
	struct io_request more = rig_request(&f, 20480, 100);
	struct payload in_more = {.mem = f.w.data, .len_bytes = 100};
	ssize_t n_more = direct_ops()->write(&f.w, &more, &in_more, &acc_more);
	rig_unlimit(&old);
	CHECK_EQ(n, 12480);
	CHECK_EQ(rig_ways_sum(&acc), 12480);
	CHECK_EQ(n_more, -EFBIG);
	CHECK_EQ(rig_ways_sum(&acc_more), 0);
	f.len_bytes = 20480;
	rig_check_file(&f);
}

/* The bytes are the cache's but not the device's: the program is told, so they count nowhere. */
TEST(a_fragment_that_cannot_be_written_out_is_an_error)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 0));
	/* A device takes the bytes and has nothing to write out: ESPIPE. */
	f.h = handle_adopt(f.nodes.t, f.n, O_RDWR, open("/dev/null", O_RDWR | O_CLOEXEC), false);
	REQUIRE(f.h);
	atomic_store(&f.h->fd_direct, open("/dev/null", O_RDWR | O_CLOEXEC));
	struct io_request rq = rig_request(&f, 10, 100);
	struct payload in = rig_in_memory(&f, f.model, 100);
	CHECK_EQ(direct_ops()->write(&f.w, &rq, &in, &acc), -ESPIPE);
	CHECK_EQ(rig_ways_sum(&acc), 0);
	CHECK_EQ(in.len_bytes, 100);
}

TEST(a_backing_without_o_direct_says_so)
{
	struct rig RIG f;
	struct account acc = {0};
	struct reply r = {0};

	REQUIRE(rig_init(&f, 0));
	f.h = handle_adopt(f.nodes.t, f.n, O_RDWR, open("/dev/null", O_RDWR | O_CLOEXEC), false);
	REQUIRE(f.h);
	struct io_request rq = rig_request(&f, 0, 4096);
	struct payload in = rig_in_memory(&f, f.model, 4096);
	CHECK_EQ(direct_ops()->read(&f.w, &rq, &r, &acc), -EINVAL);
	CHECK_EQ(direct_ops()->write(&f.w, &rq, &in, &acc), -EINVAL);
	CHECK(!acc.is_misaligned);
}
