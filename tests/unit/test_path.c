/* data/path: the table of paths, and reading, writing and unpiping as several of them share it. */
#include "check.h"
#include "data/path.h"
#include "rig.h"

#include <sys/mman.h>

#define FILE_BYTES (256UL * 1024 + 123)

TEST(each_path_has_its_row)
{
	CHECK(!path_ops_get(PATH_ID_AUTO));
	for (int id = PATH_ID_AUTO + 1; id < PATH_ID_COUNT; id++) {
		const struct path_ops *ops = path_ops_get((enum path_id)id);
		REQUIRE(ops);
		CHECK(ops->read && ops->write && ops->wants_pipe);
		CHECK_STR(ops->name, path_id_name((enum path_id)id));
		CHECK_EQ(path_id_parse(ops->name), id);
	}
	CHECK_EQ(path_id_parse("auto"), PATH_ID_AUTO);
	CHECK_EQ(path_id_parse(""), PATH_ID_COUNT);
	CHECK_EQ(path_id_parse("Copy"), PATH_ID_COUNT);
}

TEST(auto_and_pool_follow_o_direct_and_nothing_else_does)
{
	CHECK_EQ(path_resolve(PATH_ID_AUTO, false), PATH_ID_splice);
	CHECK_EQ(path_resolve(PATH_ID_AUTO, true), PATH_ID_direct);
	for (int id = PATH_ID_AUTO + 1; id < PATH_ID_COUNT; id++) {
		CHECK_EQ(path_resolve((enum path_id)id, false), id);
		CHECK_EQ(path_resolve((enum path_id)id, true), id == PATH_ID_pool ? PATH_ID_direct : id);
	}
}

TEST(a_payload_in_memory_stays)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 100));
	struct payload in = rig_in_memory(&f, f.model, 100);
	f.w.syscalls = 7;
	CHECK_EQ(payload_to_memory(&f.w, &in, &acc), 0);
	CHECK(in.mem == f.w.data);
	CHECK_EQ(in.len_bytes, 100);
	CHECK_EQ(acc.user_bytes, 0);
	CHECK_EQ(f.w.syscalls, 7);
}

TEST(a_payload_in_the_pipe_comes_to_memory)
{
	static const size_t sizes[] = {1, 4095, 4096, 4097, 100000, RIG_MAX_IO};
	struct rig RIG f;

	REQUIRE(rig_init(&f, RIG_MAX_IO));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct account acc = {0};
		struct payload in = rig_in_pipe(&f, f.model, sizes[i]);
		f.w.syscalls = 0;
		CHECK_EQ(payload_to_memory(&f.w, &in, &acc), 0);
		CHECK(in.mem == f.w.data);
		CHECK_EQ(in.len_bytes, sizes[i]);
		CHECK(memcmp(f.w.data, f.model, sizes[i]) == 0);
		CHECK_EQ(acc.user_bytes, sizes[i]);
		CHECK_EQ(rig_ways_sum(&acc), 0);
		CHECK(f.w.syscalls >= 1);
	}
}

/* As after receipt: the request's head was taken off the first page, the rest is off the grid. */
TEST(a_payload_behind_its_head_comes_to_memory)
{
	struct rig RIG f;
	struct account acc = {0};
	char head[80];

	REQUIRE(rig_init(&f, 50000));
	struct payload in = rig_in_pipe(&f, f.model, 50000);
	CHECK_EQ(read(f.w.pipe.rd, head, sizeof(head)), sizeof(head));
	in.len_bytes -= sizeof(head);
	CHECK_EQ(payload_to_memory(&f.w, &in, &acc), 0);
	CHECK(memcmp(in.mem, f.model + sizeof(head), in.len_bytes) == 0);
}

TEST(a_pipe_with_too_little_is_an_error)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 100));
	struct payload in = rig_in_pipe(&f, f.model, 100);
	in.len_bytes = 101;
	CHECK_EQ(close(f.w.pipe.wr), 0);
	f.w.pipe.wr = -1;
	CHECK_EQ(payload_to_memory(&f.w, &in, &acc), -EIO);
	CHECK(!in.mem);
	pipe_close(&f.w.pipe);
	CHECK_EQ(payload_to_memory(&f.w, &in, &acc), -EBADF);
}

TEST(ranges_are_copied_and_end_with_the_file)
{
	static const size_t offs[] = {0,
				      1,
				      4095,
				      4096,
				      131072,
				      200001,
				      FILE_BYTES - 1,
				      FILE_BYTES - 4096,
				      FILE_BYTES,
				      FILE_BYTES + 1,
				      FILE_BYTES + 10000};
	static const size_t lens[] = {1, 100, 4096, 4097, 65536, 131072, FILE_BYTES, RIG_MAX_IO};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			struct account acc = {0};
			struct reply r = {0};
			struct io_request rq = rig_request(&f, offs[i], lens[k]);
			CHECK_EQ(path_copy_range(&f.w, f.fd, offs[i], lens[k], &r, &acc), 0);
			CHECK(rig_check_reply(&f, &rq, &r));
			CHECK(r.mem == f.w.data);
			CHECK_EQ(r.way, WAY_COPY);
			CHECK_EQ(acc.user_bytes, r.len_bytes);
			/* The reply's own copy is counted with its way, when it is sent. */
			CHECK_EQ(rig_ways_sum(&acc), 0);
		}
}

