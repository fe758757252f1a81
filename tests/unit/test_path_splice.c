/* data/path_splice: references through the pipe where that pays, copies where it does not. */
#include "check.h"
#include "rig.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

#define FILE_BYTES (300UL * 1024 + 77)

static const struct path_ops *splice_ops(void)
{
	return path_ops_get(PATH_ID_splice);
}

static size_t left_in_pipe(const struct rig *f)
{
	int n = -1;

	return ioctl(f->w.pipe.rd, FIONREAD, &n) == 0 ? (size_t)n : SIZE_MAX;
}

TEST(it_wants_a_pipe_for_large_writes)
{
	CHECK(!splice_ops()->wants_pipe(0));
	CHECK(!splice_ops()->wants_pipe(SPLICE_WRITE_MIN_BYTES - 1));
	CHECK(splice_ops()->wants_pipe(SPLICE_WRITE_MIN_BYTES));
	CHECK(splice_ops()->wants_pipe(1UL << 20));
}

TEST(small_reads_are_copied)
{
	static const size_t offs[] = {0, 4097, FILE_BYTES - 100, FILE_BYTES, FILE_BYTES + 1};
	static const size_t lens[] = {1, 4096, SPLICE_READ_MIN_BYTES - 1};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_RDONLY, false));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			struct account acc = {0};
			struct reply r = {0};
			struct io_request rq = rig_request(&f, offs[i], lens[k]);
			CHECK_EQ(splice_ops()->read(&f.w, &rq, &r, &acc), 0);
			CHECK(rig_check_reply(&f, &rq, &r));
			CHECK_EQ(r.way, WAY_COPY);
			CHECK_EQ(acc.user_bytes, r.len_bytes);
		}
}

/* The answer names the range; what is spliced from it is the file's bytes. */
TEST(large_reads_are_ranges)
{
	static const size_t offs[] = {0, 1, 4096, 100001, FILE_BYTES - 10, FILE_BYTES + 10};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_RDONLY, false));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		struct account acc = {0};
		struct reply r = {0};
		struct io_request rq = rig_request(&f, offs[i], 128UL * 1024);
		f.w.syscalls = 0;
		CHECK_EQ(splice_ops()->read(&f.w, &rq, &r, &acc), 0);
		CHECK_EQ(r.kind, REPLY_RANGE);
		CHECK_EQ(r.off_bytes, offs[i]);
		CHECK_EQ(r.len_bytes, 128UL * 1024);
		CHECK_EQ(r.fd, handle_any_fd(f.h));
		CHECK_EQ(f.w.syscalls, 0);
		CHECK_EQ(acc.user_bytes + rig_ways_sum(&acc), 0);
		loff_t off = (loff_t)r.off_bytes;
		size_t want = rig_there(&f, offs[i], r.len_bytes), done = 0;
		while (done < want) {
			ssize_t n = splice(r.fd, &off, f.w.pipe.wr, NULL, want - done, 0);
			REQUIRE(n > 0 && read(f.w.pipe.rd, f.w.data + done, (size_t)n) == n);
			done += (size_t)n;
		}
		CHECK(memcmp(f.w.data, f.model + offs[i], want) == 0);
	}
}

TEST(without_a_pipe_all_reads_are_copied)
{
	struct rig RIG f;
	struct account acc = {0};
	struct reply r = {0};

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_RDONLY, false));
	pipe_close(&f.w.pipe);
	struct io_request rq = rig_request(&f, 100, 128UL * 1024);
	CHECK_EQ(splice_ops()->read(&f.w, &rq, &r, &acc), 0);
	CHECK(rig_check_reply(&f, &rq, &r));
	CHECK_EQ(acc.user_bytes, rq.len_bytes);
}

TEST(piped_payloads_are_spliced)
{
	static const size_t offs[] = {0, 1, 4096, 70001, FILE_BYTES - 9, FILE_BYTES + 5000};
	static const size_t lens[] = {1, 4096, 32768, 100001, RIG_MAX_IO};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_RDWR, false));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			struct account acc = {0};
			struct io_request rq = rig_request(&f, offs[i], lens[k]);
			const unsigned char *from =
				rig_change(&f, offs[i], lens[k], (unsigned)(10 * i + k));
			struct payload in = rig_in_pipe(&f, from, lens[k]);
			CHECK_EQ(splice_ops()->write(&f.w, &rq, &in, &acc), lens[k]);
			rig_check_write(&acc, WAY_SPLICE, lens[k], 0);
			CHECK_EQ(in.len_bytes, 0);
			CHECK_EQ(left_in_pipe(&f), 0);
			CHECK_EQ(f.w.data[0], 0xee); /* it was not there */
			REQUIRE(rig_check_file(&f));
		}
}

