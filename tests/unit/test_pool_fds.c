/* data/pool_fds: pages of a file by O_DIRECT, right to the byte at its end, and its size never another. */
#include "check.h"
#include "data/pool_fds.h"
#include "rig.h"

#include <limits.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct pool_io *io_of(struct rig *f, bool is_writable)
{
	struct pool_io *io = NULL;
	int direct =
		openat(f->nodes.b.fd, "f", (is_writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	int buffered = is_writable ? openat(f->nodes.b.fd, "f", O_RDWR | O_CLOEXEC) : -1;

	CHECK(direct >= 0);
	CHECK_EQ(pool_fds_new(f->nodes.t, direct, buffered, &io), 0);
	return io;
}

static void io_end(struct pool_io *io)
{
	io->ops->free(io);
}

TEST(reads_end_with_the_file)
{
	static const size_t sizes[] = {0, 1, 511, 512, 513, 4095, 4096, 5120, 8192, 20000, 65536};
	struct rig RIG f;

	REQUIRE(rig_init(&f, 0));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, false);
	CHECK(!io->is_writable);
	for (size_t s = 0; s < COUNT(sizes); s++)
		for (size_t off = 0; off <= 16384; off += 4096)
			for (int count = 1; count <= 9; count += 4) {
				struct iovec iov[9];
				REQUIRE(rig_reset(&f, sizes[s]));
				memset(f.w.data, 0xee, 36864);
				for (int i = 0; i < count; i++) /* not one after another in memory */
					iov[i] = (struct iovec){f.w.data + 4096L * (count - 1 - i), 4096};
				size_t want = rig_there(&f, off, (size_t)count * 4096);
				CHECK_EQ(io->ops->read(io, iov, count, off), want);
				for (size_t at = 0; at < want; at += 4096) {
					size_t n = want - at < 4096 ? want - at : 4096;
					CHECK(memcmp(iov[at / 4096].iov_base, f.model + off + at, n) == 0);
				}
			}
	io_end(io);
}

TEST(many_pieces_are_read)
{
	static struct iovec iov[IOV_MAX + 50];
	struct rig RIG f;

	REQUIRE(rig_init(&f, RIG_MODEL_CAP - 4096));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, false);
	unsigned char *mem = aligned_alloc(4096, RIG_MODEL_CAP);
	REQUIRE(mem);
	for (size_t i = 0; i < COUNT(iov); i++)
		iov[i] = (struct iovec){mem + i * 2048, 2048};
	ssize_t n = io->ops->read(io, iov, (int)COUNT(iov), 0);
	CHECK_EQ(n, COUNT(iov) * 2048);
	CHECK(memcmp(mem, f.model, COUNT(iov) * 2048) == 0);
	free(mem);
	io_end(io);
}

/* As at the largest offset there is: what O_DIRECT does not take is read through the page cache. */
TEST(what_o_direct_refuses_is_read_all_the_same)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 10000));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, false);
	struct iovec iov = {f.w.data + 1, 16383};
	CHECK_EQ(io->ops->read(io, &iov, 1, 3), 9997);
	CHECK(memcmp(f.w.data + 1, f.model + 3, 9997) == 0);
	io_end(io);
}

TEST(errors_are_told)
{
	struct rig RIG f;
	struct pool_io *io = NULL;

	REQUIRE(rig_init(&f, 10000));
	int fd = openat(f.nodes.b.fd, "f", O_WRONLY | O_CLOEXEC);
	REQUIRE(fd >= 0);
	REQUIRE(pool_fds_new(f.nodes.t, fd, -1, &io) == 0);
	struct iovec iov = {f.w.data, 4096};
	CHECK_EQ(io->ops->read(io, &iov, 1, 0), -EBADF);
	io_end(io);
}