TEST(a_range_that_cannot_be_read_says_why)
{
	struct rig RIG f;
	struct account acc = {0};
	struct reply r = {0};

	REQUIRE(rig_init(&f, 100));
	CHECK_EQ(path_copy_range(&f.w, f.nodes.b.fd, 0, 100, &r, &acc), -EISDIR);
	CHECK_EQ(path_copy_range(&f.w, -1, 0, 100, &r, &acc), -EBADF);
	CHECK_EQ(acc.user_bytes, 0);
}

/*
 * A short answer tells the kernel that the file ends there, and it shortens its idea of the file:
 * a bad block in mid-file would truncate a copy of it without an error. The process's own memory
 * with a page missing reads like a file with a bad block.
 */
TEST(a_range_with_a_bad_part_is_an_error_not_a_short_file)
{
	struct rig RIG f;
	struct account acc = {0};
	struct reply r = {0};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	REQUIRE(rig_init(&f, 100));
	unsigned char *map =
		mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(map != MAP_FAILED);
	memset(map, 'm', 4 * page);
	CHECK_EQ(munmap(map + 2 * page, page), 0);
	int AUTO_FD mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		SKIP("no /proc/self/mem here");
	CHECK_EQ(pread(mem, f.w.data, 3 * page, (off_t)(uintptr_t)map), 2 * page);
	int err = path_copy_range(&f.w, mem, (uintptr_t)map, 3 * page, &r, &acc);
	CHECK_EQ(err, -EIO);
	CHECK_EQ(path_copy_range(&f.w, mem, (uintptr_t)map, 2 * page, &r, &acc), 0);
	CHECK_EQ(r.len_bytes, 2 * page);
	CHECK_EQ(munmap(map, 2 * page), 0);
	CHECK_EQ(munmap(map + 3 * page, page), 0);
}

TEST(payloads_are_copied_to_their_offset)
{
	static const size_t offs[] = {0, 1, 4095, 65536, FILE_BYTES - 10, FILE_BYTES + 5000};
	static const size_t lens[] = {1, 4096, 5001, 100000, RIG_MAX_IO};
	struct rig RIG f;

	REQUIRE(rig_init(&f, FILE_BYTES));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		for (size_t k = 0; k < 2 * sizeof(lens) / sizeof(lens[0]); k++) {
			bool is_piped = k % 2;
			size_t len = lens[k / 2];
			struct account acc = {0};
			struct io_request rq = rig_request(&f, offs[i], len);
			const unsigned char *from = rig_change(&f, offs[i], len, (unsigned)k);
			struct payload in = is_piped ? rig_in_pipe(&f, from, len)
						     : rig_in_memory(&f, from, len);
			CHECK_EQ(path_copy_payload(&f.w, &rq, f.fd, &in, &acc), len);
			CHECK_EQ(in.len_bytes, 0);
			rig_check_write(&acc, WAY_COPY, len, is_piped ? 2 * len : len);
			REQUIRE(rig_check_file(&f));
		}
}

TEST(a_copied_append_goes_to_the_end_of_now)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 5000));
	struct io_request rq = rig_request(&f, 5000, 300);
	rq.is_append = true;
	rig_append_elsewhere(&f, 700);
	struct payload in = rig_in_memory(&f, rig_change(&f, 5700, 300, 2), 300);
	CHECK_EQ(path_copy_payload(&f.w, &rq, f.fd, &in, &acc), 300);
	rig_check_write(&acc, WAY_COPY, 300, 300);
	rig_check_file(&f);
}

TEST(a_full_file_takes_what_fits_then_says_so)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 8000));
	struct io_request rq = rig_request(&f, 8000, 3000);
	struct payload in = rig_in_memory(&f, rig_change(&f, 8000, 3000, 2), 3000);
	struct rlimit old = rig_limit(10000);
	ssize_t n = path_copy_payload(&f.w, &rq, f.fd, &in, &acc);
	struct io_request more = rig_request(&f, 10000, in.len_bytes);
	struct account acc_more = {0};
	ssize_t n_more = path_copy_payload(&f.w, &more, f.fd, &in, &acc_more);
	rig_unlimit(&old);
	CHECK_EQ(n, 2000);
	rig_check_write(&acc, WAY_COPY, 2000, 2000);
	CHECK_EQ(n_more, -EFBIG);
	rig_check_write(&acc_more, WAY_COPY, 0, 0);
	CHECK_EQ(in.len_bytes, 1000);
	f.len_bytes = 10000;
	rig_check_file(&f);
}

TEST(a_full_device_says_so)
{
	struct rig RIG f;
	struct account acc = {0};

	REQUIRE(rig_init(&f, 0));
	int AUTO_FD full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (full < 0)
		SKIP("no /dev/full here");
	struct io_request rq = rig_request(&f, 0, 100);
	struct payload in = rig_in_pipe(&f, f.model, 100);
	CHECK_EQ(path_copy_payload(&f.w, &rq, full, &in, &acc), -ENOSPC);
	CHECK_EQ(rig_ways_sum(&acc), 0);
	CHECK_EQ(acc.user_bytes, 100); /* out of the pipe it was copied */
}