/* Pages lent to the pipe, off the page grid and behind a head: as the kernel splices a request. */
TEST(lent_pages_are_spliced)
{
	struct rig RIG f;
	struct account acc = {0};
	char head[80];

	REQUIRE(rig_init(&f, 200000));
	REQUIRE(rig_open(&f, O_RDWR, false));
	unsigned char *from = f.model + 5000;
	rig_change(&f, 5000, 100000, 8);
	struct iovec iov[2] = {{.iov_base = head, .iov_len = sizeof(head)},
			       {.iov_base = from, .iov_len = 100000}};
	memset(head, 'h', sizeof(head));
	CHECK_EQ(vmsplice(f.w.pipe.wr, iov, 2, 0), 100080);
	CHECK_EQ(read(f.w.pipe.rd, head, sizeof(head)), sizeof(head));
	struct io_request rq = rig_request(&f, 5000, 100000);
	struct payload in = {.len_bytes = 100000};
	CHECK_EQ(splice_ops()->write(&f.w, &rq, &in, &acc), 100000);
	rig_check_write(&acc, WAY_SPLICE, 100000, 0);
	rig_check_file(&f);
}

TEST(payloads_in_memory_are_copied)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, FILE_BYTES));
	REQUIRE(rig_open(&f, O_RDWR, false));
	struct io_request rq = rig_request(&f, 1000, 40000);
	struct payload in = rig_in_memory(&f, rig_change(&f, 1000, 40000, 2), 40000);
	CHECK_EQ(splice_ops()->write(&f.w, &rq, &in, &acc), 40000);
	rig_check_write(&acc, WAY_COPY, 40000, 40000);
	rig_check_file(&f);
}

TEST(appends_are_copied_to_the_end_of_now)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 100));
	REQUIRE(rig_open(&f, O_WRONLY | O_APPEND, false));
	for (unsigned is_piped = 0; is_piped < 2; is_piped++) {
		struct account acc = {0};
		struct io_request rq = rig_request(&f, f.len_bytes, 50000);
		rq.is_append = true;
		rig_append_elsewhere(&f, 333);
		const unsigned char *from = rig_change(&f, f.len_bytes, 50000, is_piped);
		struct payload in =
			is_piped ? rig_in_pipe(&f, from, 50000) : rig_in_memory(&f, from, 50000);
		CHECK_EQ(splice_ops()->write(&f.w, &rq, &in, &acc), 50000);
		rig_check_write(&acc, WAY_COPY, 50000, is_piped ? 100000 : 50000);
		REQUIRE(rig_check_file(&f));
	}
}

/* splice(2) refuses an O_APPEND descriptor as it does a filesystem that has no splice: EINVAL. */
TEST(a_backing_that_refuses_splice_is_written_by_copy)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 0));
	int fd = openat(f.nodes.b.fd, "f", O_WRONLY | O_APPEND | O_CLOEXEC);
	f.h = handle_adopt(f.nodes.t, f.n, O_WRONLY, fd, false);
	REQUIRE(fd >= 0 && f.h);
	struct io_request rq = rig_request(&f, 0, 60000);
	struct payload in = rig_in_pipe(&f, rig_change(&f, 0, 60000, 5), 60000);
	CHECK_EQ(splice_ops()->write(&f.w, &rq, &in, &acc), 60000);
	rig_check_write(&acc, WAY_COPY, 60000, 120000);
	CHECK_EQ(left_in_pipe(&f), 0);
	rig_check_file(&f);
}

TEST(a_full_file_takes_what_fits_then_says_so)
{
	struct rig RIG f;
	struct account acc = {0}, acc_more = {0};

	REQUIRE(rig_init(&f, 8192));
	REQUIRE(rig_open(&f, O_RDWR, false));
	struct io_request rq = rig_request(&f, 8192, 40000);
	struct payload in = rig_in_pipe(&f, rig_change(&f, 8192, 40000, 2), 40000);
	struct rlimit old = rig_limit(20480);
	ssize_t n = splice_ops()->write(&f.w, &rq, &in, &acc);
	struct io_request more = rig_request(&f, 20480, in.len_bytes);
	ssize_t n_more = splice_ops()->write(&f.w, &more, &in, &acc_more);
	rig_unlimit(&old);
	CHECK_EQ(n, 12288);
	rig_check_write(&acc, WAY_SPLICE, 12288, 0);
	CHECK_EQ(n_more, -EFBIG);
	CHECK_EQ(rig_ways_sum(&acc_more), 0);
	CHECK_EQ(in.len_bytes, 40000 - 12288); /* in the pipe still: its owner renews it */
	f.len_bytes = 20480;
	rig_check_file(&f);
}

TEST(the_opens_access_mode_rules)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 50000));
	REQUIRE(rig_open(&f, O_RDONLY, false));
	struct io_request rq = rig_request(&f, 0, 40000);
	struct payload in = rig_in_pipe(&f, f.model, 40000);
	CHECK_EQ(splice_ops()->write(&f.w, &rq, &in, &acc), -EBADF);
	CHECK_EQ(in.len_bytes, 40000);
	CHECK_EQ(rig_ways_sum(&acc), 0);
	rig_check_file(&f);
}