TEST(writes_are_right_to_the_byte)
{
	static const size_t lens[] = {1, 511, 512, 513, 4096, 5000, 16384, 40000};
	struct rig RIG f;

	REQUIRE(rig_init(&f, 0));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, true);
	CHECK(io->is_writable);
	for (size_t k = 0; k < COUNT(lens); k++)
		for (size_t off = 0; off <= 8192; off += 4096)
			for (size_t more = 0; more <= 5000; more += 2500) { /* of the file behind it */
				REQUIRE(rig_reset(&f, off + lens[k] + more));
				const unsigned char *from =
					rig_change(&f, off, lens[k], (unsigned)k + 2);
				memset(f.w.data, 0xee, 65536);
				memcpy(f.w.data, from, lens[k]);
				CHECK_EQ(io->ops->write(io, f.w.data, lens[k], off), 0);
				REQUIRE(rig_check_file(&f));
			}
	io_end(io);
}

TEST(a_write_that_fails_says_so)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 8192));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, true);
	struct rlimit old = rig_limit(4096);
	int err = io->ops->write(io, f.w.data, 8192, 4096);
	int err_tail = io->ops->write(io, f.w.data, 100, 8192);
	rig_unlimit(&old);
	CHECK_EQ(err, -EFBIG);
	CHECK_EQ(err_tail, -EFBIG);
	io_end(io);
}

TEST(space_is_reserved_and_the_size_is_as_asked)
{
	struct rig RIG f;
	uint64_t size = 0;
	struct stat st;

	REQUIRE(rig_init(&f, 100));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, true);
	CHECK_EQ(ftruncate(f.fd, 1 << 20), 0);
	int rc = io->ops->reserve(io, 65536, 65536, true);
	if (rc == -EOPNOTSUPP) {
		io_end(io);
		SKIP("no fallocate here");
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(fstat(f.fd, &st), 0);
	CHECK(st.st_blocks * 512 >= 65536);
	CHECK_EQ(io->ops->size(io, &size), 0);
	CHECK_EQ(size, 1 << 20);
	CHECK_EQ(io->ops->reserve(io, 1 << 20, 5000, false), 0);
	CHECK_EQ(io->ops->size(io, &size), 0);
	CHECK_EQ(size, (1 << 20) + 5000);
	/* a file with no hole left need not be asked for again */
	REQUIRE(rig_reset(&f, 30000));
	CHECK_EQ(fsync(f.fd), 0);
	CHECK_EQ(io->ops->reserve(io, 0, 30000, true), 1);
	CHECK_EQ(io->ops->size(io, &size), 0);
	CHECK_EQ(size, 30000);
	io_end(io);
}

TEST(no_space_is_told_when_it_is_reserved)
{
	struct rig RIG f;
	uint64_t size = 0;

	REQUIRE(rig_init(&f, 100));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, true);
	struct rlimit old = rig_limit(4096);
	int err = io->ops->reserve(io, 0, 8192, false);
	rig_unlimit(&old);
	CHECK(err == -EFBIG || err == -EOPNOTSUPP);
	CHECK_EQ(io->ops->size(io, &size), 0);
	CHECK_EQ(size, 100);
	io_end(io);
}

TEST(the_modification_time_alone_is_set)
{
	static const int64_t times[] = {
		0, 1, 999999999, 1000000000, 1700000000123456789, -1, -1000000000, -1500000000};
	struct rig RIG f;
	struct stat before, st;

	REQUIRE(rig_init(&f, 100));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	struct pool_io *io = io_of(&f, true);
	CHECK_EQ(fstat(f.fd, &before), 0);
	for (size_t i = 0; i < COUNT(times); i++) {
		CHECK_EQ(io->ops->set_mtime(io, times[i]), 0);
		CHECK_EQ(fstat(f.fd, &st), 0);
		CHECK_EQ(st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec, times[i]);
		CHECK_EQ(st.st_atim.tv_nsec, before.st_atim.tv_nsec);
	}
	io_end(io);
}

TEST(its_descriptors_end_with_it)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 100));
	if (!rig_has_direct(&f))
		SKIP("no O_DIRECT here");
	size_t n_fds = backing_n_fds();
	struct pool_io *io = io_of(&f, true);
	CHECK_EQ(backing_n_fds(), n_fds + 2);
	CHECK_EQ(io->refs, 1);
	io_end(io);
	CHECK_EQ(backing_n_fds(), n_fds);
}
