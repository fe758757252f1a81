/* data/path_copy: every request through the worker's memory, by the buffered descriptor. */
#include "check.h"
#include "rig.h"

#define FILE_BYTES 150001UL

static const struct path_ops *copy_ops(void)
{
	return path_ops_get(PATH_ID_copy);
}

TEST(it_never_wants_a_pipe)
{
	CHECK(!copy_ops()->wants_pipe(0));
	CHECK(!copy_ops()->wants_pipe(4096));
	CHECK(!copy_ops()->wants_pipe(1UL << 20));
}

TEST(reads_are_the_files_bytes)
{
	static const size_t offs[] = {0, 511, 4096, 100000, FILE_BYTES - 1, FILE_BYTES, 1UL << 40};
	static const size_t lens[] = {1, 4096, 16384, 131072, RIG_MAX_IO};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_RDONLY, false));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			struct account acc = {0};
			struct reply r = {0};
			struct io_request rq = rig_request(&f, offs[i], lens[k]);
			f.w.syscalls = 0;
			CHECK_EQ(copy_ops()->read(&f.w, &rq, &r, &acc), 0);
			CHECK(rig_check_reply(&f, &rq, &r));
			CHECK_EQ(r.way, WAY_COPY);
			CHECK_EQ(acc.user_bytes, r.len_bytes);
			CHECK_EQ(acc.dma_bytes, 0);
			CHECK(f.w.syscalls >= 1 && f.w.syscalls <= 2);
		}
}

TEST(writes_change_just_their_bytes)
{
	static const size_t offs[] = {
		0, 1, 4096, 99999, FILE_BYTES - 3, FILE_BYTES, FILE_BYTES + 9};
	static const size_t lens[] = {1, 512, 4097, 70000};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_WRONLY, false));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			struct account acc = {0};
			struct io_request rq = rig_request(&f, offs[i], lens[k]);
			const unsigned char *from =
				rig_change(&f, offs[i], lens[k], (unsigned)(10 * i + k));
			struct payload in = rig_in_memory(&f, from, lens[k]);
			f.w.syscalls = 0;
			CHECK_EQ(copy_ops()->write(&f.w, &rq, &in, &acc), lens[k]);
			CHECK_EQ(f.w.syscalls, 1);
			rig_check_write(&acc, WAY_COPY, lens[k], lens[k]);
			REQUIRE(rig_check_file(&f));
		}
}

/* It is received by memory as a rule; what comes by pipe all the same is not lost. */
TEST(a_piped_payload_is_written_too)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 1000));
	REQUIRE(rig_open(&f, O_RDWR, false));
	struct io_request rq = rig_request(&f, 500, 50000);
	struct payload in = rig_in_pipe(&f, rig_change(&f, 500, 50000, 4), 50000);
	CHECK_EQ(copy_ops()->write(&f.w, &rq, &in, &acc), 50000);
	rig_check_write(&acc, WAY_COPY, 50000, 100000);
	rig_check_file(&f);
}

/* O_APPEND is the request's, not the descriptor's: one without it writes where it says. */
TEST(appends_follow_the_end)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 100));
	REQUIRE(rig_open(&f, O_WRONLY | O_APPEND, false));
	for (unsigned round = 0; round < 5; round++) {
		struct account acc = {0};
		struct io_request rq = rig_request(&f, f.len_bytes, 60);
		rq.is_append = true;
		rig_append_elsewhere(&f, 41);
		struct payload in = rig_in_memory(&f, rig_change(&f, f.len_bytes, 60, round), 60);
		CHECK_EQ(copy_ops()->write(&f.w, &rq, &in, &acc), 60);
		rig_check_write(&acc, WAY_COPY, 60, 60);
	}
	struct account acc = {0};
	struct io_request rq = rig_request(&f, 10, 60);
	struct payload in = rig_in_memory(&f, rig_change(&f, 10, 60, 99), 60);
	CHECK_EQ(copy_ops()->write(&f.w, &rq, &in, &acc), 60);
	rig_check_file(&f);
}

/* A copy of an O_DIRECT open's data takes no notice of alignment. */
TEST(o_direct_opens_are_buffered_here)
{
	struct rig RIG f;
	struct account acc = {0};
	struct reply r = {0};

	REQUIRE(rig_init(&f, FILE_BYTES));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	REQUIRE(rig_open(&f, O_RDWR | O_DIRECT, true));
	struct io_request rq = rig_request(&f, 777, 1001);
	rq.is_direct = true;
	CHECK_EQ(copy_ops()->read(&f.w, &rq, &r, &acc), 0);
	CHECK(rig_check_reply(&f, &rq, &r));
	struct payload in = rig_in_memory(&f, rig_change(&f, 777, 1001, 3), 1001);
	acc = (struct account){0};
	CHECK_EQ(copy_ops()->write(&f.w, &rq, &in, &acc), 1001);
	rig_check_write(&acc, WAY_COPY, 1001, 1001);
	rig_check_file(&f);
}

TEST(the_opens_access_mode_rules)
{
	struct rig RIG f;
	struct account acc = {0};
	struct reply r = {0};

	REQUIRE(rig_init(&f, 100));
	struct payload in = rig_in_memory(&f, f.model, 100);
	REQUIRE(rig_open(&f, O_RDONLY, false));
	struct io_request rq = rig_request(&f, 0, 100);
	CHECK_EQ(copy_ops()->write(&f.w, &rq, &in, &acc), -EBADF);
	rig_close(&f);
	REQUIRE(rig_open(&f, O_WRONLY, false));
	rq.handle = f.h;
	CHECK_EQ(copy_ops()->read(&f.w, &rq, &r, &acc), -EBADF);
	CHECK_EQ(acc.user_bytes + rig_ways_sum(&acc), 0);
	rig_check_file(&f);
}
